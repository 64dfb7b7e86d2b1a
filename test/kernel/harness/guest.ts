// Runs inside the guest: one scenario, whose outcome goes to a file.
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { askKernel, type KernelFacts } from './kernel-facts.js'
import { Lab } from './lab.js'
import type { Scenario } from './scenario.js'

const folder = process.env['LAB_FOLDER'] ?? '.'
const seed = Number(process.env['LAB_SEED'] ?? '1')
const lab = new Lab(folder, seed, Number(process.env['LAB_SCALE'] ?? '1'))

// Exits at once whatever sockets are open: the next line of the init script powers the guest off.
process.exit(await run(process.argv[2] ?? ''))

async function run(name: string): Promise<number> {
  let facts: KernelFacts | undefined
  try {
    const { scenario } = (await import(`../scenarios/${name}.js`)) as { readonly scenario: Scenario }
    facts = await askKernel(lab)
    lab.kernel = facts
    write({ facts, outcome: await scenario.run(lab) })
    return 0
  } catch (error) {
    write({ facts, failure: error instanceof Error ? (error.stack ?? error.message) : String(error) })
    return 1
  } finally {
    await lab.close()
  }
}

/** Renamed into place: the host never reads half of it. */
function write(result: object): void {
  writeFileSync(join(folder, 'result.part'), JSON.stringify(result, undefined, 1))
  renameSync(join(folder, 'result.part'), join(folder, 'result.json'))
}
