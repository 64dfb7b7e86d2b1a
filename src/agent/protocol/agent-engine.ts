/**
 * An agent as a state machine without I/O: gets a whole table when its director comes up, and gives its own to others.
 *
 * @module
 */

import { LRUCache } from 'lru-cache'
import { networkHolds, type Network } from '../../addresses.js'
import { counted } from '../../text.js'
import type { TimestampMs } from '../../units.js'
import { isAgentMessage } from '../../wire/agent-mark.js'
import { HEADER_V1 } from '../../wire/layout.js'
import { Answering } from './responder.js'
import { Asking, type AskingReport, type Saying } from './requester.js'
import { decodeAgentMessage, encodeAgentMessage, EVERYBODY, type AgentId, type AgentMessage } from './messages.js'
import { AGENT_TIMES, type AgentEngineOptions, type AgentEvent, type AgentTimes } from './options.js'
import { demandSyncid, parseAccepted } from '../../engine/backup/options.js'
import { EventQueue, type From } from '../../engine/events.js'

/** Agents that are remembered: anybody can make up names. */
const MOST_AGENTS = 64
/** Messages that wait to be taken; a sender that takes none loses further ones. */
const MOST_MESSAGES = 64

/** Another agent as it was last heard. */
export interface KnownAgent {
  /** Its random id. */
  readonly id: AgentId
  /** Where its messages come from. */
  readonly address: string
  /** Whether it holds its table for complete. */
  readonly ready: boolean
}

/** What an agent has done so far. */
export interface AgentReport extends AskingReport {
  /** Whether this director may take over: a table came, or it is time to go without. */
  readonly ready: boolean
  /** Answers given to others. */
  readonly given: number
  /** Requests that were passed over because of the limit. */
  readonly refused: number
  /** Other agents, last heard first. */
  readonly agents: readonly KnownAgent[]
}

/**
 * Agrees with other agents on who gives a table to whom.
 *
 * Give it every datagram that came in; drain {@link AgentEngine.pollTransmit} and {@link AgentEngine.pollEvent} after each
 * call; call {@link AgentEngine.handleTimeout} at {@link AgentEngine.nextTimeout}. Times are milliseconds of one clock
 * that starts above 0. No datagram makes it throw or grow.
 *
 * @example
 * ```ts
 * const agent = new AgentEngine({ id: '00c0ffee00c0ffee', syncid: 5, chance: Math.random, tableSize: () => table.size })
 * agent.start(Date.now())
 * for (let bytes = agent.pollTransmit(); bytes; bytes = agent.pollTransmit()) socket.send(bytes)
 * ```
 */
export class AgentEngine {
  /** Its own name. */
  readonly id: AgentId
  readonly #syncid: number
  readonly #times: AgentTimes
  readonly #accepted: readonly Network[]
  readonly #answers: boolean
  readonly #tableSize: () => number
  readonly #asking: Asking
  readonly #answering: Answering
  readonly #agents = new LRUCache<AgentId, KnownAgent>({ max: MOST_AGENTS })
  readonly #messages: Uint8Array[] = []
  readonly #events = new EventQueue<AgentEvent>()
  #helloAt: TimestampMs = Infinity
  #hasStarted = false
  #status = ''

  /** @throws IpvsSyncError `ERR_CONFIG`, whose `field` names what is not accepted. */
  constructor(options: AgentEngineOptions) {
    const { id, syncid, chance, tableSize, answers = true, answerBurst = 2, attempts = 2, accept = [] } = options
    this.id = id
    this.#syncid = demandSyncid(syncid)
    this.#accepted = parseAccepted(accept)
    this.#answers = answers
    this.#tableSize = tableSize
    this.#times = { ...AGENT_TIMES, ...options.times }
    const say = (message: Saying): void => this.#say(message)
    this.#asking = new Asking(this.#times, attempts, Math.floor(chance() * 2 ** 32), {
      say,
      verify: options.verifies === true ? (connections) => this.#tell({ type: 'verify', connections }) : undefined,
      tableSize,
      restore: () => options.restores === true && tableSize() > 0 && this.#tell({ type: 'restore' }),
      changed: () => this.#tellStatus()
    })
    this.#answering = new Answering(this.#times, answerBurst, {
      say,
      answer: (to, address) => this.#tell({ type: 'answer', to, address }),
      repeat: (pieces) => this.#tell({ type: 'repeat', pieces }),
      forget: () => this.#tell({ type: 'forget' }),
      stop: () => this.#tell({ type: 'stop' }),
      tableSize,
      chance
    })
  }

  /** Whether this director may take over. */
  get ready(): boolean {
    return this.#asking.outcome !== undefined
  }

  /** Says hello, and asks for a table. */
  start(now: TimestampMs): void {
    this.#hasStarted = true
    this.#helloAt = now
    this.#asking.start(now)
    this.handleTimeout(now)
  }

  /** Takes back its own question, and ends. */
  close(): void {
    this.#helloAt = Infinity
    this.#asking.stop()
  }

  /**
   * A datagram has come.
   *
   * @returns Whether it was a message between agents, which is nothing for a backup.
   */
  handleDatagram(bytes: Uint8Array, from: From, now: TimestampMs): boolean {
    if (!isAgentMessage(bytes)) {
      // Connections of version 1: version 0 counts where this has its reserved 0.
      if (this.#asking.active && bytes[HEADER_V1.RESERVED] === 0 && bytes.length > HEADER_V1.LENGTH)
        this.#asking.handleConnections(bytes, bytes[HEADER_V1.COUNT]!, from, now)
      return false
    }
    const message = decodeAgentMessage(bytes)
    if (message !== undefined && message.from !== this.id && this.#hears(bytes, from)) this.#take(message, from, now)
    return true
  }

  /** So many connections of the answer were sent so far. */
  answerProgress(sent: number): void {
    this.#answering.progress(sent)
  }

  /**
   * A portion of the answer was sent, or some of it again.
   *
   * @param portion - From 0: {@link LIST_MESSAGES} messages each, the last one fewer.
   * @param sums - {@link messageSum} of each of its messages.
   */
  answerPortion(portion: number, sums: readonly number[]): void {
    this.#answering.portion(portion, sums)
  }

  /**
   * The answer is over, or what was to be sent of it again.
   *
   * @param connections - All that were sent for the answer, each once.
   * @param messages - That they were in.
   * @param now - The time.
   */
  answerDone(connections: number, messages: number, now: TimestampMs): void {
    this.#answering.done(connections, messages, now)
  }

  /** The answer could not be sent: who asked hears no more of it, and asks somebody else. */
  answerFailed(): void {
    this.#answering.failed()
  }

  /** The kernel's own table lacks so many connections: the reply to the events `verify` and `restore`. */
  verified(missing: number, now: TimestampMs): void {
    this.#asking.verified(missing, now)
  }

  /** Time has passed. */
  handleTimeout(now: TimestampMs): void {
    if (now >= this.#helloAt) {
      this.#helloAt = now + this.#times.hello
      this.#sayHello()
    }
    this.#asking.handleTimeout(now)
    this.#answering.handleTimeout(now)
  }

  /** When to call {@link AgentEngine.handleTimeout} next. */
  nextTimeout(): TimestampMs {
    return Math.min(this.#helloAt, this.#asking.nextTimeout(), this.#answering.nextTimeout())
  }

  /** The next message to send to the group or the peers, or nothing. */
  pollTransmit(): Uint8Array | undefined {
    return this.#messages.shift()
  }

  /** The oldest event that was not yet polled, or nothing. */
  pollEvent(): AgentEvent | undefined {
    return this.#events.shift()
  }

  /** What it has done so far: a copy. */
  report(): AgentReport {
    const { given, refused } = this.#answering
    return { ...this.#asking.report(), ready: this.ready, given, refused, agents: [...this.#agents.values()] }
  }

  /** What it is at, in a line for a person. */
  statusText(): string {
    const { outcome, answerer, received, expected } = this.#asking.report()
    if (this.#asking.active) {
      const doing =
        answerer === undefined
          ? 'asking for a table'
          : `receiving a table of ${counted(expected, 'connection')} from agent ${answerer}`
      return outcome === undefined ? doing : `ready; ${doing}`
    }
    if (outcome === undefined) return !this.#hasStarted ? 'not started' : 'ended before a table was there'
    if (outcome === 'complete')
      return `ready: a table of ${counted(received, 'connection')} came from agent ${answerer!}`
    if (outcome === 'incomplete')
      return `ready, incomplete: ${received} of ${counted(expected, 'connection')} came, and no more were to be had`
    return `ready, alone: no agent answered within ${this.#times.limit / 1000} s`
  }

  #hears(bytes: Uint8Array, { address }: From): boolean {
    if (this.#syncid !== 0 && bytes[HEADER_V1.SYNCID] !== this.#syncid) return false
    return this.#accepted.length === 0 || this.#accepted.some((network) => networkHolds(network, address))
  }

  #take(message: AgentMessage, from: From, now: TimestampMs): void {
    this.#agents.set(message.from, { id: message.from, address: from.address, ready: message.ready })
    const toUs = message.to === this.id
    switch (message.kind) {
      case 'hello':
        this.#meet(message, now)
        break
      case 'request':
        this.#answerRequest(message, from, now)
        break
      case 'offer':
        if (toUs) this.#asking.handleOffer(message, from, now)
        break
      case 'begin':
        this.#asking.handleBegin(message, toUs, from, now)
        break
      case 'progress':
        this.#asking.handleProgress(message, now)
        break
      case 'done':
        this.#asking.handleDone(message, now)
        break
      case 'list':
        this.#asking.handleList(message, now)
        break
      case 'cancel':
        if (toUs) this.#answering.handleCancel(message)
        break
      case 'repeat':
        if (toUs) this.#answering.handleRepeat(message, now)
    }
  }

  /** One who went without asks again when somebody turns up who has a table, unless it is its own. */
  #meet({ ready, connections, words }: AgentMessage, now: TimestampMs): void {
    if (this.#asking.outcome !== 'alone' || !ready || connections === 0) return
    if (nameOf(words) !== this.id) this.#asking.start(now)
  }

  #sayHello(): void {
    const connections = this.#answers ? this.#tableSize() : 0
    const words = wordsOfName(this.#asking.origin ?? '')
    this.#say({ kind: 'hello', to: EVERYBODY, request: 0, connections, words })
  }

  #answerRequest(message: AgentMessage, from: From, now: TimestampMs): void {
    if (!this.#answers) return
    if (message.to === EVERYBODY) this.#answering.handleQuestion(message, from.address, this.ready, now)
    else if (message.to === this.id) this.#answering.handleChoice(message, from, now)
  }

  #say(message: Saying): void {
    if (this.#messages.length >= MOST_MESSAGES) return
    this.#messages.push(encodeAgentMessage({ words: [], ...message, from: this.id, ready: this.ready }, this.#syncid))
  }

  #tell(event: AgentEvent): boolean {
    return this.#events.push(event)
  }

  #tellStatus(): void {
    const text = this.statusText()
    if (text === this.#status) return
    this.#status = text
    this.#tell({ type: 'status', ready: this.ready, text })
  }
}

function wordsOfName(name: AgentId): number[] {
  return name === '' ? [] : [Number.parseInt(name.slice(0, 8), 16), Number.parseInt(name.slice(8), 16)]
}

function nameOf(words: readonly number[]): AgentId {
  return words.map((word) => word.toString(16).padStart(8, '0')).join('')
}
