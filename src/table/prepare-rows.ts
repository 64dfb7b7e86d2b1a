/**
 * Brings what a message's rows will be looked for in into the processor's caches: the waits for memory overlap here, where
 * one search after the other would wait for each by itself.
 *
 * @module
 */
import { ROW, ROW_WORDS, type Rows } from '../wire/rows.js'
import type { EntryPool } from './entry.js'
import { hashRow } from './key.js'
import type { SlotIndex } from './slot-index.js'

// Names of this module's own: V8 folds these constants, and reads those of another module anew at each use.
const { CLIENT_PORT: ROW_CLIENT_PORT, SCRATCH: ROW_SCRATCH } = ROW
const STRIDE = ROW_WORDS

/**
 * Hashes all rows, then looks at all their cells, then at all their entries. Hash and cell stay in the rows' scratch words.
 *
 * @param seed - The table's.
 * @returns A number without a meaning, which keeps the looks from being optimised away.
 */
export function prepareRows(rows: Rows, seed: number, index: SlotIndex, ipv4: EntryPool, ipv6: EntryPool): number {
  const { words, count } = rows
  const end = count * STRIDE
  for (let i = 0; i < count; i++)
    words[i * STRIDE + ROW_SCRATCH] = hashRow(rows, i, seed, words[i * STRIDE + ROW_CLIENT_PORT]!)
  for (let at = ROW_SCRATCH; at < end; at += STRIDE) words[at + 1] = index.touch(words[at]!)
  let seen = 0
  for (let at = ROW_SCRATCH; at < end; at += STRIDE) {
    const slot = index.slotOf(words[at + 1]!)
    if (slot === 0) continue
    const pool = (slot & 1) === 1 ? ipv6 : ipv4
    const chunk = pool.chunk(slot >>> 1)
    const base = pool.base(slot >>> 1)
    // An entry may lie across two cache lines.
    seen ^= chunk[base]! ^ chunk[base + pool.words - 1]!
  }
  return seen
}
