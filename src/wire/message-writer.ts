/**
 * Writes messages from rows: what a master's hot path does with every connection that is announced. No object is made for
 * a connection.
 *
 * @module
 */
import { FLAG, MAX_CONNECTIONS, MAX_PAYLOAD, PARAMETER, SEQUENCE_BYTES } from './constants.js'
import { HEADER_V0, HEADER_V1, PARAMETER_HEADER, RECORD_V0, RECORD_V1, TYPE_IPV6 } from './layout.js'
import { PRESENT, ROW, ROW_WORDS, type EngineBytes, type Rows } from './rows.js'

// Names of this module's own: V8 folds these constants, and reads those of another module anew at each use.
const {
  CLIENT: ROW_CLIENT,
  CLIENT_PORT: ROW_CLIENT_PORT,
  DESTINATION: ROW_DESTINATION,
  DESTINATION_PORT: ROW_DESTINATION_PORT,
  FAMILY: ROW_FAMILY,
  FLAGS: ROW_FLAGS,
  FWMARK: ROW_FWMARK,
  PRESENT: ROW_PRESENT,
  PROTOCOL: ROW_PROTOCOL,
  SEQUENCE: ROW_SEQUENCE,
  STATE: ROW_STATE,
  TIMEOUT: ROW_TIMEOUT,
  VIRTUAL: ROW_VIRTUAL,
  VIRTUAL_PORT: ROW_VIRTUAL_PORT
} = ROW
const {
  CLIENT: V1_CLIENT,
  FLAGS: V1_FLAGS,
  FWMARK: V1_FWMARK,
  LENGTH_IPV4: V1_LENGTH_IPV4,
  LENGTH_IPV6: V1_LENGTH_IPV6,
  STATE: V1_STATE,
  TIMEOUT: V1_TIMEOUT,
  TYPE: V1_TYPE,
  VIRTUAL_PORT: V1_VIRTUAL_PORT
} = RECORD_V1
const {
  CLIENT: V0_CLIENT,
  CLIENT_PORT: V0_CLIENT_PORT,
  DESTINATION: V0_DESTINATION,
  DESTINATION_PORT: V0_DESTINATION_PORT,
  FLAGS: V0_FLAGS,
  LENGTH: V0_LENGTH,
  LENGTH_WITH_SEQUENCE: V0_LENGTH_WITH_SEQUENCE,
  PROTOCOL: V0_PROTOCOL,
  RESERVED: V0_RESERVED,
  STATE: V0_STATE,
  VIRTUAL: V0_VIRTUAL,
  VIRTUAL_PORT: V0_VIRTUAL_PORT
} = RECORD_V0
const { ENGINE: PRESENT_ENGINE, SEQUENCE: PRESENT_SEQUENCE } = PRESENT
const { HASHED: FLAG_HASHED, SEQUENCE: FLAG_SEQUENCE } = FLAG

/** Version 1's second header word but its count: version 1, and a spare that is 0. */
const VERSION_WORD = 1 << 16
/** Messages grow one behind the other in slabs of this many bytes: allocating each by itself would cost more than writing it. */
const SLAB = 131072
/** What a single record can need at most, header included. */
const LONGEST_SINGLE = HEADER_V1.LENGTH + 4095

/**
 * Puts connections together into one message after another, in memory of its own.
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
  #slab = NOTHING
  #data = new DataView(NOTHING.buffer)
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
   * @param maxLength - `sync_maxlen` in bytes. A single record that is longer with its header gets a message of its own.
   */
  begin(version: 0 | 1, syncid: number, maxLength: number): void {
    this.version = version
    this.#syncid = syncid
    this.#maxLength = Math.min(maxLength, MAX_PAYLOAD)
    this.count = 0
    this.length = version === 1 ? HEADER_V1.LENGTH : HEADER_V0.LENGTH
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
    if (this.version === 1) {
      data.setInt32(start, (this.#syncid << 16) | this.length)
      data.setInt32(start + HEADER_V1.COUNT, (this.count << 24) | VERSION_WORD)
    } else {
      data.setInt32(start, (this.count << 24) | (this.#syncid << 16) | this.length)
    }
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
    const flags = words[from + ROW_FLAGS]! & 0xffff & ~FLAG_HASHED
    const sequence = (flags & FLAG_SEQUENCE) !== 0
    const end = this.length + (sequence ? V0_LENGTH_WITH_SEQUENCE : V0_LENGTH)
    if (end > this.#maxLength && this.count > 0) return false
    const data = this.#data
    const at = this.#start + this.length
    data.setUint8(at + V0_RESERVED, 0)
    data.setUint8(at + V0_PROTOCOL, words[from + ROW_PROTOCOL]!)
    data.setUint16(at + V0_CLIENT_PORT, words[from + ROW_CLIENT_PORT]!)
    data.setUint16(at + V0_VIRTUAL_PORT, words[from + ROW_VIRTUAL_PORT]!)
    data.setUint16(at + V0_DESTINATION_PORT, words[from + ROW_DESTINATION_PORT]!)
    data.setInt32(at + V0_CLIENT, words[from + ROW_CLIENT]!)
    data.setInt32(at + V0_VIRTUAL, words[from + ROW_VIRTUAL]!)
    data.setInt32(at + V0_DESTINATION, words[from + ROW_DESTINATION]!)
    data.setUint16(at + V0_FLAGS, flags)
    data.setUint16(at + V0_STATE, words[from + ROW_STATE]!)
    if (sequence) this.#writeSequenceV0(at + V0_LENGTH, words, from)
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
    if (present !== 0) this.#writeParameters(at + fixed, words, from, engine)
    this.length = place + size
    this.count++
    return true
  }

  /** What an unfinished message left behind may stand here. */
  #pad(end: number): void {
    this.#slab.fill(0, this.#start + this.length, this.#start + end)
  }

  #writeParameters(first: number, words: Int32Array, from: number, engine: EngineBytes | undefined): void {
    let at = first
    if ((words[from + ROW_PRESENT]! & PRESENT_SEQUENCE) !== 0) {
      at = this.#writeParameterHeader(at, PARAMETER.SEQUENCE, SEQUENCE_BYTES)
      this.#writeSequence(at, words, from, false)
      at += SEQUENCE_BYTES
    }
    if (engine === undefined) return
    if (engine.data.length > 0) at = this.#writeParameter(at, PARAMETER.ENGINE_DATA, engine.data)
    if (engine.name.length > 0) this.#writeParameter(at, PARAMETER.ENGINE_NAME, engine.name)
  }

  #writeParameter(at: number, type: number, bytes: Uint8Array): number {
    const data = this.#writeParameterHeader(at, type, bytes.length)
    this.#slab.set(bytes, data)
    return data + bytes.length
  }

  #writeParameterHeader(at: number, type: number, length: number): number {
    this.#slab[at + PARAMETER_HEADER.TYPE] = type
    this.#slab[at + PARAMETER_HEADER.LENGTH] = length
    return at + PARAMETER_HEADER.DATA
  }

  /** The flags alone make the room. A row that has them without data has another row's in its words: zeros are sent. */
  #writeSequenceV0(at: number, words: Int32Array, from: number): void {
    if ((words[from + ROW_PRESENT]! & PRESENT_SEQUENCE) === 0) this.#slab.fill(0, at, at + SEQUENCE_BYTES)
    else this.#writeSequence(at, words, from, this.#littleEndian)
  }

  #writeSequence(at: number, words: Int32Array, from: number, littleEndian: boolean): void {
    for (let i = 0; i < 6; i++) this.#data.setInt32(at + 4 * i, words[from + ROW_SEQUENCE + i]!, littleEndian)
  }
}

/** A version 1 record up to its addresses; `first` is its first word but for the protocol. */
function writeHead(data: DataView, at: number, first: number, words: Int32Array, from: number): void {
  data.setInt32(at + V1_TYPE, (words[from + ROW_PROTOCOL]! << 16) | first)
  data.setInt32(at + V1_FLAGS, words[from + ROW_FLAGS]! & ~FLAG_HASHED)
  data.setInt32(at + V1_STATE, (words[from + ROW_STATE]! << 16) | words[from + ROW_CLIENT_PORT]!)
  data.setInt32(at + V1_VIRTUAL_PORT, (words[from + ROW_VIRTUAL_PORT]! << 16) | words[from + ROW_DESTINATION_PORT]!)
  data.setInt32(at + V1_FWMARK, words[from + ROW_FWMARK]!)
  data.setInt32(at + V1_TIMEOUT, words[from + ROW_TIMEOUT]!)
}

function writeIpv4(data: DataView, at: number, words: Int32Array, from: number): void {
  data.setInt32(at, words[from + ROW_CLIENT]!)
  data.setInt32(at + 4, words[from + ROW_VIRTUAL]!)
  data.setInt32(at + 8, words[from + ROW_DESTINATION]!)
}

function writeIpv6(data: DataView, at: number, words: Int32Array, from: number): void {
  for (let i = 0; i < 4; i++) {
    data.setInt32(at + 4 * i, words[from + ROW_CLIENT + i]!)
    data.setInt32(at + 16 + 4 * i, words[from + ROW_VIRTUAL + i]!)
    data.setInt32(at + 32 + 4 * i, words[from + ROW_DESTINATION + i]!)
  }
}

const NOTHING = new Uint8Array(0)

/** Length of a connection's parameters in bytes, headers included. */
function parametersLength(present: number, engine: EngineBytes | undefined): number {
  const sequence = (present & PRESENT_SEQUENCE) === 0 ? 0 : PARAMETER_HEADER.DATA + SEQUENCE_BYTES
  if (engine === undefined) return sequence
  const { data, name } = engine
  return (
    sequence +
    (data.length > 0 ? PARAMETER_HEADER.DATA + data.length : 0) +
    (name.length > 0 ? PARAMETER_HEADER.DATA + name.length : 0)
  )
}
