/**
 * What a master needs of the table in which its connections live; `ConnectionTable` has it.
 *
 * @module
 */

import type { EntryDescription } from '../../table/entry-fields.js'
import type { Milliseconds, TimestampMs } from '../../units.js'
import type { TableConnection } from '../../wire/connection.js'
import { FLAG } from '../../wire/constants.js'
import type { Rows } from '../../wire/rows.js'

/** Connections by slot, a number above 0 that is good until the connection is removed. */
export interface MasterTable {
  /** The slot of the row's key; 0 if it is not there. */
  find(rows: Rows, index: number): number
  /** Adds the row as it is; returns its slot, or 0 if the table is full. */
  add(rows: Rows, index: number, now: TimestampMs): number
  /**
   * Brings a connection up to date with a row of the same key: flags, state, timeout (restarted), parameters. Its origin
   * and counters stay.
   *
   * @returns false, and nothing changed, if the row names another destination.
   */
  update(slot: number, rows: Rows, index: number, now: TimestampMs): boolean
  /** Removes a connection. */
  remove(slot: number): void
  /** Copies a connection to a row. */
  readRow(slot: number, rows: Rows, index: number): void
  /** A connection as a value. */
  connection(slot: number): TableConnection
  /** Every slot; tolerates changes. */
  slots(): Iterable<number>
  /** Sets the full timeout, and lets it run from now on. */
  restart(slot: number, timeoutMs: Milliseconds, now: TimestampMs): void
  /** 4 or 6. */
  family(slot: number): number
  /** All flags, 32 bits. */
  flags(slot: number): number
  /** The full timeout. */
  timeoutMs(slot: number): Milliseconds
  /** The counter of packets from the client. */
  packets(slot: number): number
  /** Changes the counter. */
  setPackets(slot: number, packets: number): void
  /** Reads what a decision to announce reads, in one go. */
  describe(slot: number, into: EntryDescription): void
  /** A packet has come: sets the counter, the state and the full timeout, which runs from now on. */
  takePacket(slot: number, packets: number, state: number, timeoutMs: Milliseconds, now: TimestampMs): void
  /** Keeps what a decision to announce leaves behind. */
  setSynced(slot: number, state: number, endTimeMs: TimestampMs, retriesUsed: number): void
  /**
   * Hands every connection whose time is over to `onExpired`, at most `budget` of them, and removes it unless
   * that returns true (it has restarted it).
   */
  advance(now: TimestampMs, budget: number, onExpired: (slot: number) => boolean): void
  /** When {@link MasterTable.advance} is next worth a call; Infinity if never. */
  nextDeadline(): TimestampMs
}

/** Slots of a table: templates, then what stands under them. */
export function* templatesFirst(table: MasterTable): Generator<number> {
  for (const slot of table.slots()) if (table.flags(slot) & FLAG.TEMPLATE) yield slot
  for (const slot of table.slots()) if (!(table.flags(slot) & FLAG.TEMPLATE)) yield slot
}
