/**
 * What the demonstration sees of its two processes, and how the two tables are laid side by side.
 *
 * @module
 */
import type { TableConnection } from '../../wire/connection.js'

/** One process as its HTTP shows it. */
export interface ProcessView {
  readonly connections: readonly TableConnection[]
  /** Messages sent (master) or received (backup). */
  readonly messages: number
}

/** Both processes at one moment. */
export interface DemoSnapshot {
  readonly master: ProcessView
  readonly backup: ProcessView
  /** Seconds since both were up. */
  readonly seconds: number
}

/** A connection as the two processes have it; one of the two is there. */
export interface Pair {
  readonly key: string
  readonly master: TableConnection | undefined
  readonly backup: TableConnection | undefined
}

/** Pairs the two tables by protocol, client and virtual service, in the master's order, newest first; then the backup's own. */
export function pairUp({ master, backup }: DemoSnapshot): Pair[] {
  const theirs = new Map(backup.connections.map((connection) => [keyOf(connection), connection]))
  const pairs = master.connections.map((connection) => {
    const key = keyOf(connection)
    const pair = { key, master: connection, backup: theirs.get(key) }
    theirs.delete(key)
    return pair
  })
  const alone = [...theirs].map(([key, connection]) => ({ key, master: undefined, backup: connection }))
  return [...pairs.reverse(), ...alone]
}

function keyOf({ protocol, client, virtual }: TableConnection): string {
  return `${protocol} ${client.address} ${client.port} ${virtual.address} ${virtual.port}`
}

/** The sum of a metric's samples in Prometheus text; 0 where there are none. */
export function sumOf(metrics: string, name: string): number {
  let sum = 0
  for (const line of metrics.split('\n')) {
    if (!line.startsWith(name)) continue
    const rest = line.slice(name.length)
    if (rest.startsWith('{') || rest.startsWith(' ')) sum += Number(line.slice(line.lastIndexOf(' ') + 1))
  }
  return sum
}
