// Reads a capture and prints what is in its sync messages: the last thing said of each connection, and every problem.
//   node examples/decode-capture.ts FILE      (compiled: npm run build:tools, then node .build/examples/decode-capture.js)
import { createReadStream } from 'node:fs'
import { decodeMessage, readCapture } from 'ipvs-sync'

const [file = ''] = process.argv.slice(2)

const last = new Map<string, string>()
let messages = 0

for await (const item of readCapture(createReadStream(file))) {
  if (item.kind === 'problem') {
    console.log(`the capture: ${item.problem.message}`)
    continue
  }
  messages++
  const message = decodeMessage(item.payload, { wireLength: item.wireLength })
  for (const problem of message.problems) console.log(`message ${messages}, byte ${problem.offset}: ${problem.message}`)
  for (const { protocol, client, virtual, destination, state } of message.connections) {
    const key = `${protocol} ${client.address}:${client.port} to ${virtual.address}:${virtual.port}`
    last.set(key, `${state} at ${destination.address}:${destination.port}`)
  }
}

for (const [key, what] of last) console.log(`${key}: ${what}`)
console.log(`${messages} messages about ${last.size} connections`)
