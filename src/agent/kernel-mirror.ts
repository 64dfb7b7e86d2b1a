/**
 * Keeps a table in step with the running kernel's: an agent gives away what its own director has.
 *
 * @module
 */

import { IpvsSyncError } from '../errors.js'
import { KernelFollower } from '../procfs/follower.js'
import {
  describeReport,
  readConnectionCount,
  readKernelTable,
  type KernelTableOptions
} from '../procfs/kernel-table.js'
import { LookPlan, type LookVerdict } from '../procfs/look-plan.js'
import type { ConnectionTable } from '../table/connection-table.js'
import type { Milliseconds } from '../units.js'
import { FLAG } from '../wire/constants.js'
import type { Clock } from '../daemon/clock.js'

/** Connections looked up between two turns of the event loop: a few milliseconds' worth. */
const LOOKED_UP_AT_ONCE = 10_000
/** What has less time left may be gone there, and not yet here. */
const LEAST_LEFT: Milliseconds = 10_000

/** What it works with. */
export interface KernelMirrorParts {
  readonly table: ConnectionTable
  readonly clock: Clock
  /** Where the kernel's table is, for a test. */
  readonly files: KernelTableOptions
  /** Maximum duration of one read of the table. */
  readonly limit: Milliseconds
  /** A look begins. */
  readonly onLook: (follower: KernelFollower) => void
  /** The follower has taken rows: `slots` and `reasons` tell what became of them. */
  readonly onRows: (follower: KernelFollower, count: number) => Promise<void>
}

/** Looks at the kernel's table again and again, on request. */
export class KernelMirror {
  readonly #parts: KernelMirrorParts
  #looking: Promise<number> | undefined
  /** Which connections the kernel's table has shown, and what was announced of them. */
  readonly follower: KernelFollower
  /** When the table may be read again, and how long the last read took. */
  readonly plan = new LookPlan(0)
  /** Connections in the kernel's table at the last read. */
  connections = 0
  /** What was assumed and omitted at the last look, a sentence each. */
  notes: string[] = []

  /** @param parts - What it works with. */
  constructor(parts: KernelMirrorParts) {
    this.#parts = parts
    this.follower = new KernelFollower(parts.table, 0)
  }

  /**
   * Brings the table up to date; a look that is under way is waited for.
   *
   * @returns How many connections the kernel has.
   * @throws IpvsSyncError `ERR_NO_IPVS` or `ERR_IO`.
   */
  look(): Promise<number> {
    this.#looking ??= this.#look().finally(() => (this.#looking = undefined))
    return this.#looking
  }

  /**
   * Connections of the table that the last look did not show: by key, not by their number.
   *
   * @param unsure - Whether connections without a client port that are no templates count: the kernel's table does not tell
   * them from templates, so they are not found there.
   * @returns Their slots. Left out are those that are almost over.
   */
  async absent(unsure: boolean): Promise<number[]> {
    const { table, clock } = this.#parts
    const absent: number[] = []
    let looked = 0
    for (const slot of table.slots()) {
      if (!this.follower.isShown(slot) && this.#isExpected(slot, unsure, clock.now())) absent.push(slot)
      if (++looked % LOOKED_UP_AT_ONCE === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    return absent
  }

  #isExpected(slot: number, unsure: boolean, now: number): boolean {
    const { table } = this.#parts
    const kind = table.flags(slot) & (FLAG.TEMPLATE | FLAG.NO_CPORT)
    return (unsure || kind !== FLAG.NO_CPORT) && table.deadlineMs(slot) - now >= LEAST_LEFT
  }

  async #look(): Promise<number> {
    let verdict: LookVerdict = 'again'
    while (verdict === 'again') verdict = await this.#read()
    return this.follower.size
  }

  /** Reads the table once. Time in which the announcing holds the rows back does not count as reading. */
  async #read(): Promise<LookVerdict> {
    const { files, limit, clock, onLook, onRows } = this.#parts
    const { follower, plan } = this
    let begin = clock.now()
    try {
      const before = await readConnectionCount(files.status)
      const reading = readKernelTable(files)
      follower.begin()
      onLook(follower)
      for await (const rows of reading) {
        const taken = clock.now()
        if (taken - begin > limit)
          throw new IpvsSyncError('ERR_IO', `kernel table: expected a read of at most ${limit / 1000} s, got more`)
        follower.take(rows, taken)
        await onRows(follower, rows.count)
        begin += clock.now() - taken
      }
      const after = await readConnectionCount(files.status)
      this.connections = follower.size
      const verdict = plan.ended({ begin, end: clock.now(), lines: reading.lines, before, after })
      this.notes = describeReport(reading.report)
      if (verdict === 'incomplete')
        this.notes.push(
          `the kernel's table showed ${reading.lines} of ${Math.min(before!, after!)} connections, four times`
        )
      return verdict
    } catch (error) {
      plan.failed(begin, clock.now())
      throw error
    }
  }
}

/** Whether an error says that this kernel has no IPVS, or shows none of it here. */
export function isWithoutIpvs(error: unknown): boolean {
  return error instanceof IpvsSyncError && error.code === 'ERR_NO_IPVS'
}
