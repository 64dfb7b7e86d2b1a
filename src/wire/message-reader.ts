/**
 * Reads a whole message into rows: what a backup's hot path does with every datagram. Plain IPv4 records of version 1, the
 * bulk of all traffic, are read here in 32-bit words; everything else goes through the view. No object is made for a
 * connection.
 *
 * @module
 */
import { checksOf, FLAG } from './constants.js'
import { judge } from './judge.js'
import { HEADER_V1 } from './header.js'
import { MessageView } from './message-view.js'
import type { ReadOptions } from './options.js'
import { stateCount } from './protocols.js'
import { PLAIN_IPV4, PLAIN_MASK, RECORD_V1 } from './record-v1.js'
import { createRows, PRESENT, ROW, ROW_WORDS, type Rows } from './rows.js'

// Constants of this module: V8 folds them, and reads properties of an object in another chunk at each use.
const {
  CLIENT: ROW_CLIENT,
  CLIENT_PORT: ROW_CLIENT_PORT,
  DESTINATION: ROW_DESTINATION,
  DESTINATION_PORT: ROW_DESTINATION_PORT,
  FAMILY: ROW_FAMILY,
  FLAGS: ROW_FLAGS,
  FWMARK: ROW_FWMARK,
  OFFSET: ROW_OFFSET,
  PRESENT: ROW_PRESENT,
  PROTOCOL: ROW_PROTOCOL,
  SEQUENCE: ROW_SEQUENCE,
  STATE: ROW_STATE,
  TIMEOUT: ROW_TIMEOUT,
  VERDICT: ROW_VERDICT,
  VIRTUAL: ROW_VIRTUAL,
  VIRTUAL_PORT: ROW_VIRTUAL_PORT
} = ROW
const {
  CLIENT: V1_CLIENT,
  FLAGS: V1_FLAGS,
  FWMARK: V1_FWMARK,
  LENGTH_IPV4: V1_LENGTH_IPV4,
  STATE: V1_STATE,
  TIMEOUT: V1_TIMEOUT,
  VIRTUAL_PORT: V1_VIRTUAL_PORT
} = RECORD_V1
const { ENGINE: PRESENT_ENGINE, SEQUENCE: PRESENT_SEQUENCE } = PRESENT
const { ONE_PACKET: FLAG_ONE_PACKET, TEMPLATE: FLAG_TEMPLATE } = FLAG
const { LENGTH: H1_LENGTH } = HEADER_V1

/** Flags without which a known state is all that a receiver asks for: spares most connections a call. */
const DOUBTFUL_FLAGS = FLAG_TEMPLATE | FLAG_ONE_PACKET

/** Result of reading a message: its header, and how much of it a receiver reads. */
export interface ReadResult {
  /** Version of the format; 0 for a message that is too short to tell. */
  readonly version: 0 | 1
  /** 0…255. */
  readonly syncid: number
  /** Size field of the header, in bytes. */
  readonly size: number
  /** Number of connections that the header counts, 0…255; 0 for a message that is dropped whole. */
  readonly count: number
  /** Number of records read into rows: those before the first fault that drops the rest. */
  readonly records: number
  /** Byte offset behind the last of them, padding not counted. */
  readonly end: number
  /** Number of the problem for which a receiver drops the message or the rest of it, or 0. */
  readonly fault: number
  /** Byte offset of that fault. */
  readonly faultOffset: number
}

/**
 * Reads messages into rows.
 *
 * @example
 * ```ts
 * const reader = new MessageReader()
 * const { records } = reader.read(datagram)
 * for (let i = 0; i < records; i++) {
 *   if (reader.rows.words[i * ROW_WORDS + ROW.VERDICT] === 0) apply(reader.rows, i)
 * }
 * ```
 */
export class MessageReader {
  /** Connections of the last message, with those that a receiver skips (their `VERDICT` names the problem). */
  readonly rows: Rows = createRows()
  readonly #view: MessageView
  readonly #checks: number

  /** @param options - How messages are read. */
  constructor(options: ReadOptions = {}) {
    this.#view = new MessageView(options)
    this.#checks = checksOf(options.flagChecks)
  }

  /**
   * Reads a message.
   *
   * @param bytes - Payload of one datagram. Engine data in rows are views of it; nothing else is kept.
   */
  read(bytes: Uint8Array): ReadResult {
    const { rows } = this
    const view = this.#view
    rows.count = 0
    if (!view.reset(bytes)) return this.#result(0)
    const first = view.version === 1 ? this.#readPlain() : 0
    if (first > 0) {
      const end = H1_LENGTH + first * V1_LENGTH_IPV4
      if (first === view.count || !view.seek(first, end)) return this.#result(end)
      this.#copyRow()
    }
    let { end } = view
    while (view.next()) {
      this.#copyRow()
      end = view.end
    }
    return this.#result(end)
  }

  /** Reads the header alone, for a message whose connections are not needed; `records` is then 0. */
  readHeader(bytes: Uint8Array): ReadResult {
    this.rows.count = 0
    return this.#result(this.#view.reset(bytes) ? this.#view.end : 0)
  }

  #result(end: number): ReadResult {
    const { version, syncid, size, count, fault, faultOffset } = this.#view
    return { version, syncid, size, count, records: this.rows.count, end, fault, faultOffset }
  }

  /** Reads plain IPv4 records from the message's start to the first that is something else. */
  #readPlain(): number {
    const { words } = this.rows
    const { count, data } = this.#view
    const last = data.byteLength - V1_LENGTH_IPV4
    let i = 0
    for (; i < count; i++) {
      // Masks that take nothing away: V8 sees that both are small, and leaves out a check for overflow at each addition.
      const at = (H1_LENGTH + i * V1_LENGTH_IPV4) & 0xffff
      const to = (i * ROW_WORDS) & 0xffff
      if (at > last) break
      const head = data.getInt32(at)
      if ((head & PLAIN_MASK) !== PLAIN_IPV4) break
      const protocol = head >>> 16
      const flags = data.getInt32(at + V1_FLAGS)
      const stateAndPort = data.getInt32(at + V1_STATE)
      const state = stateAndPort >>> 16
      const ports = data.getInt32(at + V1_VIRTUAL_PORT)
      words[to + ROW_FAMILY] = 4
      words[to + ROW_PROTOCOL] = protocol
      words[to + ROW_FLAGS] = flags
      words[to + ROW_STATE] = state
      words[to + ROW_CLIENT_PORT] = stateAndPort & 0xffff
      words[to + ROW_VIRTUAL_PORT] = ports >>> 16
      words[to + ROW_DESTINATION_PORT] = ports & 0xffff
      words[to + ROW_FWMARK] = data.getInt32(at + V1_FWMARK)
      words[to + ROW_TIMEOUT] = data.getInt32(at + V1_TIMEOUT)
      words[to + ROW_PRESENT] = 0
      words[to + ROW_CLIENT] = data.getInt32(at + V1_CLIENT)
      words[to + ROW_VIRTUAL] = data.getInt32(at + V1_CLIENT + 4)
      words[to + ROW_DESTINATION] = data.getInt32(at + V1_CLIENT + 8)
      words[to + ROW_OFFSET] = at
      const isPlain = (flags & DOUBTFUL_FLAGS) === 0 && state < stateCount(protocol)
      words[to + ROW_VERDICT] = isPlain ? 0 : judge(flags, protocol, state, this.#checks)
    }
    this.rows.count = i
    return i
  }

  /** Copies the view's connection into the next row. */
  #copyRow(): void {
    const { rows } = this
    const view = this.#view
    const { words } = rows
    const to = rows.count * ROW_WORDS
    words[to + ROW_FAMILY] = view.ipv6 ? 6 : 4
    words[to + ROW_PROTOCOL] = view.protocol
    words[to + ROW_FLAGS] = view.flags
    words[to + ROW_STATE] = view.state
    words[to + ROW_CLIENT_PORT] = view.clientPort
    words[to + ROW_VIRTUAL_PORT] = view.virtualPort
    words[to + ROW_DESTINATION_PORT] = view.destinationPort
    words[to + ROW_FWMARK] = view.fwmark | 0
    words[to + ROW_TIMEOUT] = view.timeout | 0
    words[to + ROW_PRESENT] = 0
    words[to + ROW_OFFSET] = view.offset
    words[to + ROW_VERDICT] = view.verdict
    const addressWords = view.ipv6 ? 4 : 1
    for (let i = 0; i < addressWords; i++) {
      words[to + ROW_CLIENT + i] = view.clientWord(i)
      words[to + ROW_VIRTUAL + i] = view.virtualWord(i)
      words[to + ROW_DESTINATION + i] = view.destinationWord(i)
    }
    if (view.sequenceOffset !== 0) this.#copySequence(to)
    if (view.engineDataOffset !== 0 || view.engineNameOffset !== 0) this.#copyEngine(to)
    rows.count++
  }

  #copySequence(to: number): void {
    const { words } = this.rows
    words[to + ROW_PRESENT]! |= PRESENT_SEQUENCE
    for (let i = 0; i < 6; i++) words[to + ROW_SEQUENCE + i] = this.#view.sequenceWord(i)
  }

  #copyEngine(to: number): void {
    const { rows } = this
    const view = this.#view
    rows.words[to + ROW_PRESENT]! |= PRESENT_ENGINE
    rows.engines[rows.count] = { name: view.engineName(), data: view.engineData() }
  }
}
