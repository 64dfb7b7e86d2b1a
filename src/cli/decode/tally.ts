/**
 * Counting by value, bounded: what is counted comes from the network.
 *
 * @module
 */

/** Different values that are told apart; the rest is counted together. */
const LIMIT = 1000

/** How often each value came. */
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
