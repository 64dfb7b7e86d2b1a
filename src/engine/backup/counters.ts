/**
 * Counters of a backup. A kernel drops silently; here every datagram and connection is counted.
 *
 * @module
 */

import { MAX_CHANNELS } from '../../wire/constants.js'
import { PROBLEMS } from '../../wire/problems.js'

/** Reasons to drop a datagram besides those of {@link PROBLEMS}. */
export const DROP = { NOT_ACCEPTED: 0, OTHER_SYNCID: 1, CLOSED: 2 } as const
const DROP_NAMES = ['NOT_ACCEPTED', 'OTHER_SYNCID', 'CLOSED'] as const

/**
 * Reasons to skip a connection besides those of {@link PROBLEMS}: the table is full, or it is INACTIVE and has another
 * destination than the connection in the table.
 */
export const SKIP = { TABLE_FULL: 128, INACTIVE_OTHER_DESTINATION: 129 } as const

const NAMES = new Map<number, string>([
  ...Object.entries(PROBLEMS).map(([code, { number }]) => [number, code] as const),
  ...Object.entries(SKIP).map(([code, number]) => [number, code] as const)
])
const CODES = 130

/** Counters of a backup: they only grow. */
export interface BackupCounters {
  /** Datagrams of accepted sources by channel, then by version: `[[version 0, version 1], …]`. */
  readonly received: readonly (readonly [number, number])[]
  /** Messages dropped, whole or from some point on, by reason: codes of {@link PROBLEMS}, `NOT_ACCEPTED`, `OTHER_SYNCID`, `CLOSED`. */
  readonly dropped: Readonly<Record<string, number>>
  /** Connections skipped, by reason: codes of {@link PROBLEMS}, `TABLE_FULL`, `INACTIVE_OTHER_DESTINATION`. */
  readonly skipped: Readonly<Record<string, number>>
  /** Messages with a warning, which were applied all the same, by code. */
  readonly warnings: Readonly<Record<string, number>>
  /** created + updated + replaced, and entries that an old receiver creates and never hashes. */
  readonly applied: number
  /** Connections that were added. */
  readonly created: number
  /** Connections that were brought up to date. */
  readonly updated: number
  /** Connections that replaced one with another destination. */
  readonly replaced: number
  /** Connections that expired. */
  readonly expired: number
  /** Events that did not fit into the event queue. */
  readonly eventsLost: number
}

/** Counts in typed arrays, so that counting makes no object. */
export class BackupTally {
  /** By problem or {@link SKIP} number. */
  readonly byCode = new Float64Array(CODES)
  /** By {@link DROP}. */
  readonly drops = new Float64Array(DROP_NAMES.length)
  /** Connections applied without an entry. */
  unseen = 0
  created = 0
  updated = 0
  replaced = 0
  expired = 0
  readonly #received = new Float64Array(2 * MAX_CHANNELS)
  #channels = 0

  /** Counts a datagram of a channel, 0…63. */
  receive(channel: number, version: 0 | 1): void {
    if (channel >= this.#channels) this.#channels = channel + 1
    this.#received[2 * channel + version]!++
  }

  /** Returns a copy of the counters. */
  report(eventsLost: number): BackupCounters {
    const { created, updated, replaced, expired } = this
    const drops: Record<string, number> = {}
    DROP_NAMES.forEach((name, i) => {
      if (this.drops[i] !== 0) drops[name] = this.drops[i]!
    })
    return {
      received: Array.from({ length: this.#channels }, (_, channel) => [
        this.#received[2 * channel]!,
        this.#received[2 * channel + 1]!
      ]),
      dropped: { ...drops, ...this.#named(1, 32) },
      skipped: { ...this.#named(32, 64), ...this.#named(128, CODES) },
      warnings: this.#named(64, 128),
      applied: created + updated + replaced + this.unseen,
      created,
      updated,
      replaced,
      expired,
      eventsLost
    }
  }

  /** Returns the counts of the numbers from `low` to below `high`; zero counts are omitted. */
  #named(low: number, high: number): Record<string, number> {
    const counted: Record<string, number> = {}
    for (let code = low; code < high; code++)
      if (this.byCode[code] !== 0) counted[NAMES.get(code)!] = this.byCode[code]!
    return counted
  }
}
