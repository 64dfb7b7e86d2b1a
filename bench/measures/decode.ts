/** Nanoseconds to read one connection of full IPv4 messages: `rows`, `view`, `values`, `binary-parser`. */
import { Parser } from 'binary-parser'
import { decodeMessage, MessageReader, MessageView } from 'ipvs-sync/wire'
import { makeMessages } from '../input.js'
import { given, nanoseconds, print } from './timing.js'

const { variant, seconds, connections } = given()
const messages = makeMessages(connections)
let sink = 0

function rows(): () => void {
  const reader = new MessageReader()
  return () => {
    for (const message of messages) {
      reader.read(message)
      sink ^= reader.rows.count + reader.rows.words[10]!
    }
  }
}

function view(): () => void {
  const cursor = new MessageView()
  return () => {
    for (const message of messages) {
      cursor.reset(message)
      while (cursor.next()) {
        sink ^=
          cursor.protocol ^
          cursor.flags ^
          cursor.state ^
          cursor.clientPort ^
          cursor.virtualPort ^
          cursor.verdict ^
          cursor.destinationPort ^
          cursor.fwmark ^
          cursor.timeout ^
          cursor.clientWord(0) ^
          cursor.virtualWord(0) ^
          cursor.destinationWord(0)
      }
    }
  }
}

function values(): () => void {
  return () => {
    for (const message of messages) sink ^= decodeMessage(message).connections.length
  }
}

/** All that it can say of a message: IPv4, IPv6 and parameters, without a check of what it reads. */
function binaryParser(): () => void {
  const addresses = (type: 'uint32' | 'uint8', length: number): Parser =>
    length === 1
      ? new Parser()[type]('client')[type]('virtual')[type]('destination')
      : new Parser().buffer('client', { length }).buffer('virtual', { length }).buffer('destination', { length })
  const record = new Parser()
    .uint8('type')
    .uint8('protocol')
    .uint16('size')
    .uint32('flags')
    .uint16('state')
    .uint16('clientPort')
    .uint16('virtualPort')
    .uint16('destinationPort')
    .uint32('fwmark')
    .uint32('timeout')
    .choice('addresses', { tag: 'type', choices: { 0: addresses('uint32', 1), 1: addresses('uint8', 16) } })
    .buffer('parameters', {
      length: function (this: unknown) {
        const { size, type } = itemOf(this)
        return size - (type === 0 ? 36 : 72)
      }
    })
    .seek(function (this: unknown) {
      return -itemOf(this).size & 3
    })
  const parser = new Parser()
    .uint8('reserved')
    .uint8('syncid')
    .uint16('size')
    .uint8('count')
    .uint8('version')
    .uint16('spare')
    .array('connections', { type: record, length: 'count' })
  return () => {
    for (const message of messages) sink ^= (parser.parse(message) as { connections: unknown[] }).connections.length
  }
}

/** binary-parser calls functions with the record that is being read as `this`, whatever its types say. */
function itemOf(self: unknown): { readonly type: number; readonly size: number } {
  return self as { readonly type: number; readonly size: number }
}

const variants: Record<string, () => () => void> = { rows, view, values, 'binary-parser': binaryParser }
print(nanoseconds(variants[variant]!(), messages.length * 40, seconds))
if (sink === 0.5) console.error(sink)
