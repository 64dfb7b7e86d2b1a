/**
 * The role that keepalived gives a director, read from its notify FIFO (`vrrp_notify_fifo`): lines such as
 * `INSTANCE "VI_1" MASTER 100`. The role is stored beside the FIFO, which reports changes only.
 *
 * @module
 */

import { closeSync, constants, fstatSync, openSync, readFileSync, readSync, statSync } from 'node:fs'
import type { Clock } from '../daemon/clock.js'
import { replaceFileSync } from '../daemon/replace-file.js'
import type { Bytes, Milliseconds } from '../units.js'
import type { AgentNotices } from './notices.js'

/** A line of the FIFO. */
export interface RoleChange {
  readonly kind: 'INSTANCE' | 'GROUP'
  readonly name: string
  /** `MASTER`, `BACKUP`, `FAULT`, `STOP`, `DELETED` and others, as keepalived writes it. */
  readonly state: string
  /** Priority of the instance; 0 for a group. */
  readonly priority: number
}

/** Options of a {@link NotifyFifo}. */
export interface NotifyFifoOptions {
  /** Path of the FIFO. keepalived creates and removes it, so it may be missing or be replaced at any time. */
  readonly path: string
  readonly clock: Clock
  /** Receives each line that can be parsed. */
  readonly onChange: (change: RoleChange) => void
  /** Receives faults, each once in a row. */
  readonly onNotice: (text: string) => void
}

/** Options of an {@link AgentRole}. */
export interface AgentRoleOptions {
  /** Path of keepalived's FIFO. */
  readonly path: string
  /** The VRRP instance that counts; all of them if undefined. */
  readonly instance: string | undefined
  readonly clock: Clock
  readonly notices: AgentNotices
  /** Called at each change of role. */
  readonly onRole: (isMaster: boolean) => void
}

/** Interval of polling: a FIFO without a writer, or one that was replaced, causes no event. */
const POLL_INTERVAL: Milliseconds = 100
/** Limit of a line; a longer one is dropped. */
const MAX_LINE: Bytes = 4096
/** Words that report a state. Others (`MASTER_PRIORITY`, `BACKUP_PRIORITY`, unknown ones) do not change the role. */
const STATES = new Set(['MASTER', 'BACKUP', 'FAULT', 'STOP', 'DELETED', 'MASTER_RX_LOWER_PRI'])
/** Maximum number of instances that are remembered. */
const MAX_INSTANCES = 256

/**
 * Parses a line of the FIFO.
 *
 * @returns Undefined for other lines, such as those of virtual servers.
 */
export function parseRoleChange(line: string): RoleChange | undefined {
  const match = /^(INSTANCE|GROUP) "([^"]*)" ([A-Z_]+)(?: (\d+))?\s*$/.exec(line)
  if (match === null) return undefined
  const [, kind, name, state, priority = '0'] = match
  return { kind: kind as RoleChange['kind'], name: name!, state: state!, priority: Number(priority) }
}

/**
 * Stores the instances that are master in `PATH.role`, in keepalived's own form.
 *
 * @param path - Path of the FIFO. Below /run a reboot removes the file, as it should.
 * @throws The system's error if the file cannot be written.
 */
export function storeRole(path: string, masters: Iterable<string>): void {
  replaceFileSync(`${path}.role`, Array.from(masters, (name) => `INSTANCE "${name}" MASTER 0\n`).join(''))
}

/** Loads the stored instances; none if there is no file. */
export function loadRole(path: string): RoleChange[] {
  let text: string
  try {
    text = readFileSync(`${path}.role`, 'latin1')
  } catch {
    // The first start since the reboot.
    return []
  }
  return text
    .split('\n')
    .map(parseRoleChange)
    .filter((change) => change !== undefined)
}

/** The state of keepalived's instances. The director is master as long as any instance that counts is. */
export class VrrpRole {
  readonly #instance: string | undefined
  readonly #masters = new Set<string>()
  /** Number of words that do not report a state. */
  ignored = 0

  /** @param instance - The instance that counts; all of them if undefined. */
  constructor(instance: string | undefined) {
    this.#instance = instance
  }

  /** The instances that count and are master. */
  get masters(): ReadonlySet<string> {
    return this.#masters
  }

  /** Whether this director is master. */
  get isMaster(): boolean {
    return this.#masters.size > 0
  }

  /**
   * Applies a change.
   *
   * @returns Whether the director's role changed.
   */
  update({ kind, name, state }: RoleChange): boolean {
    if (kind !== 'INSTANCE' || (this.#instance !== undefined && this.#instance !== name)) return false
    if (!STATES.has(state)) {
      this.ignored++
      return false
    }
    const before = this.isMaster
    // A master reports MASTER_RX_LOWER_PRI, too.
    if (!/^MASTER(_|$)/.test(state)) this.#masters.delete(name)
    else if (this.#masters.size < MAX_INSTANCES) this.#masters.add(name)
    return this.isMaster !== before
  }
}

/** Reads a FIFO until it is closed. */
export class NotifyFifo {
  readonly #options: NotifyFifoOptions
  readonly #buffer = Buffer.alloc(MAX_LINE)
  #descriptor: number | undefined
  #inode = 0
  #rest = ''
  #lastNotice = ''
  #cancel: (() => void) | undefined

  /** @param options - The FIFO and who receives its lines. */
  constructor(options: NotifyFifoOptions) {
    this.#options = options
  }

  /** Starts; a missing FIFO is waited for. */
  start(): void {
    const { clock, onNotice } = this.#options
    try {
      this.#reopen()
      if (this.#descriptor !== undefined) this.#drain(this.#descriptor)
    } catch (error) {
      const { message } = error as Error
      if (this.#lastNotice !== message) onNotice(message)
      this.#lastNotice = message
      this.#release()
    }
    this.#cancel = clock.after(POLL_INTERVAL, () => this.start())
  }

  /** Stops. */
  close(): void {
    this.#cancel?.()
    this.#release()
  }

  /** Opens the FIFO at the path if it is not the one that is open. */
  #reopen(): void {
    const { path } = this.#options
    const found = statSync(path, { throwIfNoEntry: false })
    if (found?.ino === this.#inode && this.#descriptor !== undefined) return
    if (this.#descriptor !== undefined) this.#drain(this.#descriptor)
    this.#release()
    if (found === undefined) return
    // Opened for writing too: reads never block and never end, and lines wait in it while keepalived restarts.
    const descriptor = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
    const opened = fstatSync(descriptor)
    if (!opened.isFIFO()) {
      closeSync(descriptor)
      throw new Error(`${path} is not a FIFO; remove it and keepalived will create one`)
    }
    this.#descriptor = descriptor
    this.#inode = opened.ino
  }

  #drain(descriptor: number): void {
    for (;;) {
      let length = 0
      try {
        length = readSync(descriptor, this.#buffer)
      } catch {
        // EAGAIN: the FIFO is empty.
      }
      if (length === 0) return
      const lines = (this.#rest + this.#buffer.toString('latin1', 0, length)).split('\n')
      const rest = lines.pop()!
      this.#rest = rest.length > MAX_LINE ? '' : rest
      for (const line of lines) {
        const change = parseRoleChange(line)
        if (change !== undefined) this.#options.onChange(change)
      }
    }
  }

  #release(): void {
    const descriptor = this.#descriptor
    this.#descriptor = undefined
    this.#rest = ''
    if (descriptor === undefined) return
    try {
      closeSync(descriptor)
      /* c8 ignore next 2 -- test/cli/faults.test.ts makes it fail, in a child process */
    } catch {
      // The system has released the descriptor, whatever it reports.
    }
  }
}

/** Tracks the role of this director, over restarts of the agent. */
export class AgentRole {
  readonly #options: AgentRoleOptions
  readonly #role: VrrpRole
  readonly #fifo: NotifyFifo

  /** @param options - The FIFO and who is called. */
  constructor(options: AgentRoleOptions) {
    const { path, instance, clock, notices } = options
    this.#options = options
    this.#role = new VrrpRole(instance)
    this.#fifo = new NotifyFifo({
      path,
      clock,
      onChange: (change) => this.#update(change),
      onNotice: (text) => notices.notify('NOTIFY_FIFO_FAULT', text)
    })
  }

  /** Loads the stored role and starts to read the FIFO. */
  start(): void {
    for (const change of loadRole(this.#options.path)) this.#update(change)
    this.#fifo.start()
  }

  /** Stops. */
  close(): void {
    this.#fifo.close()
  }

  #update(change: RoleChange): void {
    if (!this.#role.update(change)) return
    const { path, notices, onRole } = this.#options
    notices.writeFile('ROLE_FILE_FAILED', `${path}.role`, () => storeRole(path, this.#role.masters))
    onRole(this.#role.isMaster)
  }
}
