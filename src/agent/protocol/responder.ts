/**
 * The giving side of an agent: offers, one answer at a time, and its limits.
 *
 * @module
 */

import type { TimestampMs } from '../../units.js'
import type { AgentId, AgentMessage } from './messages.js'
import type { AgentTimes } from './options.js'
import type { Saying } from './requester.js'
import { AnswerGate } from './answer-gate.js'
import { costOf, piecesOf, type Piece } from './arrival-proof.js'
import type { From } from '../../engine/events.js'

/** Offers that wait for their moment: who asks beyond these asks again. */
const MOST_OFFERS = 16
/** How often the end is said: it is one small message, and its loss would cost a whole repeat. */
const DONE_COPIES = 3
/** Time between these. */
const DONE_GAP = 100

/** What may be sent again of an answer: a share of its messages, and a portion in any case. */
const REPEATED_SHARE = 4
const REPEATED_LEAST = 64

/** What the giving side says and does. */
export interface AnsweringOutlets {
  /** Says something. */
  readonly say: (message: Saying) => void
  /** Begins to send the table. */
  readonly answer: (to: AgentId, address: string) => void
  /** Sends some of its messages again. */
  readonly repeat: (pieces: readonly Piece[]) => void
  /** Need not keep it any longer. */
  readonly forget: () => void
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

/** An answer that is over, of which something may be sent again. */
interface Ended {
  readonly to: AgentId
  readonly request: number
  /** Connections and messages that were sent. */
  readonly sent: number
  readonly messages: number
  /** How often something was sent again, and messages that still may be. */
  readonly round: number
  readonly budget: number
  /** How often the end is still to be said, and when next. */
  left: number
  due: TimestampMs
  /** When it is forgotten. */
  readonly until: TimestampMs
}

/** Gives tables to those who ask. */
export class Answering {
  readonly #times: AgentTimes
  readonly #outlets: AnsweringOutlets
  readonly #gate: AnswerGate
  readonly #offers = new Map<AgentId, Offer>()
  #answer: Answer | undefined
  /** The last one; while it is being sent again, too. */
  #ended: Ended | undefined
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
    this.#ended = undefined
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

  /** A portion was sent. */
  portion(portion: number, sums: readonly number[]): void {
    if (this.#answer === undefined) return
    const { to, request } = this.#answer
    this.#outlets.say({ kind: 'list', to, request, connections: portion, words: sums })
  }

  /** Somebody who heard the answer lacks some of it: what may be sent again is limited, whoever asks. */
  handleRepeat({ request, words }: AgentMessage, now: TimestampMs): void {
    const ended = this.#ended
    if (this.busy || ended?.request !== request || ended.left > 0) return
    const pieces = piecesOf(words, ended.messages, ended.budget)
    const budget = ended.budget - pieces.reduce((sum, piece) => sum + costOf(piece), 0)
    const until = pieces.length > 0 ? now + this.#times.memory : ended.until
    this.#ended = { ...ended, round: ended.round + 1, budget, until, due: Infinity }
    this.#answer = { to: ended.to, request, sent: ended.sent, nextProgress: now + this.#times.progress }
    this.#outlets.repeat(pieces)
  }

  /** All were sent, or sent again. */
  done(sent: number, messages: number, now: TimestampMs): void {
    if (this.#answer === undefined) return
    const { to, request } = this.#answer
    this.#answer = undefined
    this.#ended = {
      ...(this.#ended ?? {
        to,
        request,
        sent,
        messages,
        round: 0,
        budget: Math.max(Math.ceil(messages / REPEATED_SHARE), REPEATED_LEAST),
        until: now + this.#times.memory
      }),
      left: DONE_COPIES,
      due: now
    }
    this.handleTimeout(now)
  }

  /** Nothing more will be sent, and there is nothing to be said of it. */
  failed(): void {
    this.#answer = undefined
    this.#ended = undefined
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
    if (this.#ended !== undefined && !this.busy) this.#sayEnd(this.#ended, now)
  }

  /** When something is due. */
  nextTimeout(): TimestampMs {
    const offers = [...this.#offers.values()].map(({ due }) => due)
    const ended = this.#ended
    const end = ended === undefined || this.busy ? Infinity : ended.left > 0 ? ended.due : ended.until
    return Math.min(...offers, this.#answer?.nextProgress ?? Infinity, end)
  }

  #sayEnd(ended: Ended, now: TimestampMs): void {
    const { to, request, sent, messages, round } = ended
    if (ended.left === 0) {
      if (now < ended.until) return
      this.#ended = { ...ended, budget: 0, until: Infinity }
      this.#outlets.forget()
    } else if (now >= ended.due) {
      ended.left--
      ended.due = now + DONE_GAP
      this.#outlets.say({ kind: 'done', to, request, connections: sent, words: [messages, round] })
    }
  }
}
