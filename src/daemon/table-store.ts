/**
 * A table on disk: written beside the old file and put in its place whole, read back whole or not at all.
 *
 * The file is a snapshot (JSON Lines, which `ipvs-sync resync --source` takes too) whose last line has a CRC-32 of all
 * that stands before it.
 *
 * @module
 */

import { createReadStream } from 'node:fs'
import { open, rename, rm, type FileHandle } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { IpvsSyncError } from '../errors.js'
import type { ConnectionTable } from '../table/connection-table.js'
import { SnapshotLoader, writeSnapshot, type SnapshotReport } from '../table/snapshot.js'
import type { TimestampMs } from '../units.js'

/** What became of a file. */
export interface StoredTable {
  /** The connections whose time is not over; empty unless the file is `good`. */
  readonly table: ConnectionTable
  /** `absent`: there is no file. `damaged`: it was cut off or changed, and was set aside as `FILE.damaged`. */
  readonly state: 'good' | 'absent' | 'damaged'
  /** What was loaded and left out. */
  readonly report: SnapshotReport
}

/** When it is. */
export interface StoreTimes {
  /** The table's clock. */
  readonly now: TimestampMs
  /** Milliseconds since 1970: a file's age is counted by it. */
  readonly wallClock: TimestampMs
}

const END = '{"format":"ipvs-sync table","end":true'
/** Some 450 lines: they are taken in one go, and other work waits for a few milliseconds. */
const READ_BYTES = 1 << 17
/** A connection's line has some 500 characters; engine data can add 510. */
const LONGEST_LINE = 65_536

/**
 * Writes a table. Other work goes on meanwhile; who reads the file sees the old one or the new one.
 *
 * @param table - May change meanwhile.
 * @param path - Of the file; `PATH.new` is used on the way.
 * @param savedAt - Milliseconds since 1970.
 * @throws IpvsSyncError `ERR_IO`, and the old file stands.
 */
export async function saveTable(table: ConnectionTable, path: string, savedAt: TimestampMs): Promise<void> {
  const temporary = `${path}.new`
  try {
    const file = await open(temporary, 'w', 0o600)
    try {
      await writeAll(file, writeSnapshot(table, savedAt))
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined)
    throw new IpvsSyncError('ERR_IO', `saving the table: ${(cause as Error).message}`, { cause })
  }
}

/**
 * Reads a table.
 *
 * @param path - Of the file.
 * @param createTable - Makes an empty table: a second one if the first was filled from a file that turned out damaged.
 * @param times - When it is.
 * @throws IpvsSyncError `ERR_IO` where the file is there and cannot be read.
 */
export async function loadTable(
  path: string,
  createTable: () => ConnectionTable,
  times: StoreTimes
): Promise<StoredTable> {
  const table = createTable()
  const loader = new SnapshotLoader(table, times.now, times.wallClock)
  const { report } = loader
  try {
    const sound = await readAll(path, loader)
    if (sound && report.complete && report.faulty === 0) return { table, state: 'good', report }
    await rename(path, `${path}.damaged`)
    return { table: createTable(), state: 'damaged', report }
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return { table, state: 'absent', report }
    throw new IpvsSyncError('ERR_IO', `reading the saved table: ${(cause as Error).message}`, { cause })
  }
}

async function writeAll(file: FileHandle, chunks: Iterable<string>): Promise<void> {
  let sum = 0
  for (const chunk of chunks) {
    const last = chunk.lastIndexOf('\n', chunk.length - 2) + 1
    const isEnd = chunk.startsWith(END, last)
    const body = isEnd ? chunk.slice(0, last) : chunk
    sum = crc32(body, sum)
    await file.writeFile(isEnd ? body + withSum(chunk.slice(last), sum) : chunk, 'latin1')
  }
}

function withSum(line: string, sum: number): string {
  return line.replace(/}\n$/, `,"crc32":${sum}}\n`)
}

/** False for a file that is certainly not what was written. */
async function readAll(path: string, loader: SnapshotLoader): Promise<boolean> {
  let rest = ''
  let sum = 0
  let stated: number | undefined
  for await (const chunk of createReadStream(path, { encoding: 'latin1', highWaterMark: READ_BYTES })) {
    const text = rest + (chunk as string)
    const lines = text.split('\n')
    rest = lines.pop()!
    if (rest.length > LONGEST_LINE) return false
    // All at once, but for the portion with the last line, which counts what stands before it.
    const isLast = text.includes(END)
    if (!isLast) sum = crc32(text.slice(0, text.length - rest.length), sum)
    for (const line of lines) {
      if (line.startsWith(END)) stated = statedSum(line) ?? sum
      else if (isLast) sum = crc32(`${line}\n`, sum)
      loader.push(line)
    }
  }
  return rest === '' && stated === sum
}

/** A snapshot of other hands has no sum. */
function statedSum(line: string): number | undefined {
  const digits = /"crc32":(\d+)/.exec(line)?.[1]
  return digits === undefined ? undefined : Number(digits)
}
