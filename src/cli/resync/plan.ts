/**
 * Prepares a resync: the whole source is read and written into messages before the first one is sent, so that an invalid
 * line stops it in time.
 *
 * @module
 */

import { paceFor } from '../../daemon/bulk-sender.js'
import { sealOverhead } from '../../daemon/sealing.js'
import { linkOf } from '../../daemon/sync-options.js'
import type { Datagram } from '../../engine/engine.js'
import { BulkMessages } from '../../engine/full-table/bulk-messages.js'
import type { ServiceTimeouts } from '../../procfs/services.js'
import type { Sysctls } from '../../sysctl/settings.js'
import { masterSyncMaxlen } from '../../transport/sync-maxlen.js'
import type { Bytes } from '../../units.js'
import { DEFAULT_MAXLEN_IPV4, MAX_CHANNELS, MAX_PAYLOAD } from '../../wire/constants.js'
import { udpOptionsOf, type DaemonOptions, type SysctlOptions } from '../options.js'
import type { AutoRate } from './auto-rate.js'
import type { ResyncPlan, ResyncTotals } from './report.js'
import { readSource, type SourceReport } from './source.js'

/** Options of the command. */
export interface ResyncOptions extends DaemonOptions, SysctlOptions {
  readonly source: string
  readonly services?: string
  /** Connections a second; `auto` asks the agents. */
  readonly rate?: number | 'auto'
  readonly repeat: number
  readonly dryRun?: true
  readonly syncVersion?: '0' | '1'
  readonly hz?: number
  readonly timeouts?: ServiceTimeouts
}

/**
 * Reads the source into messages.
 *
 * @param options - The command line's.
 * @param settings - sync_version and sync_ports are used.
 * @param stdin - For `--source -`.
 * @param ask - Asks the agents what they can receive, for `--rate auto`.
 * @throws IpvsSyncError `ERR_CONFIG` or `ERR_ENCODE` for a line that is not a connection, `ERR_IO`, `ERR_NO_IPVS`.
 */
export async function planResync(
  options: ResyncOptions,
  settings: Sysctls,
  stdin: AsyncIterable<Uint8Array>,
  ask?: (maxLength: Bytes) => Promise<AutoRate | undefined>
): Promise<ResyncPlan> {
  const version = Number(options.syncVersion ?? settings.syncVersion) === 0 ? 0 : 1
  const maxLength = Math.min(maxLengthOf(options, settings), MAX_PAYLOAD)
  const channels = Math.min(settings.syncPorts, MAX_CHANNELS)
  const bulk = new BulkMessages({ version, syncid: options.syncid, maxLength, channels })
  const report: SourceReport = { expired: 0, facts: [] }
  const { source, services, hz, timeouts, repeat } = options
  const rate = options.rate === 'auto' ? undefined : options.rate
  const answer = options.rate === 'auto' ? await ask?.(maxLength) : undefined
  const pace = answer?.pace ?? paceFor(maxLength, rate)
  const totals: ResyncTotals = { messages: 0, bytes: 0, cost: 0 }
  const messages: Datagram[] = []
  const keep = (full: readonly Datagram[]): void => {
    for (const message of full) {
      totals.messages++
      totals.bytes += message.bytes.length
      totals.cost += pace.costOf(message)
      if (options.dryRun === undefined) messages.push(message)
    }
  }
  for await (const rows of readSource({ source, services, hz, timeouts, stdin }, report)) {
    bulk.addRows(rows)
    // A dry run needs no message for longer than it takes to count it.
    if (options.dryRun === true) keep(bulk.takeFull())
  }
  keep(bulk.finish())
  const peers = Math.max(options.peer.length, 1)
  return {
    messages,
    totals,
    counts: bulk.counts,
    report,
    pace,
    rate,
    agents: options.rate === 'auto' ? (answer?.agents ?? 0) : undefined,
    times: repeat,
    maxLength,
    peers
  }
}

/** A dry run needs no interface; without one the MTU is unknown. */
function maxLengthOf(options: ResyncOptions, settings: Sysctls): Bytes {
  const overhead = sealOverhead(options)
  if (options.syncMaxlen !== undefined) return options.syncMaxlen - overhead
  if (options.mcastInterface === undefined && options.peer.length === 0) return DEFAULT_MAXLEN_IPV4 - overhead
  const { family, mtu } = linkOf(udpOptionsOf(options, settings), settings)
  return masterSyncMaxlen(family, mtu).bytes - overhead
}
