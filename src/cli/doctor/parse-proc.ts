/**
 * Parsers of the files and command outputs that `doctor` reads. Pure.
 *
 * @module
 */

import { formatIpv4, formatIpv6 } from '../../addresses.js'
import type { KeepalivedFacts, KernelDaemon, SocketFacts } from './facts.js'

/** Reads `/proc/net/igmp`: the groups of one interface. */
export function parseIgmp(text: string, interfaceName: string): readonly string[] {
  const groups: string[] = []
  let isWanted = false
  for (const line of text.split('\n').slice(1)) {
    const device = /^\d+\s+(\S+?)\s*:/.exec(line)?.[1]
    if (device !== undefined) isWanted = device === interfaceName
    const word = /^\s+([\dA-F]{8})\s/.exec(line)?.[1]
    if (word !== undefined && isWanted) groups.push(formatIpv4(swapped(word)))
  }
  return groups
}

/** Reads `/proc/net/igmp6`: the groups of one interface. */
export function parseIgmp6(text: string, interfaceName: string): readonly string[] {
  return text.split('\n').flatMap((line) => {
    const [, device, group = ''] = /^\d+\s+(\S+)\s+([\da-f]{32})\s/.exec(line) ?? []
    return device === interfaceName ? [formatIpv6(wordsOf(group, (word) => Number.parseInt(word, 16) | 0))] : []
  })
}

/** Reads `/proc/net/udp` or `/proc/net/udp6`: sockets bound to, or connected to, a range of ports. */
export function parseUdp(text: string, first: number, last: number): readonly SocketFacts[] {
  const within = (port: number): boolean => port >= first && port <= last
  return text.split('\n').flatMap((line) => {
    const fields = line.trim().split(/\s+/)
    const [local, port] = endpointOf(fields[1])
    const [remote, remotePort] = endpointOf(fields[2])
    if (!within(port) && !within(remotePort)) return []
    return [
      {
        local,
        port,
        remote,
        remotePort,
        uid: Number(fields[7]),
        inode: Number(fields[9]),
        program: undefined,
        drops: Number(fields[12] ?? 0)
      }
    ]
  })
}

function endpointOf(text = ''): readonly [string, number] {
  const [address = '', port = ''] = text.split(':')
  if (!/^(?:[\dA-F]{8}|[\dA-F]{32})$/.test(address)) return ['', -1]
  const name = address.length === 8 ? formatIpv4(swapped(address)) : formatIpv6(wordsOf(address, swapped))
  return [name, Number.parseInt(port, 16)]
}

/** The kernel prints each 32-bit word of an address in the host's byte order, which is little-endian. */
function swapped(word: string): number {
  return Number.parseInt(word.match(/../g)!.reverse().join(''), 16) | 0
}

function wordsOf(address: string, read: (word: string) => number): number[] {
  return address.match(/.{8}/g)!.map(read)
}

/** Reads `ipvsadm -L --daemon`. */
export function parseDaemons(text: string): readonly KernelDaemon[] {
  return text.split('\n').flatMap((line) => {
    const [, role, rest = ''] = /^(master|backup) sync daemon \((.*)\)/.exec(line) ?? []
    if (role !== 'master' && role !== 'backup') return []
    const fields = new Map(rest.split(/,\s*/).map((field) => field.split('=') as [string, string]))
    const number = (name: string): number | undefined => (fields.has(name) ? Number(fields.get(name)) : undefined)
    return [
      {
        role,
        interfaceName: fields.get('mcast') ?? '',
        syncid: number('syncid') ?? 0,
        maxlen: number('maxlen'),
        group: fields.get('group'),
        port: number('port'),
        ttl: number('ttl')
      }
    ]
  })
}

/** Reads keepalived's configuration: `lvs_sync_daemon` in its old and new form, and `vrrp_notify_fifo`. */
export function parseKeepalived(text: string): Omit<KeepalivedFacts, 'fifoState'> {
  const plain = text.replace(/[#!].*$/gm, '')
  const block = /\blvs_sync_daemon\s+(?:\{([^}]*)\}|(.*))/.exec(plain)
  const inline = (block?.[2] ?? '').trim().split(/\s+/)
  const body = block?.[1] ?? ''
  const id =
    /\b(?:id|syncid)\s+(\d+)/.exec(body || inline.join(' '))?.[1] ?? inline.slice(2).find((word) => /^\d+$/.test(word))
  return {
    syncInterface:
      block === null ? undefined : (/\binterface\s+(\S+)/.exec(body)?.[1] ?? inline.find((word) => word !== '')),
    syncid: id === undefined ? undefined : Number(id),
    fifo: /\bvrrp_notify_fifo\s+"?([^\s"]+)/.exec(plain)?.[1]
  }
}

/** Reads Prometheus text: each sample, and the sum of those of one name. */
export function parseMetrics(text: string): Readonly<Record<string, number>> {
  const metrics: Record<string, number> = {}
  for (const line of text.split('\n')) {
    const [, name = '', labels = '', value = ''] = /^(\w+)(\{.*\})? (\S+)$/.exec(line) ?? []
    if (name === '') continue
    metrics[name] = (metrics[name] ?? 0) + Number(value)
    if (labels !== '') metrics[name + labels] = Number(value)
  }
  return metrics
}
