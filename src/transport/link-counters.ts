/**
 * The kernel's counters of packets that never reach a socket: the only trace of most faults between a link and a program.
 *
 * @module
 */

import type { Bytes } from '../units.js'
import { interfaceMtu } from './interfaces.js'
import type { NetworkSystem } from './system.js'

/** Counters of one moment; undefined where the system does not report them. */
export interface LinkCounters {
  /** The interface's MTU. */
  readonly mtu: Bytes | undefined
  /** Packets that the interface dropped on reception, such as those above its MTU. */
  readonly interfaceDrops: number | undefined
  /** TcpExt IPReversePathFilter: packets that rp_filter dropped, of the whole host. */
  readonly reversePathDrops: number | undefined
  /** Ip ReasmFails: datagrams that lacked a fragment, of the whole host. */
  readonly reassemblyFailures: number | undefined
}

/** Reads the counters of a host and, where one is named, of an interface. Nothing throws. */
export function readLinkCounters(system: NetworkSystem, interfaceName: string | undefined): LinkCounters {
  const ofInterface = (read: (name: string) => number | undefined): number | undefined =>
    interfaceName === undefined || interfaceName.includes('/') ? undefined : read(interfaceName)
  const read = (path: string): string => {
    try {
      return system.readText(path) ?? ''
    } catch {
      return ''
    }
  }
  return {
    mtu: ofInterface((name) => interfaceMtu(system, name)),
    interfaceDrops: ofInterface((name) => numberOf(read(`/sys/class/net/${name}/statistics/rx_dropped`))),
    reversePathDrops: parseCounter(read('/proc/net/netstat'), 'TcpExt', 'IPReversePathFilter'),
    reassemblyFailures: parseCounter(read('/proc/net/snmp'), 'Ip', 'ReasmFails')
  }
}

/** Reads a counter of `/proc/net/snmp` or `/proc/net/netstat`; undefined where the kernel has none of that name. */
export function parseCounter(text: string, protocol: string, name: string): number | undefined {
  const rows = text.split('\n').filter((line) => line.startsWith(`${protocol}:`))
  const at = rows[0]?.split(' ').indexOf(name) ?? -1
  return at < 0 ? undefined : numberOf(rows[1]?.split(' ')[at] ?? '')
}

function numberOf(text: string): number | undefined {
  const value = Number.parseInt(text, 10)
  return Number.isNaN(value) ? undefined : value
}
