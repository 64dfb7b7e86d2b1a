import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { COMMAND } from '../harness/command.js'
import type { Lab } from '../harness/lab.js'
import { tryOnKernel, untried, type Verdict } from '../harness/settings.js'
import type { Scenario } from '../harness/scenario.js'

/** Values with more numbers than the variable has: a kernel silently ignores the rest, we refuse them. */
const SURPLUS = new Set(['1 2', '3 50 7'])

export const scenario: Scenario = {
  title: 'the kernel and "sysctl --check" accept and refuse the same values of net.ipv4.vs',
  async run(lab) {
    const verdicts = tryOnKernel(lab.kernel.hz)
    const refused = refusedByUs(lab, verdicts)
    const disagreements = verdicts
      .filter(({ value, accepted }, index) => accepted !== (!refused.has(index) || SURPLUS.has(value)))
      .map(({ name, value, accepted }) => `${name} = "${value}": the kernel ${accepted ? 'accepts' : 'refuses'} it`)
    disagreements.push(...untried().map((name) => `${name}: a variable of this kernel that no trial covers`))
    const names = new Set(verdicts.map(({ name }) => name))
    return Promise.resolve({
      compared: verdicts.length,
      disagreements,
      notes: [
        `${verdicts.length} values of ${names.size} variables, ${verdicts.filter(({ accepted }) => !accepted).length} refused by the kernel`
      ]
    })
  }
}

/** The places of the values that the command refuses; each is a line of one file. */
function refusedByUs(lab: Lab, verdicts: readonly Verdict[]): ReadonlySet<number> {
  const file = join(lab.folder, 'settings.conf')
  writeFileSync(file, verdicts.map(({ name, value }) => `net.ipv4.vs.${name} = ${value}\n`).join(''))
  const words = [COMMAND, 'sysctl', '--check', file, '--hz', String(lab.kernel.hz)]
  const { stdout, status } = spawnSync(process.execPath, words, { encoding: 'utf8' })
  if (status !== 1) throw new Error(`sysctl --check ended with ${status}`)
  const lines = [...stdout.matchAll(/^.*?settings\.conf:(\d+): /gm)].map(([, line]) => Number(line) - 1)
  return new Set(lines)
}
