/**
 * An agent's ready file, if it has one.
 *
 * @module
 */

import { IpvsSyncError } from '../errors.js'
import type { TimestampMs } from '../units.js'
import type { AgentNotices } from './notices.js'
import { removeReadyFile, writeReadyFile, type Readiness } from './ready-file.js'

/** Writes and removes it. */
export class AgentReadyFile {
  readonly #path: string | undefined
  readonly #wallClock: () => TimestampMs
  readonly #notices: AgentNotices

  /** @param path - Nothing is written without it. */
  constructor(path: string | undefined, wallClock: () => TimestampMs, notices: AgentNotices) {
    this.#path = path
    this.#wallClock = wallClock
    this.#notices = notices
  }

  /** Writes the state; a failure is reported once. */
  write({ ready, outcome, status }: Readiness): void {
    const path = this.#path
    if (path === undefined) return
    const state = { ready, outcome, status, writtenAt: this.#wallClock() }
    this.#notices.attempt(`the ready file ${path}`, () => writeReadyFile(path, state))
  }

  /**
   * Removes it: who waits for it waits on.
   *
   * @throws IpvsSyncError `ERR_IO` where it is there to stay: it would say ready of an agent that is not.
   */
  remove(): void {
    if (this.#path === undefined) return
    try {
      removeReadyFile(this.#path)
    } catch (cause) {
      const text = `the ready file ${this.#path} cannot be removed: ${(cause as Error).message}`
      throw new IpvsSyncError('ERR_IO', text, { cause, field: 'readyFile' })
    }
  }
}
