/**
 * What `watch` can watch: the live group, a running daemon's HTTP server, or a capture replayed.
 *
 * @module
 */

import { setTimeout } from 'node:timers/promises'
import { readCapture } from '../../capture/read-capture.js'
import { IpvsSyncError } from '../../errors.js'
import { parseMetrics } from '../doctor/parse-proc.js'
import type { Host } from '../doctor/host.js'
import { datagramOf, listenOnPorts } from '../doctor/observe-link.js'
import { WatchModel, type WatchSnapshot } from './model.js'

/** Delivers snapshots; runs until the signal aborts or it ends by itself. */
export interface WatchSource {
  /** The state now. */
  snapshot(): WatchSnapshot
  /** Resolves when there is nothing more to watch. */
  readonly ended: Promise<void>
  close(): Promise<void>
}

/** Where the live group is. */
export interface LiveOptions {
  readonly interfaceName: string
  readonly syncid: number
  readonly group: string
  readonly port: number
}

/**
 * Watches the group.
 *
 * @throws IpvsSyncError `ERR_INTERFACE` where the interface has no address, `ERR_TRANSPORT` where the port cannot be bound.
 */
export async function watchGroup(host: Host, options: LiveOptions, end: AbortSignal): Promise<WatchSource> {
  const { interfaceName, syncid, group, port } = options
  const isIpv6 = group.includes(':')
  const found = host.interfaces()[interfaceName]?.find(({ family }) => family === (isIpv6 ? 'IPv6' : 'IPv4'))
  if (found === undefined)
    throw new IpvsSyncError(
      'ERR_INTERFACE',
      `--mcast-interface: expected an interface that is up and has an ${isIpv6 ? 'IPv6' : 'IPv4'} address, got ${interfaceName}`,
      { field: 'mcast-interface' }
    )
  const model = new WatchModel(`${group}:${port} on ${interfaceName}, syncid ${syncid === 0 ? 'any' : syncid}`, syncid)
  const listening = await listenOnPorts(host, {
    wanted: { group, port, peers: [] },
    address: isIpv6 ? `::%${interfaceName}` : found.address,
    onDatagram: (datagram) => model.observe(datagram, Date.now())
  })
  if (!listening.isOpen) {
    await listening.close()
    throw new IpvsSyncError('ERR_TRANSPORT', `listening on ${group}:${port}: ${listening.failures[port] ?? ''}`)
  }
  return { snapshot: () => model.snapshot(Date.now()), ended: untilAborted(end), close: () => listening.close() }
}

/** Replays a capture in its own time, `speed` times as fast; 0 replays it at once. */
export function watchCapture(
  name: string,
  bytes: AsyncIterable<Uint8Array>,
  syncid: number,
  speed: number,
  end: AbortSignal
): WatchSource {
  const model = new WatchModel(`${name}, replayed${speed === 0 ? '' : ` at ${speed} times its speed`}`, syncid)
  let now = 0
  const replay = async (): Promise<void> => {
    for await (const item of readCapture(bytes, { ports: [[8848, 8911]] })) {
      if (end.aborted) return
      if (item.kind !== 'datagram') continue
      const at = item.time?.ms ?? now
      if (now > 0 && at > now && speed > 0)
        await setTimeout((at - now) / speed, undefined, { signal: end }).catch(() => undefined)
      now = Math.max(now, at)
      model.observe(datagramOf(item), now)
    }
  }
  return { snapshot: () => model.snapshot(now), ended: replay(), close: () => Promise.resolve() }
}

/** Resolves after a second, or when the signal aborts. */
async function aSecond(signal: AbortSignal): Promise<void> {
  await setTimeout(1000, undefined, { signal }).catch(() => undefined)
}

/**
 * Watches a running daemon by its metrics, once a second.
 *
 * @param pause - Waits until the next query; a test gives its own.
 */
export function watchHttp(host: Host, address: string, end: AbortSignal, pause = aSecond): WatchSource {
  let latest: WatchSnapshot = {
    source: `http://${address}`,
    senders: [],
    table: [],
    changes: [],
    problems: ['no answer yet'],
    history: []
  }
  let before: number | undefined
  const history: number[] = []
  const poll = async (): Promise<void> => {
    while (!end.aborted) {
      try {
        const readiness = await host.get(`http://${address}/readyz`)
        const { text } = await host.get(`http://${address}/metrics`)
        const metrics = parseMetrics(text)
        const total =
          (metrics['ipvs_sync_messages_received_total'] ?? 0) + (metrics['ipvs_sync_messages_sent_total'] ?? 0)
        history.push(before === undefined ? 0 : Math.max(0, total - before))
        if (history.length > 60) history.shift()
        before = total
        latest = snapshotOfMetrics(address, readiness, metrics, history)
      } catch (error) {
        latest = { ...latest, problems: [`no answer: ${(error as Error).message}`] }
      }
      await pause(end)
    }
  }
  return { snapshot: () => latest, ended: poll(), close: () => Promise.resolve() }
}

function snapshotOfMetrics(
  address: string,
  readiness: { readonly status: number; readonly text: string },
  metrics: Readonly<Record<string, number>>,
  history: readonly number[]
): WatchSnapshot {
  const labelled = (name: string): [labels: string, value: number][] =>
    Object.entries(metrics).flatMap(([key, value]) =>
      key.startsWith(`${name}{`) ? [[key.slice(name.length), value]] : []
    )
  const label = (labels: string, name: string): string => new RegExp(`${name}="([^"]*)"`).exec(labels)?.[1] ?? ''
  const rate = history.slice(-5).reduce((sum, value) => sum + value, 0) / Math.max(1, Math.min(5, history.length))
  return {
    source: `http://${address}: ${readiness.text.trim()}`,
    senders: labelled('ipvs_sync_last_message_seconds').map(([labels, age]) => ({
      address: label(labels, 'sender'),
      syncid: 0,
      versions: '-',
      ports: '-',
      messages: metrics['ipvs_sync_messages_received_total'] ?? 0,
      rate,
      connections: metrics['ipvs_sync_connections_applied_total'] ?? 0,
      age,
      lost: undefined
    })),
    table: labelled('ipvs_sync_table_connections').map(([labels, connections]) => ({
      protocol: label(labels, 'protocol'),
      state: label(labels, 'origin'),
      connections
    })),
    changes: [],
    problems: [
      ...(readiness.status === 200 ? [] : [`not ready: ${readiness.text.trim()}`]),
      ...[...labelled('ipvs_sync_messages_dropped_total'), ...labelled('ipvs_sync_connections_skipped_total')]
        .filter(([, value]) => value > 0)
        .map(([labels, value]) => `${label(labels, 'reason')} ${value}`),
      ...((metrics['ipvs_sync_socket_drops_total'] ?? 0) > 0
        ? [`socket drops ${metrics['ipvs_sync_socket_drops_total']!}`]
        : [])
    ],
    history: [...history]
  }
}

async function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
