import { IpvsSyncError, parseSysctls } from 'ipvs-sync'
import { tryOnKernel } from '../harness/settings.js'
import type { Scenario } from '../harness/scenario.js'

/** Values with more numbers than the variable has: a kernel ignores the rest without a word, we say that it is wrong. */
const SURPLUS = new Set(['1 2', '3 50 7'])

export const scenario: Scenario = {
  title: 'what the kernel accepts and refuses in net.ipv4.vs is what we accept and refuse',
  async run() {
    const verdicts = tryOnKernel()
    const disagreements = verdicts
      .filter(({ name, value, accepted }) => accepted !== (weAccept(name, value) || SURPLUS.has(value)))
      .map(({ name, value, accepted }) => `${name} = "${value}": the kernel ${accepted ? 'accepts' : 'refuses'} it`)
    const refused = verdicts.filter(({ accepted }) => !accepted).length
    return {
      compared: verdicts.length,
      disagreements,
      notes: [`${verdicts.length} values, ${refused} of them refused by both`]
    }
  }
}

function weAccept(name: string, value: string): boolean {
  try {
    parseSysctls(`net.ipv4.vs.${name} = ${value}`)
    return true
  } catch (error) {
    if (error instanceof IpvsSyncError) return false
    throw error
  }
}
