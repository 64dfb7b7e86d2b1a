/**
 * `decode --format json`: one object a line for each message. The text is what `JSON.stringify` makes of the decoded
 * message, written straight into the output's bytes.
 *
 * @module
 */

import { toText } from '../../wire/hex.js'
import type { CapturedMessage } from './captured-message.js'
import { FORWARDING_PIECES, PROTOCOL_PIECES, putFlags, putState, QUOTED_FLAG_PIECES } from './field-texts.js'
import type { MessageRecords } from './message-records.js'
import type { Output } from './output.js'
import type { Printer } from './printer.js'
import { decimal, hexBytes, ipv4, ipv6, piece, put } from './text-bytes.js'

/** More than a connection takes: 32 flags, three IPv6 addresses, engine data and its name escaped. */
const MOST = 2048

const TIME = piece('{"time":"')
const NO_TIME = piece('{"time":null,"source":{"address":"')
const SOURCE = piece('","source":{"address":"')
const PORT = piece('","port":')
const DESTINATION_OF_MESSAGE = piece('},"destination":{"address":"')
const FRAME = piece('},"frame":')
const CHANNEL = piece(',"channel":')
const VERSION = piece(',"version":')
const SYNCID = piece(',"syncid":')
const SIZE = piece(',"size":')
const CONNECTIONS = piece(',"connections":[')
const FAMILY4 = piece('{"family":"ipv4","protocol":"')
const FAMILY6 = piece('{"family":"ipv6","protocol":"')
const CLIENT = piece('","client":{"address":"')
const VIRTUAL = piece('},"virtual":{"address":"')
const DESTINATION = piece('},"destination":{"address":"')
const FORWARDING = piece('},"forwarding":"')
const FLAGS = piece('","flags":[')
const STATE = piece('],"state":"')
const FWMARK = piece('","fwmark":')
const TIMEOUT = piece(',"timeout":')
const IN_SEQUENCE = piece(',"inSequence":{"initial":')
const OUT_SEQUENCE = piece('},"outSequence":{"initial":')
const DELTA = piece(',"delta":')
const PREVIOUS_DELTA = piece(',"previousDelta":')
const ENGINE = piece(',"engine":{"name":')
const ENGINE_DATA = piece(',"data":"')
const QUOTE_BRACE = piece('"}')
const BRACE_COMMA = piece('},')
const NO_PROBLEMS = piece('],"problems":[]}\n')

/** Prints messages as JSON Lines; problems outside of them have no line here. */
export class JsonPrinter implements Printer {
  readonly #output: Output

  /** @param output - Receives the text. */
  constructor(output: Output) {
    this.#output = output
  }

  message(message: CapturedMessage): void {
    const output = this.#output
    const { records, problems } = message
    output.reserve(MOST)
    let { view } = output
    let to = putHead(view, output.at, message)
    const { tunnel, extension } = message
    if (tunnel !== undefined || extension !== undefined) {
      output.at = to
      output.write(`,${JSON.stringify({ tunnel, ...extension }).slice(1, -1)}`)
      output.reserve(MOST)
      view = output.view
      to = output.at
    }
    to = decimal(view, put(view, to, VERSION), records.version)
    to = decimal(view, put(view, to, SYNCID), records.syncid)
    to = decimal(view, put(view, to, SIZE), records.size)
    to = put(view, to, CONNECTIONS)
    for (let record = 0; record < records.count; record++) {
      output.at = to
      output.reserve(MOST)
      view = output.view
      to = putConnection(view, output.at, records, record)
    }
    if (records.count > 0) to -= 1
    if (problems.length === 0) {
      output.at = put(view, to, NO_PROBLEMS)
      return
    }
    output.at = to
    output.write(`],"problems":${JSON.stringify(problems)}}\n`)
  }
}

function putHead(view: DataView, to: number, message: CapturedMessage): number {
  to = message.ms === undefined ? put(view, to, NO_TIME) : put(view, message.putTime(view, put(view, to, TIME)), SOURCE)
  to = decimal(view, put(view, message.putSource(view, to), PORT), message.sourcePort)
  to = message.putDestination(view, put(view, to, DESTINATION_OF_MESSAGE))
  to = decimal(view, put(view, to, PORT), message.port)
  to = decimal(view, put(view, to, FRAME), message.packet)
  return decimal(view, put(view, to, CHANNEL), message.channel)
}

/** Writes a connection with a comma behind it. */
function putConnection(view: DataView, to: number, records: MessageRecords, record: number): number {
  const { bytes, view: source, version } = records
  const protocol = records.protocol(record)
  const flags = records.flags(record)
  const ports = records.portsAt(record)
  const address = records.addressesAt(record)
  if (records.isIpv6(record)) {
    to = put(view, put(view, put(view, to, FAMILY6), PROTOCOL_PIECES[protocol]!), CLIENT)
    to = ipv6(view, to, bytes, source, address)
    to = put(view, decimal(view, put(view, to, PORT), source.getUint16(ports)), VIRTUAL)
    to = ipv6(view, to, bytes, source, address + 16)
    to = put(view, decimal(view, put(view, to, PORT), source.getUint16(ports + 2)), DESTINATION)
    to = ipv6(view, to, bytes, source, address + 32)
  } else {
    to = put(view, put(view, put(view, to, FAMILY4), PROTOCOL_PIECES[protocol]!), CLIENT)
    to = ipv4(view, to, bytes, address)
    to = put(view, decimal(view, put(view, to, PORT), source.getUint16(ports)), VIRTUAL)
    to = ipv4(view, to, bytes, address + 4)
    to = put(view, decimal(view, put(view, to, PORT), source.getUint16(ports + 2)), DESTINATION)
    to = ipv4(view, to, bytes, address + 8)
  }
  to = put(view, decimal(view, put(view, to, PORT), source.getUint16(ports + 4)), FORWARDING)
  to = put(view, put(view, to, FORWARDING_PIECES[flags & 7]!), FLAGS)
  to = put(view, putFlags(view, to, flags, QUOTED_FLAG_PIECES), STATE)
  to = putState(view, to, protocol, flags, records.state(record))
  if (version === 1) {
    const at = records.at[record]!
    to = decimal(view, put(view, to, FWMARK), source.getUint32(at + 16))
    to = decimal(view, put(view, to, TIMEOUT), source.getUint32(at + 20))
  } else {
    view.setUint8(to++, 0x22)
  }
  if (records.sequenceAt[record] !== 0) to = putSequence(view, to, records, record)
  if (records.engineDataAt[record] !== 0 || records.engineNameAt[record] !== 0)
    to = putEngine(view, to, records, record)
  return put(view, to, BRACE_COMMA)
}

function putSequence(
  view: DataView,
  to: number,
  { view: source, version, littleEndian, sequenceAt }: MessageRecords,
  record: number
): number {
  const at = sequenceAt[record]!
  const little = version === 0 && littleEndian
  for (const from of [at, at + 12]) {
    to = decimal(view, put(view, to, from === at ? IN_SEQUENCE : OUT_SEQUENCE), source.getUint32(from, little))
    to = decimal(view, put(view, to, DELTA), source.getUint32(from + 4, little))
    to = decimal(view, put(view, to, PREVIOUS_DELTA), source.getUint32(from + 8, little))
  }
  view.setUint8(to, 0x7d)
  return to + 1
}

function putEngine(view: DataView, to: number, records: MessageRecords, record: number): number {
  const { bytes } = records
  const nameAt = records.engineNameAt[record]!
  const dataAt = records.engineDataAt[record]!
  const name = nameAt === 0 ? '' : toText(bytes.subarray(nameAt, nameAt + records.engineNameLength[record]!))
  to = put(view, to, ENGINE)
  // A name may hold characters beyond ASCII.
  to = name === 'sip' ? put(view, to, SIP) : to + Buffer.from(view.buffer).write(JSON.stringify(name), to)
  to = put(view, to, ENGINE_DATA)
  if (dataAt !== 0) to = hexBytes(view, to, bytes, dataAt, dataAt + records.engineDataLength[record]!)
  return put(view, to, QUOTE_BRACE)
}

const SIP = piece('"sip"')
