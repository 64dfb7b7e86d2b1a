/**
 * Announces one connection whatever the rules say: for sources that show connections, not packets.
 *
 * @module
 */

import type { MasterEngine } from '../../engine/master/master.js'
import { fillTimeout } from '../../table/table-options.js'
import type { TimestampMs } from '../../units.js'
import type { Connection } from '../../wire/connection.js'
import { rowFromConnection } from '../../wire/row-values.js'
import type { Rows } from '../../wire/rows.js'

/**
 * Brings a connection into the engine's table, or up to date there, and announces it.
 *
 * @param engine - Announces.
 * @param rows - Room for one row, used again and again.
 * @param connection - As it is now.
 * @param now - The time.
 * @returns Whether it was put into a message: not where the table is full or no message can carry it.
 * @throws IpvsSyncError `ERR_ENCODE`, whose `field` names what cannot be understood.
 */
export function announceConnection(
  engine: MasterEngine,
  rows: Rows,
  connection: Connection,
  now: TimestampMs
): boolean {
  rowFromConnection(connection, rows, 0)
  fillTimeout(rows, 0)
  const slot = engine.table.upsert(rows, 0, now)
  return slot !== 0 && engine.announce([slot], now) === 1
}
