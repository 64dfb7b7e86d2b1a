/**
 * Applies what this host's kernel announces as master to the agent's table, and reports when some of it may have been missed.
 *
 * @module
 */

import type { Clock } from '../../daemon/clock.js'
import { defaultTimeout } from '../../engine/backup/timeouts.js'
import type { From } from '../../engine/events.js'
import { counted } from '../../text.js'
import type { ConnectionTable } from '../../table/connection-table.js'
import type { Milliseconds } from '../../units.js'
import { isAgentMessage } from '../../wire/agent-mark.js'
import { BACKUP_MASK, FLAG } from '../../wire/constants.js'
import { MessageReader } from '../../wire/message-reader.js'
import { ROW, ROW_WORDS } from '../../wire/rows.js'
import { decodeAgentMessage, type AgentId } from '../protocol/messages.js'
import type { OpenOwnSource, OwnSource } from './own-source.js'

/** Interval at which the source is asked for lost datagrams. */
const POLL_INTERVAL: Milliseconds = 5000
/** Pauses before a source that ended is opened again: the first, and the limit of their doubling. */
const FIRST_PAUSE: Milliseconds = 1000
const MAX_PAUSE: Milliseconds = 300_000
/** A source that lasted this long ended for another reason than the one before. */
const STEADY: Milliseconds = 60_000
/** Time that the agent's start waits for the source. */
const START_LIMIT: Milliseconds = 3000

/** Parts of an {@link OwnMaster}. */
export interface OwnMasterParts {
  readonly open: OpenOwnSource
  /** Where the source is, for notices: `capture on eth1`. */
  readonly description: string
  readonly table: ConnectionTable
  readonly clock: Clock
  /** Name of this agent, whose own messages a capture contains too. */
  readonly id: AgentId
  /** 0…255; messages with another syncid are ignored, 0 accepts all. */
  readonly syncid: number
  /** Whether this agent announces as master itself: what it sends is then ignored. */
  readonly isAnnouncing: () => boolean
  /** Receives notices. */
  readonly notify: (code: string, text: string) => void
  /** Called when something may have been missed: only the kernel's table shows it. */
  readonly onGap: () => void
}

/** Figures since the start. */
export interface OwnMasterReport {
  /** Whether everything that the kernel announces is received now. */
  readonly isCovering: boolean
  readonly messages: number
  readonly connections: number
  /** Times at which something may have been missed. */
  readonly gaps: number
  /** Datagrams that this host lost. */
  readonly drops: number
}

/** Keeps a source open, and applies its messages. */
export class OwnMaster {
  readonly #parts: OwnMasterParts
  readonly #reader = new MessageReader()
  /** Ports that this agent sends from. Its first message precedes its first answer, so they are known in time. */
  readonly #ownPorts: number[] = []
  #source: OwnSource | undefined
  #isUp = false
  #isClosed = false
  #openedAt = 0
  #pause = FIRST_PAUSE
  #sourceDrops = 0
  #messages = 0
  #connections = 0
  #gaps = 0
  #drops = 0
  #cancelTimer: () => void = () => undefined
  #started: () => void = () => undefined

  /** @param parts - The source and where its messages go. */
  constructor(parts: OwnMasterParts) {
    this.#parts = parts
  }

  /** Opens the source. Resolves when it is open or has failed, after 3 s at the latest; a failure is reported and retried. */
  async start(): Promise<void> {
    const cancel = this.#parts.clock.after(START_LIMIT, () => this.#started())
    await new Promise<void>((resolve) => {
      this.#started = resolve
      this.#open()
    })
    cancel()
  }

  /** Closes the source. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#isUp = false
    this.#cancelTimer()
    this.#started()
    await this.#source?.close()
  }

  /** Returns the figures. */
  report(): OwnMasterReport {
    return {
      isCovering: this.#isUp && !this.#parts.isAnnouncing(),
      messages: this.#messages,
      connections: this.#connections,
      gaps: this.#gaps,
      drops: this.#drops
    }
  }

  #open(): void {
    const { clock, description, notify, open } = this.#parts
    this.#openedAt = clock.now()
    this.#sourceDrops = 0
    this.#source = open({
      onUp: () => {
        this.#isUp = true
        notify('OWN_MASTER_RECEIVED', `${description}: receiving what this kernel's master announces`)
        this.#noteGap()
        this.#poll()
        this.#started()
      },
      onDatagram: (bytes, from) => this.#handleDatagram(bytes, from),
      onDrops: (total) => {
        if (total <= this.#sourceDrops) return
        this.#drops += total - this.#sourceDrops
        this.#sourceDrops = total
        this.#noteGap()
        notify('OWN_MASTER_LOST', `${description}: ${counted(this.#drops, 'datagram')} lost on this host`)
      },
      onEnd: (code, text) => {
        this.#isUp = false
        this.#source = undefined
        this.#cancelTimer()
        const pause = clock.now() - this.#openedAt >= STEADY ? FIRST_PAUSE : this.#pause
        this.#pause = Math.min(2 * pause, MAX_PAUSE)
        this.#cancelTimer = clock.after(pause, () => this.#open())
        notify(code, text)
        this.#noteGap()
        this.#started()
      }
    })
    // Closed by a handler that was called at once.
    if (this.#isClosed) void this.#source.close()
  }

  #poll(): void {
    this.#cancelTimer = this.#parts.clock.after(POLL_INTERVAL, () => {
      this.#source?.poll()
      this.#poll()
    })
  }

  #noteGap(): void {
    this.#gaps++
    this.#parts.onGap()
  }

  #handleDatagram(bytes: Uint8Array, { port }: From): void {
    const { id, syncid, table, clock, isAnnouncing } = this.#parts
    if (isAgentMessage(bytes)) {
      if (!this.#ownPorts.includes(port) && decodeAgentMessage(bytes)?.from === id) {
        this.#ownPorts.unshift(port)
        this.#ownPorts.length = Math.min(this.#ownPorts.length, 8)
      }
      return
    }
    if (isAnnouncing() || this.#ownPorts.includes(port)) return
    const message = this.#reader.read(bytes)
    if (message.records === 0 || (syncid !== 0 && message.syncid !== syncid)) return
    this.#messages++
    const { rows } = this.#reader
    const { words } = rows
    const now = clock.now()
    for (let i = 0, at = 0; i < rows.count; i++, at += ROW_WORDS) {
      const flags = words[at + ROW.FLAGS]!
      if (words[at + ROW.VERDICT] !== 0) continue
      // The connection is this director's own: without SYNC its origin is LOCAL.
      words[at + ROW.FLAGS] = flags & BACKUP_MASK & ~FLAG.SYNC
      if (words[at + ROW.TIMEOUT] === 0)
        words[at + ROW.TIMEOUT] = defaultTimeout({}, words[at + ROW.PROTOCOL]!, (flags & FLAG.TEMPLATE) !== 0, words[at + ROW.STATE]!) // prettier-ignore
      table.upsert(rows, i, now)
      this.#connections++
    }
  }
}
