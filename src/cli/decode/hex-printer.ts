/**
 * `decode --format hex`: every byte of every message with its meaning.
 *
 * The text of a message without problems is written straight into the output's bytes; it is what `formatMessage` with
 * `style: 'dump'` returns, which writes the others.
 *
 * @module
 */

import { FLAG, PARAMETER, SEQUENCE_BYTES } from '../../wire/constants.js'
import { formatMessage } from '../../wire/format-message.js'
import { HEADER_V0, HEADER_V1, RECORD_V0, RECORD_V1 } from '../../wire/layout.js'
import type { DecodeOptions } from '../../wire/options.js'
import type { CapturedMessage } from './captured-message.js'
import { extensionText } from './extension.js'
import { BLANK_FLAG_PIECES, FORWARDING_PIECES, PROTOCOL_PIECES, putFlags, putState } from './field-texts.js'
import type { MessageRecords } from './message-records.js'
import type { Output } from './output.js'
import type { Printer } from './printer.js'
import { problemText } from './style.js'
import { decimal, hex16, hexColumn, ipv4, ipv6, piece, put, signedDecimal } from './text-bytes.js'

/** Bytes in a line. */
const WIDTH = 16
/** Most bytes of a message's header, and of a connection without its parameters. */
const MOST = 3072
/** Most bytes of text for each byte of parameters: each can need a line. */
const PARAMETER_LINE = 128

const MESSAGE = piece('# ')
const NO_TIME = piece('no time')
const GAP = piece('  ')
const OPEN = piece('[')
const CLOSE = piece(']')
const ARROW = piece(' > ')
const COMMA = piece(', ')
const MESSAGE_BYTES = piece(' bytes\n')
/** Constants that end a line carry its line feed. */
const RESERVED = piece('reserved 0\n')
const SYNCID = piece('syncid ')
const SIZE = piece('size ')
const CONNECTIONS = piece('connections ')
const VERSION = piece('version 1\n')
const SPARE = piece('spare 0\n')
const CONNECTION = piece('connection ')
const TYPE_IPV4 = piece('type IPv4\n')
const TYPE_IPV6 = piece('type IPv6\n')
const PROTOCOL = piece('protocol ')
const LENGTH = piece('record version 0, length ')
const FLAGS = piece('flags 0x')
const STATE = piece('state ')
const PORTS = ['client', 'virtual', 'destination'].map((name) => piece(`${name} port `))
const ADDRESSES = ['client', 'virtual', 'destination'].map((name) => piece(`${name} `))
const FWMARK = piece('fwmark ')
const TIMEOUT = piece('timeout ')
const SECONDS = piece(' s\n')
const PADDING = piece('padding\n')
const SAME = piece('"\n')
const SEQUENCES = ['in', 'out'].flatMap((direction) =>
  ['initial', 'delta', 'previous delta'].map((name) => piece(`${direction} sequence ${name} `))
)
const PARAMETER_NUMBER = piece('parameter ')
const PARAMETER_LENGTH = piece('length ')
const OPTIONAL = piece(', optional')
const BYTES = piece(' bytes')
const NAMES = new Map(
  [
    [PARAMETER.SEQUENCE, 'sequence data'] as const,
    [PARAMETER.ENGINE_DATA, 'engine data'] as const,
    [PARAMETER.ENGINE_NAME, 'engine name'] as const
  ].map(([type, name]) => [type, { name: piece(`, ${name}`), data: piece(`${name} `) }])
)
const UNKNOWN = { name: piece(', unknown parameter'), data: piece('unknown parameter ') }

/** Prints a heading, a dump and the problems of each message. */
export class HexPrinter implements Printer {
  readonly #output: Output
  readonly #options: DecodeOptions

  /**
   * @param output - Receives the text.
   * @param options - How messages are read.
   */
  constructor(output: Output, options: DecodeOptions) {
    this.#output = output
    this.#options = options
  }

  message(message: CapturedMessage): void {
    const { payload, wireLength, problems, records } = message
    const output = this.#output
    output.reserve(MOST)
    // `# TIME  SENDER > GROUP, N bytes`
    let to = put(output.view, output.at, MESSAGE)
    to = message.ms === undefined ? put(output.view, to, NO_TIME) : message.putTime(output.view, to)
    to = put(output.view, to, GAP)
    to = message.isIpv6
      ? put(output.view, message.putSource(output.view, put(output.view, to, OPEN)), CLOSE)
      : message.putSource(output.view, to)
    output.view.setUint8(to, 0x3a)
    to = put(output.view, decimal(output.view, to + 1, message.sourcePort), ARROW)
    to = message.isIpv6
      ? put(output.view, message.putDestination(output.view, put(output.view, to, OPEN)), CLOSE)
      : message.putDestination(output.view, to)
    output.view.setUint8(to, 0x3a)
    to = put(output.view, decimal(output.view, to + 1, message.port), COMMA)
    output.at = put(output.view, decimal(output.view, to, message.payload.length), MESSAGE_BYTES)
    if (message.extension !== undefined) output.write(`# ${extensionText(message.extension)}\n`)
    // A filter may have removed connections: the dump has them all.
    const isWhole =
      records.isSound && records.count === payload[records.version === 1 ? HEADER_V1.COUNT : HEADER_V0.COUNT]
    if (isWhole) {
      output.reserve(MOST)
      output.at = putHeader(output.view, output.at, records)
      let end = records.at[0]!
      for (let record = 0; record < records.count; record++) {
        const at = records.at[record]!
        const size = records.sizeOf(record)
        output.reserve(MOST + (records.version === 1 ? PARAMETER_LINE * (size - RECORD_V1.LENGTH_IPV4) : 0))
        const { view } = output
        let to = output.at
        if (at > end) to = put(view, cells(view, to, records, end, at - end), PADDING)
        to = decimal(view, put(view, to, CONNECTION), record)
        view.setUint8(to, 0x0a)
        output.at =
          records.version === 1
            ? putRecordV1(view, to + 1, records, record, at + size)
            : putRecordV0(view, to + 1, records, record)
        end = at + size
      }
    } else output.write(`${formatMessage(payload, { ...this.#options, wireLength, style: 'dump' })}\n`)
    for (const problem of problems) output.write(`! ${problemText(problem)}\n`)
    output.reserve(1)
    output.at = lineFeed(output.view, output.at)
  }
}

/** Writes the offset and at most 16 bytes in hex, up to the label. */
function cells(view: DataView, to: number, { bytes, start }: MessageRecords, at: number, length: number): number {
  to = hex16(view, to, at - start)
  view.setUint16(to, 0x2020)
  return hexColumn(view, to + 2, bytes, at, at + length, 3 * WIDTH + 1)
}

function lineFeed(view: DataView, to: number): number {
  view.setUint8(to, 0x0a)
  return to + 1
}

function putHeader(view: DataView, to: number, records: MessageRecords): number {
  const { bytes, view: source, start, version } = records
  const countAt = start + (version === 1 ? HEADER_V1.COUNT : HEADER_V0.COUNT)
  if (version === 1) to = put(view, cells(view, to, records, start, 1), RESERVED)
  else to = lineFeed(view, decimal(view, put(view, cells(view, to, records, start, 1), CONNECTIONS), bytes[countAt]!))
  to = lineFeed(view, decimal(view, put(view, cells(view, to, records, start + 1, 1), SYNCID), bytes[start + 1]!))
  to = put(view, cells(view, to, records, start + 2, 2), SIZE)
  to = lineFeed(view, decimal(view, to, source.getUint16(start + 2)))
  if (version === 0) return to
  to = put(view, cells(view, to, records, countAt, 1), CONNECTIONS)
  to = lineFeed(view, decimal(view, to, bytes[countAt]!))
  to = put(view, cells(view, to, records, start + HEADER_V1.VERSION, 1), VERSION)
  to = put(view, cells(view, to, records, start + HEADER_V1.SPARE, 2), SPARE)
  return to
}

/** reserved 1 · protocol 1 · ports 6 · addresses 12 · flags 2 · state 2 · [sequence data 24] */
function putRecordV0(view: DataView, to: number, records: MessageRecords, record: number): number {
  const at = records.at[record]!
  to = putProtocol(view, put(view, cells(view, to, records, at, 1), RESERVED), records, record)
  to = putPorts(view, to, records, record)
  to = putAddresses(view, to, records, record)
  const flags = records.flags(record)
  to = put(view, cells(view, to, records, at + RECORD_V0.FLAGS, 2), FLAGS)
  to = putFlagNames(view, hex16(view, to, flags), flags)
  to = putStateName(view, to, records, record, flags)
  return records.sequenceAt[record] === 0
    ? to
    : putSequence(view, to, records, records.sequenceAt[record]!, records.littleEndian)
}

/** type 1 · protocol 1 · length 2 · flags 4 · state 2 · ports 6 · fwmark 4 · timeout 4 · addresses · parameters */
function putRecordV1(view: DataView, to: number, records: MessageRecords, record: number, end: number): number {
  const at = records.at[record]!
  const isIpv6 = records.isIpv6(record)
  to = put(view, cells(view, to, records, at, 1), isIpv6 ? TYPE_IPV6 : TYPE_IPV4)
  to = putProtocol(view, to, records, record)
  to = lineFeed(view, decimal(view, put(view, cells(view, to, records, at + 2, 2), LENGTH), end - at))
  const flags = records.flags(record)
  to = put(view, cells(view, to, records, at + 4, 4), FLAGS)
  to = putFlagNames(view, flags >>> 16 === 0 ? hex16(view, to, flags) : putUnpadded(view, to, flags), flags)
  to = putStateName(view, to, records, record, flags)
  to = putPorts(view, to, records, record)
  to = put(view, cells(view, to, records, at + 16, 4), FWMARK)
  to = lineFeed(view, decimal(view, to, records.view.getUint32(at + 16)))
  to = put(view, cells(view, to, records, at + 20, 4), TIMEOUT)
  to = put(view, decimal(view, to, records.view.getUint32(at + 20)), SECONDS)
  to = putAddresses(view, to, records, record)
  const parametersAt = at + (isIpv6 ? RECORD_V1.LENGTH_IPV6 : RECORD_V1.LENGTH_IPV4)
  return parametersAt < end ? putParameters(view, to, records, parametersAt, end) : to
}

/** Writes more than 16 bits in hex without leading zeros. */
function putUnpadded(view: DataView, to: number, value: number): number {
  const zeros = Math.clz32(value) >> 2
  for (let shift = 28 - 4 * zeros; shift >= 0; shift -= 4) {
    const digit = (value >>> shift) & 15
    view.setUint8(to++, digit < 10 ? 0x30 + digit : 0x57 + digit)
  }
  return to
}

function putProtocol(view: DataView, to: number, records: MessageRecords, record: number): number {
  to = put(view, cells(view, to, records, records.at[record]! + 1, 1), PROTOCOL)
  return lineFeed(view, put(view, to, PROTOCOL_PIECES[records.protocol(record)]!))
}

function putFlagNames(view: DataView, to: number, flags: number): number {
  view.setUint8(to, 0x20)
  to = put(view, to + 1, FORWARDING_PIECES[flags & FLAG.FORWARDING]!)
  if ((flags & ~FLAG.FORWARDING) !== 0) {
    view.setUint8(to, 0x20)
    to = putFlags(view, to + 1, flags, BLANK_FLAG_PIECES)
  }
  return lineFeed(view, to)
}

function putStateName(view: DataView, to: number, records: MessageRecords, record: number, flags: number): number {
  const at = records.at[record]! + (records.version === 1 ? RECORD_V1.STATE : RECORD_V0.STATE)
  to = put(view, cells(view, to, records, at, 2), STATE)
  return lineFeed(view, putState(view, to, records.protocol(record), flags, records.state(record)))
}

function putPorts(view: DataView, to: number, records: MessageRecords, record: number): number {
  const at = records.portsAt(record)
  for (let i = 0; i < 3; i++) {
    to = put(view, cells(view, to, records, at + 2 * i, 2), PORTS[i]!)
    to = lineFeed(view, decimal(view, to, records.view.getUint16(at + 2 * i)))
  }
  return to
}

function putAddresses(view: DataView, to: number, records: MessageRecords, record: number): number {
  const isIpv6 = records.isIpv6(record)
  const length = isIpv6 ? 16 : 4
  for (let i = 0, at = records.addressesAt(record); i < 3; i++, at += length) {
    to = put(view, cells(view, to, records, at, length), ADDRESSES[i]!)
    to = lineFeed(view, isIpv6 ? ipv6(view, to, records.bytes, records.view, at) : ipv4(view, to, records.bytes, at))
  }
  return to
}

/** Writes parameters; those of a sound record fill it. */
function putParameters(view: DataView, to: number, records: MessageRecords, from: number, end: number): number {
  const { bytes } = records
  for (let at = from; at < end;) {
    const type = bytes[at]!
    const length = bytes[at + 1]!
    const known = type & ~PARAMETER.OPTIONAL
    const { name, data } = NAMES.get(known as 1 | 2 | 3) ?? UNKNOWN
    to = put(view, decimal(view, put(view, cells(view, to, records, at, 1), PARAMETER_NUMBER), type), name)
    to = lineFeed(view, known === type ? to : put(view, to, OPTIONAL))
    to = lineFeed(view, decimal(view, put(view, cells(view, to, records, at + 1, 1), PARAMETER_LENGTH), length))
    at += 2
    if (known === PARAMETER.SEQUENCE && length === SEQUENCE_BYTES) to = putSequence(view, to, records, at, false)
    else {
      to = put(view, cells(view, to, records, at, Math.min(length, WIDTH)), data)
      if (known === PARAMETER.ENGINE_NAME)
        for (let i = at; i < at + length; i++) view.setUint8(to++, bytes[i]! > 32 && bytes[i]! < 127 ? bytes[i]! : 0x2e)
      else to = put(view, decimal(view, to, length), BYTES)
      to = lineFeed(view, to)
      for (let i = WIDTH; i < length; i += WIDTH)
        to = put(view, cells(view, to, records, at + i, Math.min(length - i, WIDTH)), SAME)
    }
    at += length
  }
  return to
}

function putSequence(view: DataView, to: number, records: MessageRecords, at: number, little: boolean): number {
  const { view: source } = records
  for (let i = 0; i < 6; i++, at += 4) {
    to = put(view, cells(view, to, records, at, 4), SEQUENCES[i]!)
    to =
      i % 3 === 0
        ? decimal(view, to, source.getUint32(at, little))
        : signedDecimal(view, to, source.getInt32(at, little))
    to = lineFeed(view, to)
  }
  return to
}
