/**
 * Writes messages from rows: what a master's hot path does with every connection that is announced. No object is made for
 * a connection.
 *
 * @module
 */
import { MAX_CONNECTIONS, MAX_PAYLOAD } from './constants.js'
import { HEADER_V0, HEADER_V1, writeHeader } from './header.js'
import { parametersLength, writeParameters } from './parameters.js'
import { lengthV0, sentFlagsV0, writeRecordV0 } from './record-v0.js'
import { RECORD_V1, TYPE_IPV6, writeHead, writeIpv4, writeIpv6 } from './record-v1.js'
import { PRESENT, ROW, ROW_WORDS, type Rows } from './rows.js'

// Constants of this module: V8 folds them, and reads properties of an object in another chunk at each use.
const { FAMILY: ROW_FAMILY, FLAGS: ROW_FLAGS, PRESENT: ROW_PRESENT } = ROW
const { CLIENT: V1_CLIENT, LENGTH_IPV4: V1_LENGTH_IPV4, LENGTH_IPV6: V1_LENGTH_IPV6 } = RECORD_V1
const { ENGINE: PRESENT_ENGINE } = PRESENT
const { LENGTH: H1_LENGTH } = HEADER_V1
const { LENGTH: H0_LENGTH } = HEADER_V0

/** Messages grow one behind the other in slabs of this many bytes: allocating each by itself would cost more than writing it. */
const SLAB = 131072
/** What a single record can need at most, header included. */
const LONGEST_SINGLE = H1_LENGTH + 4095

/**
 * Puts connections together into one message after another, in its own memory.
 *
 * @example
 * ```ts
 * const writer = new MessageWriter()
 * writer.begin(1, 7, 1472)
 * if (!writer.add(rows, 0)) { send(writer.finish()); writer.begin(1, 7, 1472); writer.add(rows, 0) }
 * send(writer.finish())
 * ```
 */
export class MessageWriter {
  /** Connections in the message so far. */
  count = 0
  /** Bytes of the message so far, header included. */
  length = 0
  /** Version of the message, as `begin` was told. */
  version: 0 | 1 = 1

  readonly #littleEndian: boolean
  #slab = NO_BYTES
  #data = new DataView(NO_BYTES.buffer)
  /** Where the message begins in the slab. */
  #start = 0
  #syncid = 0
  #maxLength = 0

  /** @param sequenceByteOrder - How version 0's sequence data are written: a kernel uses its own order. */
  constructor(sequenceByteOrder: 'little' | 'big' = 'little') {
    this.#littleEndian = sequenceByteOrder === 'little'
  }

  /**
   * Begins a message; what was not finished is forgotten.
   *
   * @param version - 0 or 1.
   * @param syncid - 0…255.
   * @param maxLength - `sync_maxlen` in bytes. A record that exceeds it with the header is sent alone in a message.
   */
  begin(version: 0 | 1, syncid: number, maxLength: number): void {
    this.version = version
    this.#syncid = syncid
    this.#maxLength = Math.min(maxLength, MAX_PAYLOAD)
    this.count = 0
    this.length = version === 1 ? H1_LENGTH : H0_LENGTH
    this.#takeRoom()
  }

  /**
   * Adds a connection.
   *
   * @param rows - Holds it. Version 0 takes IPv4 only: the caller leaves IPv6 out.
   * @param index - Its row.
   * @returns False, with nothing written, where it does not fit: the message has 255 connections, or would pass `maxLength`.
   */
  add(rows: Rows, index: number): boolean {
    if (this.count >= MAX_CONNECTIONS) return false
    const { words } = rows
    // Here and below, masks that take nothing away: V8 sees that a number is small, and leaves out checks for overflow.
    const from = (index & 0xffffff) * ROW_WORDS
    if (this.version === 0) return this.#addV0(words, from)
    const place = this.length
    if (words[from + ROW_PRESENT] !== 0 || words[from + ROW_FAMILY] !== 4 || (place & 3) !== 0)
      return this.#addV1(rows, index, from)
    // IPv4 without parameters, behind a record that needs no padding: the bulk of all traffic.
    if (place + V1_LENGTH_IPV4 > this.#maxLength && this.count > 0) return false
    const at = (this.#start + place) & 0xffffff
    writeHead(this.#data, at, V1_LENGTH_IPV4, words, from)
    writeIpv4(this.#data, at + V1_CLIENT, words, from)
    this.length = place + V1_LENGTH_IPV4
    this.count++
    return true
  }

  /**
   * Ends the message and begins another like it.
   *
   * @returns Its bytes: yours to keep. They are part of a larger `ArrayBuffer` that other messages share, none of which is
   *   written again; copy them to keep a few for long.
   */
  finish(): Uint8Array {
    const start = this.#start
    const data = this.#data
    writeHeader(data, start, this.version, this.#syncid, this.length, this.count)
    const bytes = new Uint8Array(data.buffer, start, this.length)
    this.#start += (this.length + 7) & ~7
    this.begin(this.version, this.#syncid, this.#maxLength)
    return bytes
  }

  /** Looks for room behind the last message, else in a new slab: what was finished is never written again. */
  #takeRoom(): void {
    const room = Math.max(this.#maxLength, LONGEST_SINGLE)
    if (this.#start + room <= this.#slab.length) return
    this.#slab = new Uint8Array(Math.max(SLAB, room))
    this.#data = new DataView(this.#slab.buffer)
    this.#start = 0
  }

  #addV0(words: Int32Array, from: number): boolean {
    const end = this.length + lengthV0(sentFlagsV0(words[from + ROW_FLAGS]!))
    if (end > this.#maxLength && this.count > 0) return false
    writeRecordV0(this.#data, this.#start + this.length, words, from, this.#littleEndian)
    this.length = end
    this.count++
    return true
  }

  /** Any connection, padded where its message needs it. */
  #addV1(rows: Rows, index: number, from: number): boolean {
    const { words } = rows
    const present = words[from + ROW_PRESENT]!
    const ipv6 = words[from + ROW_FAMILY] === 6
    const fixed = ipv6 ? V1_LENGTH_IPV6 : V1_LENGTH_IPV4
    const engine = (present & PRESENT_ENGINE) === 0 ? undefined : rows.engines[index]
    const size = present === 0 ? fixed : fixed + parametersLength(present, engine)
    // Padding goes before a record, never behind the last one.
    const place = (this.length + 3) & ~3
    if (place + size > this.#maxLength && this.count > 0) return false
    if (place !== this.length) this.#pad(place)
    const at = this.#start + place
    writeHead(this.#data, at, ipv6 ? size | (TYPE_IPV6 << 24) : size, words, from)
    if (ipv6) writeIpv6(this.#data, at + V1_CLIENT, words, from)
    else writeIpv4(this.#data, at + V1_CLIENT, words, from)
    if (present !== 0) writeParameters(this.#data, at + fixed, words, from, engine)
    this.length = place + size
    this.count++
    return true
  }

  /** What an unfinished message left behind may stand here. */
  #pad(end: number): void {
    this.#slab.fill(0, this.#start + this.length, this.#start + end)
  }
}

const NO_BYTES = new Uint8Array(0)
