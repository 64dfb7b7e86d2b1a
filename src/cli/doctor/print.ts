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

/** Returns the checklist: problems and their remedy stand out, and a last line sums up. */
export function checklistText(checks: readonly Check[], hasColor: boolean): string {
  const lines = checks.flatMap(({ code, verdict, text, advice }) => {
    const { word, color } = VERDICTS[verdict]
    const label = word.padEnd(12)
    const shown = hasColor ? `\u001b[${color}m${label}\u001b[0m` : label
    const line = `${shown}${code.padEnd(24)} ${safe(text)}`
    return advice === undefined ? [line] : [line, `${' '.repeat(37)}-> ${safe(advice)}`]
  })
  return `${lines.join('\n')}\n\n${summaryText(checks)}\n`
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
