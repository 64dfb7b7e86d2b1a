/**
 * The one validator of arguments and options. Every refusal has the same form, `<what>: expected <accepted>, got <value>`,
 * and names the argument or option in the error's `field`.
 *
 * Bytes from the network are never validated here: a fault in them is a value, a `Problem`.
 *
 * @module
 */

import { IpvsSyncError, type ErrorCode } from './errors.js'

/** Object whose fields are not known yet. */
export type Fields = Readonly<Record<string, unknown>>

/** Longest text that {@link describeValue} returns, in characters. */
const MAX_DESCRIPTION = 200

/**
 * Returns a value for an error message, with its type where that is not obvious: `5`, `the string "5"`, `undefined`,
 * `[3,50]`, `an ArrayBuffer`.
 */
export function describeValue(value: unknown): string {
  if (typeof value === 'string') return `the string ${quote(value)}`
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value === 'function' || typeof value === 'symbol') return `a ${typeof value}`
  if (typeof value !== 'object' || value === null) return String(value)
  // The name of the class; `Object` where there is no prototype.
  const kind = Object.prototype.toString.call(value).slice(8, -1)
  const name = kind !== 'Object' || Object.getPrototypeOf(value) === null ? kind : value.constructor.name
  if (name !== 'Object' && name !== 'Array') return `${/^(?:[AEIO]|U(?!int))/.test(name) ? 'an' : 'a'} ${name}`
  try {
    return shorten(JSON.stringify(value))
  } catch {
    return 'an object'
  }
}

/**
 * Makes the error for an argument or option that is not accepted.
 *
 * @param field - Name that the caller uses: `syncid`, `connections[3].state`.
 * @param expected - What is accepted.
 * @param value - Value that was given.
 * @param code - Code of the error.
 */
export function misuse(field: string, expected: string, value: unknown, code: ErrorCode = 'ERR_USAGE'): IpvsSyncError {
  return new IpvsSyncError(code, `${field}: expected ${expected}, got ${describeValue(value)}`, { field })
}

/**
 * Makes the error for a text that is not accepted where text is: the value is quoted without its type.
 *
 * @param hint - Nearest accepted text, if there is one.
 */
export function wrongText(
  field: string,
  expected: string,
  text: string,
  code: ErrorCode,
  hint?: string
): IpvsSyncError {
  const suggestion = hint === undefined ? '' : `; did you mean ${hint}?`
  return new IpvsSyncError(code, `${field}: expected ${expected}, got ${quote(text)}${suggestion}`, { field })
}

/** Refuses a value that is not an object, or is an array; returns it with fields of unknown types. */
export function demandObject(field: string, value: unknown, code: ErrorCode = 'ERR_USAGE'): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw misuse(field, 'an object', value, code)
  return value as Fields
}

/** Refuses a value that is not an array. */
export function demandArray(
  field: string,
  value: unknown,
  expected = 'an array',
  code: ErrorCode = 'ERR_CONFIG'
): asserts value is readonly unknown[] {
  if (!Array.isArray(value)) throw misuse(field, expected, value, code)
}

/** Refuses a value that is not a string. */
export function demandText(field: string, value: unknown, code: ErrorCode = 'ERR_CONFIG'): asserts value is string {
  if (typeof value !== 'string') throw misuse(field, 'a string', value, code)
}

/** Refuses a value that is not a boolean. */
export function demandBoolean(field: string, value: unknown, code: ErrorCode = 'ERR_CONFIG'): asserts value is boolean {
  if (typeof value !== 'boolean') throw misuse(field, 'true or false', value, code)
}

/** Refuses a value that is not a function. */
export function demandFunction(field: string, value: unknown, code: ErrorCode = 'ERR_CONFIG'): void {
  if (typeof value !== 'function') throw misuse(field, 'a function', value, code)
}

/** Refuses a value that is not an integer from `least` to `most`. */
export function demandInteger(
  field: string,
  value: unknown,
  least: number,
  most: number,
  code: ErrorCode = 'ERR_CONFIG'
): asserts value is number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most)
    throw misuse(field, `an integer ${least}…${most}`, value, code)
}

/** Refuses a value that is not one of a list of strings, and suggests the nearest. */
export function demandOneOf<Name extends string>(
  field: string,
  value: unknown,
  names: readonly Name[],
  code: ErrorCode = 'ERR_CONFIG'
): asserts value is Name {
  if (names.some((name) => name === value)) return
  const expected = joinAlternatives(names.map(quote))
  if (typeof value !== 'string') throw misuse(field, expected, value, code)
  const hint = suggest(value, names)
  throw wrongText(field, expected, value, code, hint === undefined ? undefined : quote(hint))
}

/** Names of the options of a type, each once: the compiler reports a name that is missing or wrong. */
export type OptionNames<Options> = { readonly [Name in keyof Options]-?: true }

/** Returns the options that a table names, of an object that has others besides. */
export function pickOptions<Options extends object>(options: Options, known: OptionNames<Options>): Options {
  return Object.fromEntries(Object.entries(options).filter(([name]) => Object.hasOwn(known, name))) as Options
}

/**
 * Refuses options that are not an object, and names that are not options; an unknown name would otherwise be ignored.
 *
 * @param options - Options as the caller gave them.
 * @param known - Every name that is accepted.
 * @param code - Code of the error for an unknown name; options that are not an object are always `ERR_USAGE`.
 * @throws IpvsSyncError whose `field` is the unknown name: `unknown option mcastinterface; did you mean mcastInterface?`
 * @example
 * ```ts
 * const NAMES: OptionNames<SenderOptions> = { mcastInterface: true, syncid: true }
 * demandKnownOptions(options, NAMES)
 * ```
 */
export function demandKnownOptions<Options extends object>(
  options: Options,
  known: OptionNames<Options>,
  code: ErrorCode = 'ERR_CONFIG'
): void {
  demandObject('options', options)
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(known, name)) continue
    const hint = suggest(name, Object.keys(known))
    const suggestion = hint === undefined ? '' : `; did you mean ${hint}?`
    // A name that could move a terminal's cursor is quoted.
    throw new IpvsSyncError(code, `unknown option ${/^[\w$.-]{1,64}$/.test(name) ? name : quote(name)}${suggestion}`, {
      field: name
    })
  }
}

/**
 * Returns the name that was probably meant: the same letters in another case, else at most two wrong letters and a third of
 * the name, else the only name that contains what was given.
 *
 * @param given - What was typed.
 * @param names - What is accepted.
 */
export function suggest(given: string, names: readonly string[]): string | undefined {
  const lower = given.slice(0, 64).toLowerCase()
  let nearest: string | undefined
  let least = Infinity
  for (const name of names) {
    const distance = editDistance(lower, name.toLowerCase())
    if (distance < least && distance <= Math.min(2, name.length / 3)) {
      nearest = name
      least = distance
    }
  }
  if (nearest !== undefined || lower.length < 4) return nearest
  const containing = names.filter((name) => name.toLowerCase().includes(lower))
  return containing.length === 1 ? containing[0] : undefined
}

/** Returns how many characters must be inserted, removed or changed (Levenshtein). */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, i) => i)
  for (let i = 0; i < from.length; i++) {
    const next = [i + 1]
    for (let j = 0; j < to.length; j++)
      next.push(Math.min(row[j + 1]! + 1, next[j]! + 1, row[j]! + (from[i] === to[j] ? 0 : 1)))
    row = next
  }
  return row[to.length]!
}

/** Joins alternatives for a person: `A`, `A or B`, `A, B or C`. */
export function joinAlternatives(items: readonly string[]): string {
  if (items.length < 2) return items.join('')
  return `${items.slice(0, -1).join(', ')} or ${items.at(-1)!}`
}

function quote(text: string): string {
  return shorten(JSON.stringify(text))
}

function shorten(text: string): string {
  return text.length <= MAX_DESCRIPTION ? text : `${text.slice(0, MAX_DESCRIPTION)}…`
}
