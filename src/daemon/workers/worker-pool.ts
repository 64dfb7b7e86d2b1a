/**
 * A backup whose channels are spread over worker threads: each has sockets, an engine and its own table, so that the
 * receive path needs no lock. The pool merges their figures and reads their tables by messages.
 *
 * @module
 */

import { Worker } from 'node:worker_threads'
import { crc32 } from 'node:zlib'
import { LRUCache } from 'lru-cache'
import { IpvsSyncError } from '../../errors.js'
import type { BackupCounters } from '../../engine/backup/counters.js'
import type { IgnoredSender, SenderReport } from '../../engine/backup/senders.js'
import type { Sysctls } from '../../sysctl/settings.js'
import { ConnectionTable, type ConnectionKey, type TableCount } from '../../table/connection-table.js'
import { PackedSnapshotLoader } from '../../table/packed-snapshot.js'
import type { SealReport } from '../../transport/transport.js'
import { describePlan, planUdp } from '../../transport/udp-options.js'
import type { TimestampMs } from '../../units.js'
import type { TableConnection } from '../../wire/connection.js'
import { systemClock, type Clock } from '../clock.js'
import { walkTable } from '../walk-table.js'
import { createKeyFilter } from './key-claims.js'
import { WorkerHandle, type WorkerThread } from './worker-handle.js'
import type { BackupOutlets, BackupWork, Wanted } from '../backup/local-backup.js'
import { mergeCounters, mergeCounts, mergeSealReports, mergeSenders } from './merge-reports.js'
import { unpackError, type WorkerReport, type WorkerTask } from './worker-messages.js'

/** Receivers of a pool's events. */
export interface PoolOutlets extends BackupOutlets {
  /** A worker ended unexpectedly: the backup cannot continue. */
  readonly lost: (error: IpvsSyncError) => void
}

/** The part of a pool's table that is in this thread. */
export interface PoolTable {
  /** Its connections are given to the workers at the start. */
  readonly table: ConnectionTable
  /** Packet counter of a received connection in a copy: the first number of sync_threshold. */
  readonly packets: number
}

/** Replacements for a test. */
export interface PoolSurroundings {
  readonly clock?: Clock
  readonly spawn?: (task: WorkerTask, name: string) => WorkerThread
}

interface Post {
  readonly member: WorkerHandle
  readonly channels: number
  reportedAt: TimestampMs
  /** Workers that have not applied its last claim. */
  unapplied: number
}

/** Number of notices' texts that are remembered, so that what two workers report is reported once. */
const MOST_TEXTS = 256

/**
 * Does a backup's work in several threads. Before the start and after the close the table of this thread is read, in between
 * those of the workers.
 */
export class WorkerPool implements BackupWork {
  readonly #tasks: readonly WorkerTask[]
  readonly #outlets: PoolOutlets
  readonly #clock: Clock
  readonly #spawn: (task: WorkerTask, name: string) => WorkerThread
  readonly #notices = new LRUCache<string, number[]>({ max: MOST_TEXTS })
  #posts: readonly Post[] = []
  readonly #packets: number
  #table: ConnectionTable
  #isOpen = false
  #wanted: Wanted = { changes: false, problems: false }
  #settings: Sysctls | undefined

  /**
   * @param tasks - What each worker does; their channels follow one another.
   * @param outlets - Receivers of its events.
   * @param table - Its table in this thread.
   * @param surroundings - The system's own by default.
   */
  constructor(
    tasks: readonly WorkerTask[],
    outlets: PoolOutlets,
    { table, packets }: PoolTable,
    surroundings: PoolSurroundings = {}
  ) {
    const connections = tasks.reduce((sum, { maxConnections }) => sum + maxConnections, 0)
    const filter = createKeyFilter(tasks.length, connections)
    this.#tasks = tasks.map((task, worker) => ({ ...task, claims: { worker, workers: tasks.length, filter } }))
    this.#outlets = outlets
    this.#table = table
    this.#packets = packets
    this.#clock = surroundings.clock ?? systemClock
    this.#spawn = surroundings.spawn ?? spawnThread
  }

  get table(): ConnectionTable {
    return this.#table
  }

  get size(): number {
    if (!this.#isOpen) return this.#table.size
    return this.#posts.reduce((sum, { member }) => sum + member.report.size, 0)
  }

  async open(): Promise<string> {
    this.#posts = this.#tasks.map((task, worker) => this.#start(task, worker))
    // Gives the connections of this thread's table to the workers, a block at a time in turn.
    if (this.#table.size !== 0) {
      const [header, ...blocks] = this.#table.snapshot(0)
      for (const [worker, { member }] of this.#posts.entries()) {
        const own = blocks.filter((_, block) => block % this.#posts.length === worker)
        member.post({ type: 'load', pieces: [header!, ...own] })
      }
    }
    const outcomes = await Promise.allSettled(this.#posts.map(({ member }) => member.opened))
    const failed = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failed !== undefined) {
      await this.close()
      throw failed.reason
    }
    this.#isOpen = true
    // All channels as one listener's.
    const [first] = this.#tasks
    const channels = this.#posts.reduce((sum, post) => sum + post.channels, 0)
    return `${describePlan({ ...planUdp(first!.udp), channels })} with ${this.#posts.length} workers`
  }

  /** Closes the sockets, copies the workers' tables, and ends the workers. */
  async close(): Promise<void> {
    if (this.#isOpen) {
      await Promise.allSettled(this.#posts.map(({ member }) => member.stop()))
      // What a broken worker held is lost; the others' connections are kept.
      await this.#copy((copying) => copying.catch(() => undefined))
      this.#isOpen = false
    }
    await Promise.all(this.#posts.map(({ member }) => member.close()))
  }

  /** Copies the workers' tables: {@link WorkerPool.table} is the copy from now on. */
  async copyTable(): Promise<ConnectionTable> {
    if (this.#isOpen) await this.#copy((copying) => copying)
    return this.#table
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

  sealReport(): SealReport | undefined {
    return mergeSealReports(this.#posts.map(({ member }) => member.report.sealReport))
  }

  tableCounts(): TableCount[] {
    if (!this.#isOpen) return this.#table.counts()
    return mergeCounts(this.#posts.map(({ member }) => member.report.tableCounts))
  }

  async get(key: ConnectionKey): Promise<TableConnection | undefined> {
    // Refuses a key that cannot be read before it is sent.
    const copied = this.#table.get(key)
    if (!this.#isOpen) return copied
    const found = await Promise.all(this.#posts.map(({ member }) => member.find(key)))
    return found.reduce((one, other) =>
      one === undefined || (other && silenceOf(other) < silenceOf(one)) ? other : one
    )
  }

  async *portions(): AsyncGenerator<readonly TableConnection[]> {
    if (this.#isOpen) for (const { member } of this.#posts) yield* member.portions()
    else yield* walkTable(this.#table)
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
      tell: (event) => {
        if (event.type === 'error') this.#outlets.fail(unpackError(event.error))
        else if (event.type !== 'notice' || this.#isNew(event.message, worker)) this.#outlets.tell(Object.freeze(event))
      },
      reported: () => (post.reportedAt = this.#clock.now()),
      claim: (claim) => {
        const others = this.#posts.filter((_, worker) => worker !== claim.worker)
        this.#posts[claim.worker]!.unapplied = others.length
        for (const { member } of others) member.post({ type: 'apply', claim })
      },
      applied: (claimant) => {
        const post = this.#posts[claimant]!
        if (--post.unapplied === 0) post.member.post({ type: 'applied' })
      },
      lost: (error) => this.#outlets.lost(error)
    })
    const post: Post = { member, channels: planUdp(task.udp).channels, reportedAt: this.#clock.now(), unapplied: 0 }
    member.post({ type: 'listen', wanted: this.#wanted })
    if (this.#settings !== undefined) member.post({ type: 'configure', settings: this.#settings })
    return post
  }

  async #copy(settle: (copying: Promise<void>) => Promise<void>): Promise<void> {
    const maxConnections = Math.max(this.#table.maxConnections, this.size)
    const table = new ConnectionTable({ maxConnections })
    table.onAdd((slot) => table.setPackets(slot, this.#packets))
    const load = async (member: WorkerHandle): Promise<void> => {
      const loader = new PackedSnapshotLoader(table, { now: this.#clock.now(), wallClock: 0 }, crc32, true)
      for await (const block of member.blocks()) loader.push(block)
    }
    await Promise.all(this.#posts.map(({ member }) => settle(load(member))))
    this.#table = table
  }

  /** Workers share interface, buffers and masters: a notice is reported as many times as the worker reported it that did so most. */
  #isNew(text: string, worker: number): boolean {
    const counts = this.#notices.get(text) ?? this.#tasks.map(() => 0)
    const reported = Math.max(...counts)
    counts[worker]!++
    this.#notices.set(text, counts)
    return counts[worker]! > reported
  }
}

/** Returns the seconds since a connection was last received. */
function silenceOf({ timeout, expires }: TableConnection): number {
  return timeout! - expires
}

function spawnThread(task: WorkerTask, name: string): WorkerThread {
  return new Worker(new URL('./backup-thread.js', import.meta.url), { workerData: task, name: `ipvs-sync ${name}` })
}
