/**
 * A whole table as messages, templates first: a full table transfer, which the protocol lacks (docs/protocol.md section 13).
 *
 * @module
 */
import { demandKnownOptions, type OptionNames } from '../../demand.js'
import type { ConnectionTable } from '../../table/connection-table.js'
import type { Bytes } from '../../units.js'
import type { Connection } from '../../wire/connection.js'
import { checksOf, FLAG } from '../../wire/constants.js'
import { judge } from '../../wire/judge.js'
import { MessageWriter } from '../../wire/message-writer.js'
import { rowFromConnection } from '../../wire/row-values.js'
import { createRows, ROW, ROW_WORDS, type Rows } from '../../wire/rows.js'
import { presentSequence } from '../announced-row.js'
import { channelOf } from '../channel-of.js'
import type { Datagram } from '../engine.js'

/** Options of the messages. */
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

/** Counts of the connections that were added. */
export interface BulkCounts {
  /** In messages, templates included. */
  connections: number
  /** Templates in messages. */
  templates: number
  /** Omitted: IPv6, which version 0 cannot carry. */
  ipv6: number
  /** Omitted: every receiver would skip it, for its protocol, state or flags. */
  refused: number
}

/** Entries of the table that are read for one slice of {@link tableMessages}. */
const SLICE = 256

/** Names of the options. */
const OPTIONS: OptionNames<BulkOptions> = { version: true, syncid: true, maxLength: true, channels: true }

/** Packs connections into messages. Holds the messages' bytes and nothing else of the connections. */
export class BulkMessages {
  /** Counts so far; read-only for callers. */
  readonly counts: BulkCounts = { connections: 0, templates: 0, ipv6: 0, refused: 0 }
  readonly #options: BulkOptions
  readonly #row = createRows(1)
  readonly #templates: Batches
  readonly #others: Batches

  /** @param options - Of the messages; not verified. */
  constructor(options: BulkOptions) {
    demandKnownOptions(options, OPTIONS)
    this.#options = options
    this.#templates = new Batches(options)
    this.#others = new Batches(options)
  }

  /**
   * Adds a connection; its timeout is sent as given, 0 if it is absent.
   *
   * @param connection - Version 0 omits what it has no room for.
   * @param path - The caller's name for it, for the error's `field`.
   * @throws IpvsSyncError `ERR_ENCODE` where a field cannot be read or does not fit.
   */
  add(connection: Connection, path?: string): void {
    rowFromConnection(connection, this.#row, 0, path)
    this.#addRow(this.#row, 0)
  }

  /** Adds connections with the timeouts of their rows; flags that the version cannot carry are cleared in the rows. */
  addRows(rows: Rows): void {
    for (let i = 0; i < rows.count; i++) this.#addRow(rows, i)
  }

  /** Adds a connection of a table, with its full timeout. */
  addSlot(table: ConnectionTable, slot: number): void {
    table.readRow(slot, this.#row, 0)
    this.#addRow(this.#row, 0)
  }

  /** Removes and returns the messages that are full, templates' first. */
  takeFull(): Datagram[] {
    return [...this.#templates.take(), ...this.#others.take()]
  }

  /** Ends the templates' open messages: they count as full. */
  endTemplates(): void {
    this.#templates.end()
  }

  /** Returns all messages that were not taken, templates' first. Nothing may be added afterwards. */
  finish(): readonly Datagram[] {
    this.#templates.end()
    this.#others.end()
    return this.takeFull()
  }

  #addRow(rows: Rows, index: number): void {
    const { words } = rows
    const from = index * ROW_WORDS
    const { version, channels } = this.#options
    if (version === 0) words[from + ROW.FLAGS]! &= 0xffff
    presentSequence(words, index)
    const flags = words[from + ROW.FLAGS]!
    const template = (flags & FLAG.TEMPLATE) !== 0
    if (version === 0 && words[from + ROW.FAMILY] === 6) this.counts.ipv6++
    else if (judge(flags, words[from + ROW.PROTOCOL]!, words[from + ROW.STATE]!, checksOf('strict')) !== 0)
      this.counts.refused++
    else {
      this.counts.connections++
      if (template) this.counts.templates++
      const batches = template ? this.#templates : this.#others
      batches.add(rows, index, channelOf(rows, index, channels - 1))
    }
  }
}

/**
 * Returns the messages of a whole table, templates first, made while they are taken: for a `FullTableSender`, or a driver that
 * does other work between the items. An item is undefined after each slice of the table, which costs a bounded amount of work.
 * The table may change meanwhile, as during `ConnectionTable.walk`. Each iteration walks the table anew.
 *
 * @param table - Its connections.
 * @param options - Of the messages.
 * @param counts - Filled with the counts, if given.
 */
export function tableMessages(
  table: ConnectionTable,
  options: BulkOptions,
  counts?: BulkCounts
): Iterable<Datagram | undefined> {
  return {
    *[Symbol.iterator]() {
      const bulk = new BulkMessages(options)
      for (const templates of [true, false]) {
        for (const slice of table.walk({ limit: SLICE, templates })) {
          for (const slot of slice) bulk.addSlot(table, slot)
          yield* bulk.takeFull()
          yield undefined
        }
        bulk.endTemplates()
      }
      yield* bulk.finish()
      if (counts !== undefined) Object.assign(counts, bulk.counts)
    }
  }
}

/** One open message for each channel, and those that are full. */
class Batches {
  readonly #options: BulkOptions
  readonly #writers = new Map<number, MessageWriter>()
  #full: Datagram[] = []

  constructor(options: BulkOptions) {
    this.#options = options
  }

  add(rows: Rows, index: number, channel: number): void {
    const { version, syncid, maxLength } = this.#options
    let writer = this.#writers.get(channel)
    if (writer === undefined) {
      writer = new MessageWriter()
      this.#writers.set(channel, writer)
      writer.begin(version, syncid, maxLength)
    }
    if (writer.add(rows, index)) return
    this.#close(writer, channel)
    writer.add(rows, index)
  }

  take(): Datagram[] {
    const full = this.#full
    this.#full = []
    return full
  }

  end(): void {
    for (const [channel, writer] of this.#writers) if (writer.count > 0) this.#close(writer, channel)
  }

  /** Ends a message; its writer begins the next one. */
  #close(writer: MessageWriter, channel: number): void {
    const { count } = writer
    this.#full.push({ channel, bytes: writer.finish(), connections: count })
  }
}
