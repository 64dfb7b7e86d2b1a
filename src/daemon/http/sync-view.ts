/**
 * View of a master, a backup, or both, for HTTP.
 *
 * @module
 */

import type { TableConnection } from '../../wire/connection.js'
import { protocolName } from '../../wire/protocols.js'
import type { SenderReport } from '../../engine/backup/senders.js'
import type { ConnectionTable } from '../../table/connection-table.js'
import { walkTable } from '../walk-table.js'
import type { HttpView } from './http-server.js'
import { mergeCounts } from '../workers/merge-reports.js'
import type { AgentMetrics, BackupMetrics, ByLabel, MasterMetrics, MetricsSnapshot, TableMetrics } from './metrics.js'
import { SILENCE } from '../backup/backup-monitor.js'
import type { SyncBackup } from '../backup/sync-backup.js'
import type { SyncMaster } from '../master/sync-master.js'

/** Maximum number of series labelled with a sender's address. */
const MAX_SENDER_SERIES = 64

/** The roles that run here: at least one. */
export interface Roles {
  readonly master?: SyncMaster
  readonly backup?: SyncBackup
  /** Figures of the agent that both roles belong to. */
  readonly agent?: { metrics(): AgentMetrics }
}

/**
 * Makes the view.
 *
 * @param roles - What runs here.
 * @param procLines - Prints connections as `/proc/net/ip_vs_conn_sync` does, header first.
 * @param notices - Notices until now by code: a live count.
 */
export function viewOf(
  roles: Roles,
  procLines: (connections: Iterable<TableConnection>) => Iterable<string>,
  notices: ByLabel = {}
): HttpView {
  return {
    ready: () => (roles.master?.listening ?? true) && (roles.backup?.ready ?? true),
    status: () => statusOf(roles),
    connections: () => connectionsOf(roles),
    procLines: () => procLinesOf(roles, procLines),
    metrics: () => snapshotOf(roles, notices)
  }
}

function statusOf({ master, backup }: Roles): string {
  if (master?.listening === false || backup?.listening === false) return 'the sockets are not open'
  return backup?.ready === false ? 'listening; no message received yet' : 'ready'
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

/** Yields the connections of all tables in portions, and gives the event loop a turn after each. */
async function* portionsOf(roles: Roles): AsyncGenerator<readonly TableConnection[]> {
  for (const table of tablesOf(roles)) yield* walkTable(table)
  const remote = remoteOf(roles)
  if (remote !== undefined) for await (const connection of remote.connections()) yield [connection]
}

async function* connectionsOf(roles: Roles): AsyncGenerator<TableConnection> {
  for await (const portion of portionsOf(roles)) yield* portion
}

async function* procLinesOf(
  roles: Roles,
  print: (connections: Iterable<TableConnection>) => Iterable<string>
): AsyncGenerator<string> {
  // `print` begins with the header: it is taken from an empty table once, and cut off every portion.
  yield* print([])
  for await (const portion of portionsOf(roles)) yield* [...print(portion)].slice(1)
}

function snapshotOf(roles: Roles, notices: ByLabel): MetricsSnapshot {
  const { master, backup, agent } = roles
  return {
    ...(master !== undefined && { master: masterMetrics(master) }),
    ...(backup !== undefined && { backup: backupMetrics(backup) }),
    ...(agent !== undefined && { agent: agent.metrics() }),
    notices,
    tableLimit: tableLimitOf(roles),
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
  const senders = backup.senders()
  return {
    received,
    dropped,
    applied,
    skipped,
    beyondPorts: backup.sendersBeyond().reduce((sum, { messages }) => sum + messages, 0),
    senders: senders.filter(({ age }) => age < SILENCE).length,
    age: Object.fromEntries(measuredSenders(senders).map((sender) => [sender.address, sender.age])),
    socketDrops: backup.receiveDrops(),
    directing: backup.directing,
    seals: backup.sealReport()
  }
}

/** Ceiling of all tables together. */
function tableLimitOf(roles: Roles): number {
  const here = Array.from(tablesOf(roles), ({ maxConnections }) => maxConnections)
  return [...here, remoteOf(roles)?.maxConnections ?? 0].reduce((sum, limit) => sum + limit, 0)
}

/**
 * Returns the senders that get a metric series: those with most messages. Addresses can be forged; series must not grow with
 * them. One address can use several syncids: its newest message counts, so it comes last.
 */
export function measuredSenders(senders: readonly SenderReport[]): SenderReport[] {
  const most = [...senders].sort((one, other) => other.messages - one.messages).slice(0, MAX_SENDER_SERIES)
  return most.sort((one, other) => other.age - one.age)
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
