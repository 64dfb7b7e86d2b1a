/**
 * Reads tables of connections from files and streams into rows, without holding the event loop.
 *
 * @module
 */

import { readSync } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import { IpvsSyncError } from '../errors.js'
import type { Bytes, Milliseconds } from '../units.js'
import type { Rows } from '../wire/rows.js'
import { fileFault } from './file-fault.js'
import type { TableReader } from './table-reader.js'

/** The reader and its consumer work for at most this long before other work gets its turn. */
const TURN: Milliseconds = 5
/** A read that takes longer moves the reading to another thread: before Linux 6.14 each read walks the table anew. */
const SLOW_READ: Milliseconds = 2
/** Bytes read before they are parsed: a kernel gives one page (4 KiB) a read. */
const PORTION: Bytes = 65_536

/** What a reading takes. */
export interface ReadingTime {
  /** Spent in the system's read calls, in milliseconds. */
  kernelMs: Milliseconds
}

/** Gives other work its turn when this one has ended. */
class Turn {
  #begin = performance.now()

  get isOver(): boolean {
    return performance.now() - this.#begin >= TURN
  }

  async end(): Promise<void> {
    await setImmediate()
    this.#begin = performance.now()
  }
}

/**
 * Reads a file. Other work gets its turn at least every 5 ms, as long as the consumer of a batch takes less.
 *
 * @param path - `/proc/net/ip_vs_conn`, or a file of the same form.
 * @param reader - Not used before.
 * @param time - Grows during the reading.
 * @returns Rows, which the next ones overwrite.
 * @throws IpvsSyncError `ERR_IO` while iterating.
 */
export async function* readTableFile(
  path: string,
  reader: TableReader,
  time: ReadingTime = { kernelMs: 0 }
): AsyncGenerator<Rows, void, undefined> {
  const file = await open(path).catch((cause: unknown) => refuse(path, cause))
  const turn = new Turn()
  try {
    // A read of a pipe waits for its writer.
    let isSlow = !(await file.stat()).isFile()
    for (let isOpen = true; isOpen;) {
      const room = reader.room()
      let filled = 0
      while (isOpen && filled < PORTION && !turn.isOver) {
        const begin = performance.now()
        const length = isSlow ? await readAside(file, path, room, filled) : readHere(file, path, room, filled)
        time.kernelMs += performance.now() - begin
        isSlow ||= performance.now() - begin > SLOW_READ
        filled += length
        isOpen = length > 0
      }
      reader.take(filled)
      if (!isOpen) reader.end()
      while (reader.next()) {
        yield reader.rows
        if (turn.isOver) await turn.end()
      }
      if (turn.isOver) await turn.end()
    }
  } finally {
    await file.close()
  }
}

/**
 * Reads a stream.
 *
 * @param source - Chunks of any size.
 * @param reader - Not used before, or one that has been given the beginning.
 * @returns Rows, which the next ones overwrite.
 * @throws IpvsSyncError `ERR_IO` while iterating, for what is not a table.
 */
export async function* readTableStream(
  source: AsyncIterable<Uint8Array>,
  reader: TableReader
): AsyncGenerator<Rows, void, undefined> {
  const turn = new Turn()
  for await (const chunk of source) {
    for (let at = 0; at < chunk.length; at += PORTION) {
      const portion = chunk.subarray(at, at + PORTION)
      reader.room().set(portion)
      reader.take(portion.length)
      while (reader.next()) yield reader.rows
      if (turn.isOver) await turn.end()
    }
  }
  reader.end()
  while (reader.next()) yield reader.rows
}

function readHere(file: FileHandle, path: string, room: Uint8Array, at: Bytes): Bytes {
  try {
    return readSync(file.fd, room, at, PORTION, null)
  } catch (cause) {
    return refuse(path, cause)
  }
}

async function readAside(file: FileHandle, path: string, room: Uint8Array, at: Bytes): Promise<Bytes> {
  const { bytesRead } = await file.read(room, at, PORTION, null).catch((cause: unknown) => refuse(path, cause))
  return bytesRead
}

function refuse(path: string, cause: unknown): never {
  throw new IpvsSyncError('ERR_IO', `${path}: ${fileFault(cause)}`, { cause })
}
