/**
 * The table of connections: packed, with a ceiling, found by a kernel's keys, expiring by a timer wheel. It decides
 * nothing: what a backup or a master does with a record is the engines' affair.
 *
 * A connection is known by its *slot*, a number above 0 that is good until the connection is removed.
 *
 * @module
 */
import type { Milliseconds, TimestampMs } from '../units.js'
import type { TableConnection } from '../wire/connection.js'
import { FLAG } from '../wire/constants.js'
import { connectionFromRow, type Mutable } from '../wire/row-values.js'
import { createRows, ROW, ROW_WORDS, type Rows } from '../wire/rows.js'
import { EntryFields } from './entry-fields.js'
import { EntryExtras } from './entry-extras.js'
import { ENTRY, EXTRA } from './entry.js'
import { copyAddresses, copyToRow } from './entry-rows.js'
import { hasEngineData, hashEntry, hashRow, isEngineKey, matches, sameBytes } from './key.js'
import { prepareRows } from './prepare-rows.js'
import { RefreshRun } from './refresh-run.js'
import { SlotIndex } from './slot-index.js'
import { TableCounts, type TableCount } from './table-count.js'
import { demandCeiling, type TableOptions } from './table-options.js'
import { deadlineOf, setDeadline, setEndTime, TimerWheel } from './timer-wheel.js'

// Names of this module's own: V8 folds these constants, and reads those of another module anew at each use.
const { FLAGS_STATE: ENTRY_FLAGS_STATE, TIMEOUT: ENTRY_TIMEOUT } = ENTRY
const { CLIENT_PORT: ROW_CLIENT_PORT, SCRATCH: ROW_SCRATCH } = ROW

export type { TableCount } from './table-count.js'
export type { TableOptions } from './table-options.js'

/** In an entry's word: something of it is kept beside. */
const EXTRA_BITS = (EXTRA.SEQUENCE | EXTRA.ENGINE) << 24
/** A kernel shows what is left in 32 bits of milliseconds (`jiffies_to_msecs`), and so do we: 4294967295 s as 4294966. */
const SHOWN_MS = 0x100000000

/**
 * A table of connections.
 *
 * Iterating gives {@link TableConnection}s; changes meanwhile are allowed. Whatever is past its deadline is neither found
 * nor seen, also before the wheel has come round to it.
 *
 * @example
 * ```ts
 * const table = new ConnectionTable({ maxConnections: 100_000 })
 * for (const connection of table) console.log(connection.client.address, connection.expires)
 * ```
 */
export class ConnectionTable extends EntryFields implements Iterable<TableConnection> {
  /** The most connections it holds. */
  readonly maxConnections: number
  /** As {@link ConnectionTable.refresh}, for prepared rows that need no look at each. */
  readonly known: RefreshRun
  /** Connections that were refused because the table was full, or its hash too crowded at their place. */
  refused = 0

  readonly #seed: number
  readonly #index: SlotIndex
  readonly #wheel: TimerWheel = new TimerWheel([this.ipv4, this.ipv6])
  readonly #extras = new EntryExtras()
  readonly #counts = new TableCounts()
  readonly #row: Rows = createRows(1)
  #now: TimestampMs = 0

  /**
   * @param options - Ceiling and seed.
   * @throws {@link IpvsSyncError} `ERR_CONFIG` where the ceiling is not a whole number from 1 to 16,777,215.
   */
  constructor({ maxConnections = 1_000_000, seed = 0x1b873593 }: TableOptions = {}) {
    super()
    this.maxConnections = demandCeiling(maxConnections)
    this.#seed = seed | 0
    this.#index = new SlotIndex(maxConnections, (maxConnections << 1) | 1)
    this.known = new RefreshRun(this.#index, this.ipv4, this.#wheel)
  }

  /** Connections in the table; some may be past their deadline by less than a second. */
  get size(): number {
    return this.ipv4.size + this.ipv6.size
  }

  /** The latest time that the table has heard of, in milliseconds. */
  get now(): TimestampMs {
    return this.#now
  }

  /** How many connections there are, by protocol and origin; those that are none are left out. */
  counts(): TableCount[] {
    return this.#counts.report()
  }

  /**
   * Prepares a message's rows for {@link ConnectionTable.findPrepared}: hashes them all, then looks at all their places, so
   * that the memory is at hand when they are searched one by one.
   *
   * @returns A number without a meaning, which keeps the looks from being optimised away.
   */
  prepare(rows: Rows): number {
    return prepareRows(rows, this.#seed, this.#index, this.ipv4, this.ipv6)
  }

  /** As {@link ConnectionTable.find}, for a row that was prepared. */
  findPrepared(rows: Rows, index: number): number {
    const words = rows.words
    const from = index * ROW_WORDS
    const clientPort = words[from + ROW_CLIENT_PORT]!
    return this.#find(rows, index, words[from + ROW_SCRATCH]!, clientPort) || this.#findOpen(rows, index)
  }

  /**
   * Finds the connection of a row's key: docs/protocol.md section 7.
   *
   * @returns Its slot, or 0.
   */
  find(rows: Rows, index: number): number {
    const clientPort = rows.words[index * ROW_WORDS + ROW_CLIENT_PORT]!
    const slot = this.#find(rows, index, hashRow(rows, index, this.#seed, clientPort), clientPort)
    return slot || this.#findOpen(rows, index)
  }

  /**
   * Adds a connection as its row says, with its timer started: timeout from the row, packets, end time and last
   * synchronised state as a new connection has them (0, now, its state). The key is not looked for: a table can hold two
   * entries with one key, as a kernel's can.
   *
   * @param now - Never goes back: an earlier time counts as the latest one.
   * @returns Its slot, or 0 where it was refused.
   */
  add(rows: Rows, index: number, now: TimestampMs): number {
    this.#clock(now)
    const { words } = rows
    const from = index * ROW_WORDS
    if (this.size >= this.maxConnections) return this.#refuse()
    const hash = hashRow(rows, index, this.#seed, words[from + ROW_CLIENT_PORT]!)
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
    chunk[base + ENTRY.PORTS] = (words[from + ROW_CLIENT_PORT]! << 16) | words[from + ROW.VIRTUAL_PORT]!
    chunk[base + ENTRY.REST] = (words[from + ROW.DESTINATION_PORT]! << 16) | (protocol << 8)
    chunk[base + ENTRY.FWMARK] = words[from + ROW.FWMARK]!
    chunk[base + ENTRY_TIMEOUT] = words[from + ROW.TIMEOUT]!
    chunk[base + ENTRY.PACKETS] = 0
    copyAddresses(chunk, base, words, from, ipv6)
    this.#keepExtras(slot, chunk, base, rows, index)
    const flags = words[from + ROW.FLAGS]!
    const state = words[from + ROW.STATE]!
    chunk[base + ENTRY_FLAGS_STATE] = (flags << 16) | state
    this.#counts.add(flags, protocol, 1)
    setEndTime(chunk, base, this.#now)
    setDeadline(chunk, base, this.#now + (words[from + ROW.TIMEOUT]! >>> 0) * 1000)
    this.#wheel.insert(slot, this.#now)
    return slot
  }

  /** Removes a connection. A slot that is not in use is let pass. */
  remove(slot: number): void {
    if (!this.isUsed(slot)) return
    this.#index.remove(this.#hashOf(slot), slot, this.#homeOf)
    this.#wheel.remove(slot)
    this.#counts.add(this.flags(slot), this.protocol(slot), -1)
    this.#extras.delete(slot)
    this.pool(slot).release(slot >>> 1)
  }

  /** Removes every connection, also those whose time is over; the count of refusals stays. */
  clear(): void {
    const parts = [this.ipv4, this.ipv6, this.#index, this.#wheel, this.#extras, this.#counts]
    for (const part of parts) part.clear()
  }

  /** Whether a slot holds a connection. */
  isUsed(slot: number): boolean {
    return slot > 1 && this.pool(slot).isUsed(slot >>> 1)
  }

  /** Slots of all connections that are not past their deadline. Removals meanwhile are seen; additions may be. */
  *slots(): Generator<number> {
    for (const family of [0, 1] as const) {
      const pool = this.pool(family)
      for (let number = 1; number <= pool.last; number++) {
        const slot = (number << 1) | family
        if (pool.isUsed(number) && this.deadlineMs(slot) > this.#now) yield slot
      }
    }
  }

  /** Every connection as a value. */
  *[Symbol.iterator](): Generator<TableConnection> {
    for (const slot of this.slots()) yield this.connection(slot)
  }

  /** A connection as a value: the shape of the JSON. */
  connection(slot: number): TableConnection {
    this.readRow(slot, this.#row, 0)
    const value = connectionFromRow(this.#row, 0) as Mutable<TableConnection>
    value.origin = (this.flags(slot) & FLAG.SYNC) === 0 ? 'LOCAL' : 'SYNC'
    value.expires = Math.floor((Math.max(0, this.deadlineMs(slot) - this.#now) % SHOWN_MS) / 1000)
    value.syncid = this.word(slot, ENTRY.REST) & 0xff
    return value
  }

  /** Copies a connection into a row. Engine data are the table's own bytes: do not change them. */
  readRow(slot: number, rows: Rows, index: number): void {
    const pool = this.pool(slot)
    const chunk = pool.chunk(slot >>> 1)
    const base = pool.base(slot >>> 1)
    copyToRow(chunk, base, (slot & 1) === 1, rows.words, index * ROW_WORDS)
    if ((chunk[base + ENTRY.SYNCED]! & EXTRA_BITS) !== 0) this.#extras.copyToRow(slot, rows, index)
  }

  /**
   * Brings a connection up to date with a row of its key: flags but SYNC, state, fwmark, timeout (restarted), sequence
   * data. Origin and counters stay.
   *
   * @returns False, and nothing is changed, where the row has another destination.
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
   * Brings a connection up to date with what was heard of it, in one go: what a backup does with most records.
   *
   * @param flags - All its flags; SYNC, TEMPLATE and NO_CPORT as they were.
   * @param timeoutMs - Its full timeout; the timer starts again.
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
    this.#clock(now)
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

  /** Whether a connection goes to the real server that a row names. */
  hasDestination(slot: number, rows: Rows, index: number): boolean {
    const { words } = rows
    const from = index * ROW_WORDS
    if (this.word(slot, ENTRY.REST) >>> 16 !== words[from + ROW.DESTINATION_PORT]) return false
    const length = (slot & 1) === 1 ? 4 : 1
    const at = ENTRY.ADDRESSES + 2 * length
    for (let i = 0; i < length; i++) if (this.word(slot, at + i) !== words[from + ROW.DESTINATION + i]) return false
    return true
  }

  /**
   * Visits connections whose time is over, at most `budget` entries of the wheel, and removes each unless `onExpired`
   * returns true (it has restarted it).
   *
   * @returns Whether everything due was visited: otherwise call again.
   */
  advance(now: TimestampMs, budget: number, onExpired: (slot: number) => boolean): boolean {
    this.#clock(now)
    return this.#wheel.advance(this.#now, budget, (slot) => {
      if (!onExpired(slot)) this.remove(slot)
    })
  }

  /** When {@link ConnectionTable.advance} is next worth a call, in milliseconds; Infinity for an empty table. */
  nextDeadline(): TimestampMs {
    return this.size === 0 ? Infinity : this.#wheel.nextDeadline(this.#now)
  }

  /** A packet has come: sets the counter, the state and the full timeout, which runs from now on. */
  takePacket(slot: number, packets: number, state: number, timeoutMs: Milliseconds, now: TimestampMs): void {
    this.#clock(now)
    const pool = this.pool(slot)
    const chunk = pool.chunk(slot >>> 1)
    const base = pool.base(slot >>> 1)
    chunk[base + ENTRY.PACKETS] = packets | 0
    chunk[base + ENTRY_FLAGS_STATE] = (chunk[base + ENTRY_FLAGS_STATE]! & 0xffff0000) | state
    chunk[base + ENTRY_TIMEOUT] = Math.floor(timeoutMs / 1000)
    this.#wheel.restart(slot, chunk, base, this.#now + timeoutMs)
  }

  /** Sets the full timeout in milliseconds (kept in whole seconds), and lets it run from now. */
  restart(slot: number, timeoutMs: Milliseconds, now: TimestampMs): void {
    this.#clock(now)
    const pool = this.pool(slot)
    const chunk = pool.chunk(slot >>> 1)
    const base = pool.base(slot >>> 1)
    chunk[base + ENTRY_TIMEOUT] = Math.floor(timeoutMs / 1000)
    this.#wheel.restart(slot, chunk, base, this.#now + timeoutMs)
  }

  /** Lets a connection's time be over at another moment; its full timeout stays. */
  setDeadlineMs(slot: number, deadline: TimestampMs): void {
    const pool = this.pool(slot)
    this.#wheel.restart(slot, pool.chunk(slot >>> 1), pool.base(slot >>> 1), deadline)
  }

  /** Changes the flags. TEMPLATE and NO_CPORT are part of the key: leave them as they are. */
  setFlags(slot: number, flags: number): void {
    const before = this.flags(slot)
    if (((before ^ flags) & FLAG.SYNC) !== 0) {
      this.#counts.add(before, this.protocol(slot), -1)
      this.#counts.add(flags, this.protocol(slot), 1)
    }
    this.setWord(slot, ENTRY_FLAGS_STATE, (flags << 16) | this.state(slot))
    this.setExtra(slot, EXTRA.NFCT, (flags & FLAG.NFCT) !== 0)
  }

  /** Takes a row's sequence data, where it has some. */
  setSequence(slot: number, rows: Rows, index: number): void {
    if (this.#extras.keepSequence(slot, rows, index)) this.setExtra(slot, EXTRA.SEQUENCE, true)
  }

  /** Time never goes back: a clock that jumps back stands still until it has caught up. */
  #clock(now: TimestampMs): void {
    if (now > this.#now) this.#now = Math.floor(now)
  }

  #refuse(): 0 {
    this.refused++
    return 0
  }

  #find(rows: Rows, index: number, hash: number, clientPort: number): number {
    const { words } = rows
    const from = index * ROW_WORDS
    const ipv6 = words[from + ROW.FAMILY] === 6
    const engine = hasEngineData(rows, index)
    // A kernel looks for such a record by its engine's hash, where no connection stands: docs/protocol.md section 7.
    if (engine && (words[from + ROW.FLAGS]! & FLAG.TEMPLATE) === 0) return 0
    let step = 0
    for (let slot = this.#index.probe(hash, step); slot !== 0; slot = this.#index.probe(hash, ++step)) {
      if (slot < 0 || (slot & 1) !== (ipv6 ? 1 : 0)) continue
      const pool = this.pool(slot)
      const chunk = pool.chunk(slot >>> 1)
      const base = pool.base(slot >>> 1)
      const same =
        matches(chunk, base, words, from, ipv6, clientPort, engine) &&
        deadlineOf(chunk, base) > this.#now &&
        (!engine || sameBytes(this.#extras.engine(slot)!.data, rows.engines[index]!.data))
      if (same) return slot
    }
    return 0
  }

  /** The second look of a connection with a port, at those whose port is open; templates are not looked for again. */
  #findOpen(rows: Rows, index: number): number {
    if (this.#counts.openPorts === 0 || (rows.words[index * ROW_WORDS + ROW.FLAGS]! & FLAG.TEMPLATE) !== 0) return 0
    return this.#find(rows, index, hashRow(rows, index, this.#seed, 0), 0)
  }

  #keepExtras(slot: number, chunk: Int32Array, base: number, rows: Rows, index: number): void {
    const { words } = rows
    const from = index * ROW_WORDS
    const nfct = (words[from + ROW.FLAGS]! & FLAG.NFCT) === 0 ? 0 : EXTRA.NFCT
    chunk[base + ENTRY.SYNCED] = (nfct << 24) | (words[from + ROW.STATE]! & 0xffff)
    this.setSequence(slot, rows, index)
    if (!isEngineKey(rows, index)) return
    this.#extras.keepEngine(slot, rows, index)
    this.setExtra(slot, EXTRA.ENGINE, true)
  }

  #hashOf(slot: number): number {
    const pool = this.pool(slot)
    const ipv6 = (slot & 1) === 1
    return hashEntry(pool.chunk(slot >>> 1), pool.base(slot >>> 1), ipv6, this.#extras.engine(slot), this.#seed)
  }

  readonly #homeOf = (slot: number): number => this.#index.home(this.#hashOf(slot))
}
