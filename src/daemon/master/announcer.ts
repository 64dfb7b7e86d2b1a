/**
 * Drives the announcement of a whole table.
 *
 * @module
 */

import type { MasterEngine } from '../../engine/master/master.js'
import type { Milliseconds } from '../../units.js'
import type { Clock } from '../clock.js'

/** Options of an announcement. */
export interface AnnounceOptions {
  /** Connections a second, > 0; by default what a receiver with a default buffer takes without loss (about 18,400). */
  readonly rate?: number
  /** Ends it early when aborted. */
  readonly signal?: AbortSignal
}

/** What the announcer needs of its master. */
export interface AnnouncerParts {
  /** Announces. */
  readonly engine: MasterEngine
  /** Its time. */
  readonly clock: Clock
  /** Sends the messages of the engine and arms its timer. */
  readonly settle: () => void
  /** Whether the master is running. */
  readonly active: () => boolean
}

/** Interval at which the end is tested; the engine's own timer keeps the pace. */
const CHECK: Milliseconds = 10

/**
 * Announces every connection of the engine's table, templates first.
 *
 * @returns The number of connections that were put into messages.
 * @throws IpvsSyncError `ERR_CONFIG` for a rate that is not above 0.
 */
export async function announceTable(
  { engine, clock, settle, active }: AnnouncerParts,
  { rate, signal }: AnnounceOptions = {}
): Promise<number> {
  const announcement = engine.announceTable(clock.now(), { rate })
  settle()
  while (!announcement.finished) {
    await new Promise<void>((resolve) => void clock.after(CHECK, resolve))
    if (!active() || signal?.aborted === true) announcement.stop()
  }
  return announcement.announced
}
