/**
 * The records of a message where they stand in its bytes: which are whole, where their parts are, and whether anything is
 * wrong with the message. Writers and filters read fields by these places; no object is made for a connection.
 *
 * What is wrong, in words, is the business of `problemsOf`: it is called only where {@link MessageRecords.isSound} is false.
 *
 * @module
 */

import { checksOf, FLAG, KNOWN_ENGINES, PARAMETER, SEQUENCE_BYTES } from '../../wire/constants.js'
import { judge } from '../../wire/judge.js'
import { HEADER_V0, HEADER_V1, RECORD_V0, RECORD_V1, SIZE_MASK } from '../../wire/layout.js'
import { stateCount } from '../../wire/protocols.js'
import type { DecodeOptions } from '../../wire/options.js'

// Names of this module's own: V8 folds these constants, and reads those of another module anew at each use.
const { SEQUENCE: FLAG_SEQUENCE, TEMPLATE: FLAG_TEMPLATE, ONE_PACKET: FLAG_ONE_PACKET } = FLAG
const { LENGTH_IPV4, LENGTH_IPV6 } = RECORD_V1
const { LENGTH: LENGTH_V0, LENGTH_WITH_SEQUENCE } = RECORD_V0
const { SEQUENCE, ENGINE_DATA, ENGINE_NAME, OPTIONAL } = PARAMETER
const DOUBTFUL = FLAG_TEMPLATE | FLAG_ONE_PACKET
const MOST = 255

const [PARAMETERS_SOUND, PARAMETERS_DOUBTFUL, PARAMETERS_DROPPED] = [0, 1, 2] as const

/** The records of one message after another. */
export class MessageRecords {
  /** Holds the message. */
  bytes: Uint8Array = new Uint8Array(0)
  /** A view over `bytes`, same offsets. */
  view: DataView = new DataView(new ArrayBuffer(0))
  /** Index of the message's first byte. */
  start = 0
  /** Index after the last byte that is there. */
  end = 0
  /** 0 or 1, as a receiver takes it. */
  version: 0 | 1 = 0
  /** 0…255. */
  syncid = 0
  /** The header's size field, in bytes; the datagram's length where the header is cut off. */
  size = 0
  /** How many whole records there are before the first fault that drops the rest. */
  count = 0
  /** False where there may be problems. */
  isSound = false
  /** Index after the last record; 0 where a fault comes before it. */
  recordsEnd = 0
  /** False where there may be problems up to there. */
  areRecordsSound = false
  /** Index of each record's first byte. */
  readonly at = new Int32Array(MOST)
  /** Index of each record's sequence data, or 0. */
  readonly sequenceAt = new Int32Array(MOST)
  /** Index and length of each record's engine data and engine name, or 0. */
  readonly engineDataAt = new Int32Array(MOST)
  readonly engineDataLength = new Int32Array(MOST)
  readonly engineNameAt = new Int32Array(MOST)
  readonly engineNameLength = new Int32Array(MOST)
  /** Whether version 0's sequence data is little-endian. */
  readonly littleEndian: boolean
  readonly #checks: number

  /** @param options - How messages are read. */
  constructor(options: DecodeOptions = {}) {
    this.#checks = checksOf(options.flagChecks)
    this.littleEndian = options.sequenceByteOrder !== 'big'
  }

  /**
   * Reads a message.
   *
   * @param start - Index of its first byte.
   * @param end - Index after its last byte that is there.
   * @param wireLength - How many bytes the datagram had.
   */
  read(bytes: Uint8Array, view: DataView, start: number, end: number, wireLength: number): void {
    const kept = end - start
    const length = Math.max(wireLength, kept)
    this.bytes = bytes
    this.view = view
    this.start = start
    this.end = end
    this.version = 0
    this.syncid = kept > HEADER_V0.SYNCID ? bytes[start + HEADER_V0.SYNCID]! : 0
    this.size = wireLength
    this.count = 0
    this.isSound = false
    this.recordsEnd = 0
    this.areRecordsSound = false
    if (kept < HEADER_V0.LENGTH) return
    this.size = view.getUint16(start + HEADER_V0.SIZE)
    if (
      kept >= HEADER_V1.LENGTH &&
      bytes[start] === 0 &&
      (view.getInt32(start + HEADER_V1.COUNT) & 0xffffff) === 0x010000
    )
      this.version = 1
    if (this.size !== length || kept < Math.min(length, HEADER_V1.LENGTH)) return
    if (this.version === 1) this.#readV1(bytes, view, start + length, bytes[start + HEADER_V1.COUNT]!)
    else this.#readV0(bytes, view, start + length, bytes[start + HEADER_V0.COUNT]!)
  }

  /** Keeps only some of the records, by their numbers, in order. */
  keep(numbers: readonly number[]): void {
    for (const [to, from] of numbers.entries())
      for (const places of [
        this.at,
        this.sequenceAt,
        this.engineDataAt,
        this.engineDataLength,
        this.engineNameAt,
        this.engineNameLength
      ])
        places[to] = places[from]!
    this.count = numbers.length
  }

  /** Whether a record is IPv6. */
  isIpv6(record: number): boolean {
    return this.version === 1 && this.bytes[this.at[record]!] !== 0
  }

  /** IP protocol number. */
  protocol(record: number): number {
    return this.bytes[this.at[record]! + 1]!
  }

  /** All flags: 32 bits in version 1, 16 in version 0. */
  flags(record: number): number {
    const at = this.at[record]!
    return this.version === 1 ? this.view.getInt32(at + RECORD_V1.FLAGS) : this.view.getUint16(at + RECORD_V0.FLAGS)
  }

  /** State's number. */
  state(record: number): number {
    return this.view.getUint16(this.at[record]! + (this.version === 1 ? RECORD_V1.STATE : RECORD_V0.STATE))
  }

  /** Index of the client's port; those of the virtual service and the destination follow it. */
  portsAt(record: number): number {
    return this.at[record]! + (this.version === 1 ? RECORD_V1.CLIENT_PORT : RECORD_V0.CLIENT_PORT)
  }

  /** Index of the client's address; those of the virtual service and the destination follow it. */
  addressesAt(record: number): number {
    return this.at[record]! + (this.version === 1 ? RECORD_V1.CLIENT : RECORD_V0.CLIENT)
  }

  /** Bytes of a record, its padding not counted. */
  sizeOf(record: number): number {
    if (this.version === 1) return this.view.getUint16(this.at[record]! + RECORD_V1.VER_SIZE) & SIZE_MASK
    return this.sequenceAt[record] === 0 ? LENGTH_V0 : LENGTH_WITH_SEQUENCE
  }

  /** A message that holds one of the records alone. */
  alone(record: number): Uint8Array {
    const from = this.at[record]!
    const headerLength = this.version === 1 ? HEADER_V1.LENGTH : HEADER_V0.LENGTH
    const length = this.sizeOf(record)
    const bytes = new Uint8Array(headerLength + length)
    bytes.set(this.bytes.subarray(this.start, this.start + headerLength))
    bytes.set(this.bytes.subarray(from, from + length), headerLength)
    bytes[this.version === 1 ? HEADER_V1.COUNT : HEADER_V0.COUNT] = 1
    new DataView(bytes.buffer).setUint16(HEADER_V0.SIZE, bytes.length)
    return bytes
  }

  #readV1(bytes: Uint8Array, view: DataView, wireEnd: number, count: number): void {
    const { end } = this
    let isSound = end === wireEnd
    let at = this.start + HEADER_V1.LENGTH
    let recordEnd = at
    for (let i = 0; i < count; i++) {
      for (let padding = recordEnd; padding < at && padding < end; padding++) if (bytes[padding] !== 0) isSound = false
      if (end - at < LENGTH_IPV4) return
      const word = view.getUint16(at + RECORD_V1.VER_SIZE)
      const size = word & SIZE_MASK
      const type = bytes[at]!
      const fixed = type === 0 ? LENGTH_IPV4 : LENGTH_IPV6
      if (word !== size || at + size > end || size < fixed || (type !== 0 && (type & 1) === 0)) return
      if (type > 1) isSound = false
      const flags = view.getInt32(at + RECORD_V1.FLAGS)
      const protocol = bytes[at + RECORD_V1.PROTOCOL]!
      const state = view.getUint16(at + RECORD_V1.STATE)
      if ((flags & DOUBTFUL) !== 0 || state >= stateCount(protocol))
        isSound = judge(flags, protocol, state, this.#checks) === 0 && isSound
      this.at[i] = at
      this.sequenceAt[i] = 0
      this.engineDataAt[i] = 0
      this.engineNameAt[i] = 0
      recordEnd = at + size
      if (size > fixed) {
        const found = this.#readParameters(bytes, at + fixed, recordEnd, i)
        if (found === PARAMETERS_DROPPED) return
        if (found === PARAMETERS_DOUBTFUL || (this.sequenceAt[i] !== 0 && (flags & FLAG_SEQUENCE) === 0))
          isSound = false
      }
      this.count = i + 1
      at += (size + 3) & ~3
    }
    this.recordsEnd = recordEnd
    this.areRecordsSound = isSound
    this.isSound = isSound && recordEnd === wireEnd
  }

  /** Notes where a record's parameters stand, up to the first that a receiver does not know and must. */
  #readParameters(bytes: Uint8Array, from: number, end: number, record: number): number {
    for (let at = from; at < end;) {
      if (end - at < 2) return PARAMETERS_DROPPED
      const length = bytes[at + 1]!
      const data = at + 2
      if (length === 0 || data + length > end) return PARAMETERS_DROPPED
      const type = bytes[at]! & ~OPTIONAL
      if (type === SEQUENCE) {
        if (length !== SEQUENCE_BYTES || this.sequenceAt[record] !== 0) return PARAMETERS_DROPPED
        this.sequenceAt[record] = data
      } else if (type === ENGINE_DATA) {
        if (this.engineDataAt[record] !== 0) return PARAMETERS_DROPPED
        this.engineDataAt[record] = data
        this.engineDataLength[record] = length
      } else if (type === ENGINE_NAME) {
        if (length > 16 || this.engineNameAt[record] !== 0) return PARAMETERS_DROPPED
        this.engineNameAt[record] = data
        this.engineNameLength[record] = length
      } else if ((bytes[at]! & OPTIONAL) === 0) return PARAMETERS_DOUBTFUL
      at = data + length
    }
    return this.engineDataAt[record] === 0 || this.#isEngineKnown(record) ? PARAMETERS_SOUND : PARAMETERS_DOUBTFUL
  }

  #isEngineKnown(record: number): boolean {
    const at = this.engineNameAt[record]!
    const length = this.engineNameLength[record]!
    return (
      at !== 0 && ENGINES.some((name) => name.length === length && name.every((byte, i) => this.bytes[at + i] === byte))
    )
  }

  #readV0(bytes: Uint8Array, view: DataView, wireEnd: number, count: number): void {
    const { end } = this
    // A version 0 message without connections is none that a kernel sends: there is something to say about each.
    let isSound = end === wireEnd && count > 0
    let at = this.start + HEADER_V0.LENGTH
    for (let i = 0; i < count; i++) {
      if (end - at < LENGTH_V0) return
      const flags = view.getUint16(at + RECORD_V0.FLAGS)
      const size = (flags & FLAG_SEQUENCE) === 0 ? LENGTH_V0 : LENGTH_WITH_SEQUENCE
      if (at + size > end) return
      if (
        bytes[at] !== 0 ||
        judge(flags, bytes[at + RECORD_V0.PROTOCOL]!, view.getUint16(at + RECORD_V0.STATE), this.#checks) !== 0
      )
        isSound = false
      this.at[i] = at
      this.sequenceAt[i] = size === LENGTH_V0 ? 0 : at + LENGTH_V0
      this.engineDataAt[i] = 0
      this.engineNameAt[i] = 0
      this.count = i + 1
      at += size
    }
    this.recordsEnd = at
    this.areRecordsSound = isSound
    this.isSound = isSound && at === wireEnd
  }
}

const ENGINES = KNOWN_ENGINES.map((name) => Uint8Array.from(name, (character) => character.charCodeAt(0)))
