/**
 * What `watch` shows: senders, rates, the table by protocol and state, the newest changes; of the live group, a running daemon's
 * HTTP server, or a capture replayed. Memory is bounded.
 *
 * @module
 */

import { setTimeout } from 'node:timers/promises'
import { readCapture } from '../../capture/read-capture.js'
import { aborted } from '../service.js'
import type { Host } from '../doctor/host.js'
import { datagramOf, listenOnPorts } from '../doctor/observe-link.js'
import { parseMetrics } from '../doctor/parse-proc.js'
import { connectionKey, type ObservedDatagram, TrafficObserver } from '../traffic/observer.js'
import { IpvsSyncError } from '../../errors.js'
import { counted } from '../../text.js'
import type { Seconds, TimestampMs } from '../../units.js'
import { PROBLEMS } from '../../wire/problems.js'

/** One sender as a row. */
export interface SenderRow {
  readonly address: string
  readonly syncid: number
  readonly versions: string
  readonly ports: string
  readonly messages: number
  /** Messages a second, over the last seconds. */
  readonly rate: number
  readonly connections: number
  readonly age: Seconds
  readonly lost: number | undefined
}

/** One kind of connection in the table. */
export interface TableRow {
  readonly protocol: string
  readonly state: string
  readonly connections: number
}

/** Everything that a screen shows at one moment. */
export interface WatchSnapshot {
  readonly source: string
  readonly senders: readonly SenderRow[]
  readonly table: readonly TableRow[]
  /** Newest first. */
  readonly changes: readonly string[]
  readonly problems: readonly string[]
  /** Messages in each of the last seconds, oldest first. */
  readonly history: readonly number[]
}

/** Connections that are kept; the oldest are forgotten first. */
const MOST_KEPT = 20_000
const MOST_CHANGES = 100
const HISTORY_SECONDS = 60
/** Seconds over which a rate is taken. */
const RATE_SECONDS = 5

interface Kept {
  readonly protocol: string
  readonly state: string
  readonly untilMs: TimestampMs
}

/** Counts by second, for rates and sparklines. */
class SecondCounts {
  readonly #counts: number[] = new Array<number>(HISTORY_SECONDS + 1).fill(0)
  #second = 0

  add(now: TimestampMs): void {
    this.#advance(now)
    this.#counts[this.#second % this.#counts.length]!++
  }

  /** Counts of the last complete seconds, oldest first. */
  last(seconds: number, now: TimestampMs): number[] {
    this.#advance(now)
    return Array.from({ length: seconds }, (_, index) => {
      const second = this.#second - seconds + index
      return second < 0 ? 0 : this.#counts[second % this.#counts.length]!
    })
  }

  #advance(now: TimestampMs): void {
    const second = Math.floor(now / 1000)
    const from = Math.max(this.#second + 1, second - this.#counts.length + 1)
    for (let clear = from; clear <= second; clear++) this.#counts[clear % this.#counts.length] = 0
    this.#second = Math.max(this.#second, second)
  }
}

/** Accumulates datagrams into {@link WatchSnapshot}s. */
export class WatchModel {
  readonly #source: string
  readonly #observer: TrafficObserver
  readonly #total = new SecondCounts()
  readonly #bySender = new Map<string, SecondCounts>()
  readonly #table = new Map<string, Kept>()
  readonly #changes: string[] = []

  /**
   * @param source - What is watched, for the title.
   * @param syncid - Connections of this syncid make the table; 0 takes all.
   */
  constructor(source: string, syncid: number) {
    this.#source = source
    this.#observer = new TrafficObserver(syncid)
  }

  /** Takes a datagram in. */
  observe(datagram: ObservedDatagram, now: TimestampMs): void {
    this.#total.add(now)
    const { address } = datagram
    let counts = this.#bySender.get(address)
    if (counts === undefined && this.#bySender.size < 256) this.#bySender.set(address, (counts = new SecondCounts()))
    counts?.add(now)
    for (const connection of this.#observer.observe(datagram, now)) {
      const key = connectionKey(connection)
      const known = this.#table.get(key)
      const { protocol, state, client, virtual, timeout } = connection
      if (known?.state !== state) {
        const kind = known === undefined ? 'new' : 'state'
        this.#changes.unshift(
          `${kind} ${protocol} ${client.address}:${client.port} -> ${virtual.address}:${virtual.port} ${state}`
        )
        if (this.#changes.length > MOST_CHANGES) this.#changes.pop()
      }
      this.#table.delete(key)
      this.#table.set(key, { protocol, state, untilMs: now + (timeout ?? 180) * 1000 })
      if (this.#table.size > MOST_KEPT) this.#table.delete(this.#table.keys().next().value!)
    }
  }

  /** Returns what is to be shown now. Connections whose timeout has expired leave the table. */
  snapshot(now: TimestampMs): WatchSnapshot {
    const { senders, agents, foreign } = this.#observer.report()
    const kinds = new Map<string, { protocol: string; state: string; connections: number }>()
    for (const [key, { protocol, state, untilMs }] of this.#table) {
      if (untilMs < now) {
        this.#table.delete(key)
        continue
      }
      const kind = kinds.get(`${protocol} ${state}`)
      if (kind === undefined) kinds.set(`${protocol} ${state}`, { protocol, state, connections: 1 })
      else kind.connections++
    }
    const problems = senders.flatMap(({ address, problems: found, lost }) => [
      ...Object.entries(found).map(([code, count]) => `${address}: ${code} ${count}${code in PROBLEMS ? '' : '?'}`),
      ...(lost !== undefined && lost > 0 ? [`${address}: ${counted(lost, 'message')} lost`] : [])
    ])
    return {
      source: this.#source,
      senders: senders.map((sender) => ({
        address: sender.address,
        syncid: sender.syncid,
        versions: sender.versions.join('+'),
        ports: sender.ports.length > 1 ? `${sender.ports[0]!}-${sender.ports.at(-1)!}` : String(sender.ports[0]),
        messages: sender.messages,
        rate: sum(this.#bySender.get(sender.address)?.last(RATE_SECONDS, now) ?? []) / RATE_SECONDS,
        connections: sender.connections,
        age: Math.max(0, now - sender.lastMs) / 1000,
        lost: sender.lost
      })),
      table: [...kinds.values()].sort((a, b) => b.connections - a.connections),
      changes: this.#changes,
      problems: [
        ...problems,
        ...agents.filter(({ ready }) => !ready).map(({ address }) => `agent at ${address} is not ready`),
        ...(foreign > 0 ? [`${counted(foreign, 'datagram')} not of this protocol`] : []),
        ...senders
          .filter(({ lastMs }) => now - lastMs > 30_000)
          .map(({ address, lastMs }) => `${address} silent for ${Math.floor((now - lastMs) / 1000)} s`)
      ],
      history: this.#total.last(HISTORY_SECONDS, now)
    }
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

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
  return { snapshot: () => model.snapshot(Date.now()), ended: aborted(end), close: () => listening.close() }
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
