/**
 * `decode --format csv`: a row for each connection, for spreadsheets and databases.
 *
 * @module
 */

import { printable } from '../../wire/terminal-text.js'
import { toText } from '../../wire/hex.js'
import type { CapturedMessage } from './captured-message.js'
import { FLAG_PIECES, FORWARDING_PIECES, PROTOCOL_PIECES, putFlags, putState } from './field-texts.js'
import type { MessageRecords } from './message-records.js'
import type { Output } from './output.js'
import type { Printer } from './printer.js'
import { decimal, hexBytes, ipv4, ipv6, piece, put, putText, signedDecimal } from './text-bytes.js'

/** The header line. */
export const CSV_NAMES =
  'frame,time,sender,sender_port,group,port,channel,version,syncid,family,protocol,client,client_port,virtual,virtual_port,destination,destination_port,forwarding,flags,state,fwmark,timeout,in_initial,in_delta,in_previous_delta,out_initial,out_delta,out_previous_delta,engine,engine_data'

const COMMA = 0x2c
const QUOTE = 0x22
const LINE_FEED = 0x0a
/** Most bytes of a row: 32 flags, three IPv6 addresses, engine data. */
const MOST = 2048
const IPV4 = piece('ipv4,')
const IPV6 = piece('ipv6,')
const NO_SEQUENCE = piece(',,,,,,')

/** Prints connections as comma-separated values under a line with the columns' names. */
export class CsvPrinter implements Printer {
  readonly #output: Output
  #isFirst = true

  /** @param output - Receives the text. */
  constructor(output: Output) {
    this.#output = output
  }

  message(message: CapturedMessage): void {
    const { records } = message
    this.#heading()
    for (let record = 0; record < records.count; record++) {
      this.#output.reserve(MOST)
      const { view, at } = this.#output
      this.#output.at = putRow(view, putHead(view, at, message), records, record)
    }
  }

  end(): void {
    this.#heading()
  }

  #heading(): void {
    if (!this.#isFirst) return
    this.#isFirst = false
    this.#output.write(`${CSV_NAMES}\n`)
  }
}

function comma(view: DataView, to: number): number {
  view.setUint8(to, COMMA)
  return to + 1
}

function putHead(view: DataView, to: number, message: CapturedMessage): number {
  to = comma(view, decimal(view, to, message.packet))
  to = comma(view, message.ms === undefined ? to : message.putTime(view, to))
  to = comma(view, message.putSource(view, to))
  to = comma(view, decimal(view, to, message.sourcePort))
  to = comma(view, message.putDestination(view, to))
  to = comma(view, decimal(view, to, message.port))
  to = comma(view, decimal(view, to, message.channel))
  to = comma(view, decimal(view, to, message.records.version))
  return comma(view, decimal(view, to, message.records.syncid))
}

function putRow(view: DataView, to: number, records: MessageRecords, record: number): number {
  const { bytes, view: source, version } = records
  const flags = records.flags(record)
  const protocol = records.protocol(record)
  const isIpv6 = records.isIpv6(record)
  to = put(view, to, isIpv6 ? IPV6 : IPV4)
  to = comma(view, put(view, to, PROTOCOL_PIECES[protocol]!))
  for (let i = 0; i < 3; i++) {
    const at = records.addressesAt(record) + (isIpv6 ? 16 : 4) * i
    to = comma(view, isIpv6 ? ipv6(view, to, bytes, source, at) : ipv4(view, to, bytes, at))
    to = comma(view, decimal(view, to, source.getUint16(records.portsAt(record) + 2 * i)))
  }
  to = comma(view, put(view, to, FORWARDING_PIECES[flags & 7]!))
  view.setUint8(to, QUOTE)
  to = putFlags(view, to + 1, flags, FLAG_PIECES)
  view.setUint8(to, QUOTE)
  to = comma(view, to + 1)
  to = comma(view, putState(view, to, protocol, flags, records.state(record)))
  to = comma(view, version === 1 ? decimal(view, to, source.getUint32(records.at[record]! + 16)) : to)
  to = comma(view, version === 1 ? decimal(view, to, source.getUint32(records.at[record]! + 20)) : to)
  to = putSequence(view, to, records, record)
  const nameAt = records.engineNameAt[record]!
  if (nameAt !== 0) {
    const name = toText(bytes.subarray(nameAt, nameAt + records.engineNameLength[record]!))
    to = putText(view, to, `"${printable(name).replaceAll('"', '""')}"`)
  }
  to = comma(view, to)
  const dataAt = records.engineDataAt[record]!
  if (dataAt !== 0) to = hexBytes(view, to, bytes, dataAt, dataAt + records.engineDataLength[record]!)
  view.setUint8(to, LINE_FEED)
  return to + 1
}

/** Writes the six numbers of sequence data, each with a comma behind it; deltas are unsigned on the wire and signed in meaning. */
function putSequence(view: DataView, to: number, records: MessageRecords, record: number): number {
  const at = records.sequenceAt[record]!
  if (at === 0) return put(view, to, NO_SEQUENCE)
  const little = records.version === 0 && records.littleEndian
  for (let i = 0; i < 6; i++) {
    to =
      i % 3 === 0
        ? decimal(view, to, records.view.getUint32(at + 4 * i, little))
        : signedDecimal(view, to, records.view.getInt32(at + 4 * i, little))
    to = comma(view, to)
  }
  return to
}
