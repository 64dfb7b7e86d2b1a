/**
 * Lines of a text that cannot be read: how many, and the first of them by number and text.
 *
 * @module
 */

/** A line that cannot be read. */
export interface UnreadableLine {
  /** From 1. */
  readonly number: number
  /** At most 80 characters, others than printable ASCII as `?`. */
  readonly text: string
}

/** Lines that cannot be read. */
export interface UnreadableLines {
  count: number
  /** The first three. */
  readonly first: UnreadableLine[]
}

const LINES_KEPT = 3
const CHARACTERS_KEPT = 80

/** Returns an empty record of unreadable lines. */
export function noUnreadableLines(): UnreadableLines {
  return { count: 0, first: [] }
}

/** Counts a line, and stores it if it is one of the first three. */
export function noteUnreadable(lines: UnreadableLines, number: number, text: string): void {
  lines.count++
  if (lines.first.length < LINES_KEPT)
    lines.first.push({ number, text: text.slice(0, CHARACTERS_KEPT).replace(/[^ -~]/g, '?') })
}
