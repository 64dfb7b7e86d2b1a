/**
 * `--source kernel`: follows the running kernel's table, and announces what is new and what changed.
 *
 * The table shows states, not packets: docs/protocol.md section 8's counting of packets cannot be followed. What is new in
 * a state that is announced, what changed its state, and what sync_refresh_period calls for is announced.
 *
 * @module
 */

import { setImmediate } from 'node:timers/promises'
import { FOLLOW_REASON, KernelFollower } from '../../procfs/follower.js'
import { LookPlan, type LookVerdict } from '../../procfs/look-plan.js'
import {
  describeReport,
  readConnectionCount,
  readKernelTable,
  type KernelTableOptions
} from '../../procfs/kernel-table.js'
import { ConnectionTable } from '../../table/connection-table.js'
import type { Milliseconds, TimestampMs } from '../../units.js'
import type { Connection } from '../../wire/connection.js'
import { explain } from '../errors.js'
import type { Tell } from '../service.js'
import { pause, whenThereIsRoom, type Pressed } from './flow.js'

/** Where the connections go. */
export interface ConnectionTaker extends Pressed {
  /** False where no message can carry it. */
  announce(connection: Connection): boolean
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
  /** Limit of the connections that are followed; more are not announced. */
  readonly maxConnections?: number
}

/** Pause behind the rows of a batch that had to be announced (at most 255): keeps the first look from being one burst. */
const BREATH: Milliseconds = 5
const EXPIRIES_AT_ONCE = 4096

/**
 * Follows the kernel until the signal is aborted.
 *
 * @throws IpvsSyncError `ERR_NO_IPVS` or `ERR_IO` if the first look fails; later failures are reported.
 */
export async function followKernel(master: ConnectionTaker, options: KernelSourceOptions): Promise<void> {
  const { interval, maxConnections, signal, now } = options
  const table = new ConnectionTable({ ...(maxConnections !== undefined && { maxConnections }) })
  const follower = new KernelFollower(table, options.refreshPeriod())
  const plan = new LookPlan(interval)
  const told = new Set<string>()
  for (let looks = 0; !signal.aborted; looks++) {
    const begin = now()
    try {
      await look(master, follower, plan, options, told)
    } catch (error) {
      if (looks === 0) throw error
      plan.failed(begin, now())
      sayOnce(told, options.tell, explain(error))
    }
    await pause(Math.max(plan.nextLook - now(), 1), signal)
  }
}

/** Reads the table, again where the kernel counts more connections than it showed. */
async function look(
  master: ConnectionTaker,
  follower: KernelFollower,
  plan: LookPlan,
  options: KernelSourceOptions,
  told: Set<string>
): Promise<void> {
  const { files, now, tell, signal } = options
  while (!follower.table.advance(now(), EXPIRIES_AT_ONCE, () => false)) await setImmediate()
  follower.refreshPeriod = options.refreshPeriod()
  for (let verdict: LookVerdict = 'again'; verdict === 'again' && !signal.aborted;) {
    const begin = now()
    const before = await readConnectionCount(files?.status)
    const reading = readKernelTable(files)
    follower.begin()
    for await (const rows of reading) {
      follower.take(rows, now())
      if (!(await announce(master, follower, rows.count, signal))) return
    }
    const after = await readConnectionCount(files?.status)
    verdict = plan.ended({ begin, end: now(), lines: reading.lines, before, after })
    for (const note of describeReport(reading.report)) sayOnce(told, tell, note)
    if (verdict === 'incomplete')
      sayOnce(told, tell, `the kernel showed ${reading.lines} of ${Math.min(before!, after!)} connections, four times`)
  }
}

/** Announces what the last rows show to be new, changed or due; false where it is to end. */
async function announce(
  master: ConnectionTaker,
  { slots, reasons, table }: KernelFollower,
  count: number,
  signal: AbortSignal
): Promise<boolean> {
  let announced = 0
  for (let i = 0; i < count && !signal.aborted; i++) {
    if (reasons[i] === FOLLOW_REASON.NONE || !table.isUsed(slots[i]!)) continue
    if (master.announce(table.connection(slots[i]!))) announced++
  }
  if (announced > 0) await pause(BREATH, signal)
  if (announced > 0) await whenThereIsRoom(master, signal)
  return !signal.aborted
}

/** Numbers change from look to look, and what they are about does not. */
function sayOnce(told: Set<string>, tell: Tell, text: string): void {
  const kind = text.replace(/\d+/g, '')
  if (told.has(kind)) return
  told.add(kind)
  tell(text)
}
