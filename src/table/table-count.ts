/**
 * Counts of a table's connections.
 *
 * @module
 */
import { FLAG } from '../wire/constants.js'

/** Number of connections of one protocol and origin. */
export interface TableCount {
  /** IP protocol number. */
  readonly protocol: number
  /** `LOCAL` was made here, `SYNC` was received. */
  readonly origin: 'LOCAL' | 'SYNC'
  /** At least 1. */
  readonly connections: number
}

/** Counts connections as they are added and removed. */
export class TableCounts {
  /** Connections with NO_CPORT: their client port is not known yet. */
  openPorts = 0
  /** By protocol, then by origin. */
  readonly #connections = new Int32Array(512)

  /** Counts one connection more, or one less. */
  add(flags: number, protocol: number, by: 1 | -1): void {
    this.#connections[(protocol << 1) | ((flags & FLAG.SYNC) === 0 ? 0 : 1)]! += by
    if ((flags & FLAG.NO_CPORT) !== 0) this.openPorts += by
  }

  /** Returns the counts; zero counts are omitted. */
  report(): TableCount[] {
    const found: TableCount[] = []
    this.#connections.forEach((connections, at) => {
      if (connections > 0) found.push({ protocol: at >>> 1, origin: (at & 1) === 1 ? 'SYNC' : 'LOCAL', connections })
    })
    return found
  }

  /** Sets all counts to 0. */
  clear(): void {
    this.#connections.fill(0)
    this.openPorts = 0
  }
}
