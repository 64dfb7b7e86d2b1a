/**
 * The giving side of an agent: offers, one answer at a time, and its limits.
 *
 * @module
 */

import type { TimestampMs } from '../units.js'
import type { AgentId, AgentMessage } from './agent-message.js'
import type { AgentTimes } from './agent-options.js'
import { AnswerGate } from './answer-gate.js'
import type { From } from './events.js'

/** Offers that wait for their moment: who asks beyond these asks again. */
const MOST_OFFERS = 16
/** How often the end is said: it is one small message, and its loss would cost a whole repeat. */
const DONE_COPIES = 3
/** Time between these. */
const DONE_GAP = 100

/** What the giving side says and does. */
export interface AnsweringOutlets {
  /** Says something; `kind`, addressee, request and number. */
  readonly say: (message: Pick<AgentMessage, 'kind' | 'to' | 'request' | 'connections'>) => void
  /** Begins to send the table. */
  readonly answer: (to: AgentId, address: string) => void
  /** Stops sending it. */
  readonly stop: () => void
  /** Connections to give away. */
  readonly tableSize: () => number
  readonly chance: () => number
}

interface Offer {
  readonly request: number
  readonly due: TimestampMs
}

interface Answer {
  readonly to: AgentId
  readonly request: number
  sent: number
  nextProgress: TimestampMs
}

/** Gives tables to those who ask. */
export class Answering {
  readonly #times: AgentTimes
  readonly #outlets: AnsweringOutlets
  readonly #gate: AnswerGate
  readonly #offers = new Map<AgentId, Offer>()
  #answer: Answer | undefined
  #ended:
    | { readonly to: AgentId; readonly request: number; readonly sent: number; left: number; due: TimestampMs }
    | undefined
  /** Requests that were passed over because of the limit. */
  refused = 0
  /** Answers that were begun. */
  given = 0

  constructor(times: AgentTimes, burst: number, outlets: AnsweringOutlets) {
    this.#times = times
    this.#outlets = outlets
    this.#gate = new AnswerGate(times.answerInterval, burst)
  }

  /** Whether a table is being sent. */
  get busy(): boolean {
    return this.#answer !== undefined
  }

  /** Somebody asks everybody: an offer follows after a random delay, if there is anything to give. */
  handleQuestion({ from, request }: AgentMessage, address: string, ready: boolean, now: TimestampMs): void {
    if (this.busy || this.#offers.has(from) || this.#offers.size >= MOST_OFFERS) return
    if (!ready && this.#outlets.tableSize() === 0) return
    if (!this.#gate.isOpen(address, now)) this.refused++
    else this.#offers.set(from, { request, due: now + this.#outlets.chance() * this.#times.offerDelay })
  }

  /** Somebody has chosen us. */
  handleChoice({ from, request }: AgentMessage, { address }: From, now: TimestampMs): void {
    const last = this.#ended
    if (this.busy || (last?.to === from && last.request === request)) return
    if (!this.#gate.take(address, now)) {
      this.refused++
      return
    }
    this.given++
    this.#offers.delete(from)
    this.#answer = { to: from, request, sent: 0, nextProgress: now + this.#times.progress }
    this.#outlets.say({ kind: 'begin', to: from, request, connections: this.#outlets.tableSize() })
    this.#outlets.answer(from, address)
  }

  /** The one who asked wants no more. */
  handleCancel({ from, request }: AgentMessage): void {
    if (this.#answer?.to !== from || this.#answer.request !== request) return
    this.#answer = undefined
    this.#outlets.stop()
  }

  /** So many were sent so far. */
  progress(sent: number): void {
    if (this.#answer !== undefined) this.#answer.sent = sent
  }

  /** All were sent. */
  done(sent: number, now: TimestampMs): void {
    if (this.#answer === undefined) return
    const { to, request } = this.#answer
    this.#answer = undefined
    this.#ended = { to, request, sent, left: DONE_COPIES, due: now }
    this.handleTimeout(now)
  }

  /** Nothing more will be sent, and there is nothing to be said of it. */
  failed(): void {
    this.#answer = undefined
  }

  /** Says what is due. */
  handleTimeout(now: TimestampMs): void {
    for (const [to, { request, due }] of this.#offers) {
      if (due > now) continue
      this.#offers.delete(to)
      if (!this.busy) this.#outlets.say({ kind: 'offer', to, request, connections: this.#outlets.tableSize() })
    }
    const answer = this.#answer
    if (answer !== undefined && answer.nextProgress <= now) {
      answer.nextProgress = now + this.#times.progress
      this.#outlets.say({ kind: 'progress', to: answer.to, request: answer.request, connections: answer.sent })
    }
    this.#sayEnd(now)
  }

  /** When something is due. */
  nextTimeout(): TimestampMs {
    const offers = [...this.#offers.values()].map(({ due }) => due)
    const end = this.#ended !== undefined && this.#ended.left > 0 ? this.#ended.due : Infinity
    return Math.min(...offers, this.#answer?.nextProgress ?? Infinity, end)
  }

  #sayEnd(now: TimestampMs): void {
    const ended = this.#ended
    if (ended === undefined || ended.left === 0 || ended.due > now) return
    ended.left--
    ended.due = now + DONE_GAP
    this.#outlets.say({ kind: 'done', to: ended.to, request: ended.request, connections: ended.sent })
  }
}
