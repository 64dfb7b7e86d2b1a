/**
 * Collects the facts of this host: files of /proc and /sys, a few commands, and the link for some seconds. Read-only.
 *
 * @module
 */

import { addressFamily } from '../../addresses.js'
import { readCapture } from '../../capture/read-capture.js'
import {
  type DaemonFacts,
  type Facts,
  type Growth,
  type InterfaceFacts,
  type IpvsFacts,
  type KeepalivedFacts,
  type Reading,
  type SocketFacts,
  valueOf,
  type Wanted
} from './facts.js'
import { parseIptables, parseNft, type Ruleset } from './firewall-rules.js'
import type { Host } from './host.js'
import { captureLink, datagramOf, isSync, listenOnPorts } from './observe-link.js'
import { parseDaemons, parseIgmp, parseIgmp6, parseKeepalived, parseMetrics, parseUdp } from './parse-proc.js'
import { connectionKey, TrafficObserver, type TrafficReport } from '../traffic/observer.js'
import { readKernelTable } from '../../procfs/kernel-table.js'
import { readLiveSysctls } from '../../procfs/read-sysctls.js'
import { parseServices, SERVICES_FILE } from '../../procfs/services.js'
import type { Sysctls } from '../../sysctl/settings.js'
import { parseCounter } from '../../transport/link-counters.js'
import type { Connection } from '../../wire/connection.js'
import { MAX_CHANNELS } from '../../wire/constants.js'
import { connectionFromRow } from '../../wire/row-values.js'

/** How facts are collected. */
export interface CollectOptions {
  readonly wanted: Wanted
  readonly host: Host
  /** `host:port` of a running daemon's HTTP server. */
  readonly http: string | undefined
  /** Resolves at the end of the observation, or when the user interrupts it. */
  readonly wait: (seconds: number) => Promise<void>
  readonly now: () => number
}

/** Collects all facts. Nothing throws: what cannot be read carries its reason. */
export async function collectFacts({ wanted, host, http, wait, now }: CollectOptions): Promise<Facts> {
  const found = await interfaceFacts(host, wanted)
  const { group, interfaceName = '' } = wanted
  const isIpv6 = addressFamily(group) === 6
  const text = await host.readText(isIpv6 ? '/proc/net/igmp6' : '/proc/net/igmp')
  const memberships = 'reason' in text ? text : { value: (isIpv6 ? parseIgmp6 : parseIgmp)(text.value, interfaceName) }
  const before = await countersOf(host, wanted)
  const observer = new TrafficObserver(wanted.syncid)
  const canListen = found === undefined || (found.exists && found.addresses.length > 0)
  const listening = canListen
    ? await listenOnPorts(host, {
        wanted,
        address:
          addressFamily(wanted.group) === 6 ? `::%${wanted.interfaceName ?? ''}` : found?.addresses[0]?.split('/')[0],
        onDatagram: (datagram) => observer.observe(datagram, now())
      })
    : undefined
  const end = new AbortController()
  const capturing =
    found?.exists === false
      ? Promise.resolve({ reason: 'the interface does not exist' })
      : captureLink(host, wanted, now, end.signal)
  await wait(wanted.seconds).finally(() => end.abort())
  const wire = await capturing
  const after = await countersOf(host, wanted)
  await listening?.close()
  const { traffic, observed } = trafficOf(wanted, found, observer.report(), listening?.isOpen === true, wire)
  return {
    wanted,
    now: now(),
    hz: await hzOf(host),
    interface: found,
    memberships,
    rpFilter: await rpFilterOf(host, wanted),
    rpDrops: growthOf(before.rpDrops, after.rpDrops),
    ignoredMulticast: growthOf(before.ignored, after.ignored),
    reassemblyFailures: growthOf(before.reassembly, after.reassembly),
    firewall: await firewallOf(host),
    sockets: await withPrograms(host, before.sockets),
    drops: dropsOf(before.sockets, after.sockets),
    rmemMax: await numberOf(host, '/proc/sys/net/core/rmem_max'),
    rmemDefault: await numberOf(host, '/proc/sys/net/core/rmem_default'),
    bindFailures: wanted.peers.length === 0 ? (listening?.failures ?? {}) : {},
    observed,
    traffic,
    wire,
    ipvs: await ipvsOf(host, traffic.connections),
    keepalived: await keepalivedOf(host),
    daemon: http === undefined ? undefined : await daemonOf(host, http)
  }
}

/** A unicast port belongs to the running backup; then the capture shows what it receives. */
function trafficOf(
  wanted: Wanted,
  found: InterfaceFacts | undefined,
  received: TrafficReport,
  isOpen: boolean,
  wire: Facts['wire']
): { traffic: TrafficReport; observed: Reading<true> } {
  if (isOpen) return { traffic: received, observed: { value: true } }
  if (wanted.peers.length === 0)
    return {
      traffic: received,
      observed: { reason: 'no socket could listen on the group: see the checks of the interface' }
    }
  const seen = valueOf(wire)
  if (seen === undefined)
    return {
      traffic: received,
      observed: {
        reason: `port ${wanted.port} belongs to a running backup, and ${'reason' in wire ? wire.reason : ''}`
      }
    }
  const own = new Set((found?.addresses ?? []).map((address) => address.split('/')[0]))
  return {
    traffic: { ...seen.traffic, senders: seen.traffic.senders.filter(({ address }) => !own.has(address)) },
    observed: { value: true }
  }
}

async function interfaceFacts(host: Host, { interfaceName, group }: Wanted): Promise<InterfaceFacts | undefined> {
  if (interfaceName === undefined) return undefined
  const folder = `/sys/class/net/${interfaceName.replaceAll('/', '')}`
  const names = await host.list('/sys/class/net')
  const flags = Number(valueOf(await host.readText(`${folder}/flags`))?.trim() ?? NaN)
  const carrier = valueOf(await host.readText(`${folder}/carrier`))?.trim()
  const mtu = Number.parseInt(valueOf(await host.readText(`${folder}/mtu`)) ?? '', 10)
  const family = addressFamily(group) === 6 ? 'IPv6' : 'IPv4'
  const addresses = (host.interfaces()[interfaceName] ?? []).filter((one) => one.family === family)
  return {
    exists: !Number.isNaN(flags),
    up: (flags & 1) !== 0,
    carrier: carrier === undefined ? undefined : carrier === '1',
    multicast: (flags & 0x1000) !== 0,
    mtu: Number.isNaN(mtu) ? undefined : mtu,
    addresses: addresses.map(({ cidr, address }) => cidr ?? address),
    names
  }
}

interface Counters {
  readonly rpDrops: Reading<number>
  readonly ignored: Reading<number>
  readonly reassembly: Reading<number>
  readonly sockets: Reading<readonly SocketFacts[]>
}

async function countersOf(host: Host, { group, peers, port }: Wanted): Promise<Counters> {
  const isIpv6 = addressFamily(peers[0] ?? group) === 6
  const [netstat, snmp, udp] = await Promise.all(
    ['/proc/net/netstat', '/proc/net/snmp', isIpv6 ? '/proc/net/udp6' : '/proc/net/udp'].map((path) =>
      host.readText(path)
    )
  )
  const counter = (text: Reading<string>, protocol: string, name: string): Reading<number> => {
    if ('reason' in text) return text
    const value = parseCounter(text.value, protocol, name)
    return value === undefined ? { reason: `this kernel has no counter ${name}` } : { value }
  }
  return {
    rpDrops: counter(netstat!, 'TcpExt', 'IPReversePathFilter'),
    ignored: counter(snmp!, 'Udp', 'IgnoredMulti'),
    reassembly: counter(snmp!, 'Ip', 'ReasmFails'),
    sockets: 'reason' in udp! ? udp : { value: parseUdp(udp!.value, port, port + MAX_CHANNELS - 1) }
  }
}

function growthOf(before: Reading<number>, after: Reading<number>): Reading<Growth> {
  if ('reason' in before) return before
  return 'reason' in after ? after : { value: { before: before.value, after: after.value } }
}

/** Drops of the sockets that were there before; doctor's own do not count. */
function dropsOf(before: Counters['sockets'], after: Counters['sockets']): Reading<Growth> {
  const total = (sockets: readonly SocketFacts[], keep: ReadonlySet<number>): number =>
    sockets.reduce((sum, { inode, drops }) => sum + (keep.has(inode) ? drops : 0), 0)
  if ('reason' in before) return before
  if ('reason' in after) return after
  const inodes = new Set(before.value.map(({ inode }) => inode))
  return { value: { before: total(before.value, inodes), after: total(after.value, inodes) } }
}

/** Names the programs whose descriptors may be read. */
async function withPrograms(host: Host, sockets: Counters['sockets']): Promise<Counters['sockets']> {
  if ('reason' in sockets || sockets.value.length === 0) return sockets
  const wanted = new Map(sockets.value.map(({ inode }) => [`socket:[${inode}]`, inode]))
  const programs = new Map<number, string>()
  for (const pid of (await host.list('/proc')).filter((name) => /^\d+$/.test(name)))
    for (const descriptor of await host.list(`/proc/${pid}/fd`)) {
      const inode = wanted.get(await host.link(`/proc/${pid}/fd/${descriptor}`))
      if (inode !== undefined && !programs.has(inode))
        programs.set(inode, `${(valueOf(await host.readText(`/proc/${pid}/comm`)) ?? '').trim()} (pid ${pid})`)
    }
  return { value: sockets.value.map((socket) => ({ ...socket, program: programs.get(socket.inode) })) }
}

/** The kernel uses the stricter of the two settings. */
async function rpFilterOf(host: Host, { interfaceName = 'default' }: Wanted): Promise<Reading<number>> {
  const [all, own] = await Promise.all(
    ['all', interfaceName].map((name) => numberOf(host, `/proc/sys/net/ipv4/conf/${name}/rp_filter`))
  )
  if ('reason' in all!) return all
  return 'reason' in own! ? own : { value: Math.max(all!.value, own!.value) }
}

async function numberOf(host: Host, path: string): Promise<Reading<number>> {
  const text = await host.readText(path)
  return 'reason' in text ? text : { value: Number.parseInt(text.value, 10) }
}

async function firewallOf(host: Host): Promise<Reading<readonly Ruleset[]>> {
  const [nft, v4, v6] = await Promise.all([
    host.run('nft', ['-j', 'list', 'ruleset']),
    host.run('iptables-save', ['-c']),
    host.run('ip6tables-save', ['-c'])
  ])
  const rulesets = [
    ...('value' in nft ? (parseNft(nft.value) ?? []) : []),
    ...('value' in v4 ? parseIptables(v4.value) : []),
    ...('value' in v6 ? parseIptables(v6.value, 'ip6tables') : [])
  ]
  if ('reason' in nft && 'reason' in v4) return { reason: `${nft.reason}; ${v4.reason}` }
  return { value: rulesets }
}

async function ipvsOf(host: Host, received: readonly Connection[]): Promise<Reading<IpvsFacts>> {
  const services = await host.readText(SERVICES_FILE)
  if ('reason' in services && services.reason.includes('no such file'))
    return { reason: 'ip_vs is not loaded; the roles of ipvs-sync work without it' }
  const text = await host.run('ipvsadm', ['-L', '--daemon'])
  const daemons: IpvsFacts['daemons'] = 'reason' in text ? text : { value: parseDaemons(text.value) }
  const hasBackup = 'value' in daemons && daemons.value.some(({ role }) => role === 'backup')
  return {
    value: {
      services: 'reason' in services ? services : { value: parseServices(services.value).services },
      sysctls: sysctlsOf(),
      daemons,
      held: hasBackup && received.length > 0 ? await heldOf(received) : { reason: 'no connection was received' }
    }
  }
}

/* c8 ignore start -- needs ip_vs in the running kernel, which no test host has */
function sysctlsOf(): Reading<Sysctls> {
  try {
    return { value: readLiveSysctls().settings }
  } catch (error) {
    return { reason: (error as Error).message }
  }
}

async function heldOf(received: readonly Connection[]): Promise<Reading<number>> {
  const wanted = new Set(received.map(connectionKey))
  let held = 0
  try {
    for await (const rows of readKernelTable())
      for (let row = 0; row < rows.count; row++) if (wanted.delete(connectionKey(connectionFromRow(rows, row)))) held++
    return { value: held }
  } catch (error) {
    return { reason: (error as Error).message }
  }
}
/* c8 ignore stop */

async function keepalivedOf(host: Host): Promise<Reading<KeepalivedFacts>> {
  const text = await host.readText('/etc/keepalived/keepalived.conf')
  if ('reason' in text) return text
  const parsed = parseKeepalived(text.value)
  return { value: { ...parsed, fifoState: parsed.fifo === undefined ? undefined : await host.kindOf(parsed.fifo) } }
}

async function daemonOf(host: Host, http: string): Promise<Reading<DaemonFacts>> {
  try {
    const readiness = await host.get(`http://${http}/readyz`)
    const { text } = await host.get(`http://${http}/metrics`)
    return {
      value: {
        ready: readiness.status === 200,
        status: readiness.text.trim().slice(0, 200),
        metrics: parseMetrics(text)
      }
    }
  } catch (error) {
    return { reason: `http://${http}: ${(error as Error).message}` }
  }
}

async function hzOf(host: Host): Promise<Reading<number>> {
  const release = await host.readText('/proc/sys/kernel/osrelease')
  if ('reason' in release) return release
  const config = await host.readText(`/boot/config-${release.value.trim()}`)
  if ('reason' in config) return config
  const hz = /^CONFIG_HZ=(\d+)/m.exec(config.value)?.[1]
  return hz === undefined ? { reason: 'the kernel’s configuration names no HZ' } : { value: Number(hz) }
}

/**
 * Reads a capture.
 *
 * @throws IpvsSyncError `ERR_IO` or `ERR_CAPTURE`.
 */
export async function factsOfCapture(source: AsyncIterable<Uint8Array>, wanted: Wanted): Promise<Facts> {
  const received = new TrafficObserver(wanted.syncid)
  const all = new TrafficObserver(wanted.syncid)
  let [first, last] = [NaN, NaN]
  for await (const item of readCapture(source)) {
    if (item.kind !== 'datagram' || !isSync(item, wanted.port, wanted.port + MAX_CHANNELS - 1)) continue
    const { destination, time } = item
    const now = time?.ms ?? 0
    const isOnPorts = destination.port >= wanted.port && destination.port < wanted.port + MAX_CHANNELS
    if (Number.isNaN(first)) first = now
    last = now
    all.observe(datagramOf(item), now)
    if (isOnPorts && (wanted.peers.length > 0 || destination.address === wanted.group))
      received.observe(datagramOf(item), now)
  }
  const unknown = { reason: 'a capture does not show it' }
  return {
    wanted: { ...wanted, seconds: Number.isNaN(first) ? 0 : Math.round((last - first) / 1000) },
    now: last,
    hz: unknown,
    interface: undefined,
    memberships: unknown,
    rpFilter: unknown,
    rpDrops: unknown,
    ignoredMulticast: unknown,
    reassemblyFailures: unknown,
    firewall: unknown,
    sockets: unknown,
    drops: unknown,
    rmemMax: unknown,
    rmemDefault: unknown,
    bindFailures: {},
    observed: { value: true },
    traffic: received.report(),
    wire: { value: { traffic: all.report(), querier: false } },
    ipvs: unknown,
    keepalived: unknown,
    daemon: undefined
  }
}
