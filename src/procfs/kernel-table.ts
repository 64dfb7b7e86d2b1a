/**
 * The running kernel's table, read whole and completed from its services.
 *
 * @module
 */

import { counted } from '../text.js'
import type { Connection } from '../wire/connection.js'
import { Completer, type Assumption, type Unsendable } from './complete.js'
import { readProcLines } from './lines.js'
import { CONNECTIONS_FILE, readConnections } from './read-connections.js'
import { readKernelServices } from './services.js'

/** Where to read; of the process's own network namespace by default. */
export interface KernelTableOptions {
  /** `/proc/net/ip_vs_conn` by default. */
  readonly connections?: string
  /** `/proc/net/ip_vs` by default. */
  readonly services?: string
  /** The kernel's HZ: 250 by default. */
  readonly ticksPerSecond?: number
}

/** What a reading came upon. Counts only ever grow while it goes on. */
export interface KernelTableNotes {
  /** Connections of which something had to be assumed, by what. */
  readonly assumed: Record<Assumption, number>
  /** Connections that no message can carry, by reason. */
  readonly unsendable: Record<Unsendable, number>
  /** Lines that could not be read. */
  damaged: number
}

/** Empty notes. */
export function createNotes(): KernelTableNotes {
  return {
    assumed: { forwarding: 0, fwmark: 0, state: 0, timeout: 0 },
    unsendable: { invalidated: 0, 'other-family': 0 },
    damaged: 0
  }
}

/**
 * Reads the kernel's connections with all that a message needs.
 *
 * @param options - Where to read.
 * @param notes - Filled in as the reading goes on.
 * @throws IpvsSyncError while iterating: `ERR_NO_IPVS` where ip_vs is not loaded, `ERR_IO`.
 * @example
 * for await (const connection of readKernelTable()) send(connection)
 */
export async function* readKernelTable(
  options: KernelTableOptions = {},
  notes: KernelTableNotes = createNotes()
): AsyncGenerator<Connection, void, undefined> {
  const lines = readProcLines(options.connections ?? CONNECTIONS_FILE)
  const { services } = await readKernelServices(options.services)
  yield* completeLines(lines, new Completer(services, options.ticksPerSecond), notes)
}

/**
 * Reads a table's lines with all that a message needs.
 *
 * @param lines - Of `ip_vs_conn` or `ip_vs_conn_sync`, header first.
 * @param completer - Knows the services.
 * @param notes - Filled in as the reading goes on.
 * @throws IpvsSyncError `ERR_IO` while iterating, where the first line is no header.
 */
export async function* completeLines(
  lines: AsyncIterable<string>,
  completer: Completer,
  notes: KernelTableNotes
): AsyncGenerator<Connection, void, undefined> {
  for await (const line of readConnections(lines, () => (notes.damaged += 1))) {
    const completed = completer.complete(line)
    if (completed.connection === undefined) notes.unsendable[completed.reason]++
    else {
      for (const assumption of completed.assumptions) notes.assumed[assumption]++
      yield completed.connection
    }
  }
}

/** What was assumed and left out, a sentence each; empty where there is nothing to say. */
export function explainNotes({ assumed, unsendable, damaged }: KernelTableNotes): string[] {
  const told: [number, string, string][] = [
    [assumed.forwarding, 'connection', 'with a real server of no known service: forwarding method MASQ assumed'],
    [
      assumed.fwmark,
      'connection',
      'to a real server of services by firewall mark: the mark assumed, 0 where there are several'
    ],
    [assumed.state, 'connection', 'without a known state (ERR!): the first one assumed, ASSURED for templates'],
    [assumed.timeout, 'template', 'of no known service: timeout 180 s assumed, or what is left if that is more'],
    [unsendable.invalidated, 'template', 'that is invalidated: left out'],
    [
      unsendable['other-family'],
      'connection',
      'with a real server of the other address family, which no message can carry: left out'
    ],
    [damaged, 'line', 'could not be read: left out']
  ]
  return told.filter(([count]) => count > 0).map(([count, noun, text]) => `${counted(count, noun)} ${text}`)
}
