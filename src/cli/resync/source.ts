/**
 * Where a resync's connections come from: the kernel, JSON Lines, or a table in the kernel's own form.
 *
 * @module
 */

import { createReadStream } from 'node:fs'
import { IpvsSyncError } from '../../errors.js'
import { Completer } from '../../procfs/complete.js'
import { isConnectionHeader } from '../../procfs/connection-line.js'
import { completeLines, readKernelTable, type KernelTableNotes } from '../../procfs/kernel-table.js'
import { readLines } from '../../procfs/lines.js'
import { readServices } from '../../procfs/services.js'
import { fileFault } from '../errors.js'
import type { Connection } from '../../wire/connection.js'
import type { StoredTable } from './stored-table.js'

/** A connection, and what to call it when it is wrong. */
export interface Sourced {
  readonly connection: Connection
  /** `table.jsonl:7`. */
  readonly path: string
}

/** Where from. */
export interface SourceOptions {
  /** `kernel`, a path, or `-`. */
  readonly source: string
  readonly stdin: AsyncIterable<Uint8Array>
  /** A file as `/proc/net/ip_vs`, for a table in the kernel's form. */
  readonly services: string | undefined
  /** The kernel's HZ. */
  readonly hz: number
  /** Where the kernel's table is, for a test. */
  readonly connections?: string
}

/**
 * Reads connections.
 *
 * @param options - Where from.
 * @param notes - Filled in where a table in the kernel's form had to be completed.
 * @param stored - Looks at each object of JSON, for an agent's stored table.
 * @throws IpvsSyncError while iterating: `ERR_CONFIG` for a line that is no connection, `ERR_IO`, `ERR_NO_IPVS`.
 */
export async function* readSource(
  options: SourceOptions,
  notes: KernelTableNotes,
  stored: StoredTable
): AsyncGenerator<Sourced, void, undefined> {
  const { source, services, hz, connections } = options
  if (source !== 'kernel') {
    yield* readText(options, notes, stored)
    return
  }
  const table = readKernelTable(
    {
      ticksPerSecond: hz,
      ...(services !== undefined && { services }),
      ...(connections !== undefined && { connections })
    },
    notes
  )
  let number = 0
  for await (const connection of table) yield { connection, path: `/proc/net/ip_vs_conn, connection ${++number}` }
}

/** The first line tells: an object, or a header. */
async function* readText(
  options: SourceOptions,
  notes: KernelTableNotes,
  stored: StoredTable
): AsyncGenerator<Sourced, void, undefined> {
  const name = options.source === '-' ? 'standard input' : options.source
  const lines = numbered(readLines(options.source === '-' ? options.stdin : openFile(options.source)))
  for await (const { line, number } of lines) {
    if (line.startsWith('{')) {
      yield* fromJson(line, `${name}:${number}`, stored)
      continue
    }
    if (!isConnectionHeader(line)) {
      const text = `--source ${name}: neither JSON Lines of connections, nor a table as /proc/net/ip_vs_conn has it`
      throw new IpvsSyncError('ERR_IO', text)
    }
    const table = completeLines(withFirst(line, lines), await completerOf(options), notes)
    let count = 0
    for await (const connection of table) yield { connection, path: `${name}, connection ${++count}` }
  }
  stored.end(name)
}

async function completerOf({ services, hz }: SourceOptions): Promise<Completer> {
  return new Completer(services === undefined ? [] : (await readServices(services)).services, hz)
}

/** A connection, or a message of `decode --format json` with several. */
function* fromJson(line: string, path: string, stored: StoredTable): Generator<Sourced, void, undefined> {
  const value = parse(line, path)
  if (stored.passesOver(value)) return
  const connections = Array.isArray(value['connections']) ? (value['connections'] as unknown[]) : [value]
  // A line of `backup --format json` that tells an end.
  if (value['change'] === 'expired') return
  // What they are worth is judged where they are written.
  for (const connection of connections) yield { connection: connection as Connection, path }
}

function parse(line: string, path: string): Record<string, unknown> {
  try {
    return JSON.parse(Buffer.from(line, 'latin1').toString()) as Record<string, unknown>
  } catch (cause) {
    throw new IpvsSyncError('ERR_CONFIG', `${path}: not JSON: ${(cause as Error).message}`, { cause })
  }
}

interface Numbered {
  readonly line: string
  readonly number: number
}

async function* numbered(lines: AsyncIterable<string>): AsyncGenerator<Numbered, void, undefined> {
  let number = 0
  for await (const line of lines) {
    number++
    if (line.trim() !== '') yield { line: line.trimStart(), number }
  }
}

async function* withFirst(first: string, rest: AsyncIterable<Numbered>): AsyncGenerator<string, void, undefined> {
  yield first
  for await (const { line } of rest) yield line
}

async function* openFile(path: string): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* createReadStream(path) as AsyncIterable<Uint8Array>
  } catch (cause) {
    throw new IpvsSyncError('ERR_IO', `--source ${path}: ${fileFault(cause)}`, { cause })
  }
}
