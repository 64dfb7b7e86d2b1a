/**
 * One datagram being put together from its fragments.
 *
 * @module
 */

import type { Problem } from '../wire/problems.js'
import type { Fragment } from './ip.js'
import { captureProblem } from './problems.js'

/** The most bytes that IP can carry. */
const MAX_LENGTH = 65_535

/** A piece of a datagram. The bytes can be fewer than the piece is long: a snapped packet. */
interface Piece {
  readonly start: number
  readonly end: number
  readonly bytes: Uint8Array
}

/** The pieces of one datagram that have come so far; they never overlap, and stand in order. */
export class Assembly {
  /** What ruled the datagram out, if something did. */
  fault: Problem | undefined
  /** What a person should know about it. */
  readonly warnings: Problem[] = []
  /** How many fragments have come, repeated ones not counted. */
  count = 0
  /** Protocol of what the first fragment carries: 17, or an IPv6 extension header. Undefined until the first has come. */
  protocol: number | undefined
  readonly #pieces: Piece[] = []
  #covered = 0
  #total: number | undefined

  /** Whether every byte has come. */
  get isComplete(): boolean {
    return this.fault === undefined && this.#total !== undefined && this.#covered === this.#total
  }

  /** Length of the datagram: known once the last fragment has come, until then what has been seen of it. */
  get length(): number {
    return this.#total ?? this.#pieces.at(-1)?.end ?? 0
  }

  /**
   * Takes a fragment in.
   *
   * @param bytes - What was captured of it; copied.
   * @param wireLength - How long it was.
   */
  add({ offset, more }: Fragment, protocol: number, bytes: Uint8Array, wireLength: number): void {
    const piece = { start: offset, end: offset + wireLength, bytes: bytes.slice() }
    if (this.#isRepeated(piece)) return
    const fault = this.#faultOf(piece, more)
    if (fault !== undefined) {
      this.fault ??= fault
      return
    }
    if (offset === 0) this.protocol = protocol
    if (!more) this.#total = piece.end
    this.#pieces.splice(this.#indexFor(piece.start), 0, piece)
    this.#covered += wireLength
    this.count += 1
  }

  /** The bytes from the start to the first gap. */
  contents(): Uint8Array {
    const contents = new Uint8Array(this.length)
    let end = 0
    for (const piece of this.#pieces) {
      if (piece.start !== end) break
      contents.set(piece.bytes, piece.start)
      end += piece.bytes.length
      if (end < piece.end) break
    }
    return contents.subarray(0, end)
  }

  /** What is missing, in words: `bytes 1480 to 2959 of 4096`. Where the last fragment has come, the gap is before it. */
  missing(): string {
    let end = 0
    for (const piece of this.#pieces) {
      if (piece.start !== end) return `bytes ${end} to ${piece.start - 1} of ${this.#total ?? 'an unknown number'}`
      end = piece.end
    }
    return `everything from byte ${end} on`
  }

  #faultOf(piece: Piece, more: boolean): Problem | undefined {
    const where = `fragment of bytes ${piece.start} to ${piece.end - 1}`
    if (piece.end > MAX_LENGTH) return invalid(`${where} ends past ${MAX_LENGTH}`)
    if (piece.end === piece.start) return invalid(`fragment at byte ${piece.start} is empty`)
    if (more && piece.end % 8 !== 0) return invalid(`${where} is not the last, and its length is not a multiple of 8`)
    if (this.#total !== undefined && (piece.end > this.#total || !more)) {
      return invalid(`${where} disagrees with the last one's end, ${this.#total}`)
    }
    if (!more && this.length > piece.end) {
      return invalid(`${where} says it is the last, and byte ${this.length - 1} has come`)
    }
    const index = this.#indexFor(piece.start)
    const before = this.#pieces[index - 1]
    const after = this.#pieces[index]
    const overlaps =
      (before !== undefined && before.end > piece.start) || (after !== undefined && after.start < piece.end)
    return overlaps
      ? captureProblem('FRAGMENT_OVERLAP', `${where} overlaps others: a receiver drops the datagram`)
      : undefined
  }

  /** A fragment whose every byte has come already is no overlap: networks repeat packets, and Linux passes over it. */
  #isRepeated(piece: Piece): boolean {
    let end = piece.start
    let differs = false
    for (let index = Math.max(this.#indexFor(piece.start + 1) - 1, 0); index < this.#pieces.length; index += 1) {
      const other = this.#pieces[index]!
      if (other.start > end || end >= piece.end) break
      differs ||= !isSameWhereBoth(piece, other)
      end = Math.max(end, other.end)
    }
    if (end === piece.start || end < piece.end) return false
    if (differs && this.warnings.length === 0) {
      this.warnings.push(
        captureProblem(
          'FRAGMENT_REPEATED',
          `bytes ${piece.start} to ${piece.end - 1} came twice and differ: the first were kept`
        )
      )
    }
    return true
  }

  /** Index of the first piece that starts at or after a byte. */
  #indexFor(start: number): number {
    let low = 0
    let high = this.#pieces.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#pieces[middle]!.start < start) low = middle + 1
      else high = middle
    }
    return low
  }
}

function isSameWhereBoth(one: Piece, other: Piece): boolean {
  const start = Math.max(one.start, other.start)
  const end = Math.min(one.start + one.bytes.length, other.start + other.bytes.length)
  for (let at = start; at < end; at += 1) if (one.bytes[at - one.start] !== other.bytes[at - other.start]) return false
  return true
}

function invalid(message: string): Problem {
  return captureProblem('FRAGMENT_INVALID', message)
}
