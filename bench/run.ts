/**
 * npm run bench [-- --quick] [-- --only TEXT] [-- --rounds N]: measures, prints a table, and writes bench/RESULTS.md (not
 * with --quick or --only: those are for a look).
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { cases, type Case } from './cases.js'
import { compare, type Round } from './compare.js'
import { buildReference } from './reference.js'
import { resultsOf, tableOf } from './report.js'

const { values } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, only: { type: 'string' }, rounds: { type: 'string' } }
})
const reference = buildReference()
if (reference === undefined) console.log('No C compiler: ratios to C are left out.')

const tables: string[] = [machine()]
for (const one of cases({ quick: values.quick, reference })) {
  if (values.only !== undefined && !one.title.toLowerCase().includes(values.only.toLowerCase())) continue
  const table = await measure(one)
  console.log(table)
  tables.push(table)
}
if (!values.quick && values.only === undefined) {
  const path = fileURLToPath(new URL('../../bench/RESULTS.md', import.meta.url))
  writeFileSync(path, resultsOf(tables))
  console.log(`written: ${path}`)
}

async function measure(one: Case): Promise<string> {
  const wanted = values.rounds === undefined ? (values.quick ? 1 : 5) : Number(values.rounds)
  const rounds: Round[] = await compare(one.measures, Math.min(wanted, one.rounds ?? wanted))
  return tableOf(one, rounds)
}

function machine(): string {
  const git = (...args: string[]): string => execFileSync('git', args, { encoding: 'utf8' }).trim()
  const changed = git('status', '--porcelain', '--', 'src').length > 0 ? ', with changes in src' : ''
  const [cpu] = cpus()
  return [
    `- Machine: ${cpus().length} × ${cpu?.model.trim() ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    `- Node ${process.version}, ${process.platform} ${process.arch}`,
    `- Commit ${git('rev-parse', '--short', 'HEAD')}${changed}, ${new Date().toISOString().slice(0, 10)}`
  ].join('\n')
}
