/**
 * Options and settings of a master, verified and prepared.
 *
 * @module
 */

import { demandInteger, demandKnownOptions, misuse, type OptionNames } from '../../demand.js'
import { sysctlDefaults } from '../../sysctl/settings.js'
import type { ConnectionTable } from '../../table/connection-table.js'
import type { Bytes } from '../../units.js'
import { DEFAULT_MAXLEN_IPV4, MAX_PAYLOAD } from '../../wire/constants.js'
import { createPolicy, type Policy, type PolicySettings } from '../decide-sync.js'
import type { ChannelLimits, RecordWriter } from './channel.js'

/** The sysctls that a master reads; any full set of sysctls is accepted. */
export interface MasterSettings extends PolicySettings {
  /** `sync_version`: the version of new messages, 0 or 1. */
  readonly syncVersion: number
  /** `sync_ports`: channels, a power of two; at most 64 are used. Read when a master is made, and not again. */
  readonly syncPorts: number
  /** `sync_qlen_max`: maximum number of messages that wait in a channel. */
  readonly syncQlenMax: number
}

/** Options of a {@link MasterEngine}. */
export interface MasterEngineOptions {
  /** 0…255; backups with another one ignore the messages. */
  readonly syncid: number
  /** The sysctls; an omitted one has its default. */
  readonly settings?: Partial<MasterSettings>
  /** Maximum length of a message in bytes, header included: 1…65507, 1472 by default. */
  readonly syncMaxlen?: Bytes
  /** The table of the connections. It may be shared with a backup, so that a change of role keeps it. By default a new one. */
  readonly table?: ConnectionTable
  /** Makes a writer for each channel; by default a `MessageWriter`. */
  readonly createWriter?: () => RecordWriter
  /** Whether this engine expires the table's connections; false if another engine does. True by default. */
  readonly expires?: boolean
  /** Maximum number of events that wait to be polled, 1024 by default; further ones are counted and lost. */
  readonly maxEvents?: number
}

const OPTIONS: OptionNames<MasterEngineOptions> = {
  syncid: true,
  settings: true,
  syncMaxlen: true,
  table: true,
  createWriter: true,
  expires: true,
  maxEvents: true
}

/** What an input may specify besides the connection itself. */
export interface PacketDetails {
  /** The counter of packets from the client, this one included; by default one more than before. */
  readonly packets?: number
  /** The slot of the entry that controls it, such as its template. */
  readonly controller?: number
}

/** Prepared settings; replaced as a whole, so that no two of them are ever out of step. */
export interface MasterPlan {
  /** As they were given. */
  readonly settings: MasterSettings
  /** For decisions. */
  readonly policy: Policy
  /** For channels. */
  readonly limits: ChannelLimits
}

/**
 * Verifies options and prepares their settings.
 *
 * @throws IpvsSyncError `ERR_USAGE` or `ERR_CONFIG`, whose `field` is the setting's own name.
 */
export function planOf(options: MasterEngineOptions): MasterPlan {
  demandKnownOptions(options, OPTIONS)
  const { settings = {}, syncid, syncMaxlen = DEFAULT_MAXLEN_IPV4 } = options
  demandInteger('syncid', syncid, 0, 255)
  demandInteger('sync_maxlen', syncMaxlen, 1, MAX_PAYLOAD)
  return changePlan(
    { settings: sysctlDefaults, limits: { version: 1, syncid, maxlen: syncMaxlen, qlenMax: 0 } },
    settings
  )
}

/**
 * Prepares changed settings.
 *
 * @param before - The settings and limits until now.
 * @param changes - An omitted setting keeps its value.
 * @throws IpvsSyncError `ERR_CONFIG`, whose `field` is the setting's own name.
 */
export function changePlan(
  before: Pick<MasterPlan, 'settings' | 'limits'>,
  changes: Partial<MasterSettings>
): MasterPlan {
  const settings = { ...before.settings, ...changes }
  const { syncVersion, syncPorts, syncQlenMax } = settings
  if (syncVersion !== 0 && syncVersion !== 1) throw misuse('sync_version', '0 or 1', syncVersion, 'ERR_CONFIG')
  const isPowerOfTwo = Number.isSafeInteger(syncPorts) && syncPorts >= 1 && Number.isInteger(Math.log2(syncPorts))
  if (!isPowerOfTwo) throw misuse('sync_ports', 'a power of two ≥ 1', syncPorts, 'ERR_CONFIG')
  demandInteger('sync_qlen_max', syncQlenMax, 0, Number.MAX_SAFE_INTEGER)
  const limits = { ...before.limits, version: syncVersion, qlenMax: syncQlenMax } as const
  return { settings, policy: createPolicy(settings), limits }
}
