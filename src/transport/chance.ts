/**
 * Chance that can be repeated: the same seed gives the same numbers on every machine.
 *
 * @module
 */

/** Gives the next number, 0 ≤ n < 1. */
export type Chance = () => number

/**
 * Makes a stream of numbers from a seed (32 bits of state, a multiply-xorshift step: for simulations, not for secrets).
 *
 * @param seed - Any number; its low 32 bits count.
 */
export function seededChance(seed: number): Chance {
  let state = seed >>> 0
  return () => {
    state = (state + 0x9e3779b9) >>> 0
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32
  }
}
