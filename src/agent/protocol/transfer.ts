/**
 * A table on its way to a requester: who offered it, and how far it is.
 *
 * @module
 */

import type { From } from '../../engine/events.js'
import type { TimestampMs } from '../../units.js'
import { ArrivalProof } from './arrival-proof.js'
import type { AgentId } from './messages.js'

/** A table that an agent offers. */
export interface Offer {
  readonly id: AgentId
  readonly source: From
  readonly connections: number
  readonly ready: boolean
}

/** Total that the end of an answer states. */
export interface End {
  readonly connections: number
  readonly messages: number
}

/** A table that is expected, or being received. */
export interface Transfer {
  readonly offer: Offer
  /** Number of the request that it answers: another agent's request if `isJoined`. */
  readonly request: number
  readonly isJoined: boolean
  readonly proof: ArrivalProof
  /** Time of the begin; undefined until then. */
  begunAt: TimestampMs | undefined
  /** Connections that the responder plans to send. */
  planned: number
  /** Total, when the end was received. */
  end: End | undefined
  /** Requests for retransmission so far; an end of an earlier round is ignored. */
  round: number
  /** Last stated total, for requests that are repeated. */
  total: End
  /** Messages missing at the last request for retransmission, and such requests in a row that brought none of them. */
  missing: number
  fruitless: number
  isVerifying: boolean
}

/** Creates a transfer that is expected from an offer. */
export function createTransfer(offer: Offer, request: number, isJoined: boolean): Transfer {
  return {
    offer,
    request,
    isJoined,
    proof: new ArrivalProof(),
    begunAt: undefined,
    planned: offer.connections,
    end: undefined,
    round: 0,
    total: { connections: 0, messages: 0 },
    missing: Infinity,
    fruitless: 0,
    isVerifying: false
  }
}
