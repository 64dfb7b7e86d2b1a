/**
 * What an agent is made of.
 *
 * @module
 */

import type { Milliseconds } from '../../units.js'
import type { AgentId } from './messages.js'
import type { Piece } from './arrival-proof.js'

/** Times of an agent, all in milliseconds. */
export interface AgentTimes {
  /** An offer leaves after a random delay up to this, so that many agents do not answer in one moment. 200 by default. */
  readonly offerDelay: Milliseconds
  /** How long offers are collected, counted from the first. 300 by default. */
  readonly choice: Milliseconds
  /** How long until the same question is asked again. 1,000 by default. */
  readonly retry: Milliseconds
  /** Who says nothing for so long is given up, and another one is asked. 3,000 by default. */
  readonly silence: Milliseconds
  /** How long messages may come after the one that says that there are no more. 300 by default. */
  readonly stragglers: Milliseconds
  /** How long to look for a table, and to wait while none is under way, before being ready without. 30,000 by default. */
  readonly limit: Milliseconds
  /** How long all answers may take together; ready without after it. 600,000 by default. */
  readonly transferLimit: Milliseconds
  /** How often an agent says that it is there. 10,000 by default. */
  readonly hello: Milliseconds
  /** How often one who answers says how far it is. 1,000 by default. */
  readonly progress: Milliseconds
  /** One requester gets an answer so often: see {@link AgentEngineOptions.answerBurst}. 30,000 by default. */
  readonly answerInterval: Milliseconds
  /** How long after an answer some of its messages can be asked for again. 10,000 by default. */
  readonly memory: Milliseconds
}

/** The times of an agent that is told nothing else. */
export const AGENT_TIMES: AgentTimes = Object.freeze({
  offerDelay: 200,
  choice: 300,
  retry: 1000,
  silence: 3000,
  stragglers: 300,
  limit: 30_000,
  transferLimit: 600_000,
  hello: 10_000,
  progress: 1000,
  answerInterval: 30_000,
  memory: 10_000
})

/** What an agent is made of. */
export interface AgentEngineOptions {
  /** Its own name: random, not `EVERYBODY`. */
  readonly id: AgentId
  /** 0…255. It speaks with this one, and hears this one alone; 0 hears all. */
  readonly syncid: number
  /** Gives random numbers, 0 ≤ n < 1. */
  readonly chance: () => number
  /** How many connections there are to give away now. */
  readonly tableSize: () => number
  /** Whether it gives its table to others. True by default. */
  readonly answers?: boolean
  /** So many answers may follow each other at once for one requester, twice as many in total. 2 by default. */
  readonly answerBurst?: number
  /** How many answers are waited for before it is ready with what it has: what is lost is asked for by message first. 2 by default. */
  readonly attempts?: number
  /** Whether somebody looks at the kernel's own table before an answer counts as complete: see the event `verify`. False by default. */
  readonly verifies?: boolean
  /** Whether the kernel gets what there is before it is ready alone: see the event `restore`. False by default. */
  readonly restores?: boolean
  /** Networks whose requests are heard; all where there is none. */
  readonly accept?: readonly string[]
  /** Times that differ from `AGENT_TIMES`. */
  readonly times?: Partial<AgentTimes>
}

/** Why an agent is ready. */
export type AgentOutcome =
  /** A whole table came. */
  | 'complete'
  /** Some of the last answer is missing, and no more was to be had. */
  | 'incomplete'
  /** Nobody answered in time. */
  | 'alone'

/** What an agent asks of whoever runs it. */
export type AgentEvent =
  /** Send the whole table; tell `answerProgress` and `answerPortion` as it goes on, and `answerDone` at the end. */
  | { readonly type: 'answer'; readonly to: AgentId; readonly address: string }
  /** Send these messages of it again, tell `answerPortion` for each piece, and `answerDone`. */
  | { readonly type: 'repeat'; readonly pieces: readonly Piece[] }
  /** None of it will be asked for any more. */
  | { readonly type: 'forget' }
  /** Send no more of it. */
  | { readonly type: 'stop' }
  /** See that the kernel's own table has all that came, and call `verified`; the answer had `connections`. */
  | { readonly type: 'verify'; readonly connections: number }
  /** Nobody answered: bring the kernel the connections that there are, and call `verified`. */
  | { readonly type: 'restore' }
  /** Its status changed: a line for a person. */
  | { readonly type: 'status'; readonly ready: boolean; readonly text: string }
