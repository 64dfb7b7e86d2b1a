/**
 * A table on disk: written beside the old file and put in its place as a whole, read as a whole or not at all.
 *
 * The file is a packed snapshot. Files of version 1 (JSON Lines whose last line has a CRC-32 of everything before it) are
 * still read.
 *
 * @module
 */

import { createReadStream } from 'node:fs'
import { rename } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { IpvsSyncError } from '../errors.js'
import type { ConnectionTable } from '../table/connection-table.js'
import { isPackedSnapshot, packTable, PackedSnapshotLoader, type RestoreTimes } from '../table/packed-snapshot.js'
import { SnapshotLoader, type SnapshotReport } from '../table/snapshot.js'
import type { TimestampMs } from '../units.js'
import { replaceFile } from './replace-file.js'

/** The result of reading a file. */
export interface StoredTable {
  /** The connections that have not expired; empty unless the file is `good`. */
  readonly table: ConnectionTable
  /** `absent`: there is no file. `damaged`: it was truncated or changed, and was renamed to `FILE.damaged` if possible. */
  readonly state: 'good' | 'absent' | 'damaged'
  /** Why a damaged file could not be renamed, as on a read-only file system. */
  readonly renameFault?: string
  /** Counts of the connections. */
  readonly report: SnapshotReport
}

/** The times of a restore. */
export type StoreTimes = RestoreTimes

/** Last line of a file of version 1. */
const JSON_END = '{"format":"ipvs-sync table","end":true'
/** Bytes that are loaded without a pause: about 1 ms for a packed file, a few milliseconds for JSON. */
const READ_BYTES = 1 << 16
/** A connection's JSON line has some 500 characters; engine data can add 510. */
const LONGEST_LINE = 65_536

/**
 * Writes a table. Other work runs between the blocks; a reader of the file sees the old one or the new one.
 *
 * @param table - May change meanwhile.
 * @param path - The file; see {@link replaceFile}.
 * @param savedAt - Milliseconds since 1970.
 * @throws IpvsSyncError `ERR_IO`, and the old file stays.
 */
export async function saveTable(table: ConnectionTable, path: string, savedAt: TimestampMs): Promise<void> {
  try {
    await replaceFile(path, packTable(table, savedAt, crc32))
  } catch (cause) {
    throw new IpvsSyncError('ERR_IO', `saving the table: ${(cause as Error).message}`, { cause })
  }
}

/**
 * Reads a table.
 *
 * @param path - The file.
 * @param createTable - Makes an empty table: a second one if the first was filled from a file that is damaged.
 * @param times - The times of the restore.
 * @throws IpvsSyncError `ERR_IO` if the file exists and cannot be read.
 */
export async function loadTable(
  path: string,
  createTable: () => ConnectionTable,
  times: StoreTimes
): Promise<StoredTable> {
  const table = createTable()
  let loader: StoreLoader | undefined
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: READ_BYTES })) {
      const bytes = chunk as Uint8Array
      loader ??= createStoreLoader(bytes, table, times)
      if (!loader.push(bytes)) break
    }
    loader ??= new JsonStore(table, times)
    const { report } = loader
    if (report.complete && report.faulty === 0) return { table, state: 'good', report }
    const renameFault = await rename(path, `${path}.damaged`).then(
      () => undefined,
      (error: unknown) => (error as Error).message
    )
    return {
      table: createTable(),
      state: 'damaged',
      report,
      ...(renameFault !== undefined && { renameFault })
    }
  } catch (cause) {
    const report = new JsonStore(table, times).report
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return { table, state: 'absent', report }
    throw new IpvsSyncError('ERR_IO', `reading the stored table: ${(cause as Error).message}`, { cause })
  }
}

/** Creates the loader of a file of either version, by its first bytes (at least 8, unless it is shorter). */
export function createStoreLoader(first: Uint8Array, table: ConnectionTable, times: StoreTimes): StoreLoader {
  return isPackedSnapshot(first) ? new PackedSnapshotLoader(table, times, crc32) : new JsonStore(table, times)
}

/** Loads a file from its pieces. */
export interface StoreLoader {
  /** Loads the next piece; returns false if the file is damaged. */
  push(piece: Uint8Array): boolean
  /** `complete` is true at the end of a whole file. */
  readonly report: SnapshotReport
}

/** Loads a file of version 1. */
class JsonStore implements StoreLoader {
  readonly #loader: SnapshotLoader
  #rest = ''
  #sum = 0
  #isSound = false

  constructor(table: ConnectionTable, { now, wallClock }: StoreTimes) {
    this.#loader = new SnapshotLoader(table, now, wallClock)
  }

  get report(): SnapshotReport {
    const { report } = this.#loader
    return { ...report, complete: report.complete && this.#isSound && this.#rest === '' }
  }

  push(piece: Uint8Array): boolean {
    const text = this.#rest + Buffer.from(piece.buffer, piece.byteOffset, piece.length).toString('latin1')
    const lines = text.split('\n')
    this.#rest = lines.pop()!
    if (this.#rest.length > LONGEST_LINE) return false
    for (const line of lines) {
      if (line.startsWith(JSON_END)) this.#isSound = statedSum(line, this.#sum) === this.#sum
      else this.#sum = crc32(Buffer.from(`${line}\n`, 'latin1'), this.#sum)
      this.#loader.push(line)
    }
    return true
  }
}

/** Returns the sum of the last line; a snapshot of another origin has none. */
function statedSum(line: string, otherwise: number): number {
  const digits = /"crc32":(\d+)/.exec(line)?.[1]
  return digits === undefined ? otherwise : Number(digits)
}
