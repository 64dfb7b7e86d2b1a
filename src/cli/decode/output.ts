/**
 * Standard output in large pieces, without holding anything back.
 *
 * @module
 */

import type { Writable } from 'node:stream'
import { IpvsSyncError } from '../../errors.js'

/** Bytes gathered at most before they are handed on. */
const CAPACITY = 524_288

const ZERO = 0x30
const DOT = 0x2e

/** Each octet as digits: how many, then the digits. */
const OCTETS = Uint8Array.from({ length: 1024 }, (_, index) => {
  const text = String(index >> 2)
  return (index & 3) === 0 ? text.length : text.charCodeAt((index & 3) - 1)
})

/**
 * Gathers text as bytes and hands it on when much has come, or when the command would wait for input: so a large file is
 * written in large pieces, and `tcpdump -U -w - | ipvs-sync decode -` prints packets as they come.
 *
 * The members that write small things take no room of their own: ask for it with {@link Output.reserve} first.
 */
export class Output {
  readonly #stream: Writable
  #bytes = Buffer.allocUnsafe(CAPACITY)
  #at = 0
  #isScheduled = false
  #isBlocked = false
  #error: NodeJS.ErrnoException | undefined

  /** @param stream - Where it goes. */
  constructor(stream: Writable) {
    this.#stream = stream
    stream.on('error', (error) => (this.#error ??= error))
  }

  /** Whether {@link Output.drained} should be asked before more is written. */
  get isBlocked(): boolean {
    return this.#isBlocked || this.#error !== undefined
  }

  /** Writes text, in UTF-8. */
  readonly write = (text: string): void => {
    const most = text.length * 3
    if (most <= CAPACITY) {
      this.reserve(most)
      this.#at += this.#bytes.write(text, this.#at)
      return
    }
    const half = text.length >> 1
    this.write(text.slice(0, half))
    this.write(text.slice(half))
  }

  /** Makes room for up to {@link CAPACITY} bytes. */
  reserve(count: number): void {
    if (this.#at + count > CAPACITY) this.flush()
    if (this.#isScheduled) return
    this.#isScheduled = true
    // Reached only once the loop has run out of input that is there already.
    setImmediate(() => {
      this.#isScheduled = false
      this.flush()
    })
  }

  /** Writes bytes of text. */
  put(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#at)
    this.#at += bytes.length
  }

  /** Writes a whole number from 0 on. */
  decimal(value: number): void {
    let end = this.#at + 1
    for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) end += 1
    this.#at = end
    let rest = value
    do {
      end -= 1
      const tenth = Math.floor(rest / 10)
      this.#bytes[end] = ZERO + rest - tenth * 10
      rest = tenth
    } while (rest > 0)
  }

  /** Writes an IPv4 address, given as its big-endian word. */
  ipv4(word: number): void {
    this.#octet(word >>> 24)
    this.#bytes[this.#at++] = DOT
    this.#octet((word >>> 16) & 255)
    this.#bytes[this.#at++] = DOT
    this.#octet((word >>> 8) & 255)
    this.#bytes[this.#at++] = DOT
    this.#octet(word & 255)
  }

  /** Hands on what has gathered. */
  flush(): void {
    if (this.#at === 0) return
    const bytes = this.#bytes.subarray(0, this.#at)
    // The stream keeps what it is given for as long as it likes.
    this.#bytes = Buffer.allocUnsafe(CAPACITY)
    this.#at = 0
    if (this.#error === undefined && !this.#stream.write(bytes)) this.#isBlocked = true
  }

  /**
   * Waits until the stream takes more.
   *
   * @returns False where nobody reads any more (`ipvs-sync decode FILE | head`).
   * @throws {IpvsSyncError} `ERR_IO` where writing failed for any other reason.
   */
  async drained(): Promise<boolean> {
    while (this.#error === undefined && this.#stream.writableNeedDrain) await this.#change()
    this.#isBlocked = false
    if (this.#error === undefined) return true
    if (this.#error.code === 'EPIPE') return false
    throw new IpvsSyncError('ERR_IO', `writing the output failed: ${this.#error.message}`, { cause: this.#error })
  }

  #octet(value: number): void {
    const from = value << 2
    const digits = OCTETS[from]!
    for (let index = 1; index <= digits; index += 1) this.#bytes[this.#at++] = OCTETS[from + index]!
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
