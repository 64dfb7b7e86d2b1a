/**
 * A table as the messages that give it to another director.
 *
 * @module
 */

import { BulkMessages, type BulkOptions } from '../engine/bulk-messages.js'
import type { Datagram } from '../engine/send-queue.js'
import type { ConnectionTable } from '../table/connection-table.js'

/** Connections taken between two turns of the event loop. */
const PORTION = 2000

/**
 * Writes the messages, templates first, with each connection's full timeout.
 *
 * @param table - May change meanwhile.
 * @param options - Of the messages.
 * @param signal - Stops it early.
 */
export async function tableMessages(
  table: ConnectionTable,
  options: BulkOptions,
  signal: AbortSignal
): Promise<readonly Datagram[]> {
  const bulk = new BulkMessages(options)
  let taken = 0
  for (const connection of table) {
    if (signal.aborted) return []
    bulk.add(connection)
    if (++taken % PORTION === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  return bulk.finish()
}
