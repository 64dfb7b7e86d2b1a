/**
 * The channel of a connection.
 *
 * @module
 */

import { ROW, ROW_WORDS, type Rows } from '../wire/rows.js'

/**
 * Returns the channel of a connection: a hash of its key, masked. A kernel uses the entry's memory address, which is stable
 * only while the entry exists; this one is stable over restarts (docs/protocol.md section 9).
 *
 * @param mask - The number of channels, a power of two, less 1.
 */
export function channelOf(rows: Rows, index: number, mask: number): number {
  if (mask === 0) return 0
  const { words } = rows
  const at = index * ROW_WORDS
  const ports = (words[at + ROW.CLIENT_PORT]! << 16) ^ words[at + ROW.VIRTUAL_PORT]!
  let hash = mix(words[at + ROW.PROTOCOL]!, ports)
  const length = words[at + ROW.FAMILY] === 6 ? 4 : 1
  for (let i = 0; i < length; i++) {
    hash = mix(hash, words[at + ROW.CLIENT + i]!)
    hash = mix(hash, words[at + ROW.VIRTUAL + i]!)
  }
  return (hash ^ (hash >>> 16)) & mask
}

/** One round of multiply and rotate: every bit of the word affects the low bits that the mask keeps. */
function mix(hash: number, word: number): number {
  const product = Math.imul(hash ^ word, 0x9e3779b1)
  return Math.imul(product ^ (product >>> 15), 0x85ebca6b) ^ (product >>> 13)
}
