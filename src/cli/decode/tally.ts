/**
 * Counting by value, by time and without repeats, bounded: what is counted comes from the network.
 *
 * @module
 */

/** Different values that are distinguished; the rest is counted together. */
const LIMIT = 1000

/** Counts each value. */
export class Tally {
  readonly #counts = new Map<string, number>()
  #others = 0

  /** Counts a value. */
  add(value: string, count = 1): void {
    const before = this.#counts.get(value)
    if (before === undefined && this.#counts.size >= LIMIT) this.#others += count
    else this.#counts.set(value, (before ?? 0) + count)
  }

  /** Values with their counts, most frequent first; those of one count in the order in which they came. */
  sorted(): (readonly [value: string, count: number])[] {
    const sorted: (readonly [string, number])[] = [...this.#counts].sort(([, one], [, other]) => other - one)
    return this.#others === 0 ? sorted : [...sorted, ['others', this.#others]]
  }
}

/** Most different values that a {@link DistinctCount} tells apart. */
const MOST_DISTINCT = 1_000_000

/** Counts different values by a hash of 52 bits, up to a million: 16 MiB at most. */
export class DistinctCount {
  #slots = new Float64Array(1024)
  /** How many different values came. */
  count = 0

  /** Whether there were more than are distinguished. */
  get isFull(): boolean {
    return this.count >= MOST_DISTINCT
  }

  /** Counts a value, given as two hashes of 32 bits. */
  add(one: number, other: number): void {
    if (this.isFull) return
    // Never 0, which marks a free slot.
    const value = (one >>> 0) * 1_048_576 + (other >>> 12) + 1
    if (!insert(this.#slots, value, one)) return
    this.count++
    if (this.count * 2 > this.#slots.length) {
      const slots = new Float64Array(this.#slots.length * 2)
      for (const value of this.#slots) if (value !== 0) insert(slots, value, Math.floor((value - 1) / 1_048_576))
      this.#slots = slots
    }
  }
}

function insert(slots: Float64Array, value: number, hash: number): boolean {
  const mask = slots.length - 1
  let slot = hash & mask
  while (slots[slot] !== 0) {
    if (slots[slot] === value) return false
    slot = (slot + 1) & mask
  }
  slots[slot] = value
  return true
}

/** Buckets of a {@link TimeSeries}. */
const BUCKETS = 240

/** Counts over time in at most 240 buckets: their width doubles as the time grows. */
export class TimeSeries {
  /** Second of the first bucket; undefined before anything came. */
  first: number | undefined
  /** Seconds in a bucket. */
  width = 1
  readonly #counts = new Float64Array(BUCKETS)
  #last = 0

  /** Counts at a time, in whole seconds. A time before the first counts as the first. */
  add(second: number, count: number): void {
    this.first ??= second
    let bucket = Math.max(0, Math.floor((second - this.first) / this.width))
    while (bucket >= BUCKETS) {
      for (let i = 0; i < BUCKETS; i++)
        this.#counts[i] = i < BUCKETS / 2 ? this.#counts[2 * i]! + this.#counts[2 * i + 1]! : 0
      this.width *= 2
      this.#last >>= 1
      bucket = Math.floor((second - this.first) / this.width)
    }
    this.#counts[bucket]! += count
    this.#last = Math.max(this.#last, bucket)
  }

  /** The counts up to the last bucket that was used. */
  get counts(): readonly number[] {
    return this.first === undefined ? [] : [...this.#counts.subarray(0, this.#last + 1)]
  }
}
