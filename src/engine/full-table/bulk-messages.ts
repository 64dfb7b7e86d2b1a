/**
 * A whole table as messages, templates first: what the protocol lacks (docs/protocol.md section 13).
 *
 * @module
 */

import type { Bytes } from '../../units.js'
import type { Connection } from '../../wire/connection.js'
import { FLAG } from '../../wire/constants.js'
import { judge } from '../../wire/judge.js'
import { MessageWriter } from '../../wire/message-writer.js'
import { rowFromConnection } from '../../wire/row-values.js'
import { createRows, PRESENT, ROW } from '../../wire/rows.js'
import { channelOf } from '../channel-of.js'
import type { Datagram } from '../master/send-queue.js'

/** Of the messages. */
export interface BulkOptions {
  /** `sync_version`. */
  readonly version: 0 | 1
  /** 0…255. */
  readonly syncid: number
  /** `sync_maxlen`, 1…65507. */
  readonly maxLength: Bytes
  /** `sync_ports`: a power of two, 1…64. */
  readonly channels: number
}

/** What became of the connections. */
export interface BulkCounts {
  /** In messages, templates among them. */
  connections: number
  /** Templates in messages. */
  templates: number
  /** Left out: IPv6, which version 0 cannot carry. */
  ipv6: number
  /** Left out: every receiver would skip it, for its protocol, state or flags. */
  refused: number
}

/** Puts connections into messages. Holds the messages' bytes, and nothing else of the connections. */
export class BulkMessages {
  /** What became of the connections so far; read it, do not write it. */
  readonly counts: BulkCounts = { connections: 0, templates: 0, ipv6: 0, refused: 0 }
  readonly #options: BulkOptions
  readonly #row = createRows(1)
  readonly #templates: Batches
  readonly #others: Batches

  /** @param options - Of the messages; not verified. */
  constructor(options: BulkOptions) {
    this.#options = options
    this.#templates = new Batches(options)
    this.#others = new Batches(options)
  }

  /**
   * Adds a connection; its timeout is sent as it is given, 0 if it is not.
   *
   * @param connection - Version 0 leaves out what it has no room for.
   * @param path - How the caller names it, for the error's `field`.
   * @throws IpvsSyncError `ERR_ENCODE` where a field cannot be understood or does not fit.
   */
  add(connection: Connection, path?: string): void {
    const { words } = this.#row
    rowFromConnection(connection, this.#row, 0, path)
    if (this.#options.version === 0) this.#fitVersion0()
    const flags = words[ROW.FLAGS]!
    const template = (flags & FLAG.TEMPLATE) !== 0
    if (this.#options.version === 0 && words[ROW.FAMILY] === 6) this.counts.ipv6++
    else if (judge(flags, words[ROW.PROTOCOL]!, words[ROW.STATE]!, true) !== 0) this.counts.refused++
    else {
      this.counts.connections++
      if (template) this.counts.templates++
      const batches = template ? this.#templates : this.#others
      batches.add(this.#row, channelOf(this.#row, 0, this.#options.channels - 1))
    }
  }

  /** The messages, templates' first. Nothing may be added afterwards. */
  finish(): readonly Datagram[] {
    return [...this.#templates.finish(), ...this.#others.finish()]
  }

  /** There the flags alone say whether sequence data follow. */
  #fitVersion0(): void {
    const { words } = this.#row
    words[ROW.FLAGS]! &= 0xffff
    if ((words[ROW.PRESENT]! & PRESENT.SEQUENCE) === 0) words[ROW.FLAGS]! &= ~FLAG.SEQUENCE
  }
}

/** One open message for each channel, and those that are full. */
class Batches {
  readonly #options: BulkOptions
  readonly #writers = new Map<number, MessageWriter>()
  readonly #full: Datagram[] = []

  constructor(options: BulkOptions) {
    this.#options = options
  }

  add(row: ReturnType<typeof createRows>, channel: number): void {
    const writer = this.#writers.get(channel) ?? this.#open(channel)
    if (writer.add(row, 0)) return
    this.#close(writer, channel)
    this.#begin(writer)
    writer.add(row, 0)
  }

  finish(): readonly Datagram[] {
    for (const [channel, writer] of this.#writers) this.#close(writer, channel)
    return this.#full
  }

  #open(channel: number): MessageWriter {
    const writer = new MessageWriter()
    this.#writers.set(channel, writer)
    this.#begin(writer)
    return writer
  }

  #begin(writer: MessageWriter): void {
    const { version, syncid, maxLength } = this.#options
    writer.begin(version, syncid, maxLength)
  }

  #close(writer: MessageWriter, channel: number): void {
    const { count } = writer
    this.#full.push({ channel, bytes: writer.finish(), connections: count })
  }
}
