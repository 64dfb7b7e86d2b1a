/**
 * The table of connections: packed, with a limit, keyed as a kernel's, expired by a timer wheel. It makes no decision: what a
 * backup or a master does with a record is up to the engines.
 *
 * A connection is identified by its *slot*, a number above 1 that is valid until the connection is removed.
 *
 * @module
 */
import { demandInteger, demandKnownOptions, demandObject } from '../demand.js'
import type { Milliseconds, TimestampMs } from '../units.js'
import type { Connection, TableConnection } from '../wire/connection.js'
import { FLAG } from '../wire/constants.js'
import { connectionFromRow, rowFromConnection, type Mutable } from '../wire/row-values.js'
import { createRows, ROW, ROW_WORDS, type Rows } from '../wire/rows.js'
import { ApplyRun, type RunUpdate } from './apply-run.js'
import { EntryExtras, copyAddresses, copyToRow } from './entry-rows.js'
import { EntryFields } from './entry-fields.js'
import { ENTRY, EXTRA } from './entry.js'
import { KeyHash } from './hash.js'
import { hasEngineData, hashEntry, hashRow, isEngineKey, matches, sameBytes } from './key.js'
import { PackedSnapshotLoader, packTable, type RestoreTimes } from './packed-snapshot.js'
import { SlotIndex } from './slot-index.js'
import { SlotRecords } from './slot-records.js'
import type { SnapshotReport } from './snapshot.js'
import { TableCounts, type TableCount } from './table-count.js'
import {
  demandLimit,
  fillTimeout,
  rowFromKey,
  type ConnectionKey,
  type TableOptions,
  type UpsertOutcome
} from './table-options.js'
import { deadlineOf, setDeadline, setEndTime, TimerWheel } from './timer-wheel.js'

// Aliases: V8 folds a module's own constants and reads another module's anew at each use.
const { FLAGS_STATE: ENTRY_FLAGS_STATE, TIMEOUT: ENTRY_TIMEOUT } = ENTRY
const { CLIENT_PORT: ROW_CLIENT_PORT } = ROW

export type { RunUpdate } from './apply-run.js'
export { SlotRecords } from './slot-records.js'
export type { TableCount } from './table-count.js'
export type { ConnectionKey, TableOptions, UpsertOutcome, WalkOptions } from './table-options.js'

/** In an entry's word: some of its data are kept in {@link EntryExtras}. */
const EXTRA_BITS = (EXTRA.SEQUENCE | EXTRA.ENGINE) << 24
/** A kernel prints the remaining time in 32 bits of milliseconds (`jiffies_to_msecs`), and so do we: 4294967295 s as 4294966. */
const PRINTED_MS = 0x100000000

/**
 * A table of connections.
 *
 * `get`, `has`, `set`, `delete` and iteration work with values: frozen {@link TableConnection}s. Everything else works with
 * slots and rows and makes no object. A connection past its deadline is neither found nor iterated, even before the timer
 * wheel has removed it.
 *
 * @example
 * ```ts
 * const table = new ConnectionTable({ maxConnections: 100_000 })
 * for (const connection of table) console.log(connection.client.address, connection.expires)
 * ```
 */
export class ConnectionTable extends EntryFields implements Iterable<TableConnection> {
  /** Maximum number of connections. */
  readonly maxConnections: number
  /** Connections that were refused because the table was full. */
  refused = 0
  /** Outcome of the last {@link ConnectionTable.upsert}. */
  upserted: UpsertOutcome = 'updated'
  /** Errors thrown by listeners of {@link ConnectionTable.onRemove} and {@link ConnectionTable.onAdd}. */
  listenerErrors = 0
  /** The last of them. */
  listenerError: unknown

  readonly #hash: KeyHash
  readonly #index: SlotIndex
  readonly #wheel: TimerWheel = new TimerWheel([this.ipv4, this.ipv6])
  readonly #run: ApplyRun
  readonly #extras = new EntryExtras()
  readonly #counts = new TableCounts()
  readonly #row: Rows = createRows(1)
  readonly #records = new Set<SlotRecords>()
  readonly #listeners = new Set<(slot: number) => void>()
  readonly #addListeners = new Set<(slot: number) => void>()
  #now: TimestampMs = 0

  /**
   * @param options - Limit and seed.
   * @throws {@link IpvsSyncError} `ERR_CONFIG` if the limit is not an integer from 1 to 16,777,215.
   */
  constructor(options: TableOptions = {}) {
    super()
    demandKnownOptions(options, { maxConnections: true, seed: true })
    const { maxConnections = 1_000_000, seed } = options
    this.maxConnections = demandLimit(maxConnections)
    this.#hash = new KeyHash(seed)
    this.#index = new SlotIndex(maxConnections, (maxConnections << 1) | 1)
    this.#run = new ApplyRun(this.#hash, this.#index, this.ipv4, this.ipv6, this.#wheel)
  }

  /** Number of connections; it includes those past their deadline that the timer wheel has not removed yet (at most 1 s). */
  get size(): number {
    return this.ipv4.size + this.ipv6.size
  }

  /** The latest time that the table was given, in milliseconds. */
  get now(): TimestampMs {
    return this.#now
  }

  /** Returns the number of connections by protocol and origin; zero counts are omitted. */
  counts(): TableCount[] {
    return this.#counts.report()
  }

  // Values

  /**
   * Returns the connection with a key.
   *
   * @throws {@link IpvsSyncError} `ERR_ENCODE` or `ERR_USAGE` for a key that cannot be read; `field` names the part.
   */
  get(key: ConnectionKey): TableConnection | undefined {
    const slot = this.#slotOf(key)
    return slot === 0 ? undefined : this.connection(slot)
  }

  /** Returns whether there is a connection with a key. Throws as {@link ConnectionTable.get}. */
  has(key: ConnectionKey): boolean {
    return this.#slotOf(key) !== 0
  }

  /**
   * Adds a connection, or replaces the one with its key. A timeout of 0 or none becomes that of its state.
   *
   * @param connection - `origin`, `expires` and `syncid` are stored where they are given; by default `LOCAL`, the timeout, 0.
   * @param now - The time; by default the latest that the table was given.
   * @returns False if the table is full.
   * @throws {@link IpvsSyncError} `ERR_ENCODE` or `ERR_USAGE` for a field that cannot be read; `field` names it.
   */
  set(connection: Connection & Partial<TableConnection>, now: TimestampMs = this.#now): boolean {
    demandObject('connection', connection)
    const rows = this.#row
    rowFromConnection(connection, rows, 0)
    fillTimeout(rows, 0)
    const sync = connection.origin === 'SYNC' ? FLAG.SYNC : 0
    if (connection.origin !== undefined) rows.words[ROW.FLAGS] = (rows.words[ROW.FLAGS]! & ~FLAG.SYNC) | sync
    const { expires = rows.words[ROW.TIMEOUT]! >>> 0, syncid = 0 } = connection
    demandInteger('connection.expires', expires, 0, 0xffffffff, 'ERR_USAGE')
    demandInteger('connection.syncid', syncid, 0, 255, 'ERR_USAGE')
    this.#tick(now)
    this.remove(this.findExact(rows, 0))
    const slot = this.add(rows, 0, now, expires * 1000)
    if (slot === 0) return false
    this.setSyncid(slot, syncid)
    return true
  }

  /** Removes the connection with a key; returns whether there was one. Throws as {@link ConnectionTable.get}. */
  delete(key: ConnectionKey): boolean {
    const slot = this.#slotOf(key)
    this.remove(slot)
    return slot !== 0
  }

  /** Yields every connection. */
  *[Symbol.iterator](): Generator<TableConnection> {
    for (const slot of this.slots()) yield this.connection(slot)
  }

  /** Returns a connection as a frozen value: the shape of the JSON. */
  connection(slot: number): TableConnection {
    this.readRow(slot, this.#row, 0)
    const value = connectionFromRow(this.#row, 0) as Mutable<TableConnection>
    value.origin = (this.flags(slot) & FLAG.SYNC) === 0 ? 'LOCAL' : 'SYNC'
    value.expires = Math.floor((Math.max(0, this.deadlineMs(slot) - this.#now) % PRINTED_MS) / 1000)
    value.syncid = this.syncid(slot)
    return Object.freeze(value)
  }

  /**
   * Yields a packed snapshot of the table, block by block (see `packTable`). The table may change between two blocks.
   *
   * @param savedAt - Milliseconds since 1970.
   */
  snapshot(savedAt: TimestampMs): Generator<Uint8Array> {
    return packTable(this, savedAt)
  }

  /**
   * Loads a packed snapshot, in pieces of any length. Connections whose key the table has already stay as they are.
   *
   * @param times - The table's time, and the wall-clock time from which the snapshot's age is computed.
   * @returns Counts; `complete` is false for a snapshot that is damaged or truncated.
   */
  restore(pieces: Iterable<Uint8Array>, times: RestoreTimes): SnapshotReport {
    const loader = new PackedSnapshotLoader(this, times)
    for (const piece of pieces) if (!loader.push(piece)) break
    return loader.report
  }

  // Slots and rows

  /**
   * Finds the connection of a row's key as a kernel does (docs/protocol.md section 7): a row with a client port also finds an
   * entry whose client port is not known yet.
   *
   * @returns Its slot, or 0.
   */
  find(rows: Rows, index: number): number {
    const { words } = rows
    const from = index * ROW_WORDS
    const byEngine = hasEngineData(rows, index)
    const slot = this.#search(rows, index, words[from + ROW_CLIENT_PORT]!, byEngine)
    if (slot !== 0 || this.#counts.openPorts === 0 || (words[from + ROW.FLAGS]! & FLAG.TEMPLATE) !== 0) return slot
    return this.#search(rows, index, 0, byEngine)
  }

  /**
   * Finds the entry with exactly a row's key: never an entry whose client port is not known yet for a row that has one, never
   * a template for a connection.
   *
   * @returns Its slot, or 0.
   */
  findExact(rows: Rows, index: number): number {
    const from = index * ROW_WORDS
    const byEngine = isEngineKey(rows, index)
    const slot = this.#search(rows, index, rows.words[from + ROW_CLIENT_PORT]!, byEngine)
    return slot !== 0 && ((this.flags(slot) ^ rows.words[from + ROW.FLAGS]!) & FLAG.TEMPLATE) === 0 ? slot : 0
  }

  /**
   * Brings the connection of a row's key up to date, or adds it. A connection that goes to another real server is another
   * connection: the old one is removed. {@link ConnectionTable.upserted} names the outcome.
   *
   * @returns Its slot, or 0 if the table is full.
   */
  upsert(rows: Rows, index: number, now: TimestampMs): number {
    const found = this.find(rows, index)
    if (found !== 0 && this.update(found, rows, index, now)) {
      this.upserted = 'updated'
      return found
    }
    this.remove(found)
    const slot = this.add(rows, index, now)
    this.upserted = slot === 0 ? 'refused' : found === 0 ? 'created' : 'replaced'
    return slot
  }

  /**
   * Adds a connection as its row describes it and starts its timer: timeout from the row, 0 packets, end time now, last
   * synchronised state its state. The key is not searched: a table can hold two entries with one key, as a kernel's can.
   * Engine data of a connection that is not a template are not stored (`ip_vs_conn_new`).
   *
   * @param now - Never goes back: an earlier time counts as the latest one.
   * @param remainingMs - Time until it expires; by default the timeout.
   * @returns Its slot, or 0 if the table is full.
   */
  add(rows: Rows, index: number, now: TimestampMs, remainingMs?: Milliseconds): number {
    this.#tick(now)
    const { words } = rows
    const from = index * ROW_WORDS
    if (this.size >= this.maxConnections) return this.#refuse()
    const engine = isEngineKey(rows, index)
    const hash = hashRow(this.#hash, rows, index, words[from + ROW_CLIENT_PORT]!, engine)
    const ipv6 = words[from + ROW.FAMILY] === 6
    const pool = ipv6 ? this.ipv6 : this.ipv4
    const number = pool.take()
    const slot = (number << 1) | (ipv6 ? 1 : 0)
    if (!this.#index.add(hash, slot, this.#homeOf)) {
      pool.release(number)
      return this.#refuse()
    }
    const chunk = pool.chunk(number)
    const base = pool.base(number)
    const protocol = words[from + ROW.PROTOCOL]!
    const flags = words[from + ROW.FLAGS]!
    const state = words[from + ROW.STATE]!
    const nfct = (flags & FLAG.NFCT) === 0 ? 0 : EXTRA.NFCT
    chunk[base + ENTRY.PORTS] = (words[from + ROW_CLIENT_PORT]! << 16) | words[from + ROW.VIRTUAL_PORT]!
    chunk[base + ENTRY.REST] = (words[from + ROW.DESTINATION_PORT]! << 16) | (protocol << 8)
    chunk[base + ENTRY_FLAGS_STATE] = (flags << 16) | state
    chunk[base + ENTRY.FWMARK] = words[from + ROW.FWMARK]!
    chunk[base + ENTRY_TIMEOUT] = words[from + ROW.TIMEOUT]!
    chunk[base + ENTRY.PACKETS] = 0
    chunk[base + ENTRY.SYNCED] = (nfct << 24) | (state & 0xffff)
    copyAddresses(chunk, base, words, from, ipv6)
    this.setSequence(slot, rows, index)
    if (engine) {
      this.#extras.keepEngine(slot, rows, index)
      this.setExtra(slot, EXTRA.ENGINE, true)
    }
    this.#counts.add(flags, protocol, 1)
    setEndTime(chunk, base, this.#now)
    setDeadline(chunk, base, this.#now + (remainingMs ?? (words[from + ROW.TIMEOUT]! >>> 0) * 1000))
    this.#wheel.insert(slot, this.#now)
    if (this.#addListeners.size > 0) for (const listener of this.#addListeners) this.#call(listener, slot)
    return slot
  }

  /** Removes a connection; listeners are called first. A slot that is not in use is ignored. */
  remove(slot: number): void {
    if (!this.isUsed(slot)) return
    for (const listener of this.#listeners) this.#call(listener, slot)
    for (const records of this.#records) records.reset(slot)
    this.#index.remove(this.#hashOf(slot), slot, this.#homeOf)
    this.#wheel.remove(slot)
    this.#counts.add(this.flags(slot), this.protocol(slot), -1)
    if ((this.word(slot, ENTRY.SYNCED) & EXTRA_BITS) !== 0) this.#extras.delete(slot)
    this.pool(slot).release(slot >>> 1)
  }

  /**
   * Calls a function with each slot that is about to be removed, whatever removes it: {@link ConnectionTable.remove}, an
   * expiry, a replacement. An error that it throws is counted in {@link ConnectionTable.listenerErrors} and stops nothing.
   *
   * @returns Ends it.
   */
  onRemove(listener: (slot: number) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * Calls a function with each slot that was just added, whatever added it. Errors count as those of
   * {@link ConnectionTable.onRemove}.
   *
   * @returns Ends it.
   */
  onAdd(listener: (slot: number) => void): () => void {
    this.#addListeners.add(listener)
    return () => this.#addListeners.delete(listener)
  }

  /** Removes every connection; listeners are called for each. The count of refusals stays. */
  clear(): void {
    if (this.#listeners.size > 0)
      for (const slot of this.usedSlots()) for (const each of this.#listeners) this.#call(each, slot)
    const parts = [this.ipv4, this.ipv6, this.#index, this.#wheel, this.#extras, this.#counts, ...this.#records]
    for (const part of parts) part.clear()
  }

  /**
   * Makes side arrays: a record of `words` 32-bit integers for each slot, zeros at first and after each removal.
   *
   * @throws {@link IpvsSyncError} `ERR_USAGE` if `words` is not an integer from 1 to 64.
   */
  createRecords(words: number): SlotRecords {
    demandInteger('words', words, 1, 64, 'ERR_USAGE')
    const records = new SlotRecords(words)
    this.#records.add(records)
    return records
  }

  /** Ends the maintenance of side arrays that are no longer needed. */
  releaseRecords(records: SlotRecords): void {
    this.#records.delete(records)
  }

  /** Copies a connection into a row. Engine data are the table's own bytes and must not be changed. */
  readRow(slot: number, rows: Rows, index: number): void {
    const pool = this.pool(slot)
    const chunk = pool.chunk(slot >>> 1)
    const base = pool.base(slot >>> 1)
    copyToRow(chunk, base, (slot & 1) === 1, rows.words, index * ROW_WORDS)
    if ((chunk[base + ENTRY.SYNCED]! & EXTRA_BITS) !== 0) this.#extras.copyToRow(slot, rows, index)
  }

  /**
   * Brings a connection up to date with a row of its key: flags except SYNC, state, fwmark, timeout (restarted), sequence
   * data. Origin and counters stay.
   *
   * @returns False, with nothing changed, if the row has another destination.
   */
  update(slot: number, rows: Rows, index: number, now: TimestampMs): boolean {
    if (!this.hasDestination(slot, rows, index)) return false
    const { words } = rows
    const from = index * ROW_WORDS
    this.setFlags(slot, (words[from + ROW.FLAGS]! & ~FLAG.SYNC) | (this.flags(slot) & FLAG.SYNC))
    this.setState(slot, words[from + ROW.STATE]!)
    this.setWord(slot, ENTRY.FWMARK, words[from + ROW.FWMARK]!)
    this.setSequence(slot, rows, index)
    this.restart(slot, (words[from + ROW.TIMEOUT]! >>> 0) * 1000, now)
    return true
  }

  /**
   * Refreshes the connections of a message that are known and go to the same real server, from row `from` up to the first
   * that needs a closer look: state, the masked flags, timeout (restarted) and what `update` gives. `from` 0 begins a message;
   * continue behind the row that was returned, with the same rows.
   *
   * @returns The number of the first row that was not applied; `rows.count` if there is none.
   */
  applyRun(rows: Rows, from: number, update: RunUpdate): number {
    if (from === 0) this.#run.prepare(rows)
    return this.#run.run(rows, from, update, this.#now)
  }

  /**
   * Brings a connection up to date with a received record, in one step: what a backup does with most records that
   * {@link ConnectionTable.applyRun} leaves.
   *
   * @param flags - All its flags; SYNC, TEMPLATE and NO_CPORT unchanged.
   * @param timeoutMs - Its full timeout; the timer is restarted.
   */
  refresh(
    slot: number,
    flags: number,
    state: number,
    packets: number,
    syncid: number,
    timeoutMs: Milliseconds,
    now: TimestampMs
  ): void {
    this.#tick(now)
    const pool = this.pool(slot)
    const chunk = pool.chunk(slot >>> 1)
    const base = pool.base(slot >>> 1)
    chunk[base + ENTRY_FLAGS_STATE] = (flags << 16) | state
    chunk[base + ENTRY.REST] = (chunk[base + ENTRY.REST]! & 0xffffff00) | syncid
    chunk[base + ENTRY.PACKETS] = packets
    chunk[base + ENTRY.SYNCED] = (chunk[base + ENTRY.SYNCED]! & 0xffff0000) | state
    chunk[base + ENTRY_TIMEOUT] = Math.floor(timeoutMs / 1000)
    this.#wheel.restart(slot, chunk, base, this.#now + timeoutMs)
  }

  /**
   * Visits connections past their deadline, at most `budget` entries of the wheel, and removes each unless `onExpired`
   * returns true (it has restarted it).
   *
   * @returns Whether everything due was visited; otherwise call again.
   */
  advance(now: TimestampMs, budget: number, onExpired: (slot: number) => boolean): boolean {
    this.#tick(now)
    return this.#wheel.advance(this.#now, budget, (slot) => {
      if (!onExpired(slot)) this.remove(slot)
    })
  }

  /** Returns when to call {@link ConnectionTable.advance} next, in milliseconds; Infinity for an empty table. */
  nextDeadline(): TimestampMs {
    return this.size === 0 ? Infinity : this.#wheel.nextDeadline(this.#now)
  }

  /** Takes a packet: sets the counter, the state and the full timeout, and restarts the timer. */
  takePacket(slot: number, packets: number, state: number, timeoutMs: Milliseconds, now: TimestampMs): void {
    this.#tick(now)
    const pool = this.pool(slot)
    const chunk = pool.chunk(slot >>> 1)
    const base = pool.base(slot >>> 1)
    chunk[base + ENTRY.PACKETS] = packets | 0
    chunk[base + ENTRY_FLAGS_STATE] = (chunk[base + ENTRY_FLAGS_STATE]! & 0xffff0000) | state
    chunk[base + ENTRY_TIMEOUT] = Math.floor(timeoutMs / 1000)
    this.#wheel.restart(slot, chunk, base, this.#now + timeoutMs)
  }

  /** Sets the full timeout (stored in whole seconds) and restarts the timer. */
  restart(slot: number, timeoutMs: Milliseconds, now: TimestampMs): void {
    this.#tick(now)
    this.setWord(slot, ENTRY_TIMEOUT, Math.floor(timeoutMs / 1000))
    this.setDeadlineMs(slot, this.#now + timeoutMs)
  }

  /** Moves a connection's deadline; its full timeout stays. */
  setDeadlineMs(slot: number, deadline: TimestampMs): void {
    const pool = this.pool(slot)
    this.#wheel.restart(slot, pool.chunk(slot >>> 1), pool.base(slot >>> 1), deadline)
  }

  /** Changes the flags. TEMPLATE and NO_CPORT are part of the key and must stay. */
  setFlags(slot: number, flags: number): void {
    const before = this.flags(slot)
    if (((before ^ flags) & FLAG.SYNC) !== 0) {
      this.#counts.add(before, this.protocol(slot), -1)
      this.#counts.add(flags, this.protocol(slot), 1)
    }
    this.setWord(slot, ENTRY_FLAGS_STATE, (flags << 16) | this.state(slot))
    this.setExtra(slot, EXTRA.NFCT, (flags & FLAG.NFCT) !== 0)
  }

  /** Stores a row's sequence data, if it has any. */
  setSequence(slot: number, rows: Rows, index: number): void {
    if (this.#extras.keepSequence(slot, rows, index)) this.setExtra(slot, EXTRA.SEQUENCE, true)
  }

  /** Time never goes back: after a clock jumped back, the latest time holds until the clock passes it. */
  #tick(now: TimestampMs): void {
    if (now > this.#now) this.#now = Math.floor(now)
  }

  #refuse(): 0 {
    this.refused++
    return 0
  }

  #call(listener: (slot: number) => void, slot: number): void {
    try {
      listener(slot)
    } catch (error) {
      this.listenerErrors++
      this.listenerError = error
    }
  }

  #slotOf(key: ConnectionKey): number {
    rowFromKey(key, this.#row)
    return this.findExact(this.#row, 0)
  }

  #search(rows: Rows, index: number, clientPort: number, byEngine: boolean): number {
    const { words } = rows
    const from = index * ROW_WORDS
    const hash = hashRow(this.#hash, rows, index, clientPort, byEngine)
    const ipv6 = words[from + ROW.FAMILY] === 6
    let step = 0
    for (let slot = this.#index.probe(hash, step); slot !== 0; slot = this.#index.probe(hash, ++step)) {
      if (slot < 0 || (slot & 1) !== (ipv6 ? 1 : 0)) continue
      const pool = this.pool(slot)
      const chunk = pool.chunk(slot >>> 1)
      const base = pool.base(slot >>> 1)
      const same =
        matches(chunk, base, words, from, ipv6, clientPort, byEngine) &&
        deadlineOf(chunk, base) > this.#now &&
        (!byEngine || sameBytes(this.#extras.engine(slot)!.data, rows.engines[index]!.data))
      if (same) return slot
    }
    return 0
  }

  #hashOf(slot: number): number {
    const pool = this.pool(slot)
    const ipv6 = (slot & 1) === 1
    const engine = (this.word(slot, ENTRY.SYNCED) & (EXTRA.ENGINE << 24)) === 0 ? undefined : this.#extras.engine(slot)
    return hashEntry(this.#hash, pool.chunk(slot >>> 1), pool.base(slot >>> 1), ipv6, engine)
  }

  readonly #homeOf = (slot: number): number => this.#index.home(this.#hashOf(slot))
}
