/**
 * How far a large file has been read, on standard error of a terminal.
 *
 * @module
 */

/** Files smaller than this are read before anyone wonders. */
const WORTH_BYTES = 16_777_216
/** Bytes between two updates. */
const STEP = 4_194_304

/** Writes one line over and over. */
export class Progress {
  readonly #write: (text: string) => void
  #total = 0
  #done = 0
  #next = STEP

  /** @param write - Writes to standard error. */
  constructor(write: (text: string) => void) {
    this.#write = write
  }

  /** Begins. A file of fewer than 16 MiB, or one whose size is not known (0), is read without a word. */
  start(total: number): void {
    this.#total = total >= WORTH_BYTES ? total : 0
  }

  /** Counts bytes that have been read. */
  add(bytes: number): void {
    this.#done += bytes
    if (this.#total === 0 || this.#done < this.#next) return
    this.#next = this.#done + STEP
    const percent = Math.min(100, Math.floor((this.#done / this.#total) * 100))
    this.#write(`\r${percent} % of ${Math.round(this.#total / 1_048_576)} MiB read`)
  }

  /** Wipes the line. */
  end(): void {
    if (this.#next > STEP) this.#write('\r\u001b[K')
  }
}
