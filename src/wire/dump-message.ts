/**
 * A message byte by byte, each with its meaning: for a person who wants to know what stands where.
 *
 * @module
 */
import { formatAddress } from '../addresses.js'
import { FLAG, PARAMETER, SEQUENCE_BYTES } from './constants.js'
import { flagNames, forwardingName } from './flags.js'
import { toText } from './hex.js'
import {
  HEADER_V0,
  HEADER_V1,
  PARAMETER_HEADER,
  RECORD_V0,
  RECORD_V1,
  SIZE_MASK,
  TYPE_IPV6,
  VERSION_SHIFT
} from './layout.js'
import { MessageView } from './message-view.js'
import { PROBLEMS } from './problems.js'
import { protocolName, stateName } from './protocols.js'
import { demandDecodable, type DecodeOptions } from './options.js'

/** Some bytes of a message and what they mean. */
export interface LabelledBytes {
  /** Byte offset of the first. */
  readonly offset: number
  /** At least one byte: a view of the message. */
  readonly bytes: Uint8Array
  /** What it is and, after a blank, its value in words. */
  readonly label: string
  /** The connection's number, from 0, where the bytes belong to one. */
  readonly connection?: number
}

/**
 * Labels every byte of a message, in order and without a gap; sound or not, it never throws.
 *
 * What a receiver does not read is labelled so: the rest of a message that it gives up, and bytes behind the last connection.
 *
 * @param bytes - One datagram's payload, or the part of it that a capture kept (`wireLength` tells).
 * @param options - How it is read.
 */
export function labelBytes(bytes: Uint8Array, options: DecodeOptions = {}): readonly LabelledBytes[] {
  demandDecodable(bytes, options)
  const { wireLength = 0, ...readOptions } = options
  const view = new MessageView(readOptions)
  const whole = wholeMessage(bytes, wireLength)
  const labeller = new Labeller(bytes, whole, options.sequenceByteOrder !== 'big')
  const sound = view.reset(whole)
  const { u8, u16 } = labeller
  if (view.version === 1) {
    labeller.field(1, 'reserved', u8)
    labeller.field(1, 'syncid', u8)
    labeller.field(2, 'size', u16)
    labeller.field(1, 'connections', u8)
    labeller.field(1, 'version', u8)
    labeller.field(HEADER_V1.LENGTH - HEADER_V1.SPARE, 'spare', u16)
  } else {
    labeller.field(1, 'connections', u8)
    labeller.field(1, 'syncid', u8)
    labeller.field(HEADER_V0.LENGTH - HEADER_V0.SIZE, 'size', u16)
  }
  while (sound && view.next()) labelRecord(labeller, view)
  if (view.fault === 0) labeller.take(bytes.length, 'behind the last connection, not read')
  else {
    if (sound) labelRecord(labeller, view)
    labeller.take(
      bytes.length,
      `not read: the receiver gives up at byte ${view.faultOffset}, ${CODES.get(view.fault)!}`
    )
  }
  return labeller.lines
}

const MAX_DATAGRAM = 65535

/** Zeros stand in for what a capture did not keep, so that the bytes before are read as they were on the wire. */
function wholeMessage(bytes: Uint8Array, wireLength: number): Uint8Array {
  if (wireLength <= bytes.length || bytes.length > MAX_DATAGRAM) return bytes
  const whole = new Uint8Array(Math.min(wireLength, MAX_DATAGRAM))
  whole.set(bytes)
  return whole
}

/** Walks over the bytes. Whatever is asked of it, it stays inside the message and leaves nothing out. */
class Labeller {
  readonly lines: LabelledBytes[] = []
  /** Byte offset of what is labelled next. */
  at = 0
  /** The connection that bytes belong to. */
  connection: number | undefined
  readonly data: DataView
  readonly littleEndian: boolean
  readonly #bytes: Uint8Array

  constructor(bytes: Uint8Array, whole: Uint8Array, littleEndian: boolean) {
    this.#bytes = bytes
    this.data = new DataView(whole.buffer, whole.byteOffset, whole.length)
    this.littleEndian = littleEndian
  }

  /** Bytes from `from` to `to`, as far as there are any. */
  slice(from: number, to: number): Uint8Array {
    return this.#bytes.subarray(from, to)
  }

  /** Labels the bytes up to `end`, if there are any. */
  take(end: number, label: string): void {
    const to = Math.min(end, this.#bytes.length)
    if (to <= this.at) return
    const line = { offset: this.at, bytes: this.slice(this.at, to), label }
    this.lines.push(this.connection === undefined ? line : { ...line, connection: this.connection })
    this.at = to
  }

  /** Labels the next `length` bytes with what `text` makes of them; says so where some are cut off. */
  field(length: number, name: string, text: (at: number) => string | number): void {
    const end = this.at + length
    this.take(end, end > this.#bytes.length ? `${name}, cut off` : `${name} ${text(this.at)}`)
  }

  readonly u8 = (at: number): number => this.data.getUint8(at)
  readonly u16 = (at: number): number => this.data.getUint16(at)
  readonly u32 = (at: number): number => this.data.getUint32(at)
}

function labelRecord(labeller: Labeller, view: MessageView): void {
  labeller.take(view.offset, 'padding')
  labeller.connection = view.index
  if (view.version === 1) {
    const { u8, u16, u32 } = labeller
    const start = view.offset
    const ipv6 = (peek(labeller, start + RECORD_V1.TYPE, 1, u8) & TYPE_IPV6) !== 0
    const verSize = peek(labeller, start + RECORD_V1.VER_SIZE, 2, u16)
    const flags = peek(labeller, start + RECORD_V1.FLAGS, 4, u32)
    labeller.field(1, 'type', (at) => (u8(at) > TYPE_IPV6 ? u8(at) : ipv6 ? 'IPv6' : 'IPv4'))
    labeller.field(1, 'protocol', (at) => protocolName(u8(at)))
    labeller.field(2, 'record', () => `version ${verSize >>> VERSION_SHIFT}, length ${verSize & SIZE_MASK}`)
    labeller.field(4, 'flags', () => flagsText(flags))
    labelState(labeller, start + RECORD_V1.PROTOCOL, flags)
    labelPorts(labeller)
    labeller.field(4, 'fwmark', u32)
    labeller.field(4, 'timeout', (at) => `${u32(at)} s`)
    for (const name of ADDRESSES) labelAddress(labeller, name, ipv6)
    labelParameters(labeller, start + (verSize & SIZE_MASK))
  } else {
    const start = view.offset
    const { u8, u16 } = labeller
    labeller.field(1, 'reserved', u8)
    labeller.field(1, 'protocol', (at) => protocolName(u8(at)))
    labelPorts(labeller)
    for (const name of ADDRESSES) labelAddress(labeller, name, false)
    const flags = peek(labeller, start + RECORD_V0.FLAGS, 2, u16)
    labeller.field(2, 'flags', () => flagsText(flags))
    labelState(labeller, start + RECORD_V0.PROTOCOL, flags)
    if ((flags & FLAG.SEQUENCE) !== 0) labelSequence(labeller, labeller.littleEndian)
  }
  labeller.connection = undefined
}

/** Parameters as far as they can be told apart; what follows them is no longer this connection's. */
function labelParameters(labeller: Labeller, end: number): void {
  const { u8 } = labeller
  while (labeller.at + PARAMETER_HEADER.DATA <= end && end <= labeller.data.byteLength) {
    const type = u8(labeller.at)
    const length = u8(labeller.at + PARAMETER_HEADER.LENGTH)
    if (length === 0 || labeller.at + PARAMETER_HEADER.DATA + length > end) return
    const known = type & ~PARAMETER.OPTIONAL
    const name = PARAMETER_NAMES.get(known) ?? 'unknown parameter'
    labeller.field(1, 'parameter', () => `${type}, ${name}${known === type ? '' : ', optional'}`)
    labeller.field(1, 'length', u8)
    if (known === PARAMETER.SEQUENCE && length === SEQUENCE_BYTES) labelSequence(labeller, false)
    else
      labeller.field(length, name, (at) => {
        // A name as text, with everything that is not plain ASCII as a dot; data need no words besides their bytes.
        const bytes = labeller.slice(at, at + length)
        return known === PARAMETER.ENGINE_NAME
          ? toText(bytes.map((byte) => (byte > 32 && byte < 127 ? byte : 46)))
          : `${bytes.length} bytes`
      })
  }
}

function labelPorts(labeller: Labeller): void {
  for (const name of ADDRESSES) labeller.field(2, `${name} port`, labeller.u16)
}

function labelState(labeller: Labeller, protocolAt: number, flags: number): void {
  const protocol = peek(labeller, protocolAt, 1, labeller.u8)
  labeller.field(2, 'state', (at) => stateName(protocol, (flags & FLAG.TEMPLATE) !== 0, labeller.u16(at)))
}

function labelAddress(labeller: Labeller, name: string, ipv6: boolean): void {
  const { data } = labeller
  labeller.field(ipv6 ? 16 : 4, name, (at) => formatAddress(data, at, ipv6 ? 6 : 4))
}

function labelSequence(labeller: Labeller, littleEndian: boolean): void {
  const { data } = labeller
  for (const direction of ['in', 'out']) {
    labeller.field(4, `${direction} sequence initial`, (at) => data.getUint32(at, littleEndian))
    labeller.field(4, `${direction} sequence delta`, (at) => data.getInt32(at, littleEndian))
    labeller.field(4, `${direction} sequence previous delta`, (at) => data.getInt32(at, littleEndian))
  }
}

/** A field that decides about others, wherever it stands; 0 where it is cut off. */
function peek(labeller: Labeller, at: number, length: number, read: (at: number) => number): number {
  return at + length <= labeller.data.byteLength ? read(at) : 0
}

function flagsText(flags: number): string {
  const names = flagNames(flags & ~FLAG.FORWARDING)
  return [`0x${flags.toString(16).padStart(4, '0')}`, forwardingName(flags), ...names].join(' ')
}

const ADDRESSES = ['client', 'virtual', 'destination']

const PARAMETER_NAMES: ReadonlyMap<number, string> = new Map([
  [PARAMETER.SEQUENCE, 'sequence data'],
  [PARAMETER.ENGINE_DATA, 'engine data'],
  [PARAMETER.ENGINE_NAME, 'engine name']
])

const CODES: ReadonlyMap<number, string> = new Map(Object.entries(PROBLEMS).map(([code, { number }]) => [number, code]))
