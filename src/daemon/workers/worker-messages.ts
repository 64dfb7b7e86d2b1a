/**
 * Messages between the main thread and a worker of a backup. Everything here survives the structured clone.
 *
 * Nothing grows without bound: a worker sends a report a tick, one batch of events at a time, one claim at a time, and
 * connections in portions on request.
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
import type { ConnectionKey } from '../../table/table-options.js'
import type { SealReport } from '../../transport/transport.js'
import type { UdpOptions } from '../../transport/udp-options.js'
import type { TableConnection } from '../../wire/connection.js'
import type { Wanted } from '../backup/local-backup.js'
import type { KeyClaim } from './key-claims.js'

/** What a worker receives at its start: a part of the channels. */
export interface WorkerTask {
  /** Where its channels listen. */
  readonly udp: UdpOptions
  /** Options of its engine; none of them is a function or a table. */
  readonly engine: Omit<BackupEngineOptions, 'table' | 'seed'>
  /** Limit of its table. */
  readonly maxConnections: number
  /** Its keys, and which of the group's channels its first one is. */
  readonly sealing?: { readonly keyFile: string; readonly requireKey: boolean; readonly firstChannel: number }
  /** Its number, the number of workers, and the filter of keys that they share. */
  readonly claims?: { readonly worker: number; readonly workers: number; readonly filter: Int32Array }
}

/** A request that the worker answers. */
export type WorkerRequest =
  /** The next portion of a walk of the table, or its first: values, or packed blocks. */
  | { readonly type: 'read'; readonly walk: number; readonly packed: boolean }
  | { readonly type: 'find'; readonly key: ConnectionKey }
  /** Closes the sockets; the table stays. */
  | { readonly type: 'stop' }

/** Answer to a {@link WorkerRequest}: undefined for a connection that is unknown, at the end of a walk, and to `stop`. */
export type WorkerAnswer = TableConnection | readonly TableConnection[] | Uint8Array | undefined

/** From the main thread. */
export type ToWorker =
  | { readonly type: 'configure'; readonly settings: Sysctls }
  | { readonly type: 'listen'; readonly wanted: Wanted }
  /** Pieces of a packed snapshot, for the table. */
  | { readonly type: 'load'; readonly pieces: readonly Uint8Array[] }
  /** The last batch of events was received. */
  | { readonly type: 'taken' }
  | { readonly type: 'request'; readonly number: number; readonly request: WorkerRequest }
  /** A walk is abandoned. */
  | { readonly type: 'leave'; readonly walk: number }
  /** A claim of another worker. */
  | { readonly type: 'apply'; readonly claim: KeyClaim }
  /** All others have applied this worker's last claim. */
  | { readonly type: 'applied' }
  | { readonly type: 'close' }

/** From a worker. */
export type FromWorker =
  | { readonly type: 'open'; readonly description: string }
  /** It could not open its sockets, and ends. */
  | { readonly type: 'failed'; readonly error: PackedError }
  | { readonly type: 'report'; readonly report: WorkerReport }
  | { readonly type: 'events'; readonly events: readonly WorkerEvent[] }
  | { readonly type: 'answer'; readonly number: number; readonly value: WorkerAnswer }
  | { readonly type: 'claim'; readonly claim: KeyClaim }
  /** It has applied a claim of this worker. */
  | { readonly type: 'applied'; readonly worker: number }
  /** Its sockets are closed; it ends. */
  | { readonly type: 'closed' }

/** An event of a worker: its engine's, or a socket's failure. */
export type WorkerEvent = EngineEvent | { readonly type: 'error'; readonly error: PackedError }

/** Figures of a worker. */
export interface WorkerReport {
  readonly counters: BackupCounters
  readonly senders: readonly SenderReport[]
  readonly ignored: readonly IgnoredSender[]
  readonly receiveDrops: number | undefined
  readonly sealReport: SealReport | undefined
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

/** Returns the error that was packed. */
export function unpackError({ code, message, field }: PackedError): IpvsSyncError {
  return new IpvsSyncError(code, message, field === undefined ? {} : { field })
}
