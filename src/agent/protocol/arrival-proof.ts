/**
 * Whether a whole table arrived: each of its messages by a checksum, not by counting what came.
 *
 * The messages of a table are a kernel's, and have no room for a number. So the one who gives tells, for every 64 messages, the
 * checksums of these; the one who gets compares them with what came, in whatever order and how often, and asks again for
 * what is missing, message by message.
 *
 * @module
 */

import type { AgentMessage } from './messages.js'

/** Messages that one list names. */
export const LIST_MESSAGES = 64
/** Messages of one table that are kept account of: more than 16.7 million connections need. */
export const MOST_MESSAGES = 1 << 20
/** Pieces that one message asks for: each brings a list, and all of them together are to fit a receive buffer. */
const MOST_PIECES = 60
const HALF = 32

/**
 * Some messages of a portion of 64: bit `i` of `early` is its message `i`, of `late` its message `32 + i`. Without any bit it
 * is the portion's list alone.
 */
export interface Piece {
  /** From 0. */
  readonly portion: number
  readonly early: number
  readonly late: number
}

/** The checksum of a message by which it is known again: FNV-1a, 32 bits. */
export function messageSum(bytes: Uint8Array): number {
  let sum = 0x811c9dc5
  for (const byte of bytes) sum = Math.imul(sum ^ byte, 0x01000193)
  return sum >>> 0
}

/** What came of a table, held against what was sent. */
export class ArrivalProof {
  readonly #arrived = new Set<number>()
  readonly #lists = new Map<number, readonly number[]>()
  #connections = 0

  /** Connections that came, each once however often its message did. */
  get connections(): number {
    return this.#connections
  }

  /** A message of the table came. */
  arrive(bytes: Uint8Array, connections: number): void {
    const sum = messageSum(bytes)
    if (this.#arrived.has(sum) || this.#arrived.size >= MOST_MESSAGES) return
    this.#arrived.add(sum)
    this.#connections += connections
  }

  /** The checksums of a portion's messages became known. */
  learn({ connections: portion, words }: Pick<AgentMessage, 'connections' | 'words'>): void {
    if (portion < MOST_MESSAGES / LIST_MESSAGES) this.#lists.set(portion, words)
  }

  /**
   * What has not come.
   *
   * @param messages - How many were sent, at most {@link MOST_MESSAGES}.
   */
  missing(messages: number): Piece[] {
    const pieces: Piece[] = []
    for (let portion = 0; portion * LIST_MESSAGES < messages; portion++) {
      const size = Math.min(messages - portion * LIST_MESSAGES, LIST_MESSAGES)
      const sums = this.#lists.get(portion) ?? []
      const piece = this.#missingOf(portion, sums)
      if (sums.length < size) pieces.push({ portion, early: 0, late: 0 })
      else if ((piece.early | piece.late) !== 0) pieces.push(piece)
    }
    return pieces
  }

  #missingOf(portion: number, sums: readonly number[]): Piece {
    const masks: [number, number] = [0, 0]
    for (const [index, sum] of sums.entries()) {
      if (!this.#arrived.has(sum)) masks[index < HALF ? 0 : 1] |= 1 << (index % HALF)
    }
    return { portion, early: masks[0] >>> 0, late: masks[1] >>> 0 }
  }
}

/** How many messages may be missing in a piece: all of a portion of which nothing is known. */
export function missingIn(piece: Piece): number {
  return indexesOf(piece).length || LIST_MESSAGES
}

/** What a piece costs who sends it, in messages: the list alone counts as one. */
export function costOf(piece: Piece): number {
  return indexesOf(piece).length || 1
}

/** The numbers of a piece's messages in the table, from 0. */
export function indexesOf({ portion, early, late }: Piece): number[] {
  const indexes: number[] = []
  for (let bit = 0; bit < LIST_MESSAGES; bit++) {
    const mask = bit < HALF ? early : late
    if (((mask >>> (bit % HALF)) & 1) === 1) indexes.push(portion * LIST_MESSAGES + bit)
  }
  return indexes
}

/** As many pieces as a message asks for, in its words: three each. */
export function wordsOf(pieces: readonly Piece[]): number[] {
  return pieces.slice(0, MOST_PIECES).flatMap(({ portion, early, late }) => [portion, early, late])
}

/**
 * The pieces that a message asks for, as far as they are of the table and of what may be sent.
 *
 * @param words - Three for each piece.
 * @param messages - Of the table.
 * @param most - Messages that may be sent.
 */
export function piecesOf(words: readonly number[], messages: number, most: number): Piece[] {
  const pieces: Piece[] = []
  let left = most
  for (let at = 0; at + 2 < words.length; at += 3) {
    const piece = { portion: words[at]!, early: words[at + 1]!, late: words[at + 2]! }
    const last = indexesOf(piece).at(-1) ?? piece.portion * LIST_MESSAGES
    if (last >= messages) continue
    left -= costOf(piece)
    if (left < 0) break
    pieces.push(piece)
  }
  return pieces
}
