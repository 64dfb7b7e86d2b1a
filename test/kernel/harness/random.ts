/** A stream of chance that a seed repeats. */
export interface Random {
  /** A whole number, 0 … `below` - 1. */
  readonly below: (below: number) => number
  /** True `percent` times out of a hundred. */
  readonly chance: (percent: number) => boolean
  /** One of the given. */
  readonly pick: <T>(choices: readonly T[]) => T
  /** 32 bits. */
  readonly word: () => number
}

/**
 * A small generator (mulberry32): fast, 32 bits of state, good enough to stir tests.
 *
 * @param seed - Any whole number; the same one gives the same stream.
 */
export function random(seed: number): Random {
  let state = seed >>> 0
  const word = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
  const below = (limit: number): number => Math.floor((word() / 0x100000000) * limit)
  return { word, below, chance: (percent) => below(100) < percent, pick: (choices) => choices[below(choices.length)]! }
}
