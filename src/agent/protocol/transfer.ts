/**
 * A table on its way to an agent: who offered it, and how far it has come.
 *
 * @module
 */

import type { Milliseconds, TimestampMs } from '../../units.js'
import type { AgentId } from './messages.js'
import { ArrivalProof } from './arrival-proof.js'
import type { From } from '../../engine/events.js'

/** What an agent offers. */
export interface Offer {
  readonly id: AgentId
  readonly source: From
  readonly connections: number
  readonly ready: boolean
}

/** What an answer's end says was sent. */
export interface End {
  readonly connections: number
  readonly messages: number
}

/** A table that is on its way. */
export interface Transfer {
  readonly offer: Offer
  /** The request that it answers: another's, where we only listen. */
  readonly request: number
  readonly joined: boolean
  begun: boolean
  planned: number
  readonly proof: ArrivalProof
  heardAt: TimestampMs
  askAgainAt: TimestampMs
  /** What the end said was sent, and when to judge it. */
  end: End | undefined
  judgeAt: TimestampMs
  /** How often messages were sent again at least, when the end counts. */
  round: number
  /** Messages of the table, as the last end said. */
  sent: number
  /** Messages that were missing when they were last asked for, and how often that brought none of them. */
  missing: number
  inVain: number
  verifying: boolean
}

/**
 * A table that is expected from now on.
 *
 * @param request - The request that it answers.
 * @param joined - Whether it was another's request, and we only listen.
 * @param retry - When to ask again if nothing comes.
 */
export function expectTransfer(
  offer: Offer,
  request: number,
  joined: boolean,
  now: TimestampMs,
  retry: Milliseconds
): Transfer {
  return {
    offer,
    request,
    joined,
    begun: false,
    planned: offer.connections,
    proof: new ArrivalProof(),
    heardAt: now,
    askAgainAt: joined ? Infinity : now + retry,
    end: undefined,
    judgeAt: Infinity,
    round: 0,
    sent: 0,
    missing: Infinity,
    inVain: 0,
    verifying: false
  }
}

/**
 * Who is ready, then who has most, then the lowest name; one who has just failed only if there is no other.
 *
 * @param offers - One at least.
 */
export function bestOffer(offers: Iterable<Offer>, failed: AgentId | undefined): Offer {
  const sorted = [...offers].sort(
    (one, other) =>
      Number(one.id === failed) - Number(other.id === failed) ||
      Number(other.ready) - Number(one.ready) ||
      other.connections - one.connections ||
      (one.id < other.id ? -1 : 1)
  )
  return sorted[0]!
}
