/**
 * What HTTP shows of a master, a backup, or both.
 *
 * @module
 */

import type { TableConnection } from '../wire/connection.js'
import { protocolName } from '../wire/protocols.js'
import type { ConnectionTable } from '../table/connection-table.js'
import type { HttpView } from './http-server.js'
import type { BackupMetrics, MasterMetrics, MetricsSnapshot, TableMetrics } from './metrics.js'
import type { SyncBackup } from './sync-backup.js'
import type { SyncMaster } from './sync-master.js'

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
    procLines: () => procLines(connectionsOf(roles)),
    metrics: () => snapshotOf(roles)
  }
}

function daemonsOf({ master, backup }: Roles): (SyncMaster | SyncBackup)[] {
  return [master, backup].filter((daemon) => daemon !== undefined)
}

/** Both roles may share one table. */
function tablesOf(roles: Roles): Set<ConnectionTable> {
  return new Set(daemonsOf(roles).map((daemon) => daemon.table))
}

function* connectionsOf(roles: Roles): Generator<TableConnection> {
  for (const table of tablesOf(roles)) yield* table
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
  return { received, dropped, applied, skipped, age, socketDrops: backup.receiveDrops() }
}

/** Two tables can hold connections of one kind: their numbers are added up. */
function tableMetrics(roles: Roles): TableMetrics[] {
  const sums = new Map<string, TableMetrics>()
  for (const table of tablesOf(roles)) {
    for (const { protocol, origin, connections } of table.counts()) {
      const key = `${protocol} ${origin}`
      const before = sums.get(key)?.connections ?? 0
      sums.set(key, { protocol: protocolName(protocol), origin, connections: before + connections })
    }
  }
  return [...sums.values()]
}
