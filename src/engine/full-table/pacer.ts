/**
 * The pace of a full table transfer: a token bucket in virtual time.
 *
 * @module
 */
import type { Bytes, Milliseconds, TimestampMs } from '../../units.js'
import type { Datagram } from '../engine.js'

/** Linux's default for a socket that sets no size (`net.core.rmem_default`). */
const RECEIVE_BUFFER: Bytes = 212_992
/** What the kernel charges to a receive buffer for a datagram: pages and headers of its size classes, not the length alone. */
const CHARGE: Bytes = 2304
const CHARGE_HOLDS: Bytes = 1472
/** A busy receiver may not be scheduled for this long; the datagrams of that time must fit half of its buffer. */
const STALL: Milliseconds = 100
/** A pace in connections may send this share of a second's worth at once: timers are no finer. */
const BURST_SHARE = 0.02
/** A pace in messages is slow enough for a small burst. */
const BURST_MESSAGES = 8
/** Smallest record of version 1. */
const RECORD: Bytes = 36

/** A pace: the cost of a message, and how much may be spent. */
export interface Pace {
  /** Cost a second, above 0. */
  readonly rate: number
  /** Cost that may be sent at once after a pause, above 0. */
  readonly burst: number
  /** Returns the cost of one message. */
  readonly costOf: (message: Datagram) => number
}

/**
 * Returns how many full datagrams a receive buffer holds: 92 of up to 1472 bytes in the default one.
 *
 * @param length - UDP payload of a full message.
 * @param buffer - Size of the buffer (`SO_RCVBUF` as the kernel counts it); by default Linux's default.
 */
export function receiveBufferHolds(length: Bytes, buffer: Bytes = RECEIVE_BUFFER): number {
  const charge = CHARGE * Math.ceil(length / CHARGE_HOLDS)
  return Math.max(Math.floor(buffer / charge), 1)
}

/**
 * Returns the rate at which a receiver that sleeps for 100 ms now and then loses nothing: half of its buffer in that time.
 *
 * @param length - UDP payload of a full message.
 * @param buffer - Size of the buffer; by default Linux's default.
 * @returns Messages a second: 460 for up to 1472 bytes.
 */
export function safeMessageRate(length: Bytes, buffer: Bytes = RECEIVE_BUFFER): number {
  return (Math.max(Math.floor(receiveBufferHolds(length, buffer) / 2), 1) * 1000) / STALL
}

/**
 * Returns a given pace, or the one at which a receiver loses nothing.
 *
 * @param length - UDP payload of a full message.
 * @param rate - Connections a second, above 0; by default `safeMessageRate`.
 * @param buffer - Size of the receiver's buffer; by default Linux's default.
 */
export function paceFor(length: Bytes, rate?: number, buffer: Bytes = RECEIVE_BUFFER): Pace {
  if (rate === undefined) return { rate: safeMessageRate(length, buffer), burst: BURST_MESSAGES, costOf: () => 1 }
  // However fast: no more at once than half of what a receiver holds.
  const half = (receiveBufferHolds(length, buffer) / 2) * Math.max(length / RECORD, 1)
  return { rate, burst: Math.min(Math.max(rate * BURST_SHARE, 1), half), costOf: ({ connections }) => connections }
}

/** Token bucket: says when the next message may be sent. */
export class Pacer {
  readonly #rate: number
  readonly #burst: number
  #balance: number
  #at: TimestampMs

  /**
   * @param rate - Cost a second, above 0.
   * @param burst - Cost that may be sent at once after a pause, above 0.
   * @param now - The begin; never goes back.
   */
  constructor(rate: number, burst: number, now: TimestampMs) {
    this.#rate = rate
    this.#burst = burst
    this.#balance = burst
    this.#at = now
  }

  /** Returns how long to wait before the next message: 0 if it may be sent now. */
  delay(now: TimestampMs): Milliseconds {
    this.#earn(now)
    return this.#balance > 0 ? 0 : Math.max(Math.ceil((-this.#balance * 1000) / this.#rate), 1)
  }

  /** Subtracts the cost of a message. A large one may run into debt, so that the rate holds on average. */
  spend(cost: number, now: TimestampMs): void {
    this.#earn(now)
    this.#balance -= cost
  }

  #earn(now: TimestampMs): void {
    this.#balance = Math.min(this.#balance + ((now - this.#at) * this.#rate) / 1000, this.#burst)
    this.#at = now
  }
}
