/**
 * Counters of a master. A kernel drops silently; here every connection and message is counted.
 *
 * @module
 */

import { DECISION, FIRST_SEND, REASONS } from '../decide-sync.js'
import type { ChannelCounters } from './channel.js'

/**
 * Outcomes of an input: the reasons of a decision, and those that a master adds.
 *
 * `announced` without a decision · `no-real-server` (a persistence engine's data with an unspecified destination) ·
 * `ipv6-in-version-0` · `table-full` · `expired` · `extended` (it controls others: kept for 60 s) · `not-in-table`.
 */
export const ANSWERS = [
  ...REASONS,
  'announced',
  'no-real-server',
  'ipv6-in-version-0',
  'table-full',
  'expired',
  'extended',
  'not-in-table'
] as const

/** One of {@link ANSWERS}. */
export type MasterAnswer = (typeof ANSWERS)[number]

/** The number of an answer in {@link ANSWERS}. */
export type AnswerCode = number

/** Codes of the outcomes that a master adds. */
export const ANSWER = {
  ANNOUNCED: DECISION.RETRY + 1,
  NO_REAL_SERVER: DECISION.RETRY + 2,
  IPV6_IN_VERSION_0: DECISION.RETRY + 3,
  TABLE_FULL: DECISION.RETRY + 4,
  EXPIRED: DECISION.RETRY + 5,
  EXTENDED: DECISION.RETRY + 6,
  NOT_IN_TABLE: DECISION.RETRY + 7
} as const

/** Returns whether an outcome put a record into a message. */
export function isSent(code: AnswerCode): boolean {
  return code >= FIRST_SEND && code <= ANSWER.ANNOUNCED
}

/** Counters and current content of a channel. */
export interface ChannelReport extends Readonly<ChannelCounters> {
  /** Closed messages that wait now. */
  readonly queued: number
  /** Connections in the open message now. */
  readonly open: number
}

/** Counters of a master: all but `held` only grow. */
export interface MasterCounters {
  /** Connections put into messages. */
  readonly sent: number
  /** Connections considered and not put into a message. */
  readonly suppressed: number
  /** Connections in open and queued messages now. */
  readonly held: number
  /** Connections lost with messages that did not fit into a queue. */
  readonly dropped: number
  /** Connections discarded by a close with `discard`. */
  readonly discarded: number
  /** Events that did not fit into the event queue. */
  readonly eventsLost: number
  /** Number of each outcome, those of controlling entries included. */
  readonly answers: Readonly<Record<MasterAnswer, number>>
  /** By channel number. */
  readonly channels: readonly ChannelReport[]
}

/** Returns a copy of the counters. */
export function summarize(
  byCode: Float64Array,
  channels: readonly ChannelReport[],
  rest: Pick<MasterCounters, 'held' | 'discarded' | 'eventsLost'>
): MasterCounters {
  const total = (from: number, to: number): number => byCode.subarray(from, to).reduce((a, b) => a + b, 0)
  const answers = Object.fromEntries(ANSWERS.map((name, code) => [name, byCode[code]!]))
  return {
    ...rest,
    sent: total(FIRST_SEND, ANSWER.ANNOUNCED + 1),
    suppressed: total(0, FIRST_SEND) + total(ANSWER.NO_REAL_SERVER, ANSWER.TABLE_FULL),
    dropped: channels.reduce((sum, { connectionsDropped }) => sum + connectionsDropped, 0),
    answers: answers as Record<MasterAnswer, number>,
    channels
  }
}
