/**
 * The sender of a whole table: messages at a pace, in virtual time. `resync`, an agent's answer and an agent's restore of its
 * own kernel all send through it.
 *
 * @module
 */
import { demandKnownOptions, type OptionNames } from '../../demand.js'
import type { TimestampMs } from '../../units.js'
import type { Datagram, Transmitter } from '../engine.js'
import { Pacer, type Pace } from './pacer.js'

/** Options of a {@link FullTableSender}. */
export interface FullTableOptions {
  /** The pace: see `paceFor`. */
  readonly pace: Pace
  /** How many times the whole is sent, one after the other (UDP is lossy; repeats are harmless). 1 by default. */
  readonly times?: number
  /** The time. */
  readonly now: TimestampMs
}

/** Number of messages and connections sent, repeats included. */
export interface FullTableProgress {
  /** Messages sent. */
  readonly messages: number
  /** Connections in them. */
  readonly connections: number
}

/** Names of the options. */
const OPTIONS: OptionNames<FullTableOptions> = { pace: true, times: true, now: true }

/**
 * Sends messages at a pace.
 *
 * @example
 * ```ts
 * const sender = new FullTableSender(tableMessages(table, options), { pace: paceFor(1472), now })
 * // At each nextTimeout():
 * sender.handleTimeout(now)
 * for (let next = sender.pollTransmit(); next; next = sender.pollTransmit()) send(next)
 * ```
 */
export class FullTableSender implements Transmitter {
  readonly #messages: Iterable<Datagram | undefined>
  readonly #pace: Pace
  readonly #pacer: Pacer
  readonly #held = new Set<number>()
  readonly #sent = { messages: 0, connections: 0 }
  #source: Iterator<Datagram | undefined>
  #roundsLeft: number
  #next: Datagram | undefined
  #now: TimestampMs
  #finished = false

  /**
   * @param messages - Iterated once for each time it is sent. An item that is undefined means that more work is needed for the
   *   next message (`tableMessages`): other work is done first.
   * @param options - Pace and time.
   */
  constructor(messages: Iterable<Datagram | undefined>, options: FullTableOptions) {
    demandKnownOptions(options, OPTIONS)
    const { pace, times = 1, now } = options
    this.#messages = messages
    this.#pace = pace
    this.#pacer = new Pacer(pace.rate, pace.burst, now)
    this.#now = now
    this.#roundsLeft = times - 1
    this.#source = messages[Symbol.iterator]()
    this.#pull()
  }

  /** Returns whether everything was sent, or {@link FullTableSender.stop} was called. */
  isFinished(): boolean {
    return this.#finished
  }

  /** Progress so far. */
  get sent(): FullTableProgress {
    return this.#sent
  }

  /** Takes the time. */
  handleTimeout(now: TimestampMs): void {
    if (now > this.#now) this.#now = now
  }

  /** Returns when the next message may be sent; Infinity at the end and while its channel is held. */
  nextTimeout(): TimestampMs {
    if (this.#finished || (this.#next !== undefined && this.#held.has(this.#next.channel))) return Infinity
    return this.#now + this.#pacer.delay(this.#now)
  }

  /** Returns the next message that may be sent now, or undefined. */
  pollTransmit(): Datagram | undefined {
    if (this.#finished || this.#pacer.delay(this.#now) > 0) return undefined
    const next = this.#next
    if (next === undefined) this.#pull()
    else if (!this.#held.has(next.channel)) {
      this.#pacer.spend(this.#pace.costOf(next), this.#now)
      this.#sent.messages++
      this.#sent.connections += next.connections
      this.#pull()
      return next
    }
    return undefined
  }

  /** Holds a channel whose socket is full, or releases it. */
  hold(channel: number, held: boolean): void {
    if (held) this.#held.add(channel)
    else this.#held.delete(channel)
  }

  /** Ends it early. */
  stop(): void {
    this.#finished = true
  }

  /** Takes the next item of the source, of the next round at its end. */
  #pull(): void {
    let item = this.#source.next()
    while (item.done === true && this.#roundsLeft > 0) {
      this.#roundsLeft--
      this.#source = this.#messages[Symbol.iterator]()
      item = this.#source.next()
    }
    this.#finished = item.done === true
    this.#next = item.done === true ? undefined : item.value
  }
}
