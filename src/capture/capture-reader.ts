/**
 * A capture, pushed in chunk by chunk, its items returned: what `readCapture` is built on.
 *
 * @module
 */

import { demandKnownOptions, type OptionNames } from '../demand.js'
import type { Problem } from '../wire/problems.js'
import type { CaptureCounts, CaptureItem, ReadCaptureOptions } from './items.js'
import { PacketReader } from './packet-reader.js'

/** Names of the options. */
const OPTIONS: OptionNames<ReadCaptureOptions> = {
  decompress: true,
  ports: true,
  maxFragmentedDatagrams: true,
  maxFragmentBytes: true,
  fragmentSeconds: true
}

/**
 * Reads pcap and pcapng synchronously: push a chunk, take what it held. Chunks may be cut anywhere; memory does not grow
 * with the capture.
 *
 * @example
 * ```ts
 * const reader = new CaptureReader({ ports: [[8848, 8911]] })
 * const items = [...reader.push(bytes), ...reader.end()]
 * ```
 */
export class CaptureReader {
  readonly #reader: PacketReader
  #items: CaptureItem[] = []

  /**
   * @param options - Which ports, and how much may wait for fragments.
   * @throws {IpvsSyncError} `ERR_CONFIG` when a port or range is not valid.
   */
  constructor(options: ReadCaptureOptions = {}) {
    demandKnownOptions(options, OPTIONS)
    const add = (item: CaptureItem): void => void this.#items.push(item)
    this.#reader = new PacketReader(options, { datagram: add, finding: add })
  }

  /** Whether the file is damaged where it stands: whatever is pushed from now on is ignored. */
  get isDamaged(): boolean {
    return this.#reader.isDamaged
  }

  /** What was counted so far. */
  get counts(): CaptureCounts {
    return this.#reader.counts
  }

  /**
   * Takes a chunk in. It is not kept: its memory may be used again.
   *
   * @returns The datagrams that are complete now, and problems, in the file's order.
   * @throws {IpvsSyncError} `ERR_CAPTURE` when the file is not a capture, is compressed, or has a link type that is not
   *   supported.
   */
  push(chunk: Uint8Array): CaptureItem[] {
    this.#reader.push(chunk)
    return this.#take()
  }

  /**
   * Ends the file.
   *
   * @param damage - Why it ends where it does, when the caller knows: replaces the problem that the file is cut off.
   * @returns The problem that it is cut off, if it is; datagrams that still lack fragments.
   * @throws {IpvsSyncError} `ERR_CAPTURE` when it was not a capture, or no packet was of a link type that is supported.
   */
  end(damage?: Problem): CaptureItem[] {
    this.#reader.end(damage)
    return this.#take()
  }

  #take(): CaptureItem[] {
    const items = this.#items
    this.#items = []
    return items
  }
}
