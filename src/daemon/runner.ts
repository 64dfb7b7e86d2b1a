/**
 * Drives an engine: one timer at its next timeout, its messages to the transport, its events to the listeners.
 *
 * @module
 */

import { EventEmitter } from 'node:events'
import type { EngineEvent } from '../engine/events.js'
import type { Milliseconds, TimestampMs } from '../units.js'
import type { Clock } from './clock.js'

/** Timers cannot run longer than 2^31 − 1 ms; waking an engine early does no harm. */
const LONGEST: Milliseconds = 3_600_000

/** What the engines have in common. */
export interface RunnableEngine<Event = EngineEvent> {
  /** The time has come; calling early is harmless. */
  handleTimeout(now: TimestampMs): void
  /** When it wants to be called; undefined or Infinity for never. */
  nextTimeout(): TimestampMs | undefined
  /** The oldest event that waits. */
  pollEvent(): Event | undefined
}

/** Where the runner takes what comes out of the engine. */
export interface RunnerOutlets<Event = EngineEvent> {
  /** Takes messages out of the engine as far as the transport accepts them. */
  readonly transmit?: () => void
  /** Takes one event. */
  readonly event: (event: Event) => void
}

/**
 * Calls a function of the user: a listener, a transport. What it throws is thrown again outside of our stack, where it is an
 * uncaught exception as any other; the engine and its timer go on.
 */
export function callUser(call: () => void): void {
  try {
    call()
  } catch (error) {
    throwLater(error)
  }
}

function throwLater(error: unknown): void {
  queueMicrotask(() => {
    throw error
  })
}

/**
 * An emitter whose listeners cannot unwind the stack of the one who emits: what a listener throws is an uncaught exception, after
 * the engine has done its work and armed its timer. So is an `error` that must have a listener and has none.
 */
export class ContainedEmitter<Events extends Record<keyof Events, unknown[]>> extends EventEmitter<Events> {
  override readonly emit: EventEmitter<Events>['emit'] = (...event) => {
    try {
      return super.emit(...event)
    } catch (error) {
      throwLater(error)
      return true
    }
  }
}

/** Runs one engine. After every input to the engine call {@link Runner.settle}, or {@link Runner.soon} where inputs come thick. */
export class Runner<Event = EngineEvent> {
  readonly #engine: RunnableEngine<Event>
  readonly #clock: Clock
  readonly #outlets: RunnerOutlets<Event>
  #cancel: (() => void) | undefined
  #armedAt: TimestampMs = Infinity
  #immediate: NodeJS.Immediate | undefined
  #stopped = false

  /**
   * @param engine - Driven from now on by nobody else.
   * @param clock - Its time.
   * @param outlets - Where messages and events go.
   */
  constructor(engine: RunnableEngine<Event>, clock: Clock, outlets: RunnerOutlets<Event>) {
    this.#engine = engine
    this.#clock = clock
    this.#outlets = outlets
  }

  /** Settles at the end of this turn of the event loop: once for all the inputs of the turn. */
  soon(): void {
    this.#immediate ??= setImmediate(() => {
      this.#immediate = undefined
      this.settle()
    })
  }

  /** Drains messages and events, and arms the timer. */
  settle(): void {
    if (this.#stopped) return
    const { transmit } = this.#outlets
    if (transmit !== undefined) callUser(transmit)
    this.drain()
    this.#arm()
  }

  /** Drains events alone: after each input where one can bring many, so that their queue never overflows. */
  drain(): void {
    for (let event = this.#engine.pollEvent(); event !== undefined; event = this.#engine.pollEvent()) {
      const next = event
      callUser(() => this.#outlets.event(next))
    }
  }

  /** Drains once more, and never wakes again. */
  stop(): void {
    this.settle()
    this.#stopped = true
    this.#cancel?.()
    if (this.#immediate !== undefined) clearImmediate(this.#immediate)
  }

  /** A timer that fires before the deadline stays: moving it for every datagram would cost more than waking once. */
  #arm(): void {
    const next = this.#engine.nextTimeout() ?? Infinity
    if (this.#stopped || next >= this.#armedAt) return
    this.#cancel?.()
    this.#armedAt = next
    this.#cancel = this.#clock.after(Math.min(Math.max(next - this.#clock.now(), 0), LONGEST), () => this.#wake())
  }

  #wake(): void {
    this.#armedAt = Infinity
    this.#engine.handleTimeout(this.#clock.now())
    this.settle()
  }
}
