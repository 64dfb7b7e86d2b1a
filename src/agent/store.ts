/**
 * An agent's stored table: read at the start, written from time to time and at the end.
 *
 * @module
 */
import { counted } from '../text.js'
import type { ConnectionTable } from '../table/connection-table.js'
import type { Milliseconds, TimestampMs } from '../units.js'
import type { AgentNotices } from './notices.js'
import type { Clock } from '../daemon/clock.js'
import { lockStore } from './store-lock.js'
import { distrustOf } from '../daemon/replace-file.js'
import { loadTable, saveTable } from '../daemon/table-store.js'

/** What it is made of. */
export interface AgentStoreParts {
  /** The file. */
  readonly path: string
  readonly clock: Clock
  /** Milliseconds since 1970: what the file's age is measured by. */
  readonly wallClock: () => number
  /** Makes an empty table. */
  readonly empty: () => ConnectionTable
  /** Takes what was found, and why the file could not be written. */
  readonly notices: AgentNotices
}

/** Keeps a table in a file. */
export class AgentStore {
  readonly #parts: AgentStoreParts
  #saving: Promise<void> = Promise.resolve()
  #savedAt: TimestampMs | undefined
  #isLockedOut = false
  #release = (): void => undefined

  /** @param parts - What it is made of. */
  constructor(parts: AgentStoreParts) {
    this.#parts = parts
  }

  /** Age of the stored table; undefined if there is none. */
  get age(): Milliseconds | undefined {
    return this.#savedAt === undefined ? undefined : Math.max(0, this.#parts.wallClock() - this.#savedAt)
  }

  /** The stored table; an empty one where there is none, or none that can be trusted. */
  async load(): Promise<ConnectionTable> {
    const { path, clock, wallClock, empty, notices } = this.#parts
    if (!this.#lock()) return empty()
    const time = wallClock()
    const distrust = distrustOf(path, time)
    if (distrust !== undefined) {
      notices.tell(`stored table refused: ${distrust}`)
      return empty()
    }
    const { table, state, report, renameFault } = await loadTable(path, empty, { now: clock.now(), wallClock: time })
    if (state === 'good') this.#savedAt = time - report.ageMs
    if (state === 'good')
      notices.tell(`${path}: loaded ${counted(report.loaded, 'connection')} (${report.expired} had expired)`)
    if (state === 'damaged') {
      const outcome = renameFault === undefined ? `renamed to ${path}.damaged` : `not renamed: ${renameFault}`
      notices.tell(`${path} is damaged: not loaded, ${outcome}`)
    }
    return table
  }

  /** Writes a table; a failure is reported, and is no error. */
  save(table: ConnectionTable): Promise<void> {
    const { path, wallClock, notices } = this.#parts
    if (this.#isLockedOut) return Promise.resolve()
    const savedAt = wallClock()
    this.#saving = saveTable(table, path, savedAt).then(
      () => void (this.#savedAt = savedAt),
      (error: unknown) => notices.once((error as Error).message)
    )
    return this.#saving
  }

  /** Writes it once more, after what is being written. */
  async saveLast(table: ConnectionTable): Promise<void> {
    await this.#saving
    await this.save(table)
    this.#release()
  }

  /** Returns false if another process uses the store. Without a lock file, as on a read-only file system, it is used. */
  #lock(): boolean {
    const { path, notices } = this.#parts
    try {
      const result = lockStore(path)
      if ('release' in result) {
        this.#release = result.release
        return true
      }
      notices.tell(`${path} is locked by process ${result.holder}: not loaded, and not saved by this agent`)
      this.#isLockedOut = true
      return false
    } catch (error) {
      notices.once(`${path} cannot be locked: ${(error as Error).message}`)
      return true
    }
  }
}
