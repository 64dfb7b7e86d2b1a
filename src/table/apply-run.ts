/**
 * The steady state of a backup: rows of connections that are known and go to the same real server, refreshed without a call
 * for each. Any other row is left to the caller. (At 40,000 connections this halves the cost of a message.)
 *
 * The loops compute positions of IPv4 entries themselves. A table is filled before it is refreshed; V8 decides then what to
 * inline, and would call a function for each row from then on.
 *
 * @module
 */
import type { TimestampMs } from '../units.js'
import { FLAG } from '../wire/constants.js'
import { ROW, ROW_WORDS, type Rows } from '../wire/rows.js'
import { CHUNK_BITS, ENTRY, EXTRA, type EntryPool } from './entry.js'
import { tabulate, type KeyHash } from './hash.js'
import { hasEngineData, hashRow, matches } from './key.js'
import type { SlotIndex } from './slot-index.js'
import { deadlineOf, type TimerWheel } from './timer-wheel.js'

// Aliases: V8 folds a module's own constants and reads another module's anew at each use.
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
const STRIDE = ROW_WORDS

/** Bits of an entry that is not plain: engine data, an open client port. */
const ENGINE_BIT = EXTRA_ENGINE << 24
const OPEN_PORT = FLAG_NO_CPORT << 16

/** What a run writes into each connection besides what its row says. Made once and changed between messages. */
export interface RunUpdate {
  /** Flags that are taken from the row; the others stay. */
  flagMask: number
  /** Packet counter. */
  packets: number
  /** Syncid of the message. */
  syncid: number
}

/** Refreshes runs of rows. Works on the parts of one table. */
export class ApplyRun {
  readonly #hash: KeyHash
  readonly #index: SlotIndex
  readonly #ipv4: EntryPool
  readonly #ipv6: EntryPool
  readonly #wheel: TimerWheel

  /** Works on the parts of one table. */
  constructor(hash: KeyHash, index: SlotIndex, ipv4: EntryPool, ipv6: EntryPool, wheel: TimerWheel) {
    this.#hash = hash
    this.#index = index
    this.#ipv4 = ipv4
    this.#ipv6 = ipv6
    this.#wheel = wheel
  }

  /**
   * Hashes all rows, then reads all their cells, then all their entries, in loops so short that the processor has many
   * cache misses under way at once. Hash and cell are stored in the rows' scratch words.
   *
   * @returns A number without meaning, which keeps the reads from being optimised away.
   */
  prepare(rows: Rows): number {
    const { words, count } = rows
    const { cells, mask, slotMask } = this.#index
    const { tables } = this.#hash
    for (let i = 0; i < count; i++) {
      const at = (i * STRIDE) & 0xffff
      const isPlain = words[at + ROW_FAMILY] === 4 && words[at + ROW_PRESENT] === 0
      const clientPort = words[at + ROW_CLIENT_PORT]!
      words[at + ROW_SCRATCH] = isPlain
        ? tabulate(
            tables,
            words[at + ROW_CLIENT]!,
            (clientPort << 16) | words[at + ROW_VIRTUAL_PORT]!,
            words[at + ROW_VIRTUAL]!,
            words[at + ROW_PROTOCOL]!
          )
        : hashRow(this.#hash, rows, i, clientPort, hasEngineData(rows, i))
    }
    for (let i = 0; i < count; i++) {
      const at = (i * STRIDE) & 0xffff
      words[at + ROW_SCRATCH + 1] = cells[words[at + ROW_SCRATCH]! & mask]!
    }
    const { chunks, words: ipv4Words } = this.#ipv4
    const ipv6 = this.#ipv6
    let seen = 0
    for (let i = 0; i < count; i++) {
      // An empty cell is no exception: V8 would compile the rest only once the table is filled, and start again.
      const slot = words[((i * STRIDE) & 0xffff) + ROW_SCRATCH + 1]! & slotMask
      const isIpv4 = (slot & 1) === 0
      const chunk = isIpv4 ? chunks[slot >>> SLOT_BITS]! : ipv6.chunk(slot >>> 1)
      const base = isIpv4 ? ((slot >>> 1) & CHUNK_MASK) * IPV4_WORDS : ipv6.base(slot >>> 1)
      // An entry may lie across two cache lines.
      seen ^= chunk[base]! ^ chunk[base + (isIpv4 ? ipv4Words : ipv6.words) - 1]!
    }
    return seen
  }

  /**
   * Refreshes prepared rows from `first` on, up to the first that needs a closer look.
   *
   * @returns The number of that row; `rows.count` if there is none.
   */
  run(rows: Rows, first: number, update: RunUpdate, now: TimestampMs): number {
    const { words, count } = rows
    const { flagMask, packets, syncid } = update
    const { cells, mask: cellMask, slotMask } = this.#index
    const { chunks } = this.#ipv4
    for (let i = first; i < count; i++) {
      const at = (i * ROW_WORDS) & 0xffff
      const flags = words[at + ROW_FLAGS]!
      const timeout = words[at + ROW_TIMEOUT]! >>> 0
      const strange = words[at + ROW_VERDICT]! | words[at + ROW_PRESENT]! | (flags & FLAG_TEMPLATE)
      if (strange !== 0 || timeout === 0 || words[at + ROW_CLIENT_PORT] === 0) return i
      if (words[at + ROW_FAMILY] !== 4) {
        if (!this.#applyIpv6(words, at, update, now)) return i
        continue
      }
      // Nearly always the home cell names the entry.
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
      const kept = (chunk[base + ENTRY_FLAGS_STATE]! >>> 16) & ~flagMask
      const state = words[at + ROW_STATE]!
      chunk[base + ENTRY_FLAGS_STATE] = ((kept | (flags & flagMask)) << 16) | state
      chunk[base + ENTRY_REST] = (chunk[base + ENTRY_REST]! & 0xffffff00) | syncid
      chunk[base + ENTRY_PACKETS] = packets
      chunk[base + ENTRY_SYNCED] = (chunk[base + ENTRY_SYNCED]! & 0xffff0000) | state
      chunk[base + ENTRY_TIMEOUT] = timeout
      const deadline = now + timeout * 1000
      // The wheel needs to know only of a deadline that becomes earlier.
      if (deadline < before) this.#wheel.restart(slot, chunk, base, deadline)
      else {
        const newHigh = Math.floor(deadline * (1 / WORD))
        chunk[base + ENTRY_HIGH] = (newHigh << 16) | (high & 0xffff)
        chunk[base + ENTRY_DEADLINE] = (deadline - newHigh * WORD) | 0
      }
    }
    return count
  }

  /** The same for an IPv6 row; returns false, with nothing changed, where the row needs a closer look. */
  #applyIpv6(words: Int32Array, at: number, { flagMask, packets, syncid }: RunUpdate, now: TimestampMs): boolean {
    const pool = this.#ipv6
    const clientPort = words[at + ROW_CLIENT_PORT]!
    const hash = words[at + ROW_SCRATCH]!
    for (let step = 0, slot = this.#index.probe(hash, 0); slot !== 0; slot = this.#index.probe(hash, ++step)) {
      if (slot < 0 || (slot & 1) === 0) continue
      const chunk = pool.chunk(slot >>> 1)
      const base = pool.base(slot >>> 1)
      if (!matches(chunk, base, words, at, true, clientPort, false)) continue
      // An older entry of the same key may be alive where this one has expired.
      if (deadlineOf(chunk, base) <= now || !sameDestinationIpv6(chunk, base, words, at)) return false
      const kept = (chunk[base + ENTRY_FLAGS_STATE]! >>> 16) & ~flagMask
      const state = words[at + ROW_STATE]!
      chunk[base + ENTRY_FLAGS_STATE] = ((kept | (words[at + ROW_FLAGS]! & flagMask)) << 16) | state
      chunk[base + ENTRY_REST] = (chunk[base + ENTRY_REST]! & 0xffffff00) | syncid
      chunk[base + ENTRY_PACKETS] = packets
      chunk[base + ENTRY_SYNCED] = (chunk[base + ENTRY_SYNCED]! & 0xffff0000) | state
      chunk[base + ENTRY_TIMEOUT] = words[at + ROW_TIMEOUT]!
      this.#wheel.restart(slot, chunk, base, now + (words[at + ROW_TIMEOUT]! >>> 0) * 1000)
      return true
    }
    return false
  }

  /** Returns the newest plain IPv4 entry with the row's key; 0 if there is none. */
  #find(words: Int32Array, at: number): number {
    const hash = words[at + ROW_SCRATCH]!
    let step = 0
    let slot = this.#index.probe(hash, step)
    while (slot !== 0 && !this.#isPlain(slot, words, at)) slot = this.#index.probe(hash, ++step)
    return slot
  }

  #isPlain(slot: number, words: Int32Array, at: number): boolean {
    if (slot < 2 || (slot & 1) !== 0) return false
    return isPlain(this.#ipv4.chunk(slot >>> 1), this.#ipv4.base(slot >>> 1), words, at)
  }
}

/** Returns whether an IPv4 entry has the row's key, a client port and no engine data. */
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

function sameDestinationIpv6(chunk: Int32Array, base: number, words: Int32Array, at: number): boolean {
  if (chunk[base + ENTRY_REST]! >>> 16 !== words[at + ROW_DESTINATION_PORT]) return false
  const from = base + ENTRY_ADDRESSES + 8
  for (let i = 0; i < 4; i++) if (chunk[from + i] !== words[at + ROW_DESTINATION + i]) return false
  return true
}
