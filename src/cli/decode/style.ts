/**
 * Colours for a terminal, and problems as text.
 *
 * @module
 */

import type { Problem } from '../../wire/problems.js'
import { printable } from '../../wire/terminal-text.js'

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

/** A problem as one line: `drop RECORD_LENGTH at byte 10: …`, its text made safe. */
export function problemText({ severity, code, offset, message }: Problem, where = ''): string {
  return `${severity} ${code}${offset === undefined ? '' : ` at byte ${offset}`}: ${where}${printable(message)}`
}
