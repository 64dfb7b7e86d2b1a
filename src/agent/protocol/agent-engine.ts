/**
 * An agent as a state machine without I/O: receives a whole table when its director starts, and sends its own to others.
 *
 * @module
 */

import { demandKnownOptions, type OptionNames } from '../../demand.js'
import { networkHolds, type Network } from '../../addresses.js'
import { counted } from '../../text.js'
import type { TimestampMs } from '../../units.js'
import { isAgentMessage } from '../../wire/agent-mark.js'
import { HEADER_V1 } from '../../wire/layout.js'
import { demandSyncid, parseAccepted } from '../../engine/backup/options.js'
import { EventQueue, type From } from '../../engine/events.js'
import type { Datagram, Engine } from '../../engine/engine.js'
import {
  AGENT_VERSION,
  agentVersionOf,
  decodeAgentMessage,
  encodeAgentMessage,
  EVERY_AGENT,
  type AgentId,
  type AgentMessage,
  type AgentStatement,
  type HelloMessage,
  type ReceiveCapacity
} from './messages.js'
import {
  AGENT_TIMES,
  type AgentEngineOptions,
  type AgentEvent,
  type AgentRejection,
  type AgentTimes,
  type TableSource
} from './options.js'
import { Peers, type Peer } from './peers.js'
import { Requester, type RequesterReport } from './requester.js'
import { Responder } from './responder.js'
import { Timers } from './timers.js'

/** Messages that wait to be polled; further ones are dropped. */
const MAX_MESSAGES = 64

/** State and counters of an agent. */
export interface AgentReport extends RequesterReport {
  /** Whether this director may take over. */
  readonly ready: boolean
  /** Answers that were started, and those that were sent whole. */
  readonly given: number
  readonly tablesSent: number
  /** Requests rejected by the limit of answers. */
  readonly refused: number
  /** Messages of other agents that had no effect, by reason. */
  readonly rejected: Readonly<Partial<Record<AgentRejection, number>>>
  /** Other agents, most recent first. */
  readonly agents: readonly Peer[]
}

/** Names of the options. */
const OPTIONS: OptionNames<AgentEngineOptions> = {
  id: true,
  syncid: true,
  chance: true,
  table: true,
  maxLength: true,
  rate: true,
  capacity: true,
  answers: true,
  answerBurst: true,
  attempts: true,
  verifies: true,
  restores: true,
  accept: true,
  times: true
}

/**
 * Transfers whole tables between agents.
 *
 * Pass every received datagram to `handleDatagram`. After each call, send what `pollTransmit` returns until it returns
 * undefined, and handle what `pollEvent` returns. Call `handleTimeout` at `nextTimeout`, which may change with every call.
 * Times are milliseconds of one clock that starts above 0. No datagram makes the engine throw or grow without bound.
 *
 * @example
 * ```ts
 * const agent = new AgentEngine({ id: '00c0ffee00c0ffee', syncid: 5, chance: Math.random, table })
 * agent.start(Date.now())
 * for (let next = agent.pollTransmit(); next; next = agent.pollTransmit()) socket.send(next.bytes)
 * ```
 */
export class AgentEngine implements Engine<AgentEvent> {
  /** The agent's own name. */
  readonly id: AgentId
  readonly #syncid: number
  readonly #times: AgentTimes
  readonly #accepted: readonly Network[]
  readonly #answers: boolean
  readonly #capacity: ReceiveCapacity | undefined
  readonly #table: TableSource
  readonly #chance: () => number
  readonly #peers: Peers
  readonly #requester: Requester
  readonly #responder: Responder
  readonly #timers = new Timers<'hello'>()
  readonly #rejected: Partial<Record<AgentRejection, number>> = {}
  readonly #messages: Uint8Array[] = []
  readonly #events = new EventQueue<AgentEvent>()
  #now: TimestampMs = 0
  #helloAt: TimestampMs = -Infinity
  #phase: 'new' | 'started' | 'closed' = 'new'
  #statusKey = ''

  /** @throws IpvsSyncError `ERR_CONFIG`; `field` names the option. */
  constructor(options: AgentEngineOptions) {
    demandKnownOptions(options, OPTIONS)
    const { id, syncid, chance, table, answers = true, answerBurst = 2, attempts = 2, accept = [], capacity } = options
    const { maxLength = 1472, rate, verifies = false, restores = false } = options
    this.id = id
    this.#syncid = demandSyncid(syncid)
    this.#accepted = parseAccepted(accept)
    this.#answers = answers
    this.#capacity = capacity
    this.#table = table
    this.#chance = chance
    this.#times = { ...AGENT_TIMES, ...options.times }
    const times = this.#times
    const emit = (event: AgentEvent): void => void this.#events.push(event)
    const send = (message: AgentStatement): void => this.#send(message)
    const encode = (message: AgentStatement): Uint8Array => this.#encode(message)
    const reject = (reason: AgentRejection): void => this.#reject(reason)
    const tableSize = (): number => table.size
    this.#peers = new Peers(times.hello, emit)
    this.#requester = new Requester(
      { times, attempts, capacity, peers: this.#peers, tableSize, verifies, restores, send, emit, reject },
      Math.floor(chance() * 2 ** 32)
    )
    this.#responder = new Responder({ times, table, maxLength, rate, chance, send, encode, emit, reject }, answerBurst)
  }

  /** Whether this director may take over. */
  get ready(): boolean {
    return this.#requester.outcome !== undefined
  }

  /** Whether a table is being received. */
  get isReceiving(): boolean {
    return this.#requester.isReceiving
  }

  /** Whether an answer is being sent or received. */
  get isTransferring(): boolean {
    return this.#responder.isBusy || this.#requester.isReceiving
  }

  /** Announces the agent and requests a table. */
  start(now: TimestampMs): void {
    this.#phase = 'started'
    this.#timers.set('hello', now)
    this.#requester.start(now)
    this.handleTimeout(now)
  }

  /** Withdraws the own request and stops. */
  close(): void {
    this.#phase = 'closed'
    this.#timers.clear()
    this.#requester.stop()
    this.#updateStatus()
  }

  /**
   * Handles a datagram.
   *
   * @returns Whether it was a message between agents, which a backup does not process.
   */
  handleDatagram(bytes: Uint8Array, from: From, now: TimestampMs): boolean {
    this.#now = now
    if (!isAgentMessage(bytes)) {
      // Version 1 has 0 where version 0 has its count.
      if (this.#requester.isActive && bytes[HEADER_V1.RESERVED] === 0 && bytes.length > HEADER_V1.LENGTH)
        this.#requester.handleTableMessage(bytes, bytes[HEADER_V1.COUNT]!, from, now)
      return false
    }
    const message = this.#accept(bytes, from, now)
    if (message !== undefined) {
      this.#handleMessage(message, from, now)
      this.#updateStatus()
    }
    return true
  }

  /** Continues after the event `refresh`: the table is up to date. */
  refreshed(now: TimestampMs): void {
    this.#now = now
    this.#responder.refreshed(now)
  }

  /** Continues after the events `verify` and `restore`: the kernel's own table lacks so many connections. */
  verified(missing: number, now: TimestampMs): void {
    this.#now = now
    this.#requester.verified(missing, now)
    this.#updateStatus()
  }

  /** Handles what is due. Calling it early is harmless. */
  handleTimeout(now: TimestampMs): void {
    this.#now = now
    if (this.#timers.take(now) !== undefined) {
      this.#helloAt = now
      this.#timers.set('hello', now + this.#times.hello)
      const connections = this.#answers ? this.#table.size : 0
      const { origin } = this.#requester
      const capacity = this.#capacity
      this.#send({ kind: 'hello', to: EVERY_AGENT, request: 0, connections, origin, ...(capacity && { capacity }) })
    }
    this.#peers.handleTimeout(now)
    this.#requester.handleTimeout(now)
    this.#responder.handleTimeout(now)
    this.#updateStatus()
  }

  /** Returns when {@link AgentEngine.handleTimeout} has something to do; `Infinity` for never. */
  nextTimeout(): TimestampMs {
    return Math.min(
      this.#timers.next(),
      this.#peers.nextTimeout(),
      this.#requester.nextTimeout(),
      this.#responder.nextTimeout()
    )
  }

  /** Returns the next datagram to send to the group or the peers; undefined if none may leave now. */
  pollTransmit(): Datagram | undefined {
    const bytes = this.#messages.shift()
    return bytes === undefined ? this.#responder.poll(this.#now) : { channel: 0, bytes, connections: 0 }
  }

  /** Returns the oldest event that was not polled yet. */
  pollEvent(): AgentEvent | undefined {
    return this.#events.shift()
  }

  /** Returns the state and the counters: a copy. */
  report(now: TimestampMs = this.#now): AgentReport {
    return {
      ...this.#requester.report(now),
      ready: this.ready,
      given: this.#responder.started,
      tablesSent: this.#responder.sent,
      refused: this.#rejected.RATE_LIMITED ?? 0,
      rejected: { ...this.#rejected },
      agents: this.#peers.list()
    }
  }

  /** Describes the state in one line. */
  statusText(now: TimestampMs = this.#now): string {
    const report = this.#requester.report(now)
    const { outcome, received, expected, rate, remainingMs, kernelLacks } = report
    const answerer = `agent ${report.answerer} at ${report.answererAddress}`
    if (this.#requester.isActive) {
      const figures =
        rate === undefined
          ? ''
          : `: ${received} received, ${Math.round(rate)} a second, ${(remainingMs! / 1000).toFixed(1)} s remaining`
      const activity =
        report.answerer === undefined
          ? 'requesting a table'
          : `receiving ${counted(expected, 'connection')} from ${answerer}${figures}`
      return outcome === undefined ? activity : `ready (${outcome}); ${activity}`
    }
    if (outcome === undefined) return this.#phase === 'new' ? 'not started' : 'closed before a table was received'
    const others = this.#peers.list().length
    const present = others === 0 ? '' : `; ${counted(others, 'agent')} present now`
    const fullest = this.#peers.fullest()
    if (outcome === 'alone') return `ready (alone): no agent answered within ${this.#times.limit / 1000} s${present}`
    if (outcome === 'complete')
      return report.answerer === undefined
        ? `ready (complete): another agent has a copy of this table${present}`
        : `ready (complete): received ${counted(received, 'connection')} from ${answerer}`
    const start = `ready (incomplete): received ${received} of ${counted(expected, 'connection')}`
    if (kernelLacks > 0) return `${start}; this host's kernel lacks ${kernelLacks} of the table`
    if (received < expected || fullest === undefined) return `${start}; no agent could supply the rest`
    return `${start}; agent ${fullest.id} at ${fullest.address} has ${fullest.connections}`
  }

  /** Returns the message in a datagram, unless it is rejected. */
  #accept(bytes: Uint8Array, { address }: From, now: TimestampMs): AgentMessage | undefined {
    const syncid = bytes[HEADER_V1.SYNCID]!
    const version = agentVersionOf(bytes)
    const message = decodeAgentMessage(bytes)
    if (message?.from === this.id) return undefined
    let reason: AgentRejection | undefined
    if (this.#accepted.length > 0 && !this.#accepted.some((network) => networkHolds(network, address)))
      reason = 'NOT_ACCEPTED'
    else if (this.#syncid !== 0 && syncid !== this.#syncid) {
      reason = 'OTHER_SYNCID'
      const text = `an agent at ${address} has syncid ${syncid}, this agent ${this.#syncid}: only agents of one syncid exchange tables`
      this.#peers.reportDisagreement('AGENT_OTHER_SYNCID', `${address} ${syncid}`, text, now)
    } else if (version !== AGENT_VERSION) {
      reason = 'OTHER_VERSION'
      const text = `an agent at ${address} uses version ${version} of the agent protocol, this agent version ${AGENT_VERSION}`
      this.#peers.reportDisagreement('AGENT_OTHER_VERSION', `${address} ${version}`, text, now)
    } else if (message === undefined) reason = 'MALFORMED'
    if (reason === undefined) return message
    this.#reject(reason)
    return undefined
  }

  #handleMessage(message: AgentMessage, from: From, now: TimestampMs): void {
    this.#peers.handleMessage(message, from, now)
    const toUs = message.to === this.id
    switch (message.kind) {
      case 'hello':
        this.#handleHello(message, now)
        break
      case 'request':
        if (message.to === EVERY_AGENT) {
          // A request makes this agent known to its sender: after a random delay, so before an answer of another agent can end.
          const { offerDelay } = this.#times
          const at = Math.max(now, this.#helloAt + offerDelay) + this.#chance() * offerDelay
          this.#timers.set('hello', Math.min(this.#timers.next(), at))
        }
        if (!this.#answers) break
        if (message.to === EVERY_AGENT) this.#responder.handleRequest(message, from.address, this.ready, now)
        else if (toUs) this.#responder.handleChoice(message, from, now)
        break
      case 'offer':
        if (toUs) this.#requester.handleOffer(message, from, now)
        break
      case 'begin':
        this.#requester.handleBegin(message, toUs, from, now)
        break
      case 'progress':
        this.#requester.handleProgress(message, from, now)
        break
      case 'done':
        this.#requester.handleDone(message, from, now)
        break
      case 'list':
        this.#requester.handleList(message, from, now)
        break
      case 'cancel':
        if (toUs) this.#responder.handleCancel(message, now)
        break
      case 'repeat':
        if (toUs) this.#responder.handleRepeat(message, now)
    }
  }

  /** An agent that was alone requests a table again when a ready one with its own table appears. */
  #handleHello({ from, ready, connections, origin }: HelloMessage, now: TimestampMs): void {
    if (this.ready && !this.#requester.isActive) this.#peers.compare(from, this.#table.size, now)
    if (this.#requester.outcome !== 'alone' || !ready || connections === 0) return
    if (origin === this.id) this.#requester.confirm()
    else this.#requester.start(now)
  }

  #encode(message: AgentStatement): Uint8Array {
    return encodeAgentMessage({ ...message, from: this.id, ready: this.ready }, this.#syncid)
  }

  #send(message: AgentStatement): void {
    if (this.#messages.length < MAX_MESSAGES) this.#messages.push(this.#encode(message))
  }

  #reject(reason: AgentRejection): void {
    this.#rejected[reason] = (this.#rejected[reason] ?? 0) + 1
  }

  /** Emits the status when its phase changes, not with every figure in it. */
  #updateStatus(): void {
    const { outcome, answerer, received, tablesReceived } = this.#requester.report(this.#now)
    const isActive = this.#requester.isActive
    const key = [
      outcome,
      isActive,
      answerer,
      isActive ? '' : `${received} ${tablesReceived}`,
      outcome === 'alone' ? this.#peers.list().length : ''
    ].join()
    if (key === this.#statusKey) return
    this.#statusKey = key
    this.#events.push({ type: 'status', ready: this.ready, outcome, text: this.statusText() })
  }
}
