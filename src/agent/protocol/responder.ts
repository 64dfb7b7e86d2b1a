/**
 * The responding side of an agent: offers, one answer at a time, and its limits.
 *
 * @module
 */

import { counted } from '../../text.js'
import type { From, NoticeEvent } from '../../engine/events.js'
import type { Datagram } from '../../engine/engine.js'
import type { Bytes, Milliseconds, TimestampMs } from '../../units.js'
import { allowedPieces, costOf } from './arrival-proof.js'
import type {
  AgentId,
  AgentStatement,
  CancelMessage,
  ReceiveCapacity,
  RepeatMessage,
  RequestMessage
} from './messages.js'
import type { AgentEvent, AgentRejection, AgentTimes, TableSource } from './options.js'
import type { Pace } from '../../engine/full-table/pacer.js'
import { paceOf } from './pace.js'
import { TableSender, type ListEncoder } from './table-sender.js'
import { Timers } from './timers.js'
import { LRUCache } from 'lru-cache'

/** Offers that wait for their random delay; requesters beyond repeat their request. */
const MAX_OFFERS = 16
/** Copies of the end of an answer: it is one small message, and its loss would cost a round of retransmission. */
const DONE_COPIES = 3
const DONE_INTERVAL: Milliseconds = 100
/** Share of an answer's messages that may be retransmitted, and a number that always may. */
const REPEATED_SHARE = 4
const REPEATED_MIN = 64

/** What a responder needs of its engine. */
export interface ResponderContext {
  readonly times: AgentTimes
  readonly table: TableSource
  readonly maxLength: Bytes
  /** Connections a second; undefined for the pace that the requesters' buffers allow. */
  readonly rate: number | undefined
  readonly chance: () => number
  readonly send: (message: AgentStatement) => void
  readonly encode: (message: AgentStatement) => Uint8Array
  readonly emit: (event: AgentEvent) => void
  readonly reject: (reason: AgentRejection) => void
}

interface PendingOffer {
  readonly request: number
  readonly due: TimestampMs
  readonly capacity: ReceiveCapacity | undefined
}

/** An answer from the request to the time when nothing of it is retransmitted any more. */
interface Answer {
  readonly to: AgentId
  readonly address: string
  readonly request: number
  readonly startedAt: TimestampMs
  /** `refreshing`: the table is being brought up to date. `ended`: parts may be requested again. */
  phase: 'refreshing' | 'sending' | 'ended' | 'forgotten'
  sender: TableSender | undefined
  /** Whether agents other than the requester wait for it. */
  isShared: boolean
  capacities: (ReceiveCapacity | undefined)[]
  /** Retransmissions, and messages that may still be retransmitted. */
  round: number
  budget: number
  copies: number
}

/** Sends the table to agents that request it. */
export class Responder {
  readonly #context: ResponderContext
  readonly #limiter: AnswerLimiter
  readonly #timers = new Timers<'offer' | 'progress' | 'send' | 'done' | 'forget'>()
  readonly #offers = new Map<AgentId, PendingOffer>()
  #answer: Answer | undefined
  /** Answers that were started, and those that ended whole. */
  started = 0
  sent = 0

  /** @param burst - Answers that may follow each other at once for one requester. */
  constructor(context: ResponderContext, burst: number) {
    this.#context = context
    this.#limiter = new AnswerLimiter(context.times.answerInterval, burst)
  }

  /** Whether a table is being sent. */
  get isBusy(): boolean {
    return this.#answer?.phase === 'refreshing' || this.#answer?.phase === 'sending'
  }

  /** Handles a request to every agent: an offer follows after a random delay, if there is anything to send. */
  handleRequest({ from, request, capacity }: RequestMessage, address: string, ready: boolean, now: TimestampMs): void {
    const { table, times, chance, reject } = this.#context
    if (!ready && table.size === 0) return
    if (this.isBusy) {
      if (from !== this.#answer!.to) {
        // Another agent waits for the answer too: its cancellation has no effect any more, and the slowest receiver sets the pace.
        const answer = this.#answer!
        answer.isShared = true
        if (answer.capacities.length <= MAX_OFFERS) answer.capacities.push(capacity)
        answer.sender?.slowDown(this.#paceOf(answer), now)
      }
      reject('BUSY')
    } else if (this.#offers.has(from) || this.#offers.size >= MAX_OFFERS) return
    else if (!this.#limiter.isOpen(address, now)) reject('RATE_LIMITED')
    else {
      this.#offers.set(from, { request, capacity, due: now + chance() * times.offerDelay })
      this.#armOffers()
    }
  }

  /** Handles a request to this agent: the answer starts. */
  handleChoice({ from, request, capacity }: RequestMessage, { address }: From, now: TimestampMs): void {
    const { times, table, send, emit, reject } = this.#context
    const last = this.#answer
    if (last?.to === from && last.request === request) return
    if (this.isBusy) {
      reject('BUSY')
      return
    }
    if (!this.#limiter.take(address, now)) {
      reject('RATE_LIMITED')
      return
    }
    this.started++
    const waiting = [...this.#offers].filter(([id]) => id !== from)
    this.#offers.clear()
    this.#answer = {
      to: from,
      address,
      request,
      startedAt: now,
      phase: 'refreshing',
      sender: undefined,
      isShared: waiting.length > 0,
      capacities: [capacity, ...waiting.map(([, offer]) => offer.capacity)],
      round: 0,
      budget: 0,
      copies: 0
    }
    this.#timers.clear()
    this.#timers.set('progress', now + times.progress)
    send({ kind: 'begin', to: from, request, connections: table.size })
    emit({ type: 'refresh', to: from, address })
  }

  /** The table is up to date: sending starts. */
  refreshed(now: TimestampMs): void {
    const answer = this.#answer
    if (answer?.phase !== 'refreshing') return
    const { table, encode, emit } = this.#context
    const { to, address, request } = answer
    const encodeList: ListEncoder = (portion, sums) => encode({ kind: 'list', to, request, portion, sums })
    const pace = this.#paceOf(answer)
    answer.phase = 'sending'
    answer.sender = new TableSender(table.messages(), pace, encodeList, now)
    emit(
      notice(
        'TABLE_SENDING',
        `sending the table to agent ${to} at ${address}: ${Math.round(pace.rate)} ${this.#context.rate === undefined ? 'messages' : 'connections'} a second`
      )
    )
    this.#continue(answer.sender, now)
  }

  /** Handles a cancellation. An answer that others wait for continues; of another one the unsent share costs nothing. */
  handleCancel({ from, request }: CancelMessage, now: TimestampMs): void {
    const answer = this.#answer
    if (answer === undefined || !this.isBusy || answer.to !== from || answer.request !== request) return
    if (answer.isShared) return
    const { sender } = answer
    this.#timers.clear('send', 'progress')
    if (answer.round > 0) {
      answer.phase = 'ended'
      this.#timers.set('forget', now + this.#context.times.memory)
      return
    }
    const share = sender === undefined ? 0 : sender.sent / Math.max(sender.connections, this.#context.table.size, 1)
    this.#limiter.refund(answer.address, 1 - Math.min(share, 1), now)
    this.#answer = undefined
  }

  /** Handles a request for parts of the last answer, by anyone who received it. */
  handleRepeat({ request, pieces }: RepeatMessage, now: TimestampMs): void {
    const answer = this.#answer
    if (answer?.phase !== 'ended' || answer.request !== request || answer.copies > 0) return
    const allowed = allowedPieces(pieces, answer.sender!.messages, answer.budget)
    answer.round++
    answer.budget -= allowed.reduce((sum, piece) => sum + costOf(piece), 0)
    answer.phase = 'sending'
    this.#timers.clear('forget')
    this.#timers.set('progress', now + this.#context.times.progress)
    answer.sender!.repeat(allowed, now)
    this.#continue(answer.sender!, now)
  }

  /** Handles what is due. */
  handleTimeout(now: TimestampMs): void {
    for (let name = this.#timers.take(now); name !== undefined; name = this.#timers.take(now)) {
      const answer = this.#answer
      if (name === 'offer') {
        const { send, table } = this.#context
        for (const [to, { request, due }] of this.#offers) {
          if (due > now) continue
          this.#offers.delete(to)
          send({ kind: 'offer', to, request, connections: table.size })
        }
        this.#armOffers()
      } else if (name === 'progress') {
        const { to, request, sender } = answer!
        this.#timers.set('progress', now + this.#context.times.progress)
        this.#context.send({ kind: 'progress', to, request, connections: sender?.sent ?? 0 })
      } else if (name === 'send') {
        answer!.sender!.handleTimeout(now)
        this.#continue(answer!.sender!, now)
      } else if (name === 'done') this.#sendEnd(answer!, now)
      else {
        answer!.phase = 'forgotten'
        answer!.sender = undefined
      }
    }
  }

  /** Returns when something is due. */
  nextTimeout(): TimestampMs {
    return this.#timers.next()
  }

  /** Returns the next datagram of the answer that may leave. */
  poll(now: TimestampMs): Datagram | undefined {
    const sender = this.#answer?.phase === 'sending' ? this.#answer.sender : undefined
    const datagram = sender?.poll()
    if (datagram !== undefined) this.#continue(sender!, now)
    return datagram
  }

  /** Arms the timer for the next messages, or ends the answer when all have left. */
  #continue(sender: TableSender, now: TimestampMs): void {
    if (!sender.isDone) {
      this.#timers.set('send', sender.nextTimeout())
      return
    }
    const answer = this.#answer!
    const { messages, connections } = sender
    answer.phase = 'ended'
    answer.copies = DONE_COPIES
    if (answer.round === 0) {
      answer.budget = Math.max(Math.ceil(messages / REPEATED_SHARE), REPEATED_MIN)
      this.sent++
    }
    const seconds = ((now - answer.startedAt) / 1000).toFixed(1)
    const how = answer.round === 0 ? `in ${seconds} s` : `after retransmission ${answer.round}`
    this.#context.emit(
      notice(
        'TABLE_SENT',
        `table sent to agent ${answer.to} at ${answer.address}: ${counted(connections, 'connection')} ${how}`
      )
    )
    this.#timers.clear('send', 'progress')
    this.#timers.set('done', now)
  }

  #armOffers(): void {
    this.#timers.set('offer', Math.min(...[...this.#offers.values()].map(({ due }) => due)))
  }

  #sendEnd(answer: Answer, now: TimestampMs): void {
    const { to, request, sender, round } = answer
    const { connections, messages } = sender!
    answer.copies--
    this.#context.send({ kind: 'done', to, request, connections, messages, round })
    if (answer.copies > 0) this.#timers.set('done', now + DONE_INTERVAL)
    else this.#timers.set('forget', now + this.#context.times.memory)
  }

  #paceOf({ capacities }: Answer): Pace {
    const { maxLength, rate } = this.#context
    return paceOf(maxLength, rate, capacities)
  }
}

function notice(code: string, message: string): NoticeEvent {
  return { type: 'notice', code, message }
}

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
