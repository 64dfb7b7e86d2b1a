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

/** How far the lines that continue a long one are indented. */
const INDENT = '        '

/**
 * Wraps lines that are longer than a terminal between words, or behind a comma; a longer word stands alone. Colours take no
 * room.
 */
export function wrap(text: string, columns: number): string {
  return text
    .split('\n')
    .map((line) => (lengthOf(line) <= columns ? line : wrapLine(line, columns)))
    .join('\n')
}

function wrapLine(line: string, columns: number): string {
  const lines: string[] = []
  let current = ''
  for (const word of line.split(/(?<=[^ ] )(?=[^ ])|(?<=[^ ] {2,})(?=[^ ])|(?<=,)(?=[^ ])/)) {
    if (current !== '' && lengthOf(current + word.trimEnd()) > columns) {
      lines.push(current.trimEnd())
      current = INDENT
    }
    current += word
  }
  return [...lines, current].join('\n')
}

function lengthOf(text: string): number {
  // eslint-disable-next-line no-control-regex -- colours begin with this character
  return text.replace(/\u001b\[\d+m/g, '').length
}

/** A problem as one line: `drop RECORD_LENGTH at byte 10: …`, its text made safe. */
export function problemText({ severity, code, offset, message }: Problem, where = ''): string {
  return `${severity} ${code}${offset === undefined ? '' : ` at byte ${offset}`}: ${where}${printable(message)}`
}
