/**
 * How often a table is given away: whoever can reach the group can ask, and must not make agents flood it.
 *
 * @module
 */

import { LRUCache } from 'lru-cache'
import type { Milliseconds, TimestampMs } from '../../units.js'

/** Requesters that are remembered; the total holds whatever is forgotten. */
const MOST_REQUESTERS = 256

/** Each requester gets so many at once, then one an interval; all together get twice as many, so that one alone starves nobody. */
export class AnswerGate {
  readonly #requesters = new LRUCache<string, Bucket>({ max: MOST_REQUESTERS })
  readonly #interval: Milliseconds
  readonly #burst: number
  readonly #total: Bucket

  /**
   * @param interval - One answer more for a requester each interval, ≥ 1.
   * @param burst - So many may follow each other at once, ≥ 1: a repeat after loss needs one.
   */
  constructor(interval: Milliseconds, burst: number) {
    this.#interval = interval
    this.#burst = burst
    this.#total = new Bucket(interval / 2, burst * 2)
  }

  /** Whether this requester would get an answer now. */
  isOpen(requester: string, now: TimestampMs): boolean {
    return this.#total.hasRoom(now) && (this.#requesters.get(requester)?.hasRoom(now) ?? true)
  }

  /** Takes an answer, if there is one to be had. */
  take(requester: string, now: TimestampMs): boolean {
    if (!this.isOpen(requester, now)) return false
    const bucket = this.#requesters.get(requester) ?? new Bucket(this.#interval, this.#burst)
    this.#requesters.set(requester, bucket)
    bucket.fill(now)
    this.#total.fill(now)
    return true
  }
}

/** Answers given, less one for each interval since. */
class Bucket {
  readonly #interval: Milliseconds
  readonly #burst: number
  #level = 0
  #at: TimestampMs = 0

  constructor(interval: Milliseconds, burst: number) {
    this.#interval = interval
    this.#burst = burst
  }

  hasRoom(now: TimestampMs): boolean {
    return this.#levelAt(now) <= this.#burst - 1
  }

  fill(now: TimestampMs): void {
    this.#level = this.#levelAt(now) + 1
    this.#at = now
  }

  #levelAt(now: TimestampMs): number {
    return Math.max(0, this.#level - (now - this.#at) / this.#interval)
  }
}
