/**
 * A file that says whether an agent is ready: for checks that have no HTTP at hand.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
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
}

/** An agent writes its file this often, also when nothing has changed. */
export const READY_FILE_PERIOD: Milliseconds = 5000
/** A file older than this was left behind by an agent that is gone. */
export const READY_FILE_LIFE: Milliseconds = 20_000

/**
 * Writes the file, whole or not at all.
 *
 * @throws The system's error where it cannot.
 */
export function writeReadyFile(path: string, state: ReadyState): void {
  // A name that nobody can foresee, and `wx`: neither a link nor a file of another user is written to.
  const temporary = `${path}.${randomBytes(8).toString('hex')}`
  try {
    writeFileSync(temporary, `${JSON.stringify(state)}\n`, { flag: 'wx', mode: 0o644 })
    renameSync(temporary, path)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
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
 * @returns Not ready where there is no file, none of ours, or one that an agent left behind.
 */
export function readReadyFile(path: string, wallClock: TimestampMs): Pick<ReadyState, 'ready' | 'status'> {
  let state: Partial<ReadyState>
  try {
    state = JSON.parse(readFileSync(path, 'utf8')) as Partial<ReadyState>
  } catch (cause) {
    return { ready: false, status: faultOf(path, cause as NodeJS.ErrnoException) }
  }
  const { ready, status, writtenAt } = state
  if (typeof writtenAt === 'number' && writtenAt - wallClock > READY_FILE_LIFE)
    return { ready: false, status: `${path} is dated ahead of time` }
  if (typeof writtenAt !== 'number' || wallClock - writtenAt > READY_FILE_LIFE) {
    return { ready: false, status: `the agent that wrote ${path} is gone` }
  }
  return { ready: ready === true, status: String(status) }
}

function faultOf(path: string, { code, message, syscall }: NodeJS.ErrnoException): string {
  if (code === 'ENOENT') return `no agent has written ${path}`
  return syscall === undefined ? `${path} is no agent's ready file` : `${path}: ${message}`
}
