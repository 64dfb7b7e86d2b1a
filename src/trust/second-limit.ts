/**
 * A limit on events a second.
 *
 * @module
 */

import type { TimestampMs } from '../units.js'

/** A limit on events in each second. */
export class SecondLimit {
  readonly #limit: number
  #begin: TimestampMs = -Infinity
  #count = 0

  /** @param limit - Events in a second, at most. */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** Returns whether one more event is within the limit, and counts it then. */
  take(now: TimestampMs): boolean {
    if (now - this.#begin >= 1000) {
      this.#begin = now
      this.#count = 0
    }
    if (this.#count >= this.#limit) return false
    this.#count++
    return true
  }
}
