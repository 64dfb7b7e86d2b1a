/**
 * Limits how many answers an agent sends: anyone who can reach the group can request them.
 *
 * @module
 */

import { LRUCache } from 'lru-cache'
import type { Milliseconds, TimestampMs } from '../../units.js'

/** Requesters that are remembered; the limit of all together holds even for forgotten ones. */
const MAX_REQUESTERS = 256

/**
 * Allows each requester a burst of answers, then one an interval. All requesters together get twice as many, so that no
 * single one can use up the answers of the others.
 */
export class AnswerLimiter {
  readonly #requesters = new LRUCache<string, LeakyBucket>({ max: MAX_REQUESTERS })
  readonly #interval: Milliseconds
  readonly #burst: number
  readonly #total: LeakyBucket

  /**
   * @param interval - Time after which a requester may get one more answer, ≥ 1.
   * @param burst - Answers that may follow each other at once, ≥ 1.
   */
  constructor(interval: Milliseconds, burst: number) {
    this.#interval = interval
    this.#burst = burst
    this.#total = new LeakyBucket(interval / 2, burst * 2)
  }

  /** Returns whether a requester would get an answer now. */
  isOpen(requester: string, now: TimestampMs): boolean {
    return this.#total.hasRoom(now) && (this.#requesters.get(requester)?.hasRoom(now) ?? true)
  }

  /** Takes an answer; returns false if the limit is reached. */
  take(requester: string, now: TimestampMs): boolean {
    if (!this.isOpen(requester, now)) return false
    const bucket = this.#requesters.get(requester) ?? new LeakyBucket(this.#interval, this.#burst)
    this.#requesters.set(requester, bucket)
    bucket.add(1, now)
    this.#total.add(1, now)
    return true
  }

  /**
   * Gives back the unsent share of a cancelled answer, so that requests that are cancelled at once starve nobody.
   *
   * @param share - 0…1.
   */
  refund(requester: string, share: number, now: TimestampMs): void {
    this.#requesters.get(requester)?.add(-share, now)
    this.#total.add(-share, now)
  }
}

/** A level that falls by one each interval. */
class LeakyBucket {
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

  add(amount: number, now: TimestampMs): void {
    this.#level = Math.max(0, this.#levelAt(now) + amount)
    this.#at = now
  }

  #levelAt(now: TimestampMs): number {
    return Math.max(0, this.#level - (now - this.#at) / this.#interval)
  }
}
