/**
 * The asking side of an agent: from the first question to a table that is complete, or to going without.
 *
 * @module
 */

import type { TimestampMs } from '../units.js'
import { EVERYBODY, type AgentId, type AgentMessage } from './agent-message.js'
import type { AgentOutcome, AgentTimes } from './agent-options.js'
import type { From } from './events.js'

/** Offers that are remembered; further ones are passed over. */
const MOST_OFFERS = 16

/** What the asking side says and does. */
export interface AskingOutlets {
  readonly say: (message: Pick<AgentMessage, 'kind' | 'to' | 'request' | 'connections'>) => void
  /** Somebody is to count the kernel's table. */
  readonly verify: ((connections: number) => void) | undefined
  /** Something changed that a person would want to know. */
  readonly changed: () => void
}

interface Offer {
  readonly id: AgentId
  readonly source: From
  readonly connections: number
  readonly ready: boolean
}

/** A table that is on its way. */
interface Transfer {
  readonly offer: Offer
  /** The request that it answers: another's, where we only listen. */
  readonly request: number
  readonly joined: boolean
  begun: boolean
  planned: number
  received: number
  heardAt: TimestampMs
  askAgainAt: TimestampMs
  /** What the end said was sent, and when to judge it. */
  total: number | undefined
  judgeAt: TimestampMs
  verifying: boolean
}

/** What the asking side is at. */
export interface AskingReport {
  /** How asking ended; undefined as long as it goes on. */
  readonly outcome: AgentOutcome | undefined
  /** Who answers, or answered last. */
  readonly answerer: AgentId | undefined
  /** Connections that came of this answer, and how many are planned or were sent. */
  readonly received: number
  /** Connections that the answer should have. */
  readonly expected: number
  /** Answers that were begun. */
  readonly answers: number
}

/** Asks for a table until there is one, or until it is time to go without. */
export class Asking {
  readonly #times: AgentTimes
  readonly #attempts: number
  readonly #outlets: AskingOutlets
  readonly #offers = new Map<AgentId, Offer>()
  #outcome: AgentOutcome | undefined
  #active = false
  #deadline: TimestampMs = Infinity
  #hardDeadline: TimestampMs = Infinity
  #askAt: TimestampMs = Infinity
  #chooseAt: TimestampMs = Infinity
  #request: number
  #transfer: Transfer | undefined
  #failed: AgentId | undefined
  #answers = 0
  #short = 0

  /** @param firstRequest - Number of the first request: random, so that a restart is not taken for a repetition. */
  constructor(times: AgentTimes, attempts: number, firstRequest: number, outlets: AskingOutlets) {
    this.#times = times
    this.#attempts = attempts
    this.#request = firstRequest
    this.#outlets = outlets
  }

  /** Why it is ready; undefined while it is not. Stays while it asks again. */
  get outcome(): AgentOutcome | undefined {
    return this.#outcome
  }

  /** Whether it asks, or a table is on its way. */
  get active(): boolean {
    return this.#active
  }

  /** Begins to ask. */
  start(now: TimestampMs): void {
    if (this.#active) return
    this.#active = true
    this.#answers = 0
    this.#short = 0
    this.#deadline = now + this.#times.limit
    this.#hardDeadline = now + this.#times.transferLimit
    this.#ask(now)
  }

  /** Ends it: one who answers may stop. */
  stop(): void {
    this.#cancel()
    this.#settle(this.#outcome)
  }

  /** Somebody offers a table. */
  handleOffer({ from, request, connections, ready }: AgentMessage, source: From, now: TimestampMs): void {
    if (!this.#active || this.#transfer !== undefined || request !== this.#request) return
    if (this.#offers.size >= MOST_OFFERS) return
    this.#offers.set(from, { id: from, source, connections, ready })
    this.#chooseAt = Math.min(this.#chooseAt, now + this.#times.choice)
  }

  /** An answer begins: ours, or another's, which is as good if we have none yet. */
  handleBegin(message: AgentMessage, toUs: boolean, source: From, now: TimestampMs): void {
    const { from, request, connections, ready } = message
    if (!this.#active) return
    const transfer = this.#transfer
    if (transfer === undefined && !toUs) this.#listen({ id: from, source, connections, ready }, request, true, now)
    if (!this.#belongs(message) || this.#transfer!.begun) return
    this.#transfer!.begun = true
    this.#transfer!.planned = connections
    this.#answers++
    this.#outlets.changed()
  }

  /** An answer goes on. */
  handleProgress(message: AgentMessage, now: TimestampMs): void {
    if (this.#belongs(message)) this.#transfer!.heardAt = now
  }

  /** An answer is over; what is still under way may come for a moment. */
  handleDone(message: AgentMessage, now: TimestampMs): void {
    if (!this.#belongs(message) || this.#transfer!.total !== undefined) return
    this.#transfer!.total = message.connections
    this.#transfer!.judgeAt = now + this.#times.stragglers
    this.#transfer!.heardAt = now
  }

  /** Connections came from this source, while it is {@link Asking.active}. */
  handleConnections(count: number, { address, port }: From, now: TimestampMs): void {
    const transfer = this.#transfer
    if (transfer?.offer.source.port !== port || transfer.offer.source.address !== address) return
    transfer.received += count
    transfer.heardAt = now
  }

  /** So many stand in the kernel's own table. One in a hundred may have ended meanwhile. */
  verified(found: number, now: TimestampMs): void {
    const transfer = this.#transfer
    if (transfer?.verifying !== true) return
    if (found >= Math.floor(transfer.total! * 0.99)) this.#settle('complete')
    else this.#fallShort(transfer, now)
  }

  /** Does what is due. */
  handleTimeout(now: TimestampMs): void {
    if (!this.#active) return
    if (now >= this.#hardDeadline) this.#giveUp()
    else if (this.#transfer !== undefined) this.#watch(this.#transfer, now)
    else if (now >= this.#deadline) this.#giveUp()
    else if (now >= this.#chooseAt) this.#choose(now)
    else if (now >= this.#askAt) this.#ask(now)
  }

  /** When something is due. */
  nextTimeout(): TimestampMs {
    if (!this.#active) return Infinity
    const transfer = this.#transfer
    if (transfer === undefined) return Math.min(this.#deadline, this.#askAt, this.#chooseAt)
    if (transfer.verifying) return this.#hardDeadline
    if (transfer.total !== undefined) return Math.min(this.#hardDeadline, transfer.judgeAt)
    return Math.min(this.#hardDeadline, transfer.heardAt + this.#times.silence, transfer.askAgainAt)
  }

  /** What it is at. */
  report(): AskingReport {
    const transfer = this.#transfer
    return {
      outcome: this.#outcome,
      answerer: transfer?.offer.id,
      received: transfer?.received ?? 0,
      expected: transfer?.total ?? transfer?.planned ?? 0,
      answers: this.#answers
    }
  }

  #ask(now: TimestampMs): void {
    this.#transfer = undefined
    this.#offers.clear()
    this.#chooseAt = Infinity
    this.#askAt = now + this.#times.retry
    this.#nextRequest()
    this.#outlets.say({ kind: 'request', to: EVERYBODY, request: this.#request, connections: 0 })
    this.#outlets.changed()
  }

  #nextRequest(): void {
    this.#request = (this.#request + 1) >>> 0
  }

  /** Who is ready, then who has most, then the lowest name; one who has just failed only if there is no other. */
  #choose(now: TimestampMs): void {
    const offers = [...this.#offers.values()].sort(
      (one, other) =>
        Number(one.id === this.#failed) - Number(other.id === this.#failed) ||
        Number(other.ready) - Number(one.ready) ||
        other.connections - one.connections ||
        (one.id < other.id ? -1 : 1)
    )
    this.#take(offers[0]!, now)
  }

  #take(offer: Offer, now: TimestampMs): void {
    this.#listen(offer, this.#request, false, now)
    this.#sayChoice()
  }

  #listen(offer: Offer, request: number, joined: boolean, now: TimestampMs): void {
    this.#transfer = {
      offer,
      request,
      joined,
      begun: false,
      planned: offer.connections,
      received: 0,
      heardAt: now,
      askAgainAt: joined ? Infinity : now + this.#times.retry,
      total: undefined,
      judgeAt: Infinity,
      verifying: false
    }
    this.#chooseAt = Infinity
    this.#outlets.changed()
  }

  #sayChoice(): void {
    const { offer, request } = this.#transfer!
    this.#outlets.say({ kind: 'request', to: offer.id, request, connections: 0 })
  }

  #belongs({ from, request }: AgentMessage): boolean {
    return this.#active && this.#transfer?.offer.id === from && this.#transfer.request === request
  }

  #watch(transfer: Transfer, now: TimestampMs): void {
    // It is we who keep the other waiting: counting a large kernel's table takes longer than silence may.
    if (transfer.verifying) return
    if (transfer.total !== undefined && now >= transfer.judgeAt) this.#judge(transfer, now)
    else if (now >= transfer.heardAt + this.#times.silence) this.#replace(transfer, now)
    else if (now >= transfer.askAgainAt) {
      transfer.askAgainAt = transfer.begun ? Infinity : now + this.#times.retry
      if (!transfer.begun) this.#sayChoice()
    }
  }

  #judge(transfer: Transfer, now: TimestampMs): void {
    if (transfer.received < transfer.total!) this.#fallShort(transfer, now)
    else if (this.#outlets.verify === undefined) this.#settle('complete')
    else {
      transfer.verifying = true
      this.#outlets.verify(transfer.total!)
    }
  }

  /** Some are missing: once more from the same one, as often as is allowed. */
  #fallShort({ offer }: Transfer, now: TimestampMs): void {
    if (++this.#short >= this.#attempts) {
      this.#settle('incomplete')
      return
    }
    this.#nextRequest()
    this.#take(offer, now)
  }

  /** Gone silent: another one is asked. */
  #replace({ offer, begun }: Transfer, now: TimestampMs): void {
    this.#failed = offer.id
    this.#cancel()
    if (begun) this.#deadline = Math.max(this.#deadline, now + this.#times.silence)
    this.#ask(now)
  }

  #cancel(): void {
    const transfer = this.#transfer
    if (transfer === undefined || transfer.joined || transfer.total !== undefined) return
    this.#outlets.say({ kind: 'cancel', to: transfer.offer.id, request: transfer.request, connections: 0 })
  }

  #giveUp(): void {
    this.#cancel()
    this.#settle(this.#answers > 0 ? 'incomplete' : 'alone')
  }

  #settle(outcome: AgentOutcome | undefined): void {
    this.#active = false
    this.#outcome = outcome
    this.#outlets.changed()
  }
}
