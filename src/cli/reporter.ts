/**
 * Lines of a daemon on standard error: with a time stamp, without control characters, and within a budget, so that neither a
 * stranger nor three masters with one syncid can fill a disk.
 *
 * @module
 */

import { stripControls } from '../text.js'
import type { Milliseconds, TimestampMs } from '../units.js'

/** Writes a line. Lines of one code share a budget. */
export type Report = (code: string, text: string) => void

/** Lines of a code in a minute; further ones are counted. */
export const LINES_A_MINUTE = 10
/** Codes that are counted apart in a minute; further ones share {@link OTHER}. Codes are ours, so there are fewer. */
const MAX_CODES = 256
const OTHER = 'OTHER'
const MINUTE: Milliseconds = 60_000
/** Longest line, in characters. */
const MAX_LINE = 2000

/** How a {@link Reporter} prints. */
export interface ReporterOptions {
  /** Takes a whole line, its end included. */
  readonly write: (line: string) => void
  /** Stands before each text: `ipvs-sync backup`. */
  readonly name: string
  /** Whether a time stamp stands before each line: not where a journal adds its own. */
  readonly stamped: boolean
  /** Wall clock. */
  readonly wallClock: () => TimestampMs
}

/** A rate-limited reporter: a budget for each code and minute, and a line with the rest at the minute's end. */
export class Reporter {
  readonly #options: ReporterOptions
  readonly #counts = new Map<string, { written: number; omitted: number }>()
  /** Texts of {@link Reporter.reportOnce} in this minute. */
  readonly #texts = new Set<string>()
  #minute: TimestampMs = -Infinity

  constructor(options: ReporterOptions) {
    this.#options = options
  }

  /**
   * Writes a line, or counts it where its code has used up its budget.
   *
   * @param now - Monotonic time.
   * @returns Whether it was written.
   */
  report(code: string, text: string, now: TimestampMs): boolean {
    this.handleTimeout(now)
    return this.#count(code, text, this.#texts.has(text))
  }

  /** As {@link report}, but counts a text that was written in this minute: a call that fails at each attempt is one fault. */
  reportOnce(code: string, text: string, now: TimestampMs): boolean {
    this.handleTimeout(now)
    const isRepeated = this.#texts.has(text)
    if (this.#texts.size < MAX_CODES) this.#texts.add(text)
    return this.#count(code, text, isRepeated)
  }

  /** Ends the minute if it has ended: reports what was omitted, and forgets every code. */
  handleTimeout(now: TimestampMs): void {
    if (now - this.#minute < MINUTE) return
    this.flush()
    this.#minute = now
  }

  /** Reports what was omitted until now. */
  flush(): void {
    for (const [code, { omitted }] of this.#counts)
      if (omitted > 0) this.line(`${code}: ${omitted} more in the last minute`)
    this.#counts.clear()
    this.#texts.clear()
  }

  /** Writes a line without a limit: for what happens once in a run. */
  line(text: string): void {
    const { write, name, stamped, wallClock } = this.#options
    const stamp = stamped ? `${new Date(wallClock()).toISOString().replace(/\.\d+Z$/, 'Z')} ` : ''
    const safe = stripControls(text)
    write(`${stamp}${name}: ${safe.length <= MAX_LINE ? safe : `${safe.slice(0, MAX_LINE)}…`}\n`)
  }

  #count(code: string, text: string, isRepeated: boolean): boolean {
    const kind = this.#counts.has(code) || this.#counts.size < MAX_CODES ? code : OTHER
    const count = this.#counts.get(kind) ?? { written: 0, omitted: 0 }
    this.#counts.set(kind, count)
    const isWritten = !isRepeated && count.written < LINES_A_MINUTE
    if (isWritten) {
      count.written++
      this.line(text)
    } else count.omitted++
    return isWritten
  }
}
