/**
 * Where a resync's connections come from: the kernel, a saved table in the kernel's or ipvsadm's form, a store, JSON Lines.
 *
 * @module
 */

import { open } from 'node:fs/promises'
import { IpvsSyncError } from '../../errors.js'
import { fileFault } from '../../procfs/file-fault.js'
import { findKernelTicks, TicksEstimate, USUAL_TICKS } from '../../procfs/kernel-clock.js'
import { createReport, readKernelTable, type KernelTableOptions, type TableReport } from '../../procfs/kernel-table.js'
import { readTableFile, readTableStream } from '../../procfs/read-table.js'
import { RowCompleter } from '../../procfs/row-completer.js'
import { readServices, type ServiceList, type ServiceTimeouts } from '../../procfs/services.js'
import { TableReader } from '../../procfs/table-reader.js'
import { isPackedSnapshot } from '../../table/packed-snapshot.js'
import type { Rows } from '../../wire/rows.js'
import { readJsonRows, type JsonReport } from './json-rows.js'
import { readStoredRows } from './stored-rows.js'

/** Bytes that identify a packed store. */
const STORE_WORD = 8

/** Where from. */
export interface SourceOptions {
  /** `kernel`, a path, or `-`. */
  readonly source: string
  readonly stdin: AsyncIterable<Uint8Array>
  /** A file with the services of a saved table. */
  readonly services?: string | undefined
  /** The kernel's HZ, where the user gives it. */
  readonly hz?: number | undefined
  /** `ipvsadm --set`, where the user gives it. */
  readonly timeouts?: ServiceTimeouts | undefined
  /** Where the kernel's table is, for a test. */
  readonly files?: KernelTableOptions
}

/** Counts and assumptions of a reading. */
export interface SourceReport extends JsonReport {
  /** For a table of the kernel's or of ipvsadm's form. */
  table?: TableReport
  /** Facts about the director that the table does not show, and where they are from: a line each. */
  readonly facts: string[]
}

/**
 * Reads connections.
 *
 * @param options - Where from.
 * @param report - Filled in during the reading.
 * @returns Rows with all that a message needs, which the next ones overwrite.
 * @throws IpvsSyncError while iterating: `ERR_CONFIG` or `ERR_ENCODE` for a line of JSON that is not a connection, `ERR_IO`
 * (also for a damaged store),
 * `ERR_NO_IPVS`.
 */
export async function* readSource(options: SourceOptions, report: SourceReport): AsyncGenerator<Rows, void, undefined> {
  const { source, stdin } = options
  if (source === 'kernel') yield* readKernel(options, report)
  else if (source === '-') yield* readStream(stdin, options, report)
  else {
    try {
      yield* readFile(options, report)
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).syscall === undefined) throw cause
      throw new IpvsSyncError('ERR_IO', `--source ${source}: ${fileFault(cause)}`, { cause })
    }
  }
}

async function* readKernel(options: SourceOptions, report: SourceReport): AsyncGenerator<Rows, void, undefined> {
  const { services, hz, timeouts, files } = options
  const found = hz === undefined ? await findKernelTicks() : undefined
  report.facts.push(factOfClock(hz, found?.ticksPerSecond, found?.path), factOfTimeouts(timeouts, undefined))
  const reading = readKernelTable({
    ...files,
    ticksPerSecond: hz ?? found?.ticksPerSecond ?? USUAL_TICKS,
    ...(timeouts !== undefined && { timeouts }),
    ...(services !== undefined && { services })
  })
  report.table = reading.report
  yield* reading
}

async function* readFile(options: SourceOptions, report: SourceReport): AsyncGenerator<Rows, void, undefined> {
  const { source } = options
  const file = await open(source)
  const head = Buffer.alloc(4096)
  const isFile = (await file.stat()).isFile()
  if (isFile) await file.read(head, 0, head.length, 0)
  // A named pipe can be opened and read once only.
  if (!isFile || isJson(head) || isPackedSnapshot(head)) {
    const stream = file.createReadStream(isFile ? { start: 0 } : {})
    try {
      yield* readStream(stream, options, report)
    } finally {
      // A store that is refused is not read to its end; from Node 26 on a handle that nobody closes is an error.
      stream.destroy()
      await file.close()
    }
    return
  }
  await file.close()
  const services = await servicesOf(options)
  const ticks = new TicksEstimate(services.services)
  if (options.hz === undefined && ticks.isNeeded)
    for await (const rows of readTableFile(source, new TableReader(source))) ticks.take(rows)
  const reader = new TableReader(source)
  const completer = completerOf(options, services, ticks, reader, report)
  for await (const rows of readTableFile(source, reader)) {
    completer.complete(rows)
    yield rows
  }
}

async function* readStream(
  source: AsyncIterable<Uint8Array>,
  options: SourceOptions,
  report: SourceReport
): AsyncGenerator<Rows, void, undefined> {
  const name = options.source === '-' ? 'standard input' : options.source
  const chunks = source[Symbol.asyncIterator]()
  const first: Uint8Array[] = []
  // White space in front of a table is allowed, any amount of it. The first word of a store may be split between chunks.
  let length = 0
  let isBlank = true
  while (isBlank || length < STORE_WORD) {
    const next = await chunks.next()
    if (next.done === true) break
    first.push(next.value)
    length += next.value.length
    isBlank &&= !/\S/.test(Buffer.from(next.value).toString('latin1'))
  }
  const head = Buffer.concat(first)
  const all = chain([head], chunks)
  if (isPackedSnapshot(head)) {
    yield* readStoredRows(all, name, Date.now(), report)
    return
  }
  if (isJson(head)) {
    yield* readJsonRows(all, name, Date.now(), report)
    return
  }
  const services = await servicesOf(options)
  const reader = new TableReader(name)
  const completer = completerOf(options, services, new TicksEstimate(services.services), reader, report)
  for await (const rows of readTableStream(all, reader)) {
    completer.complete(rows)
    yield rows
  }
}

function completerOf(
  { hz, timeouts }: SourceOptions,
  { services, timeouts: listed }: ServiceList,
  ticks: TicksEstimate,
  reader: TableReader,
  report: SourceReport
): RowCompleter {
  const concluded = ticks.result()
  if (ticks.isNeeded) report.facts.push(factOfClock(hz, concluded, "the table's templates"))
  report.facts.push(factOfTimeouts(timeouts, listed))
  report.table = createReport(reader)
  const known = timeouts ?? listed
  return new RowCompleter(
    { services, ticksPerSecond: hz ?? concluded ?? USUAL_TICKS, ...(known !== undefined && { timeouts: known }) },
    report.table
  )
}

async function servicesOf({ services }: SourceOptions): Promise<ServiceList> {
  return services === undefined
    ? { services: [], timeouts: undefined, unreadable: { count: 0, first: [] } }
    : readServices(services)
}

function factOfClock(given: number | undefined, found: number | undefined, from: string | undefined): string {
  if (given !== undefined) return `HZ ${given} (--hz)`
  return found === undefined ? `HZ ${USUAL_TICKS} assumed; --hz sets it` : `HZ ${found} (from ${from!})`
}

function factOfTimeouts(given: ServiceTimeouts | undefined, listed: ServiceTimeouts | undefined): string {
  const known = given ?? listed
  if (known === undefined)
    return "full timeouts are the kernel's defaults (TCP 900 s, after a FIN 120 s, UDP 300 s) assumed; --timeouts sets them"
  const from = given === undefined ? '--services' : '--timeouts'
  return `timeouts: TCP ${known.tcp} s, after a FIN ${known.tcpFin} s, UDP ${known.udp} s (${from})`
}

function isJson(head: Uint8Array): boolean {
  return /^(?:\xef\xbb\xbf)?\s*\{/.test(Buffer.from(head).toString('latin1'))
}

async function* chain(
  first: readonly Uint8Array[],
  rest: AsyncIterator<Uint8Array>
): AsyncGenerator<Uint8Array, void, undefined> {
  yield* first
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value
}
