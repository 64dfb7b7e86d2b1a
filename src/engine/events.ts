/**
 * Events of the engines, and the bounded queue between an engine and its driver.
 *
 * @module
 */

import type { ConnectionTable } from '../table/connection-table.js'
import type { TableConnection } from '../wire/connection.js'
import type { Problem } from '../wire/problems.js'

/** The sender of a datagram. */
export interface From {
  /** IPv4 dotted, IPv6 as RFC 5952. */
  readonly address: string
  /** UDP port, 0…65535. */
  readonly port: number
}

/** A connection of the table changed. */
export interface ConnectionEvent {
  /** Discriminant. */
  readonly type: 'connection'
  /** `replaced`: the same key now has another destination. */
  readonly change: 'created' | 'updated' | 'replaced' | 'expired'
  /** The connection after the change; for `expired` its last state. */
  readonly connection: TableConnection
}

/** A datagram has a problem. */
export interface ProblemEvent {
  /** Discriminant. */
  readonly type: 'problem'
  /** The problem and its place. */
  readonly problem: Problem
  /** The sender. */
  readonly from: From
}

/** A master's message was lost because the queue of its channel was full (`sync_qlen_max`). */
export interface DroppedEvent {
  /** Discriminant. */
  readonly type: 'dropped'
  /** From 0. */
  readonly channel: number
  /** Number of messages. */
  readonly messages: number
  /** Number of connections in them. */
  readonly connections: number
}

/** Information for a person: a setting that takes effect later, two senders with one syncid. */
export interface NoticeEvent {
  /** Discriminant. */
  readonly type: 'notice'
  /** Stable. */
  readonly code: string
  /** The event and the next step. */
  readonly message: string
}

/** Everything that an engine's `pollEvent` can return. Values are frozen. */
export type EngineEvent = ConnectionEvent | ProblemEvent | DroppedEvent | NoticeEvent

/** Returns the notice that a listener of the table's removals threw an error. */
export function listenerNotice({ listenerErrors, listenerError }: ConnectionTable): NoticeEvent {
  const text = listenerError instanceof Error ? listenerError.message : String(listenerError)
  const message = `a listener of table removals failed: ${text} (${listenerErrors} errors so far)`
  return Object.freeze({ type: 'notice', code: 'LISTENER_FAILED', message })
}

/**
 * A bounded first-in first-out queue of events. While it is full new events are counted and dropped, so that a consumer that
 * does not drain it costs a fixed amount of memory.
 */
export class EventQueue<Event extends object = EngineEvent> {
  /** Number of events that were dropped because the queue was full. */
  lost = 0
  readonly #limit: number
  readonly #ring: (Event | undefined)[] = []
  #head = 0
  #length = 0

  /** @param limit - Maximum number of events, ≥ 0. With 0 every event is dropped. */
  constructor(limit = 1024) {
    this.#limit = limit
  }

  /** Number of waiting events. */
  get length(): number {
    return this.#length
  }

  /** Whether {@link EventQueue.push} would drop its event: test it before making an expensive one. */
  get isFull(): boolean {
    return this.#length === this.#limit
  }

  /** Appends an event, frozen. Returns false, and counts it in {@link EventQueue.lost}, if there is no room. */
  push(event: Event): boolean {
    if (this.isFull) {
      this.lost++
      return false
    }
    this.#ring[(this.#head + this.#length) % this.#limit] = Object.freeze(event)
    this.#length++
    return true
  }

  /** Removes and returns the oldest event. */
  shift(): Event | undefined {
    if (this.#length === 0) return undefined
    const event = this.#ring[this.#head]
    this.#ring[this.#head] = undefined
    this.#head = (this.#head + 1) % this.#limit
    this.#length--
    return event
  }
}
