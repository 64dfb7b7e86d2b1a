/**
 * A backup whose channels are spread over worker threads: each has sockets, an engine and its own table, so that nothing
 * is shared and nothing is locked. What the backup shows are their parts added up.
 *
 * @module
 */

import { Worker } from 'node:worker_threads'
import { LRUCache } from 'lru-cache'
import { IpvsSyncError } from '../../errors.js'
import type { BackupCounters } from '../../engine/backup/counters.js'
import type { IgnoredSender, SenderReport } from '../../engine/backup/senders.js'
import type { Sysctls } from '../../sysctl/settings.js'
import type { ConnectionTable, TableCount } from '../../table/connection-table.js'
import { describePlan, planUdp } from '../../transport/udp-options.js'
import type { TimestampMs } from '../../units.js'
import type { TableConnection } from '../../wire/connection.js'
import { systemClock, type Clock } from '../clock.js'
import { WorkerHandle, type WorkerThread } from './worker-handle.js'
import type { BackupOutlets, BackupWork, Wanted } from '../backup/local-backup.js'
import { mergeCounters, mergeCounts, mergeSenders } from './merge-reports.js'
import { unpackError, type WorkerEvent, type WorkerReport, type WorkerTask } from './worker-messages.js'

/** Who hears of what happens to a pool. */
export interface PoolOutlets extends BackupOutlets {
  /** A worker ended by itself: the backup cannot go on. */
  readonly lost: (error: IpvsSyncError) => void
}

/** What a test gives in place of the real ones. */
export interface PoolSurroundings {
  readonly clock?: Clock
  readonly spawn?: (task: WorkerTask, name: string) => WorkerThread
}

interface Post {
  readonly member: WorkerHandle
  readonly channels: number
  reportedAt: TimestampMs
}

/** Texts of notices that are remembered, to tell what two workers say only once. */
const MOST_TEXTS = 256

/** Does a backup's work in several threads. */
export class WorkerPool implements BackupWork {
  readonly #tasks: readonly WorkerTask[]
  readonly #outlets: PoolOutlets
  readonly #clock: Clock
  readonly #spawn: (task: WorkerTask, name: string) => WorkerThread
  readonly #notices = new LRUCache<string, number[]>({ max: MOST_TEXTS })
  #posts: readonly Post[] = []
  #wanted: Wanted = { changes: false, problems: false }
  #settings: Sysctls | undefined

  /**
   * @param tasks - What each worker does; their channels follow one another.
   * @param outlets - Who hears of it.
   * @param surroundings - The system's own by default.
   */
  constructor(tasks: readonly WorkerTask[], outlets: PoolOutlets, surroundings: PoolSurroundings = {}) {
    this.#tasks = tasks
    this.#outlets = outlets
    this.#clock = surroundings.clock ?? systemClock
    this.#spawn = surroundings.spawn ?? spawnThread
  }

  get table(): ConnectionTable {
    throw new IpvsSyncError(
      'ERR_USAGE',
      'with workers there is a table in each of their threads: read connections(), or take a copy with copyTable()'
    )
  }

  get size(): number {
    return this.#posts.reduce((sum, { member }) => sum + member.report.size, 0)
  }

  async open(): Promise<string> {
    this.#posts = this.#tasks.map((task, worker) => this.#start(task, worker))
    const outcomes = await Promise.allSettled(this.#posts.map(({ member }) => member.opened))
    const failed = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failed !== undefined) {
      await this.close()
      throw failed.reason
    }
    return this.#description()
  }

  async close(): Promise<void> {
    await Promise.all(this.#posts.map(({ member }) => member.close()))
  }

  configure(settings: Sysctls): void {
    this.#settings = settings
    for (const { member } of this.#posts) member.post({ type: 'configure', settings })
  }

  listen(wanted: Wanted): void {
    this.#wanted = wanted
    for (const { member } of this.#posts) member.post({ type: 'listen', wanted })
  }

  counters(): BackupCounters {
    return mergeCounters(this.#posts.map(({ member, channels }) => ({ counters: member.report.counters, channels })))
  }

  senders(): SenderReport[] {
    return this.#merge((report) => report.senders)
  }

  ignored(): IgnoredSender[] {
    return this.#merge((report) => report.ignored)
  }

  receiveDrops(): number | undefined {
    return this.#posts.reduce<number | undefined>((sum, { member: { report } }) => {
      return sum === undefined || report.receiveDrops === undefined ? undefined : sum + report.receiveDrops
    }, 0)
  }

  tableCounts(): TableCount[] {
    return mergeCounts(this.#posts.map(({ member }) => member.report.tableCounts))
  }

  async *portions(): AsyncGenerator<readonly TableConnection[]> {
    for (const { member } of this.#posts) yield* member.portions()
  }

  /** Merges the senders of all workers. Each worker counts its channels from 0. */
  #merge<Sender extends SenderReport>(pick: (report: WorkerReport) => readonly Sender[]): Sender[] {
    const now = this.#clock.now()
    let first = 0
    return mergeSenders(
      this.#posts.map(({ member, channels, reportedAt }) => {
        const offset = first
        first += channels
        const senders = pick(member.report).map((sender) => ({
          ...sender,
          channels: sender.channels.map((channel) => offset + channel)
        }))
        return { senders, age: now - reportedAt }
      })
    )
  }

  #start(task: WorkerTask, worker: number): Post {
    const name = `worker ${worker} (${describePlan(planUdp(task.udp))})`
    const member = new WorkerHandle(name, this.#spawn(task, name), this.#clock, {
      tell: (event) => this.#tell(event, worker),
      reported: () => (post.reportedAt = this.#clock.now()),
      lost: (error) => this.#outlets.lost(error)
    })
    const post: Post = { member, channels: planUdp(task.udp).channels, reportedAt: this.#clock.now() }
    member.post({ type: 'listen', wanted: this.#wanted })
    if (this.#settings !== undefined) member.post({ type: 'configure', settings: this.#settings })
    return post
  }

  #tell(event: WorkerEvent, worker: number): void {
    if (event.type === 'error') this.#outlets.fail(unpackError(event.error))
    else if (event.type !== 'notice' || this.#isNews(event.message, worker)) this.#outlets.tell(Object.freeze(event))
  }

  /** Workers share interface, buffers and masters: a notice is reported as often as the one worker that said it most often. */
  #isNews(text: string, worker: number): boolean {
    const said = this.#notices.get(text) ?? this.#tasks.map(() => 0)
    const told = Math.max(...said)
    said[worker]!++
    this.#notices.set(text, said)
    return said[worker]! > told
  }

  /** All channels as one listener's. */
  #description(): string {
    const [first] = this.#tasks
    const channels = this.#posts.reduce((sum, post) => sum + post.channels, 0)
    return `${describePlan({ ...planUdp(first!.udp), channels })} with ${this.#posts.length} workers`
  }
}

function spawnThread(task: WorkerTask, name: string): WorkerThread {
  return new Worker(new URL('./backup-thread.js', import.meta.url), { workerData: task, name: `ipvs-sync ${name}` })
}
