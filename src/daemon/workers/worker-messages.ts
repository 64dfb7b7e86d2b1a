/**
 * What the main thread and a worker of a backup tell each other. Everything here survives the structured clone.
 *
 * Nothing grows without bound: a worker sends a report a tick, events in batches of which one is on its way at a time, and
 * connections in portions that are asked for one by one.
 *
 * @module
 */

import { IpvsSyncError, type ErrorCode } from '../../errors.js'
import type { BackupCounters } from '../../engine/backup/counters.js'
import type { BackupEngineOptions } from '../../engine/backup/options.js'
import type { IgnoredSender, SenderReport } from '../../engine/backup/senders.js'
import type { EngineEvent } from '../../engine/events.js'
import type { Sysctls } from '../../sysctl/settings.js'
import type { TableCount } from '../../table/table-count.js'
import type { UdpOptions } from '../../transport/udp-options.js'
import type { TableConnection } from '../../wire/connection.js'
import type { Wanted } from '../backup/local-backup.js'

/** What a worker receives at its start: a part of the channels. */
export interface WorkerTask {
  /** Where its channels listen. */
  readonly udp: UdpOptions
  /** Its engine's options; none of them is a function or a table. */
  readonly engine: Omit<BackupEngineOptions, 'table' | 'seed'>
  /** Ceiling of its table. */
  readonly maxConnections: number
  /** Its keys, and which of the group's channels its first one is. */
  readonly sealing?: { readonly keyFile: string; readonly requireKey: boolean; readonly firstChannel: number }
}

/** From the main thread. */
export type ToWorker =
  | { readonly type: 'configure'; readonly settings: Sysctls }
  | { readonly type: 'listen'; readonly wanted: Wanted }
  /** The last batch of events was taken. */
  | { readonly type: 'taken' }
  /** The next portion of a reading, or its first. */
  | { readonly type: 'read'; readonly reading: number }
  /** A reading is given up. */
  | { readonly type: 'leave'; readonly reading: number }
  | { readonly type: 'close' }

/** From a worker. */
export type FromWorker =
  | { readonly type: 'open'; readonly description: string }
  /** It could not open its sockets, and ends. */
  | { readonly type: 'failed'; readonly error: PackedError }
  | { readonly type: 'report'; readonly report: WorkerReport }
  | { readonly type: 'events'; readonly events: readonly WorkerEvent[] }
  | {
      readonly type: 'portion'
      readonly reading: number
      readonly connections: readonly TableConnection[]
      /** Whether nothing comes after it. */
      readonly last: boolean
    }
  /** Its sockets are closed; it ends. */
  | { readonly type: 'closed' }

/** An event of a worker: its engine's, or a socket's failure. */
export type WorkerEvent = EngineEvent | { readonly type: 'error'; readonly error: PackedError }

/** Where a worker stands. */
export interface WorkerReport {
  readonly counters: BackupCounters
  readonly senders: readonly SenderReport[]
  readonly ignored: readonly IgnoredSender[]
  readonly receiveDrops: number | undefined
  readonly tableCounts: readonly TableCount[]
  readonly size: number
}

/** An {@link IpvsSyncError} as the structured clone leaves it whole. */
export interface PackedError {
  readonly code: ErrorCode
  readonly message: string
  readonly field: string | undefined
}

/** Packs an error; one that is not ours is the worker's own failure. */
export function packError(error: unknown): PackedError {
  if (error instanceof IpvsSyncError) return { code: error.code, message: error.message, field: error.field }
  return { code: 'ERR_WORKER', message: error instanceof Error ? error.message : String(error), field: undefined }
}

/** Makes the error anew. */
export function unpackError({ code, message, field }: PackedError): IpvsSyncError {
  return new IpvsSyncError(code, message, field === undefined ? {} : { field })
}
