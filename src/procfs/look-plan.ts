/**
 * When a kernel's table is read, and what one reading of it proves. Pure: times and counts are passed in.
 *
 * A reading costs the kernel more than us, before Linux 6.14 much more; and a slow dump is no snapshot: lines can be missing
 * though their connections are there (from 7.1 also while the table is resized).
 *
 * @module
 */

import type { Milliseconds, TimestampMs } from '../units.js'

/** One reading of the table. */
export interface Look {
  readonly begin: TimestampMs
  readonly end: TimestampMs
  /** Lines of connections, readable or not. */
  readonly lines: number
  /** `Conns:` of `/proc/net/ip_vs_status` before and after; undefined where the kernel has no such file. */
  readonly before?: number | undefined
  readonly after?: number | undefined
}

/**
 * What a look proves.
 *
 * - `complete` as many lines as the kernel counts, or nothing to compare with
 * - `again` too few: read it again
 * - `incomplete` too few for the fourth time
 */
export type LookVerdict = 'complete' | 'again' | 'incomplete'

/** A look is followed by a pause of this many times its duration, less one: 2 % of a processor on average. */
const PAUSE_FACTOR = 50
const MOST_REPEATS = 3
/** The table changes while it is read: this share of it may be missing, and at least so many lines. */
const MISSING_SHARE = 0.01
const MISSING_LINES = 16

/** Plans the looks at one table. */
export class LookPlan {
  readonly #interval: Milliseconds
  #repeats = 0
  #nextLook: TimestampMs = 0
  #last: Milliseconds = 0

  /** @param interval - Shortest time from the beginning of one look to that of the next. */
  constructor(interval: Milliseconds) {
    this.#interval = interval
  }

  /** When the next look may begin; 0 before the first. */
  get nextLook(): TimestampMs {
    return this.#nextLook
  }

  /** Duration of the last look. */
  get lastDuration(): Milliseconds {
    return this.#last
  }

  /**
   * Takes a look that has ended. A line that is missing from one look ends nothing, whatever the verdict.
   *
   * @returns Whether to read again at once.
   */
  ended(look: Look): LookVerdict {
    this.failed(look.begin, look.end)
    const { lines, before = 0, after = 0 } = look
    const expected = Math.min(before, after)
    if (lines >= expected - Math.max(expected * MISSING_SHARE, MISSING_LINES)) {
      this.#repeats = 0
      return 'complete'
    }
    if (this.#repeats < MOST_REPEATS) {
      this.#repeats++
      return 'again'
    }
    this.#repeats = 0
    return 'incomplete'
  }

  /** Takes a look that failed or was given up: it cost what it cost. */
  failed(begin: TimestampMs, end: TimestampMs): void {
    this.#last = end - begin
    this.#nextLook = begin + Math.max(this.#interval, PAUSE_FACTOR * this.#last)
  }
}
