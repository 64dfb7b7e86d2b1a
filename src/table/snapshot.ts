/**
 * A table as JSON Lines and back: a first line with the time, the connections (the JSON of `/connections`), a last line
 * with their number, by which a truncated file is recognised. Stores of version 1 have this format.
 *
 * @module
 */
import { IpvsSyncError } from '../errors.js'
import type { TimestampMs } from '../units.js'
import type { TableConnection } from '../wire/connection.js'
import { FLAG } from '../wire/constants.js'
import { rowFromConnection } from '../wire/row-values.js'
import { createRows, ROW } from '../wire/rows.js'
import type { ConnectionTable } from './connection-table.js'

/** `format` of the first and the last line. */
export const SNAPSHOT_FORMAT = 'ipvs-sync table'
const LINES_A_CHUNK = 512

/**
 * Yields a table in chunks of 512 lines.
 *
 * @param table - May change between two chunks: what is removed by then is omitted.
 * @param savedAt - Wall-clock time in milliseconds since 1970, by which a reader computes the snapshot's age.
 */
export function* writeSnapshot(table: ConnectionTable, savedAt: TimestampMs): Generator<string> {
  let chunk = `${JSON.stringify({ format: SNAPSHOT_FORMAT, version: 1, savedAt })}\n`
  let connections = 0
  for (const connection of table) {
    chunk += `${JSON.stringify(connection)}\n`
    if (++connections % LINES_A_CHUNK !== 0) continue
    yield chunk
    chunk = ''
  }
  yield `${chunk}${JSON.stringify({ format: SNAPSHOT_FORMAT, end: true, connections })}\n`
}

/** Counts of a snapshot that was loaded. */
export interface SnapshotReport {
  /** Connections added to the table. */
  loaded: number
  /** Omitted because they have expired. */
  expired: number
  /** Omitted because the table had their key already. */
  known: number
  /** Refused because the table was full. */
  refused: number
  /** Lines that are not a connection, each with its number (from 1) and the fault; the first hundred. */
  readonly faults: { readonly line: number; readonly message: string }[]
  /** Number of lines that are not a connection. */
  faulty: number
  /** Age that was subtracted from every connection's remaining time, in milliseconds. */
  ageMs: number
  /** Whether begin and end were found and the count was right: false for a truncated file. */
  complete: boolean
}

/** Returns a report with all counts at 0. */
export function newReport(): SnapshotReport {
  return { loaded: 0, expired: 0, known: 0, refused: 0, faults: [], faulty: 0, ageMs: 0, complete: false }
}

/** Longest timeout. */
const MOST_SECONDS = 0xffffffff
/** Number of faults that are kept. */
const MOST_FAULTS = 100

/**
 * Loads a snapshot line by line into a table. Plain JSON Lines (no first and last line) are accepted too; they have no age,
 * and the report says that they are not complete.
 */
export class SnapshotLoader {
  /** Counts so far; `complete` is true once the last line was given. */
  readonly report: SnapshotReport = newReport()

  readonly #table: ConnectionTable
  readonly #now: TimestampMs
  readonly #wallClock: TimestampMs
  readonly #rows = createRows(1)
  #line = 0
  #connections = 0
  #begun = false

  /**
   * @param table - The destination; a connection whose key it has already is left as it is.
   * @param now - The table's time.
   * @param wallClock - Milliseconds since 1970; the snapshot's age is counted from it.
   */
  constructor(table: ConnectionTable, now: TimestampMs, wallClock: TimestampMs) {
    this.#table = table
    this.#now = now
    this.#wallClock = wallClock
  }

  /** Loads the next line, without its line feed. A fault is recorded, never thrown. */
  push(text: string): void {
    this.#line++
    if (text.trim() === '') return
    try {
      const value = JSON.parse(text) as Record<string, unknown>
      if (value['format'] !== SNAPSHOT_FORMAT) {
        const connection = value as unknown as TableConnection
        this.#connections++
        const rows = this.#rows
        rowFromConnection(connection, rows, 0)
        const expires = expiryOf(connection)
        const left = expires * 1000 - this.report.ageMs
        if (left <= 0) this.report.expired++
        else if (this.#table.findExact(this.#rows, 0) !== 0) this.report.known++
        else {
          const words = this.#rows.words
          const sync = connection.origin === 'SYNC' ? FLAG.SYNC : 0
          words[ROW.FLAGS] = (words[ROW.FLAGS]! & ~FLAG.SYNC) | sync
          const slot = this.#table.add(this.#rows, 0, this.#now, left)
          if (slot === 0) {
            this.report.refused++
          } else {
            this.report.loaded++
            this.#table.setSyncid(slot, Number.isInteger(connection.syncid) ? connection.syncid & 0xff : 0)
          }
        }
      } else if (value['end'] === true) this.report.complete = this.#begun && value['connections'] === this.#connections
      else {
        const { version, savedAt } = value
        if (version !== 1 || typeof savedAt !== 'number')
          throw new IpvsSyncError('ERR_USAGE', `version: expected 1 and savedAt, got ${String(version)}`)
        this.#begun = true
        this.report.ageMs = Math.max(0, this.#wallClock - savedAt)
      }
    } catch (error) {
      this.report.faulty++
      if (this.report.faults.length < MOST_FAULTS)
        this.report.faults.push({ line: this.#line, message: (error as Error).message })
    }
  }
}

/** Returns the remaining seconds; a line without them counts as fresh. */
function expiryOf({ expires, timeout }: Partial<TableConnection>): number {
  const seconds = expires ?? timeout ?? 0
  if (typeof seconds === 'number' && seconds >= 0 && seconds <= MOST_SECONDS) return seconds
  throw new IpvsSyncError('ERR_ENCODE', `expires: expected seconds 0…${MOST_SECONDS}, got ${String(seconds)}`, {
    field: 'expires'
  })
}
