/**
 * keepalived's notify FIFO (`vrrp_notify_fifo`): lines such as `INSTANCE "VI_1" MASTER 100`.
 *
 * @module
 */

import { closeSync, constants, fstatSync, openSync, readSync, statSync } from 'node:fs'
import type { Milliseconds } from '../units.js'
import type { Clock } from '../daemon/clock.js'

/** What a line says. */
export interface RoleChange {
  readonly kind: 'INSTANCE' | 'GROUP'
  readonly name: string
  /** `MASTER`, `BACKUP`, `FAULT`, `STOP`, `DELETED`, … as keepalived writes it. */
  readonly state: string
  /** The instance's priority; 0 for a group. */
  readonly priority: number
}

/** Options of a reader. */
export interface NotifyFifoOptions {
  /** Of the FIFO. keepalived makes it if it is not there; so it may come later, go, and come anew. */
  readonly path: string
  readonly clock: Clock
  /** Hears of each line that is understood. */
  readonly onChange: (change: RoleChange) => void
  /** Hears what a person should know, once for each reason. */
  readonly onNotice: (text: string) => void
}

/** Between two looks: a FIFO that has no writer, or is another one than before, wakes nobody. */
const LOOK: Milliseconds = 100
/** A line is short; what has no end within this is thrown away. */
const LONGEST_LINE = 4096

/**
 * Reads one line of the FIFO.
 *
 * @returns Nothing for what is no such line: those of virtual servers among them.
 */
export function parseRoleChange(line: string): RoleChange | undefined {
  const match = /^(INSTANCE|GROUP) "([^"]*)" ([A-Z_]+)(?: (\d+))?\s*$/.exec(line)
  if (match === null) return undefined
  const [, kind, name, state, priority = '0'] = match
  return { kind: kind as RoleChange['kind'], name: name!, state: state!, priority: Number(priority) }
}

/** Follows a FIFO until it is closed. */
export class NotifyFifo {
  readonly #options: NotifyFifoOptions
  readonly #buffer = Buffer.alloc(LONGEST_LINE)
  #descriptor: number | undefined
  #inode = 0
  #rest = ''
  #told = ''
  #cancel: (() => void) | undefined

  /** @param options - What to follow. */
  constructor(options: NotifyFifoOptions) {
    this.#options = options
  }

  /** Begins; a FIFO that is not there yet is waited for. */
  start(): void {
    this.#look()
  }

  /** Ends. */
  close(): void {
    this.#cancel?.()
    this.#release()
  }

  #look(): void {
    try {
      this.#follow()
      if (this.#descriptor !== undefined) this.#drain(this.#descriptor)
    } catch (error) {
      this.#notice((error as Error).message)
      this.#release()
    }
    this.#cancel = this.#options.clock.after(LOOK, () => this.#look())
  }

  /** Opens what stands at the path now. */
  #follow(): void {
    const { path } = this.#options
    const found = statSync(path, { throwIfNoEntry: false })
    if (found?.ino === this.#inode && this.#descriptor !== undefined) return
    if (this.#descriptor !== undefined) this.#drain(this.#descriptor)
    this.#release()
    if (found === undefined) return
    // Open for writing too: it never blocks and never ends, and lines wait in it while keepalived restarts.
    const descriptor = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
    const opened = fstatSync(descriptor)
    if (!opened.isFIFO()) {
      closeSync(descriptor)
      throw new Error(`${path} is no FIFO: remove it, keepalived makes one`)
    }
    this.#descriptor = descriptor
    this.#inode = opened.ino
  }

  #drain(descriptor: number): void {
    for (let length = this.#read(descriptor); length > 0; length = this.#read(descriptor)) {
      this.#take(this.#buffer.toString('latin1', 0, length))
    }
  }

  #read(descriptor: number): number {
    try {
      return readSync(descriptor, this.#buffer)
    } catch {
      // EAGAIN: nothing waits. An open FIFO has no other fault to tell.
      return 0
    }
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split('\n')
    const rest = lines.pop()!
    this.#rest = rest.length > LONGEST_LINE ? '' : rest
    for (const line of lines) {
      const change = parseRoleChange(line)
      if (change !== undefined) this.#options.onChange(change)
    }
  }

  #release(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor)
    this.#descriptor = undefined
    this.#rest = ''
  }

  #notice(text: string): void {
    if (this.#told === text) return
    this.#told = text
    this.#options.onNotice(text)
  }
}
