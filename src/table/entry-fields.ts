/**
 * The fields of packed connections, by slot: `number << 1 | ipv6`, above 1.
 *
 * @module
 */
import type { Milliseconds, TimestampMs } from '../units.js'
import { FLAG } from '../wire/constants.js'
import { ENTRY, EntryPool, EXTRA } from './entry.js'
import { deadlineOf, endTimeOf, setEndTime } from './timer-wheel.js'

// Names of this module's own: V8 folds these constants, and reads those of another module anew at each use.
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

/** What a master's decision reads of an entry. */
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

/** Two pools of entries, and what can be read and written of an entry without touching key, timer or counters. */
export abstract class EntryFields {
  /** IPv4 entries. */
  protected readonly ipv4: EntryPool = new EntryPool(1)
  /** IPv6 entries. */
  protected readonly ipv6: EntryPool = new EntryPool(4)

  /** When a connection's time is over. */
  deadlineMs(slot: number): TimestampMs {
    const pool = this.pool(slot)
    return deadlineOf(pool.chunk(slot >>> 1), pool.base(slot >>> 1))
  }

  /** 4 or 6. */
  family(slot: number): 4 | 6 {
    return (slot & 1) === 1 ? 6 : 4
  }

  /** IP protocol number. */
  protocol(slot: number): number {
    return (this.word(slot, ENTRY_REST) >>> 8) & 0xff
  }

  /** All flags: 16 bits and NFCT. */
  flags(slot: number): number {
    const nfct = (this.word(slot, ENTRY_SYNCED) >>> 24) & EXTRA_NFCT ? FLAG_NFCT : 0
    return (this.word(slot, ENTRY_FLAGS_STATE) >>> 16) | nfct
  }

  /** The state's number, 0…65535. */
  state(slot: number): number {
    return this.word(slot, ENTRY_FLAGS_STATE) & 0xffff
  }

  /** Changes the state. */
  setState(slot: number, state: number): void {
    this.setWord(slot, ENTRY_FLAGS_STATE, (this.word(slot, ENTRY_FLAGS_STATE) & 0xffff0000) | state)
  }

  /** The full timeout in milliseconds. */
  timeoutMs(slot: number): Milliseconds {
    return (this.word(slot, ENTRY_TIMEOUT) >>> 0) * 1000
  }

  /** The syncid of the message it was last heard in; 0 for one made here. */
  setSyncid(slot: number, syncid: number): void {
    this.setWord(slot, ENTRY_REST, (this.word(slot, ENTRY_REST) & 0xffffff00) | syncid)
  }

  /** Packets from the client, 32 bits. */
  packets(slot: number): number {
    return this.word(slot, ENTRY_PACKETS) >>> 0
  }

  /** Changes the packet counter. */
  setPackets(slot: number, packets: number): void {
    this.setWord(slot, ENTRY_PACKETS, packets | 0)
  }

  /** The state when it was last announced. */
  lastSyncedState(slot: number): number {
    return this.word(slot, ENTRY_SYNCED) & 0xffff
  }

  /** `now + timeout` of the last announcement; the creation time before. */
  endTimeMs(slot: number): TimestampMs {
    const pool = this.pool(slot)
    return endTimeOf(pool.chunk(slot >>> 1), pool.base(slot >>> 1))
  }

  /** Retries counted since. */
  retriesUsed(slot: number): number {
    return (this.word(slot, ENTRY_SYNCED) >>> 16) & 0xff
  }

  /** Reads what a decision to announce reads, in one go: field by field it would cost twice as much. */
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

  /** Keeps what a decision to announce leaves behind. */
  setSynced(slot: number, state: number, endTime: TimestampMs, retriesUsed: number): void {
    const pool = this.pool(slot)
    const chunk = pool.chunk(slot >>> 1)
    const base = pool.base(slot >>> 1)
    chunk[base + ENTRY_SYNCED] = (chunk[base + ENTRY_SYNCED]! & 0xff000000) | (retriesUsed << 16) | (state & 0xffff)
    setEndTime(chunk, base, endTime)
  }

  /** The pool of a slot's family. */
  protected pool(slot: number): EntryPool {
    return (slot & 1) === 1 ? this.ipv6 : this.ipv4
  }

  /** One word of an entry. */
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
