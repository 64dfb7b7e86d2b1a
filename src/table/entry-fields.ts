/**
 * Fields of packed connections, by slot: `number << 1 | ipv6`, above 1.
 *
 * @module
 */
import { demandInteger, demandKnownOptions } from '../demand.js'
import type { Milliseconds, TimestampMs } from '../units.js'
import { FLAG } from '../wire/constants.js'
import { ROW, ROW_WORDS, type Rows } from '../wire/rows.js'
import { ENTRY, EntryPool, EXTRA } from './entry.js'
import type { WalkOptions } from './table-options.js'
import { deadlineOf, endTimeOf, setEndTime } from './timer-wheel.js'

// Aliases: V8 folds a module's own constants and reads another module's anew at each use.
const {
  FLAGS_STATE: ENTRY_FLAGS_STATE,
  PACKETS: ENTRY_PACKETS,
  REST: ENTRY_REST,
  SYNCED: ENTRY_SYNCED,
  TIMEOUT: ENTRY_TIMEOUT
} = ENTRY
const { NFCT: EXTRA_NFCT } = EXTRA
const { NFCT: FLAG_NFCT } = FLAG

const TEMPLATE_BIT = FLAG.TEMPLATE << 16
const ONE_PACKET_BIT = FLAG.ONE_PACKET << 16

/** The fields of an entry that a master's decision reads. */
export interface EntryDescription {
  /** IP protocol number. */
  protocol: number
  /** Whether it is a template. */
  template: boolean
  /** Whether it has the ONE_PACKET flag. */
  onePacket: boolean
  /** The state's number. */
  state: number
  /** The state when it was last announced. */
  lastSyncedState: number
  /** The full timeout. */
  timeoutMs: Milliseconds
  /** `now + timeout` of the last announcement; the creation time before. */
  endTimeMs: TimestampMs
  /** Retries counted since. */
  retriesUsed: number
  /** Packets from the client. */
  packets: number
}

/** Two pools of entries, and access to the fields that need no change of index, timer or counters. */
export abstract class EntryFields {
  /** IPv4 entries. */
  protected readonly ipv4: EntryPool = new EntryPool(1)
  /** IPv6 entries. */
  protected readonly ipv6: EntryPool = new EntryPool(4)

  /** The latest time that the table was given, in milliseconds. */
  abstract get now(): TimestampMs

  /** Yields the slots of all connections that are not past their deadline. Removals take effect at once; additions may be missed. */
  *slots(): Generator<number> {
    for (const slot of this.usedSlots()) if (this.deadlineMs(slot) > this.now) yield slot
  }

  /**
   * Visits the table in slices, so that a caller can do other work between them. A slice costs a bounded amount of work; it
   * may be empty. Use a slice before the table changes.
   *
   * The table may change between two slices. A connection that stays for the whole walk is visited exactly once; one that is
   * added, removed or expires meanwhile at most once. A connection that is removed and added again is another one.
   */
  walk(options: WalkOptions = {}): Generator<readonly number[]> {
    demandKnownOptions(options, { limit: true, templates: true }, 'ERR_USAGE')
    const { limit = 1024, templates } = options
    demandInteger('limit', limit, 1, Number.MAX_SAFE_INTEGER, 'ERR_USAGE')
    return this.#slices(limit, templates)
  }

  *#slices(limit: number, templates: boolean | undefined): Generator<readonly number[]> {
    const wanted = templates === undefined ? -1 : templates ? FLAG.TEMPLATE : 0
    for (const family of [0, 1] as const) {
      const pool = this.pool(family)
      for (let number = 1; number <= pool.last;) {
        const slice: number[] = []
        const end = Math.min(pool.last, number + limit - 1)
        for (; number <= end; number++) {
          const slot = (number << 1) | family
          if (!pool.isUsed(number) || this.deadlineMs(slot) <= this.now) continue
          if (wanted < 0 || (this.flags(slot) & FLAG.TEMPLATE) === wanted) slice.push(slot)
        }
        yield slice
      }
    }
  }

  /** Returns whether a slot holds a connection. */
  isUsed(slot: number): boolean {
    return slot > 1 && this.pool(slot).isUsed(slot >>> 1)
  }

  /** Returns whether a connection goes to the real server of a row. */
  hasDestination(slot: number, rows: Rows, index: number): boolean {
    const { words } = rows
    const from = index * ROW_WORDS
    if (this.word(slot, ENTRY.REST) >>> 16 !== words[from + ROW.DESTINATION_PORT]) return false
    const length = (slot & 1) === 1 ? 4 : 1
    const at = ENTRY.ADDRESSES + 2 * length
    for (let i = 0; i < length; i++) if (this.word(slot, at + i) !== words[from + ROW.DESTINATION + i]) return false
    return true
  }

  /** Returns when a connection expires. */
  deadlineMs(slot: number): TimestampMs {
    const pool = this.pool(slot)
    return deadlineOf(pool.chunk(slot >>> 1), pool.base(slot >>> 1))
  }

  /** Returns 4 or 6. */
  family(slot: number): 4 | 6 {
    return (slot & 1) === 1 ? 6 : 4
  }

  /** Returns the IP protocol number. */
  protocol(slot: number): number {
    return (this.word(slot, ENTRY_REST) >>> 8) & 0xff
  }

  /** Returns all flags: 16 bits and NFCT. */
  flags(slot: number): number {
    const nfct = (this.word(slot, ENTRY_SYNCED) >>> 24) & EXTRA_NFCT ? FLAG_NFCT : 0
    return (this.word(slot, ENTRY_FLAGS_STATE) >>> 16) | nfct
  }

  /** Returns whether a connection is a template. */
  isTemplate(slot: number): boolean {
    return (this.word(slot, ENTRY_FLAGS_STATE) & TEMPLATE_BIT) !== 0
  }

  /** Returns the state's number, 0…65535. */
  state(slot: number): number {
    return this.word(slot, ENTRY_FLAGS_STATE) & 0xffff
  }

  /** Changes the state. */
  setState(slot: number, state: number): void {
    this.setWord(slot, ENTRY_FLAGS_STATE, (this.word(slot, ENTRY_FLAGS_STATE) & 0xffff0000) | state)
  }

  /** Returns the full timeout in milliseconds. */
  timeoutMs(slot: number): Milliseconds {
    return (this.word(slot, ENTRY_TIMEOUT) >>> 0) * 1000
  }

  /** Returns the syncid of the message that the connection was last received in; 0 for one made here. */
  syncid(slot: number): number {
    return this.word(slot, ENTRY_REST) & 0xff
  }

  /** Sets the syncid of the message that the connection was last received in; 0 for one made here. */
  setSyncid(slot: number, syncid: number): void {
    this.setWord(slot, ENTRY_REST, (this.word(slot, ENTRY_REST) & 0xffffff00) | syncid)
  }

  /** Returns the number of packets from the client, 32 bits. */
  packets(slot: number): number {
    return this.word(slot, ENTRY_PACKETS) >>> 0
  }

  /** Changes the packet counter. */
  setPackets(slot: number, packets: number): void {
    this.setWord(slot, ENTRY_PACKETS, packets | 0)
  }

  /** Returns the state when it was last announced. */
  lastSyncedState(slot: number): number {
    return this.word(slot, ENTRY_SYNCED) & 0xffff
  }

  /** Returns `now + timeout` of the last announcement; before the first, the creation time. */
  endTimeMs(slot: number): TimestampMs {
    const pool = this.pool(slot)
    return endTimeOf(pool.chunk(slot >>> 1), pool.base(slot >>> 1))
  }

  /** Returns the retries counted since the last announcement. */
  retriesUsed(slot: number): number {
    return (this.word(slot, ENTRY_SYNCED) >>> 16) & 0xff
  }

  /** Reads all fields of a decision to announce at once: field by field it would cost twice as much. */
  describe(slot: number, into: EntryDescription): void {
    const pool = this.pool(slot)
    const chunk = pool.chunk(slot >>> 1)
    const base = pool.base(slot >>> 1)
    const flagsAndState = chunk[base + ENTRY_FLAGS_STATE]!
    const synced = chunk[base + ENTRY_SYNCED]!
    into.protocol = (chunk[base + ENTRY_REST]! >>> 8) & 0xff
    into.template = (flagsAndState & TEMPLATE_BIT) !== 0
    into.onePacket = (flagsAndState & ONE_PACKET_BIT) !== 0
    into.state = flagsAndState & 0xffff
    into.lastSyncedState = synced & 0xffff
    into.timeoutMs = (chunk[base + ENTRY_TIMEOUT]! >>> 0) * 1000
    into.endTimeMs = endTimeOf(chunk, base)
    into.retriesUsed = (synced >>> 16) & 0xff
    into.packets = chunk[base + ENTRY_PACKETS]! >>> 0
  }

  /** Stores the result of a decision to announce. */
  setSynced(slot: number, state: number, endTime: TimestampMs, retriesUsed: number): void {
    const pool = this.pool(slot)
    const chunk = pool.chunk(slot >>> 1)
    const base = pool.base(slot >>> 1)
    chunk[base + ENTRY_SYNCED] = (chunk[base + ENTRY_SYNCED]! & 0xff000000) | (retriesUsed << 16) | (state & 0xffff)
    setEndTime(chunk, base, endTime)
  }

  /** Yields the slots of all entries, those past their deadline included. Removals take effect at once. */
  protected *usedSlots(): Generator<number> {
    for (const family of [0, 1] as const) {
      const pool = this.pool(family)
      for (let number = 1; number <= pool.last; number++) if (pool.isUsed(number)) yield (number << 1) | family
    }
  }

  /** Returns the pool of a slot's family. */
  protected pool(slot: number): EntryPool {
    return (slot & 1) === 1 ? this.ipv6 : this.ipv4
  }

  /** Returns one word of an entry. */
  protected word(slot: number, word: number): number {
    const pool = this.pool(slot)
    return pool.chunk(slot >>> 1)[pool.base(slot >>> 1) + word]!
  }

  /** Writes one word of an entry. */
  protected setWord(slot: number, word: number, value: number): void {
    const pool = this.pool(slot)
    pool.chunk(slot >>> 1)[pool.base(slot >>> 1) + word] = value
  }

  /** Sets or clears a bit of the byte `extra`. */
  protected setExtra(slot: number, bit: number, on: boolean): void {
    const word = this.word(slot, ENTRY_SYNCED)
    this.setWord(slot, ENTRY_SYNCED, on ? word | (bit << 24) : word & ~(bit << 24))
  }
}
