/**
 * The lines of an agent's stored table (`--store`) that are no connections, and what they say of those that are.
 *
 * @module
 */

import { IpvsSyncError } from '../../errors.js'
import { SNAPSHOT_FORMAT } from '../../table/snapshot.js'
import type { Milliseconds, TimestampMs } from '../../units.js'

/** Looks at each object of a source; one that is no stored table passes it unchanged. */
export class StoredTable {
  /** Connections whose time has been over since the table was stored. */
  over = 0
  #age: Milliseconds | undefined
  #connections = 0
  #isWhole = false
  readonly #wallClock: TimestampMs

  /** @param wallClock - Milliseconds since 1970. */
  constructor(wallClock: TimestampMs) {
    this.#wallClock = wallClock
  }

  /** Whether an object is to be passed over: the first or last line, or a connection whose time is over. */
  passesOver(value: Record<string, unknown>): boolean {
    if (value['format'] === SNAPSHOT_FORMAT) {
      if (value['end'] === true) this.#isWhole = value['connections'] === this.#connections
      else this.#age = this.#wallClock - Number(value['savedAt'])
      return true
    }
    this.#connections++
    const isOver = this.#age !== undefined && Number(value['expires']) * 1000 <= this.#age
    if (isOver) this.over++
    return isOver
  }

  /**
   * Takes the end of the source.
   *
   * @param name - What to call the source.
   * @throws IpvsSyncError `ERR_CONFIG` for a stored table that was cut off.
   */
  end(name: string): void {
    if (this.#age === undefined || this.#isWhole) return
    throw new IpvsSyncError(
      'ERR_CONFIG',
      `${name}: a stored table that was cut off: its last line, which counts ${this.#connections} connections, is not there`
    )
  }
}
