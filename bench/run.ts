/**
 * npm run bench [-- --quick] [-- --only TEXT] [-- --rounds N] [-- --update]: measures, prints a table, and writes
 * bench/RESULTS.md and docs/scale.svg. With --quick or --only it is for a look; with --update the sections that were run take
 * the place of those in bench/RESULTS.md.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { cases, type Case } from './cases.js'
import { compare, type Round } from './compare.js'
import { buildReference } from './reference.js'
import { renewed, resultsOf, tableOf } from './report.js'
import { scale, SCALE_TITLE } from './scale.js'

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    rounds: { type: 'string' },
    update: { type: 'boolean', default: false }
  }
})
const reference = buildReference()
if (reference === undefined) console.log('No C compiler: ratios to C are left out.')

const path = fileURLToPath(new URL('../../bench/RESULTS.md', import.meta.url))
const tables: string[] = []
for (const one of cases({ quick: values.quick, reference })) {
  if (isWanted(one.title)) tell(await measure(one))
}
if (!values.quick && isWanted(SCALE_TITLE)) tell(scale())
if (values.update) {
  write(renewed(readFileSync(path, 'utf8'), tables, `Run again: ${commit()}.`))
} else if (!values.quick && values.only === undefined) {
  write(resultsOf([machine(), ...tables]))
}

function isWanted(title: string): boolean {
  return title.toLowerCase().includes((values.only ?? '').toLowerCase())
}

function tell(table: string): void {
  console.log(table)
  tables.push(table)
}

function write(text: string): void {
  writeFileSync(path, text)
  console.log(`written: ${path}`)
}

async function measure(one: Case): Promise<string> {
  const wanted = values.rounds === undefined ? (values.quick ? 1 : 5) : Number(values.rounds)
  const rounds: Round[] = await compare(one.measures, Math.min(wanted, one.rounds ?? wanted))
  return tableOf(one, rounds)
}

function machine(): string {
  const [cpu] = cpus()
  return [
    `- Machine: ${cpus().length} × ${cpu?.model.trim() ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    `- Node ${process.version}, ${process.platform} ${process.arch}`,
    `- ${commit()}`
  ].join('\n')
}

function commit(): string {
  const git = (...args: string[]): string => execFileSync('git', args, { encoding: 'utf8' }).trim()
  const changed = git('status', '--porcelain', '--', 'src').length > 0 ? ', with changes in src' : ''
  return `Commit ${git('rev-parse', '--short', 'HEAD')}${changed}, ${new Date().toISOString().slice(0, 10)}`
}
