/**
 * An agent's stored table: loaded at the start, saved at intervals and at the end.
 *
 * @module
 */

import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { Clock } from '../daemon/clock.js'
import { distrustOf } from '../daemon/replace-file.js'
import { loadTable, saveTable } from '../daemon/table-store.js'
import type { ConnectionTable } from '../table/connection-table.js'
import { counted } from '../text.js'
import type { Milliseconds, TimestampMs } from '../units.js'
import type { AgentNotices } from './notices.js'

/** Options of an {@link AgentStore}. */
export interface AgentStoreOptions {
  readonly path: string
  readonly clock: Clock
  /** Returns milliseconds since 1970, from which the age of the file is computed. */
  readonly wallClock: () => number
  /** Creates an empty table. */
  readonly empty: () => ConnectionTable
  readonly notices: AgentNotices
}

/** A lock, or the id of the running process that holds it. */
export type LockResult = { readonly release: () => void } | { readonly holder: number }

/**
 * Creates `PATH.lock` with the id of this process, which keeps two processes from using one store. The file of a process
 * that has ended is taken over.
 *
 * @throws The system's error if the file cannot be created, as on a read-only file system.
 */
export function lockStore(path: string): LockResult {
  const lock = `${path}.lock`
  const create = (): void => writeFileSync(lock, `${process.pid}\n`, { flag: 'wx', mode: 0o600 })
  try {
    create()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    const holder = Number.parseInt(readFileSync(lock, 'latin1'), 10)
    if (isRunning(holder)) return { holder }
    rmSync(lock)
    create()
  }
  return { release: () => rmSync(lock, { force: true }) }
}

/** Returns whether another process has this id. The own id in a file is that of an earlier process, as in a container. */
function isRunning(pid: number): boolean {
  if (!(pid > 0) || pid === process.pid) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Stores a table in a file. */
export class AgentStore {
  readonly #options: AgentStoreOptions
  #saving: Promise<void> = Promise.resolve()
  #savedAt: TimestampMs | undefined
  #isLockedOut = false
  #release = (): void => undefined

  /** @param options - The file and its notices. */
  constructor(options: AgentStoreOptions) {
    this.#options = options
  }

  /** Age of the stored table; undefined if there is none. */
  get age(): Milliseconds | undefined {
    return this.#savedAt === undefined ? undefined : Math.max(0, this.#options.wallClock() - this.#savedAt)
  }

  /** Loads the stored table; returns an empty one if there is none, or none that can be trusted. */
  async load(): Promise<ConnectionTable> {
    const { path, clock, wallClock, empty, notices } = this.#options
    try {
      const result = lockStore(path)
      if ('holder' in result) {
        const text = `${path} is locked by process ${result.holder}: not loaded, and not saved by this agent`
        notices.notify('STORE_LOCKED', text)
        this.#isLockedOut = true
        return empty()
      }
      this.#release = result.release
    } catch (error) {
      // Without a lock file, as on a read-only file system, the store is used.
      notices.once('STORE_LOCK_FAILED', `${path} cannot be locked: ${(error as Error).message}`)
    }
    const time = wallClock()
    const distrust = distrustOf(path, time)
    if (distrust !== undefined) {
      notices.notify('STORE_REFUSED', `stored table refused: ${distrust}`)
      return empty()
    }
    const { table, state, report, renameFault } = await loadTable(path, empty, { now: clock.now(), wallClock: time })
    if (state === 'good') {
      this.#savedAt = time - report.ageMs
      const text = `${path}: loaded ${counted(report.loaded, 'connection')} (${report.expired} had expired)`
      notices.notify('STORE_LOADED', text)
    }
    if (state === 'damaged') {
      const outcome = renameFault === undefined ? `renamed to ${path}.damaged` : `not renamed: ${renameFault}`
      notices.notify('STORE_DAMAGED', `${path} is damaged: not loaded, ${outcome}`)
    }
    return table
  }

  /** Saves a table; a failure is reported once. */
  save(table: ConnectionTable): Promise<void> {
    const { path, wallClock, notices } = this.#options
    if (this.#isLockedOut) return Promise.resolve()
    const savedAt = wallClock()
    this.#saving = saveTable(table, path, savedAt).then(
      () => void (this.#savedAt = savedAt),
      (error: unknown) => notices.once('STORE_SAVE_FAILED', (error as Error).message)
    )
    return this.#saving
  }

  /** Saves it once more, after a save that is in progress, and releases the lock. */
  async saveLast(table: ConnectionTable): Promise<void> {
    await this.#saving
    await this.save(table)
    this.#release()
  }
}
