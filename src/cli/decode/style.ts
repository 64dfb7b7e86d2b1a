/**
 * Colours for a terminal, and text from the network made safe for it.
 *
 * @module
 */

import type { Problem } from '../../wire/problems.js'

/** Marks up a piece of text. */
export type Paint = (text: string) => string

/** The colours in use; all of them leave the text alone where there is no colour. */
export interface Style {
  /** Headings. */
  readonly strong: Paint
  /** What matters less. */
  readonly faint: Paint
  /** What a receiver drops. */
  readonly bad: Paint
  /** What it skips, and warnings. */
  readonly doubtful: Paint
}

const paint = (code: number): Paint => {
  return (text) => `\u001b[${code}m${text}\u001b[0m`
}
const COLOR: Style = { strong: paint(1), faint: paint(2), bad: paint(31), doubtful: paint(33) }
const same: Paint = (text) => text
const PLAIN: Style = { strong: same, faint: same, bad: same, doubtful: same }

/** The style with or without colour. */
export function styleFor(hasColor: boolean): Style {
  return hasColor ? COLOR : PLAIN
}

/**
 * Text from the network as one line of printable ASCII: everything else as `\xNN` or `\u{N}`. A message must not be able
 * to move the cursor of whoever looks at it.
 */
export function printable(text: string): string {
  return text.replace(/[^ -~]|\\/gu, (character) => {
    const code = character.codePointAt(0)!
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`
  })
}

/** A problem as one line: `drop RECORD_LENGTH at byte 10: …`, its text made safe. */
export function problemText({ severity, code, offset, message }: Problem, where = ''): string {
  return `${severity} ${code}${offset === undefined ? '' : ` at byte ${offset}`}: ${where}${printable(message)}`
}
