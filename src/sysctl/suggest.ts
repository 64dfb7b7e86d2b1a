/**
 * The name that somebody who mistyped one probably meant.
 *
 * @module
 */

/**
 * Finds the nearest name.
 *
 * @param given - What was typed.
 * @param names - What there is.
 * @returns The nearest, if at most two letters and a third of its length are wrong.
 */
export function suggest(given: string, names: readonly string[]): string | undefined {
  const near = names
    .map((name) => ({ name, distance: distance(given.slice(0, 64), name) }))
    .sort((a, b) => a.distance - b.distance)[0]
  return near !== undefined && near.distance <= Math.min(2, near.name.length / 3) ? near.name : undefined
}

/** Letters to insert, delete or change (Levenshtein). */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, i) => i)
  for (let i = 0; i < from.length; i++) {
    const next = [i + 1]
    for (let j = 0; j < to.length; j++) {
      next.push(Math.min(row[j + 1]! + 1, next[j]! + 1, row[j]! + (from[i] === to[j] ? 0 : 1)))
    }
    row = next
  }
  return row[to.length]!
}
