/**
 * A backup as a state machine without I/O: datagrams and time go in, a table and events come out.
 *
 * @module
 */

import { pickOptions } from '../../demand.js'
import { READ_OPTIONS, type ReadOptions } from '../../wire/options.js'
import { networkHolds, type Network } from '../../addresses.js'
import { ConnectionTable } from '../../table/connection-table.js'
import type { TimestampMs } from '../../units.js'
import { BACKUP_MASK, BACKUP_UPDATE_MASK, FLAG, MAX_CHANNELS } from '../../wire/constants.js'
import { MessageReader, type ReadResult } from '../../wire/message-reader.js'
import { makeProblem, problemCode, PROBLEMS } from '../../wire/problems.js'
import { PRESENT, ROW, ROW_WORDS, type Rows } from '../../wire/rows.js'
import { BackupTally, DROP, SKIP, type BackupCounters } from './counters.js'
import {
  DEFAULT_MAX_CONNECTIONS,
  demandDatagram,
  demandOptions,
  demandSyncid,
  parseAccepted,
  thresholdOf,
  type BackupEngineOptions,
  type BackupSettings
} from './options.js'
import { SenderBook, type IgnoredSender, type SenderReport } from './senders.js'
import { defaultTimeout } from './timeouts.js'
import type { Engine } from '../engine.js'
import { EventQueue, listenerNotice, type ConnectionEvent, type EngineEvent, type From } from '../events.js'
import { isAgentMessage } from '../../wire/agent-mark.js'
import { HEADER_V0, HEADER_V1 } from '../../wire/layout.js'

// Names of this module's own: V8 folds these constants, and reads those of another module anew at each use.
const {
  FLAGS: ROW_FLAGS,
  OFFSET: ROW_OFFSET,
  PRESENT: ROW_PRESENT,
  PROTOCOL: ROW_PROTOCOL,
  STATE: ROW_STATE,
  TIMEOUT: ROW_TIMEOUT,
  VERDICT: ROW_VERDICT
} = ROW
const { ENGINE: PRESENT_ENGINE, SEQUENCE: PRESENT_SEQUENCE } = PRESENT
const {
  HASHED: FLAG_HASHED,
  INACTIVE: FLAG_INACTIVE,
  ONE_PACKET: FLAG_ONE_PACKET,
  SYNC: FLAG_SYNC,
  TEMPLATE: FLAG_TEMPLATE
} = FLAG

/** Entries of the timer wheel visited with each datagram, and by handleTimeout. */
const EXPIRY_WITH_DATAGRAM = 256
const EXPIRY_BUDGET = 500
/** Senders of dropped messages that are stored, for each reason. */
const MAX_IGNORED = 64
/** Flags of version 0 that an old receiver keeps: all 16 bits but HASHED. */
const LEGACY_V0_MASK = 0xffff & ~FLAG_HASHED

/**
 * Keeps a table as a kernel's backup does (`ip_vs_process_message`, `ip_vs_proc_conn`; docs/protocol.md sections 2 to 7).
 *
 * Input: {@link BackupEngine.handleDatagram}. Output and time: see `Engine`. No datagram makes it throw.
 *
 * @example
 * ```ts
 * const engine = new BackupEngine({ syncid: 7, flagChecks: 'strict', maxConnections: 1_000_000 })
 * engine.handleDatagram(bytes, { address: '10.9.0.1', port: 51113 }, Date.now())
 * for (const connection of engine.table) console.log(connection.client.address, connection.state, connection.expires)
 * ```
 */
export class BackupEngine implements Engine<EngineEvent> {
  /** The connections. Iteration yields them in the JSON's shape; `expires` is relative to the latest time given. */
  readonly table: ConnectionTable
  /** 0…255; 0 accepts every syncid. */
  readonly syncid: number
  readonly #options: BackupEngineOptions
  readonly #accepted: readonly Network[]
  readonly #reader: MessageReader
  readonly #events: EventQueue
  readonly #tally = new BackupTally()
  readonly #senders: SenderBook
  readonly #otherSyncid = new SenderBook(MAX_IGNORED)
  readonly #notAccepted = new SenderBook(MAX_IGNORED)
  readonly #keepsUnknownFlags: boolean
  readonly #expires: boolean
  #hasConnectionEvents: boolean
  #listenerErrors: number
  readonly #onExpired = (slot: number): false => {
    this.#tally.expired++
    if (this.#hasConnectionEvents) this.#reportChange('expired', slot)
    return false
  }
  /** What the message being applied writes into each connection. */
  readonly #run = { flagMask: BACKUP_UPDATE_MASK, packets: 0, syncid: 0 }
  #backupOnly: boolean
  #now: TimestampMs = 0
  #closed = false
  #lastFrom = ''
  #lastAccepted = false

  /**
   * @param options - Syncid, checks and limits.
   * @throws IpvsSyncError `ERR_CONFIG`, whose `field` names the option that is not accepted.
   */
  constructor(options: BackupEngineOptions) {
    demandOptions(options)
    const { flagChecks = 'strict', maxConnections = DEFAULT_MAX_CONNECTIONS, seed, settings = {} } = options
    this.syncid = demandSyncid(options.syncid)
    this.table = options.table ?? new ConnectionTable({ maxConnections, ...(seed !== undefined && { seed }) })
    this.#options = options
    this.#accepted = parseAccepted(options.accept ?? [])
    this.#reader = new MessageReader(pickOptions<ReadOptions>(options, READ_OPTIONS))
    this.#listenerErrors = this.table.listenerErrors
    this.#events = new EventQueue(options.maxEvents)
    this.#senders = new SenderBook(options.maxSenders ?? 1024)
    this.#keepsUnknownFlags = flagChecks !== 'strict'
    this.#expires = options.expires ?? true
    this.#hasConnectionEvents = options.connectionEvents ?? false
    this.#run.packets = thresholdOf(settings)
    this.#backupOnly = (settings.backupOnly ?? 0) !== 0
  }

  /** Whether this director forwards packets: not while it is a backup and `backup_only` is set. */
  get directing(): boolean {
    return this.#closed || !this.#backupOnly
  }

  /**
   * Takes a datagram: time advances, and the message is applied immediately.
   *
   * @param bytes - Its payload. Nothing of it is kept.
   * @param from - The sender.
   * @param nowMs - The time, in milliseconds.
   * @param channel - The channel on which it was received, 0…63: for the counters.
   * @throws IpvsSyncError `ERR_USAGE` if the arguments are not a datagram; never for its content.
   */
  handleDatagram(bytes: Uint8Array, from: From, nowMs: TimestampMs, channel = 0): void {
    demandDatagram(bytes, from)
    this.#advance(nowMs, EXPIRY_WITH_DATAGRAM)
    if (this.#closed) this.#drop(DROP.CLOSED)
    else if (this.#accepts(from.address)) this.#receive(bytes, from, channel)
    else {
      this.#drop(DROP.NOT_ACCEPTED)
      this.#ignore(this.#notAccepted, this.#reader.readHeader(bytes), bytes, from, channel)
    }
  }

  /** Takes the time: connections expire. */
  handleTimeout(nowMs: TimestampMs): void {
    this.#advance(nowMs, EXPIRY_BUDGET)
  }

  /** Returns when to call {@link BackupEngine.handleTimeout} next; not before the latest time given, Infinity for never. */
  nextTimeout(): TimestampMs {
    return this.#expires ? Math.max(this.#now, this.table.nextDeadline()) : Infinity
  }

  /** Returns undefined: a backup sends nothing. */
  pollTransmit(): undefined {
    return undefined
  }

  /** Switches the events of connections on or off: each one costs an object. */
  tellChanges(wanted: boolean): void {
    this.#hasConnectionEvents = wanted
  }

  /** Returns the oldest event. */
  pollEvent(): EngineEvent | undefined {
    const { listenerErrors } = this.table
    if (listenerErrors === this.#listenerErrors) return this.#events.shift()
    this.#listenerErrors = listenerErrors
    return listenerNotice(this.table)
  }

  /**
   * Changes settings from the next datagram on.
   *
   * @throws IpvsSyncError `ERR_CONFIG`, and nothing has changed.
   */
  configure(settings: BackupSettings): void {
    this.#run.packets = thresholdOf(settings)
    this.#backupOnly = (settings.backupOnly ?? 0) !== 0
  }

  /** Ends the role: further datagrams are dropped and counted. The table stays, and its connections still expire. */
  close(): void {
    this.#closed = true
  }

  /** Returns a copy of the counters. */
  counters(): BackupCounters {
    return this.#tally.report(this.#events.lost)
  }

  /** Returns the senders, the latest first; at most `maxSenders` are stored. */
  senders(): SenderReport[] {
    return this.#senders.report(this.#now)
  }

  /** Returns the senders whose messages were dropped whole, the latest first; at most 64 of each reason are stored. */
  ignored(): IgnoredSender[] {
    return [
      ...this.#otherSyncid.report(this.#now).map((sender) => ({ ...sender, reason: 'OTHER_SYNCID' as const })),
      ...this.#notAccepted.report(this.#now).map((sender) => ({ ...sender, reason: 'NOT_ACCEPTED' as const }))
    ]
  }

  #advance(now: TimestampMs, budget: number): void {
    if (now > this.#now) this.#now = now
    this.table.advance(this.#now, this.#expires ? budget : 0, this.#onExpired)
  }

  #accepts(address: string): boolean {
    if (this.#accepted.length === 0) return true
    if (address === this.#lastFrom) return this.#lastAccepted
    this.#lastFrom = address
    this.#lastAccepted = this.#accepted.some((network) => networkHolds(network, address))
    return this.#lastAccepted
  }

  #receive(bytes: Uint8Array, from: From, channel: number): void {
    // Kernels look at the size of a message first, then at its syncid.
    const isOther =
      this.syncid !== 0 &&
      bytes.length >= HEADER_V0.LENGTH &&
      bytes[HEADER_V0.SYNCID] !== this.syncid &&
      ((bytes[HEADER_V0.SIZE]! << 8) | bytes[HEADER_V0.SIZE + 1]!) === bytes.length
    const message = isOther ? this.#reader.readHeader(bytes) : this.#reader.read(bytes)
    this.#tally.receive(channel & (MAX_CHANNELS - 1), message.version)
    if (isOther) {
      this.#drop(DROP.OTHER_SYNCID)
      this.#ignore(this.#otherSyncid, message, bytes, from, channel)
    } else {
      const { count, fault, faultOffset, records } = message
      if (records > 0 || fault === 0 || count > 0) {
        const { syncid, version, records } = message
        const lane = channel & (MAX_CHANNELS - 1)
        const sender = this.#senders.record(from, syncid, version, bytes.length, lane, this.#now)
        sender.connections += records
        const rival = this.#senders.rivalOf(sender, this.#now)
        if (rival !== undefined) {
          const message = `${from.address} and ${rival} both send with syncid ${syncid}; give each master its own syncid`
          this.#events.push({ type: 'notice', code: 'SYNCID_SHARED', message })
        }
        if (bytes.length > (this.#options.syncMaxlen ?? Infinity)) {
          if (!sender.isOversizeReported) {
            sender.isOversizeReported = true
            const message =
              `${sender.address} sends messages of ${bytes.length} bytes, sync_maxlen here is ${this.#options.syncMaxlen!}; ` +
              'a kernel would drop them silently; raise sync_maxlen here or lower it there'
            this.#events.push({ type: 'notice', code: 'MESSAGE_OVER_MAXLEN', message })
          }
        }
      }
      if (records > 0) {
        const { syncid, version } = message
        const { rows } = this.#reader
        const { words, count } = rows
        const mask = version === 0 && this.#keepsUnknownFlags ? LEGACY_V0_MASK : BACKUP_MASK
        this.#run.syncid = syncid
        for (let i = this.#applyKnown(rows, 0); i < count; i = this.#applyKnown(rows, i + 1)) {
          const verdict = words[i * ROW_WORDS + ROW_VERDICT]!
          if (verdict === 0) this.#applyRow(rows, i, mask)
          else this.#reportProblem(verdict, words[i * ROW_WORDS + ROW_OFFSET]!, i, from)
        }
      }
      if (fault !== 0) this.#reportProblem(fault, faultOffset, count > 0 ? records : -1, from)
      const warning = warningOf(message, bytes)
      if (warning !== 0) this.#reportProblem(warning, 0, -1, from)
    }
  }

  #ignore(book: SenderBook, { syncid, version }: ReadResult, bytes: Uint8Array, from: From, channel: number): void {
    book.record(from, syncid, version, bytes.length, channel & (MAX_CHANNELS - 1), this.#now)
  }

  /** Applies known connections in a run; returns the number of the first row that needs a closer look. */
  #applyKnown(rows: Rows, first: number): number {
    if (this.#hasConnectionEvents) return first
    const next = this.table.applyRun(rows, first, this.#run)
    this.#tally.updated += next - first
    return next
  }

  /** Applies one connection (`ip_vs_proc_conn`). */
  #applyRow(rows: Rows, index: number, mask: number): void {
    const { table } = this
    const { words } = rows
    const at = index * ROW_WORDS
    const flags = words[at + ROW_FLAGS]!
    const template = (flags & FLAG_TEMPLATE) !== 0
    if (words[at + ROW_TIMEOUT] === 0) {
      const { timeouts = NO_CHANGE } = this.#options
      words[at + ROW_TIMEOUT] = defaultTimeout(timeouts, words[at + ROW_PROTOCOL]!, template, words[at + ROW_STATE]!)
    }
    const found = table.find(rows, index)
    if (found === 0) this.#create(rows, index, flags & mask, 'created')
    else if (template || table.hasDestination(found, rows, index)) {
      const { table } = this
      const { words } = rows
      const at = index * ROW_WORDS
      const kept = (flags & BACKUP_UPDATE_MASK) | (table.flags(found) & ~BACKUP_UPDATE_MASK)
      const timeoutMs = (words[at + ROW_TIMEOUT]! >>> 0) * 1000
      const { packets, syncid } = this.#run
      table.refresh(found, kept, words[at + ROW_STATE]!, packets, syncid, timeoutMs, this.#now)
      if ((words[at + ROW_PRESENT]! & PRESENT_SEQUENCE) !== 0) table.setSequence(found, rows, index)
      this.#tally.updated++
      if (this.#hasConnectionEvents) this.#reportChange('updated', found)
    } else if ((flags & FLAG_INACTIVE) !== 0) this.#tally.byCode[SKIP.INACTIVE_OTHER_DESTINATION]!++
    else {
      table.remove(found)
      this.#create(rows, index, flags & mask, 'replaced')
    }
  }

  #create(rows: Rows, index: number, flags: number, change: 'created' | 'replaced'): void {
    if ((flags & FLAG_ONE_PACKET) !== 0) {
      // An old receiver creates such an entry and never hashes it (`ip_vs_conn_hash`).
      this.#tally.unseen++
      return
    }
    rows.words[index * ROW_WORDS + ROW_FLAGS] = flags | FLAG_SYNC
    // Only templates keep a persistence engine's data (`ip_vs_conn_new`).
    if ((flags & FLAG_TEMPLATE) === 0) rows.words[index * ROW_WORDS + ROW_PRESENT]! &= ~PRESENT_ENGINE
    const slot = this.table.add(rows, index, this.#now)
    if (slot === 0) {
      this.#tally.byCode[SKIP.TABLE_FULL]!++
      return
    }
    this.table.setPackets(slot, this.#run.packets)
    this.table.setSyncid(slot, this.#run.syncid)
    this.#tally[change]++
    if (this.#hasConnectionEvents) this.#reportChange(change, slot)
  }

  #reportChange(change: ConnectionEvent['change'], slot: number): void {
    if (this.#events.isFull) this.#events.lost++
    else this.#events.push({ type: 'connection', change, connection: this.table.connection(slot) })
  }

  #reportProblem(number: number, offset: number, connection: number, from: From): void {
    this.#tally.byCode[number]!++
    if (this.#events.isFull) this.#events.lost++
    else {
      const { address, port } = from
      this.#events.push({
        type: 'problem',
        problem: makeProblem(problemCode(number), offset, connection),
        from: { address, port }
      })
    }
  }

  #drop(reason: number): void {
    this.#tally.drops[reason]!++
  }
}

const NO_CHANGE = {}

/**
 * Returns what is unusual in a message that a kernel accepts silently: a header that hides all connections, or bytes
 * after the last one (docs/protocol.md sections 12 and 14).
 *
 * @returns The number of a warning, or 0.
 */
function warningOf({ version, records, end, fault }: ReadResult, bytes: Uint8Array): number {
  if (fault !== 0) return 0
  if (version === 0 && bytes[HEADER_V1.RESERVED] === 0) {
    if (bytes.length < HEADER_V1.LENGTH) return PROBLEMS.SHORT_HEADER.number
    return bytes[HEADER_V1.VERSION] === 1 ? PROBLEMS.SPARE_NOT_ZERO.number : PROBLEMS.VERSION_UNKNOWN.number
  }
  if (records === 0 && isAgentMessage(bytes)) return 0
  return end < bytes.length ? PROBLEMS.LEFTOVER_BYTES.number : 0
}
