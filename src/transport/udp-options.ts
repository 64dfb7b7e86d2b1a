/**
 * Where a UDP transport sends or listens: the options that its user gives, and the plan made of them.
 *
 * @module
 */

import { addressFamily, isMulticast } from '../addresses.js'
import { demandArray, demandInteger, demandText, misuse, demandKnownOptions, type OptionNames } from '../demand.js'
import { IpvsSyncError } from '../errors.js'
import { MAX_CHANNELS, SYNC_GROUP, SYNC_PORT } from '../wire/constants.js'

/** A unicast peer. */
export interface Peer {
  /** An IPv4 or IPv6 address. */
  readonly address: string
  /** Its base port, 1…65535; mcastPort by default. */
  readonly port?: number
}

/** Where to send or listen. Names are ipvsadm's. */
export interface UdpOptions {
  /** The network interface's name. Required, unless there are peers. */
  readonly mcastInterface?: string
  /** An IPv4 or IPv6 multicast group. 224.0.0.81 by default. */
  readonly mcastGroup?: string
  /** Port of channel 0; channel `i` uses the `i`th after it. 8848 by default. */
  readonly mcastPort?: number
  /** TTL or hop limit, 1…255. 1 by default: messages stay on the link. */
  readonly mcastTtl?: number
  /** Send to this host alone: its other programs and its kernel hear the group, and nothing leaves. False by default. */
  readonly hostOnly?: boolean
  /**
   * Unicast instead of multicast. A master sends to each. A backup listens at those that are its own addresses
   * host, else at every address; a peer's port is the one that it listens at. All are of one family.
   */
  readonly peers?: readonly Peer[]
  /** How many channels, 1…64: sync_ports. 1 by default. */
  readonly channels?: number
  /** SO_SNDBUF of a master, SO_RCVBUF of a backup, in bytes: sync_sock_size. 0, the default, keeps the system's. */
  readonly bufferBytes?: number
}

/** Options that were verified and completed. */
export interface UdpPlan {
  readonly family: 'ipv4' | 'ipv6'
  readonly interfaceName: string | undefined
  readonly group: string
  readonly port: number
  /** 0 does not leave the host. */
  readonly ttl: number
  /** Empty for multicast. */
  readonly peers: readonly Required<Peer>[]
  readonly channels: number
  readonly bufferBytes: number
}

/** Names of the options. */
const OPTIONS: OptionNames<UdpOptions> = {
  mcastInterface: true,
  mcastGroup: true,
  mcastPort: true,
  mcastTtl: true,
  hostOnly: true,
  peers: true,
  channels: true,
  bufferBytes: true
}

/**
 * Verifies options and fills in the defaults.
 *
 * @throws IpvsSyncError `ERR_CONFIG` for a value out of range, `ERR_GROUP` for a group that is not multicast,
 * `ERR_INTERFACE` for neither interface nor peers.
 */
export function planUdp(options: UdpOptions): UdpPlan {
  demandKnownOptions(options, OPTIONS)
  for (const name of ['mcastInterface', 'mcastGroup'] as const)
    if (options[name] !== undefined) demandText(name, options[name])
  const port = within('mcastPort', options.mcastPort ?? SYNC_PORT, 1, 65535)
  const channels = within('channels', options.channels ?? 1, 1, MAX_CHANNELS)
  const peers = listOf(options.peers ?? []).map((peer) => completePeer(peer, port))
  for (const base of [port, ...peers.map((peer) => peer.port)]) within('the last port', base + channels - 1, 1, 65535)
  if (peers.length === 0 && options.mcastInterface === undefined) {
    throw new IpvsSyncError('ERR_INTERFACE', 'no interface is given: name one (mcastInterface), or give peers', {
      field: 'mcastInterface'
    })
  }
  const group = verifyGroup(options.mcastGroup ?? SYNC_GROUP)
  return {
    family: peers.length > 0 ? commonFamily(peers) : familyOf(group),
    interfaceName: options.mcastInterface,
    group,
    port,
    ttl: options.hostOnly === true ? 0 : within('mcastTtl', options.mcastTtl ?? 1, 1, 255),
    peers,
    channels,
    bufferBytes: within('bufferBytes', options.bufferBytes ?? 0, 0, 2 ** 31 - 1)
  }
}

/** A plan's destination or place for a person: `224.0.0.81:8848-8851 on eth1`, `10.0.0.2:8848`. */
export function describePlan(plan: UdpPlan): string {
  const targets = plan.peers.length > 0 ? plan.peers : [{ address: plan.group, port: plan.port }]
  const on = plan.interfaceName === undefined ? '' : ` on ${plan.interfaceName}`
  return targets.map(({ address, port }) => describeTarget(address, port, plan.channels)).join(', ') + on
}

/** Returns a target in a report: `10.0.0.2:8848-8851`. */
export function describeTarget(address: string, port: number, channels: number): string {
  const host = address.includes(':') ? `[${address}]` : address
  return `${host}:${port}${channels > 1 ? `-${port + channels - 1}` : ''}`
}

/** The family of an address, given as text that is one. */
export function familyOf(address: string): 'ipv4' | 'ipv6' {
  return addressFamily(withoutScope(address)) === 6 ? 'ipv6' : 'ipv4'
}

function verifyGroup(group: string): string {
  if (isMulticast(group)) return group
  const scoped = group.includes('%') ? '; name the interface with mcastInterface' : ''
  throw new IpvsSyncError(
    'ERR_GROUP',
    `"${group}" is not a multicast group: give one of 224.0.0.0 to 239.255.255.255, or an IPv6 one (ff02::…)${scoped}`,
    { field: 'mcastGroup' }
  )
}

/** A link-local peer has its interface in its address: `fe80::1%eth1`. */
function withoutScope(address: string): string {
  return address.replace(/%[\w.-]+$/, '')
}

function listOf(peers: readonly Peer[]): readonly Peer[] {
  demandArray('peers', peers, 'an array of { address, port? }')
  return peers
}

function completePeer(peer: Partial<Peer> | null, port: number): Required<Peer> {
  if (typeof peer?.address !== 'string') throw misuse('peers', '{ address, port? }', peer, 'ERR_CONFIG')
  if (addressFamily(withoutScope(peer.address)) === 0) {
    throw new IpvsSyncError('ERR_CONFIG', `peer "${peer.address}" is not an IPv4 or IPv6 address`, { field: 'peers' })
  }
  return { address: peer.address, port: within('peers', peer.port ?? port, 1, 65535) }
}

function commonFamily(peers: readonly Peer[]): 'ipv4' | 'ipv6' {
  const [first, ...others] = peers.map((peer) => familyOf(peer.address))
  if (others.every((family) => family === first)) return first!
  throw new IpvsSyncError('ERR_CONFIG', 'peers are of both families: use one master or backup for each', {
    field: 'peers'
  })
}

function within(name: string, value: number, least: number, greatest: number): number {
  demandInteger(name, value, least, greatest)
  return value
}
