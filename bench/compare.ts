/**
 * Runs measures side by side: each its own process that prints one number, all measures of a case once a round, every
 * second round in reverse order, so that a machine that drifts drifts for all of them. Ratios are taken within a round.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const execute = promisify(execFile)

/** One thing that is timed: a command that prints a number on its last line. */
export interface Measure {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
}

/** What a round gave, by measure. */
export type Round = ReadonlyMap<string, number>

/** Runs every measure once a round. A measure that fails ends the run with its output. */
export async function compare(measures: readonly Measure[], rounds: number): Promise<Round[]> {
  const results: Round[] = []
  for (let round = 0; round < rounds; round++) {
    const found = new Map<string, number>()
    for (const measure of round % 2 === 0 ? measures : [...measures].reverse())
      found.set(measure.name, await run(measure))
    results.push(found)
  }
  return results
}

async function run({ name, command, args }: Measure): Promise<number> {
  const { stdout } = await execute(command, [...args], { maxBuffer: 1 << 28, env: { ...process.env, NO_COLOR: '1' } })
  const value = Number(stdout.trim().split('\n').at(-1))
  if (!Number.isFinite(value))
    throw new Error(`${name}: expected a number on the last line, got: ${stdout.slice(-200)}`)
  return value
}

/** The median of numbers; of an even count, the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** The median over rounds of `a / b`. */
export function ratio(rounds: readonly Round[], a: string, b: string): number {
  return median(rounds.map((round) => round.get(a)! / round.get(b)!))
}
