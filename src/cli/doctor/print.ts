/**
 * The checklist as text and as JSON.
 *
 * @module
 */

import { counted } from '../../text.js'
import { printable } from '../../wire/terminal-text.js'
import type { Check, Verdict } from './facts.js'

/** Words of the verdicts, and their colours on a terminal. */
const VERDICTS: Readonly<Record<Verdict, { readonly word: string; readonly color: number }>> = {
  ok: { word: 'ok', color: 32 },
  warning: { word: 'warning', color: 33 },
  problem: { word: 'problem', color: 31 },
  unchecked: { word: 'not checked', color: 2 }
}

/** Columns of verdict and code before the text of a check. */
const INDENT = 37
/** Least width in which wrapped lines stand below the text; in a narrower terminal they stand below the code. */
const WIDE = 100
const NARROW_INDENT = 12

/**
 * Returns the checklist: problems and their remedy stand out, and a last line sums up.
 *
 * @param columns - Width of the terminal, in which lines are wrapped; Infinity for a file or a pipe.
 */
export function checklistText(checks: readonly Check[], hasColor: boolean, columns: number): string {
  const indent = columns >= WIDE ? INDENT : NARROW_INDENT
  const lines = checks.flatMap(({ code, verdict, text, advice }) => {
    const { word, color } = VERDICTS[verdict]
    const label = word.padEnd(12)
    const shown = hasColor ? `\u001b[${color}m${label}\u001b[0m` : label
    const line = `${shown}${wrap(`${code.padEnd(24)} ${safe(text)}`, 12, indent, columns)}`
    if (advice === undefined) return [line]
    return [line, `${' '.repeat(indent)}${wrap(`-> ${safe(advice)}`, indent, indent + 3, columns)}`]
  })
  return `${lines.join('\n')}\n\n${summaryText(checks)}\n`
}

/** Breaks a text between words: it begins at a column, and its further lines are indented. */
function wrap(text: string, start: number, indent: number, columns: number): string {
  let column = start
  let wrapped = ''
  for (const word of text.split(/(?<= )(?=\S)/)) {
    if (column + word.trimEnd().length > columns && column > indent) {
      wrapped = `${wrapped.trimEnd()}\n${' '.repeat(indent)}`
      column = indent
    }
    wrapped += word
    column += word.length
  }
  return wrapped
}

/** Addresses and numbers are ours; what comes from files of the host may hold anything. */
function safe(text: string): string {
  return printable(text.replaceAll('’', "'"))
}

/** Returns one line: `1 problem, 0 warnings, 12 ok, 9 not checked`. */
export function summaryText(checks: readonly Check[]): string {
  const count = (wanted: Verdict): number => checks.filter(({ verdict }) => verdict === wanted).length
  return `${counted(count('problem'), 'problem')}, ${counted(count('warning'), 'warning')}, ${count('ok')} ok, ${count('unchecked')} not checked`
}

/** Returns one JSON document: `{ "checks": [ { "code", "verdict", "text", "advice" } ], "problems": 1, "warnings": 0 }`. */
export function checklistJson(checks: readonly Check[]): string {
  const count = (wanted: Verdict): number => checks.filter(({ verdict }) => verdict === wanted).length
  return `${JSON.stringify({ problems: count('problem'), warnings: count('warning'), checks })}\n`
}
