/**
 * The kernel's part of an agent: reads the kernel's table into the agent's, and sends the kernel what it lacks.
 *
 * @module
 */

import type { Clock } from '../daemon/clock.js'
import { paceFor, sendBulk } from '../daemon/bulk-sender.js'
import { createSender } from '../daemon/sealing.js'
import { udpOptionsOf } from '../daemon/sync-options.js'
import { BulkMessages } from '../engine/full-table/bulk-messages.js'
import { IpvsSyncError } from '../errors.js'
import { KernelFollower } from '../procfs/follower.js'
import {
  describeReport,
  readConnectionCount,
  readKernelTable,
  type KernelTableOptions
} from '../procfs/kernel-table.js'
import { LookPlan, type LookVerdict } from '../procfs/look-plan.js'
import type { Sysctls } from '../sysctl/settings.js'
import type { ConnectionTable } from '../table/connection-table.js'
import { counted } from '../text.js'
import type { SendingTransport } from '../transport/transport.js'
import type { Milliseconds, TimestampMs } from '../units.js'
import { FLAG } from '../wire/constants.js'
import type { Announcing } from './announcing.js'
import type { AgentOptions } from './options.js'

/** Connections compared between two turns of the event loop: a few milliseconds. */
const COMPARED_AT_ONCE = 10_000
/** A connection with less time left may have expired in the kernel already. */
const MIN_REMAINING: Milliseconds = 10_000
/** Times that missing connections are sent, and the time that the kernel is given to process the last of them. */
const ROUNDS = 3
const SETTLE_TIME: Milliseconds = 200
/** A kernel that has less than this share of the table was restarted; the table of any other one is the authority. */
const RESTARTED_BELOW = 0.5

/** Options of a {@link KernelMirror}. */
export interface KernelMirrorOptions {
  readonly table: ConnectionTable
  readonly clock: Clock
  /** Files of the kernel's table. */
  readonly files: KernelTableOptions
  /** Maximum duration of one read of the table. */
  readonly limit: Milliseconds
  /** Called when a read begins. */
  readonly onLook: (follower: KernelFollower) => void
  /** Called with each batch of rows: the follower's `slots` and `reasons` describe them. */
  readonly onRows: (follower: KernelFollower, count: number) => Promise<void>
}

/** Updates a table from the kernel's, on request. */
export class KernelMirror {
  readonly #options: KernelMirrorOptions
  #looking: Promise<number> | undefined
  /** Which connections the kernel's table has shown, and what was announced of them. */
  readonly follower: KernelFollower
  /** When the table may be read again, and how long the last read took. */
  readonly plan = new LookPlan(0)
  /** Connections in the kernel's table at the last read. */
  connections = 0
  /** Time that the last read spent in the kernel, and when it ended; 0 before the first. */
  kernelMs: Milliseconds = 0
  succeededAt: TimestampMs = 0
  /** Assumptions and omissions of the last read. */
  notes: { readonly code: string; readonly text: string }[] = []

  /** @param options - The two tables. */
  constructor(options: KernelMirrorOptions) {
    this.#options = options
    this.follower = new KernelFollower(options.table, 0)
  }

  /**
   * Brings the table up to date; joins a read that is in progress.
   *
   * @returns Number of connections in the kernel's table.
   * @throws IpvsSyncError `ERR_NO_IPVS` or `ERR_IO`; its field is `kernelLimit` for a read that took too long.
   */
  look(): Promise<number> {
    this.#looking ??= this.#readUntilComplete().finally(() => (this.#looking = undefined))
    return this.#looking
  }

  /**
   * Returns the slots of connections that the last read did not show, compared by key. Connections that are about to expire
   * are omitted.
   *
   * @param unsure - Whether connections without a client port that are not templates count: the kernel's table does not
   * distinguish them from templates.
   */
  async absent(unsure: boolean): Promise<number[]> {
    const { table, clock } = this.#options
    const absent: number[] = []
    let compared = 0
    for (const slot of table.slots()) {
      const kind = table.flags(slot) & (FLAG.TEMPLATE | FLAG.NO_CPORT)
      const isExpected = (unsure || kind !== FLAG.NO_CPORT) && table.deadlineMs(slot) - clock.now() >= MIN_REMAINING
      if (isExpected && !this.follower.isShown(slot)) absent.push(slot)
      if (++compared % COMPARED_AT_ONCE === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    return absent
  }

  async #readUntilComplete(): Promise<number> {
    let verdict: LookVerdict = 'again'
    while (verdict === 'again') verdict = await this.#read()
    return this.follower.size
  }

  /** Reads the table once. Time for which the announcing delays the rows does not count as reading. */
  async #read(): Promise<LookVerdict> {
    const { files, limit, clock, onLook, onRows } = this.#options
    const { follower, plan } = this
    let begin = clock.now()
    try {
      const before = await readConnectionCount(files.status)
      const reading = readKernelTable(files)
      follower.begin()
      onLook(follower)
      for await (const rows of reading) {
        const taken = clock.now()
        if (taken - begin > limit) {
          const message = `kernel table: expected a read of at most ${limit / 1000} s, got more; raise --kernel-limit`
          throw new IpvsSyncError('ERR_IO', message, { field: 'kernelLimit' })
        }
        follower.take(rows, taken)
        await onRows(follower, rows.count)
        begin += clock.now() - taken
      }
      const after = await readConnectionCount(files.status)
      this.connections = follower.size
      this.kernelMs = reading.time.kernelMs
      const verdict = plan.ended({ begin, end: clock.now(), lines: reading.lines, before, after })
      if (verdict === 'complete') this.succeededAt = clock.now()
      this.notes = describeReport(reading.report).map((text) => ({ code: 'KERNEL_TABLE_ASSUMED', text }))
      if (verdict === 'incomplete') {
        const text = `the kernel's table showed ${reading.lines} of ${Math.min(before!, after!)} connections in each of four reads`
        this.notes.push({ code: 'KERNEL_TABLE_INCOMPLETE', text })
      }
      return verdict
    } catch (error) {
      plan.failed(begin, clock.now())
      throw error
    }
  }
}

/** Options of the messages that carry a table. */
export interface MessageOptions {
  /** 0…255. */
  readonly syncid: number
  /** UDP payload of the largest message. */
  readonly maxLength: number
  /** Connections a second; undefined for what a default receive buffer can take. */
  readonly rate: number | undefined
}

/** Options of an {@link AgentKernel}. */
export interface AgentKernelOptions {
  readonly table: ConnectionTable
  readonly clock: Clock
  /** Files of the kernel's table. */
  readonly files: KernelTableOptions
  /** Maximum duration of one read of the kernel's table. */
  readonly limit: Milliseconds
  /** Receives what each read shows. */
  readonly announcing: Announcing
  /** Sends messages to this host's kernel alone; undefined if it cannot be reached. */
  readonly openSender: (() => SendingTransport) | undefined
  readonly messages: MessageOptions
  /** Receives notices. */
  readonly notify: (code: string, text: string) => void
}

/** Reads the kernel's table, and sends the kernel connections through its own backup daemon. */
export class AgentKernel {
  readonly #options: AgentKernelOptions
  readonly #mirror: KernelMirror
  readonly #end = new AbortController()
  #isStale = false
  #lookedAt: TimestampMs = 0

  private constructor(options: AgentKernelOptions, mirror: KernelMirror) {
    this.#options = options
    this.#mirror = mirror
    this.#lookedAt = options.clock.now()
  }

  /** Reads the kernel's table for the first time. Returns undefined, after a notice, if it cannot be read. */
  static async open(options: AgentKernelOptions): Promise<AgentKernel | undefined> {
    const { announcing, notify } = options
    const mirror = new KernelMirror({
      ...options,
      onLook: (follower) => announcing.beginLook(follower),
      onRows: (follower, count) => announcing.take(follower, count)
    })
    const kernel = new AgentKernel(options, mirror)
    try {
      await mirror.look()
      return kernel
    } catch (error) {
      if (error instanceof IpvsSyncError && error.code === 'ERR_NO_IPVS')
        notify('KERNEL_TABLE_ABSENT', 'this kernel has no IPVS table: the agent has only what it receives')
      else kernel.#notifyFault(error)
      return undefined
    }
  }

  /** Duration of the last read, and the kernel's share of it. */
  get lastRead(): { readonly total: Milliseconds; readonly kernel: Milliseconds } {
    return { total: this.#mirror.plan.lastDuration, kernel: this.#mirror.kernelMs }
  }

  /** When the last complete read ended. */
  get succeededAt(): TimestampMs {
    return this.#mirror.succeededAt
  }

  /** Connections in the kernel's table at the last read. */
  get connections(): number {
    return this.#mirror.connections
  }

  /** Whether the table may be read now: a read costs at most 2 % of a core on average. */
  get mayLook(): boolean {
    return this.#options.clock.now() >= this.#mirror.plan.nextLook
  }

  /** Notes that the agent's table may lack something that only a read of the kernel's table can show. */
  markStale(): void {
    this.#isStale = true
  }

  /** Returns the time until the next read is due. */
  dueIn(period: Milliseconds): Milliseconds {
    const now = this.#options.clock.now()
    return Math.max(this.#isStale ? 0 : this.#lookedAt + period - now, this.#mirror.plan.nextLook - now)
  }

  /** Reads the table. Returns the number of its connections; 0 after a failure, which is reported once. */
  async look(): Promise<number> {
    const { clock, notify } = this.#options
    this.#isStale = false
    this.#lookedAt = clock.now()
    try {
      const found = await this.#mirror.look()
      for (const { code, text } of this.#mirror.notes) notify(code, text)
      return found
    } catch (error) {
      this.#isStale = true
      this.#notifyFault(error)
      return 0
    }
  }

  /** Sends the kernel what it lacks of the table. Returns how many connections it still lacks afterwards. */
  async complete(): Promise<number> {
    return this.#supply(await this.#absent(false))
  }

  /** Sends a kernel that was restarted the whole table, and any other one nothing. Returns how many connections it still lacks. */
  async restore(): Promise<number> {
    const { size } = this.#options.table
    const absent = await this.#absent(true)
    return size - absent.length < size * RESTARTED_BELOW ? this.#supply(absent) : 0
  }

  /** Ends sending. */
  end(): void {
    this.#end.abort()
  }

  #notifyFault(error: unknown): void {
    const { field, message } = error as IpvsSyncError
    this.#options.notify(field === 'kernelLimit' ? 'KERNEL_READ_GIVEN_UP' : 'KERNEL_TABLE_UNREADABLE', message)
  }

  async #absent(unsure: boolean): Promise<number[]> {
    await this.look()
    return this.#mirror.absent(unsure)
  }

  async #supply(first: readonly number[]): Promise<number> {
    const { messages, notify, openSender } = this.#options
    let absent = first
    for (let round = 0; round < ROUNDS && absent.length > 0 && openSender !== undefined; round++) {
      await this.#send(absent, openSender())
      absent = await this.#absent(false)
    }
    if (absent.length > 0)
      notify(
        'KERNEL_LACKS',
        `the kernel lacks ${counted(absent.length, 'connection')} of this table; check that its backup daemon runs with syncid ${messages.syncid}`
      )
    return absent.length
  }

  async #send(slots: readonly number[], sender: SendingTransport): Promise<void> {
    const { table, clock, messages, notify } = this.#options
    const { syncid, maxLength, rate } = messages
    const { signal } = this.#end
    if (signal.aborted) return
    try {
      await sender.start({ onError: ({ message }) => notify('KERNEL_SEND_FAILED', message) })
      const bulk = new BulkMessages({ version: 1, syncid, maxLength, channels: 1 })
      let added = 0
      for (const slot of slots) {
        if (table.isUsed(slot)) bulk.addSlot(table, slot)
        if (++added % COMPARED_AT_ONCE === 0) await new Promise((resolve) => setImmediate(resolve))
      }
      const options = { pace: paceFor(maxLength, rate), times: 1, clock, signal, onProgress: () => undefined }
      const { connections } = await sendBulk(bulk.finish(), sender, options)
      if (!this.#end.signal.aborted)
        notify('KERNEL_SUPPLIED', `${counted(connections, 'connection')} sent to this host's kernel`)
      await new Promise<void>((resolve) => void clock.after(SETTLE_TIME, resolve))
    } catch (error) {
      notify('KERNEL_UNREACHABLE', `this host's kernel cannot be reached: ${(error as Error).message}`)
    } finally {
      await sender.close()
    }
  }
}

/**
 * Returns how this host's kernel is reached; undefined with peers alone, since its backup daemon receives from the group
 * only.
 */
export function kernelSender(options: AgentOptions, sysctls: Sysctls): AgentKernelOptions['openSender'] {
  const { bringer, mcastInterface, peers = [], system } = options
  if (bringer !== undefined) return () => bringer
  if (mcastInterface === undefined || peers.length > 0) return undefined
  // Sealed, since other processes of this host receive it too.
  const udp = { ...udpOptionsOf(options, sysctls), channels: 1, hostOnly: true }
  const { syncid = 0, clock, wallClock } = options
  return () => createSender(options, { udp, syncid, system, clock, wallClock }, false)
}
