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
import { LocalBackup, type Wanted } from '../backup/local-backup.js'
import { createReceiver } from '../sealing.js'
import { tableOf } from '../sync-options.js'
import { packError, type FromWorker, type ToWorker, type WorkerEvent, type WorkerTask } from './worker-messages.js'

/** The worker's end of the line: `parentPort`, or a `MessagePort` in a test. */
export interface WorkerPort {
  postMessage(message: FromWorker): void
  on(event: 'message', listener: (message: ToWorker) => void): unknown
  /** Nothing more is received or said: the thread may end. */
  close(): void
}

/** What a test gives in place of the real ones. */
export interface WorkerSurroundings {
  readonly clock?: Clock
  readonly transport?: ReceivingTransport
}

/** Interval of counter reports. */
export const REPORT_INTERVAL: Milliseconds = 200
/** Events that wait while a batch is on its way. Further ones are counted as lost: a main thread that is busy costs no memory. */
const MOST_EVENTS = 8192
/** What is seldom and must not be pushed out by what is frequent. */
const MOST_NOTICES = 256
const BATCH = 1024

/** Serves the main thread until that says close. */
export class BackupWorker {
  readonly #port: WorkerPort
  readonly #clock: Clock
  readonly #backup: LocalBackup
  readonly #events = new EventQueue<WorkerEvent>(MOST_EVENTS)
  readonly #notices = new EventQueue<WorkerEvent>(MOST_NOTICES)
  readonly #readings = new Map<number, AsyncGenerator<readonly TableConnection[]>>()
  #wantsProblems = false
  #underway = false
  #flush: NodeJS.Immediate | undefined
  #cancelReport!: () => void

  /**
   * @param task - Its part of the channels.
   * @param port - Its end of the line.
   * @param surroundings - The system's own by default.
   */
  constructor(task: WorkerTask, port: WorkerPort, surroundings: WorkerSurroundings = {}) {
    const { clock = systemClock, transport = receiverOf(task) } = surroundings
    const table = tableOf({ maxConnections: task.maxConnections })
    this.#port = port
    this.#clock = clock
    this.#backup = new LocalBackup(
      { engine: { ...task.engine, table }, transport, clock },
      {
        tell: (event) => this.#tell(event),
        fail: (error) => this.#tell({ type: 'error', error: packError(error) })
      }
    )
    port.on('message', (message) => this.#hear(message))
  }

  /** Opens the sockets and says so, or why not. */
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

  #hear(message: ToWorker): void {
    switch (message.type) {
      case 'configure':
        this.#backup.configure(message.settings)
        break
      case 'listen':
        this.#listen(message.wanted)
        break
      case 'taken':
        this.#underway = false
        this.#send()
        break
      case 'read':
        void this.#read(message.reading)
        break
      case 'leave':
        this.#readings.delete(message.reading)
        break
      case 'close':
        void this.#close()
    }
  }

  #listen(wanted: Wanted): void {
    this.#wantsProblems = wanted.problems
    this.#backup.listen(wanted)
  }

  #tell(event: WorkerEvent): void {
    if (event.type === 'notice' || event.type === 'error') this.#notices.push(event)
    else if (event.type !== 'problem' || this.#wantsProblems) this.#events.push(event)
    // One batch for all the events of this turn of the loop.
    this.#flush ??= setImmediate(() => {
      this.#flush = undefined
      this.#send()
    })
  }

  /** The next batch, unless one is on its way. */
  #send(): void {
    if (this.#underway) return
    const events = this.#take(BATCH)
    if (events.length === 0) return
    this.#underway = true
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

  async #read(reading: number): Promise<void> {
    const portions = this.#readings.get(reading) ?? this.#backup.portions()
    this.#readings.set(reading, portions)
    const next = await portions.next()
    const last = next.done === true
    if (last) this.#readings.delete(reading)
    this.#port.postMessage({ type: 'portion', reading, connections: last ? [] : next.value, last })
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
        tableCounts: backup.tableCounts(),
        size: backup.size
      }
    })
    this.#cancelReport = this.#clock.after(REPORT_INTERVAL, () => this.#report())
  }

  async #close(): Promise<void> {
    await this.#backup.close()
    this.#cancelReport()
    this.#report()
    this.#cancelReport()
    clearImmediate(this.#flush)
    const events = this.#take(MOST_EVENTS + MOST_NOTICES)
    if (events.length > 0) this.#port.postMessage({ type: 'events', events })
    this.#port.postMessage({ type: 'closed' })
    this.#port.close()
  }
}

function receiverOf({ udp, engine, sealing }: WorkerTask): ReceivingTransport {
  const { firstChannel = 0, ...keys } = sealing ?? {}
  return createReceiver(keys, { udp, syncid: engine.syncid, firstChannel })
}
