/**
 * Pieces of text that come again and again, as bytes.
 *
 * @module
 */

/** A power of 2. What the pieces are made of comes from the network: a slot is overwritten, and nothing grows. */
const SLOTS = 4096
const KEYS = 5

/** Makes a text of five 32-bit numbers. */
export type MakeText = (a: number, b: number, c: number, d: number, e: number) => string

/** A direct-mapped store: five numbers to the bytes of the text that they make. */
export class Fragments {
  readonly #make: MakeText
  readonly #keys = new Int32Array(SLOTS * KEYS)
  readonly #pieces = new Array<Uint8Array | undefined>(SLOTS).fill(undefined)

  /** @param make - Makes the text; the same numbers always make the same. */
  constructor(make: MakeText) {
    this.#make = make
  }

  /** The bytes for five 32-bit numbers. */
  get(a: number, b: number, c: number, d: number, e: number): Uint8Array {
    const slot = slotOf(a, b, c, d, e)
    const keys = this.#keys
    const at = slot * KEYS
    const piece = this.#pieces[slot]
    const isSame =
      keys[at] === a && keys[at + 1] === b && keys[at + 2] === c && keys[at + 3] === d && keys[at + 4] === e
    if (isSame && piece !== undefined) return piece
    keys.set([a, b, c, d, e], at)
    const made = Buffer.from(this.#make(a, b, c, d, e))
    this.#pieces[slot] = made
    return made
  }
}

function slotOf(a: number, b: number, c: number, d: number, e: number): number {
  let hash = Math.imul(a, 0x9e3779b1) ^ b
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b) ^ c
  hash = Math.imul(hash ^ (hash >>> 15), 0xc2b2ae35) ^ d
  hash = Math.imul(hash ^ (hash >>> 15), 0x9e3779b1) ^ e
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b)
  return (hash ^ (hash >>> 13)) & (SLOTS - 1)
}
