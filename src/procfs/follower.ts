/**
 * What to announce of a kernel's table that is read again and again: it shows states, not packets, so the rules of
 * docs/protocol.md section 8 that count packets cannot be followed.
 *
 * @module
 */

import type { ConnectionTable, SlotRecords } from '../table/connection-table.js'
import type { Seconds, TimestampMs } from '../units.js'
import { FLAG } from '../wire/constants.js'
import { PROTOCOL, stateNumber } from '../wire/protocols.js'
import { ROW, ROW_WORDS, type Rows } from '../wire/rows.js'

/** Why a connection is announced. */
export const FOLLOW_REASON = { NONE: 0, NEW: 1, STATE: 2, REFRESH: 3 } as const

/** A connection's record: the look that showed it last, tenths of a second of its announcement (0: never), its state. */
const RECORD = { LOOK: 0, ANNOUNCED: 1, STATE: 2 } as const
const RECORD_WORDS = 4
const TENTH = 100
const STATES = 16

/** States in which a master announces (`ip_vs_sync_conn_needed`); templates and other protocols announce in every state. */
const isUnannounced = new Uint8Array(256 * STATES)
for (const [protocol, states] of [
  [PROTOCOL.TCP, ['ESTABLISHED', 'FIN_WAIT', 'CLOSE', 'CLOSE_WAIT', 'TIME_WAIT']],
  [PROTOCOL.SCTP, ['ESTABLISHED', 'S-SENT', 'S-RECEIVED', 'S-ACK-SENT', 'CLOSED']]
] as const) {
  isUnannounced.fill(1, protocol * STATES, (protocol + 1) * STATES)
  for (const state of states) isUnannounced[protocol * STATES + stateNumber(protocol, false, state)!] = 0
}

/**
 * Brings a table up to date with a kernel's, and compares each look with the one before. A look is begun and given rows.
 * What it does not show stays: one dump proves no absence, and a connection expires by its own time. No I/O.
 *
 * @example
 * ```ts
 * follower.begin()
 * for await (const rows of readKernelTable()) {
 *   follower.take(rows, now())
 *   for (let i = 0; i < rows.count; i++) if (follower.reasons[i] !== FOLLOW_REASON.NONE) announce(follower.slots[i])
 * }
 * ```
 */
export class KernelFollower {
  /** `sync_refresh_period` in seconds: an unchanged connection is announced again after it; 0 is never. May be changed. */
  refreshPeriod: Seconds
  /** By row of the last `take`: the connection's slot, 0 where the table was full. */
  readonly slots: Int32Array
  /** By row of the last `take`: one of {@link FOLLOW_REASON}. */
  readonly reasons: Uint8Array
  /** Where the connections are kept. */
  readonly table: ConnectionTable
  /** Connections that the current look, or the last one, has shown. */
  size = 0

  readonly #records: SlotRecords
  #look = 0
  #since = 0

  /**
   * @param table - Where the connections are kept.
   * @param refreshPeriod - Seconds.
   * @param capacity - Rows that are taken at once at most.
   */
  constructor(table: ConnectionTable, refreshPeriod: Seconds, capacity = 255) {
    this.table = table
    this.refreshPeriod = refreshPeriod
    this.#records = table.createRecords(RECORD_WORDS)
    this.slots = new Int32Array(capacity)
    this.reasons = new Uint8Array(capacity)
  }

  /** Begins a look at the whole table. */
  begin(): void {
    this.#look++
    this.size = 0
  }

  /**
   * Takes connections that the kernel's table shows: the table is brought up to date, `slots` and `reasons` are filled.
   *
   * @param rows - Completed: see `RowCompleter`.
   * @param now - Never goes back.
   */
  take(rows: Rows, now: TimestampMs): void {
    const { words, count } = rows
    const { table } = this
    const tenths = Math.max(tenthsOf(now), this.#since)
    for (let i = 0; i < count; i++) {
      const slot = table.upsert(rows, i, now)
      this.slots[i] = slot
      if (slot === 0) {
        this.reasons[i] = FOLLOW_REASON.NONE
      } else {
        const row = i * ROW_WORDS
        const record = this.#records.chunk(slot)
        const at = this.#records.base(slot)
        const state = words[row + ROW.STATE]!
        const announced = record[at + RECORD.ANNOUNCED]!
        if (record[at + RECORD.LOOK] !== this.#look) this.size++
        const isTemplate = (words[row + ROW.FLAGS]! & FLAG.TEMPLATE) !== 0
        const isAnnounced =
          isTemplate || isUnannounced[words[row + ROW.PROTOCOL]! * STATES + Math.min(state, STATES - 1)] === 0
        const reason = isAnnounced ? this.#reasonFor(announced, record[at + RECORD.STATE] === state, tenths) : 0
        record[at + RECORD.LOOK] = this.#look
        record[at + RECORD.STATE] = state
        if (reason !== FOLLOW_REASON.NONE) record[at + RECORD.ANNOUNCED] = tenths
        this.reasons[i] = reason
      }
    }
  }

  /** Forgets what was announced: every connection is new to the next look, and to what is left of the current one. */
  forgetAnnouncements(now: TimestampMs): void {
    this.#since = tenthsOf(now) + 1
  }

  /** Whether the current look, or the last one, has shown a connection. */
  isShown(slot: number): boolean {
    return this.#look > 0 && this.#records.get(slot, RECORD.LOOK) === this.#look
  }

  #reasonFor(announced: number, isSameState: boolean, tenths: number): number {
    if (announced === 0 || announced < this.#since) return FOLLOW_REASON.NEW
    if (!isSameState) return FOLLOW_REASON.STATE
    const period = this.refreshPeriod * 10
    return period > 0 && tenths - announced >= period ? FOLLOW_REASON.REFRESH : FOLLOW_REASON.NONE
  }
}

/** Above 0; 32 bits hold 6 years. */
function tenthsOf(now: TimestampMs): number {
  return Math.floor(now / TENTH) + 1
}
