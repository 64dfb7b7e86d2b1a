/**
 * Options, events and reports of an agent's engine.
 *
 * @module
 */

import type { NoticeEvent } from '../../engine/events.js'
import type { Datagram } from '../../engine/engine.js'
import type { Bytes, Milliseconds } from '../../units.js'
import type { AgentId, ReceiveCapacity } from './messages.js'

/** Intervals, timeouts and limits of an agent, in milliseconds. */
export interface AgentTimes {
  /** Maximum of the random delay before an offer, so that many agents do not answer in one moment. 200 by default. */
  readonly offerDelay: Milliseconds
  /** Time in which offers are collected, from the first one on. 300 by default. */
  readonly choice: Milliseconds
  /** Interval of a repeated request. 1,000 by default. */
  readonly retry: Milliseconds
  /** Timeout of a silent responder, after which another one is asked. 3,000 by default. */
  readonly silence: Milliseconds
  /** Timeout of a responder that reports progress but sends no part of the table. 90,000 by default. */
  readonly stall: Milliseconds
  /** Time in which messages may arrive after the end of an answer. 300 by default. */
  readonly stragglers: Milliseconds
  /** Limit of the search for a table; the agent is ready without one afterwards. 30,000 by default. */
  readonly limit: Milliseconds
  /** Limit of all answers together; the agent is ready afterwards. 600,000 by default. */
  readonly transferLimit: Milliseconds
  /** Interval of hellos. A peer that is silent for three intervals has left. 10,000 by default. */
  readonly hello: Milliseconds
  /** Interval of progress reports. 1,000 by default. */
  readonly progress: Milliseconds
  /** Time after which one requester may get another answer: see `answerBurst`. 30,000 by default. */
  readonly answerInterval: Milliseconds
  /** Time after an answer in which parts of it are retransmitted on request. 10,000 by default. */
  readonly memory: Milliseconds
}

/** Default times. */
export const AGENT_TIMES: AgentTimes = Object.freeze({
  offerDelay: 200,
  choice: 300,
  retry: 1000,
  silence: 3000,
  stall: 90_000,
  stragglers: 300,
  limit: 30_000,
  transferLimit: 600_000,
  hello: 10_000,
  progress: 1000,
  answerInterval: 30_000,
  memory: 10_000
})

/** The table that an agent sends to others. */
export interface TableSource {
  /** Connections in it now. */
  readonly size: number
  /**
   * Reads it as sync messages. Undefined instead of a message means that reading takes longer: the engine continues at its
   * next timeout.
   */
  messages(): Iterator<Datagram | undefined, void>
}

/** Options of an `AgentEngine`. */
export interface AgentEngineOptions {
  /** The agent's name: random, not `EVERY_AGENT`. */
  readonly id: AgentId
  /** 0…255. Messages are sent with this syncid; those with another one are ignored. 0 accepts every syncid. */
  readonly syncid: number
  /** Returns random numbers, 0 ≤ n < 1. */
  readonly chance: () => number
  /** The table. */
  readonly table: TableSource
  /** UDP payload of the largest message of an answer. 1,472 by default. */
  readonly maxLength?: Bytes
  /** Maximum rate of an answer in connections a second. By default the requester's receive buffer decides. */
  readonly rate?: number
  /** Receive buffer settings of this host, which requests state. */
  readonly capacity?: ReceiveCapacity
  /** Whether the agent sends its table to others. True by default. */
  readonly answers?: boolean
  /** Answers that may follow each other at once for one requester; twice as many in total. 2 by default. */
  readonly answerBurst?: number
  /** Answers after which the agent is ready with what it received; lost messages are requested singly before. 2 by default. */
  readonly attempts?: number
  /** Whether an answer is complete only if the kernel's own table has it: see the event `verify`. False by default. */
  readonly verifies?: boolean
  /** Whether the kernel gets the stored table before the agent is ready alone: see the event `restore`. False by default. */
  readonly restores?: boolean
  /** Networks whose agents are accepted; all by default. */
  readonly accept?: readonly string[]
  /** Times that differ from `AGENT_TIMES`. */
  readonly times?: Partial<AgentTimes>
}

/** Why an agent is ready. */
export type AgentOutcome =
  /** A whole table was received, or another agent has a copy of this one. */
  | 'complete'
  /** Part of the table is missing, and no agent could supply it. */
  | 'incomplete'
  /** No agent with a table was there. */
  | 'alone'

/** What an agent asks of the program that runs it, or reports. */
export type AgentEvent =
  /** Bring the table up to date and call `refreshed`; the answer starts then. */
  | { readonly type: 'refresh'; readonly to: AgentId; readonly address: string }
  /** Check that the kernel's own table has what was received, and call `verified`. */
  | { readonly type: 'verify'; readonly connections: number }
  /** Bring the kernel the connections of the table, and call `verified`. */
  | { readonly type: 'restore' }
  /** The status changed. */
  | {
      readonly type: 'status'
      readonly ready: boolean
      readonly outcome: AgentOutcome | undefined
      readonly text: string
    }
  | NoticeEvent

/** Reasons for which a message of another agent has no effect. */
export type AgentRejection =
  | 'OTHER_SYNCID'
  | 'OTHER_VERSION'
  | 'NOT_ACCEPTED'
  | 'MALFORMED'
  /** A request over the limit of answers. */
  | 'RATE_LIMITED'
  /** A request while an answer is being sent. */
  | 'BUSY'
  /** An answer of an agent that has not announced itself, or from another address than its offer. */
  | 'UNKNOWN_RESPONDER'
