/**
 * A file that says whether an agent is ready: for checks that have no HTTP at hand.
 *
 * @module
 */

import { readFileSync, rmSync } from 'node:fs'
import { distrustOf, replaceFileSync } from '../daemon/replace-file.js'
import type { Milliseconds, TimestampMs } from '../units.js'
import type { AgentOutcome } from './protocol/options.js'

/** Content of the file: one object of JSON. */
export interface ReadyState {
  readonly ready: boolean
  /** Why the agent is ready; undefined while it is not. */
  readonly outcome?: AgentOutcome | undefined
  /** A line for a person. */
  readonly status: string
  /** When it was written, in milliseconds since 1970. */
  readonly writtenAt: TimestampMs
  /** The kernel's boot id: a file of an earlier boot does not count. The current one by default. */
  readonly boot?: string | undefined
}

/** An agent writes its file this often, also when nothing has changed. */
export const READY_FILE_PERIOD: Milliseconds = 5000
/** A file older than this was left behind by an agent that is gone. */
export const READY_FILE_LIFE: Milliseconds = 20_000

/** Result of reading the file. */
export type Readiness = Pick<ReadyState, 'ready' | 'outcome' | 'status'>

/**
 * Writes the file, whole or not at all. Everyone may read it: keepalived runs its scripts as its own user.
 *
 * @throws The system's error where it cannot.
 */
export function writeReadyFile(path: string, state: ReadyState): void {
  replaceFileSync(path, `${JSON.stringify({ boot: bootId(), ...state })}\n`, 0o644)
}

/** Removes the file: who waits for it waits on. */
export function removeReadyFile(path: string): void {
  rmSync(path, { force: true })
}

/**
 * Reads the file.
 *
 * @param path - Of the file.
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
    return { ready: false, status: faultOf(path, cause as NodeJS.ErrnoException) }
  }
  const { ready, outcome, status, writtenAt, boot } = state
  if (boot !== undefined && boot !== bootId()) return { ready: false, status: `${path} is of an earlier boot` }
  if (typeof writtenAt === 'number' && writtenAt - wallClock > READY_FILE_LIFE)
    return { ready: false, status: `${path} is dated ahead of time` }
  if (typeof writtenAt !== 'number' || wallClock - writtenAt > READY_FILE_LIFE) {
    return { ready: false, status: `the agent that wrote ${path} is gone` }
  }
  return { ready: ready === true, status: String(status), ...(outcome !== undefined && { outcome }) }
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

function faultOf(path: string, { code, message, syscall }: NodeJS.ErrnoException): string {
  if (code === 'ENOENT') return `no agent has written ${path}`
  return syscall === undefined ? `${path} is no agent's ready file` : `${path}: ${message}`
}
