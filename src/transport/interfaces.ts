/**
 * Network interfaces by name: their address, whether they are the same as before, what they hold in one packet.
 *
 * @module
 */

import { IpvsSyncError } from '../errors.js'
import type { Bytes } from '../units.js'
import type { NetworkSystem } from './system.js'

/** An interface as a transport needs it. */
export interface InterfaceAddress {
  /** IPv4: the address itself. IPv6: the unspecified address with the interface as scope, `::%eth1`. */
  readonly address: string
  /** The system's number of the interface: another one under the same name has another. Undefined if it cannot be read now. */
  readonly index: string | undefined
  /** Its address of the family. */
  readonly own: string
}

/** Returns whether two readings show the same interface. An index that could not be read counts as unchanged. */
export function isSameInterface(one: InterfaceAddress, other: InterfaceAddress): boolean {
  return one.own === other.own && (one.index ?? other.index) === (other.index ?? one.index)
}

/**
 * Finds an interface that is up and has an address of a family.
 *
 * @returns undefined if there is none now.
 */
export function lookUpInterface(
  system: NetworkSystem,
  name: string,
  family: 'ipv4' | 'ipv6'
): InterfaceAddress | undefined {
  const wanted = family === 'ipv4' ? 'IPv4' : 'IPv6'
  const found = system.interfaces()[name]?.find((info) => info.family === wanted)
  if (found === undefined) return undefined
  const index = system.readText(`/sys/class/net/${name}/ifindex`)?.trim()
  return { address: family === 'ipv4' ? found.address : `::%${name}`, index, own: found.address }
}

/**
 * As {@link lookUpInterface}, for the start, where a missing one is an error.
 *
 * @throws IpvsSyncError `ERR_INTERFACE`: missing (names those that exist), down, or without an address of the family.
 */
export function findInterface(system: NetworkSystem, name: string, family: 'ipv4' | 'ipv6'): InterfaceAddress {
  const found = lookUpInterface(system, name, family)
  if (found !== undefined) return found
  switch (conditionOf(system, name)) {
    case 'missing': {
      const present = Object.keys(system.interfaces()).join(', ')
      throw missing(`there is no interface "${name}": these are up: ${present || 'none'}`)
    }
    case 'down':
      throw missing(`interface ${name} is down: bring it up with ip link set ${name} up`)
    case 'no-carrier':
      throw missing(`interface ${name} has no carrier: check its cable, its switch port and its peer`)
    case 'up':
      throw missing(`interface ${name} has no ${LABELS[family]} address: give it one`)
  }
}

/** Returns why an interface that was there cannot be used. */
export function lossOf(system: NetworkSystem, name: string, family: 'ipv4' | 'ipv6'): string {
  if (lookUpInterface(system, name, family) !== undefined)
    return `interface ${name} was replaced or has another address`
  switch (conditionOf(system, name)) {
    case 'missing':
      return `interface ${name} does not exist any more`
    case 'down':
      return `interface ${name} is down`
    case 'no-carrier':
      return `interface ${name} has no carrier`
    case 'up':
      return `interface ${name} has lost its ${LABELS[family]} address`
  }
}

const LABELS = { ipv4: 'IPv4', ipv6: 'IPv6' } as const

/** `IFF_UP` of an interface's flags: the administrator's wish, whatever the carrier. */
const UP = 1

function conditionOf(system: NetworkSystem, name: string): 'missing' | 'down' | 'no-carrier' | 'up' {
  if (system.interfaces()[name] !== undefined) return 'up'
  if (interfaceMtu(system, name) === undefined) return 'missing'
  const flags = Number(system.readText(`/sys/class/net/${name}/flags`)?.trim())
  if ((flags & UP) === 0) return 'down'
  // Of an interface that is up without an address the kernel's list of addresses shows nothing, too.
  return system.readText(`/sys/class/net/${name}/carrier`)?.trim() === '1' ? 'up' : 'no-carrier'
}

/** The largest packet that an interface carries; undefined where the system does not tell, or the name is no name. */
export function interfaceMtu(system: NetworkSystem, name: string): Bytes | undefined {
  if (name === '' || name.includes('/') || name.startsWith('.')) return undefined
  const mtu = Number.parseInt(system.readText(`/sys/class/net/${name}/mtu`) ?? '', 10)
  return Number.isNaN(mtu) ? undefined : mtu
}

/** Every address of this host. */
export function ownAddresses(system: NetworkSystem): ReadonlySet<string | undefined> {
  const all = Object.values(system.interfaces()).flat()
  return new Set(all.map((info) => info?.address))
}

function missing(message: string): IpvsSyncError {
  return new IpvsSyncError('ERR_INTERFACE', message, { field: 'mcastInterface' })
}
