/**
 * Data that few connections have, stored beside the packed entries: sequence data and persistence-engine data.
 *
 * @module
 */
import { PRESENT, ROW, ROW_WORDS, type EngineBytes, type Rows } from '../wire/rows.js'

/** Words of sequence data. */
export const SEQUENCE_WORDS = 6

/** Sequence data and persistence-engine data by slot. */
export class EntryExtras {
  readonly #sequences = new Map<number, Int32Array>()
  readonly #engines = new Map<number, EngineBytes>()

  /** Returns a slot's persistence-engine data: the table's own bytes, which must not be changed. */
  engine(slot: number): EngineBytes | undefined {
    return this.#engines.get(slot)
  }

  /** Stores a copy of a row's sequence data. Returns false if it has none. */
  keepSequence(slot: number, rows: Rows, index: number): boolean {
    const from = index * ROW_WORDS
    if ((rows.words[from + ROW.PRESENT]! & PRESENT.SEQUENCE) === 0) return false
    this.#sequences.set(slot, rows.words.slice(from + ROW.SEQUENCE, from + ROW.SEQUENCE + SEQUENCE_WORDS))
    return true
  }

  /** Stores a copy of a row's persistence-engine data. */
  keepEngine(slot: number, rows: Rows, index: number): void {
    const { name, data } = rows.engines[index]!
    this.#engines.set(slot, { name: name.slice(), data: data.slice() })
  }

  /** Copies a slot's data into a row. Engine data stay the table's own bytes. */
  copyToRow(slot: number, rows: Rows, index: number): void {
    const to = index * ROW_WORDS
    const sequence = this.#sequences.get(slot)
    if (sequence !== undefined) {
      rows.words[to + ROW.PRESENT]! |= PRESENT.SEQUENCE
      rows.words.set(sequence, to + ROW.SEQUENCE)
    }
    const engine = this.#engines.get(slot)
    if (engine !== undefined) {
      rows.words[to + ROW.PRESENT]! |= PRESENT.ENGINE
      rows.engines[index] = engine
    }
  }

  /** Removes a slot's data. */
  delete(slot: number): void {
    this.#sequences.delete(slot)
    this.#engines.delete(slot)
  }

  /** Removes everything. */
  clear(): void {
    this.#sequences.clear()
    this.#engines.clear()
  }
}
