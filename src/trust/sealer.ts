/**
 * Seals messages: appends a trailer with the sender's id, a sequence number and a MAC.
 *
 * @module
 */

import { demandKnownOptions, type OptionNames } from '../demand.js'
import { randomBytes } from 'node:crypto'
import type { Key } from './keys.js'
import { appendTrailer, macParts } from './trailer.js'

/** Options of a {@link Sealer}. */
export interface SealerOptions {
  /** The key that signs. */
  readonly key: Key
  /** Wall clock, in milliseconds since 1970. `Date.now` by default. */
  readonly wallClock?: () => number
  /** 64 bits that name this sender until it restarts. Random by default. */
  readonly sender?: bigint
  /** {@link Trailer.flags} of every message. 0 by default. */
  readonly flags?: number
}

/** Names of the options. */
const OPTIONS: OptionNames<SealerOptions> = { key: true, wallClock: true, sender: true, flags: true }

/** Seals the messages of one sender. Each channel has its own sequence, which starts at 1. */
export class Sealer {
  /** This sender's id. */
  readonly sender: bigint
  readonly #key: Key
  readonly #wallClock: () => number
  readonly #flags: number
  readonly #sequences = new Map<number, number>()

  constructor(options: SealerOptions) {
    demandKnownOptions(options, OPTIONS)
    const { key, wallClock = Date.now, sender, flags = 0 } = options
    this.#key = key
    this.#wallClock = wallClock
    this.#flags = flags
    this.sender = sender ?? randomBytes(8).readBigUInt64BE()
  }

  /** Returns the sequence of the last message sealed for a channel; 0 before the first. */
  lastSequence(channel: number): number {
    return this.#sequences.get(channel) ?? 0
  }

  /**
   * Returns a sealed copy of a message.
   *
   * @param message - A whole message of version 0 or 1, at most 65,483 bytes.
   * @param channel - 0…255.
   */
  seal(message: Uint8Array, channel: number): Uint8Array {
    const sequence = this.lastSequence(channel) + 1
    this.#sequences.set(channel, sequence)
    const bytes = appendTrailer(message, {
      keyId: this.#key.id,
      channel,
      flags: this.#flags,
      sender: this.sender,
      sequence,
      time: Math.max(0, Math.floor(this.#wallClock()))
    })
    const { covered, mac } = macParts(bytes)
    mac.set(this.#key.mac(covered))
    return bytes
  }
}
