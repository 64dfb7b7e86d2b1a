/**
 * One owner for each key: a connection belongs to the worker that received it last, so that the workers of a backup hold it
 * once.
 *
 * A master can announce a connection on another channel than before, and so to another worker. The worker that adds it
 * claims its key, and a worker that received the same key earlier removes its own entry. A filter in shared memory names the
 * workers that may hold a key: nothing is sent for a key that is certainly in no other worker.
 *
 * @module
 */

import type { ConnectionTable } from '../../table/connection-table.js'
import type { SlotRecords } from '../../table/slot-records.js'
import { FLAG } from '../../wire/constants.js'
import { createRows, PRESENT, ROW, ROW_WORDS, type EngineBytes, type Rows } from '../../wire/rows.js'
import type { TimestampMs } from '../../units.js'

/** Keys that a worker claims. */
export interface KeyClaim {
  /** The worker that claims them, from 0. */
  readonly worker: number
  /** A row for each key. */
  readonly rows: Rows
  /** When each connection was received, on the clock that all workers share. */
  readonly receivedAt: readonly TimestampMs[]
}

/** Keys of one claim. */
const MAX_CLAIM = 1024
const MAX_BUCKETS = 1 << 24
/** A count of keys that stays at this value: its bit is never cleared. */
const FULL = 255

/**
 * Makes the filter that the workers share: a bit for each worker in each bucket of keys.
 *
 * @param workers - Number of workers.
 * @param connections - Number of connections in all of them; four buckets for each keep accidental matches few.
 */
export function createKeyFilter(workers: number, connections: number): Int32Array {
  let buckets = 1024
  while (buckets < 4 * connections && buckets < MAX_BUCKETS) buckets *= 2
  return new Int32Array(new SharedArrayBuffer(4 * buckets * wordsOf(workers)))
}

/** Claims the keys that a worker adds, and gives up those that another one claims. */
export class KeyClaims {
  readonly #table: ConnectionTable
  readonly #worker: number
  readonly #filter: Int32Array
  readonly #words: number
  readonly #mask: number
  /** Number of this worker's keys in each bucket, up to {@link FULL}. */
  readonly #counts: Uint8Array
  readonly #buckets: SlotRecords
  readonly #row = createRows(1)
  readonly #claimed: (() => void) | undefined
  #pending = new PendingClaim()
  #isAnnounced = false
  /** Whether keys were left out because a claim was full: the whole table is searched for them. */
  #isIncomplete = false
  #search: Iterator<readonly number[]> | undefined

  /**
   * @param table - The worker's own.
   * @param worker - Its number, from 0.
   * @param workers - Number of workers.
   * @param filter - Of {@link createKeyFilter}, the same for all.
   * @param claimed - Called when there is something to {@link KeyClaims.take}.
   */
  constructor(table: ConnectionTable, worker: number, workers: number, filter: Int32Array, claimed?: () => void) {
    this.#table = table
    this.#worker = worker
    this.#filter = filter
    this.#words = wordsOf(workers)
    this.#mask = filter.length / this.#words - 1
    this.#counts = new Uint8Array(this.#mask + 1)
    this.#buckets = table.createRecords(1)
    this.#claimed = claimed
    table.onAdd((slot) => {
      this.#table.readRow(slot, this.#row, 0)
      const { words } = this.#row
      const byEngine = (words[ROW.FLAGS]! & FLAG.TEMPLATE) !== 0 && (words[ROW.PRESENT]! & PRESENT.ENGINE) !== 0
      let hash = mix(words[ROW.PROTOCOL]!, (byEngine ? 0 : words[ROW.CLIENT_PORT]! << 16) | words[ROW.VIRTUAL_PORT]!)
      const length = words[ROW.FAMILY] === 6 ? 4 : 1
      for (let i = 0; i < length; i++) hash = mix(hash, words[ROW.CLIENT + i]!)
      hash = mix(hash, words[ROW.VIRTUAL]!)
      const bucket = (hash ^ (hash >>> 15)) & this.#mask
      this.#buckets.set(slot, 0, bucket)
      const { [bucket]: count = 0 } = this.#counts
      if (count < FULL) this.#counts[bucket] = count + 1
      if (count === 0) Atomics.or(this.#filter, bucket * this.#words + (this.#worker >>> 5), 1 << (this.#worker & 31))
      if (this.#isShared(bucket)) this.#claim(slot)
    })
    table.onRemove((slot) => {
      const bucket = this.#buckets.get(slot, 0)
      const { [bucket]: count = 0 } = this.#counts
      if (count === FULL) return
      this.#counts[bucket] = count - 1
      if (count === 1)
        Atomics.and(this.#filter, bucket * this.#words + (this.#worker >>> 5), ~(1 << (this.#worker & 31)))
    })
  }

  /** Returns the next claim, or undefined. One claim at a time is under way: call it again when all others have applied it. */
  take(): KeyClaim | undefined {
    this.#isAnnounced = false
    if (this.#pending.size === 0) this.#searchMore()
    if (this.#pending.size === 0) return undefined
    const claim = this.#pending.claim(this.#worker)
    this.#pending = new PendingClaim()
    return claim
  }

  /** Removes the connections that another worker received later, and claims those that were received later here. */
  apply({ worker, rows, receivedAt }: KeyClaim): void {
    const table = this.#table
    for (let i = 0; i < rows.count; i++) {
      const slot = table.findExact(rows, i)
      if (slot === 0) continue
      const own = receivedOf(table, slot)
      const theirs = receivedAt[i]!
      if (theirs > own || (theirs === own && worker > this.#worker)) table.remove(slot)
      else this.#claim(slot)
    }
  }

  #claim(slot: number): void {
    if (this.#pending.size === MAX_CLAIM) this.#isIncomplete = true
    else this.#pending.add(this.#table, slot)
    if (this.#isAnnounced) return
    this.#isAnnounced = true
    this.#claimed?.()
  }

  /** Searches for keys that were left out, until a claim is full. */
  #searchMore(): void {
    while (this.#isIncomplete || this.#search !== undefined) {
      if (this.#search === undefined) {
        this.#isIncomplete = false
        this.#search = this.#table.walk({ limit: MAX_CLAIM })
      }
      const { value: slots, done = false } = this.#search.next() as IteratorResult<readonly number[], undefined>
      if (done) this.#search = undefined
      for (const slot of slots ?? [])
        if (this.#isShared(this.#buckets.get(slot, 0))) this.#pending.add(this.#table, slot)
      if (this.#pending.size > 0) return
    }
  }

  /** Returns whether another worker may hold a key of the bucket. */
  #isShared(bucket: number): boolean {
    for (let word = 0; word < this.#words; word++) {
      const own = word === this.#worker >>> 5 ? 1 << (this.#worker & 31) : 0
      if ((Atomics.load(this.#filter, bucket * this.#words + word) & ~own) !== 0) return true
    }
    return false
  }
}

/** Keys to be claimed. */
class PendingClaim {
  readonly #words: number[] = []
  readonly #engines: (EngineBytes | undefined)[] = []
  readonly #receivedAt: TimestampMs[] = []
  readonly #row = createRows(1)

  get size(): number {
    return this.#receivedAt.length
  }

  add(table: ConnectionTable, slot: number): void {
    table.readRow(slot, this.#row, 0)
    const { words, engines } = this.#row
    for (const word of words) this.#words.push(word)
    // The table's own bytes: a claim is copied when it is sent, in the same turn or a later one, and they do not change.
    this.#engines.push((words[ROW.PRESENT]! & PRESENT.ENGINE) === 0 ? undefined : engines[0])
    this.#receivedAt.push(receivedOf(table, slot))
  }

  claim(worker: number): KeyClaim {
    const words = Int32Array.from(this.#words)
    return {
      worker,
      rows: { words, engines: this.#engines, count: words.length / ROW_WORDS },
      receivedAt: this.#receivedAt
    }
  }
}

/** Returns when a connection was last received: its timer was started with the full timeout then. */
function receivedOf(table: ConnectionTable, slot: number): TimestampMs {
  return table.deadlineMs(slot) - table.timeoutMs(slot)
}

function wordsOf(workers: number): number {
  return (workers + 31) >>> 5
}

function mix(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, 0x9e3779b1)
  return mixed ^ (mixed >>> 16)
}
