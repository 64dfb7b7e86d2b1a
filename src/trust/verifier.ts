/**
 * Verifies sealed messages: key, MAC, age, and that each message counts once.
 *
 * @module
 */

import { demandKnownOptions, type OptionNames } from '../demand.js'
import { LRUCache } from 'lru-cache'
import type { KeyRing } from './keys.js'
import type { SequenceReport } from '../transport/transport.js'
import { ReplayWindow } from './replay-window.js'
import { findTrailer, macParts, type Trailer } from './trailer.js'

/**
 * The verdict on a message.
 *
 * - `VALID` signed with a key of the ring, fresh, and not seen before
 * - `UNSIGNED` has no trailer
 * - `UNKNOWN_KEY` signed with a key that is not in the ring
 * - `BAD_MAC` the code does not belong to the bytes: forged, altered, or sent to another channel's port
 * - `STALE` authentic, but its time differs from this host's clock, and from the sender's where that is known, by more than
 *   the tolerance
 * - `REPLAYED` a message of this sender and sequence was accepted before, or it is older than the window
 */
export type Verdict = 'VALID' | 'UNSIGNED' | 'UNKNOWN_KEY' | 'BAD_MAC' | 'STALE' | 'REPLAYED'

/** Every verdict, in the order of the checks. */
export const VERDICTS: readonly Verdict[] = ['VALID', 'UNSIGNED', 'UNKNOWN_KEY', 'BAD_MAC', 'STALE', 'REPLAYED']

/** Largest difference of two clocks, by default: 30 s. */
export const DEFAULT_TOLERANCE_MS = 30_000

/** Senders' channels that are remembered. Only a holder of the key can create one. */
const MAX_WINDOWS = 4096

/** Options of a {@link Verifier}. */
export interface VerifierOptions {
  readonly keys: KeyRing
  /** Wall clock, in milliseconds since 1970. `Date.now` by default. */
  readonly wallClock?: () => number
  /** Largest accepted difference between a message's time and this clock. 30,000 by default. */
  readonly toleranceMs?: number
}

/** What {@link Verifier.verify} found. */
export interface Verification {
  readonly verdict: Verdict
  /** Undefined for an unsigned message. For other verdicts than `VALID` its content is whatever the sender wrote. */
  readonly trailer: Trailer | undefined
}

/** Names of the options. */
const OPTIONS: OptionNames<VerifierOptions> = { keys: true, wallClock: true, toleranceMs: true }

/** Verifies what one receiver receives. */
export class Verifier {
  readonly #keys: KeyRing
  readonly #wallClock: () => number
  readonly #tolerance: number
  readonly #windows = new LRUCache<string, ReplayWindow>({ max: MAX_WINDOWS })
  readonly #clockOffsets = new LRUCache<bigint, number>({ max: MAX_WINDOWS })
  readonly #counts = new Map<Verdict, number>(VERDICTS.map((verdict) => [verdict, 0]))

  constructor(options: VerifierOptions) {
    demandKnownOptions(options, OPTIONS)
    const { keys, wallClock = Date.now, toleranceMs = DEFAULT_TOLERANCE_MS } = options
    this.#keys = keys
    this.#wallClock = wallClock
    this.#tolerance = toleranceMs
  }

  /**
   * Judges a datagram, and remembers a valid one.
   *
   * @param bytes - The whole datagram.
   * @param channel - The channel whose port received it; a message of another channel is `BAD_MAC`. Undefined: any.
   */
  verify(bytes: Uint8Array, channel?: number): Verification {
    const trailer = findTrailer(bytes)
    const verdict = trailer === undefined ? 'UNSIGNED' : this.#judge(bytes, trailer, channel)
    this.#counts.set(verdict, this.#counts.get(verdict)! + 1)
    return { verdict, trailer }
  }

  /** Returns how many messages had this verdict. */
  count(verdict: Verdict): number {
    return this.#counts.get(verdict)!
  }

  /** Returns the window of a sender's channel, if a valid message of it was received. */
  window(sender: bigint, channel: number): ReplayWindow | undefined {
    return this.#windows.get(windowKey(sender, channel))
  }

  /** Returns received, missing, reordered and repeated messages by sender and channel. */
  sequences(): SequenceReport[] {
    return [...this.#windows].map(([key, window]) => {
      const [sender = '', channel = ''] = key.split('/')
      return { sender, channel: Number(channel), ...window.counts() }
    })
  }

  /**
   * Measures the age of a sender's messages against its own clock from now on. The caller has evidence that the sender wrote
   * this time just now.
   */
  setClock(sender: bigint, time: number): void {
    this.#clockOffsets.set(sender, this.#wallClock() - time)
  }

  #judge(bytes: Uint8Array, trailer: Trailer, channel: number | undefined): Verdict {
    const key = this.#keys.get(trailer.keyId)
    if (key === undefined) return 'UNKNOWN_KEY'
    const { covered, mac } = macParts(bytes)
    if (!key.verifies(covered, mac) || (channel !== undefined && channel !== trailer.channel)) return 'BAD_MAC'
    const age = this.#wallClock() - trailer.time
    const offset = this.#clockOffsets.get(trailer.sender) ?? 0
    if (Math.abs(age) > this.#tolerance && Math.abs(age - offset) > this.#tolerance) return 'STALE'
    const name = windowKey(trailer.sender, trailer.channel)
    let window = this.#windows.get(name)
    if (window === undefined) this.#windows.set(name, (window = new ReplayWindow()))
    return window.accept(trailer.sequence) ? 'VALID' : 'REPLAYED'
  }
}

/** Returns a sender's id as 16 hexadecimal digits. */
export function senderName(sender: bigint): string {
  return sender.toString(16).padStart(16, '0')
}

function windowKey(sender: bigint, channel: number): string {
  return `${senderName(sender)}/${channel}`
}
