/**
 * A file that states whether an agent is ready: for checks that do not use HTTP.
 *
 * @module
 */

import { readFileSync, rmSync } from 'node:fs'
import { distrustOf, replaceFileSync } from '../daemon/replace-file.js'
import { IpvsSyncError } from '../errors.js'
import type { Milliseconds, TimestampMs } from '../units.js'
import type { AgentOutcome } from './protocol/options.js'
import type { AgentNotices } from './notices.js'

/** A table on its way to an agent. */
export interface TransferState {
  /** Connections received so far, and those that the table should have. */
  readonly received: number
  readonly expected: number
  /** Connections a second, and the estimated time until the rest is here; undefined before the first connection. */
  readonly rate?: number | undefined
  readonly remainingMs?: Milliseconds | undefined
}

/** Content of the file: one object of JSON. */
export interface ReadyState {
  readonly ready: boolean
  /** Why the agent is ready; undefined while it is not. */
  readonly outcome?: AgentOutcome | undefined
  /** The status in one line. */
  readonly status: string
  /** The table that is being received, if one is. */
  readonly transfer?: TransferState | undefined
  /** When it was written, in milliseconds since 1970. */
  readonly writtenAt: TimestampMs
  /** The kernel's boot id: a file of an earlier boot does not count. The current one by default. */
  readonly boot?: string | undefined
}

/** Interval at which an agent writes its file, also without a change. */
export const READY_FILE_PERIOD: Milliseconds = 5000
/** Age at which a file was left behind by an agent that no longer runs. */
export const READY_FILE_LIFE: Milliseconds = 20_000

/** Result of reading the file. */
export type Readiness = Pick<ReadyState, 'ready' | 'outcome' | 'status' | 'transfer'>

/**
 * Writes the file, whole or not at all. Everyone may read it: keepalived runs its scripts as its own user.
 *
 * @throws The system's error where it cannot.
 */
export function writeReadyFile(path: string, state: ReadyState): void {
  replaceFileSync(path, `${JSON.stringify({ boot: bootId(), ...state })}\n`, 0o644)
}

/** Removes the file: without it `wait-ready` continues to wait. */
export function removeReadyFile(path: string): void {
  rmSync(path, { force: true })
}

/**
 * Reads the file.
 *
 * @param wallClock - Milliseconds since 1970.
 * @returns Not ready without a file, or with one that no running agent of this host can have written.
 */
export function readReadyFile(path: string, wallClock: TimestampMs): Readiness {
  let state: Partial<ReadyState>
  try {
    const distrust = distrustOf(path)
    if (distrust !== undefined) return { ready: false, status: distrust }
    state = JSON.parse(readFileSync(path, 'utf8')) as Partial<ReadyState>
  } catch (cause) {
    const { code, message, syscall } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT') return { ready: false, status: `no agent has written ${path}` }
    const fault = syscall === undefined ? `${path} is not the ready file of an agent` : `${path}: ${message}`
    return { ready: false, status: fault }
  }
  const { ready, outcome, status, transfer, writtenAt, boot } = state
  if (boot !== undefined && boot !== bootId()) return { ready: false, status: `${path} was written before this boot` }
  if (typeof writtenAt === 'number' && writtenAt - wallClock > READY_FILE_LIFE)
    return { ready: false, status: `${path} has a time in the future` }
  if (typeof writtenAt !== 'number' || wallClock - writtenAt > READY_FILE_LIFE)
    return { ready: false, status: `the agent that wrote ${path} no longer runs` }
  return {
    ready: ready === true,
    status: String(status),
    ...(outcome !== undefined && { outcome }),
    ...(transfer !== undefined && { transfer })
  }
}

/** Returns the kernel's boot id; undefined where the system has none. */
function bootId(): string | undefined {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
    /* c8 ignore next 3 -- every Linux with /proc has the file */
  } catch {
    return undefined
  }
}

/** The ready file of a running agent; without a path nothing is written. */
export class AgentReadyFile {
  readonly #path: string | undefined
  readonly #wallClock: () => TimestampMs
  readonly #notices: AgentNotices

  /** @param wallClock - Returns milliseconds since 1970. */
  constructor(path: string | undefined, wallClock: () => TimestampMs, notices: AgentNotices) {
    this.#path = path
    this.#wallClock = wallClock
    this.#notices = notices
  }

  /** Writes the state; a failure is reported once. */
  write({ ready, outcome, status, transfer }: Readiness): void {
    const path = this.#path
    if (path === undefined) return
    const state = { ready, outcome, status, transfer, writtenAt: this.#wallClock() }
    this.#notices.writeFile('READY_FILE_FAILED', `the ready file ${path}`, () => writeReadyFile(path, state))
  }

  /**
   * Removes the file.
   *
   * @throws IpvsSyncError `ERR_IO` if it cannot be removed: it would report readiness of an agent that is not ready.
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
