/**
 * The master's part of an agent: announces what the kernel's table shows while keepalived reports MASTER.
 *
 * @module
 */

import { counted } from '../text.js'
import { FOLLOW_REASON, type KernelFollower } from '../procfs/follower.js'
import type { Milliseconds } from '../units.js'
import type { Clock } from '../daemon/clock.js'
import { SyncMaster, type SyncMasterOptions } from '../daemon/master/sync-master.js'

/** Connections announced between two pauses, and their length: the first read must not become one burst. */
const PORTION = 256
const PAUSE: Milliseconds = 10
/** Share of a full queue above which announcing waits. */
const FULL = 0.5

/** Options of an {@link Announcing}. */
export interface AnnouncingParts {
  /** Returns the options of the master; the table is shared, and not expired by the master. */
  readonly options: () => SyncMasterOptions
  readonly clock: Clock
  /** Connections a second if there is no kernel's table to follow. */
  readonly rate: number | undefined
  /** Reads the kernel's table, whose rows are passed to {@link Announcing.take}; returns their number. */
  readonly look: () => Promise<number>
  /** Receives notices. */
  readonly notify: (code: string, text: string) => void
}

/** Starts and closes a master with the role; the table stays. */
export class Announcing {
  readonly #parts: AnnouncingParts
  #master: SyncMaster | undefined
  #follower: KernelFollower | undefined
  #announced = 0
  #wanted = false
  #changing: Promise<void> = Promise.resolve()

  /** @param parts - The master's options and its source. */
  constructor(parts: AnnouncingParts) {
    this.#parts = parts
  }

  /** The master, while the role is held. */
  get master(): SyncMaster | undefined {
    return this.#master
  }

  /** Starts or ends the master, one change after the other; the last request counts. */
  want(master: boolean): void {
    this.#wanted = master
    this.#changing = this.#changing.then(() => this.#change())
  }

  /** Ends the master; what it holds is sent first. */
  async close(): Promise<void> {
    this.want(false)
    await this.#changing
  }

  /** Handles the begin of a read of the kernel's table. */
  beginLook(follower: KernelFollower): void {
    this.#follower = follower
    follower.refreshPeriod = this.#master?.sysctls.syncRefreshPeriod ?? 0
  }

  /** Announces the connections of the last rows that are new, changed or due. */
  async take({ slots, reasons, table }: KernelFollower, count: number): Promise<void> {
    const { clock } = this.#parts
    for (let i = 0; i < count && this.#master !== undefined; i++) {
      const slot = slots[i]!
      if (reasons[i] === FOLLOW_REASON.NONE || !table.isUsed(slot)) continue
      this.#master.announce(table.connection(slot))
      if (++this.#announced % PORTION !== 0) continue
      do await new Promise<void>((resolve) => void clock.after(PAUSE, resolve))
      while ((this.#master as SyncMaster | undefined) !== undefined && this.#master.pressure > FULL)
    }
  }

  async #change(): Promise<void> {
    if (this.#wanted === (this.#master !== undefined)) return
    try {
      if (this.#wanted) {
        // Starts the master and announces the whole table.
        const { options, rate, notify, look } = this.#parts
        const master = new SyncMaster({ ...options(), expires: false })
        master.on('notice', ({ code, message }) => notify(code, message))
        master.on('error', ({ message }) => notify('ANNOUNCING_FAILED', message))
        await master.start()
        this.#follower?.forgetAnnouncements(this.#parts.clock.now())
        this.#master = master
        const kernel = await look()
        if (kernel === 0) {
          const sent = await master.announceTable(rate === undefined ? {} : { rate })
          notify('TABLE_ANNOUNCED', `announced ${counted(sent, 'connection')} of the table`)
        }
      } else {
        const master = this.#master
        this.#master = undefined
        await master?.close()
      }
    } catch (error) {
      this.#parts.notify('ANNOUNCING_FAILED', `announcing failed: ${(error as Error).message}`)
    }
  }
}
