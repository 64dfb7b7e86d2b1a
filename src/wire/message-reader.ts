/**
 * Reads a whole message into rows: what a backup's hot path does with every datagram. Plain IPv4 records of version 1, the
 * bulk of all traffic, are read here in 32-bit words; everything else goes through the view. No object is made for a
 * connection.
 *
 * @module
 */
import { judge } from './judge.js'
import { HEADER_V1, RECORD_V1 } from './layout.js'
import { MessageView, type ReadOptions } from './message-view.js'
import { createRows, PRESENT, ROW, ROW_WORDS, type Rows } from './rows.js'

/** All of a record's first word but its protocol; equal to {@link PLAIN_IPV4}: type 0, record version 0, 36 bytes, no parameters. */
const PLAIN_MASK = ~0x00ff0000
const PLAIN_IPV4 = RECORD_V1.LENGTH_IPV4

/**
 * Reads messages into rows.
 *
 * @example
 * ```ts
 * const reader = new MessageReader()
 * const count = reader.read(datagram)
 * for (let i = 0; i < count; i++) {
 *   if (reader.rows.words[i * ROW_WORDS + ROW.VERDICT] === 0) apply(reader.rows, i)
 * }
 * ```
 */
export class MessageReader {
  /** The connections of the last message, those that a receiver skips among them (their `VERDICT` says why). */
  readonly rows: Rows = createRows()
  /** The last message's header, and its fault where the receiver gave up. */
  readonly view: MessageView

  readonly #strict: boolean

  /** @param options - How messages are read. */
  constructor(options: ReadOptions = {}) {
    this.view = new MessageView(options)
    this.#strict = options.flagChecks !== 'legacy'
  }

  /**
   * Reads a message.
   *
   * @param bytes - One datagram's payload. Engine data in rows are views of it; nothing else is kept.
   * @returns How many rows were filled: the connections before the first fault that drops the rest.
   */
  read(bytes: Uint8Array): number {
    const { rows, view } = this
    rows.count = 0
    if (!view.reset(bytes)) return 0
    const first = view.version === 1 ? this.#readPlain(bytes) : 0
    if (first === view.count) return first
    if (first > 0 && !view.seek(first, HEADER_V1.LENGTH + first * RECORD_V1.LENGTH_IPV4)) return first
    if (first > 0) this.#copyRow()
    while (view.next()) this.#copyRow()
    return rows.count
  }

  /** Reads plain IPv4 records from the message's start to the first that is something else. */
  #readPlain(bytes: Uint8Array): number {
    const { words } = this.rows
    const { count } = this.view
    const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    const last = bytes.length - RECORD_V1.LENGTH_IPV4
    let at: number = HEADER_V1.LENGTH
    let i = 0
    let to = 0
    for (; i < count && at <= last; i++) {
      const head = data.getInt32(at)
      if ((head & PLAIN_MASK) !== PLAIN_IPV4) break
      const protocol = head >>> 16
      const flags = data.getInt32(at + RECORD_V1.FLAGS)
      const stateAndPort = data.getInt32(at + RECORD_V1.STATE)
      const ports = data.getInt32(at + RECORD_V1.VIRTUAL_PORT)
      words[to + ROW.FAMILY] = 4
      words[to + ROW.PROTOCOL] = protocol
      words[to + ROW.FLAGS] = flags
      words[to + ROW.STATE] = stateAndPort >>> 16
      words[to + ROW.CLIENT_PORT] = stateAndPort & 0xffff
      words[to + ROW.VIRTUAL_PORT] = ports >>> 16
      words[to + ROW.DESTINATION_PORT] = ports & 0xffff
      words[to + ROW.FWMARK] = data.getInt32(at + RECORD_V1.FWMARK)
      words[to + ROW.TIMEOUT] = data.getInt32(at + RECORD_V1.TIMEOUT)
      words[to + ROW.PRESENT] = 0
      words[to + ROW.CLIENT] = data.getInt32(at + RECORD_V1.CLIENT)
      words[to + ROW.VIRTUAL] = data.getInt32(at + RECORD_V1.CLIENT + 4)
      words[to + ROW.DESTINATION] = data.getInt32(at + RECORD_V1.CLIENT + 8)
      words[to + ROW.OFFSET] = at
      words[to + ROW.VERDICT] = judge(flags, protocol, stateAndPort >>> 16, this.#strict)
      at += RECORD_V1.LENGTH_IPV4
      to += ROW_WORDS
    }
    this.rows.count = i
    return i
  }

  /** Copies the view's connection into the next row. */
  #copyRow(): void {
    const { rows, view } = this
    const { words } = rows
    const to = rows.count * ROW_WORDS
    words[to + ROW.FAMILY] = view.ipv6 ? 6 : 4
    words[to + ROW.PROTOCOL] = view.protocol
    words[to + ROW.FLAGS] = view.flags
    words[to + ROW.STATE] = view.state
    words[to + ROW.CLIENT_PORT] = view.clientPort
    words[to + ROW.VIRTUAL_PORT] = view.virtualPort
    words[to + ROW.DESTINATION_PORT] = view.destinationPort
    words[to + ROW.FWMARK] = view.fwmark | 0
    words[to + ROW.TIMEOUT] = view.timeout | 0
    words[to + ROW.PRESENT] = 0
    words[to + ROW.OFFSET] = view.offset
    words[to + ROW.VERDICT] = view.verdict
    const addressWords = view.ipv6 ? 4 : 1
    for (let i = 0; i < addressWords; i++) {
      words[to + ROW.CLIENT + i] = view.clientWord(i)
      words[to + ROW.VIRTUAL + i] = view.virtualWord(i)
      words[to + ROW.DESTINATION + i] = view.destinationWord(i)
    }
    if (view.sequenceOffset !== 0) this.#copySequence(to)
    if (view.engineDataOffset !== 0 || view.engineNameOffset !== 0) this.#copyEngine(to)
    rows.count++
  }

  #copySequence(to: number): void {
    const { words } = this.rows
    words[to + ROW.PRESENT]! |= PRESENT.SEQUENCE
    for (let i = 0; i < 6; i++) words[to + ROW.SEQUENCE + i] = this.view.sequenceWord(i)
  }

  #copyEngine(to: number): void {
    const { rows, view } = this
    rows.words[to + ROW.PRESENT]! |= PRESENT.ENGINE
    rows.engines[rows.count] = { name: view.engineName(), data: view.engineData() }
  }
}
