/**
 * Announces one connection whatever the rules say: for sources that show connections, not packets.
 *
 * @module
 */

import type { MasterEngine } from '../../engine/master/master.js'
import type { TimestampMs } from '../../units.js'
import type { Connection } from '../../wire/connection.js'
import { FLAG } from '../../wire/constants.js'
import { stateTimeout } from '../../wire/protocols.js'
import { rowFromConnection } from '../../wire/row-values.js'
import { ROW, type Rows } from '../../wire/rows.js'

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
  fillTimeout(rows)
  const slot = place(engine, rows, now)
  return slot !== 0 && engine.announce([slot], now) === 1
}

/** A timeout that is 0 or not given is the state's own. */
function fillTimeout({ words }: Rows): void {
  if (words[ROW.TIMEOUT] !== 0) return
  const template = (words[ROW.FLAGS]! & FLAG.TEMPLATE) !== 0
  words[ROW.TIMEOUT] = stateTimeout(words[ROW.PROTOCOL]!, template, words[ROW.STATE]!)
}

/** A connection with another destination is another connection. */
function place(engine: MasterEngine, rows: Rows, now: TimestampMs): number {
  const { table } = engine
  const found = table.find(rows, 0)
  if (found !== 0 && table.update(found, rows, 0, now)) return found
  if (found !== 0) {
    engine.forget(found)
    table.remove(found)
  }
  return table.add(rows, 0, now)
}
