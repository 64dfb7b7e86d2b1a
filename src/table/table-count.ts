/**
 * What a table counts of itself.
 *
 * @module
 */
import { FLAG } from '../wire/constants.js'

/** How many connections there are of a protocol and an origin. */
export interface TableCount {
  readonly protocol: number
  readonly origin: 'LOCAL' | 'SYNC'
  readonly connections: number
}

/** Counts a table's connections, as they come and go. */
export class TableCounts {
  /** Connections whose client's port is still open. */
  openPorts = 0
  /** By protocol, then by origin. */
  readonly #connections = new Int32Array(512)

  /** One more, or one less. */
  add(flags: number, protocol: number, by: 1 | -1): void {
    this.#connections[(protocol << 1) | ((flags & FLAG.SYNC) === 0 ? 0 : 1)]! += by
    if ((flags & FLAG.NO_CPORT) !== 0) this.openPorts += by
  }

  /** Those that are not 0. */
  report(): TableCount[] {
    const found: TableCount[] = []
    this.#connections.forEach((connections, at) => {
      if (connections > 0) found.push({ protocol: at >>> 1, origin: (at & 1) === 1 ? 'SYNC' : 'LOCAL', connections })
    })
    return found
  }

  /** Forgets all. */
  clear(): void {
    this.#connections.fill(0)
    this.openPorts = 0
  }
}
