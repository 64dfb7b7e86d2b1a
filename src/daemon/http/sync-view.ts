/**
 * What HTTP shows of a master, a backup, or both.
 *
 * @module
 */

import type { TableConnection } from '../../wire/connection.js'
import { protocolName } from '../../wire/protocols.js'
import type { ConnectionTable } from '../../table/connection-table.js'
import type { HttpView, Items } from './http-server.js'
import { mergeCounts } from '../workers/merge-reports.js'
import type { BackupMetrics, MasterMetrics, MetricsSnapshot, TableMetrics } from './metrics.js'
import type { SyncBackup } from '../backup/sync-backup.js'
import type { SyncMaster } from '../master/sync-master.js'

/** The roles that run here: at least one. */
export interface Roles {
  readonly master?: SyncMaster
  readonly backup?: SyncBackup
}

/**
 * Makes the view.
 *
 * @param roles - What runs here.
 * @param procLines - Prints connections as `/proc/net/ip_vs_conn_sync` does, header first.
 */
export function viewOf(
  roles: Roles,
  procLines: (connections: Iterable<TableConnection>) => Iterable<string>
): HttpView {
  return {
    ready: () => daemonsOf(roles).every((daemon) => daemon.listening),
    connections: () => connectionsOf(roles),
    procLines: () => procLinesOf(connectionsOf(roles), procLines),
    metrics: () => snapshotOf(roles)
  }
}

function daemonsOf({ master, backup }: Roles): (SyncMaster | SyncBackup)[] {
  return [master, backup].filter((daemon) => daemon !== undefined)
}

/** Both roles may share one table; a backup's workers have tables of their own. */
function tablesOf(roles: Roles): Set<ConnectionTable> {
  const inThisThread = daemonsOf(roles).filter((daemon) => !('workers' in daemon) || daemon.workers === 0)
  return new Set(inThisThread.map((daemon) => daemon.table))
}

/** The backup whose tables are in other threads. */
function remoteOf({ backup }: Roles): SyncBackup | undefined {
  return backup !== undefined && backup.workers > 0 ? backup : undefined
}

function connectionsOf(roles: Roles): Items<TableConnection> {
  const here = localConnections(tablesOf(roles))
  const remote = remoteOf(roles)
  return remote === undefined ? here : joined(here, remote.connections())
}

function* localConnections(tables: Iterable<ConnectionTable>): Generator<TableConnection> {
  for (const table of tables) yield* table
}

async function* joined<T>(first: Iterable<T>, second: AsyncIterable<T>): AsyncGenerator<T> {
  yield* first
  yield* second
}

function procLinesOf(
  connections: Items<TableConnection>,
  print: (connections: Iterable<TableConnection>) => Iterable<string>
): Items<string> {
  return Symbol.asyncIterator in connections ? remoteProcLines(connections, print) : print(connections)
}

async function* remoteProcLines(
  connections: AsyncIterable<TableConnection>,
  print: (connections: Iterable<TableConnection>) => Iterable<string>
): AsyncGenerator<string> {
  // The header first; of what is printed for one connection it is left out.
  yield* print([])
  for await (const connection of connections) yield* [...print([connection])].slice(1)
}

function snapshotOf(roles: Roles): MetricsSnapshot {
  const { master, backup } = roles
  return {
    ...(master !== undefined && { master: masterMetrics(master) }),
    ...(backup !== undefined && { backup: backupMetrics(backup) }),
    table: tableMetrics(roles)
  }
}

function masterMetrics(master: SyncMaster): MasterMetrics {
  const { channels } = master.counters()
  return {
    sent: channels.map(({ messagesSent }) => messagesSent),
    queueLength: channels.map(({ queued }) => queued),
    queueDropped: channels.map(({ messagesDropped }) => messagesDropped)
  }
}

function backupMetrics(backup: SyncBackup): BackupMetrics {
  const { received, dropped, applied, skipped } = backup.counters()
  // One address can use several syncids; the last one heard comes first, and is what counts.
  const age = Object.fromEntries(
    backup
      .senders()
      .reverse()
      .map((sender) => [sender.address, sender.age])
  )
  return { received, dropped, applied, skipped, age, socketDrops: backup.receiveDrops(), directing: backup.directing }
}

/** Several tables can hold connections of one kind: their numbers are added up. */
function tableMetrics(roles: Roles): TableMetrics[] {
  const here = Array.from(tablesOf(roles), (table) => table.counts())
  const remote = remoteOf(roles)?.tableCounts() ?? []
  return mergeCounts([...here, remote]).map(({ protocol, origin, connections }) => ({
    protocol: protocolName(protocol),
    origin,
    connections
  }))
}
