/**
 * The timer wheel: when each connection expires. One-second buckets of doubly linked entries; a bucket is visited at the end
 * of its second. A refresh only rewrites the entry's deadline: when its bucket is visited, the entry moves to the bucket of
 * its deadline. Only a deadline that becomes earlier relinks the entry immediately.
 *
 * @module
 */
import { ENTRY, WORD, type EntryPool } from './entry.js'
import type { TimestampMs } from '../units.js'

// Aliases: V8 folds a module's own constants and reads another module's anew at each use.
const {
  DEADLINE: ENTRY_DEADLINE,
  END_TIME: ENTRY_END_TIME,
  HIGH: ENTRY_HIGH,
  NEXT: ENTRY_NEXT,
  PREVIOUS: ENTRY_PREVIOUS
} = ENTRY

const TWO_32 = WORD
/** A power of two: exact, and cheaper than a division. */
const PER_WORD = 1 / TWO_32
const BUCKETS = 4096
/** List of the entries that remain of a bucket that is being visited. */
const PENDING = BUCKETS

/** Deadlines of the entries of two pools. Slots are `number << 1 | ipv6`. */
export class TimerWheel {
  readonly #heads = new Int32Array(BUCKETS + 1)
  readonly #pools: readonly [EntryPool, EntryPool]
  /** The last second whose bucket was visited; NaN before the first. */
  #second = NaN

  /** @param pools - The entries: IPv4, IPv6. */
  constructor(pools: readonly [EntryPool, EntryPool]) {
    this.#pools = pools
  }

  /** Inserts an entry whose deadline is set. */
  insert(slot: number, now: TimestampMs): void {
    if (Number.isNaN(this.#second)) this.#second = Math.floor(now / 1000)
    const pool = this.#pools[slot & 1]!
    const number = slot >>> 1
    this.#link(slot, bucketOf(deadlineOf(pool.chunk(number), pool.base(number)), this.#second))
  }

  /** Removes an entry. */
  remove(slot: number): void {
    const pool = this.#pools[slot & 1]!
    const number = slot >>> 1
    const chunk = pool.chunk(number)
    const base = pool.base(number)
    const next = chunk[base + ENTRY_NEXT]!
    const previous = chunk[base + ENTRY_PREVIOUS]!
    if (previous < 0) this.#heads[-previous - 1] = next
    else this.#set(previous, ENTRY_NEXT, next)
    if (next !== 0) this.#set(next, ENTRY_PREVIOUS, previous)
  }

  /** Changes a deadline. */
  restart(slot: number, chunk: Int32Array, base: number, deadline: TimestampMs): void {
    const before = deadlineOf(chunk, base)
    setDeadline(chunk, base, deadline)
    // Nearly all become later.
    if (deadline >= before || Math.ceil(deadline / 1000) >= Math.ceil(before / 1000)) return
    this.remove(slot)
    this.#link(slot, bucketOf(deadline, this.#second))
  }

  /**
   * Visits due entries, at most `budget`.
   *
   * @param visit - Called with each slot whose deadline has passed; it removes or restarts it.
   * @returns Whether everything due was visited.
   */
  advance(now: TimestampMs, budget: number, visit: (slot: number) => void): boolean {
    const target = Math.floor(now / 1000)
    if (target - this.#second > BUCKETS) this.#second = target - BUCKETS
    let left = budget
    for (;;) {
      left = this.#drain(now, left, visit)
      if (this.#heads[PENDING] !== 0) return false
      if (!(this.#second < target)) return true
      this.#second++
      this.#take(this.#second & (BUCKETS - 1))
    }
  }

  /** Returns when to call {@link TimerWheel.advance}: now if a visit was incomplete, else at the next second. */
  nextDeadline(now: TimestampMs): TimestampMs {
    return this.#heads[PENDING] !== 0 ? now : (this.#second + 1) * 1000
  }

  /** Empties it. */
  clear(): void {
    this.#heads.fill(0)
  }

  #drain(now: TimestampMs, budget: number, visit: (slot: number) => void): number {
    let left = budget
    for (let slot = this.#heads[PENDING]!; slot !== 0 && left > 0; slot = this.#heads[PENDING]!) {
      left--
      const pool = this.#pools[slot & 1]!
      const number = slot >>> 1
      const deadline = deadlineOf(pool.chunk(number), pool.base(number))
      this.remove(slot)
      this.#link(slot, bucketOf(deadline, this.#second))
      if (deadline <= now) visit(slot)
    }
    return left
  }

  /** Moves a bucket to the pending list, which is empty. */
  #take(bucket: number): void {
    const head = this.#heads[bucket]!
    this.#heads[bucket] = 0
    this.#heads[PENDING] = head
    if (head !== 0) this.#set(head, ENTRY_PREVIOUS, -PENDING - 1)
  }

  #link(slot: number, bucket: number): void {
    const next = this.#heads[bucket]!
    this.#heads[bucket] = slot
    const pool = this.#pools[slot & 1]!
    const number = slot >>> 1
    const chunk = pool.chunk(number)
    const base = pool.base(number)
    chunk[base + ENTRY_NEXT] = next
    chunk[base + ENTRY_PREVIOUS] = -bucket - 1
    if (next !== 0) this.#set(next, ENTRY_PREVIOUS, slot)
  }

  #set(slot: number, word: number, value: number): void {
    const pool = this.#pools[slot & 1]!
    const number = slot >>> 1
    pool.chunk(number)[pool.base(number) + word] = value
  }
}

/** Returns the bucket of the first second that ends at or after the deadline, never one that was visited already. */
function bucketOf(deadline: TimestampMs, second: number): number {
  return Math.max(Math.ceil(deadline / 1000), second + 1) & (BUCKETS - 1)
}

/** Returns an entry's deadline. */
export function deadlineOf(chunk: Int32Array, base: number): TimestampMs {
  return (chunk[base + ENTRY_HIGH]! >>> 16) * TWO_32 + (chunk[base + ENTRY_DEADLINE]! >>> 0)
}

/** Writes an entry's deadline; the caller relinks the entry. */
export function setDeadline(chunk: Int32Array, base: number, deadline: TimestampMs): void {
  const high = Math.floor(deadline * PER_WORD)
  chunk[base + ENTRY_HIGH] = (high << 16) | (chunk[base + ENTRY_HIGH]! & 0xffff)
  chunk[base + ENTRY_DEADLINE] = (deadline - high * TWO_32) | 0
}

/** Returns an entry's end time: `now + timeout` of its last announcement. */
export function endTimeOf(chunk: Int32Array, base: number): TimestampMs {
  return (chunk[base + ENTRY_HIGH]! & 0xffff) * TWO_32 + (chunk[base + ENTRY_END_TIME]! >>> 0)
}

/** Writes an entry's end time. */
export function setEndTime(chunk: Int32Array, base: number, endTime: TimestampMs): void {
  const high = Math.floor(endTime * PER_WORD)
  chunk[base + ENTRY_HIGH] = (chunk[base + ENTRY_HIGH]! & 0xffff0000) | (high & 0xffff)
  chunk[base + ENTRY_END_TIME] = (endTime - high * TWO_32) | 0
}
