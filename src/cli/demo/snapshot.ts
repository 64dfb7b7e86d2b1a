/**
 * State of the two demonstration processes, and the pairing of their tables.
 *
 * @module
 */
import type { TableConnection } from '../../wire/connection.js'

/** State of one process, read over HTTP. */
export interface ProcessView {
  readonly connections: readonly TableConnection[]
  /** Messages sent (master) or received (backup). */
  readonly messages: number
}

/** State of both processes at one time. */
export interface DemoSnapshot {
  readonly master: ProcessView
  readonly backup: ProcessView
  /** Seconds since both were up. */
  readonly seconds: number
}

/** Connection in the tables of the two processes. At least one of the two is defined. */
export interface Pair {
  readonly key: string
  readonly master: TableConnection | undefined
  readonly backup: TableConnection | undefined
}

/**
 * Pairs the two tables by protocol, client and virtual service, newest first.
 *
 * @param order - When each pair was first seen, by key: kept by the caller from picture to picture, so that lines stay.
 */
export function pairUp({ master, backup }: DemoSnapshot, order: Map<string, number>): Pair[] {
  const pairs = new Map<string, Pair>()
  for (const connection of master.connections) {
    const key = keyOf(connection)
    pairs.set(key, { key, master: connection, backup: undefined })
  }
  for (const connection of backup.connections) {
    const key = keyOf(connection)
    pairs.set(key, { key, master: pairs.get(key)?.master, backup: connection })
  }
  for (const key of pairs.keys()) if (!order.has(key)) order.set(key, order.size)
  return [...pairs.values()].sort((a, b) => order.get(b.key)! - order.get(a.key)!)
}

function keyOf({ protocol, client, virtual }: TableConnection): string {
  return `${protocol} ${client.address} ${client.port} ${virtual.address} ${virtual.port}`
}

/** Returns the sum of a metric's samples in Prometheus text, or 0 without samples. */
export function sumOf(metrics: string, name: string): number {
  let sum = 0
  for (const line of metrics.split('\n')) {
    if (!line.startsWith(name)) continue
    const rest = line.slice(name.length)
    if (rest.startsWith('{') || rest.startsWith(' ')) sum += Number(line.slice(line.lastIndexOf(' ') + 1))
  }
  return sum
}
