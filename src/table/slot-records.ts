/**
 * Side arrays of a table: one record of a few words for each slot, kept by a user of the table. For example when a
 * connection was last announced, and in which scan of the kernel's table it was last seen.
 *
 * @module
 */
import { CHUNK_BITS } from './entry.js'

const ENTRIES = 1 << CHUNK_BITS
const MASK = ENTRIES - 1

/**
 * Records by slot, made by `ConnectionTable.createRecords`. A record is zeros until it is written, and zeros again when its
 * connection has been removed. Memory is allocated in chunks, as the table grows.
 *
 * @example
 * ```ts
 * const records = table.createRecords(2)
 * records.set(slot, 0, round)
 * // In a hot loop: one look-up for all words of a record.
 * const words = records.chunk(slot)
 * const at = records.base(slot)
 * ```
 */
export class SlotRecords {
  /** Words of one record. */
  readonly words: number
  readonly #chunks: readonly [Int32Array[], Int32Array[]] = [[], []]

  /** @param words - Words of one record, at least 1. */
  constructor(words: number) {
    this.words = words
  }

  /** Returns the array that holds a slot's record. It stays the same until the table is cleared. */
  chunk(slot: number): Int32Array {
    const chunks = this.#chunks[slot & 1]!
    const number = slot >>> (CHUNK_BITS + 1)
    return chunks[number] ?? (chunks[number] = new Int32Array(ENTRIES * this.words))
  }

  /** Returns the index of a record's first word in its chunk. */
  base(slot: number): number {
    return ((slot >>> 1) & MASK) * this.words
  }

  /** Returns one word of a record. */
  get(slot: number, word: number): number {
    return this.chunk(slot)[this.base(slot) + word]!
  }

  /** Writes one word of a record, as a signed 32-bit integer. */
  set(slot: number, word: number, value: number): void {
    this.chunk(slot)[this.base(slot) + word] = value
  }

  /** Sets a record to zeros: the table calls it when it removes a connection. */
  reset(slot: number): void {
    const chunk = this.#chunks[slot & 1]![slot >>> (CHUNK_BITS + 1)]
    chunk?.fill(0, this.base(slot), this.base(slot) + this.words)
  }

  /** Sets all records to zeros and frees their memory: the table calls it when it is cleared. */
  clear(): void {
    for (const chunks of this.#chunks) chunks.length = 0
  }
}
