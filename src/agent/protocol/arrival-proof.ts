/**
 * Proof that a whole table arrived, by a checksum of each of its messages.
 *
 * Messages of a table are ordinary sync messages and have no room for a number. For every 64 of them the responder sends a
 * list of their checksums. The requester compares these with what it received, in any order and any number, and requests
 * the missing ones message by message.
 *
 * The lists carry FNV-1a of 32 bits, as agents of 0.1.0 expect. Two messages of one table can have equal checksums (in a
 * table of 26,000 messages with a probability of 8 %), so that a lost one would count as received. Therefore the requester
 * tells messages apart by 53 bits and compares the number of connections with the total that the responder states; if
 * it is short, it requests every message whose checksum occurs twice in the lists.
 *
 * @module
 */

import type { Piece } from './messages.js'

/** Messages in one list. */
export const LIST_MESSAGES = 64
/** Maximum number of messages of one table: enough for 16.7 million connections. */
export const MAX_TABLE_MESSAGES = 1 << 20
/** Pieces in one request: the lists of all of them must fit a receive buffer. */
const MAX_PIECES = 60
const HALF = 32
const TWO_32 = 2 ** 32

/** Returns the checksum of a message in a list: FNV-1a, 32 bits. */
export function messageSum(bytes: Uint8Array): number {
  return keyOf(bytes) >>> 0
}

/** Returns 53 bits that identify a message: the low 32 are its FNV-1a. */
function keyOf(bytes: Uint8Array): number {
  let low = 0x811c9dc5
  let high = 0x9747b28c
  for (const byte of bytes) {
    low = Math.imul(low ^ byte, 0x01000193)
    high = Math.imul(high ^ byte, 0x85ebca6b)
  }
  return (high >>> 11) * TWO_32 + (low >>> 0)
}

/** Compares what was received of a table with what was sent. */
export class ArrivalProof {
  readonly #keys = new Set<number>()
  readonly #sums = new Set<number>()
  readonly #lists = new Map<number, readonly number[]>()
  #connections = 0
  #hasRequestedTwins = false

  /** Connections received, counted once for each message. */
  get connections(): number {
    return this.#connections
  }

  /** Records a message of the table. */
  handleMessage(bytes: Uint8Array, connections: number): void {
    const key = keyOf(bytes)
    if (this.#keys.has(key) || this.#keys.size >= MAX_TABLE_MESSAGES) return
    this.#keys.add(key)
    this.#sums.add(key >>> 0)
    this.#connections += connections
  }

  /** Records the checksums of a portion. */
  handleList(portion: number, sums: readonly number[]): void {
    if (portion < MAX_TABLE_MESSAGES / LIST_MESSAGES) this.#lists.set(portion, sums)
  }

  /**
   * Returns what is missing.
   *
   * @param messages - Messages that were sent, at most {@link MAX_TABLE_MESSAGES}.
   * @param connections - Connections in them.
   */
  missing(messages: number, connections: number): Piece[] {
    const pieces: Piece[] = []
    for (let portion = 0; portion * LIST_MESSAGES < messages; portion++) {
      const size = Math.min(messages - portion * LIST_MESSAGES, LIST_MESSAGES)
      const sums = this.#lists.get(portion) ?? []
      const piece = pieceOf(portion, sums, (sum) => !this.#sums.has(sum))
      if (sums.length < size) pieces.push({ portion, early: 0, late: 0 })
      else if ((piece.early | piece.late) !== 0) pieces.push(piece)
    }
    if (pieces.length > 0 || this.#connections >= connections) return pieces
    // Once, the messages whose checksum another message of the table has as well are requested.
    if (this.#hasRequestedTwins) return []
    this.#hasRequestedTwins = true
    const seen = new Set<number>()
    const twins = new Set<number>()
    for (const sums of this.#lists.values()) for (const sum of sums) (seen.has(sum) ? twins : seen).add(sum)
    return [...this.#lists]
      .map(([portion, sums]) => pieceOf(portion, sums, (sum) => twins.has(sum)))
      .filter(({ early, late }) => (early | late) !== 0)
  }
}

function pieceOf(portion: number, sums: readonly number[], includes: (sum: number) => boolean): Piece {
  const masks: [number, number] = [0, 0]
  for (const [index, sum] of sums.entries()) if (includes(sum)) masks[index < HALF ? 0 : 1] |= 1 << (index % HALF)
  return { portion, early: masks[0] >>> 0, late: masks[1] >>> 0 }
}

/** Returns how many messages a piece stands for: all of a portion whose list is unknown. */
export function missingIn(piece: Piece): number {
  return indexesOf(piece).length || LIST_MESSAGES
}

/** Returns what the retransmission of a piece costs, in messages: a list alone counts as one. */
export function costOf(piece: Piece): number {
  return indexesOf(piece).length || 1
}

/** Returns the numbers of a piece's messages in the table, from 0. */
export function indexesOf({ portion, early, late }: Piece): number[] {
  const indexes: number[] = []
  for (let bit = 0; bit < LIST_MESSAGES; bit++) {
    const mask = bit < HALF ? early : late
    if (((mask >>> (bit % HALF)) & 1) === 1) indexes.push(portion * LIST_MESSAGES + bit)
  }
  return indexes
}

/** Returns as many pieces as one message can request. */
export function requestable(pieces: readonly Piece[]): readonly Piece[] {
  return pieces.slice(0, MAX_PIECES)
}

/**
 * Returns the requested pieces that belong to the table and that the budget allows.
 *
 * @param messages - Of the table.
 * @param budget - Messages that may be retransmitted.
 */
export function allowedPieces(pieces: readonly Piece[], messages: number, budget: number): Piece[] {
  const allowed: Piece[] = []
  let remaining = budget
  for (const piece of pieces) {
    const last = indexesOf(piece).at(-1) ?? piece.portion * LIST_MESSAGES
    if (last >= messages) continue
    remaining -= costOf(piece)
    if (remaining < 0) break
    allowed.push(piece)
  }
  return allowed
}
