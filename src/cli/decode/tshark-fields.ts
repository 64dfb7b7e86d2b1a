/**
 * Wireshark's fields of a sync message, by Wireshark's own names, as `tshark -T fields -E header=y` prints them: several
 * values of one field joined with commas, hexadecimal where its dissector (packet-ipvs-syncd) has it so.
 *
 * Where that dissector errs the values here are right: records with parameters and padding, the record's version and
 * length bits, version 0 sequence data in the sender's byte order.
 *
 * @module
 */

import { formatIpv4, formatIpv6 } from '../../addresses.js'
import type { CapturedDatagram } from '../../capture/items.js'
import { FLAG } from '../../wire/constants.js'
import { PRESENT, ROW, ROW_WORDS, type Rows } from '../../wire/rows.js'

/** A message to be printed: the datagram, and its connections as rows. */
export interface TsharkMessage {
  readonly datagram: CapturedDatagram
  /** 0 or 1, as a receiver takes it. */
  readonly version: number
  readonly rows: Rows
}

/** A connection: its row, and the record that it was read from. */
interface TsharkRecord {
  readonly words: Int32Array
  /** Where the row starts. */
  readonly at: number
  readonly view: DataView
  /** Where the record starts. */
  readonly record: number
}

type MessageField = readonly [name: string, text: (message: TsharkMessage, view: DataView) => string]
type RecordField = readonly [name: string, text: (record: TsharkRecord) => string]

const hex = (value: number, digits: number): string => `0x${(value >>> 0).toString(16).padStart(digits, '0')}`
const word = ({ words, at }: TsharkRecord, index: number): number => words[at + index]!
const isIpv6 = (record: TsharkRecord): boolean => word(record, ROW.FAMILY) === 6
const flag =
  (bit: number) =>
  (record: TsharkRecord): string =>
    (word(record, ROW.FLAGS) & bit) === 0 ? '0' : '1'
const ipv4 =
  (index: number) =>
  (record: TsharkRecord): string =>
    isIpv6(record) ? '' : formatIpv4(word(record, index))
const ipv6 =
  (index: number) =>
  (record: TsharkRecord): string =>
    isIpv6(record) ? formatIpv6(record.words, record.at + index) : ''
const sequence =
  (index: number) =>
  (record: TsharkRecord): string =>
    (word(record, ROW.PRESENT) & PRESENT.SEQUENCE) === 0 ? '' : hex(word(record, ROW.SEQUENCE + index), 8)
const byte = (view: DataView, at: number): string => view.getUint8(at).toString(16).padStart(2, '0')

const isIpv6Address = (address: string): boolean => address.includes(':')

const MESSAGE_FIELDS: readonly MessageField[] = [
  ['frame.number', ({ datagram }) => String(datagram.packet)],
  [
    'frame.time_epoch',
    ({ datagram: { time } }) =>
      time === undefined ? '' : `${time.seconds}.${time.fraction.slice(0, 9).padEnd(9, '0')}`
  ],
  ['ip.src', ({ datagram: { source } }) => (isIpv6Address(source.address) ? '' : source.address)],
  ['ip.dst', ({ datagram: { destination } }) => (isIpv6Address(destination.address) ? '' : destination.address)],
  ['ipv6.src', ({ datagram: { source } }) => (isIpv6Address(source.address) ? source.address : '')],
  ['ipv6.dst', ({ datagram: { destination } }) => (isIpv6Address(destination.address) ? destination.address : '')],
  ['udp.srcport', ({ datagram }) => String(datagram.source.port)],
  ['udp.dstport', ({ datagram }) => String(datagram.destination.port)],
  ['ipvs.conncount', ({ version }, view) => decimal(view, version === 1 ? 4 : 0)],
  ['ipvs.syncid', (_message, view) => decimal(view, 1)],
  ['ipvs.size', (_message, view) => (view.byteLength < 4 ? '' : String(view.getUint16(2)))],
  ['ipvs.version', ({ version }, view) => (version === 1 ? decimal(view, 5) : '')]
]

/** Fields of version 1 records, those of version 0, and those of both. */
const V1_FIELDS: readonly RecordField[] = [
  ['ipvs.type', ({ view, record }) => String(view.getUint8(record))],
  ['ipvs.ver', ({ view, record }) => String(view.getUint16(record + 2) >> 12)],
  ['ipvs.size.v1', ({ view, record }) => String(view.getUint16(record + 2) & 0x0fff)],
  ['ipvs.flags.v1', (record) => hex(word(record, ROW.FLAGS), 8)],
  ['ipvs.fwmark', (record) => hex(word(record, ROW.FWMARK), 8)],
  ['ipvs.timeout', (record) => String(word(record, ROW.TIMEOUT) >>> 0)]
]
const V0_FIELDS: readonly RecordField[] = [
  ['ipvs.flags', (record) => hex(word(record, ROW.FLAGS), 4)],
  ['ipvs.flags.conn_type', (record) => hex(word(record, ROW.FLAGS) & FLAG.FORWARDING, 4)],
  ['ipvs.flags.hashed_entry', flag(FLAG.HASHED)],
  ['ipvs.flags.no_output_packets', flag(FLAG.NOOUTPUT)],
  ['ipvs.flags.conn_not_established', flag(FLAG.INACTIVE)],
  ['ipvs.flags.adjust_output_seq', flag(FLAG.OUT_SEQ)],
  ['ipvs.flags.adjust_input_seq', flag(FLAG.IN_SEQ)],
  ['ipvs.flags.no_client_port_set', flag(FLAG.NO_CPORT)]
]
const COMMON_FIELDS: readonly RecordField[] = [
  ['ipvs.proto', (record) => hex(word(record, ROW.PROTOCOL), 2)],
  ['ipvs.cport', (record) => String(word(record, ROW.CLIENT_PORT))],
  ['ipvs.vport', (record) => String(word(record, ROW.VIRTUAL_PORT))],
  ['ipvs.dport', (record) => String(word(record, ROW.DESTINATION_PORT))],
  ['ipvs.caddr', ipv4(ROW.CLIENT)],
  ['ipvs.vaddr', ipv4(ROW.VIRTUAL)],
  ['ipvs.daddr', ipv4(ROW.DESTINATION)],
  ['ipvs.caddr6', ipv6(ROW.CLIENT)],
  ['ipvs.vaddr6', ipv6(ROW.VIRTUAL)],
  ['ipvs.daddr6', ipv6(ROW.DESTINATION)],
  ['ipvs.state', (record) => hex(word(record, ROW.STATE), 4)],
  ['ipvs.in_seq.initial', sequence(0)],
  ['ipvs.in_seq.delta', sequence(1)],
  ['ipvs.in_seq.pdelta', sequence(2)],
  ['ipvs.out_seq.initial', sequence(3)],
  ['ipvs.out_seq.delta', sequence(4)],
  ['ipvs.out_seq.pdelta', sequence(5)]
]

/** The header line's names, in the order of {@link tsharkValues}. */
export const TSHARK_NAMES: readonly string[] = [
  ...MESSAGE_FIELDS.map(([name]) => name),
  'ipvs.resv',
  ...[...COMMON_FIELDS, ...V0_FIELDS, ...V1_FIELDS].map(([name]) => name)
]

/** The values of one message: empty where it has no such field. */
export function tsharkValues(message: TsharkMessage): string[] {
  const { payload } = message.datagram
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength)
  const records = recordsOf(message.rows, view)
  const isVersion1 = message.version === 1
  const join = ([, text]: RecordField): string =>
    records
      .map(text)
      .filter((value) => value !== '')
      .join(',')
  return [
    ...MESSAGE_FIELDS.map(([, text]) => text(message, view)),
    isVersion1
      ? `${byte(view, 0)},${byte(view, 6)}${byte(view, 7)}`
      : records.map(({ record }) => byte(view, record)).join(','),
    ...COMMON_FIELDS.map(join),
    ...V0_FIELDS.map((field) => (isVersion1 ? '' : join(field))),
    ...V1_FIELDS.map((field) => (isVersion1 ? join(field) : ''))
  ]
}

function recordsOf({ words, count }: Rows, view: DataView): TsharkRecord[] {
  return Array.from({ length: count }, (_, index) => {
    const at = index * ROW_WORDS
    return { words, at, view, record: words[at + ROW.OFFSET]! }
  })
}

function decimal(view: DataView, at: number): string {
  return at < view.byteLength ? String(view.getUint8(at)) : ''
}
