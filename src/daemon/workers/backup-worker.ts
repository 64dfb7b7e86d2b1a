/**
 * A worker's side of a backup on several threads: some of the channels, with sockets, an engine and a table of their own.
 *
 * @module
 */

import { EventQueue } from '../../engine/events.js'
import type { TableConnection } from '../../wire/connection.js'
import type { ReceivingTransport } from '../../transport/transport.js'
import type { Milliseconds } from '../../units.js'
import { systemClock, type Clock } from '../clock.js'
import { LocalBackup } from '../backup/local-backup.js'
import { createReceiver } from '../sealing.js'
import { tableOf } from '../sync-options.js'
import { KeyClaims } from './key-claims.js'
import {
  packError,
  type FromWorker,
  type ToWorker,
  type WorkerAnswer,
  type WorkerEvent,
  type WorkerRequest,
  type WorkerTask
} from './worker-messages.js'

/** The worker's end of the message channel: `parentPort`, or a `MessagePort` in a test. */
export interface WorkerPort {
  postMessage(message: FromWorker): void
  on(event: 'message', listener: (message: ToWorker) => void): unknown
  /** Receives and sends nothing more: the thread may end. */
  close(): void
}

/** Replacements for a test. */
export interface WorkerSurroundings {
  readonly clock?: Clock
  readonly transport?: ReceivingTransport
}

/** Interval of counter reports. */
export const REPORT_INTERVAL: Milliseconds = 200
/** Maximum number of events that wait while a batch is under way. Further ones are counted as lost, so that a busy main thread costs no memory. */
const MOST_EVENTS = 8192
/** Maximum number of waiting notices: they are rare, and frequent events must not displace them. */
const MOST_NOTICES = 256
const BATCH = 1024

/** Serves the main thread until `close`. */
export class BackupWorker {
  readonly #port: WorkerPort
  readonly #clock: Clock
  readonly #backup: LocalBackup
  readonly #events = new EventQueue<WorkerEvent>(MOST_EVENTS)
  readonly #notices = new EventQueue<WorkerEvent>(MOST_NOTICES)
  readonly #walks = new Map<number, AsyncIterator<readonly TableConnection[]> | Iterator<Uint8Array>>()
  readonly #claims: KeyClaims | undefined
  #isSending = false
  #isClaiming = false
  #flush: NodeJS.Immediate | undefined
  #claimFlush: NodeJS.Immediate | undefined
  #cancelReport!: () => void
  #stopping: Promise<void> | undefined

  /**
   * @param task - Its part of the channels.
   * @param port - Its end of the message channel.
   * @param surroundings - The system's own by default.
   */
  constructor(task: WorkerTask, port: WorkerPort, surroundings: WorkerSurroundings = {}) {
    const { udp, engine, sealing } = task
    const { firstChannel = 0, ...keys } = sealing ?? {}
    const receiver = createReceiver(keys, { udp, syncid: engine.syncid, firstChannel })
    const { clock = systemClock, transport = receiver } = surroundings
    const table = tableOf({ maxConnections: task.maxConnections })
    this.#port = port
    this.#clock = clock
    if (task.claims !== undefined) {
      const { worker, workers, filter } = task.claims
      this.#claims = new KeyClaims(table, worker, workers, filter, () => {
        // One claim for all the keys of this turn of the loop.
        this.#claimFlush ??= setImmediate(() => {
          this.#claimFlush = undefined
          this.#sendClaim()
        })
      })
    }
    this.#backup = new LocalBackup(
      { engine: { ...task.engine, table }, transport, clock },
      {
        tell: (event) => this.#tell(event),
        fail: (error) => this.#tell({ type: 'error', error: packError(error) })
      }
    )
    this.#backup.listen({ changes: false, problems: false })
    port.on('message', (message) => this.#receive(message))
  }

  /** Opens the sockets, and reports the result. */
  async open(): Promise<void> {
    try {
      const description = await this.#backup.open()
      this.#report()
      this.#port.postMessage({ type: 'open', description })
    } catch (error) {
      this.#port.postMessage({ type: 'failed', error: packError(error) })
      this.#port.close()
    }
  }

  #receive(message: ToWorker): void {
    switch (message.type) {
      case 'configure':
        this.#backup.configure(message.settings)
        break
      case 'listen':
        this.#backup.listen(message.wanted)
        break
      case 'load':
        this.#backup.load(message.pieces)
        break
      case 'taken':
        this.#isSending = false
        this.#send()
        break
      case 'request':
        void this.#answer(message.number, message.request)
        break
      case 'leave':
        this.#walks.delete(message.walk)
        break
      case 'apply':
        this.#claims?.apply(message.claim)
        this.#port.postMessage({ type: 'applied', worker: message.claim.worker })
        break
      case 'applied':
        this.#isClaiming = false
        this.#sendClaim()
        break
      case 'close':
        void this.#close()
    }
  }

  #tell(event: WorkerEvent): void {
    if (event.type === 'notice' || event.type === 'error') this.#notices.push(event)
    else this.#events.push(event)
    // One batch for all the events of this turn of the loop.
    this.#flush ??= setImmediate(() => {
      this.#flush = undefined
      this.#send()
    })
  }

  /** Sends the next batch, unless one is under way. */
  #send(): void {
    if (this.#isSending) return
    const events = this.#take(BATCH)
    if (events.length === 0) return
    this.#isSending = true
    this.#port.postMessage({ type: 'events', events })
  }

  #take(most: number): WorkerEvent[] {
    const taken: WorkerEvent[] = []
    while (taken.length < most) {
      const event = this.#notices.shift() ?? this.#events.shift()
      if (event === undefined) break
      taken.push(event)
    }
    return taken
  }

  /** Sends the next claim, unless the last one is under way. */
  #sendClaim(): void {
    if (this.#isClaiming) return
    const claim = this.#claims?.take()
    if (claim === undefined) return
    this.#isClaiming = true
    this.#port.postMessage({ type: 'claim', claim })
  }

  async #answer(number: number, request: WorkerRequest): Promise<void> {
    let value: WorkerAnswer
    if (request.type === 'find') value = await this.#backup.get(request.key)
    else if (request.type === 'read') value = await this.#read(request.walk, request.packed)
    else {
      await this.#stop()
      this.#sendClaim()
    }
    this.#port.postMessage({ type: 'answer', number, value })
  }

  async #read(walk: number, packed: boolean): Promise<WorkerAnswer> {
    const portions = this.#walks.get(walk) ?? (packed ? this.#backup.table.snapshot(0) : this.#backup.portions())
    this.#walks.set(walk, portions)
    const next = await portions.next()
    if (next.done !== true) return next.value
    this.#walks.delete(walk)
    return undefined
  }

  #report(): void {
    const backup = this.#backup
    // The engine first: asking for senders lets time pass.
    const senders = backup.senders()
    const counters = backup.counters()
    const lost = this.#events.lost + this.#notices.lost
    this.#port.postMessage({
      type: 'report',
      report: {
        counters: { ...counters, eventsLost: counters.eventsLost + lost },
        senders,
        ignored: backup.ignored(),
        receiveDrops: backup.receiveDrops(),
        sealReport: backup.sealReport(),
        tableCounts: backup.tableCounts(),
        size: backup.size
      }
    })
    this.#cancelReport = this.#clock.after(REPORT_INTERVAL, () => this.#report())
  }

  #stop(): Promise<void> {
    this.#stopping ??= this.#backup.close()
    return this.#stopping
  }

  async #close(): Promise<void> {
    await this.#stop()
    this.#cancelReport()
    this.#report()
    this.#cancelReport()
    clearImmediate(this.#flush)
    clearImmediate(this.#claimFlush)
    const events = this.#take(MOST_EVENTS + MOST_NOTICES)
    if (events.length > 0) this.#port.postMessage({ type: 'events', events })
    this.#port.postMessage({ type: 'closed' })
    this.#port.close()
  }
}
