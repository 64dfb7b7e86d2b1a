import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import type { Boot } from './boot.js'
import type { GuestKernel } from './guest-kernel.js'
import { describeFacts, type KernelFacts } from './kernel-facts.js'
import { repositoryPath } from './page.js'
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
const [BEGIN, END] = ['<!-- runs: made by npm run test:kernel -- --record -->', '<!-- runs: end -->']

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
  const page = readFileSync(repositoryPath(PAGE), 'utf8')
  const [head, rest = ''] = page.split(BEGIN)
  const tail = rest.slice(rest.indexOf(END))
  writeFileSync(repositoryPath(PAGE), `${head}${BEGIN}\n\n${tableOf(runs)}\n\n${tail}`)
}

function judgementOf(done: Boot): Judgement {
  const { compared = 0, datagrams = 0, disagreements = [] } = done.outcome ?? {}
  const seconds = Math.round(done.seconds)
  return { passed: passed(done), compared, datagrams, disagreements: disagreements.length, seconds }
}

/** Markdown: a row a scenario, a column a kernel. Padded as prettier pads. */
function tableOf(runs: readonly KernelRuns[]): string {
  const names = [...new Set(runs.flatMap(({ scenarios }) => Object.keys(scenarios)))].sort()
  const rows = [
    ['scenario', ...runs.map(({ title }) => title)],
    ['`uname -r`', ...runs.map(({ facts }) => facts.release)],
    ['generation', ...runs.map(({ facts }) => describeFacts(facts))],
    ...names.map((name) => [`\`${name}\``, ...runs.map(({ scenarios }) => cellOf(scenarios[name]))])
  ]
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
