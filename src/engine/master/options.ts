/**
 * What a master is made of, and what an input may add.
 *
 * @module
 */

import type { ConnectionTable } from '../../table/connection-table.js'
import type { Bytes } from '../../units.js'
import type { RecordWriter } from './channel.js'
import type { MasterSettings } from './settings.js'

/** What a master is made of. */
export interface MasterEngineOptions {
  /** 0…255; backups with another one ignore the messages. */
  readonly syncid: number
  /** The sysctls to begin with; what is left out has its default. */
  readonly settings?: Partial<MasterSettings>
  /** The largest message in bytes, header included: 1…65507, by default 1472. */
  readonly syncMaxlen?: Bytes
  /** Where the connections live. It may be shared with a backup, so that a change of role keeps it. By default a new `ConnectionTable`. */
  readonly table?: ConnectionTable
  /** Makes a writer for each channel; by default a `MessageWriter`. */
  readonly createWriter?: () => RecordWriter
  /** Whether this engine lets the table's connections expire; false if another engine does. By default true. */
  readonly expires?: boolean
  /** Most events that wait to be polled, by default 1024; further ones are counted and lost. */
  readonly maxEvents?: number
}

/** What an input may say besides the connection itself. */
export interface PacketDetails {
  /** The counter of packets from the client, this one included; by default one more than before. */
  readonly packets?: number
  /** The slot of the entry that controls it, such as its template. */
  readonly controller?: number
}
