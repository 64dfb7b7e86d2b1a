/**
 * A backup's work in one thread: an engine, the transport that feeds it, and the clock that drives it.
 *
 * @module
 */

import type { IpvsSyncError } from '../../errors.js'
import { BackupEngine } from '../../engine/backup/backup.js'
import type { BackupCounters } from '../../engine/backup/counters.js'
import type { BackupEngineOptions } from '../../engine/backup/options.js'
import type { IgnoredSender, SenderReport } from '../../engine/backup/senders.js'
import type { EngineEvent } from '../../engine/events.js'
import type { Sysctls } from '../../sysctl/settings.js'
import type { ConnectionTable, TableCount } from '../../table/connection-table.js'
import type { ReceivingTransport } from '../../transport/transport.js'
import type { TableConnection } from '../../wire/connection.js'
import type { Clock } from '../clock.js'
import { Runner } from '../runner.js'
import { walkTable } from '../walk-table.js'

/** Who hears of what happens. */
export interface BackupOutlets {
  /** Takes an event. */
  readonly tell: (event: EngineEvent) => void
  /** A socket failed after the start. */
  readonly fail: (error: IpvsSyncError) => void
}

/** Which events somebody listens for: those of changes cost an object each. */
export interface Wanted {
  /** Connections that were created, updated, replaced, or whose time was over. */
  readonly changes: boolean
  /** What is wrong with messages. */
  readonly problems: boolean
}

/** The work of a backup, wherever it is done. */
export interface BackupWork {
  /** Its connections. @throws IpvsSyncError `ERR_USAGE` where there is more than one table. */
  readonly table: ConnectionTable
  /** How many connections there are. */
  readonly size: number
  /** Opens the sockets; says where. */
  open(): Promise<string>
  /** Closes the sockets. */
  close(): Promise<void>
  /** Takes verified settings. */
  configure(settings: Sysctls): void
  /** Tells these events from now on. */
  listen(wanted: Wanted): void
  /** As `SyncBackup.counters`. */
  counters(): BackupCounters
  /** As `SyncBackup.senders`. */
  senders(): SenderReport[]
  /** As `SyncBackup.ignored`. */
  ignored(): IgnoredSender[]
  /** As `SyncBackup.receiveDrops`. */
  receiveDrops(): number | undefined
  /** As `ConnectionTable.counts`. */
  tableCounts(): TableCount[]
  /** Every connection, a portion at a time. */
  portions(): AsyncGenerator<readonly TableConnection[]>
}

/** What it is made of. */
export interface LocalBackupParts {
  /** The engine's, with its table. */
  readonly engine: BackupEngineOptions
  readonly transport: ReceivingTransport
  readonly clock: Clock
}

/** Does the work in this thread. */
export class LocalBackup implements BackupWork {
  readonly #engine: BackupEngine
  readonly #transport: ReceivingTransport
  readonly #clock: Clock
  readonly #runner: Runner
  readonly #outlets: BackupOutlets

  /**
   * @param parts - What it is made of.
   * @param outlets - Who hears of what happens.
   */
  constructor({ engine, transport, clock }: LocalBackupParts, outlets: BackupOutlets) {
    this.#engine = new BackupEngine(engine)
    this.#transport = transport
    this.#clock = clock
    this.#outlets = outlets
    this.#runner = new Runner(this.#engine, clock, { event: outlets.tell })
  }

  get table(): ConnectionTable {
    return this.#engine.table
  }

  get size(): number {
    return this.table.size
  }

  async open(): Promise<string> {
    const engine = this.#engine
    const clock = this.#clock
    const runner = this.#runner
    const { tell, fail } = this.#outlets
    await this.#transport.start({
      onDatagram: (bytes, from, channel) => {
        engine.handleDatagram(bytes, from, clock.now(), channel)
        runner.drain()
        runner.soon()
      },
      onNotice: ({ code, message }) => tell(Object.freeze({ type: 'notice', code, message })),
      onError: fail
    })
    runner.settle()
    return this.#transport.description
  }

  async close(): Promise<void> {
    await this.#transport.close()
    this.#engine.close()
    this.#runner.stop()
  }

  configure(settings: Sysctls): void {
    this.#engine.configure(settings)
  }

  listen({ changes }: Wanted): void {
    this.#engine.tellChanges(changes)
  }

  counters(): BackupCounters {
    return this.#engine.counters()
  }

  senders(): SenderReport[] {
    this.#engine.handleTimeout(this.#clock.now())
    return this.#engine.senders()
  }

  ignored(): IgnoredSender[] {
    return this.#engine.ignored()
  }

  receiveDrops(): number | undefined {
    return this.#transport.receiveDrops()
  }

  tableCounts(): TableCount[] {
    return this.table.counts()
  }

  portions(): AsyncGenerator<readonly TableConnection[]> {
    return walkTable(this.table)
  }
}
