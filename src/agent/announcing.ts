/**
 * The master's part of an agent: while keepalived says MASTER, what the kernel shows is announced.
 *
 * @module
 */

import { counted } from '../text.js'
import { FOLLOW_REASON, type KernelFollower } from '../procfs/follower.js'
import type { Milliseconds } from '../units.js'
import type { Clock } from '../daemon/clock.js'
import { SyncMaster, type SyncMasterOptions } from '../daemon/master/sync-master.js'

/** Connections announced between two breaths, and their length: the first look is not to be one burst. */
const PORTION = 256
const BREATH: Milliseconds = 10
/** Queues fuller than this are waited for. */
const FULL = 0.5

/** What it works with. */
export interface AnnouncingParts {
  /** Of the master; the table is shared, and does not expire by it. */
  readonly options: () => SyncMasterOptions
  readonly clock: Clock
  /** Connections a second where there is no kernel to follow. */
  readonly rate: number | undefined
  /** Looks at the kernel's table, whose rows come to {@link Announcing.take}; how many there are. */
  readonly look: () => Promise<number>
  readonly onNotice: (text: string) => void
}

/** Begins and ends with the role; the table stays. */
export class Announcing {
  readonly #parts: AnnouncingParts
  #master: SyncMaster | undefined
  #follower: KernelFollower | undefined
  #announced = 0
  #wanted = false
  #changing: Promise<void> = Promise.resolve()

  /** @param parts - What it works with. */
  constructor(parts: AnnouncingParts) {
    this.#parts = parts
  }

  /** The master, while the role is held. */
  get master(): SyncMaster | undefined {
    return this.#master
  }

  /** Takes the role, or gives it back: one change after the other, and what was wanted last counts. */
  want(master: boolean): void {
    this.#wanted = master
    this.#changing = this.#changing.then(() => this.#change())
  }

  /** Gives the role back for good; what is held is sent first. */
  async close(): Promise<void> {
    this.want(false)
    await this.#changing
  }

  /** A look at the kernel's table begins. */
  beginLook(follower: KernelFollower): void {
    this.#follower = follower
    follower.refreshPeriod = this.#master?.sysctls.syncRefreshPeriod ?? 0
  }

  /** Announces what the last rows of a look show to be new, changed or due. */
  async take({ slots, reasons, table }: KernelFollower, count: number): Promise<void> {
    const { clock } = this.#parts
    for (let i = 0; i < count && this.#master !== undefined; i++) {
      const slot = slots[i]!
      if (reasons[i] === FOLLOW_REASON.NONE || !table.isUsed(slot)) continue
      this.#master.announce(table.connection(slot))
      if (++this.#announced % PORTION !== 0) continue
      do await new Promise<void>((resolve) => void clock.after(BREATH, resolve))
      while ((this.#master as SyncMaster | undefined) !== undefined && this.#master.pressure > FULL)
    }
  }

  async #change(): Promise<void> {
    if (this.#wanted === (this.#master !== undefined)) return
    try {
      if (this.#wanted) await this.#begin()
      else await this.#end()
    } catch (error) {
      this.#parts.onNotice(`announcing: ${(error as Error).message}`)
    }
  }

  /** Everything is announced anew. */
  async #begin(): Promise<void> {
    const { options, rate, onNotice, look } = this.#parts
    const master = new SyncMaster({ ...options(), expires: false })
    master.on('notice', ({ message }) => onNotice(message))
    master.on('error', ({ message }) => onNotice(message))
    await master.start()
    this.#follower?.forgetAnnouncements(this.#parts.clock.now())
    this.#master = master
    const kernel = await look()
    if (kernel > 0) return
    const sent = await master.announceTable(rate === undefined ? {} : { rate })
    onNotice(`announced ${counted(sent, 'connection')} of the table`)
  }

  async #end(): Promise<void> {
    const master = this.#master
    this.#master = undefined
    await master?.close()
  }
}
