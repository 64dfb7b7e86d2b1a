/**
 * The asking side of an agent: from the first question to a table that is complete, or to going without.
 *
 * @module
 */

import type { TimestampMs } from '../../units.js'
import { EVERYBODY, type AgentId, type AgentMessage } from './messages.js'
import type { AgentOutcome, AgentTimes } from './options.js'
import { bestOffer, expectTransfer, type End, type Offer, type Transfer } from './transfer.js'
import { missingIn, MOST_MESSAGES, wordsOf, type Piece } from './arrival-proof.js'
import type { From } from '../../engine/events.js'

/** Offers that are remembered; further ones are passed over. */
const MOST_OFFERS = 16
/** A table is another's as long as it has hardly more than came from there: some are announced meanwhile. */
const MORE_THAN_CAME = 1.05
/** What is missing is asked for so often without any of it coming. */
const MOST_IN_VAIN = 3

/** What there is to say; the words are none if they are left out. */
export type Saying = Pick<AgentMessage, 'kind' | 'to' | 'request' | 'connections'> &
  Partial<Pick<AgentMessage, 'words'>>

/** What the asking side says and does. */
export interface AskingOutlets {
  readonly say: (message: Saying) => void
  /** Somebody is to see that the kernel's table has all of it. */
  readonly verify: ((connections: number) => void) | undefined
  /** Nobody answered: somebody is to bring the kernel what there is. False where there is nothing to bring. */
  readonly restore: () => boolean
  /** Connections that there are. */
  readonly tableSize: () => number
  /** Something changed that a person would want to know. */
  readonly changed: () => void
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
  #restoring = false
  #origin: AgentId | undefined

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

  /** Who gave all that there is, if one did. */
  get origin(): AgentId | undefined {
    return this.#origin
  }

  /** Whether it asks, or a table is on its way. */
  get active(): boolean {
    return this.#active
  }

  /** Begins to ask. */
  start(now: TimestampMs): void {
    if (this.#active) return
    this.#active = true
    this.#restoring = false
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
    if (!this.#active || this.#transfer !== undefined || this.#restoring || request !== this.#request) return
    if (this.#offers.size >= MOST_OFFERS) return
    this.#offers.set(from, { id: from, source, connections, ready })
    this.#chooseAt = Math.min(this.#chooseAt, now + this.#times.choice)
  }

  /** An answer begins: ours, or another's, which is as good if we have none yet. */
  handleBegin(message: AgentMessage, toUs: boolean, source: From, now: TimestampMs): void {
    const { from, request, connections, ready } = message
    if (!this.#active) return
    const transfer = this.#transfer
    // One who was chosen and begins for another is too busy for us.
    const free = transfer === undefined || (!transfer.begun && transfer.offer.id === from)
    if (free && !toUs) this.#listen({ id: from, source, connections, ready }, request, true, now)
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

  /** What was sent of a portion. */
  handleList(message: AgentMessage, now: TimestampMs): void {
    if (!this.#belongs(message)) return
    this.#transfer!.proof.learn(message)
    this.#hear(this.#transfer!, now)
  }

  /** An answer is over; what is still under way may come for a moment. */
  handleDone(message: AgentMessage, now: TimestampMs): void {
    const transfer = this.#transfer
    const [messages = 0, round = 0] = message.words
    if (!this.#belongs(message) || transfer!.end !== undefined || messages > MOST_MESSAGES) return
    // The end is said several times; one of before what was sent again is no end of that.
    if (round < transfer!.round) return
    transfer!.round = round
    transfer!.end = { connections: message.connections, messages }
    transfer!.judgeAt = now + this.#times.stragglers
    this.#hear(transfer!, now)
  }

  /** A message with connections came from this source, while it is {@link Asking.active}. */
  handleConnections(bytes: Uint8Array, count: number, { address, port }: From, now: TimestampMs): void {
    const transfer = this.#transfer
    if (transfer?.offer.source.port !== port || transfer.offer.source.address !== address) return
    transfer.proof.arrive(bytes, count)
    this.#hear(transfer, now)
  }

  /** The kernel's own table lacks so many. */
  verified(missing: number, now: TimestampMs): void {
    const transfer = this.#transfer
    if (this.#restoring) this.#giveUp()
    else if (transfer?.verifying !== true) return
    else if (missing === 0) this.#settle('complete')
    else this.#fallShort(transfer, now)
  }

  /** Does what is due. */
  handleTimeout(now: TimestampMs): void {
    if (!this.#active) return
    if (now >= this.#hardDeadline) this.#giveUp()
    else if (this.#restoring) return
    else if (this.#transfer !== undefined) this.#watch(this.#transfer, now)
    else if (now >= this.#deadline) this.#goWithout()
    else if (now >= this.#chooseAt) this.#take(bestOffer(this.#offers.values(), this.#failed), now)
    else if (now >= this.#askAt) this.#ask(now)
  }

  /** When something is due. */
  nextTimeout(): TimestampMs {
    if (!this.#active) return Infinity
    if (this.#restoring) return this.#hardDeadline
    const transfer = this.#transfer
    if (transfer === undefined) return Math.min(this.#deadline, this.#askAt, this.#chooseAt)
    if (transfer.verifying) return this.#hardDeadline
    if (transfer.end !== undefined) return Math.min(this.#hardDeadline, transfer.judgeAt)
    return Math.min(this.#hardDeadline, transfer.heardAt + this.#times.silence, transfer.askAgainAt)
  }

  /** What it is at. */
  report(): AskingReport {
    const transfer = this.#transfer
    return {
      outcome: this.#outcome,
      answerer: transfer?.offer.id,
      received: transfer?.proof.connections ?? 0,
      expected: transfer?.end?.connections ?? transfer?.planned ?? 0,
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

  #take(offer: Offer, now: TimestampMs): void {
    this.#listen(offer, this.#request, false, now)
    this.#sayChoice()
  }

  #listen(offer: Offer, request: number, joined: boolean, now: TimestampMs): void {
    this.#transfer = expectTransfer(offer, request, joined, now, this.#times.retry)
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
    // It is we who keep the other waiting: looking at a large kernel's table takes longer than silence may.
    if (transfer.verifying) return
    if (transfer.end !== undefined && now >= transfer.judgeAt) this.#judge(transfer, transfer.end, now)
    else if (now >= transfer.heardAt + this.#times.silence) this.#replace(transfer, now)
    else if (now >= transfer.askAgainAt) this.#askAgain(transfer, now)
  }

  /** A choice, or what was asked for after loss, can be lost as well. */
  #askAgain(transfer: Transfer, now: TimestampMs): void {
    transfer.askAgainAt = now + this.#times.retry
    if (transfer.round > 0) this.#sayMissing(transfer, transfer.proof.missing(transfer.sent))
    else if (transfer.begun) transfer.askAgainAt = Infinity
    else this.#sayChoice()
  }

  /** Whoever answers is there: nothing has to be said twice. */
  #hear(transfer: Transfer, now: TimestampMs): void {
    transfer.heardAt = now
    if (transfer.round > 0) transfer.askAgainAt = Infinity
  }

  #judge(transfer: Transfer, { connections, messages }: End, now: TimestampMs): void {
    const missing = transfer.proof.missing(messages)
    if (missing.length > 0) this.#askForMissing(transfer, missing, messages, now)
    else if (this.#outlets.verify === undefined) this.#settle('complete')
    else {
      transfer.verifying = true
      this.#outlets.verify(connections)
    }
  }

  /** As long as it brings some of it now and then. */
  #askForMissing(transfer: Transfer, pieces: readonly Piece[], messages: number, now: TimestampMs): void {
    const missing = pieces.reduce((sum, piece) => sum + missingIn(piece), 0)
    transfer.inVain = missing < transfer.missing ? 0 : transfer.inVain + 1
    if (transfer.inVain >= MOST_IN_VAIN) {
      this.#fallShort(transfer, now)
      return
    }
    transfer.missing = Math.min(missing, transfer.missing)
    transfer.sent = messages
    transfer.round++
    transfer.end = undefined
    transfer.heardAt = now
    transfer.askAgainAt = now + this.#times.retry
    this.#sayMissing(transfer, pieces)
  }

  #sayMissing({ offer, request, round }: Transfer, pieces: readonly Piece[]): void {
    this.#outlets.say({ kind: 'repeat', to: offer.id, request, connections: round, words: wordsOf(pieces) })
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
    if (transfer === undefined || transfer.joined || transfer.end !== undefined) return
    this.#outlets.say({ kind: 'cancel', to: transfer.offer.id, request: transfer.request, connections: 0 })
  }

  /** What a restart left on disk is worth more than nothing: the kernel gets it first, if there is no agent to ask. */
  #goWithout(): void {
    this.#restoring = this.#answers === 0 && this.#outcome === undefined && this.#outlets.restore()
    if (!this.#restoring) this.#giveUp()
  }

  #giveUp(): void {
    this.#cancel()
    this.#settle(this.#answers > 0 ? 'incomplete' : 'alone')
  }

  #settle(outcome: AgentOutcome | undefined): void {
    this.#active = false
    this.#outcome = outcome
    if (outcome === 'complete') this.#origin = this.#findOrigin(this.#transfer!)
    this.#outlets.changed()
  }

  #findOrigin({ offer, proof }: Transfer): AgentId | undefined {
    return this.#outlets.tableSize() <= proof.connections * MORE_THAN_CAME ? offer.id : undefined
  }
}
