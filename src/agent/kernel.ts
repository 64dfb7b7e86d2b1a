/**
 * The kernel's part of an agent: its table is looked at, and gets what it lacks.
 *
 * @module
 */

import type { KernelTableOptions } from '../procfs/kernel-table.js'
import type { Sysctls } from '../sysctl/settings.js'
import type { ConnectionTable } from '../table/connection-table.js'
import type { SendingTransport } from '../transport/transport.js'
import { createSender } from '../daemon/sealing.js'
import type { Milliseconds } from '../units.js'
import { counted } from '../text.js'
import type { Announcing } from './announcing.js'
import type { AgentOptions } from './options.js'
import type { Clock } from '../daemon/clock.js'
import { isWithoutIpvs, KernelMirror } from './kernel-mirror.js'
import { udpOptionsOf } from '../daemon/sync-options.js'
import { sendBulk, paceFor } from '../daemon/bulk-sender.js'
import { BulkMessages } from '../engine/full-table/bulk-messages.js'

/** How often what is missing is brought, and how long the kernel is given to take the last of it. */
const ROUNDS = 3
const SETTLED: Milliseconds = 200
/** A kernel that has less than this share of the table was restarted: one that has more knows better. */
const RESTARTED_BELOW = 0.5

/** Options of the messages that carry a table. */
export interface MessageOptions {
  /** 0…255. */
  readonly syncid: number
  /** UDP payload of the largest message. */
  readonly maxLength: number
  /** Connections a second; undefined for what a default receive buffer can take. */
  readonly rate: number | undefined
}

/** What it works with. */
export interface AgentKernelParts {
  readonly table: ConnectionTable
  readonly clock: Clock
  /** Where the kernel's table is, for a test. */
  readonly files: KernelTableOptions
  /** Maximum duration of one read of the kernel's table. */
  readonly limit: Milliseconds
  /** Hears of what a look shows. */
  readonly announcing: Announcing
  /** Carries messages to this host's kernel alone; undefined where it cannot be reached. */
  readonly bringer: (() => SendingTransport) | undefined
  /** Of the messages. */
  readonly messages: MessageOptions
  /** Hears of what a person should know; the same again and again. */
  readonly onNotice: (text: string) => void
}

/** Looks at the kernel's table, and brings it connections through its own backup daemon. */
export class AgentKernel {
  readonly #parts: AgentKernelParts
  readonly #mirror: KernelMirror
  readonly #end = new AbortController()

  private constructor(parts: AgentKernelParts, mirror: KernelMirror) {
    this.#parts = parts
    this.#mirror = mirror
  }

  /**
   * A first look tells whether there is a kernel's table at all.
   *
   * @param parts - What it works with.
   * @returns Nothing where there is none that can be read.
   */
  static async open(parts: AgentKernelParts): Promise<AgentKernel | undefined> {
    const { announcing, onNotice } = parts
    const mirror = new KernelMirror({
      ...parts,
      onLook: (follower) => announcing.beginLook(follower),
      onRows: (follower, count) => announcing.take(follower, count)
    })
    try {
      await mirror.look()
      return new AgentKernel(parts, mirror)
    } catch (error) {
      onNotice(
        isWithoutIpvs(error)
          ? 'this kernel shows no IPVS table: what is heard is all there is'
          : (error as Error).message
      )
      return undefined
    }
  }

  /** Time until the table may be read again. Before Linux 6.14 a read costs the kernel much. */
  get pause(): Milliseconds {
    return this.#mirror.plan.nextLook - this.#parts.clock.now()
  }

  /** Duration of the last read. */
  get lastRead(): Milliseconds {
    return this.#mirror.plan.lastDuration
  }

  /** Connections in the kernel's table at the last read. */
  get connections(): number {
    return this.#mirror.connections
  }

  /** Looks at the table; how many connections it has. */
  async look(): Promise<number> {
    const { onNotice } = this.#parts
    try {
      const found = await this.#mirror.look()
      for (const note of this.#mirror.notes) onNotice(note)
      return found
    } catch (error) {
      onNotice((error as Error).message)
      return 0
    }
  }

  /** Brings the kernel what it lacks of the table. How many it still lacks then. */
  async complete(): Promise<number> {
    return this.#fill(await this.#absent(false))
  }

  /** Brings a kernel that was restarted the whole table; one that was not has what counts. How many it still lacks. */
  async restore(): Promise<number> {
    const { size } = this.#parts.table
    const absent = await this.#absent(true)
    return size - absent.length < size * RESTARTED_BELOW ? this.#fill(absent) : 0
  }

  /** Nothing more is brought. */
  end(): void {
    this.#end.abort()
  }

  async #fill(first: readonly number[]): Promise<number> {
    let absent = first
    for (let round = 0; round < ROUNDS && absent.length > 0 && this.#parts.bringer !== undefined; round++) {
      await this.#bring(absent, this.#parts.bringer)
      absent = await this.#absent(false)
    }
    if (absent.length > 0) {
      const { syncid } = this.#parts.messages
      this.#parts.onNotice(
        `the kernel lacks ${counted(absent.length, 'connection')} of this table: does its backup daemon run, with syncid ${syncid}?`
      )
    }
    return absent.length
  }

  async #absent(unsure: boolean): Promise<number[]> {
    await this.look()
    return this.#mirror.absent(unsure)
  }

  async #bring(slots: readonly number[], open: () => SendingTransport): Promise<void> {
    const { signal } = this.#end
    if (signal.aborted) return
    const {
      table,
      clock,
      messages: { syncid, maxLength, rate },
      onNotice
    } = this.#parts
    const sender = open()
    try {
      await sender.start({ onError: ({ message }) => onNotice(message) })
      const bulk = new BulkMessages({ version: 1, syncid, maxLength, channels: 1 })
      for (const slot of slots) if (table.isUsed(slot)) bulk.addSlot(table, slot)
      const messages = bulk.finish()
      const options = { pace: paceFor(maxLength, rate), times: 1, clock, signal, onProgress: () => undefined }
      const { connections } = await sendBulk(messages, sender, options)
      if (!this.#end.signal.aborted) onNotice(`${counted(connections, 'connection')} brought to this kernel`)
      await new Promise<void>((resolve) => void clock.after(SETTLED, resolve))
    } catch (error) {
      onNotice(`the kernel cannot be reached: ${(error as Error).message}`)
    } finally {
      await sender.close()
    }
  }
}

/** How this host's kernel is reached; undefined among peers alone, since its backup daemon hears nothing but the group. */
export function bringerOf(options: AgentOptions, sysctls: Sysctls): AgentKernelParts['bringer'] {
  const { bringer, mcastInterface, peers = [], system } = options
  if (bringer !== undefined) return () => bringer
  if (mcastInterface === undefined || peers.length > 0) return undefined
  // Sealed, since other processes of this host receive it too.
  const udp = { ...udpOptionsOf(options, sysctls), channels: 1, hostOnly: true }
  const { syncid = 0, clock, wallClock } = options
  return () => createSender(options, { udp, syncid, system, clock, wallClock }, false)
}
