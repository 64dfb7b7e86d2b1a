// npm run test:kernel: boots a Linux kernel for each scenario and compares it with the package. See docs/conformance.md.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { boot, type Boot } from './harness/boot.js'
import { findKernel, type GuestKernel } from './harness/guest-kernel.js'
import { missingOf } from './harness/packages.js'
import { recordRun } from './harness/recorded-runs.js'
import type { Scenario } from './harness/scenario.js'
import { passed, summary } from './harness/summary.js'

const USAGE = `usage: npm run test:kernel -- [OPTION…] [SCENARIO…]
  SCENARIO          runs those whose name contains the word; by default all but failover-figures, which takes half an hour
  --kernel PACKAGE  Debian package or metapackage of the kernel: linux-image-amd64, linux-image-6.12-amd64…;
                    it is downloaded, not installed, and run under QEMU; user-mode-linux by default
  --skip SCENARIO   leaves out a scenario by its whole name; can be repeated
  --list            lists the scenarios
  --keep            keeps the guests' output, which is otherwise kept only if something fails
  --seed N          seed of the generators; 1 by default
  --jobs N          guests at a time; 2 by default
  --scale N         length of the random scenarios, a factor; 1 by default
  --only PATTERN    runs the failures of failover-figures that match a regular expression
  --record          adds the result to test/kernel/runs.json and to the tables of docs/conformance.md and docs/failover.md`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kernel: { type: 'string', default: 'user-mode-linux' },
    skip: { type: 'string', multiple: true, default: [] },
    list: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
    record: { type: 'boolean', default: false },
    only: { type: 'string' },
    seed: { type: 'string', default: '1' },
    jobs: { type: 'string', default: '2' },
    scale: { type: 'string', default: '1' }
  }
})
// Guests are process groups of their own: they end by the exit handler.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
process.exitCode = await main()

async function main(): Promise<number> {
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  if (![values.seed, values.jobs, values.scale].every((text) => /^[1-9]\d{0,8}$/.test(text))) {
    console.error(`--seed, --jobs, --scale: expected an integer of at least 1\n${USAGE}`)
    return 2
  }
  const scenarios = await loadScenarios()
  if (values.list) {
    for (const [name, { title }] of scenarios) console.log(`${name.padEnd(28)} ${title}`)
    return 0
  }
  if (scenarios.size === 0) {
    console.error(`no scenario has such a name; --list prints them\n${USAGE}`)
    return 2
  }
  if (process.getuid?.() !== 0) return skip('run it as root')
  const found = findKernel(values.kernel)
  return 'skipped' in found ? skip(found.skipped) : judge(found.kernel, scenarios)
}

function skip(why: string): number {
  console.log(`kernel laboratory skipped: ${why}`)
  return 0
}

/** The scenarios by name, in the order of their file names. */
async function loadScenarios(): Promise<Map<string, Scenario>> {
  const folder = new URL('scenarios/', import.meta.url)
  const names = readdirSync(folder)
    .filter((name) => name.endsWith('.js'))
    .map((name) => name.slice(0, -3))
    .filter((name) => positionals.length === 0 || positionals.some((word) => name.includes(word)))
    .filter((name) => !values.skip.includes(name))
  const loaded = new Map<string, Scenario>()
  for (const name of names.sort()) {
    const { scenario } = (await import(`./scenarios/${name}.js`)) as { readonly scenario: Scenario }
    if (scenario.isLong !== true || positionals.includes(name) || values.list) loaded.set(name, scenario)
  }
  return loaded
}

async function judge(kernel: GuestKernel, scenarios: ReadonlyMap<string, Scenario>): Promise<number> {
  const began = performance.now()
  const folder = mkdtempSync(join(tmpdir(), 'ipvs-sync-lab-'))
  const boots: Boot[] = []
  const able = [...scenarios].filter((one) => canRun(kernel, one))
  const waiting = [...able].sort(([, a], [, b]) => (b.timeLimit ?? 60) - (a.timeLimit ?? 60))
  const worker = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [name, { title, timeLimit = 60 }] = next
      const [seed, scale] = [Number(values.seed), Number(values.scale)]
      const job = { name, title, folder: join(folder, name), seed, scale, timeLimit: timeLimit * scale }
      const part = values.only === undefined ? {} : { only: values.only.replaceAll("'", '') }
      const done = await boot(kernel, { ...job, ...part })
      boots.push(done)
      report(done)
    }
  }
  await Promise.all(Array.from({ length: Number(values.jobs) }, worker))
  if (values.record) recordRun(kernel, boots)
  if (values.skip.length > 0) console.log(`left out: ${values.skip.join(', ')}`)
  console.log(summary(kernel, boots, (performance.now() - began) / 1000, Number(values.seed)))
  const failed = boots.filter((done) => !passed(done)).length
  if (failed > 0 || values.keep) console.log(`kept: ${folder}`)
  else rmSync(folder, { recursive: true })
  const skipped = scenarios.size - able.length
  console.log(`${boots.length - failed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
  return failed === 0 ? 0 : 1
}

/** A scenario that needs more than the laboratory does is skipped where that is missing, with a line that says so. */
function canRun({ slowness }: GuestKernel, [name, { needs = {}, needsSpeed }]: readonly [string, Scenario]): boolean {
  if (slowness > 1 && needsSpeed !== undefined) {
    console.log(`skipped ${name}: ${needsSpeed}`)
    return false
  }
  const missing = missingOf(needs)
  if (missing.length > 0) console.log(`skipped ${name}: apt-get install ${missing.join(' ')}`)
  return missing.length === 0
}

function report(done: Boot): void {
  console.log(`${passed(done) ? 'ok    ' : 'FAILED'} ${done.name}: ${done.title} (${done.seconds.toFixed(1)} s)`)
  for (const note of done.outcome?.notes ?? []) console.log(`       ${note}`)
  for (const line of done.outcome?.disagreements.slice(0, 20) ?? []) console.log(`     ! ${line}`)
  if (done.failure !== undefined) console.log(`     ! ${done.failure.replaceAll('\n', '\n       ')}`)
}
