/**
 * `decode --format tshark`: Wireshark's fields of a sync message, by Wireshark's own names, as
 * `tshark -T fields -E header=y` prints them: several values of one field joined with commas, hexadecimal where its
 * dissector (packet-ipvs-syncd) has it so.
 *
 * Where that dissector is wrong the values here are right: records with parameters and padding, the record's version and
 * length bits, version 0 sequence data in the sender's byte order.
 *
 * @module
 */

import { FLAG } from '../../wire/constants.js'
import type { CapturedMessage } from './captured-message.js'
import type { MessageRecords } from './message-records.js'
import type { Output } from './output.js'
import type { Printer } from './printer.js'
import { decimal, hex16, hex32, hex8, ipv4, ipv6 } from './text-bytes.js'

const { FORWARDING: FLAG_FORWARDING } = FLAG
const TAB = 0x09
const COMMA = 0x2c
const LINE_FEED = 0x0a
/** Most bytes of a message's own fields. */
const HEAD = 512
/** Most bytes of a connection's values. */
const MOST = 400

/** Writes a connection's value at `to`. */
type Column = (view: DataView, to: number, records: MessageRecords, record: number) => number

function prefixed(view: DataView, to: number): number {
  view.setUint16(to, 0x7830, true) // 0x
  return to + 2
}

const hexFlags4: Column = (view, to, records, record) => hex16(view, prefixed(view, to), records.flags(record))
const port =
  (offset: number): Column =>
  (view, to, records, record) =>
    decimal(view, to, records.view.getUint16(records.portsAt(record) + offset))
const address4 =
  (number: number): Column =>
  (view, to, records, record) =>
    ipv4(view, to, records.bytes, records.addressesAt(record) + 4 * number)
const address6 =
  (number: number): Column =>
  (view, to, records, record) =>
    ipv6(view, to, records.bytes, records.view, records.addressesAt(record) + 16 * number)
const sequence =
  (number: number): Column =>
  (view, to, records, record) =>
    hex32(
      view,
      prefixed(view, to),
      records.view.getUint32(records.sequenceAt[record]! + 4 * number, records.version === 0 && records.littleEndian)
    )
const flag =
  (bit: number): Column =>
  (view, to, records, record) => {
    view.setUint8(to, (records.flags(record) & bit) === 0 ? 0x30 : 0x31)
    return to + 1
  }
const fixed =
  (write: (view: DataView, to: number, source: DataView, at: number) => number): Column =>
  (view, to, records, record) =>
    write(view, to, records.view, records.at[record]!)

/** Which records have a value in a column. */
type Where = 'all' | 'ipv4' | 'ipv6' | 'sequence' | 'v0' | 'v1'

const COLUMNS: readonly (readonly [name: string, where: Where, column: Column])[] = [
  ['ipvs.proto', 'all', (view, to, records, record) => hex8(view, prefixed(view, to), records.protocol(record))],
  ['ipvs.cport', 'all', port(0)],
  ['ipvs.vport', 'all', port(2)],
  ['ipvs.dport', 'all', port(4)],
  ['ipvs.caddr', 'ipv4', address4(0)],
  ['ipvs.vaddr', 'ipv4', address4(1)],
  ['ipvs.daddr', 'ipv4', address4(2)],
  ['ipvs.caddr6', 'ipv6', address6(0)],
  ['ipvs.vaddr6', 'ipv6', address6(1)],
  ['ipvs.daddr6', 'ipv6', address6(2)],
  ['ipvs.state', 'all', (view, to, records, record) => hex16(view, prefixed(view, to), records.state(record))],
  ['ipvs.in_seq.initial', 'sequence', sequence(0)],
  ['ipvs.in_seq.delta', 'sequence', sequence(1)],
  ['ipvs.in_seq.pdelta', 'sequence', sequence(2)],
  ['ipvs.out_seq.initial', 'sequence', sequence(3)],
  ['ipvs.out_seq.delta', 'sequence', sequence(4)],
  ['ipvs.out_seq.pdelta', 'sequence', sequence(5)],
  ['ipvs.flags', 'v0', hexFlags4],
  [
    'ipvs.flags.conn_type',
    'v0',
    (view, to, records, record) => hex16(view, prefixed(view, to), records.flags(record) & FLAG_FORWARDING)
  ],
  ['ipvs.flags.hashed_entry', 'v0', flag(FLAG.HASHED)],
  ['ipvs.flags.no_output_packets', 'v0', flag(FLAG.NOOUTPUT)],
  ['ipvs.flags.conn_not_established', 'v0', flag(FLAG.INACTIVE)],
  ['ipvs.flags.adjust_output_seq', 'v0', flag(FLAG.OUT_SEQ)],
  ['ipvs.flags.adjust_input_seq', 'v0', flag(FLAG.IN_SEQ)],
  ['ipvs.flags.no_client_port_set', 'v0', flag(FLAG.NO_CPORT)],
  ['ipvs.type', 'v1', fixed((view, to, source, at) => decimal(view, to, source.getUint8(at)))],
  ['ipvs.ver', 'v1', fixed((view, to, source, at) => decimal(view, to, source.getUint16(at + 2) >> 12))],
  ['ipvs.size.v1', 'v1', fixed((view, to, source, at) => decimal(view, to, source.getUint16(at + 2) & 0xfff))],
  ['ipvs.flags.v1', 'v1', (view, to, records, record) => hex32(view, prefixed(view, to), records.flags(record))],
  ['ipvs.fwmark', 'v1', fixed((view, to, source, at) => hex32(view, prefixed(view, to), source.getUint32(at + 16)))],
  ['ipvs.timeout', 'v1', fixed((view, to, source, at) => decimal(view, to, source.getUint32(at + 20)))]
]

const MESSAGE_NAMES =
  'frame.number frame.time_epoch ip.src ip.dst ipv6.src ipv6.dst udp.srcport udp.dstport ipvs.conncount ipvs.syncid ipvs.size ipvs.version ipvs.resv'

/** The header line's names. */
export const TSHARK_NAMES: readonly string[] = [...MESSAGE_NAMES.split(' '), ...COLUMNS.map(([name]) => name)]

/** Prints Wireshark's fields, separated by tabs, under a line with their names. */
export class TsharkPrinter implements Printer {
  readonly #output: Output
  #isFirst = true

  /** @param output - Receives the text. */
  constructor(output: Output) {
    this.#output = output
  }

  message(message: CapturedMessage): void {
    const output = this.#output
    const { records } = message
    this.#heading()
    output.reserve(HEAD + MOST * records.count)
    const { view } = output
    let to = putMessageFields(view, output.at, message)
    for (const [, where, column] of COLUMNS) to = putColumn(view, to, records, where, column)
    view.setUint8(to - 1, LINE_FEED)
    output.at = to
  }

  end(): void {
    this.#heading()
  }

  #heading(): void {
    if (!this.#isFirst) return
    this.#isFirst = false
    this.#output.write(`${TSHARK_NAMES.join('\t')}\n`)
  }
}

/** Writes a column's values with commas between them and a tab behind. */
function putColumn(view: DataView, to: number, records: MessageRecords, where: Where, column: Column): number {
  const { count, version } = records
  let end = to
  if ((where !== 'v0' || version === 0) && (where !== 'v1' || version === 1))
    for (let record = 0; record < count; record++) {
      if (where === 'ipv4' ? records.isIpv6(record) : where === 'ipv6' && !records.isIpv6(record)) continue
      if (where === 'sequence' && records.sequenceAt[record] === 0) continue
      end = column(view, end, records, record)
      view.setUint8(end++, COMMA)
    }
  if (end > to) end -= 1
  view.setUint8(end, TAB)
  return end + 1
}

/** Writes the fields from `frame.number` to `ipvs.resv`, each with a tab behind it. */
function putMessageFields(view: DataView, to: number, message: CapturedMessage): number {
  const { records } = message
  const { view: source, start, end, version, count } = records
  const tab = (at: number): number => {
    view.setUint8(at, TAB)
    return at + 1
  }
  const byte = (at: number): number => (start + at < end ? decimal(view, to, source.getUint8(start + at)) : to)
  to = tab(decimal(view, to, message.packet))
  to = tab(message.ms === undefined ? to : message.putEpoch(view, to))
  if (message.isIpv6) to = tab(tab(to))
  to = tab(message.putDestination(view, tab(message.putSource(view, to))))
  if (!message.isIpv6) to = tab(tab(to))
  to = tab(decimal(view, to, message.sourcePort))
  to = tab(decimal(view, to, message.port))
  to = tab(byte(version === 1 ? 4 : 0))
  to = tab(byte(1))
  to = tab(end - start < 4 ? to : decimal(view, to, source.getUint16(start + 2)))
  to = tab(version === 1 ? byte(5) : to)
  if (version === 1) {
    to = hex8(view, to, source.getUint8(start))
    view.setUint8(to, COMMA)
    return tab(hex16(view, to + 1, source.getUint16(start + 6)))
  }
  for (let record = 0; record < count; record++) {
    to = hex8(view, to, records.bytes[records.at[record]!]!)
    view.setUint8(to++, COMMA)
  }
  return tab(count > 0 ? to - 1 : to)
}
