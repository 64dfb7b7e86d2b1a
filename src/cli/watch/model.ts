/**
 * State behind the screen of `watch`: senders, rates, the table by protocol and state, the newest changes. Pure; time is
 * passed in, and memory is bounded.
 *
 * @module
 */

import { counted } from '../../text.js'
import { PROBLEMS } from '../../wire/problems.js'
import type { Seconds, TimestampMs } from '../../units.js'
import { connectionKey, TrafficObserver, type ObservedDatagram } from '../traffic/observer.js'

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
      if (known?.state !== state)
        this.#note(
          `${known === undefined ? 'new' : 'state'} ${protocol} ${client.address}:${client.port} -> ${virtual.address}:${virtual.port} ${state}`
        )
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

  #note(change: string): void {
    this.#changes.unshift(change)
    if (this.#changes.length > MOST_CHANGES) this.#changes.pop()
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
