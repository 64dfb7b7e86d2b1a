/**
 * How many of something, for a person.
 *
 * @module
 */

/**
 * A number and its noun: `1 message`, `2 messages`.
 *
 * @param number - Zero or more.
 * @param noun - In the singular; an "s" makes it the plural.
 */
export function counted(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}
