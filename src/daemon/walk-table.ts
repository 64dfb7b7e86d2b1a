/**
 * The cooperative walk of a table: everything that reads a whole table in a running daemon goes through it.
 *
 * @module
 */

import { setImmediate as turn } from 'node:timers/promises'
import type { ConnectionTable } from '../table/connection-table.js'
import type { TableConnection } from '../wire/connection.js'

/** Entries visited between two turns of the event loop: about a millisecond of work. */
export const WALK_SLICE = 256

/**
 * Yields every connection of a table in portions, and gives the event loop a turn after each, so that a table of millions
 * delays neither timers nor datagrams.
 */
export async function* walkTable(table: ConnectionTable): AsyncGenerator<readonly TableConnection[]> {
  for (const slots of table.walk({ limit: WALK_SLICE })) {
    if (slots.length > 0) yield slots.map((slot) => table.connection(slot))
    await turn()
  }
}
