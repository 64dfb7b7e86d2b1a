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
import type { AgentMetrics, ByLabel, MetricsSnapshot } from './metrics.js'
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
    ready: () =>
      (roles.master?.listening ?? true) &&
      roles.master?.sendReport().isUnreachable !== true &&
      (roles.backup?.ready ?? true),
    status() {
      if (roles.master?.listening === false || roles.backup?.listening === false) return 'the sockets are not open'
      if (roles.master?.sendReport().isUnreachable === true) return 'no peer takes our messages'
      return roles.backup?.ready === false ? 'listening; no message received yet' : 'ready'
    },
    async *connections() {
      for await (const portion of portionsOf(roles)) yield* portion
    },
    async *procLines() {
      // `print` begins with the header: it is taken from an empty table once, and cut off every portion.
      yield* procLines([])
      for await (const portion of portionsOf(roles)) yield* [...procLines(portion)].slice(1)
    },
    metrics: () => metricsOf(roles, notices)
  }
}

/** Tables in this thread: both roles may share one; a backup's workers have tables of their own. */
function tablesOf({ master, backup }: Roles): Set<ConnectionTable> {
  const tables = new Set<ConnectionTable>()
  if (master !== undefined) tables.add(master.table)
  if (backup?.workers === 0) tables.add(backup.table)
  return tables
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

function metricsOf(roles: Roles, notices: ByLabel): MetricsSnapshot {
  const { master, backup, agent } = roles
  const here = [...tablesOf(roles)]
  const remote = remoteOf(roles)
  const channels = master?.counters().channels ?? []
  const sendReport = master?.sendReport()
  const senders = backup?.senders() ?? []
  const counters = backup?.counters()
  const seals = backup?.sealReport()
  return {
    ...(master !== undefined && {
      master: {
        sent: channels.map(({ messagesSent }) => messagesSent),
        queueLength: channels.map(({ queued }) => queued),
        queueDropped: channels.map(({ messagesDropped }) => messagesDropped),
        sendErrors: sendReport!.errors,
        undelivered: sendReport!.undelivered.map(({ messages }) => messages)
      }
    }),
    ...(backup !== undefined && {
      backup: {
        received: counters!.received,
        dropped: counters!.dropped,
        applied: counters!.applied,
        skipped: counters!.skipped,
        beyondPorts: backup.sendersBeyond().reduce((sum, { messages }) => sum + messages, 0),
        senders: senders.filter(({ age }) => age < SILENCE).length,
        age: Object.fromEntries(measuredSenders(senders).map((sender) => [sender.address, sender.age])),
        socketDrops: backup.receiveDrops(),
        directing: backup.directing,
        ...(seals !== undefined && { seals })
      }
    }),
    ...(agent !== undefined && { agent: agent.metrics() }),
    notices,
    tableLimit: here.reduce((sum, { maxConnections }) => sum + maxConnections, remote?.maxConnections ?? 0),
    // Several tables can hold connections of one kind: their numbers are added up.
    table: mergeCounts([...here.map((table) => table.counts()), remote?.tableCounts() ?? []]).map(
      ({ protocol, origin, connections }) => ({ protocol: protocolName(protocol), origin, connections })
    )
  }
}

/**
 * Returns the senders that get a metric series: those with most messages. Addresses can be forged; series must not grow with
 * them. One address can use several syncids: its newest message counts, so it comes last.
 */
export function measuredSenders(senders: readonly SenderReport[]): SenderReport[] {
  const most = [...senders].sort((one, other) => other.messages - one.messages).slice(0, MAX_SENDER_SERIES)
  return most.sort((one, other) => other.age - one.age)
}
