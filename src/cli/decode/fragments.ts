/**
 * Pieces of text that come again and again, as bytes.
 *
 * @module
 */

/** A power of 2. What the pieces are made of comes from the network: a slot is overwritten, and nothing grows. */
const SLOTS = 1024

/** A direct-mapped store: three numbers to the bytes of the text that they make. */
export class Fragments {
  readonly #make: (a: number, b: number, c: number) => string
  readonly #keys = new Int32Array(SLOTS * 3)
  readonly #pieces = new Array<Uint8Array | undefined>(SLOTS).fill(undefined)

  /** @param make - Makes the text of three 32-bit numbers. */
  constructor(make: (a: number, b: number, c: number) => string) {
    this.#make = make
  }

  /** The bytes for three 32-bit numbers. */
  get(a: number, b: number, c: number): Uint8Array {
    const hash = Math.imul(a ^ Math.imul(b ^ Math.imul(c, 0x85ebca6b), 0xc2b2ae35), 0x9e3779b1)
    const slot = (hash ^ (hash >>> 15)) & (SLOTS - 1)
    const keys = this.#keys
    const at = slot * 3
    const piece = this.#pieces[slot]
    if (piece !== undefined && keys[at] === a && keys[at + 1] === b && keys[at + 2] === c) return piece
    keys[at] = a
    keys[at + 1] = b
    keys[at + 2] = c
    const made = Buffer.from(this.#make(a, b, c))
    this.#pieces[slot] = made
    return made
  }
}
