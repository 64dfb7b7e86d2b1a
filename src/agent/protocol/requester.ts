/**
 * The requesting side of an agent: from the first request to a complete table, or to the limit.
 *
 * @module
 */

import type { From } from '../../engine/events.js'
import type { Milliseconds, TimestampMs } from '../../units.js'
import { MAX_TABLE_MESSAGES, missingIn, requestable } from './arrival-proof.js'
import {
  EVERY_AGENT,
  type AgentId,
  type AgentStatement,
  type BeginMessage,
  type DoneMessage,
  type ListMessage,
  type OfferMessage,
  type Piece,
  type ProgressMessage,
  type ReceiveCapacity
} from './messages.js'
import type { AgentEvent, AgentOutcome, AgentRejection, AgentTimes } from './options.js'
import type { Peers } from './peers.js'
import { Timers } from './timers.js'
import { createTransfer, type End, type Offer, type Transfer } from './transfer.js'

/** Up to 5 % more entries than were received still count as a copy of the sender's table: some are announced meanwhile. */
const COPY_MARGIN = 1.05
/** A table with fewer than this share of the connections of the fullest ready peer is not complete. */
const COMPLETE_SHARE = 0.5
/** A deadline noticed this much later was missed because this process did not run: messages may wait in its socket, unread. */
const LATE: Milliseconds = 250
/** Requests for retransmission in a row that bring nothing. */
const MAX_FRUITLESS = 3

type TimerName = 'request' | 'choose' | 'limit' | 'transfer-limit' | 'silence' | 'stall' | 'retry' | 'judge'
/** Deadlines at which the absence of messages decides. */
const FROM_SILENCE: ReadonlySet<TimerName> = new Set(['limit', 'silence', 'stall', 'judge'])

/** What a requester needs of its engine. */
export interface RequesterContext {
  readonly times: AgentTimes
  /** Whole answers after which it stops. */
  readonly attempts: number
  readonly capacity: ReceiveCapacity | undefined
  readonly peers: Peers
  /** Connections in the own table. */
  readonly tableSize: () => number
  /** Whether the kernel's table must have what was received, and gets what is stored. */
  readonly verifies: boolean
  readonly restores: boolean
  readonly send: (message: AgentStatement) => void
  readonly emit: (event: AgentEvent) => void
  readonly reject: (reason: AgentRejection) => void
}

/** State of the requesting side. */
export interface RequesterReport {
  /** How the request ended; undefined until it has. */
  readonly outcome: AgentOutcome | undefined
  /** Agent that sends the table, or sent the last one, and its address. */
  readonly answerer: AgentId | undefined
  readonly answererAddress: string | undefined
  /** Connections received of this table. */
  readonly received: number
  /** Connections that this table should have. */
  readonly expected: number
  /** Answers that were started. */
  readonly answers: number
  /** Tables that were received whole. */
  readonly tablesReceived: number
  /** Connections that this host's kernel lacked after the last comparison. */
  readonly kernelLacks: number
  /** Connections received a second, and the estimated time until the rest is here; undefined outside a transfer. */
  readonly rate: number | undefined
  readonly remainingMs: Milliseconds | undefined
}

/** Requests a table until there is one, or until the limit. */
export class Requester {
  readonly #context: RequesterContext
  readonly #timers = new Timers<TimerName>()
  readonly #offers = new Offers()
  #outcome: AgentOutcome | undefined
  #isActive = false
  #isRestoring = false
  #limitAt: TimestampMs = 0
  #request: number
  #transfer: Transfer | undefined
  #answers = 0
  #shortAnswers = 0
  #tablesReceived = 0
  #kernelLacks = 0
  #origin: AgentId | undefined

  /** @param firstRequest - Number of the first request: random, so that a restart does not look like a repetition. */
  constructor(context: RequesterContext, firstRequest: number) {
    this.#context = context
    this.#request = firstRequest
  }

  /** Why it is ready; undefined until it is. Remains while it requests a table again. */
  get outcome(): AgentOutcome | undefined {
    return this.#outcome
  }

  /** The agent that supplied the whole table, if one did. */
  get origin(): AgentId | undefined {
    return this.#origin
  }

  /** Whether it waits for offers or for a table. */
  get isActive(): boolean {
    return this.#isActive
  }

  /** Whether a table is on its way. */
  get isReceiving(): boolean {
    return this.#isActive && this.#transfer?.begunAt !== undefined
  }

  /** Starts. */
  start(now: TimestampMs): void {
    if (this.#isActive) return
    const { limit, transferLimit } = this.#context.times
    this.#isActive = true
    this.#isRestoring = false
    this.#answers = 0
    this.#shortAnswers = 0
    this.#kernelLacks = 0
    this.#limitAt = now + limit
    this.#timers.set('transfer-limit', now + transferLimit)
    this.#requestOffers(now)
  }

  /** Stops: a responder may stop, too. */
  stop(): void {
    this.#cancel()
    this.#isActive = false
    this.#timers.clear()
  }

  /** Another agent has a copy of this table, so an agent that was alone has all that there is. */
  confirm(): void {
    if (this.#outcome === 'alone' && !this.#isActive) this.#outcome = 'complete'
  }

  /** Handles an offer to this agent. */
  handleOffer({ from, request, connections, ready }: OfferMessage, source: From, now: TimestampMs): void {
    if (!this.#isActive || this.#transfer !== undefined || this.#isRestoring || request !== this.#request) return
    this.#offers.add({ id: from, source, connections, ready })
    this.#timers.setOnce('choose', now + this.#context.times.choice)
  }

  /** Handles the begin of an answer. One to another requester is as good, if its sender has announced itself. */
  handleBegin(message: BeginMessage, toUs: boolean, source: From, now: TimestampMs): void {
    const { from, request, connections, ready } = message
    if (!this.#isActive || this.#isRestoring) return
    const transfer = this.#transfer
    // A responder that was chosen and begins for another requester is too busy for this one.
    const isFree = transfer === undefined || (transfer.begunAt === undefined && transfer.offer.id === from)
    if (isFree && !toUs) {
      if (!this.#context.peers.isKnown(from, source.address)) {
        this.#context.reject('UNKNOWN_RESPONDER')
        return
      }
      this.#expect({ id: from, source, connections, ready }, request, true, now)
    }
    const current = this.#current(message, source)
    if (current === undefined || current.begunAt !== undefined) return
    current.begunAt = now
    current.planned = connections
    this.#answers++
    this.#timers.set('stall', now + this.#context.times.stall)
    if (current.round === 0) this.#timers.clear('retry')
  }

  /** Handles a progress report. */
  handleProgress(message: ProgressMessage, source: From, now: TimestampMs): void {
    if (this.#current(message, source) !== undefined) this.#timers.set('silence', now + this.#context.times.silence)
  }

  /** Handles the list of a portion. */
  handleList(message: ListMessage, source: From, now: TimestampMs): void {
    const transfer = this.#current(message, source)
    if (transfer === undefined) return
    transfer.proof.handleList(message.portion, message.sums)
    this.#keepAlive(transfer, now)
  }

  /** Handles the end of an answer; what is still on its way may arrive for a moment. */
  handleDone(message: DoneMessage, source: From, now: TimestampMs): void {
    const transfer = this.#current(message, source)
    const { connections, messages, round } = message
    if (transfer === undefined || transfer.end !== undefined || messages > MAX_TABLE_MESSAGES) return
    // The end is sent several times; one from before a retransmission does not end that.
    if (round < transfer.round) return
    transfer.round = round
    transfer.end = { connections, messages }
    this.#timers.clear('silence', 'stall', 'retry')
    this.#timers.set('judge', now + this.#context.times.stragglers)
  }

  /** Handles a sync message with connections from any source, while {@link Requester.isActive}. */
  handleTableMessage(bytes: Uint8Array, connections: number, { address, port }: From, now: TimestampMs): void {
    const transfer = this.#transfer
    if (transfer?.offer.source.port !== port || transfer.offer.source.address !== address) return
    transfer.proof.handleMessage(bytes, connections)
    this.#keepAlive(transfer, now)
  }

  /** The kernel's own table was compared, or filled: so many connections are missing there. */
  verified(missing: number, now: TimestampMs): void {
    const transfer = this.#transfer
    if (this.#isRestoring) this.#finish(this.#outcomeWithoutTable())
    else if (transfer?.isVerifying === true) {
      transfer.isVerifying = false
      this.#kernelLacks = missing
      if (missing === 0) this.#accept(transfer, now)
      else this.#retryWhole(transfer, now)
    }
  }

  /** Handles what is due. */
  handleTimeout(now: TimestampMs): void {
    // Nothing that is concluded from silence is concluded before the socket was read. Else a requester that was held for a
    // moment cancels an answer that has arrived, and a second agent sends the whole table again.
    const isLate = now - this.#timers.next() > LATE
    for (let name = this.#timers.take(now); name !== undefined; name = this.#timers.take(now)) {
      const transfer = this.#transfer
      if (isLate && FROM_SILENCE.has(name)) this.#timers.set(name, now + this.#context.times.stragglers)
      else if (name === 'transfer-limit') this.#giveUp()
      else if (name === 'request') this.#requestOffers(now)
      else if (name === 'choose') {
        this.#expect(this.#offers.best()!, this.#request, false, now)
        this.#sendRequest(this.#transfer!.offer.id)
      } else if (name === 'limit') {
        // No table came before the limit: a restarted kernel gets what was stored before the agent is ready.
        const { restores, tableSize, emit } = this.#context
        if (this.#answers > 0 || this.#outcome !== undefined || !restores || tableSize() === 0) {
          this.#giveUp()
        } else {
          this.#isRestoring = true
          this.#timers.clear('request', 'choose', 'limit')
          emit({ type: 'restore' })
        }
      } else if (name === 'judge') this.#judge(transfer!, transfer!.end!, now)
      else if (name === 'retry') this.#repeatRequest(transfer!, now)
      else {
        // The responder is silent: another one is asked.
        const { offer, proof } = transfer!
        this.#offers.addFailure(offer.source)
        this.#cancel()
        if (proof.connections > 0) this.#limitAt = Math.max(this.#limitAt, now + this.#context.times.silence)
        this.#requestOffers(now)
      }
    }
  }

  /** Returns when something is due. */
  nextTimeout(): TimestampMs {
    return this.#timers.next()
  }

  /** Returns the state. */
  report(now: TimestampMs): RequesterReport {
    const transfer = this.#transfer
    const received = transfer?.proof.connections ?? 0
    const expected = transfer?.end?.connections ?? transfer?.planned ?? 0
    const elapsed = this.isReceiving && received > 0 ? now - transfer!.begunAt! : 0
    const rate = elapsed > 0 ? (received * 1000) / elapsed : undefined
    return {
      outcome: this.#outcome,
      answerer: transfer?.offer.id,
      answererAddress: transfer?.offer.source.address,
      received,
      expected,
      answers: this.#answers,
      tablesReceived: this.#tablesReceived,
      kernelLacks: this.#kernelLacks,
      rate,
      remainingMs: rate === undefined ? undefined : (Math.max(expected - received, 0) * 1000) / rate
    }
  }

  #requestOffers(now: TimestampMs): void {
    this.#transfer = undefined
    this.#offers.clear()
    this.#timers.clear('choose', 'silence', 'stall', 'retry', 'judge')
    this.#timers.set('request', now + this.#context.times.retry)
    this.#timers.set('limit', this.#limitAt)
    this.#request = (this.#request + 1) >>> 0
    this.#sendRequest(EVERY_AGENT)
  }

  #sendRequest(to: AgentId): void {
    this.#context.send({ kind: 'request', to, request: this.#request, capacity: this.#context.capacity })
  }

  #expect(offer: Offer, request: number, isJoined: boolean, now: TimestampMs): void {
    const { silence, retry } = this.#context.times
    this.#transfer = createTransfer(offer, request, isJoined)
    this.#timers.clear('request', 'choose', 'limit', 'stall', 'judge')
    this.#timers.set('silence', now + silence)
    this.#timers.set('retry', isJoined ? Infinity : now + retry)
  }

  /** Returns the transfer that a message of a responder belongs to. */
  #current({ from, request }: { from: AgentId; request: number }, { address, port }: From): Transfer | undefined {
    const transfer = this.#transfer
    if (!this.#isActive || transfer === undefined || transfer.isVerifying) return undefined
    const { id, source } = transfer.offer
    if (id !== from || transfer.request !== request) return undefined
    if (source.address === address && source.port === port) return transfer
    this.#context.reject('UNKNOWN_RESPONDER')
    return undefined
  }

  /** The responder sends what was requested: no request has to be repeated. */
  #keepAlive({ end, round, begunAt, isVerifying }: Transfer, now: TimestampMs): void {
    if (end !== undefined || isVerifying) return
    const { silence, stall, retry } = this.#context.times
    this.#timers.set('silence', now + silence)
    if (begunAt !== undefined) this.#timers.set('stall', now + stall)
    // Not cleared: the message may be a late one of the round before, and the request for retransmission be lost.
    if (round > 0) this.#timers.set('retry', now + retry)
  }

  /** Sends the choice, or a request for retransmission, again: either can be lost. */
  #repeatRequest(transfer: Transfer, now: TimestampMs): void {
    this.#timers.set('retry', now + this.#context.times.retry)
    if (transfer.round === 0) this.#sendRequest(transfer.offer.id)
    else this.#sendRepeat(transfer, transfer.proof.missing(transfer.total.messages, transfer.total.connections))
  }

  #judge(transfer: Transfer, end: End, now: TimestampMs): void {
    const missing = transfer.proof.missing(end.messages, end.connections)
    if (missing.length > 0) this.#requestMissing(transfer, missing, end, now)
    else if (this.#context.verifies) {
      // Reading a large kernel table takes longer than the silence timeout, so only the transfer limit applies.
      transfer.isVerifying = true
      this.#context.emit({ type: 'verify', connections: end.connections })
    } else this.#accept(transfer, now)
  }

  /** Requests what is missing, as long as that brings some of it now and then. */
  #requestMissing(transfer: Transfer, pieces: readonly Piece[], end: End, now: TimestampMs): void {
    const { silence, retry, stall } = this.#context.times
    const missing = pieces.reduce((sum, piece) => sum + missingIn(piece), 0)
    transfer.fruitless = missing < transfer.missing ? 0 : transfer.fruitless + 1
    if (transfer.fruitless >= MAX_FRUITLESS) {
      this.#retryWhole(transfer, now)
      return
    }
    transfer.missing = Math.min(missing, transfer.missing)
    transfer.total = end
    transfer.round++
    transfer.end = undefined
    this.#timers.set('silence', now + silence)
    this.#timers.set('stall', now + stall)
    this.#timers.set('retry', now + retry)
    this.#sendRepeat(transfer, pieces)
  }

  #sendRepeat({ offer, request, round }: Transfer, pieces: readonly Piece[]): void {
    this.#context.send({ kind: 'repeat', to: offer.id, request, round, pieces: requestable(pieces) })
  }

  /** Accepts a table that arrived whole, unless a ready peer has more than twice as much. */
  #accept(transfer: Transfer, now: TimestampMs): void {
    const { peers, tableSize } = this.#context
    const { offer, proof } = transfer
    this.#tablesReceived++
    const own = Math.max(tableSize(), proof.connections)
    if (own < (peers.fullest()?.connections ?? 0) * COMPLETE_SHARE) {
      this.#offers.addFailure(offer.source)
      if (now >= this.#limitAt) this.#finish('incomplete')
      else this.#requestOffers(now)
      return
    }
    this.#origin = tableSize() <= proof.connections * COPY_MARGIN ? offer.id : undefined
    this.#finish('complete')
  }

  /** Some of the table is missing: requests all of it from the same agent, as often as is allowed. */
  #retryWhole({ offer }: Transfer, now: TimestampMs): void {
    if (++this.#shortAnswers >= this.#context.attempts) {
      this.#finish('incomplete')
      return
    }
    this.#request = (this.#request + 1) >>> 0
    this.#expect(offer, this.#request, false, now)
    this.#sendRequest(offer.id)
  }

  #cancel(): void {
    const transfer = this.#transfer
    if (!this.#isActive || transfer === undefined || transfer.isJoined || transfer.end !== undefined) return
    this.#context.send({ kind: 'cancel', to: transfer.offer.id, request: transfer.request })
  }

  #giveUp(): void {
    this.#cancel()
    this.#finish(this.#outcomeWithoutTable())
  }

  #outcomeWithoutTable(): AgentOutcome {
    const isAlone = this.#answers === 0 && (this.#context.peers.fullest()?.connections ?? 0) === 0
    return isAlone ? 'alone' : 'incomplete'
  }

  #finish(outcome: AgentOutcome): void {
    this.#isActive = false
    this.#isRestoring = false
    this.#outcome = outcome
    this.#timers.clear()
  }
}

/** Offers that are kept, and addresses whose failures are counted. */
const MAX_OFFERS = 16
const MAX_FAILURES = 64

/** Keeps offers spread over addresses, and chooses the best one. */
export class Offers {
  readonly #offers = new Map<string, Offer>()
  readonly #failures = new Map<string, number>()

  /** Number of offers. */
  get size(): number {
    return this.#offers.size
  }

  /** Adds an offer. If there is no room, it replaces one of the address that has most, provided its own has fewer. */
  add(offer: Offer): void {
    if (this.#offers.size >= MAX_OFFERS && !this.#offers.has(offer.id)) {
      const counts = new Map<string, number>()
      for (const { source } of this.#offers.values()) counts.set(source.address, (counts.get(source.address) ?? 0) + 1)
      const [address, most] = [...counts].reduce((one, other) => (other[1] > one[1] ? other : one))
      if ((counts.get(offer.source.address) ?? 0) + 1 >= most) return
      this.#offers.delete([...this.#offers.values()].find(({ source }) => source.address === address)!.id)
    }
    this.#offers.set(offer.id, offer)
  }

  /** Removes all offers; failures remain. */
  clear(): void {
    this.#offers.clear()
  }

  /** Records that an answer from this address failed. */
  addFailure({ address }: From): void {
    const count = this.#failures.get(address) ?? 0
    this.#failures.delete(address)
    if (this.#failures.size >= MAX_FAILURES) this.#failures.delete(this.#failures.keys().next().value!)
    this.#failures.set(address, count + 1)
  }

  /** Returns the offer of the address with the fewest failures: a ready one, with the most connections, of the lowest name. */
  best(): Offer | undefined {
    const failures = ({ source }: Offer): number => this.#failures.get(source.address) ?? 0
    return [...this.#offers.values()].sort(
      (one, other) =>
        failures(one) - failures(other) ||
        Number(other.ready) - Number(one.ready) ||
        other.connections - one.connections ||
        (one.id < other.id ? -1 : 1)
    )[0]
  }
}
