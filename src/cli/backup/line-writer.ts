/**
 * Lines for a reader who may be slow.
 *
 * @module
 */

import type { Writable } from 'node:stream'

/** Text that may wait for the reader, in bytes. */
const MOST_WAITING = 16 * 1024 * 1024

/** Writes lines; those for which there is no room are left out and counted: what the network sends must not fill memory. */
export class LineWriter {
  /** Lines that were left out. */
  lost = 0
  readonly #out: Writable
  readonly #most: number

  /**
   * @param out - Where the lines go.
   * @param most - Bytes that may wait there.
   */
  constructor(out: Writable, most = MOST_WAITING) {
    this.#out = out
    this.#most = most
  }

  /** Calls back at each failed write, as on a full disk, whose lines are lost. Without it a failure ends the command. */
  onFault(report: (error: Error) => void): void {
    this.#out.on('error', (error) => {
      this.lost++
      report(error)
    })
  }

  /** Writes a line, given without its end. */
  write(line: string): void {
    if (this.#out.writableLength >= this.#most) this.lost++
    else this.#out.write(`${line}\n`)
  }
}
