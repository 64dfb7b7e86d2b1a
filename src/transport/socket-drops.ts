/**
 * The kernel's own count of datagrams that a full receive buffer turned away: the only trace that they leave.
 *
 * @module
 */

import type { NetworkSystem } from './system.js'

/** Fields of a line of `/proc/net/udp` and `/proc/net/udp6`, split at white space. */
const FIELD = { LOCAL: 1, INODE: 9, DROPS: 12 } as const

/**
 * Sums the drop counters of this process's UDP sockets that are bound to a range of ports.
 *
 * @param system - Where `/proc/net/udp` is read, and which sockets are ours: other processes may share the group and port.
 * @param family - Chooses `/proc/net/udp` or `/proc/net/udp6`.
 * @param firstPort - The range's first port.
 * @param count - How many ports it has.
 * @returns undefined where the system does not tell.
 */
export function socketDrops(
  system: NetworkSystem,
  family: 'ipv4' | 'ipv6',
  firstPort: number,
  count: number
): number | undefined {
  const text = system.readText(family === 'ipv4' ? '/proc/net/udp' : '/proc/net/udp6')
  if (text === undefined) return undefined
  const own = system.socketInodes()
  let drops = 0
  for (const line of text.split('\n').slice(1)) {
    const fields = line.trim().split(/\s+/)
    const port = Number.parseInt(fields[FIELD.LOCAL]?.split(':')[1] ?? '', 16)
    if (!(port >= firstPort && port < firstPort + count) || !own.has(fields[FIELD.INODE] ?? '')) continue
    drops += Number(fields[FIELD.DROPS] ?? 0)
  }
  return drops
}
