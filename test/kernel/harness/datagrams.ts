// Connections of a director's own: one UDP datagram from each of COUNT ports.
//   node datagrams.js ADDRESS PORT SOURCE FIRST COUNT
import { createSocket } from 'node:dgram'

const [address, port, source, first, count] = process.argv.slice(2) as [string, string, string, string, string]
for (let number = 0; number < Number(count); number++) {
  const socket = createSocket('udp4')
  await new Promise<void>((resolve) => socket.bind(Number(first) + number, source, resolve))
  await new Promise<void>((resolve) => socket.send('x', Number(port), address, () => resolve()))
  socket.close()
}
