/**
 * Sends a resync, with its progress on a terminal.
 *
 * @module
 */

import { sendBulk } from '../../daemon/bulk-sender.js'
import { systemClock, type Clock } from '../../daemon/clock.js'
import type { IpvsSyncError } from '../../errors.js'
import { counted } from '../../text.js'
import type { SendingTransport } from '../../transport/transport.js'
import type { Milliseconds, TimestampMs } from '../../units.js'
import type { Io } from '../io.js'
import { describeResult, type ResyncPlan } from './report.js'

/** Outcome of a resync. */
export interface ResyncOutcome {
  /** Whether every message was given to the system. */
  readonly isComplete: boolean
  /** Sends that the system refused, and the first error. */
  readonly failures: number
  readonly firstError: IpvsSyncError | undefined
}

/**
 * Sends a plan and reports the result.
 *
 * @param sender - Started and closed here.
 * @param io - The bar goes to standard error if that is a terminal; `signal` stops the resync.
 * @param clock - Its time.
 * @throws IpvsSyncError if the sockets cannot be opened.
 */
export async function sendPlan(
  plan: ResyncPlan,
  sender: SendingTransport,
  io: Io,
  clock: Clock = systemClock
): Promise<ResyncOutcome> {
  const { messages, pace, times, counts, peers } = plan
  let failures = 0
  let firstError: IpvsSyncError | undefined
  const onError = (error: IpvsSyncError): void => {
    failures++
    firstError ??= error
  }
  await sender.start({ onError, onNotice: ({ message }) => void io.stderr.write(`ipvs-sync: ${message}\n`) })
  const begin = clock.now()
  const write = (text: string): void => {
    if (io.stderr.isTTY === true) io.stderr.write(text)
  }
  const bar = new ProgressBar(write, counts.connections * times, begin)
  try {
    const onProgress = ({ connections }: { connections: number }): void => bar.update(connections, clock.now())
    const sent = await sendBulk(messages, sender, { pace, times, clock, signal: io.signal, onProgress })
    bar.end()
    // Each peer is sent each message: a message counts as sent if one peer took it.
    const isRefused = failures > 0 && failures >= sent.messages * peers
    const result = isRefused ? { messages: 0, connections: 0 } : sent
    io.stdout.write(`${describeResult(result, plan, clock.now() - begin, sender.description)}\n`)
    return { isComplete: sent.messages === messages.length * times, failures, firstError }
  } finally {
    await sender.close()
  }
}

const STEP: Milliseconds = 100
const BAR = 24

/** A line on a terminal that shows how much has been sent. */
export class ProgressBar {
  readonly #write: (text: string) => void
  readonly #total: number
  readonly #begin: TimestampMs
  #next: TimestampMs

  /**
   * @param write - Writes to the terminal.
   * @param total - Connections to send, repeats included.
   * @param now - Time of the start.
   */
  constructor(write: (text: string) => void, total: number, now: TimestampMs) {
    this.#write = write
    this.#total = total
    this.#begin = now
    this.#next = now + STEP
  }

  /** Writes the line, at most every 100 ms. */
  update(done: number, now: TimestampMs): void {
    if (now < this.#next) return
    this.#next = now + STEP
    const share = done / this.#total
    const rate = (done * 1000) / (now - this.#begin)
    const bar = '#'.repeat(Math.floor(share * BAR)).padEnd(BAR, '.')
    const seconds = Math.ceil((this.#total - done) / rate)
    this.#write(
      `\r[${bar}] ${Math.floor(share * 100)} %  ${done} of ${counted(this.#total, 'connection')}, ${Math.round(rate)}/s, ${seconds} s left\u001b[K`
    )
  }

  /** Clears the line. */
  end(): void {
    this.#write('\r\u001b[K')
  }
}
