/**
 * Options that ready-made masters and backups share.
 *
 * @module
 */

import { pickOptions, type OptionNames } from '../demand.js'
import { IpvsSyncError } from '../errors.js'
import type { Sysctls } from '../sysctl/settings.js'
import { ConnectionTable } from '../table/connection-table.js'
import { interfaceMtu } from '../transport/interfaces.js'
import { nodeSystem, type NetworkSystem } from '../transport/system.js'
import type { ChannelTransport } from '../transport/transport.js'
import { planUdp, type Peer, type UdpOptions } from '../transport/udp-options.js'
import type { Bytes } from '../units.js'
import { MAX_CHANNELS } from '../wire/constants.js'
import { systemClock, type Clock } from './clock.js'
import type { SealingOptions } from './sealing.js'

/** Options of both roles. Words are ipvsadm's, in camelCase. */
export interface SyncOptions extends SealingOptions {
  /** Name of the network interface. Required, unless there are peers. */
  readonly mcastInterface?: string
  /** Multicast group, IPv4 or IPv6. 224.0.0.81 by default. */
  readonly mcastGroup?: string
  /** UDP port of the first channel, 1…65535. 8848 by default. */
  readonly mcastPort?: number
  /** TTL or hop limit of what is sent, 1…255. 1 by default. */
  readonly mcastTtl?: number
  /** Unicast instead of multicast: whom a master sends to; whom, or at which own address, a backup listens to. */
  readonly peers?: readonly Peer[]
  /**
   * The largest message in bytes, its header included, UDP's and IP's not: 1…65507; a backup takes 1024 at least. By default what
   * the interface suggests.
   */
  readonly syncMaxlen?: Bytes
  /** `net.ipv4.vs` settings; what is left out has its default, not the running kernel's value. */
  readonly sysctls?: Partial<Sysctls>
  /** Where the connections live: another master's or backup's table, to keep it over a change of role. */
  readonly table?: ConnectionTable
  /** Maximum number of connections in the table. 1,000,000 by default. */
  readonly maxConnections?: number
  /** Whether this one lets the table's connections expire. True by default; false where both roles share a table. */
  readonly expires?: boolean
  /** Closes it when aborted. */
  readonly signal?: AbortSignal
  /** Its time. The system's by default; those that share a table share a clock. */
  readonly clock?: Clock
  /** The system's network, for a test. */
  readonly system?: NetworkSystem
}

/** Names of the options that both roles share. */
export const SYNC_OPTIONS: OptionNames<SyncOptions> = {
  mcastInterface: true,
  mcastGroup: true,
  mcastPort: true,
  mcastTtl: true,
  peers: true,
  syncMaxlen: true,
  sysctls: true,
  table: true,
  maxConnections: true,
  expires: true,
  signal: true,
  clock: true,
  system: true,
  keyFile: true,
  requireKey: true
}

/** Returns the shared options of an object that has others besides. */
export function pickSyncOptions(options: SyncOptions): SyncOptions {
  return pickOptions(options, SYNC_OPTIONS)
}

/** The transport's options of a role's. */
export function udpOptionsOf(options: SyncOptions, sysctls: Sysctls): UdpOptions {
  const { mcastInterface, mcastGroup, mcastPort, mcastTtl, peers } = options
  return {
    ...(mcastInterface !== undefined && { mcastInterface }),
    ...(mcastGroup !== undefined && { mcastGroup }),
    ...(mcastPort !== undefined && { mcastPort }),
    ...(mcastTtl !== undefined && { mcastTtl }),
    ...(peers !== undefined && { peers }),
    channels: Math.min(sysctls.syncPorts, MAX_CHANNELS),
    // As a kernel, which passes a size that is not positive over.
    bufferBytes: Math.max(sysctls.syncSockSize, 0)
  }
}

/** The family of the packets that carry messages, and the MTU of the interface where one is named and known. */
export function linkOf(options: SyncOptions, sysctls: Sysctls): { family: 'ipv4' | 'ipv6'; mtu: Bytes | undefined } {
  const { family, interfaceName } = planUdp(udpOptionsOf(options, sysctls))
  const system = options.system ?? nodeSystem
  return { family, mtu: interfaceName === undefined ? undefined : interfaceMtu(system, interfaceName) }
}

/**
 * Holds a given transport to sync_ports.
 *
 * @throws IpvsSyncError `ERR_CONFIG` where it has more or fewer channels.
 */
export function demandChannels({ channels }: ChannelTransport, { syncPorts }: Sysctls): void {
  const wanted = Math.min(syncPorts, MAX_CHANNELS)
  if (channels === wanted) return
  throw new IpvsSyncError('ERR_CONFIG', `the transport has ${channels} channels, sync_ports asks for ${wanted}`, {
    field: 'transport'
  })
}

/** Returns the table of the options, or a new one, which draws the key of its hash itself. */
export function tableOf({ table, maxConnections }: SyncOptions): ConnectionTable {
  if (table !== undefined) return table
  return new ConnectionTable(maxConnections === undefined ? {} : { maxConnections })
}

/** The clock that was given, or the system's. */
export function clockOf({ clock }: SyncOptions): Clock {
  return clock ?? systemClock
}
