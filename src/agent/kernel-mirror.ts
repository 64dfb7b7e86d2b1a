/**
 * Keeps a table in step with the running kernel's: an agent gives away what its own director has.
 *
 * @module
 */

import { IpvsSyncError } from '../errors.js'
import { createNotes, explainNotes, readKernelTable, type KernelTableOptions } from '../procfs/kernel-table.js'
import type { ConnectionTable } from '../table/connection-table.js'
import type { Milliseconds } from '../units.js'
import type { Connection } from '../wire/connection.js'
import { FLAG } from '../wire/constants.js'
import { rowFromConnection } from '../wire/row-values.js'
import { createRows } from '../wire/rows.js'
import type { Clock } from '../daemon/clock.js'

/** Connections taken between two turns of the event loop, and those that are only looked up: a few milliseconds' worth. */
const TAKEN_AT_ONCE = 250
const LOOKED_UP_AT_ONCE = 10_000
/** What has less time left may be gone there, and not yet here. */
const LEAST_LEFT: Milliseconds = 10_000

/** What it works with. */
export interface KernelMirrorParts {
  readonly table: ConnectionTable
  readonly clock: Clock
  /** Where the kernel's table is, for a test. */
  readonly files: KernelTableOptions
  /** Hears of each connection that a look shows. */
  readonly onConnection: (connection: Connection) => Promise<void>
  /** A look begins; a look was whole. */
  readonly onLook: (phase: 'begin' | 'end') => void
}

/** Looks at the kernel's table again and again, when it is told to. */
export class KernelMirror {
  readonly #parts: KernelMirrorParts
  readonly #rows = createRows(1)
  #shown = new Set<number>()
  #looking: Promise<number> | undefined
  /** What was assumed and left out at the last look, a sentence each. */
  notes: readonly string[] = []

  /** @param parts - What it works with. */
  constructor(parts: KernelMirrorParts) {
    this.#parts = parts
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
      if (!this.#shown.has(slot) && this.#isExpected(slot, unsure, clock.now())) absent.push(slot)
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
    const { files, onConnection, onLook } = this.#parts
    const notes = createNotes()
    const seen = new Set<number>()
    let found = 0
    onLook('begin')
    for await (const connection of readKernelTable(files, notes)) {
      const slot = this.#take(connection)
      if (slot !== 0) seen.add(slot)
      await onConnection(connection)
      if (++found % TAKEN_AT_ONCE === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    this.#forget(seen)
    onLook('end')
    this.notes = explainNotes(notes)
    return found
  }

  /** A connection that goes to another real server now is another connection. */
  #take(connection: Connection): number {
    const { table, clock } = this.#parts
    rowFromConnection(connection, this.#rows, 0)
    return table.upsert(this.#rows, 0, clock.now())
  }

  /** What the kernel no longer has goes, if it came from the kernel alone: what was heard has a time of its own. */
  #forget(seen: Set<number>): void {
    const { table } = this.#parts
    for (const slot of this.#shown) {
      if (!seen.has(slot) && table.isUsed(slot) && (table.flags(slot) & FLAG.SYNC) === 0) table.remove(slot)
    }
    this.#shown = seen
  }
}

/** Whether an error says that this kernel has no IPVS, or shows none of it here. */
export function isWithoutIpvs(error: unknown): boolean {
  return error instanceof IpvsSyncError && error.code === 'ERR_NO_IPVS'
}
