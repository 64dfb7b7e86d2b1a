/**
 * The running kernel's table, read whole and completed from its services.
 *
 * @module
 */

import { readFile } from 'node:fs/promises'
import { IpvsSyncError } from '../errors.js'
import { counted } from '../text.js'
import type { Rows } from '../wire/rows.js'
import { readTableFile, type ReadingTime } from './read-table.js'
import { RowCompleter, type CompletionCounts } from './row-completer.js'
import { readKernelServices, type ServiceTimeouts } from './services.js'
import { TableReader } from './table-reader.js'
import type { UnreadableLines } from './unreadable.js'

/** The connections of the process's own network namespace, with persistence engines. */
export const CONNECTIONS_FILE = '/proc/net/ip_vs_conn'
/** From Linux 7.1: `Conns:` is the number of connections. */
export const STATUS_FILE = '/proc/net/ip_vs_status'

/** Where to read; of the process's own network namespace by default. */
export interface KernelTableOptions {
  /** `/proc/net/ip_vs_conn` by default. */
  readonly connections?: string
  /** `/proc/net/ip_vs` by default. */
  readonly services?: string
  /** `/proc/net/ip_vs_status` by default. */
  readonly status?: string
  /** The kernel's HZ: 250 by default. */
  readonly ticksPerSecond?: number
  /** `ipvsadm --set`; left out, the kernel's defaults. */
  readonly timeouts?: ServiceTimeouts
}

/** Counts of a reading; they grow during it. */
export interface TableReport extends CompletionCounts {
  readonly unreadable: UnreadableLines
}

/** A reading of the kernel's table. Iterate it once. */
export interface KernelTableReading extends AsyncIterable<Rows> {
  readonly report: TableReport
  readonly time: ReadingTime
  /** Lines read so far, readable or not. */
  readonly lines: number
}

/**
 * Reads the kernel's connections with all that a message needs.
 *
 * @returns Batches of rows, which the next ones overwrite. Iterating throws IpvsSyncErrors: `ERR_NO_IPVS` where ip_vs is not
 * loaded, `ERR_IO`.
 * @example
 * ```ts
 * for await (const rows of readKernelTable()) for (let i = 0; i < rows.count; i++) writer.add(rows, i)
 * ```
 */
export function readKernelTable(options: KernelTableOptions = {}): KernelTableReading {
  const { connections = CONNECTIONS_FILE } = options
  const reader = new TableReader(connections)
  const time = { kernelMs: 0 }
  const report = createReport(reader)
  let lines = 0
  return {
    report,
    time,
    get lines() {
      return lines + reader.unreadable.count
    },
    async *[Symbol.asyncIterator]() {
      const { services } = await readKernelServices(options.services)
      const completer = new RowCompleter({ ...options, services }, report)
      try {
        for await (const rows of readTableFile(connections, reader, time)) {
          lines += rows.count
          completer.complete(rows)
          if (rows.count > 0) yield rows
        }
      } catch (error) {
        throw withoutIpvs(error, connections)
      }
    }
  }
}

/** An empty report of what a reader and a completer meet. */
export function createReport({ unreadable }: TableReader): TableReport {
  return {
    assumed: { forwarding: 0, fwmark: 0, state: 0, timeout: 0 },
    unsendable: { invalidated: 0, 'other-family': 0 },
    unreadable
  }
}

/** Reads how many connections the kernel counts; undefined where it does not show it (before 7.1, or without the right). */
export async function readConnectionCount(path: string = STATUS_FILE): Promise<number | undefined> {
  const text = await readFile(path, 'latin1').catch(() => '')
  const [, count] = /^Conns:\s*(\d+)/m.exec(text) ?? []
  return count === undefined ? undefined : Number(count)
}

/** Describes what was assumed and left out, a sentence each; empty if there is nothing. */
export function describeReport({ assumed, unsendable, unreadable }: TableReport): string[] {
  const found: [number, string, string][] = [
    [assumed.forwarding, 'connection', 'to a real server of no known service: forwarding method MASQ assumed'],
    [
      assumed.fwmark,
      'connection',
      'to a real server of services by firewall mark: the mark assumed, 0 where there are several'
    ],
    [assumed.state, 'connection', 'without a known state (ERR!): the first state assumed, ASSURED for a template'],
    [assumed.timeout, 'template', 'of no known service: timeout 180 s assumed, or what remains if that is more'],
    [unsendable.invalidated, 'invalidated template', 'omitted'],
    [
      unsendable['other-family'],
      'connection',
      'to a real server of the other address family, which no message can carry: omitted'
    ],
    [unreadable.count, 'unreadable line', `omitted${firstOf(unreadable)}`]
  ]
  return found.filter(([count]) => count > 0).map(([count, noun, text]) => `${counted(count, noun)} ${text}`)
}

function firstOf({ count, first }: UnreadableLines): string {
  const named = first.map(({ number, text }) => `line ${number} ${JSON.stringify(text)}`)
  return count === 0 ? '' : `: ${named.join(', ')}${count > first.length ? ', …' : ''}`
}

function withoutIpvs(error: unknown, path: string): unknown {
  const { cause } = error as { cause?: NodeJS.ErrnoException }
  if (cause?.code !== 'ENOENT') return error
  return new IpvsSyncError('ERR_NO_IPVS', `${path}: no such file; load IPVS with modprobe ip_vs`, { cause })
}
