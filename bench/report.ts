/** Tables of results. */
import type { Case, Line, Operand } from './cases.js'
import { median, type Round } from './compare.js'

/** A case's results as a Markdown table: median, spread over the rounds, target, whether it is met. */
export function tableOf(one: Case, rounds: readonly Round[]): string {
  const known = one.lines.filter((line) => isKnown(line, rounds[0]!))
  return [
    '',
    `### ${one.title}`,
    '',
    `| ${one.unit}, or ratio | median | of ${rounds.length} rounds | target | |`,
    '| --- | ---: | ---: | ---: | --- |',
    ...known.map((line) => rowOf(line, rounds))
  ].join('\n')
}

/** The whole file. */
export function resultsOf(tables: readonly string[]): string {
  const [machine = '', ...others] = tables
  return `${HEAD}\n${machine}\n${others.join('\n')}\n`
}

/**
 * Puts sections that were run again into the place of the old ones, or behind them; the others stay.
 *
 * @param before - The file as it is.
 * @param sections - Each begins with its heading.
 * @param note - When they were run.
 */
export function renewed(before: string, sections: readonly string[], note: string): string {
  const parts = before.trimEnd().split(/\n(?=### )/)
  for (const section of sections) {
    const [heading = '', ...rest] = section.trim().split('\n')
    const text = [heading, '', note, ...rest].join('\n')
    const at = parts.findIndex((part) => part.startsWith(`${heading}\n`))
    if (at === -1) parts.push(text)
    else parts[at] = text
  }
  return `${parts.map((part) => part.trimEnd()).join('\n\n')}\n`
}

const HEAD = `# Results

Written by \`npm run bench\`. Each measure is a separate process; the measures of a case run in turn, in reverse order in
every second round, and a ratio is taken within its round. Only ratios mean anything on another machine. What the figures
mean, and what was tried where a target is missed, is in docs/performance.md.
`

function rowOf(line: Line, rounds: readonly Round[]): string {
  const values = rounds.map((round) => valueOf(line, round)).sort((a, b) => a - b)
  const result = median(values)
  const spread = values.length > 1 ? `${show(values[0]!)} … ${show(values.at(-1)!)}` : ''
  return `| ${line.label} | ${show(result)} | ${spread} | ${targetOf(line)} | ${verdictOf(line, result)} |`
}

function valueOf(line: Line, round: Round): number {
  const value = operand(line, round)
  if (line.over === undefined) return value
  const ratio = value / operand(line.over, round)
  return line.faster === true ? 1 / ratio : ratio
}

function operand({ measure, minus, times = 1 }: Operand, round: Round): number {
  return (round.get(measure)! - (minus === undefined ? 0 : round.get(minus)!)) * times
}

function isKnown({ measure, over }: Line, round: Round): boolean {
  return round.has(measure) && (over === undefined || round.has(over.measure))
}

function targetOf({ most, least }: Line): string {
  if (most !== undefined) return `≤ ${most}`
  return least === undefined ? '' : `≥ ${least}`
}

function verdictOf({ most, least }: Line, value: number): string {
  if (most === undefined && least === undefined) return ''
  return value <= (most ?? Infinity) && value >= (least ?? -Infinity) ? 'met' : '**missed**'
}

function show(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3)
}
