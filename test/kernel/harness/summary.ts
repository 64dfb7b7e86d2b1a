import type { Boot } from './boot.js'
import type { GuestKernel } from './guest-kernel.js'
import { describeFacts } from './kernel-facts.js'
import type { Outcome } from './scenario.js'

/** The closing table of a run. */
export function summary(kernel: GuestKernel, boots: readonly Boot[], seconds: number, seed: number): string {
  const total = (count: (outcome: Outcome) => number): number =>
    boots.reduce((sum, { outcome }) => sum + (outcome === undefined ? 0 : count(outcome)), 0)
  const facts = boots.find((done) => done.facts !== undefined)?.facts
  return [
    '',
    `kernel            Linux ${facts?.release ?? '(no guest answered)'}, ${kernel.title}`,
    ...(facts === undefined ? [] : [`generation        ${describeFacts(facts)}`]),
    `scenarios         ${boots.length}, ${boots.filter((done) => !passed(done)).length} failed`,
    `datagrams         ${total(({ datagrams = 0 }) => datagrams)}`,
    `compared          ${total(({ compared = 0 }) => compared)} connections, decisions and settings`,
    `disagreements     ${total(({ disagreements }) => disagreements.length)}`,
    `seconds           ${seconds.toFixed(0)}, seed ${seed}`
  ].join('\n')
}

/** Whether a scenario ended without a disagreement. */
export function passed({ outcome }: Boot): boolean {
  return outcome?.disagreements.length === 0
}
