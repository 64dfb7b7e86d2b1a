/**
 * Datagrams under way in a memory network, earliest first: a binary heap.
 *
 * @module
 */

import type { TimestampMs } from '../units.js'

/** Something that is to happen at a time. */
export interface Delivery {
  /** When it is due. */
  readonly due: TimestampMs
  /** Breaks ties: what was put in first comes out first. */
  readonly order: number
}

/** Deliveries by time, then by order. Both operations take O(log n). */
export class DeliveryQueue<T extends Delivery> {
  readonly #heap: T[] = []

  /** The earliest, which stays; undefined if there is none. */
  peek(): T | undefined {
    return this.#heap[0]
  }

  /** Adds one. */
  push(delivery: T): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(delivery)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (before(heap[parent]!, delivery)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = delivery
  }

  /** Takes the earliest out; undefined if there is none. */
  pop(): T | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (last !== undefined && heap.length > 0) {
      const heap = this.#heap
      let at = 0
      for (;;) {
        let child = 2 * at + 1
        if (child >= heap.length) break
        if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child += 1
        if (before(last, heap[child]!)) break
        heap[at] = heap[child]!
        at = child
      }
      heap[at] = last
    }
    return first
  }
}

function before(one: Delivery, other: Delivery): boolean {
  return one.due === other.due ? one.order < other.order : one.due < other.due
}
