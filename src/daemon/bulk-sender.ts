/**
 * Sends a whole table's messages at a pace.
 *
 * @module
 */

import { Pacer, receiveBufferHolds, safeMessageRate } from '../engine/full-table/pacer.js'
import type { Datagram } from '../engine/master/send-queue.js'
import type { SendingTransport } from '../transport/transport.js'
import type { Bytes, Milliseconds } from '../units.js'
import type { Clock } from './clock.js'

/** A pace: what a message costs, and how much may be spent. */
export interface Pace {
  /** Cost a second. */
  readonly rate: number
  /** Cost that may leave at once. */
  readonly burst: number
  /** What one message costs. */
  readonly costOf: (message: Datagram) => number
}

/** How far it is. */
export interface BulkProgress {
  /** Messages sent, repeats among them. */
  readonly messages: number
  /** Connections in them. */
  readonly connections: number
}

/** How to send. */
export interface BulkSendOptions {
  readonly pace: Pace
  /** How often the whole is sent, one time after the other: UDP loses. */
  readonly times: number
  readonly clock: Clock
  /** Stops it early. */
  readonly signal: AbortSignal
  /** Told after each message. */
  readonly onProgress: (progress: BulkProgress) => void
}

/** How long to wait for a socket that takes no more. */
const LOOK: Milliseconds = 1
/** A pace in connections may send so much of a second's worth at once: timers are no finer. */
const BURST_SHARE = 0.02
/** A pace in messages is slow enough for a small burst. */
const BURST_MESSAGES = 8

/**
 * The pace at which a receiver with a default socket buffer loses nothing, or a given one.
 *
 * @param length - UDP payload of a full message.
 * @param rate - Connections a second, above 0; left out, {@link safeMessageRate}.
 */
export function paceFor(length: Bytes, rate?: number): Pace {
  if (rate === undefined) return { rate: safeMessageRate(length), burst: BURST_MESSAGES, costOf: () => 1 }
  // Version 1's smallest record is 36 bytes. However fast: no more at once than half of what a receiver holds.
  const half = (receiveBufferHolds(length) / 2) * Math.max(length / 36, 1)
  return { rate, burst: Math.min(Math.max(rate * BURST_SHARE, 1), half), costOf: ({ connections }) => connections }
}

/**
 * Sends messages through a transport that was started; resolves when they have left, or when it was stopped.
 *
 * @returns How far it came.
 */
export async function sendBulk(
  messages: readonly Datagram[],
  transport: SendingTransport,
  options: BulkSendOptions
): Promise<BulkProgress> {
  const { pace, clock, signal } = options
  const pacer = new Pacer(pace.rate, pace.burst, clock.now())
  const sent = { messages: 0, connections: 0 }
  for (const message of repeated(messages, options.times)) {
    await untilReady(message, pacer, transport, options)
    if (signal.aborted) break
    transport.send(message.channel, message.bytes)
    pacer.spend(pace.costOf(message), clock.now())
    sent.messages++
    sent.connections += message.connections
    options.onProgress(sent)
  }
  await transport.flush()
  return sent
}

async function untilReady(
  { channel }: Datagram,
  pacer: Pacer,
  transport: SendingTransport,
  { clock, signal }: BulkSendOptions
): Promise<void> {
  while (!signal.aborted) {
    const delay = pacer.delay(clock.now())
    if (delay === 0 && transport.writable(channel)) return
    await new Promise<void>((resolve) => void clock.after(Math.max(delay, LOOK), resolve))
  }
}

function* repeated(messages: readonly Datagram[], times: number): Generator<Datagram> {
  for (let time = 0; time < times; time++) yield* messages
}
