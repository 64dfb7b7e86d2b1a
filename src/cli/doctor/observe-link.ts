/**
 * Observes a link for a while: by sockets on every sync port, and by tcpdump where it may run.
 *
 * @module
 */

import type { Socket } from 'node:dgram'
import { CaptureReader } from '../../capture/capture-reader.js'
import type { CapturedDatagram } from '../../capture/items.js'
import { MAX_CHANNELS } from '../../wire/constants.js'
import { readHeader, TrafficObserver, type ObservedDatagram } from '../traffic/observer.js'
import type { Reading, Wanted, WireFacts } from './facts.js'
import type { Host } from './host.js'

/** What the sockets delivered, and which ports could not be bound. */
export interface Listening {
  readonly failures: Readonly<Record<string, string>>
  /** Whether channel 0 could be bound. */
  readonly isOpen: boolean
  close(): Promise<void>
}

/** How sockets are opened. */
export interface ListenOptions {
  readonly wanted: Pick<Wanted, 'group' | 'port' | 'peers'>
  /** Address of the interface, or the scope of an IPv6 one; undefined where it has none. */
  readonly address: string | undefined
  readonly onDatagram: (datagram: ObservedDatagram) => void
}

/**
 * Opens a socket on each of the 64 ports that a master may use. Multicast ports are shared: every socket receives its own
 * copy. A unicast port is not, since a second socket would take the datagrams of the running backup.
 */
export async function listenOnPorts(host: Host, { wanted, address, onDatagram }: ListenOptions): Promise<Listening> {
  const { group, port: first, peers } = wanted
  const isIpv6 = (peers[0] ?? group).includes(':')
  const failures: Record<string, string> = {}
  const sockets: Socket[] = []
  const open = async (port: number): Promise<void> => {
    const socket = host.createSocket({ type: isIpv6 ? 'udp6' : 'udp4', reuseAddr: peers.length === 0 })
    socket.on('message', (payload, from) => {
      onDatagram({ payload, size: payload.length, address: from.address.replace(/%.*$/, ''), port, fragments: 1 })
    })
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once('error', reject)
        const at = peers.length > 0 ? {} : { address: isIpv6 ? `${group}${address?.slice(2) ?? ''}` : group }
        socket.bind({ ...at, port, exclusive: true }, resolve)
      })
      if (peers.length === 0) socket.addMembership(group, address)
      socket.on('error', () => undefined)
      sockets.push(socket)
    } catch (error) {
      failures[port] = (error as Error).message
      await new Promise<void>((resolve) => socket.close(() => resolve()))
    }
  }
  const count = Math.min(MAX_CHANNELS, 65_536 - first)
  await Promise.all(Array.from({ length: count }, (_, index) => open(first + index)))
  return {
    failures,
    isOpen: failures[first] === undefined,
    async close() {
      await Promise.all(sockets.map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))))
    }
  }
}

/**
 * Captures with tcpdump, without promiscuous mode, until the signal aborts.
 *
 * @returns What crossed the interface, before any firewall; or why tcpdump could not run.
 */
export async function captureLink(
  host: Host,
  wanted: Wanted,
  now: () => number,
  end: AbortSignal
): Promise<Reading<WireFacts>> {
  const { interfaceName, port, syncid } = wanted
  if (interfaceName === undefined) return { reason: 'no --mcast-interface given, so nothing is captured' }
  const observer = new TrafficObserver(syncid)
  const reader = new CaptureReader()
  const last = Math.min(65_535, port + MAX_CHANNELS - 1)
  const filter = `(udp and (ether multicast or dst portrange ${port}-${last})) or (ip[6:2] & 0x1fff != 0)`
  let querier = false
  const [fault] = await Promise.all([
    host.follow(
      'tcpdump',
      ['-i', interfaceName, '-n', '-p', '-U', '-w', '-', filter],
      (chunk) => {
        for (const item of reader.push(chunk))
          if (item.kind === 'datagram' && isSync(item, port, last)) observer.observe(datagramOf(item), now())
      },
      end
    ),
    host.follow(
      'tcpdump',
      ['-i', interfaceName, '-n', '-p', '-l', 'igmp or (ip6 and ip6[48] == 130)'],
      (chunk) => {
        querier ||= /query/i.test(Buffer.from(chunk).toString('latin1'))
      },
      end
    )
  ])
  return fault === undefined ? { value: { traffic: observer.report(), querier } } : { reason: fault }
}

/** Sync ports are judged whatever arrives; of other ports only what has the form of a version 1 message. */
export function isSync({ payload, wireLength, destination }: CapturedDatagram, first: number, last: number): boolean {
  const header = readHeader(payload)
  if (header === undefined) return false
  if (destination.port >= first && destination.port <= last) return true
  return header.version === 1 && header.size === wireLength
}

/** A captured datagram as the observer takes it. */
export function datagramOf({
  payload,
  wireLength,
  source,
  destination,
  fragments
}: CapturedDatagram): ObservedDatagram {
  return {
    payload,
    size: wireLength,
    address: source.address,
    port: destination.port,
    group: destination.address,
    fragments
  }
}
