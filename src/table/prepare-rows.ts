/**
 * Brings what a message's rows will be looked for in into the processor's caches: the waits for memory overlap here, where
 * one search after the other would wait for each by itself.
 *
 * @module
 */
import { ROW, ROW_WORDS, type Rows } from '../wire/rows.js'
import { baseOfIpv4, chunkOfIpv4, type EntryPool } from './entry.js'
import { hashPlain, hashRow } from './key.js'
import type { SlotIndex } from './slot-index.js'

// Names of this module's own: V8 folds these constants, and reads those of another module anew at each use.
const { CLIENT_PORT: ROW_CLIENT_PORT, FAMILY: ROW_FAMILY, PRESENT: ROW_PRESENT, SCRATCH: ROW_SCRATCH } = ROW
const STRIDE = ROW_WORDS

/**
 * Hashes all rows, then looks at all their cells, then at all their entries: loops so short that the processor has many
 * of their looks under way at once. Hash and cell stay in the rows' scratch words.
 *
 * @param seed - The table's.
 * @returns A number without a meaning, which keeps the looks from being optimised away.
 */
export function prepareRows(rows: Rows, seed: number, index: SlotIndex, ipv4: EntryPool, ipv6: EntryPool): number {
  const { words, count } = rows
  const { cells, mask, slotMask } = index
  for (let i = 0; i < count; i++) {
    const at = (i * STRIDE) & 0xffff
    const isPlain = words[at + ROW_FAMILY] === 4 && words[at + ROW_PRESENT] === 0
    const clientPort = words[at + ROW_CLIENT_PORT]!
    words[at + ROW_SCRATCH] = isPlain ? hashPlain(words, at, seed, clientPort) : hashRow(rows, i, seed, clientPort)
  }
  for (let i = 0; i < count; i++) {
    const at = (i * STRIDE) & 0xffff
    words[at + ROW_SCRATCH + 1] = cells[words[at + ROW_SCRATCH]! & mask]!
  }
  const { chunks } = ipv4
  let seen = 0
  for (let i = 0; i < count; i++) {
    // No exception is made for an empty cell: V8 would build the rest in only once a table is filled, and start all over.
    const slot = words[((i * STRIDE) & 0xffff) + ROW_SCRATCH + 1]! & slotMask
    const isIpv4 = (slot & 1) === 0
    const chunk = isIpv4 ? chunkOfIpv4(chunks, slot) : ipv6.chunk(slot >>> 1)
    const base = isIpv4 ? baseOfIpv4(slot) : ipv6.base(slot >>> 1)
    // An entry may lie across two cache lines.
    seen ^= chunk[base]! ^ chunk[base + (isIpv4 ? ipv4.words : ipv6.words) - 1]!
  }
  return seen
}
