/**
 * The backup's steady state, in one go: plain IPv4 connections that are known already and go where they went. Whatever is
 * otherwise about a row is left to the engine, one by one. (At 40,000 connections this halves the cost of a message.)
 *
 * Places of entries are worked out in the loop itself: a table is filled before it is refreshed, and V8, which decides then
 * what to build in, would call the functions for it at each row from then on.
 *
 * @module
 */
import type { TimestampMs } from '../units.js'
import { FLAG } from '../wire/constants.js'
import { ROW, ROW_WORDS, type Rows } from '../wire/rows.js'
import { CHUNK_BITS, ENTRY, EXTRA, type EntryPool } from './entry.js'
import type { SlotIndex } from './slot-index.js'
import type { TimerWheel } from './timer-wheel.js'

// Names of this module's own: V8 folds these constants, and reads those of another module anew at each use.
const {
  ADDRESSES: ENTRY_ADDRESSES,
  DEADLINE: ENTRY_DEADLINE,
  FLAGS_STATE: ENTRY_FLAGS_STATE,
  HIGH: ENTRY_HIGH,
  PACKETS: ENTRY_PACKETS,
  PORTS: ENTRY_PORTS,
  REST: ENTRY_REST,
  SYNCED: ENTRY_SYNCED,
  TIMEOUT: ENTRY_TIMEOUT
} = ENTRY
const {
  CLIENT: ROW_CLIENT,
  CLIENT_PORT: ROW_CLIENT_PORT,
  DESTINATION: ROW_DESTINATION,
  DESTINATION_PORT: ROW_DESTINATION_PORT,
  FAMILY: ROW_FAMILY,
  FLAGS: ROW_FLAGS,
  PRESENT: ROW_PRESENT,
  PROTOCOL: ROW_PROTOCOL,
  SCRATCH: ROW_SCRATCH,
  STATE: ROW_STATE,
  TIMEOUT: ROW_TIMEOUT,
  VERDICT: ROW_VERDICT,
  VIRTUAL: ROW_VIRTUAL,
  VIRTUAL_PORT: ROW_VIRTUAL_PORT
} = ROW
const { ENGINE: EXTRA_ENGINE } = EXTRA
const { NO_CPORT: FLAG_NO_CPORT, TEMPLATE: FLAG_TEMPLATE } = FLAG

const WORD = 0x100000000
const SLOT_BITS = CHUNK_BITS + 1
const CHUNK_MASK = (1 << CHUNK_BITS) - 1
const IPV4_WORDS = ENTRY_ADDRESSES + 3

/** Extra data and an open client's port: an entry that has either is not plain. */
const ENGINE_BIT = EXTRA_ENGINE << 24
const OPEN_PORT = FLAG_NO_CPORT << 16

/** Refreshes runs of prepared rows. */
export class RefreshRun {
  readonly #index: SlotIndex
  readonly #pool: EntryPool
  readonly #wheel: TimerWheel

  /** Works on the parts of one table. */
  constructor(index: SlotIndex, ipv4: EntryPool, wheel: TimerWheel) {
    this.#index = index
    this.#pool = ipv4
    this.#wheel = wheel
  }

  /**
   * Refreshes rows from `first` on, up to the first that is not plain.
   *
   * @param mask - The flags that are taken from a row; the others stay.
   * @returns The number of the first row that was left alone; `rows.count` where there is none.
   */
  run(rows: Rows, first: number, mask: number, packets: number, syncid: number, now: TimestampMs): number {
    const { words, count } = rows
    const { cells, mask: cellMask, slotMask } = this.#index
    const { chunks } = this.#pool
    for (let i = first; i < count; i++) {
      const at = (i * ROW_WORDS) & 0xffff
      const flags = words[at + ROW_FLAGS]!
      const timeout = words[at + ROW_TIMEOUT]! >>> 0
      const strange = words[at + ROW_VERDICT]! | words[at + ROW_PRESENT]! | (flags & FLAG_TEMPLATE)
      if (strange !== 0 || words[at + ROW_FAMILY] !== 4) return i
      if (timeout === 0 || words[at + ROW_CLIENT_PORT] === 0) return i
      // Nearly always the entry is the one that its home cell names.
      const hash = words[at + ROW_SCRATCH]!
      const cell = cells[hash & cellMask]!
      let slot = ((cell ^ hash) & ~slotMask) === 0 ? cell & slotMask : 0
      let chunk = chunks[slot >>> SLOT_BITS]!
      let base = ((slot >>> 1) & CHUNK_MASK) * IPV4_WORDS
      if (slot < 2 || (slot & 1) !== 0 || !isPlain(chunk, base, words, at)) {
        slot = this.#find(words, at)
        if (slot === 0) return i
        chunk = chunks[slot >>> SLOT_BITS]!
        base = ((slot >>> 1) & CHUNK_MASK) * IPV4_WORDS
      }
      const high = chunk[base + ENTRY_HIGH]!
      const before = (high >>> 16) * WORD + (chunk[base + ENTRY_DEADLINE]! >>> 0)
      if (before <= now || !sameDestination(chunk, base, words, at)) return i
      const kept = (chunk[base + ENTRY_FLAGS_STATE]! >>> 16) & ~mask
      const state = words[at + ROW_STATE]!
      chunk[base + ENTRY_FLAGS_STATE] = ((kept | (flags & mask)) << 16) | state
      chunk[base + ENTRY_REST] = (chunk[base + ENTRY_REST]! & 0xffffff00) | syncid
      chunk[base + ENTRY_PACKETS] = packets
      chunk[base + ENTRY_SYNCED] = (chunk[base + ENTRY_SYNCED]! & 0xffff0000) | state
      chunk[base + ENTRY_TIMEOUT] = timeout
      const deadline = now + timeout * 1000
      // Only a deadline that comes nearer concerns the wheel.
      if (deadline < before) this.#wheel.restart(slot, chunk, base, deadline)
      else {
        const newHigh = Math.floor(deadline * (1 / WORD))
        chunk[base + ENTRY_HIGH] = (newHigh << 16) | (high & 0xffff)
        chunk[base + ENTRY_DEADLINE] = (deadline - newHigh * WORD) | 0
      }
    }
    return count
  }

  /** The newest entry of the row's key that has a client's port, as the row has; 0 where there is none. */
  #find(words: Int32Array, at: number): number {
    const hash = words[at + ROW_SCRATCH]!
    let step = 0
    let slot = this.#index.probe(hash, step)
    while (slot !== 0 && !this.#isPlain(slot, words, at)) slot = this.#index.probe(hash, ++step)
    return slot
  }

  #isPlain(slot: number, words: Int32Array, at: number): boolean {
    if (slot < 2 || (slot & 1) !== 0) return false
    return isPlain(this.#pool.chunk(slot >>> 1), this.#pool.base(slot >>> 1), words, at)
  }
}

/** Whether an entry has the row's key, a client's port and no persistence engine. */
function isPlain(chunk: Int32Array, base: number, words: Int32Array, at: number): boolean {
  const odd = (chunk[base + ENTRY_FLAGS_STATE]! & OPEN_PORT) | (chunk[base + ENTRY_SYNCED]! & ENGINE_BIT)
  return (
    odd === 0 &&
    chunk[base + ENTRY_PORTS] === ((words[at + ROW_CLIENT_PORT]! << 16) | words[at + ROW_VIRTUAL_PORT]!) &&
    chunk[base + ENTRY_ADDRESSES] === words[at + ROW_CLIENT] &&
    chunk[base + ENTRY_ADDRESSES + 1] === words[at + ROW_VIRTUAL] &&
    ((chunk[base + ENTRY_REST]! >>> 8) & 0xff) === words[at + ROW_PROTOCOL]
  )
}

function sameDestination(chunk: Int32Array, base: number, words: Int32Array, at: number): boolean {
  return (
    chunk[base + ENTRY_ADDRESSES + 2] === words[at + ROW_DESTINATION] &&
    chunk[base + ENTRY_REST]! >>> 16 === words[at + ROW_DESTINATION_PORT]
  )
}
