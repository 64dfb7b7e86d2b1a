/**
 * The sealed messages that a sender keeps for retransmission: a ring, bounded by bytes.
 *
 * @module
 */

import type { Bytes, Milliseconds, TimestampMs } from '../units.js'

/** A message is repeated at most once in this time, however many receivers request it. */
const REPEAT_INTERVAL: Milliseconds = 20

interface SentMessage {
  readonly bytes: Uint8Array
  repeatedAt: TimestampMs
}

/** The newest messages of every channel. */
export class SentMessages {
  readonly #limit: Bytes
  readonly #messages = new Map<string, SentMessage>()
  #bytes = 0

  /** @param limit - Bytes kept at most; the oldest messages make room. */
  constructor(limit: Bytes) {
    this.#limit = limit
  }

  /** Bytes kept. */
  get bytes(): Bytes {
    return this.#bytes
  }

  /** Keeps a message. */
  add(channel: number, sequence: number, bytes: Uint8Array): void {
    this.#messages.set(nameOf(channel, sequence), { bytes, repeatedAt: -Infinity })
    this.#bytes += bytes.length
    for (const [name, oldest] of this.#messages) {
      if (this.#bytes <= this.#limit) break
      this.#messages.delete(name)
      this.#bytes -= oldest.bytes.length
    }
  }

  /** Returns a message that is due for a repeat; undefined if it is gone, or was repeated just now. */
  take(channel: number, sequence: number, now: TimestampMs): Uint8Array | undefined {
    const message = this.#messages.get(nameOf(channel, sequence))
    if (message === undefined || now - message.repeatedAt < REPEAT_INTERVAL) return undefined
    message.repeatedAt = now
    return message.bytes
  }
}

function nameOf(channel: number, sequence: number): string {
  return `${channel}/${sequence}`
}
