/**
 * Connections of a packed store, as `agent --store` writes it.
 *
 * @module
 */

import { crc32 } from 'node:zlib'
import { IpvsSyncError } from '../../errors.js'
import { ConnectionTable } from '../../table/connection-table.js'
import { PackedSnapshotLoader } from '../../table/packed-snapshot.js'
import type { TimestampMs } from '../../units.js'
import { createRows, type Rows } from '../../wire/rows.js'
import type { JsonReport } from './json-rows.js'

/** Limit of a table: a store never has more. */
export const MAX_CONNECTIONS = 0xffffff

/**
 * Reads a store into rows. The whole store is checked before the first row.
 *
 * @param source - Chunks of any size.
 * @param name - Name of the source in errors.
 * @param wallClock - Milliseconds since 1970, from which the age of the store is computed.
 * @param report - Receives the number of expired connections, which are omitted.
 * @returns Rows, which the next ones overwrite.
 * @throws IpvsSyncError while iterating: `ERR_IO` for a damaged or truncated store.
 */
export async function* readStoredRows(
  source: AsyncIterable<Uint8Array>,
  name: string,
  wallClock: TimestampMs,
  report: JsonReport
): AsyncGenerator<Rows, void, undefined> {
  const table = await loadStoredTable(source, name, wallClock, report)
  const rows = createRows()
  for (const slots of table.walk({ limit: rows.engines.length })) {
    rows.count = 0
    for (const slot of slots) table.readRow(slot, rows, rows.count++)
    yield rows
  }
}

/**
 * Loads a packed store from its pieces.
 *
 * @param source - Chunks of any size.
 * @param name - Name of the source in errors.
 * @param wallClock - Milliseconds since 1970, from which the age of the store is computed.
 * @param report - Receives the number of expired connections, which are omitted.
 * @throws IpvsSyncError `ERR_IO` for a damaged or truncated store.
 */
async function loadStoredTable(
  source: AsyncIterable<Uint8Array>,
  name: string,
  wallClock: TimestampMs,
  report: JsonReport
): Promise<ConnectionTable> {
  const table = new ConnectionTable({ maxConnections: MAX_CONNECTIONS })
  const loader = new PackedSnapshotLoader(table, { now: 0, wallClock }, crc32)
  for await (const piece of source) if (!loader.push(piece)) break
  const { complete, expired } = loader.report
  if (!complete) throw new IpvsSyncError('ERR_IO', `${name}: expected a whole store, got a damaged or truncated one`)
  report.expired += expired
  return table
}
