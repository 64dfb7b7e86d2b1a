/**
 * Standard output in large pieces, without holding anything back.
 *
 * @module
 */

import type { Writable } from 'node:stream'
import { IpvsSyncError } from '../../errors.js'

/** Bytes gathered at most before they are handed on: a piece of this size stays in a processor's nearer caches. */
const CAPACITY = 65_536

const ZERO = 0x30

/** Each octet's digits with a dot behind them, as the four bytes of a big-endian word; how many of these count. */
const OCTETS = Array.from({ length: 256 }, (_, octet) => Buffer.from(`${octet}.`))
const OCTET_WORDS = Int32Array.from(OCTETS, (text) => Buffer.concat([text], 4).readInt32BE())
const OCTET_LENGTHS = Uint8Array.from(OCTETS, (text) => text.length)

/**
 * Gathers text as bytes and hands it on when much has come, or when the command would wait for input: so a large file is
 * written in large pieces, and `tcpdump -U -w - | ipvs-sync decode -` prints packets as they come.
 *
 * The members that write small things take no room of their own: ask for it with {@link Output.reserve} first.
 */
export class Output {
  readonly #stream: Writable
  #bytes = Buffer.allocUnsafe(CAPACITY)
  #view = viewOf(this.#bytes)
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
    if (most > CAPACITY) {
      this.flush()
      this.#handOn(Buffer.from(text))
      return
    }
    this.reserve(most)
    this.#at += this.#bytes.write(text, this.#at)
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

  /** Writes a few bytes of text: below some twenty it is quicker than {@link Output.put}. */
  putFew(bytes: Uint8Array): void {
    const into = this.#bytes
    const at = this.#at
    for (let index = 0; index < bytes.length; index += 1) into[at + index] = bytes[index]!
    this.#at = at + bytes.length
  }

  /** Writes a whole number: 0…65535. */
  decimal(value: number): void {
    const digits = value < 10 ? 1 : value < 100 ? 2 : value < 1000 ? 3 : value < 10_000 ? 4 : 5
    const into = this.#bytes
    const at = this.#at
    let rest = value | 0
    for (let index = digits - 1; index >= 0; index -= 1) {
      const tenth = (rest / 10) | 0
      into[at + index] = ZERO + rest - tenth * 10
      rest = tenth
    }
    this.#at = at + digits
  }

  /** Writes an IPv4 address, given as its big-endian word. Up to 16 bytes of room are used. */
  ipv4(word: number): void {
    const view = this.#view
    let at = this.#at
    // Each octet's dot, and what follows it in its word, is overwritten by the next octet.
    for (let shift = 24; shift >= 0; shift -= 8) {
      const octet = (word >>> shift) & 255
      view.setInt32(at, OCTET_WORDS[octet]!)
      at += OCTET_LENGTHS[octet]!
    }
    this.#at = at - 1
  }

  /** Hands on what has gathered. */
  flush(): void {
    if (this.#at === 0) return
    const bytes = this.#bytes.subarray(0, this.#at)
    // The stream keeps what it is given for as long as it likes.
    this.#bytes = Buffer.allocUnsafe(CAPACITY)
    this.#view = viewOf(this.#bytes)
    this.#at = 0
    this.#handOn(bytes)
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

  #handOn(bytes: Uint8Array): void {
    if (this.#error === undefined && !this.#stream.write(bytes)) this.#isBlocked = true
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

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
