/** Nanoseconds to write one connection into full IPv4 messages: `writer`, or `buffer` (`Buffer.write*` from objects). */
import { createRows, MessageReader, MessageWriter, ROW_WORDS, type Rows } from 'ipvs-sync/wire'
import { connectionOf, makeMessages, PER_MESSAGE } from '../input.js'
import { given, nanoseconds, print } from './timing.js'

const { variant, seconds, connections } = given()
const MAXLEN = 1448
let sink = 0

/** All connections as rows, as an engine's table gives them. */
function allRows(): Rows {
  const all = createRows(connections)
  const reader = new MessageReader()
  makeMessages(connections).forEach((message, i) => {
    reader.read(message)
    const { count } = reader.rows
    all.words.set(reader.rows.words.subarray(0, count * ROW_WORDS), i * PER_MESSAGE * ROW_WORDS)
  })
  return all
}

function writer(): () => void {
  const rows = allRows()
  const target = new MessageWriter()
  return () => {
    target.begin(1, 7, MAXLEN)
    for (let i = 0; i < connections; i++) {
      if (target.add(rows, i)) continue
      sink ^= target.finish()[100]!
      target.begin(1, 7, MAXLEN)
      target.add(rows, i)
    }
    sink ^= target.finish()[100]!
  }
}

function buffer(): () => void {
  const all = Array.from({ length: connections }, (_, i) => connectionOf(i))
  const target = Buffer.alloc(MAXLEN)
  return () => {
    for (let first = 0; first + PER_MESSAGE <= connections; first += PER_MESSAGE) {
      target.writeUInt8(7, 1)
      target.writeUInt16BE(MAXLEN, 2)
      target.writeUInt8(PER_MESSAGE, 4)
      target.writeUInt8(1, 5)
      for (let k = 0; k < PER_MESSAGE; k++) writeRecord(target, 8 + 36 * k, all[first + k]!)
      sink ^= target[100]!
    }
  }
}

function writeRecord(target: Buffer, at: number, connection: ReturnType<typeof connectionOf>): void {
  target.writeUInt8(0, at)
  target.writeUInt8(6, at + 1)
  target.writeUInt16BE(36, at + 2)
  target.writeUInt32BE(0x100, at + 4)
  target.writeUInt16BE(1, at + 8)
  target.writeUInt16BE(connection.clientPort, at + 10)
  target.writeUInt16BE(80, at + 12)
  target.writeUInt16BE(8080, at + 14)
  target.writeUInt32BE(0, at + 16)
  target.writeUInt32BE(900, at + 20)
  target.writeUInt32BE(connection.client, at + 24)
  target.writeUInt32BE(connection.virtual, at + 28)
  target.writeUInt32BE(connection.destination, at + 32)
}

print(nanoseconds(variant === 'buffer' ? buffer() : writer(), connections, seconds))
if (sink === 0.5) console.error(sink)
