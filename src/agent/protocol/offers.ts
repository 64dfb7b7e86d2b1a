/**
 * The offers that answer one request.
 *
 * @module
 */

import type { From } from '../../engine/events.js'
import type { Offer } from './transfer.js'

/** Offers that are kept, and addresses whose failures are counted. */
const MAX_OFFERS = 16
const MAX_FAILURES = 64

/** Keeps offers spread over addresses, and chooses the best one. */
export class Offers {
  readonly #offers = new Map<string, Offer>()
  readonly #failures = new Map<string, number>()

  /** Number of offers. */
  get size(): number {
    return this.#offers.size
  }

  /** Adds an offer. If there is no room, it replaces one of the address that has most, provided its own has fewer. */
  add(offer: Offer): void {
    if (this.#offers.size >= MAX_OFFERS && !this.#offers.has(offer.id)) {
      const counts = new Map<string, number>()
      for (const { source } of this.#offers.values()) counts.set(source.address, (counts.get(source.address) ?? 0) + 1)
      const [address, most] = [...counts].reduce((one, other) => (other[1] > one[1] ? other : one))
      if ((counts.get(offer.source.address) ?? 0) + 1 >= most) return
      this.#offers.delete([...this.#offers.values()].find(({ source }) => source.address === address)!.id)
    }
    this.#offers.set(offer.id, offer)
  }

  /** Removes all offers; failures remain. */
  clear(): void {
    this.#offers.clear()
  }

  /** Records that an answer from this address failed. */
  addFailure({ address }: From): void {
    const count = this.#failures.get(address) ?? 0
    this.#failures.delete(address)
    if (this.#failures.size >= MAX_FAILURES) this.#failures.delete(this.#failures.keys().next().value!)
    this.#failures.set(address, count + 1)
  }

  /** Returns the offer of the address with the fewest failures: a ready one, with the most connections, of the lowest name. */
  best(): Offer | undefined {
    const failures = ({ source }: Offer): number => this.#failures.get(source.address) ?? 0
    return [...this.#offers.values()].sort(
      (one, other) =>
        failures(one) - failures(other) ||
        Number(other.ready) - Number(one.ready) ||
        other.connections - one.connections ||
        (one.id < other.id ? -1 : 1)
    )[0]
  }
}
