import type { Lab } from './lab.js'

/** A table of a page. */
export interface Page {
  readonly path: string
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

/** Result of a scenario. Numbers are added up over all scenarios for the summary. */
export interface Outcome {
  /** Sync datagrams that a kernel or one of our engines had to judge. */
  readonly datagrams?: number
  /** Connections, records or settings of which both sides' view was compared. */
  readonly compared?: number
  /** Differences between the two sides, a line each. Empty is a pass. */
  readonly disagreements: readonly string[]
  /** Lines for the reader of the run: tables, counts. */
  readonly notes?: readonly string[]
  /** A table for a page of the documentation, which `--record` writes; rows with the same first cell replace earlier ones. */
  readonly page?: Page
}

/**
 * One boot of the kernel with one question. A file of `scenarios/` exports one as `scenario`; that is all it takes.
 *
 * @example
 * ```ts
 * export const scenario: Scenario = {
 *   title: 'a message without connections changes nothing',
 *   async run(lab) {
 *     lab.backup('backup', { syncid: 7 })
 *     await lab.announce(Uint8Array.of(0, 7, 0, 8, 0, 1, 0, 0))
 *     const table = lab.table('backup')
 *     return { datagrams: 1, compared: 1, disagreements: table.map((row) => `unexpected: ${row.key}`) }
 *   }
 * }
 * ```
 */
export interface Scenario {
  /** The claim, in words. */
  readonly title: string
  /** Seconds of the host's clock until it counts as hung. 60 unless given. */
  readonly timeLimit?: number
  /** Programs that it needs besides, and the Debian packages that have them. Where one is missing it is skipped. */
  readonly needs?: Readonly<Record<string, string>>
  /** Whether it runs only where it is named: it takes much longer than the others. */
  readonly isLong?: true
  /** Why it cannot run on an emulated processor, if it cannot: a time limit of a program that is not ours to change. */
  readonly needsSpeed?: string
  /** Runs inside the guest, as root. What it throws is a failure. */
  readonly run: (lab: Lab) => Promise<Outcome>
}
