/**
 * What the engines tell: event values that both share, and the bounded queue between an engine and whoever drains it.
 *
 * @module
 */

import type { TableConnection } from '../wire/connection.js'
import type { Problem } from '../wire/problems.js'

/** Where a datagram came from. */
export interface From {
  /** As text: IPv4 dotted, IPv6 as RFC 5952. */
  readonly address: string
  /** UDP port, 0…65535. */
  readonly port: number
}

/** A connection of the table changed. */
export interface ConnectionEvent {
  /** Tells the events apart. */
  readonly type: 'connection'
  /** `replaced`: the same key now has another destination. */
  readonly change: 'created' | 'updated' | 'replaced' | 'expired'
  /** As it is after the change; for `expired` as it last was. */
  readonly connection: TableConnection
}

/** Something is wrong with a datagram. */
export interface ProblemEvent {
  /** Tells the events apart. */
  readonly type: 'problem'
  /** What is wrong, and where. */
  readonly problem: Problem
  /** Who sent it. */
  readonly from: From
}

/** A master's message was lost because its channel's queue was full (`sync_qlen_max`). */
export interface DroppedEvent {
  /** Tells the events apart. */
  readonly type: 'dropped'
  /** From 0. */
  readonly channel: number
  /** How many messages this event stands for. */
  readonly messages: number
  /** How many connections were in them. */
  readonly connections: number
}

/** A thing that a person should know: a setting that takes effect only later, two senders with one syncid. */
export interface NoticeEvent {
  /** Tells the events apart. */
  readonly type: 'notice'
  /** Stable. */
  readonly code: string
  /** What it is about, and what to do. */
  readonly message: string
}

/** Everything that an engine's `pollEvent` can return. Values are frozen. */
export type EngineEvent = ConnectionEvent | ProblemEvent | DroppedEvent | NoticeEvent

/**
 * A bounded first-in first-out queue of events. When it is full new events are counted and left out, so that a
 * consumer who does not drain it costs a fixed amount of memory.
 */
export class EventQueue<Event extends object = EngineEvent> {
  /** How many events were left out because the queue was full. */
  lost = 0
  readonly #limit: number
  readonly #ring: (Event | undefined)[] = []
  #head = 0
  #length = 0

  /** @param limit - Most events held, ≥ 0. With 0 nothing is kept and everything counts as lost. */
  constructor(limit = 1024) {
    this.#limit = limit
  }

  /** Events waiting. */
  get length(): number {
    return this.#length
  }

  /** Whether {@link EventQueue.push} would lose its event: ask before you make one that costs. */
  get isFull(): boolean {
    return this.#length === this.#limit
  }

  /** Adds an event, frozen; returns false, and counts it in {@link EventQueue.lost}, if there is no room. */
  push(event: Event): boolean {
    if (this.isFull) {
      this.lost++
      return false
    }
    this.#ring[(this.#head + this.#length) % this.#limit] = Object.freeze(event)
    this.#length++
    return true
  }

  /** Takes the oldest event, or nothing. */
  shift(): Event | undefined {
    if (this.#length === 0) return undefined
    const event = this.#ring[this.#head]
    this.#ring[this.#head] = undefined
    this.#head = (this.#head + 1) % this.#limit
    this.#length--
    return event
  }
}
