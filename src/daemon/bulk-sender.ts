/**
 * Drives a full table transfer over a transport.
 *
 * @module
 */

import type { Datagram } from '../engine/engine.js'
import { FullTableSender, type FullTableProgress } from '../engine/full-table/full-table-sender.js'
import type { Pace } from '../engine/full-table/pacer.js'
import type { SendingTransport } from '../transport/transport.js'
import type { Milliseconds } from '../units.js'
import type { Clock } from './clock.js'

export { paceFor, type Pace } from '../engine/full-table/pacer.js'
export type { FullTableProgress as BulkProgress } from '../engine/full-table/full-table-sender.js'

/** Options of {@link sendBulk}. */
export interface BulkSendOptions {
  /** See `paceFor`. */
  readonly pace: Pace
  /** How many times the whole is sent (UDP is lossy; repeats are harmless). */
  readonly times: number
  /** Its time. */
  readonly clock: Clock
  /** Stops it early. */
  readonly signal: AbortSignal
  /** Called after each message. */
  readonly onProgress: (progress: FullTableProgress) => void
}

/** Interval at which a full socket is tested again. */
const RETRY: Milliseconds = 1

/**
 * Sends messages through a transport that was started. Resolves when they have been sent, or when it was stopped.
 *
 * @param messages - Undefined items let other work run first (`tableMessages`).
 * @returns How much was sent.
 */
export async function sendBulk(
  messages: Iterable<Datagram | undefined>,
  transport: SendingTransport,
  { pace, times, clock, signal, onProgress }: BulkSendOptions
): Promise<FullTableProgress> {
  const sender = new FullTableSender(messages, { pace, times, now: clock.now() })
  while (!sender.isFinished() && !signal.aborted) {
    sender.handleTimeout(clock.now())
    for (let channel = 0; channel < transport.channels; channel++) sender.hold(channel, !transport.writable(channel))
    const next = sender.pollTransmit()
    if (next !== undefined) {
      transport.send(next.channel, next.bytes)
      onProgress(sender.sent)
    } else if (!sender.isFinished()) await pause(sender.nextTimeout() - clock.now(), clock)
  }
  await transport.flush()
  return sender.sent
}

/** Waits for the pace, for a full socket, or only for the other work of the event loop. */
function pause(delay: Milliseconds, clock: Clock): Promise<void> {
  if (delay <= 0) return new Promise((resolve) => setImmediate(resolve))
  const wait = Number.isFinite(delay) ? delay : RETRY
  return new Promise((resolve) => void clock.after(wait, resolve))
}
