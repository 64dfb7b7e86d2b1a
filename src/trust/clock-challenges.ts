/**
 * Challenges to senders whose clock differs too much: an authentic message with a wrong time may be a recording, a response
 * with a fresh nonce cannot be. So a director without a trusted clock takes part, and its recorded messages do not.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Milliseconds, TimestampMs } from '../units.js'
import type { ClockMessage } from './repair-messages.js'
import { SecondLimit } from './second-limit.js'
import type { Trailer } from './trailer.js'
import type { Verifier } from './verifier.js'

/** A sender is challenged again after this time, and a response counts within it. */
export const CHALLENGE_INTERVAL: Milliseconds = 1000
/** Challenges a second to all senders, and responses a second, at most. */
export const CHALLENGES_A_SECOND = 20

/** The challenges of one participant, and its responses to those of others. */
export class ClockChallenges {
  readonly #own: bigint
  readonly #verifier: Verifier
  readonly #pending = new LRUCache<bigint, { readonly nonce: bigint; readonly sentAt: TimestampMs }>({ max: 256 })
  readonly #challengeLimit = new SecondLimit(CHALLENGES_A_SECOND)
  readonly #responseLimit = new SecondLimit(CHALLENGES_A_SECOND)

  /**
   * @param own - This participant's sender id.
   * @param verifier - Learns the clocks of those that responded.
   */
  constructor(own: bigint, verifier: Verifier) {
    this.#own = own
    this.#verifier = verifier
  }

  /** Returns a challenge to the sender of a stale message; undefined while one is pending, or beyond the limit. */
  challenge({ sender, channel }: Trailer, now: TimestampMs): ClockMessage | undefined {
    const pending = this.#pending.get(sender)
    if (pending !== undefined && now - pending.sentAt < CHALLENGE_INTERVAL) return undefined
    if (!this.#challengeLimit.take(now)) return undefined
    const nonce = randomBytes(8).readBigUInt64BE()
    this.#pending.set(sender, { nonce, sentAt: now })
    return { kind: 'challenge', channel, sender, nonce }
  }

  /**
   * Handles an authentic challenge or response, whatever its time: the clock of either side may be the wrong one.
   *
   * @returns The response to a challenge.
   */
  handle({ kind, channel, sender, nonce }: ClockMessage, trailer: Trailer, now: TimestampMs): ClockMessage | undefined {
    if (sender !== this.#own) return undefined
    if (kind === 'challenge')
      return this.#responseLimit.take(now) ? { kind: 'response', channel, sender: trailer.sender, nonce } : undefined
    const pending = this.#pending.get(trailer.sender)
    if (pending?.nonce !== nonce || now - pending.sentAt >= CHALLENGE_INTERVAL) return undefined
    this.#pending.delete(trailer.sender)
    this.#verifier.setClock(trailer.sender, trailer.time)
    return undefined
  }
}
