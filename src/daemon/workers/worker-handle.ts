/**
 * The main thread's side of one worker.
 *
 * @module
 */

import { IpvsSyncError } from '../../errors.js'
import type { Milliseconds } from '../../units.js'
import type { TableConnection } from '../../wire/connection.js'
import type { ConnectionKey } from '../../table/table-options.js'
import type { Clock } from '../clock.js'
import type { KeyClaim } from './key-claims.js'
import { NO_COUNTERS } from './merge-reports.js'
import {
  unpackError,
  type FromWorker,
  type ToWorker,
  type WorkerAnswer,
  type WorkerEvent,
  type WorkerReport,
  type WorkerRequest
} from './worker-messages.js'

/** The methods of a `Worker` that a handle uses. */
export interface WorkerThread {
  postMessage(message: ToWorker): void
  on(event: 'message', listener: (message: FromWorker) => void): unknown
  on(event: 'error', listener: (error: unknown) => void): unknown
  on(event: 'exit', listener: (code: number) => void): unknown
  terminate(): unknown
}

/** Receivers of what a worker sends. */
export interface WorkerOutlets {
  readonly tell: (event: WorkerEvent) => void
  /** There is a new report. */
  readonly reported: () => void
  /** Keys that the worker claims. */
  readonly claim: (claim: KeyClaim) => void
  /** The worker has applied a claim of another one. */
  readonly applied: (worker: number) => void
  /** The thread ended unexpectedly. */
  readonly lost: (error: IpvsSyncError) => void
}

interface Waiting {
  readonly resolve: (value: WorkerAnswer) => void
  readonly reject: (error: IpvsSyncError) => void
}

/** A worker that is to close and sends nothing for this long is terminated. */
const CLOSING: Milliseconds = 5000

const NO_REPORT: WorkerReport = {
  counters: NO_COUNTERS,
  senders: [],
  ignored: [],
  receiveDrops: 0,
  sealReport: undefined,
  tableCounts: [],
  size: 0
}

/** One worker: from its thread's start to its end. */
export class WorkerHandle {
  /** The last report. */
  report: WorkerReport = NO_REPORT
  /** Resolves when its sockets are open; rejects if they cannot be opened. */
  readonly opened: Promise<void>
  readonly #name: string
  readonly #thread: WorkerThread
  readonly #clock: Clock
  readonly #outlets: WorkerOutlets
  readonly #ended: Promise<void>
  readonly #waiting = new Map<number, Waiting>()
  #open!: () => void
  #refuse!: (error: IpvsSyncError) => void
  #state: 'opening' | 'open' | 'closing' | 'ended' = 'opening'
  #failure: unknown
  #requests = 0
  #cancelTermination: (() => void) | undefined

  /**
   * @param name - Text for a person: its number and channels.
   * @param thread - Just started.
   * @param clock - Limits the time of closing.
   * @param outlets - Receivers of what it sends.
   */
  constructor(name: string, thread: WorkerThread, clock: Clock, outlets: WorkerOutlets) {
    this.#name = name
    this.#thread = thread
    this.#clock = clock
    this.#outlets = outlets
    this.opened = new Promise((resolve, reject) => {
      this.#open = resolve
      this.#refuse = reject
    })
    this.#ended = new Promise((resolve) => {
      thread.on('exit', (code) => {
        const isExpected = this.#state === 'closing'
        const wasOpen = this.#state === 'open'
        this.#state = 'ended'
        this.#cancelTermination?.()
        const error = isExpected ? this.#closedError() : this.#lostError(code)
        for (const { reject } of this.#waiting.values()) reject(error)
        this.#waiting.clear()
        if (!isExpected) {
          this.#refuse(error)
          if (wasOpen) this.#outlets.lost(error)
        }
        resolve()
      })
    })
    thread.on('message', (message) => this.#receive(message))
    // Its exit follows.
    thread.on('error', (error) => (this.#failure = error))
  }

  /** Sends it a message; one to a worker that has ended is ignored. */
  post(message: ToWorker): void {
    if (this.#state !== 'ended') this.#thread.postMessage(message)
  }

  /** Closes its sockets; its table can still be read. */
  async stop(): Promise<void> {
    this.#beginClosing()
    await this.#ask({ type: 'stop' })
  }

  /** Closes its sockets and ends it; terminates it if it does not answer. */
  async close(): Promise<void> {
    this.#beginClosing()
    this.post({ type: 'close' })
    await this.#ended
  }

  /** Returns the connection with a key. */
  async find(key: ConnectionKey): Promise<TableConnection | undefined> {
    return (await this.#ask({ type: 'find', key })) as TableConnection | undefined
  }

  /**
   * Yields its connections in portions.
   *
   * @throws IpvsSyncError `ERR_WORKER` or `ERR_USAGE` if it ends before the last of them.
   */
  portions(): AsyncGenerator<readonly TableConnection[]> {
    return this.#walk(false) as AsyncGenerator<readonly TableConnection[]>
  }

  /** Yields its table as a packed snapshot, block by block. Throws as {@link WorkerHandle.portions}. */
  blocks(): AsyncGenerator<Uint8Array> {
    return this.#walk(true) as AsyncGenerator<Uint8Array>
  }

  async *#walk(packed: boolean): AsyncGenerator<WorkerAnswer> {
    const walk = this.#requests++
    try {
      for (let next = this.#ask({ type: 'read', walk, packed }); ;) {
        const portion = await next
        if (portion === undefined) return
        // It prepares the next one while this one is used.
        next = this.#ask({ type: 'read', walk, packed })
        // The failure of an abandoned walk is of no interest.
        next.catch(() => undefined)
        yield portion
      }
    } finally {
      this.post({ type: 'leave', walk })
    }
  }

  #ask(request: WorkerRequest): Promise<WorkerAnswer> {
    return new Promise((resolve, reject) => {
      if (this.#state === 'ended') {
        reject(this.#closedError())
        return
      }
      const number = this.#requests++
      this.#waiting.set(number, { resolve, reject })
      this.#thread.postMessage({ type: 'request', number, request })
    })
  }

  #receive(message: FromWorker): void {
    if (this.#cancelTermination !== undefined) this.#beginClosing()
    switch (message.type) {
      case 'open':
        this.#state = 'open'
        this.#open()
        break
      case 'failed':
        this.#state = 'closing'
        this.#refuse(unpackError(message.error))
        break
      case 'report':
        this.report = message.report
        this.#outlets.reported()
        break
      case 'events':
        // The next batch may be sent: it is received after this one, also if a listener throws.
        this.post({ type: 'taken' })
        for (const event of message.events) this.#outlets.tell(event)
        break
      case 'answer':
        this.#waiting.get(message.number)?.resolve(message.value)
        this.#waiting.delete(message.number)
        break
      case 'claim':
        this.#outlets.claim(message.claim)
        break
      case 'applied':
        this.#outlets.applied(message.worker)
        break
      case 'closed':
        this.#state = 'closing'
    }
  }

  /** From now on its end is expected, and each message from it puts off its termination. */
  #beginClosing(): void {
    if (this.#state === 'ended') return
    this.#state = 'closing'
    this.#cancelTermination?.()
    this.#cancelTermination = this.#clock.after(CLOSING, () => void this.#thread.terminate())
  }

  #closedError(): IpvsSyncError {
    return new IpvsSyncError('ERR_USAGE', `${this.#name} is closed; its table is no longer available`)
  }

  #lostError(code: number): IpvsSyncError {
    const { message = `exit code ${code}` } = (this.#failure ?? {}) as Partial<Error>
    const text = `${this.#name} ended unexpectedly (${message}); its part of the table is lost`
    return new IpvsSyncError('ERR_WORKER', text, { cause: this.#failure })
  }
}
