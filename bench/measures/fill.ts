/** Fills sockets of this host with messages: PORT SOCKETS EACH CONNECTIONS FIRST. Ends when the system has them all. */
import { createSocket } from 'node:dgram'
import { makeMessages, shuffled } from '../input.js'

const [port = 0, sockets = 0, each = 0, connections = 0, first = 0] = process.argv.slice(2).map(Number)
const messages = makeMessages(connections, shuffled(connections))
const socket = createSocket('udp4')
let waiting = 0
for (let i = 0; i < each; i++) {
  for (let s = 0; s < sockets; s++) {
    waiting++
    const message = messages[(first + i * sockets + s) % messages.length]!
    socket.send(message, port + s, '127.0.0.1', () => {
      if (--waiting === 0 && i === each - 1) socket.close()
    })
  }
  // Lets what is queued in this process leave before more comes.
  if (i % 8 === 7) await new Promise((resolve) => setImmediate(resolve))
}
