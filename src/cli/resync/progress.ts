/**
 * How far a resync is, on a terminal: one line, written over and over.
 *
 * @module
 */

import { counted } from '../../text.js'
import type { Milliseconds, TimestampMs } from '../../units.js'

/** Between two updates. */
const STEP: Milliseconds = 100
const BAR = 24

/** Writes the line. */
export class ProgressBar {
  readonly #write: (text: string) => void
  readonly #total: number
  readonly #begin: TimestampMs
  #next: TimestampMs

  /**
   * @param write - To the terminal.
   * @param total - Connections to send, repeats among them.
   * @param now - When it begins.
   */
  constructor(write: (text: string) => void, total: number, now: TimestampMs) {
    this.#write = write
    this.#total = total
    this.#begin = now
    this.#next = now + STEP
  }

  /** Writes the line if it is time. */
  update(done: number, now: TimestampMs): void {
    if (now < this.#next) return
    this.#next = now + STEP
    const share = done / this.#total
    const rate = (done * 1000) / (now - this.#begin)
    const bar = '#'.repeat(Math.floor(share * BAR)).padEnd(BAR, '.')
    const left = Math.ceil((this.#total - done) / rate)
    this.#write(
      `\r[${bar}] ${Math.floor(share * 100)} %  ${done} of ${counted(this.#total, 'connection')}, ${Math.round(rate)}/s, ${left} s left\u001b[K`
    )
  }

  /** Wipes the line. */
  end(): void {
    this.#write('\r\u001b[K')
  }
}
