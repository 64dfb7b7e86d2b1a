import type { Boot } from './boot.js'
import type { Outcome } from './scenario.js'

/** The closing table of a run. */
export function summary(boots: readonly Boot[], failed: number, seconds: number, seed: number): string {
  const total = (count: (outcome: Outcome) => number): number =>
    boots.reduce((sum, { outcome }) => sum + (outcome === undefined ? 0 : count(outcome)), 0)
  const kernels = [...new Set(boots.map(({ kernel }) => kernel ?? 'did not boot'))].join(', ')
  return [
    '',
    `kernel            Linux ${kernels} (user-mode-linux)`,
    `scenarios         ${boots.length}, ${failed} failed`,
    `datagrams         ${total(({ datagrams = 0 }) => datagrams)}`,
    `compared          ${total(({ compared = 0 }) => compared)} connections, decisions and settings`,
    `disagreements     ${total(({ disagreements }) => disagreements.length)}`,
    `seconds           ${seconds.toFixed(0)}, seed ${seed}`
  ].join('\n')
}
