/**
 * Connections of several threads in one table: what a master needs after a change of role.
 *
 * @module
 */

import type { ConnectionTable } from '../../table/connection-table.js'
import type { TimestampMs } from '../../units.js'
import type { TableConnection } from '../../wire/connection.js'
import { rowFromConnection } from '../../wire/row-values.js'
import { createRows } from '../../wire/rows.js'

/** Puts connections of other tables into one. */
export class TableCopier {
  readonly #table: ConnectionTable
  readonly #packets: number
  readonly #rows = createRows(1)

  /**
   * @param table - Where they go.
   * @param packets - Their packet counters: the first number of sync_threshold, as a backup sets it.
   */
  constructor(table: ConnectionTable, packets: number) {
    this.#table = table
    this.#packets = packets
  }

  /**
   * Puts one into the table. A master that came up again can have sent a connection on another channel than before: of two
   * with one key the one that was received later stands.
   */
  put(connection: TableConnection, now: TimestampMs): void {
    rowFromConnection(connection, this.#rows, 0)
    const known = this.#table.findExact(this.#rows, 0)
    if (known !== 0) {
      if (silenceOf(this.#table.connection(known)) <= silenceOf(connection)) return
      this.#table.remove(known)
    }
    const slot = this.#table.add(this.#rows, 0, now)
    if (slot === 0) return
    this.#table.setDeadlineMs(slot, now + connection.expires * 1000)
    this.#table.setSyncid(slot, connection.syncid)
    this.#table.setPackets(slot, this.#packets)
  }
}

/** Seconds since it was last received. */
function silenceOf({ timeout, expires }: TableConnection): number {
  return timeout! - expires
}
