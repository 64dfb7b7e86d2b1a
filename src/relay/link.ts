/**
 * The contract of a relay's links: they carry frames between two or more relays, and judge none.
 *
 * @module
 */

import type { IpvsSyncError } from '../errors.js'
import type { Bytes } from '../units.js'
import type { Manifest, TableContents } from './table-chunks.js'

/** What a link calls. */
export interface LinkHandlers {
  /** A frame arrived. `bytes` is the receiver's to keep. */
  readonly onFrame: (bytes: Uint8Array) => void
  /** Something that an administrator should know; `code` is stable. */
  readonly onNotice: (code: string, message: string) => void
  /** The link is connected for the first time, or frames may be missing: a whole table repairs that. */
  readonly onGap?: () => void
  /** The link failed after the start; it recovers by itself where it can. */
  readonly onError: (error: IpvsSyncError) => void
}

/** A whole table as it was received. */
export interface TableReceipt extends Manifest {
  /** The site that sent it. */
  readonly site: string
  readonly bytes: Bytes
}

/** Exchanges whole tables between sites. */
export interface TableCarrier {
  /** Answers requests from now on with what `source` returns. */
  serve(source: () => Promise<TableContents>): void
  /**
   * Requests a table. `onMessage` is called for every message as it arrives.
   *
   * @param of - The site whose table it is; undefined for that of any site that is complete.
   * @returns Undefined if no site answered, or the table was not whole.
   */
  request(of: string | undefined, onMessage: (bytes: Uint8Array) => void): Promise<TableReceipt | undefined>
}

/** A link to other sites. */
export interface Link {
  /** `udp://10.9.0.2:8850`, `nats://broker:4222`. */
  readonly description: string
  /** Largest frame that it carries, in bytes. */
  readonly maxFrame: Bytes
  /** Where it can carry whole tables. */
  readonly tables?: TableCarrier
  /** Opens the link. Resolves when it may be used; a peer that is away is no failure. */
  start(handlers: LinkHandlers): Promise<void>
  /** Sends a frame. Never blocks and never throws: what cannot be sent is dropped and counted. */
  send(channel: number, frame: Uint8Array): void
  /** Frames dropped because the link was down or its buffer full. */
  dropped(): number
  /** Closes the link. Calling it again does nothing. */
  close(): Promise<void>
}
