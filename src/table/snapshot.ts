/**
 * A table as JSON Lines and back: a first line that says when, the connections (the JSON of `/connections`), a last line
 * that says how many, so that a file that was cut off is known for one.
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

/** What the first and the last line say that they belong to. */
export const SNAPSHOT_FORMAT = 'ipvs-sync table'
const LINES_A_CHUNK = 512

/**
 * Writes a table, in chunks of some hundred lines.
 *
 * @param table - May change between two chunks: what is gone by then is left out.
 * @param savedAt - Wall-clock time in milliseconds since 1970, by which a reader tells the snapshot's age.
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

/** What became of a snapshot's lines. */
export interface SnapshotReport {
  /** Connections that stand in the table now. */
  loaded: number
  /** Left out because their time was over. */
  expired: number
  /** Left out because the table had their key already. */
  known: number
  /** Refused by the table: it was full. */
  refused: number
  /** Lines that are no connection, each with its number (from 1) and what is wrong; the first hundred. */
  readonly faults: { readonly line: number; readonly message: string }[]
  /** How many lines are no connection. */
  faulty: number
  /** The age that was taken off every connection's time, in milliseconds. */
  ageMs: number
  /** Whether the first and the last line were there and the count was right: false for a file that was cut off. */
  complete: boolean
}

/** The longest timeout there is. */
const MOST_SECONDS = 0xffffffff
/** Faults that are kept word by word. */
const MOST_FAULTS = 100

/**
 * Reads a snapshot, line by line, into a table. Lines of plain JSON (no first and last line) are taken too; they have no age
 * and the report says that it is not complete.
 */
export class SnapshotLoader {
  /** What has become of the lines so far; `complete` is right once the last was given. */
  readonly report: SnapshotReport = {
    loaded: 0,
    expired: 0,
    known: 0,
    refused: 0,
    faults: [],
    faulty: 0,
    ageMs: 0,
    complete: false
  }

  readonly #table: ConnectionTable
  readonly #now: TimestampMs
  readonly #wallClock: TimestampMs
  readonly #rows = createRows(1)
  #line = 0
  #connections = 0
  #begun = false

  /**
   * @param table - Where the connections go; one whose key it has already is left as it is.
   * @param now - The table's time.
   * @param wallClock - Milliseconds since 1970; the snapshot's age is counted from it.
   */
  constructor(table: ConnectionTable, now: TimestampMs, wallClock: TimestampMs) {
    this.#table = table
    this.#now = now
    this.#wallClock = wallClock
  }

  /** Takes the next line, without its line feed. A fault is noted, never thrown. */
  push(text: string): void {
    this.#line++
    if (text.trim() === '') return
    try {
      this.#take(JSON.parse(text) as Record<string, unknown>)
    } catch (error) {
      this.report.faulty++
      if (this.report.faults.length < MOST_FAULTS)
        this.report.faults.push({ line: this.#line, message: (error as Error).message })
    }
  }

  #take(value: Record<string, unknown>): void {
    if (value['format'] !== SNAPSHOT_FORMAT) this.#load(value as unknown as TableConnection)
    else if (value['end'] === true) this.report.complete = this.#begun && value['connections'] === this.#connections
    else this.#begin(value)
  }

  #begin({ version, savedAt }: Record<string, unknown>): void {
    if (version !== 1 || typeof savedAt !== 'number')
      throw new IpvsSyncError('ERR_USAGE', `expected a snapshot of version 1 with its time, got ${String(version)}`)
    this.#begun = true
    this.report.ageMs = Math.max(0, this.#wallClock - savedAt)
  }

  #load(connection: TableConnection): void {
    this.#connections++
    const rows = this.#rows
    rowFromConnection(connection, rows, 0)
    const expires = expiryOf(connection)
    const left = expires * 1000 - this.report.ageMs
    if (left <= 0) this.report.expired++
    else if (this.#table.findExact(this.#rows, 0) !== 0) this.report.known++
    else this.#add(connection, this.#now + left)
  }

  #add(connection: TableConnection, deadline: TimestampMs): void {
    const words = this.#rows.words
    const sync = connection.origin === 'SYNC' ? FLAG.SYNC : 0
    words[ROW.FLAGS] = (words[ROW.FLAGS]! & ~FLAG.SYNC) | sync
    const slot = this.#table.add(this.#rows, 0, this.#now)
    if (slot === 0) {
      this.report.refused++
      return
    }
    this.report.loaded++
    this.#table.setDeadlineMs(slot, deadline)
    this.#table.setSyncid(slot, Number.isInteger(connection.syncid) ? connection.syncid & 0xff : 0)
  }
}

/** Seconds that a connection had left; a line without them counts as fresh. */
function expiryOf({ expires, timeout }: Partial<TableConnection>): number {
  const seconds = expires ?? timeout ?? 0
  if (typeof seconds === 'number' && seconds >= 0 && seconds <= MOST_SECONDS) return seconds
  throw new IpvsSyncError('ERR_ENCODE', `expires: expected seconds, 0 to ${MOST_SECONDS}, got ${String(seconds)}`, {
    field: 'expires'
  })
}
