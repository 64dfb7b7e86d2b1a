/**
 * A backup's work in one thread: an engine, the transport that feeds it, and the clock that drives it.
 *
 * @module
 */

import { crc32 } from 'node:zlib'
import type { IpvsSyncError } from '../../errors.js'
import { BackupEngine } from '../../engine/backup/backup.js'
import type { BackupCounters } from '../../engine/backup/counters.js'
import type { BackupEngineOptions } from '../../engine/backup/options.js'
import type { IgnoredSender, SenderReport } from '../../engine/backup/senders.js'
import type { EngineEvent } from '../../engine/events.js'
import type { Sysctls } from '../../sysctl/settings.js'
import type { ConnectionKey, ConnectionTable, TableCount } from '../../table/connection-table.js'
import { PackedSnapshotLoader } from '../../table/packed-snapshot.js'
import type { ReceivingTransport, SealReport } from '../../transport/transport.js'
import type { TableConnection } from '../../wire/connection.js'
import type { Clock } from '../clock.js'
import { Runner } from '../runner.js'
import { walkTable } from '../walk-table.js'

/** Receivers of a backup's events. */
export interface BackupOutlets {
  /** Receives an event. */
  readonly tell: (event: EngineEvent) => void
  /** A socket failed after the start. */
  readonly fail: (error: IpvsSyncError) => void
}

/** Events that have listeners: each event of a change costs an object. */
export interface Wanted {
  /** Connections that were created, updated or replaced, or have expired. */
  readonly changes: boolean
  /** Problems of messages. */
  readonly problems: boolean
}

/** The work of a backup, in one thread or several. */
export interface BackupWork {
  /** As `SyncBackup.table`. */
  readonly table: ConnectionTable
  /** Number of connections. */
  readonly size: number
  /** Opens the sockets; returns their description. */
  open(): Promise<string>
  /** Closes the sockets. */
  close(): Promise<void>
  /** Takes verified settings. */
  configure(settings: Sysctls): void
  /** Reports these events from now on. */
  listen(wanted: Wanted): void
  /** As `SyncBackup.counters`. */
  counters(): BackupCounters
  /** As `SyncBackup.senders`. */
  senders(): SenderReport[]
  /** As `SyncBackup.ignored`. */
  ignored(): IgnoredSender[]
  /** As `SyncBackup.receiveDrops`. */
  receiveDrops(): number | undefined
  /** As `SyncBackup.sealReport`. */
  sealReport(): SealReport | undefined
  /** As `ConnectionTable.counts`. */
  tableCounts(): TableCount[]
  /** As `SyncBackup.get`. */
  get(key: ConnectionKey): Promise<TableConnection | undefined>
  /** Yields every connection, in portions. */
  portions(): AsyncGenerator<readonly TableConnection[]>
  /** As `SyncBackup.copyTable`. */
  copyTable(): Promise<ConnectionTable>
}

/** The parts of a {@link LocalBackup}. */
export interface LocalBackupParts {
  /** Options of the engine, with its table. */
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
  #wantsProblems = false

  /**
   * @param parts - Engine options, transport and clock.
   * @param outlets - Receivers of its events.
   */
  constructor({ engine, transport, clock }: LocalBackupParts, outlets: BackupOutlets) {
    this.#engine = new BackupEngine(engine)
    this.#transport = transport
    this.#clock = clock
    this.#outlets = outlets
    this.#runner = new Runner(this.#engine, clock, {
      event: (event) => {
        if (event.type !== 'problem' || this.#wantsProblems) outlets.tell(event)
      }
    })
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

  listen({ changes, problems }: Wanted): void {
    this.#wantsProblems = problems
    this.#engine.tellChanges(changes)
  }

  /** Adds the connections of a packed snapshot of age 0 to the table. */
  load(pieces: readonly Uint8Array[]): void {
    const loader = new PackedSnapshotLoader(this.table, { now: this.#clock.now(), wallClock: 0 }, crc32)
    for (const piece of pieces) loader.push(piece)
    this.#runner.settle()
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

  sealReport(): SealReport | undefined {
    return this.#transport.sealReport?.()
  }

  tableCounts(): TableCount[] {
    return this.table.counts()
  }

  get(key: ConnectionKey): Promise<TableConnection | undefined> {
    return new Promise((resolve) => {
      this.#engine.handleTimeout(this.#clock.now())
      resolve(this.table.get(key))
    })
  }

  portions(): AsyncGenerator<readonly TableConnection[]> {
    return walkTable(this.table)
  }

  copyTable(): Promise<ConnectionTable> {
    return Promise.resolve(this.table)
  }
}
