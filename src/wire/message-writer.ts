/**
 * Writes messages from rows: what a master's hot path does with every connection that is announced. No object is made for
 * a connection.
 *
 * @module
 */
import { FLAG, MAX_CONNECTIONS, MAX_PAYLOAD, PARAMETER, SEQUENCE_BYTES } from './constants.js'
import { HEADER_V0, HEADER_V1, PARAMETER_HEADER, RECORD_V0, RECORD_V1, TYPE_IPV6 } from './layout.js'
import { PRESENT, ROW, ROW_WORDS, type EngineBytes, type Rows } from './rows.js'

/**
 * Puts connections together into one message after another, in a buffer of its own.
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

  readonly #bytes: Uint8Array
  readonly #data: DataView
  readonly #littleEndian: boolean
  #syncid = 0
  #maxLength = 0

  /** @param sequenceByteOrder - How version 0's sequence data are written: a kernel uses its own order. */
  constructor(sequenceByteOrder: 'little' | 'big' = 'little') {
    this.#bytes = new Uint8Array(MAX_PAYLOAD + 1)
    this.#data = new DataView(this.#bytes.buffer)
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
    const from = index * ROW_WORDS
    return this.version === 1 ? this.#addV1(rows, index, from) : this.#addV0(rows.words, from)
  }

  /**
   * Ends the message.
   *
   * @returns Its bytes, in a buffer of their own.
   */
  finish(): Uint8Array {
    const data = this.#data
    if (this.version === 1) {
      data.setUint8(HEADER_V1.RESERVED, 0)
      data.setUint8(HEADER_V1.SYNCID, this.#syncid)
      data.setUint16(HEADER_V1.SIZE, this.length)
      data.setUint8(HEADER_V1.COUNT, this.count)
      data.setUint8(HEADER_V1.VERSION, 1)
      data.setUint16(HEADER_V1.SPARE, 0)
    } else {
      data.setUint8(HEADER_V0.COUNT, this.count)
      data.setUint8(HEADER_V0.SYNCID, this.#syncid)
      data.setUint16(HEADER_V0.SIZE, this.length)
    }
    return this.#bytes.slice(0, this.length)
  }

  #addV0(words: Int32Array, from: number): boolean {
    const flags = words[from + ROW.FLAGS]! & 0xffff & ~FLAG.HASHED
    const sequence = (flags & FLAG.SEQUENCE) !== 0
    const at = this.length
    const end = at + (sequence ? RECORD_V0.LENGTH_WITH_SEQUENCE : RECORD_V0.LENGTH)
    if (end > this.#maxLength && this.count > 0) return false
    const data = this.#data
    data.setUint8(at + RECORD_V0.RESERVED, 0)
    data.setUint8(at + RECORD_V0.PROTOCOL, words[from + ROW.PROTOCOL]!)
    data.setUint16(at + RECORD_V0.CLIENT_PORT, words[from + ROW.CLIENT_PORT]!)
    data.setUint16(at + RECORD_V0.VIRTUAL_PORT, words[from + ROW.VIRTUAL_PORT]!)
    data.setUint16(at + RECORD_V0.DESTINATION_PORT, words[from + ROW.DESTINATION_PORT]!)
    data.setInt32(at + RECORD_V0.CLIENT, words[from + ROW.CLIENT]!)
    data.setInt32(at + RECORD_V0.VIRTUAL, words[from + ROW.VIRTUAL]!)
    data.setInt32(at + RECORD_V0.DESTINATION, words[from + ROW.DESTINATION]!)
    data.setUint16(at + RECORD_V0.FLAGS, flags)
    data.setUint16(at + RECORD_V0.STATE, words[from + ROW.STATE]!)
    if (sequence) this.#writeSequence(at + RECORD_V0.LENGTH, words, from, this.#littleEndian)
    this.length = end
    this.count++
    return true
  }

  #addV1(rows: Rows, index: number, from: number): boolean {
    const { words } = rows
    const present = words[from + ROW.PRESENT]!
    const ipv6 = words[from + ROW.FAMILY] === 6
    const engine = (present & PRESENT.ENGINE) === 0 ? undefined : rows.engines[index]
    const fixed = ipv6 ? RECORD_V1.LENGTH_IPV6 : RECORD_V1.LENGTH_IPV4
    const size = present === 0 ? fixed : fixed + parametersLength(present, engine)
    // Padding goes before a record, never behind the last one.
    const at = (this.length + 3) & ~3
    if (at + size > this.#maxLength && this.count > 0) return false
    for (let gap = this.length; gap < at; gap++) this.#bytes[gap] = 0
    this.#writeFixed(at, size, words, from, ipv6)
    if (present !== 0) this.#writeParameters(at + fixed, words, from, engine)
    this.length = at + size
    this.count++
    return true
  }

  #writeFixed(at: number, size: number, words: Int32Array, from: number, ipv6: boolean): void {
    const data = this.#data
    const type = ipv6 ? TYPE_IPV6 : 0
    data.setInt32(at + RECORD_V1.TYPE, (type << 24) | (words[from + ROW.PROTOCOL]! << 16) | size)
    data.setInt32(at + RECORD_V1.FLAGS, words[from + ROW.FLAGS]! & ~FLAG.HASHED)
    data.setInt32(at + RECORD_V1.STATE, (words[from + ROW.STATE]! << 16) | words[from + ROW.CLIENT_PORT]!)
    data.setInt32(
      at + RECORD_V1.VIRTUAL_PORT,
      (words[from + ROW.VIRTUAL_PORT]! << 16) | words[from + ROW.DESTINATION_PORT]!
    )
    data.setInt32(at + RECORD_V1.FWMARK, words[from + ROW.FWMARK]!)
    data.setInt32(at + RECORD_V1.TIMEOUT, words[from + ROW.TIMEOUT]!)
    const addresses = at + RECORD_V1.CLIENT
    if (ipv6) {
      for (let i = 0; i < 4; i++) {
        data.setInt32(addresses + 4 * i, words[from + ROW.CLIENT + i]!)
        data.setInt32(addresses + 16 + 4 * i, words[from + ROW.VIRTUAL + i]!)
        data.setInt32(addresses + 32 + 4 * i, words[from + ROW.DESTINATION + i]!)
      }
    } else {
      data.setInt32(addresses, words[from + ROW.CLIENT]!)
      data.setInt32(addresses + 4, words[from + ROW.VIRTUAL]!)
      data.setInt32(addresses + 8, words[from + ROW.DESTINATION]!)
    }
  }

  #writeParameters(first: number, words: Int32Array, from: number, engine: EngineBytes | undefined): void {
    let at = first
    if ((words[from + ROW.PRESENT]! & PRESENT.SEQUENCE) !== 0) {
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
    this.#bytes.set(bytes, data)
    return data + bytes.length
  }

  #writeParameterHeader(at: number, type: number, length: number): number {
    this.#bytes[at + PARAMETER_HEADER.TYPE] = type
    this.#bytes[at + PARAMETER_HEADER.LENGTH] = length
    return at + PARAMETER_HEADER.DATA
  }

  #writeSequence(at: number, words: Int32Array, from: number, littleEndian: boolean): void {
    for (let i = 0; i < 6; i++) this.#data.setInt32(at + 4 * i, words[from + ROW.SEQUENCE + i]!, littleEndian)
  }
}

/** Length of a connection's parameters in bytes, headers included. */
function parametersLength(present: number, engine: EngineBytes | undefined): number {
  const sequence = (present & PRESENT.SEQUENCE) === 0 ? 0 : PARAMETER_HEADER.DATA + SEQUENCE_BYTES
  if (engine === undefined) return sequence
  const { data, name } = engine
  return (
    sequence +
    (data.length > 0 ? PARAMETER_HEADER.DATA + data.length : 0) +
    (name.length > 0 ? PARAMETER_HEADER.DATA + name.length : 0)
  )
}
