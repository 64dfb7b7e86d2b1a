/**
 * Makes a row what a kernel's master writes of it (`ip_vs_sync_conn`).
 *
 * @module
 */
import { FLAG } from '../wire/constants.js'
import { PRESENT, ROW, ROW_WORDS } from '../wire/rows.js'

const SEQUENCE_WORDS = 6

/**
 * Presents sequence data exactly when IN_SEQ or OUT_SEQ is set, zeros where there is no data: a kernel decides by the flags, in both
 * versions of the protocol.
 *
 * @param words - Of the rows.
 * @param index - The row's number.
 */
export function presentSequence(words: Int32Array, index: number): void {
  const at = index * ROW_WORDS
  const present = words[at + ROW.PRESENT]!
  if ((words[at + ROW.FLAGS]! & FLAG.SEQUENCE) === 0) {
    if (present !== 0) words[at + ROW.PRESENT] = present & ~PRESENT.SEQUENCE
  } else if ((present & PRESENT.SEQUENCE) === 0) {
    words.fill(0, at + ROW.SEQUENCE, at + ROW.SEQUENCE + SEQUENCE_WORDS)
    words[at + ROW.PRESENT] = present | PRESENT.SEQUENCE
  }
}
