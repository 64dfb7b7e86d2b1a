/**
 * Sends a whole table as one answer: its messages at a pace, and the list of each portion behind it.
 *
 * @module
 */

import { Pacer, type Pace } from '../../engine/full-table/pacer.js'
import type { Datagram } from '../../engine/engine.js'
import type { TimestampMs } from '../../units.js'
import { indexesOf, LIST_MESSAGES, messageSum } from './arrival-proof.js'
import type { Piece } from './messages.js'

/** Slices of the source that are read in one step: about two milliseconds. */
const SLICES = 8

/** A list, or a message of the table by its number. */
type Item = { readonly list: number } | { readonly message: number }

/** Encodes the list of a portion. */
export type ListEncoder = (portion: number, sums: readonly number[]) => Uint8Array

/** Holds the messages of one table and lets them leave. */
export class TableSender {
  readonly #messages: Datagram[] = []
  readonly #encodeList: ListEncoder
  #source: Iterator<Datagram | undefined, void> | undefined
  #pacer: Pacer
  #pace: Pace
  /** What is sent, and the position of the next item. */
  #items: Item[] = []
  #next = 0
  #now: TimestampMs
  #sent = 0
  #connections = 0

  /**
   * @param source - The messages, each once.
   * @param pace - Of the messages; lists are free.
   */
  constructor(source: Iterator<Datagram | undefined, void>, pace: Pace, encodeList: ListEncoder, now: TimestampMs) {
    this.#source = source
    this.#encodeList = encodeList
    this.#pace = pace
    this.#pacer = new Pacer(pace.rate, pace.burst, now)
    this.#now = now
  }

  /** Connections of the whole table; those read so far while it is being read. */
  get connections(): number {
    return this.#connections
  }

  /** Messages of the whole table. */
  get messages(): number {
    return this.#messages.length
  }

  /** Connections that have left since the last start. */
  get sent(): number {
    return this.#sent
  }

  /** Whether everything has left. */
  get isDone(): boolean {
    return this.#source === undefined && this.#next === this.#items.length
  }

  /** Lowers the pace; a higher one is ignored. */
  slowDown(pace: Pace, now: TimestampMs): void {
    if (pace.rate >= this.#pace.rate) return
    this.#pace = pace
    this.#pacer = new Pacer(pace.rate, pace.burst, now)
  }

  /** Retransmits messages of a table that was sent before. */
  repeat(pieces: readonly Piece[], now: TimestampMs): void {
    this.#start(pieces.flatMap(indexesOf))
    const lists = pieces.filter((piece) => indexesOf(piece).length === 0)
    this.#items.unshift(...lists.map(({ portion }) => ({ list: portion })))
    this.handleTimeout(now)
  }

  /** Takes the time; reads the next part of the source while there is more. */
  handleTimeout(now: TimestampMs): void {
    this.#now = now
    if (this.#source !== undefined) this.#read(this.#source)
  }

  /** Returns when the next message may leave; `Infinity` while one that may leave is not polled. */
  nextTimeout(): TimestampMs {
    if (this.#source !== undefined) return this.#now + 1
    const delay = this.isDone ? 0 : this.#pacer.delay(this.#now)
    return delay === 0 ? Infinity : this.#now + delay
  }

  /** Returns the next datagram if it may leave. */
  poll(): Datagram | undefined {
    const item = this.#items[this.#next]
    if (item === undefined) return undefined
    if ('list' in item) {
      this.#next++
      const portion = item.list
      const messages = this.#messages.slice(portion * LIST_MESSAGES, (portion + 1) * LIST_MESSAGES)
      const list = this.#encodeList(
        portion,
        messages.map(({ bytes }) => messageSum(bytes))
      )
      return { channel: 0, bytes: list, connections: 0 }
    }
    if (this.#pacer.delay(this.#now) > 0) return undefined
    const message = this.#messages[item.message]!
    this.#pacer.spend(this.#pace.costOf(message), this.#now)
    this.#next++
    this.#sent += message.connections
    return message
  }

  #read(source: Iterator<Datagram | undefined, void>): void {
    let slices = 0
    for (let step = source.next(); !step.done; step = source.next()) {
      if (step.value === undefined) {
        if (++slices === SLICES) return
        continue
      }
      // Receivers of every sync_ports listen on the first channel, and the requester matches the source port.
      this.#messages.push({ ...step.value, channel: 0 })
      this.#connections += step.value.connections
    }
    this.#source = undefined
    this.#start([...this.#messages.keys()])
  }

  /** Queues messages in their order; the list of a portion follows its last message. */
  #start(numbers: readonly number[]): void {
    this.#items = []
    this.#next = 0
    this.#sent = 0
    for (const [index, number] of numbers.entries()) {
      this.#items.push({ message: number })
      const portion = portionOf(number)
      if (index + 1 === numbers.length || portionOf(numbers[index + 1]!) !== portion)
        this.#items.push({ list: portion })
    }
  }
}

function portionOf(number: number): number {
  return Math.floor(number / LIST_MESSAGES)
}
