/**
 * The other agents of the group.
 *
 * @module
 */

import { LRUCache } from 'lru-cache'
import { counted } from '../../text.js'
import type { From, NoticeEvent } from '../../engine/events.js'
import type { Milliseconds, TimestampMs } from '../../units.js'
import type { AgentId, AgentMessage } from './messages.js'

/** Peers that are remembered: anyone can invent names. */
const MAX_PEERS = 64
/** Hello intervals after which a silent peer has left. */
const MISSED_HELLOS = 3
/** Tables that differ by less than this factor agree. */
const AGREEMENT = 2
/** Tables with fewer connections are not compared. */
const COMPARED_FROM = 100
/** Addresses whose disagreement was reported. */
const MAX_REPORTED = 64
/** Interval of reports of one disagreement. */
const REPORT_INTERVAL: Milliseconds = 600_000

/** Another agent. */
export interface Peer {
  readonly id: AgentId
  /** Source of its messages. */
  readonly address: string
  /** Whether it is ready. */
  readonly ready: boolean
  /** Connections in its table, as it announced last. */
  readonly connections: number
  /** Agent that supplied its table, if one did. */
  readonly origin: AgentId | undefined
  /** Time of its last message. */
  readonly heardAt: TimestampMs
}

/** Records hellos, and reports peers that join, leave or disagree. */
export class Peers {
  readonly #peers = new LRUCache<AgentId, Peer>({ max: MAX_PEERS })
  readonly #reported = new LRUCache<string, TimestampMs>({ max: MAX_REPORTED })
  readonly #life: Milliseconds
  readonly #notify: (event: NoticeEvent) => void

  /**
   * @param hello - Interval of hellos.
   * @param notify - Receives notices.
   */
  constructor(hello: Milliseconds, notify: (event: NoticeEvent) => void) {
    this.#life = MISSED_HELLOS * hello
    this.#notify = notify
  }

  /** Peers, most recent first. */
  list(): readonly Peer[] {
    return [...this.#peers.values()]
  }

  /** Records the sender of a message. Hellos and offers make it known; other messages only keep it alive. */
  handleMessage(message: AgentMessage, { address }: From, now: TimestampMs): void {
    const known = this.#peers.get(message.from)
    const { from: id, ready } = message
    if (message.kind === 'hello' || message.kind === 'offer') {
      const { connections } = message
      const origin = message.kind === 'hello' ? message.origin : known?.origin
      this.#peers.set(id, { id, address, ready, connections, origin, heardAt: now })
      if (known === undefined) {
        const state = `${ready ? 'ready' : 'not ready'}, ${counted(connections, 'connection')}`
        this.#report('AGENT_JOINED', `agent ${id} at ${address} joined: ${state}`)
      }
    } else if (known?.address === address) this.#peers.set(id, { ...known, ready, heardAt: now })
  }

  /** Returns whether an agent has announced itself from this address. */
  isKnown(id: AgentId, address: string): boolean {
    return this.#peers.peek(id)?.address === address
  }

  /** Returns the ready peer with the most connections. */
  fullest(): Peer | undefined {
    let fullest: Peer | undefined
    for (const peer of this.#peers.values())
      if (peer.ready && (fullest === undefined || peer.connections > fullest.connections)) fullest = peer
    return fullest
  }

  /** Reports, once in ten minutes for each peer, a ready table that is far from the size of ours. */
  compare(id: AgentId, ours: number, now: TimestampMs): void {
    const peer = this.#peers.peek(id)
    // An agent that sends its table to nobody announces 0 connections.
    if (peer?.ready !== true || peer.connections === 0 || Math.max(ours, peer.connections) < COMPARED_FROM) return
    if (peer.connections <= ours * AGREEMENT && ours <= peer.connections * AGREEMENT) return
    const text = `agent ${id} at ${peer.address} has ${counted(peer.connections, 'connection')}, this agent ${ours}`
    this.reportDisagreement('AGENT_TABLE_DIFFERS', id, text, now)
  }

  /** Reports a disagreement, once in ten minutes for each code and subject. */
  reportDisagreement(code: string, subject: string, text: string, now: TimestampMs): void {
    const key = `${code} ${subject}`
    if ((this.#reported.get(key) ?? -Infinity) > now - REPORT_INTERVAL) return
    this.#reported.set(key, now)
    this.#report(code, text)
  }

  /** Forgets peers that have left. */
  handleTimeout(now: TimestampMs): void {
    for (const { id, address, heardAt } of this.list()) {
      if (heardAt + this.#life > now) continue
      this.#peers.delete(id)
      this.#report('AGENT_LEFT', `agent ${id} at ${address} left: no message for ${this.#life / 1000} s`)
    }
  }

  /** Returns when the next peer has left, unless it sends something before. */
  nextTimeout(): TimestampMs {
    let next = Infinity
    for (const { heardAt } of this.#peers.values()) next = Math.min(next, heardAt + this.#life)
    return next
  }

  #report(code: string, message: string): void {
    this.#notify({ type: 'notice', code, message })
  }
}
