/**
 * A sliding window over sequence numbers: each is accepted once (RFC 4303 section 3.4.3 describes the method).
 *
 * @module
 */

import type { SequenceReport } from '../transport/transport.js'

/** Sequences that a window remembers behind the highest one. */
export const REPLAY_WINDOW = 1024

/** A receiver that starts may meet its first messages out of order: so far below the first one a sequence is still accepted. */
const EARLIER = 64

/** Counts of one sender's channel. */
export type SequenceCounts = Omit<SequenceReport, 'sender' | 'channel'>

/** The window of one sender's channel. */
export class ReplayWindow {
  readonly #seen = new Uint8Array(REPLAY_WINDOW)
  #first = 0
  #highest = 0
  #received = 0
  #reordered = 0
  #duplicates = 0

  /** The highest sequence accepted; 0 before the first. */
  get highest(): number {
    return this.#highest
  }

  /** Returns the counts: a copy. */
  counts(): SequenceCounts {
    const expected = this.#received === 0 ? 0 : this.#highest - this.#first + 1
    return {
      received: this.#received,
      missing: expected - this.#received,
      reordered: this.#reordered,
      duplicates: this.#duplicates
    }
  }

  /** Returns whether a sequence was not accepted before, and accepts it. One older than the window is refused. */
  accept(sequence: number): boolean {
    if (sequence < 1) return false
    if (this.#received === 0) {
      // Where a receiver starts is where its count of missing messages starts: what was sent before is nobody's loss.
      this.#first = sequence
      this.#highest = sequence
      this.#seen.fill(0)
    } else if (sequence > this.#highest) {
      const gap = Math.min(sequence - this.#highest, REPLAY_WINDOW)
      for (let step = 1; step < gap; step++) this.#seen[(sequence - step) % REPLAY_WINDOW] = 0
      this.#highest = sequence
    } else {
      if (sequence < this.#first - EARLIER || this.#highest - sequence >= REPLAY_WINDOW) return false
      if (this.#seen[sequence % REPLAY_WINDOW] === 1) {
        this.#duplicates++
        return false
      }
      this.#reordered++
      this.#first = Math.min(this.#first, sequence)
    }
    this.#seen[sequence % REPLAY_WINDOW] = 1
    this.#received++
    return true
  }

  /** Returns the missing sequences above `after` and below the highest one, oldest first, at most `limit`. */
  missing(limit: number, after = 0): number[] {
    const found: number[] = []
    const begin = Math.max(this.#first, this.#highest - REPLAY_WINDOW + 1, after + 1)
    for (let sequence = begin; sequence < this.#highest && found.length < limit; sequence++)
      if (this.#seen[sequence % REPLAY_WINDOW] === 0) found.push(sequence)
    return found
  }
}
