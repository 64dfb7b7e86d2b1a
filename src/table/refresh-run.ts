/**
 * The backup's steady state, in one go: plain IPv4 connections that are known already and go where they went. Whatever is
 * otherwise about a row is left to the engine, one by one. (At 40,000 connections this halves the cost of a message.)
 *
 * @module
 */
import type { TimestampMs } from '../units.js'
import { FLAG } from '../wire/constants.js'
import { ROW, ROW_WORDS, type Rows } from '../wire/rows.js'
import { ENTRY, EXTRA, WORD, type EntryPool } from './entry.js'
import type { SlotIndex } from './slot-index.js'
import { deadlineOf, type TimerWheel } from './timer-wheel.js'

/** Extra data and an open client's port: an entry that has either is not plain. */
const ENGINE_BIT = EXTRA.ENGINE << 24
const OPEN_PORT = FLAG.NO_CPORT << 16

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
    for (let i = first; i < count; i++) {
      const at = i * ROW_WORDS
      const flags = words[at + ROW.FLAGS]!
      const strange = words[at + ROW.VERDICT]! | words[at + ROW.PRESENT]! | (flags & FLAG.TEMPLATE)
      if (strange !== 0 || words[at + ROW.FAMILY] !== 4 || words[at + ROW.TIMEOUT] === 0) return i
      const slot = this.#find(words, at)
      if (slot === 0) return i
      const chunk = this.#pool.chunk(slot >>> 1)
      const base = this.#pool.base(slot >>> 1)
      const before = deadlineOf(chunk, base)
      if (before <= now || !sameDestination(chunk, base, words, at)) return i
      const kept = (chunk[base + ENTRY.FLAGS_STATE]! >>> 16) & ~mask
      const state = words[at + ROW.STATE]!
      chunk[base + ENTRY.FLAGS_STATE] = ((kept | (flags & mask)) << 16) | state
      chunk[base + ENTRY.REST] = (chunk[base + ENTRY.REST]! & 0xffffff00) | syncid
      chunk[base + ENTRY.PACKETS] = packets
      chunk[base + ENTRY.SYNCED] = (chunk[base + ENTRY.SYNCED]! & 0xffff0000) | state
      chunk[base + ENTRY.TIMEOUT] = words[at + ROW.TIMEOUT]!
      this.#restart(slot, chunk, base, before, now + (words[at + ROW.TIMEOUT]! >>> 0) * 1000)
    }
    return count
  }

  /** The newest entry of the row's key that has a client's port, as the row has; 0 where there is none. */
  #find(words: Int32Array, at: number): number {
    const hash = words[at + ROW.SCRATCH]!
    if (words[at + ROW.CLIENT_PORT] === 0) return 0
    let step = 0
    let slot = this.#index.probe(hash, step)
    while (slot !== 0 && !this.#isPlain(slot, words, at)) slot = this.#index.probe(hash, ++step)
    return slot
  }

  #isPlain(slot: number, words: Int32Array, at: number): boolean {
    if (slot < 0 || (slot & 1) !== 0) return false
    return isPlain(this.#pool.chunk(slot >>> 1), this.#pool.base(slot >>> 1), words, at)
  }

  /** Only a deadline that comes nearer concerns the wheel. */
  #restart(slot: number, chunk: Int32Array, base: number, before: TimestampMs, deadline: TimestampMs): void {
    if (deadline < before) {
      this.#wheel.restart(slot, chunk, base, deadline)
      return
    }
    const high = Math.floor(deadline * (1 / WORD))
    chunk[base + ENTRY.HIGH] = (high << 16) | (chunk[base + ENTRY.HIGH]! & 0xffff)
    chunk[base + ENTRY.DEADLINE] = (deadline - high * WORD) | 0
  }
}

/** Whether an entry has the row's key, a client's port and no persistence engine. */
function isPlain(chunk: Int32Array, base: number, words: Int32Array, at: number): boolean {
  const odd = (chunk[base + ENTRY.FLAGS_STATE]! & OPEN_PORT) | (chunk[base + ENTRY.SYNCED]! & ENGINE_BIT)
  return (
    odd === 0 &&
    chunk[base + ENTRY.PORTS] === ((words[at + ROW.CLIENT_PORT]! << 16) | words[at + ROW.VIRTUAL_PORT]!) &&
    chunk[base + ENTRY.ADDRESSES] === words[at + ROW.CLIENT] &&
    chunk[base + ENTRY.ADDRESSES + 1] === words[at + ROW.VIRTUAL] &&
    ((chunk[base + ENTRY.REST]! >>> 8) & 0xff) === words[at + ROW.PROTOCOL]
  )
}

function sameDestination(chunk: Int32Array, base: number, words: Int32Array, at: number): boolean {
  return (
    chunk[base + ENTRY.ADDRESSES + 2] === words[at + ROW.DESTINATION] &&
    chunk[base + ENTRY.REST]! >>> 16 === words[at + ROW.DESTINATION_PORT]
  )
}
