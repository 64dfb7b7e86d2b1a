/**
 * The main thread's side of one worker.
 *
 * @module
 */

import { IpvsSyncError } from '../../errors.js'
import type { Milliseconds } from '../../units.js'
import type { TableConnection } from '../../wire/connection.js'
import type { Clock } from '../clock.js'
import { NO_COUNTERS } from './merge-reports.js'
import { unpackError, type FromWorker, type ToWorker, type WorkerEvent, type WorkerReport } from './worker-messages.js'

/** What is used of a `Worker`. */
export interface WorkerThread {
  postMessage(message: ToWorker): void
  on(event: 'message', listener: (message: FromWorker) => void): unknown
  on(event: 'error', listener: (error: unknown) => void): unknown
  on(event: 'exit', listener: (code: number) => void): unknown
  terminate(): unknown
}

/** Who hears of what a worker does. */
export interface MemberOutlets {
  readonly tell: (event: WorkerEvent) => void
  /** A new report stands. */
  readonly reported: () => void
  /** It ended though nobody told it to. */
  readonly lost: (error: IpvsSyncError) => void
}

type Portion = Extract<FromWorker, { type: 'portion' }>

interface Waiting {
  readonly resolve: (portion: Portion) => void
  readonly reject: (error: IpvsSyncError) => void
}

/** A worker that has not closed by then is not going to: it is ended. */
const CLOSING: Milliseconds = 5000

const NO_REPORT: WorkerReport = {
  counters: NO_COUNTERS,
  senders: [],
  ignored: [],
  receiveDrops: 0,
  tableCounts: [],
  size: 0
}

/** One worker: from its thread's start to its end. */
export class WorkerHandle {
  /** The last that it told of itself. */
  report: WorkerReport = NO_REPORT
  /** Resolves when its sockets are open; rejects with what kept them from it. */
  readonly opened: Promise<void>
  readonly #name: string
  readonly #thread: WorkerThread
  readonly #clock: Clock
  readonly #outlets: MemberOutlets
  readonly #ended: Promise<void>
  readonly #waiting = new Map<number, Waiting>()
  #open!: () => void
  #refuse!: (error: IpvsSyncError) => void
  #state: 'opening' | 'open' | 'closing' | 'ended' = 'opening'
  #failure: unknown
  #readings = 0

  /**
   * @param name - For a person: which channels are its.
   * @param thread - Just started.
   * @param clock - For how long closing may take.
   * @param outlets - Who hears of it.
   */
  constructor(name: string, thread: WorkerThread, clock: Clock, outlets: MemberOutlets) {
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
        this.#end(code)
        resolve()
      })
    })
    thread.on('message', (message) => this.#hear(message))
    // Its exit follows.
    thread.on('error', (error) => (this.#failure = error))
  }

  /** Says something to it; a worker that has ended does not hear. */
  post(message: ToWorker): void {
    if (this.#state !== 'ended') this.#thread.postMessage(message)
  }

  /** Closes its sockets and ends it; after five seconds without asking. */
  async close(): Promise<void> {
    this.post({ type: 'close' })
    if (this.#state !== 'ended') this.#state = 'closing'
    const prevent = this.#clock.after(CLOSING, () => void this.#thread.terminate())
    await this.#ended
    prevent()
  }

  /**
   * Its connections, a portion at a time.
   *
   * @throws IpvsSyncError `ERR_WORKER` or `ERR_USAGE` where it ends before the last of them.
   */
  async *portions(): AsyncGenerator<readonly TableConnection[]> {
    const reading = this.#readings++
    try {
      for (let next = this.#read(reading); ;) {
        const { connections, last } = await next
        if (last) return
        // It makes the next one ready while this one is worked on.
        next = this.#read(reading)
        // Whoever gives up a reading does not hear what became of it.
        next.catch(() => undefined)
        yield connections
      }
    } finally {
      this.post({ type: 'leave', reading })
    }
  }

  #read(reading: number): Promise<Portion> {
    return new Promise((resolve, reject) => {
      if (this.#state === 'ended') {
        reject(this.#gone())
        return
      }
      this.#waiting.set(reading, { resolve, reject })
      this.#thread.postMessage({ type: 'read', reading })
    })
  }

  #hear(message: FromWorker): void {
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
        // The next batch may come: it waits its turn behind this one, also if a listener throws.
        this.post({ type: 'taken' })
        for (const event of message.events) this.#outlets.tell(event)
        break
      case 'portion':
        this.#waiting.get(message.reading)?.resolve(message)
        this.#waiting.delete(message.reading)
        break
      case 'closed':
        this.#state = 'closing'
    }
  }

  #end(code: number): void {
    const expected = this.#state === 'closing'
    const wasOpen = this.#state === 'open'
    this.#state = 'ended'
    const gone = expected ? this.#gone() : this.#lostBy(code)
    for (const { reject } of this.#waiting.values()) reject(gone)
    this.#waiting.clear()
    if (expected) return
    this.#refuse(gone)
    if (wasOpen) this.#outlets.lost(gone)
  }

  #gone(): IpvsSyncError {
    return new IpvsSyncError('ERR_USAGE', `${this.#name} is closed, and its table with it`)
  }

  #lostBy(code: number): IpvsSyncError {
    const { message = `exit code ${code}` } = (this.#failure ?? {}) as Partial<Error>
    const text = `${this.#name} has ended by itself (${message}), and its part of the table with it`
    return new IpvsSyncError('ERR_WORKER', text, { cause: this.#failure })
  }
}
