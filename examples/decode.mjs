// Prints the connections and problems of a capture.   node examples/decode.mjs FILE
import { decodeMessage, openCapture } from 'ipvs-sync'

for await (const item of openCapture(process.argv[2] ?? 'sync.pcap')) {
  if (item.kind === 'problem') {
    console.log(item.problem.message)
    continue
  }
  const { connections, problems } = decodeMessage(item.payload, { wireLength: item.wireLength })
  for (const { protocol, client, destination, state } of connections)
    console.log(`${protocol} ${client.address}:${client.port} ${destination.address}:${destination.port} ${state}`)
  for (const { code, message, offset } of problems) console.log(`${code} at byte ${offset}: ${message}`)
}
