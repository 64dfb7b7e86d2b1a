/**
 * The announcement of a whole table by a master, paced so that the receivers' buffers and the master's queues hold it.
 *
 * @module
 */

import type { ConnectionTable } from '../../table/connection-table.js'
import type { Milliseconds, TimestampMs } from '../../units.js'
import { Pacer } from '../full-table/pacer.js'

/** Interval of the pace, and of the test of full queues: a finer timer would cost more than it gains. */
const INTERVAL: Milliseconds = 10
/** Connections announced between two tests of the queues: each can close one message at most. */
const MIN_PIECE = 8
const MAX_PIECE = 1024
/** Slices of the table that are read at once where nothing is to be announced. */
const MAX_SLICES = 16

/** What an announcement needs of its master. */
export interface AnnouncementOutlets {
  /** Announces one connection; returns whether it was put into a message. */
  readonly announce: (slot: number) => boolean
  /** Length of the longest queue. */
  readonly longestQueue: () => number
  /** `sync_qlen_max` now. */
  readonly qlenMax: () => number
}

/** Announces a table: templates first, each connection once. */
export class TableAnnouncement {
  /** Connections that were put into messages so far. */
  announced = 0
  /** Whether it is complete, or was stopped. */
  finished = false
  readonly #table: ConnectionTable
  readonly #outlets: AnnouncementOutlets
  readonly #pacer: Pacer
  #slices: Iterator<readonly number[]>
  #templates = true
  #slice: readonly number[] = []
  #at = 0
  #isBlocked = false

  /**
   * @param table - May change meanwhile.
   * @param outlets - Of its master.
   * @param rate - Connections a second, above 0.
   * @param now - The time.
   */
  constructor(table: ConnectionTable, outlets: AnnouncementOutlets, rate: number, now: TimestampMs) {
    this.#table = table
    this.#outlets = outlets
    this.#pacer = new Pacer(rate, Math.max((rate * INTERVAL) / 1000, 1), now)
    this.#slices = table.walk({ templates: true })
  }

  /** Announces what is due, at most one piece; bounded work. */
  advance(now: TimestampMs): void {
    const { announce, longestQueue, qlenMax } = this.#outlets
    const piece = Math.min(Math.max(Math.floor(qlenMax() / 4), MIN_PIECE), MAX_PIECE)
    // With a sync_qlen_max below a piece there is never room for one: what overflows then is lost, as the setting demands.
    const limit = qlenMax() - piece
    this.#isBlocked = limit >= 0 && longestQueue() > limit
    if (this.#isBlocked) return
    let taken = 0
    let slices = 0
    while (taken < piece && slices < MAX_SLICES && !this.finished && this.#pacer.delay(now) === 0) {
      const slot = this.#next()
      if (slot === 0) slices++
      else {
        taken++
        this.#pacer.spend(1, now)
        if (announce(slot)) this.announced++
      }
    }
  }

  /** Returns when to call {@link TableAnnouncement.advance} next; Infinity at the end. */
  nextTimeout(now: TimestampMs): TimestampMs {
    if (this.finished) return Infinity
    const delay = this.#pacer.delay(now)
    return now + (this.#isBlocked || delay > 0 ? Math.max(delay, INTERVAL) : 0)
  }

  /** Ends it early. */
  stop(): void {
    this.finished = true
  }

  /** Returns the next slot that is still in use; 0 at the end of a slice that has none, and at the end of the table. */
  #next(): number {
    for (; this.#at < this.#slice.length; this.#at++) {
      const slot = this.#slice[this.#at]!
      const isWanted = this.#table.isUsed(slot) && this.#table.isTemplate(slot) === this.#templates
      if (isWanted) return this.#slice[this.#at++]!
    }
    const { value, done } = this.#slices.next() as IteratorResult<readonly number[], undefined>
    if (done !== true) {
      this.#slice = value
      this.#at = 0
    } else if (this.#templates) {
      this.#templates = false
      this.#slices = this.#table.walk({ templates: false })
    } else this.finished = true
    return 0
  }
}
