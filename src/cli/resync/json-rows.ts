/**
 * Connections as JSON Lines: those of `/connections`, `backup --format json`, `decode --format json`, and an agent's store of
 * version 0.1.
 *
 * @module
 */

import { IpvsSyncError } from '../../errors.js'
import { readLines } from '../../procfs/lines.js'
import { SNAPSHOT_FORMAT } from '../../table/snapshot.js'
import type { TimestampMs } from '../../units.js'
import type { Connection } from '../../wire/connection.js'
import { rowFromConnection } from '../../wire/row-values.js'
import { createRows, type Rows } from '../../wire/rows.js'

/** Counts of a reading. */
export interface JsonReport {
  /** Connections of a store that have expired since it was saved. */
  expired: number
}

/**
 * Reads connections into rows.
 *
 * @param source - Chunks of any size.
 * @param name - What to call the source in errors: `table.jsonl`.
 * @param wallClock - Milliseconds since 1970: a store's age is counted from it.
 * @param report - Grows during the reading.
 * @returns Rows, which the next ones overwrite.
 * @throws IpvsSyncError while iterating: `ERR_CONFIG` or `ERR_ENCODE` for a line that is not a connection, or a store that
 * was cut off.
 */
export async function* readJsonRows(
  source: AsyncIterable<Uint8Array>,
  name: string,
  wallClock: TimestampMs,
  report: JsonReport
): AsyncGenerator<Rows, void, undefined> {
  const rows = createRows()
  const store = new StoreLines(wallClock, report)
  let number = 0
  for await (const line of readLines(source)) {
    number++
    if (line.trim() === '') continue
    const path = `${name}:${number}`
    for (const connection of store.connectionsOf(parse(line, path))) {
      rowFromConnection(connection, rows, rows.count++, path)
      if (rows.count < rows.engines.length) continue
      yield rows
      rows.count = 0
    }
  }
  store.end(name)
  yield rows
}

function parse(line: string, path: string): Record<string, unknown> {
  try {
    return JSON.parse(Buffer.from(line, 'latin1').toString()) as Record<string, unknown>
  } catch (cause) {
    throw new IpvsSyncError('ERR_CONFIG', `${path}: expected JSON, got ${(cause as Error).message}`, { cause })
  }
}

/** The first and the last line of a store frame its connections; other sources have neither. */
class StoreLines {
  #age: number | undefined
  #connections = 0
  #isWhole = false
  readonly #wallClock: TimestampMs
  readonly #report: JsonReport

  constructor(wallClock: TimestampMs, report: JsonReport) {
    this.#wallClock = wallClock
    this.#report = report
  }

  /** The connections of a line: one, those of a message, none of a store's frame or of an expiry. */
  connectionsOf(value: Record<string, unknown>): readonly Connection[] {
    if (value['format'] === SNAPSHOT_FORMAT) {
      if (value['end'] === true) this.#isWhole = value['connections'] === this.#connections
      else this.#age = this.#wallClock - Number(value['savedAt'])
      return []
    }
    this.#connections++
    if (this.#age !== undefined && Number(value['expires']) * 1000 <= this.#age) {
      this.#report.expired++
      return []
    }
    // `backup --format json` reports an expiry so.
    if (value['change'] === 'expired') return []
    const { connections } = value
    // Their fields are checked where they become rows.
    return (Array.isArray(connections) ? connections : [value]) as Connection[]
  }

  end(name: string): void {
    if (this.#age === undefined || this.#isWhole) return
    throw new IpvsSyncError(
      'ERR_CONFIG',
      `${name}: expected a last line that counts ${this.#connections} connections, got the end of the file: the store was cut off`
    )
  }
}
