import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import type { Boot } from './boot.js'
import type { GuestKernel } from './guest-kernel.js'
import { describeFacts, type KernelFacts } from './kernel-facts.js'
import { repositoryPath } from './page.js'
import type { Page } from './scenario.js'
import { passed } from './summary.js'

/** What one kernel was compared with, by scenario. Runs of single scenarios add up. */
interface KernelRuns {
  readonly title: string
  readonly facts: KernelFacts
  readonly scenarios: Readonly<Record<string, Judgement>>
}

interface Judgement {
  readonly passed: boolean
  readonly compared: number
  readonly datagrams: number
  readonly disagreements: number
  readonly seconds: number
}

const RECORD = 'test/kernel/runs.json'
const PAGE = 'docs/conformance.md'
const [BEGIN, END] = ['<!-- runs: made by', '<!-- runs: end -->']

/** Adds a run to the record, and makes the table of docs/conformance.md anew from the record. */
export function recordRun(kernel: GuestKernel, boots: readonly Boot[]): void {
  const facts = boots.find((done) => done.facts !== undefined)?.facts
  if (facts === undefined) return
  const path = repositoryPath(RECORD)
  const known = existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as readonly KernelRuns[]) : []
  const before = known.find(({ title }) => title === kernel.title)?.scenarios ?? {}
  const scenarios = { ...before, ...Object.fromEntries(boots.map((done) => [done.name, judgementOf(done)])) }
  const run = { title: kernel.title, facts, scenarios }
  const runs = [...known.filter(({ title }) => title !== kernel.title), run].sort((a, b) =>
    a.facts.release.localeCompare(b.facts.release, 'en', { numeric: true })
  )
  writeFileSync(path, `${JSON.stringify(runs, undefined, 2)}\n`)
  writeTable(PAGE, rowsOf(runs))
  for (const { outcome } of boots) if (outcome?.page !== undefined) mergeRows(outcome.page)
}

/** Adds rows to a page's table: the table itself is the record. */
function mergeRows({ path, head, rows }: Page): void {
  const page = readFileSync(repositoryPath(path), 'utf8')
  const known = page
    .slice(page.indexOf(BEGIN), page.indexOf(END))
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .slice(2)
    .map((line) =>
      line
        .slice(2, -2)
        .split('|')
        .map((cell) => cell.trim())
    )
  const fresh = new Set(rows.map(([name]) => name))
  writeTable(path, [head, ...known.filter(([name]) => !fresh.has(name)), ...rows])
}

/** Replaces the table between the two marks of a page. */
function writeTable(path: string, rows: readonly (readonly string[])[]): void {
  const page = readFileSync(repositoryPath(path), 'utf8')
  const begin = page.indexOf('\n', page.indexOf(BEGIN)) + 1
  writeFileSync(repositoryPath(path), `${page.slice(0, begin)}\n${tableOf(rows)}\n\n${page.slice(page.indexOf(END))}`)
}

function judgementOf(done: Boot): Judgement {
  const { compared = 0, datagrams = 0, disagreements = [] } = done.outcome ?? {}
  const seconds = Math.round(done.seconds)
  return { passed: passed(done), compared, datagrams, disagreements: disagreements.length, seconds }
}

/** A row a scenario, a column a kernel. */
function rowsOf(runs: readonly KernelRuns[]): string[][] {
  const names = [...new Set(runs.flatMap(({ scenarios }) => Object.keys(scenarios)))].sort()
  return [
    ['scenario', ...runs.map(({ title }) => title)],
    ['`uname -r`', ...runs.map(({ facts }) => facts.release)],
    ['generation', ...runs.map(({ facts }) => describeFacts(facts))],
    ...names.map((name) => [`\`${name}\``, ...runs.map(({ scenarios }) => cellOf(scenarios[name]))])
  ]
}

/** Markdown, padded as prettier pads. */
function tableOf(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`
  return [line(rows[0]!), line(widths.map((width) => '-'.repeat(width))), ...rows.slice(1).map(line)].join('\n')
}

function cellOf(judgement: Judgement | undefined): string {
  if (judgement === undefined) return 'not run'
  const { passed: agrees, compared, disagreements, seconds } = judgement
  if (!agrees) return disagreements === 0 ? 'no result' : `${disagreements} differ`
  return `agrees, ${compared.toLocaleString('en')} compared, ${seconds} s`
}
