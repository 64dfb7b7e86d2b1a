/**
 * Announces a whole table, slowly enough that the receivers' buffers and our own queues hold it.
 *
 * @module
 */

import { IpvsSyncError } from '../../errors.js'
import type { MasterEngine } from '../../engine/master/master.js'
import type { ConnectionTable } from '../../table/connection-table.js'
import type { Milliseconds } from '../../units.js'
import { FLAG } from '../../wire/constants.js'
import type { Clock } from '../clock.js'

/** How to announce a table. */
export interface AnnounceOptions {
  /** Connections a second, > 0. 20,000 by default: 500 full messages, of which a default receive buffer holds those of 180 ms. */
  readonly rate?: number
  /** Ends it early when aborted. */
  readonly signal?: AbortSignal
}

/** What the announcer works with. */
export interface AnnouncerParts {
  readonly engine: MasterEngine
  readonly clock: Clock
  /** Takes messages out of the engine. */
  readonly settle: () => void
  /** `sync_qlen_max` now. */
  readonly qlenMax: () => number
  /** Whether to go on. */
  readonly active: () => boolean
}

const SLICE: Milliseconds = 10
/** Connections announced between two looks at the queues, which cost: each can close one message at most. */
const PIECE: readonly [least: number, most: number] = [8, 1024]

/**
 * Announces every connection of the engine's table, templates first.
 *
 * @returns How many were put into messages.
 * @throws IpvsSyncError `ERR_CONFIG` for a rate that is not above 0.
 */
export async function announceTable(parts: AnnouncerParts, options: AnnounceOptions = {}): Promise<number> {
  const { rate = 20_000, signal } = options
  if (!(rate > 0)) {
    throw new IpvsSyncError('ERR_CONFIG', `rate is connections a second, above 0, not ${rate}`, { field: 'rate' })
  }
  const slots = new TemplatesFirst(parts.engine.table)
  const begin = parts.clock.now()
  let taken = 0
  let announced = 0
  for (;;) {
    const due = Math.ceil(((parts.clock.now() - begin + SLICE) * rate) / 1000)
    const most = Math.min(Math.max(Math.floor(parts.qlenMax() / 4), PIECE[0]), PIECE[1])
    while (taken < due && hasRoom(parts, most)) {
      const piece = slots.take(Math.min(most, due - taken))
      if (piece.length === 0) return announced
      taken += piece.length
      announced += parts.engine.announce(piece, parts.clock.now())
      parts.settle()
    }
    await new Promise<void>((resolve) => void parts.clock.after(SLICE, resolve))
    if (!parts.active() || signal?.aborted === true) return announced
  }
}

/** With a sync_qlen_max below a piece there is never room for one: then what overflows is lost, as the setting asks. */
function hasRoom({ engine, qlenMax }: AnnouncerParts, piece: number): boolean {
  const limit = qlenMax() - piece
  return limit < 0 || engine.counters().channels.every(({ queued }) => queued <= limit)
}

/** A connection's template should be there before it: there is no order between channels, but within one there is. */
class TemplatesFirst {
  readonly #table: ConnectionTable
  #slots: Iterator<number>
  #templates = true

  constructor(table: ConnectionTable) {
    this.#table = table
    this.#slots = table.slots()
  }

  /** The next slots: fewer than that only at the end. */
  take(count: number): number[] {
    const table = this.#table
    const taken: number[] = []
    while (taken.length < count) {
      const next = this.#slots.next()
      if (next.done !== true) {
        if (((table.flags(next.value) & FLAG.TEMPLATE) !== 0) === this.#templates) taken.push(next.value)
      } else if (this.#templates) {
        this.#templates = false
        this.#slots = table.slots()
      } else break
    }
    return taken
  }
}
