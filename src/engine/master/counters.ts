/**
 * What a master counts: where a kernel is silent, every connection and message has its number.
 *
 * @module
 */

import { FIRST_SEND, REASONS, RETRY } from '../decide-sync.js'
import type { ChannelCounters } from './channel.js'

/**
 * What became of an input: the decision's reasons, and those that a master adds.
 *
 * `announced` without asking · `no-real-server` (a persistence engine's data with an unspecified destination) ·
 * `ipv6-in-version-0` · `table-full` · `expired` · `extended` (it controls others: 60 s more) · `not-in-table`.
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

/** Codes that a master adds to a decision's. */
export const ANSWER = {
  ANNOUNCED: RETRY + 1,
  NO_REAL_SERVER: RETRY + 2,
  IPV6_IN_VERSION_0: RETRY + 3,
  TABLE_FULL: RETRY + 4,
  EXPIRED: RETRY + 5,
  EXTENDED: RETRY + 6,
  NOT_IN_TABLE: RETRY + 7
} as const

/** Whether an answer put a record into a message. */
export function isSent(code: AnswerCode): boolean {
  return code >= FIRST_SEND && code <= ANSWER.ANNOUNCED
}

/** A channel's counters and what it holds at this moment. */
export interface ChannelReport extends Readonly<ChannelCounters> {
  /** Closed messages that wait. */
  readonly queued: number
  /** Connections in the open message. */
  readonly open: number
}

/** A master's counters: numbers only ever grow, but those of what is held at this moment. */
export interface MasterCounters {
  /** Connections put into messages. */
  readonly sent: number
  /** Connections considered and not put into a message. */
  readonly suppressed: number
  /** Connections in open and queued messages at this moment. */
  readonly held: number
  /** Connections lost with their messages in full queues. */
  readonly dropped: number
  /** Connections given up by a close that was told to. */
  readonly discarded: number
  /** Events that found their queue full. */
  readonly eventsLost: number
  /** How often each answer was given, also to controlling entries. */
  readonly answers: Readonly<Record<MasterAnswer, number>>
  /** By channel number. */
  readonly channels: readonly ChannelReport[]
}

/** Puts a report together: a copy that later counting does not change. */
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
