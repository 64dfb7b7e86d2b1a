/**
 * How fast a whole table may be sent: a bucket of tokens, in virtual time.
 *
 * @module
 */

import type { Bytes, Milliseconds, TimestampMs } from '../../units.js'

/** What Linux gives a socket that asks for nothing (`net.core.rmem_default`). */
const RECEIVE_BUFFER: Bytes = 212_992
/** What a kernel charges a receive buffer for a datagram: pages and heads of its own size classes, not its length alone. */
const CHARGE: Bytes = 2304
const CHARGE_HOLDS: Bytes = 1472
/** A busy receiver may not be run for so long; what comes meanwhile must fit half of its buffer. */
const STALL: Milliseconds = 100

/**
 * How many full datagrams a receiver's default socket buffer holds: 92 of up to 1472 bytes.
 *
 * @param length - UDP payload of a full message.
 */
export function receiveBufferHolds(length: Bytes): number {
  const charge = CHARGE * Math.ceil(length / CHARGE_HOLDS)
  return Math.max(Math.floor(RECEIVE_BUFFER / charge), 1)
}

/**
 * The rate at which a receiver that sleeps for 100 ms now and then loses nothing: half of its default buffer in that time.
 *
 * @param length - UDP payload of a full message.
 * @returns Messages a second: 460 for up to 1472 bytes.
 */
export function safeMessageRate(length: Bytes): number {
  return (Math.max(Math.floor(receiveBufferHolds(length) / 2), 1) * 1000) / STALL
}

/** Says when the next message may leave. Messages cost what their sender likes: one each, or their connections. */
export class Pacer {
  readonly #rate: number
  readonly #burst: number
  #balance: number
  #at: TimestampMs

  /**
   * @param rate - Cost a second, above 0.
   * @param burst - Cost that may leave at once after a pause, above 0.
   * @param now - When it begins; never goes back.
   */
  constructor(rate: number, burst: number, now: TimestampMs) {
    this.#rate = rate
    this.#burst = burst
    this.#balance = burst
    this.#at = now
  }

  /** How long to wait before the next message: 0 if it may leave now. */
  delay(now: TimestampMs): Milliseconds {
    this.#earn(now)
    return this.#balance > 0 ? 0 : Math.max(Math.ceil((-this.#balance * 1000) / this.#rate), 1)
  }

  /** A message left. A large one may run into debt, which is waited for afterwards: the rate holds on average. */
  spend(cost: number, now: TimestampMs): void {
    this.#earn(now)
    this.#balance -= cost
  }

  #earn(now: TimestampMs): void {
    this.#balance = Math.min(this.#balance + ((now - this.#at) * this.#rate) / 1000, this.#burst)
    this.#at = now
  }
}
