/**
 * The contract of every engine: a state machine without I/O and without a clock.
 *
 * A driver owns the sockets and the timer. There are three kinds of methods:
 *
 * - **Input**: `handle…(…, now)` takes something that happened: a datagram, a packet of a connection, a timeout. Methods that
 *   change settings or begin something (`configure`, `announceTable`, `close`) are input too.
 * - **Output**: `pollTransmit()` returns the next datagram to send, `pollEvent()` the next event for the application. Both
 *   return undefined when there is nothing; neither advances time.
 * - **Time**: `nextTimeout()` returns when to call `handleTimeout(now)`.
 *
 * After each input, poll in this order:
 *
 * 1. `pollTransmit()` until it returns undefined; send each datagram.
 * 2. `pollEvent()` until it returns undefined. Events are queued: what an event's consumer does, or throws, cannot reach the
 *    engine in the middle of its work.
 * 3. `nextTimeout()`, and set the timer. It may change with every input and every `pollTransmit()`. Infinity means that there
 *    is nothing to wait for. A time that has passed means that there is more to do: call `handleTimeout` after other work.
 *
 * Each call does a bounded amount of work. `now` is milliseconds of one clock that starts above 0; a time before the latest one
 * counts as the latest one. `handleTimeout` may be called early or late, at any time.
 *
 * @module
 */
import type { TimestampMs } from '../units.js'

/** A datagram to send. */
export interface Datagram {
  /** The channel, from 0: its port is the base port plus this. */
  readonly channel: number
  /** The whole message; the receiver may keep it. */
  readonly bytes: Uint8Array
  /** Number of connections in it: 0…255. */
  readonly connections: number
}

/** The part of an engine that sends. */
export interface Transmitter {
  /** Takes the time: sends become due, timers fire. Does a bounded amount of work. */
  handleTimeout(now: TimestampMs): void
  /** Returns when to call {@link Transmitter.handleTimeout} next; Infinity for never. */
  nextTimeout(): TimestampMs
  /** Returns the next datagram that may be sent now, or undefined. */
  pollTransmit(): Datagram | undefined
}

/** A state machine without I/O. `Event` is a union with `type` as its discriminant. */
export interface Engine<Event extends { readonly type: string }> extends Transmitter {
  /** Returns the oldest event, or undefined. */
  pollEvent(): Event | undefined
}
