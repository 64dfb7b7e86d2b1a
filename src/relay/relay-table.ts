/**
 * The table of a relay: the union of what the own site and the others announced, ready to be sent to a site that joins late.
 *
 * @module
 */

import { demandKnownOptions } from '../demand.js'
import { BackupEngine } from '../engine/backup/backup.js'
import { tableMessages } from '../engine/full-table/bulk-messages.js'
import type { ConnectionTable } from '../table/connection-table.js'
import { KnownConnections } from '../trust/known-connections.js'
import type { Bytes, TimestampMs } from '../units.js'
import type { TableContents } from './table-chunks.js'

/** The engine accepts every sender: the relay's links and its private group decided already. */
const FROM = { address: '127.0.0.1', port: 0 }
/** UDP payload of an Ethernet frame: a message that the local group takes without fragments. */
const MAX_LENGTH: Bytes = 1472

/** Options of a {@link RelayTable}. */
export interface RelayTableOptions {
  /** 0…255. */
  readonly syncid: number
  /** Ceiling of the table. */
  readonly maxConnections?: number
  /** Adds what the local kernel's table has, before the table is sent. */
  readonly refresh?: (table: ConnectionTable) => Promise<void>
}

/** Keeps the union of all sites' tables. */
export class RelayTable {
  /** Whether it has everything that there is: a whole table was received, or no other site has one. */
  isComplete = false
  readonly #options: RelayTableOptions
  readonly #engine: BackupEngine
  #recent: KnownConnections | undefined

  constructor(options: RelayTableOptions) {
    demandKnownOptions(options, { syncid: true, maxConnections: true, refresh: true })
    const { syncid, maxConnections } = options
    this.#options = options
    this.#engine = new BackupEngine({ syncid, ...(maxConnections !== undefined && { maxConnections }) })
  }

  /** Connections that it holds. */
  get size(): number {
    return this.#engine.table.size
  }

  /** Handles a live message, of the own site or another. */
  handleMessage(bytes: Uint8Array, now: TimestampMs): void {
    this.#recent?.add(bytes)
    this.#engine.handleDatagram(bytes, FROM, now)
    this.#drain()
  }

  /** Lets connections expire. */
  handleTimeout(now: TimestampMs): void {
    this.#engine.handleTimeout(now)
    this.#drain()
  }

  /** Starts the reception of a whole table: what is announced from now on is newer than it. */
  beginReception(): void {
    this.#recent = new KnownConnections()
  }

  /** Ends the reception. */
  endReception(isComplete: boolean): void {
    this.#recent = undefined
    this.isComplete ||= isComplete
  }

  /** Handles a message of a whole table; returns what the local group needs of it, if anything. */
  handleTableMessage(bytes: Uint8Array, now: TimestampMs): Uint8Array | undefined {
    const message = this.#recent === undefined ? bytes : this.#recent.without(bytes).message
    if (message === undefined) return undefined
    this.#engine.handleDatagram(message, FROM, now)
    this.#drain()
    return message
  }

  /** Reads the local kernel's table, where there is one. */
  async refresh(): Promise<void> {
    await this.#options.refresh?.(this.#engine.table)
  }

  /** Returns the messages of the whole table, templates first. */
  messages(): TableContents['messages'] {
    const { syncid } = this.#options
    return tableMessages(this.#engine.table, { version: 1, syncid, maxLength: MAX_LENGTH, channels: 1 })
  }

  /** The table is all that matters here: events of the engine have no reader. */
  #drain(): void {
    while (this.#engine.pollEvent() !== undefined);
  }
}
