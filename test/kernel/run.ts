// npm run test:kernel: boots a Linux kernel for each scenario and lets it judge us. See docs/conformance.md.
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { boot, type Boot } from './harness/boot.js'
import { missingOf, missingPackages } from './harness/packages.js'
import type { Scenario } from './harness/scenario.js'
import { summary } from './harness/summary.js'

const USAGE = `usage: npm run test:kernel -- [--list] [--keep] [--seed N] [--jobs N] [SCENARIO…]
  SCENARIO   runs those whose name contains the word; all of them unless given
  --keep     keeps the guests' output, which else is kept only where something fails
  --seed     seed of the generators; 1 unless given
  --jobs     guests at a time; 2 unless given`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    list: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    jobs: { type: 'string', default: '2' }
  }
})
process.exitCode = await main()

async function main(): Promise<number> {
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  if (![values.seed, values.jobs].every((text) => /^[1-9]\d{0,8}$/.test(text))) {
    console.error(`--seed and --jobs want a whole number, 1 or more\n${USAGE}`)
    return 2
  }
  const scenarios = await loadScenarios()
  if (values.list) {
    for (const [name, { title }] of scenarios) console.log(`${name.padEnd(28)} ${title}`)
    return 0
  }
  const missing = missingPackages()
  if (missing.length > 0 || process.getuid?.() !== 0) {
    const why = missing.length > 0 ? `apt-get install ${missing.join(' ')}` : 'run it as root'
    console.log(`kernel laboratory skipped: ${why}`)
    return 0
  }
  if (scenarios.size === 0) {
    console.error(`no scenario is called like that; --list names them\n${USAGE}`)
    return 2
  }
  return judge(scenarios)
}

/** The scenarios by name, in the order of their file names. */
async function loadScenarios(): Promise<Map<string, Scenario>> {
  const folder = new URL('scenarios/', import.meta.url)
  const names = readdirSync(folder)
    .filter((name) => name.endsWith('.js'))
    .map((name) => name.slice(0, -3))
    .filter((name) => positionals.length === 0 || positionals.some((word) => name.includes(word)))
  const loaded = new Map<string, Scenario>()
  for (const name of names.sort()) {
    const { scenario } = (await import(`./scenarios/${name}.js`)) as { readonly scenario: Scenario }
    loaded.set(name, scenario)
  }
  return loaded
}

async function judge(scenarios: ReadonlyMap<string, Scenario>): Promise<number> {
  const began = performance.now()
  const folder = mkdtempSync(join(tmpdir(), 'ipvs-sync-lab-'))
  const boots: Boot[] = []
  const able = [...scenarios].filter(canRun)
  const waiting = [...able].sort(([, a], [, b]) => (b.timeLimit ?? 60) - (a.timeLimit ?? 60))
  const worker = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [name, { title, timeLimit = 60 }] = next
      const done = await boot(name, title, join(folder, name), Number(values.seed), timeLimit)
      boots.push(done)
      report(done)
    }
  }
  await Promise.all(Array.from({ length: Number(values.jobs) }, worker))
  const failed = boots.filter((done) => !passed(done)).length
  console.log(summary(boots, failed, (performance.now() - began) / 1000, Number(values.seed)))
  if (failed > 0 || values.keep) console.log(`kept: ${folder}`)
  else if (existsSync(folder)) rmSync(folder, { recursive: true })
  const skipped = scenarios.size - able.length
  console.log(`${boots.length - failed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
  return failed === 0 ? 0 : 1
}

/** A scenario that needs more than the laboratory does is skipped where that is missing, with a line that says so. */
function canRun([name, { needs = {} }]: readonly [string, Scenario]): boolean {
  const missing = missingOf(needs)
  if (missing.length > 0) console.log(`skipped ${name}: apt-get install ${missing.join(' ')}`)
  return missing.length === 0
}

function passed({ outcome }: Boot): boolean {
  return outcome?.disagreements.length === 0
}

function report(done: Boot): void {
  console.log(`${passed(done) ? 'ok    ' : 'FAILED'} ${done.name}: ${done.title} (${done.seconds.toFixed(1)} s)`)
  for (const note of done.outcome?.notes ?? []) console.log(`       ${note}`)
  for (const line of done.outcome?.disagreements.slice(0, 20) ?? []) console.log(`     ! ${line}`)
  if (done.failure !== undefined) console.log(`     ! ${done.failure.replaceAll('\n', '\n       ')}`)
}
