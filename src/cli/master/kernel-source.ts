/**
 * `--source kernel`: follows the running kernel's table, and announces what is new and what changed.
 *
 * The table shows states, not packets: docs/protocol.md section 8's counting of packets cannot be followed. What is new in
 * a state that is announced, what changed its state, and what sync_refresh_period calls for is announced.
 *
 * @module
 */

import { IpvsSyncError } from '../../errors.js'
import { KernelFollower } from '../../procfs/follower.js'
import { createNotes, explainNotes, readKernelTable, type KernelTableOptions } from '../../procfs/kernel-table.js'
import type { Milliseconds, TimestampMs } from '../../units.js'
import type { Connection } from '../../wire/connection.js'
import type { Tell } from '../service.js'
import { pause, whenThereIsRoom, type Pressed } from './flow.js'

/** Where the connections go. */
export interface ConnectionTaker extends Pressed {
  /** False where no message can carry it. */
  announceConnection(connection: Connection): boolean
}

/** How to follow. */
export interface KernelSourceOptions {
  /** From the beginning of one look to that of the next. */
  readonly interval: Milliseconds
  /** Ends it. */
  readonly signal: AbortSignal
  /** Says what was assumed, and what cannot be sent. */
  readonly tell: Tell
  /** Seconds, asked before each look: it can change while this runs. */
  readonly refreshPeriod: () => number
  /** Never goes back. */
  readonly now: () => TimestampMs
  /** Where the table is. */
  readonly files?: KernelTableOptions
}

/** Connections announced between two looks at the queues, and the pause that keeps the first look from being one burst. */
const CONNECTIONS_A_LOOK = 512
const BREATH: Milliseconds = 10

/**
 * Follows the kernel until the signal is aborted.
 *
 * @throws IpvsSyncError `ERR_NO_IPVS` or `ERR_IO` if the first look fails; later failures are told, and it goes on.
 */
export async function followKernel(master: ConnectionTaker, options: KernelSourceOptions): Promise<void> {
  const follower = new KernelFollower(options.refreshPeriod())
  const told = new Set<string>()
  for (let looks = 0; !options.signal.aborted; looks++) {
    const next = options.now() + options.interval
    try {
      await look(master, follower, options, told)
    } catch (error) {
      if (looks === 0 || !(error instanceof IpvsSyncError)) throw error
      sayOnce(told, options.tell, error.message)
    }
    await pause(Math.max(next - options.now(), 1), options.signal)
  }
}

async function look(
  master: ConnectionTaker,
  follower: KernelFollower,
  options: KernelSourceOptions,
  told: Set<string>
): Promise<void> {
  const notes = createNotes()
  let announced = 0
  follower.refreshPeriod = options.refreshPeriod()
  follower.begin()
  for await (const connection of readKernelTable(options.files, notes)) {
    if (options.signal.aborted) return
    if (follower.see(connection, options.now()) === undefined || !master.announceConnection(connection)) continue
    if (++announced % CONNECTIONS_A_LOOK !== 0) continue
    await pause(BREATH, options.signal)
    await whenThereIsRoom(master, options.signal)
  }
  follower.end()
  for (const note of explainNotes(notes)) sayOnce(told, options.tell, note)
}

/** Numbers change from look to look, and what they are about does not. */
function sayOnce(told: Set<string>, tell: Tell, text: string): void {
  const kind = text.replace(/\d+/g, '')
  if (told.has(kind)) return
  told.add(kind)
  tell(text)
}
