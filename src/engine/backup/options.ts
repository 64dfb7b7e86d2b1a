/**
 * Options of a backup, verified.
 *
 * @module
 */

import { parseNetwork, type Network } from '../../addresses.js'
import { demandArray, demandInteger, demandKnownOptions, demandOneOf, misuse, type OptionNames } from '../../demand.js'
import type { ConnectionTable } from '../../table/connection-table.js'
import type { Bytes, Seconds } from '../../units.js'
import { FLAG_CHECKS, type FlagChecks } from '../../wire/constants.js'
import type { From } from '../events.js'

/** The timeouts that `ipvsadm --set` changes. */
export interface ChangedTimeouts {
  /** TCP ESTABLISHED; 900 by default. */
  readonly established?: Seconds
  /** TCP FIN_WAIT; 120 by default. */
  readonly finWait?: Seconds
  /** UDP; 300 by default. */
  readonly udp?: Seconds
}

/** The sysctls that a backup reads; any full set of sysctls is accepted. */
export interface BackupSettings {
  /** `sync_threshold`: its first number becomes each connection's packet counter. `[3, 50]` by default. */
  readonly syncThreshold?: readonly [threshold: number, period: number]
  /** `backup_only`: not 0 means that this director forwards no packets while it is a backup. 0 by default. */
  readonly backupOnly?: number
}

/** Options of a `BackupEngine`. */
export interface BackupEngineOptions {
  /** 0…255. Messages with another syncid are dropped; 0 accepts all. */
  readonly syncid: number
  /** Which generation of kernel judges flags and template states; `strict` (the newest) by default. */
  readonly flagChecks?: FlagChecks
  /** Limit of the table: further connections are refused and counted. 1,000,000 by default. */
  readonly maxConnections?: number
  /** Makes the table's hash reproducible: for tests. By default its key is random. */
  readonly seed?: number
  /** Networks (`10.0.0.0/24`, `fd00::1`) whose datagrams are accepted; all by default. */
  readonly accept?: readonly string[]
  /** Payload above which a notice names the sender. By default there is no such notice. */
  readonly syncMaxlen?: Bytes
  /** The initial sysctls. */
  readonly settings?: BackupSettings
  /** Timeouts that differ from a kernel's defaults, for messages without a timeout. */
  readonly timeouts?: ChangedTimeouts
  /** Byte order of version 0's sequence data: the senders'. `little` by default. */
  readonly sequenceByteOrder?: 'little' | 'big'
  /** Persistence engines that are known; `sip` alone by default. */
  readonly engines?: readonly string[]
  /** A table to use rather than a new one: shared with a master, or kept over a change of role. */
  readonly table?: ConnectionTable
  /** Whether this engine expires the table's connections; false if another engine does. True by default. */
  readonly expires?: boolean
  /** Whether changes of connections are events: each one costs an object. False by default. */
  readonly connectionEvents?: boolean
  /** Maximum number of events that wait to be polled, 1024 by default; further ones are counted and lost. */
  readonly maxEvents?: number
  /** Maximum number of senders that are stored, 1024 by default; the oldest are removed. */
  readonly maxSenders?: number
}

const OPTIONS: OptionNames<BackupEngineOptions> = {
  syncid: true,
  flagChecks: true,
  maxConnections: true,
  seed: true,
  accept: true,
  syncMaxlen: true,
  settings: true,
  timeouts: true,
  sequenceByteOrder: true,
  engines: true,
  table: true,
  expires: true,
  connectionEvents: true,
  maxEvents: true,
  maxSenders: true
}

/** The default limit of a backup's table. */
export const DEFAULT_MAX_CONNECTIONS = 1_000_000

/**
 * Refuses options that are not an object, and an unknown generation.
 *
 * @throws IpvsSyncError `ERR_USAGE` or `ERR_CONFIG`; `field` names the option.
 */
export function demandOptions(options: BackupEngineOptions): void {
  demandKnownOptions(options, OPTIONS)
  if (options.flagChecks !== undefined) demandOneOf('flagChecks', options.flagChecks, FLAG_CHECKS)
}

/** Refuses arguments that are not a datagram and its sender (`ERR_USAGE`). The content is never refused. */
export function demandDatagram(bytes: unknown, from: Partial<From> | undefined): void {
  if (!(bytes instanceof Uint8Array)) throw misuse('bytes', 'a Uint8Array, one datagram', bytes)
  if (typeof from?.address !== 'string') throw misuse('from', '{ address, port }', from)
}

/** Returns the syncid; throws `ERR_CONFIG` if it is not 0…255. */
export function demandSyncid(syncid: number): number {
  demandInteger('syncid', syncid, 0, 255)
  return syncid
}

/** Returns the threshold; throws `ERR_CONFIG` if it is not a counter. */
export function thresholdOf({ syncThreshold = [3, 50] }: BackupSettings): number {
  const [threshold] = syncThreshold
  demandInteger('sync_threshold', threshold, 0, 2 ** 31 - 1)
  return threshold
}

/** @throws IpvsSyncError `ERR_CONFIG` for what is not an address with or without a prefix length. */
export function parseAccepted(accept: readonly string[]): readonly Network[] {
  demandArray('accept', accept, 'an array of networks')
  return accept.map((text: unknown) => {
    const network = typeof text === 'string' ? parseNetwork(text) : undefined
    if (network !== undefined) return network
    throw misuse('accept', 'networks such as 10.0.0.0/24, fd00::/64 or 10.0.0.1', text, 'ERR_CONFIG')
  })
}
