/**
 * Standard output in large pieces, without holding anything back.
 *
 * @module
 */

import type { Writable } from 'node:stream'
import { IpvsSyncError } from '../../errors.js'
import { SLACK } from './text-bytes.js'

/** Bytes gathered at most before they are handed on: a piece of this size stays in a processor's nearer caches. */
const CAPACITY = 131_072
/** Buffers kept for use again. */
const MOST_SPARE = 32

/**
 * Gathers text as bytes and hands it on when much has come, or when the command would wait for input: so a large file is
 * written in large pieces, and `tcpdump -U -w - | ipvs-sync decode -` prints packets as they come.
 *
 * Writers reserve room, write into {@link Output.view} from {@link Output.at}, and set `at` behind their text.
 */
export class Output {
  /** Where writers write; another one after {@link Output.reserve}. */
  view = new DataView(new ArrayBuffer(CAPACITY + SLACK))
  /** Index of the next byte. */
  at = 0
  readonly #stream: Writable
  /** Buffers that the stream has finished with: a new one costs more than filling it. */
  readonly #spare: DataView<ArrayBuffer>[] = []
  #isScheduled = false
  #isBlocked = false
  #error: NodeJS.ErrnoException | undefined

  /** @param stream - Receives the text. */
  constructor(stream: Writable) {
    this.#stream = stream
    stream.on('error', (error) => (this.#error ??= error))
  }

  /** Whether {@link Output.drained} should be called before more is written. */
  get isBlocked(): boolean {
    return this.#isBlocked || this.#error !== undefined
  }

  /** Writes text, in UTF-8. */
  readonly write = (text: string): void => {
    this.reserve(text.length * 3)
    this.at += Buffer.from(this.view.buffer).write(text, this.at)
  }

  /** Makes room for `count` bytes, and for the slack that writers need behind their text. */
  reserve(count: number): void {
    if (this.at + count > this.view.byteLength - SLACK) this.#handOn(count)
    if (this.#isScheduled) return
    this.#isScheduled = true
    // Runs only once the loop has no more input that is there already.
    setImmediate(() => {
      this.#isScheduled = false
      this.flush()
    })
  }

  /** Text that was written since `from`, taken back. */
  takeBack(from: number): string {
    const text = Buffer.from(this.view.buffer, from, this.at - from).toString()
    this.at = from
    return text
  }

  /** Hands on what has gathered. */
  flush(): void {
    if (this.at > 0) this.#handOn(0)
  }

  /**
   * Waits until the stream takes more.
   *
   * @returns False where the reader has closed it (`ipvs-sync decode FILE | head`).
   * @throws {IpvsSyncError} `ERR_IO` where writing failed for any other reason.
   */
  async drained(): Promise<boolean> {
    while (this.#error === undefined && this.#stream.writableNeedDrain) await this.#change()
    this.#isBlocked = false
    if (this.#error === undefined) return true
    if (this.#error.code === 'EPIPE') return false
    throw new IpvsSyncError('ERR_IO', `standard output: write failed: ${this.#error.message}`, { cause: this.#error })
  }

  #handOn(needed: number): void {
    const filled = this.view
    const bytes = new Uint8Array(filled.buffer, 0, this.at)
    const isUsual = needed <= CAPACITY
    this.view =
      (isUsual ? this.#spare.pop() : undefined) ?? new DataView(new ArrayBuffer((isUsual ? CAPACITY : needed) + SLACK))
    this.at = 0
    if (bytes.length === 0 || this.#error !== undefined) return
    // The stream keeps what it is given until it calls back.
    const release = (): void => {
      if (filled.byteLength === CAPACITY + SLACK && this.#spare.length < MOST_SPARE) this.#spare.push(filled)
    }
    if (!this.#stream.write(bytes, release)) this.#isBlocked = true
  }

  async #change(): Promise<void> {
    const stream = this.#stream
    return new Promise((resolve) => {
      const settle = (): void => {
        stream.off('drain', settle).off('error', settle)
        resolve()
      }
      stream.on('drain', settle).on('error', settle)
    })
  }
}
