/**
 * Settings made, changed and verified. Every value that leaves here is frozen and would be taken by a kernel.
 *
 * @module
 */

import { demandObject, shown } from '../demand.js'
import { IpvsSyncError } from '../errors.js'
import { findDefinition, SYSCTL_DEFINITIONS, type SysctlDefinition } from './definitions.js'
import { suggest } from './suggest.js'
import type { Sysctls } from './sysctls.js'

export type { SysctlKey, Sysctls } from './sysctls.js'

/**
 * What `net.ipv4.vs` holds on a machine where nobody set anything. The kernel works `sync_qlen_max` out of its free
 * memory; here it is 8192 messages for each channel (12 MB of full ones), which is what 1 GiB gives.
 */
export const sysctlDefaults: Sysctls = freeze(
  Object.fromEntries(SYSCTL_DEFINITIONS.map(({ key, default: value }) => [key, value])) as unknown as Sysctls
)

/**
 * Makes settings with one variable changed, from text as it is written to /proc.
 *
 * As there, numbers may be hexadecimal (`0x10`) or octal (`010`), and `sync_threshold` may be given its first number
 * alone. Beyond the kernel a negative `sync_refresh_period` is refused, and so is anything after the number.
 *
 * @param settings - Left as they are.
 * @param name - `sync_threshold`, `net.ipv4.vs.sync_threshold` or `net/ipv4/vs/sync_threshold`.
 * @param text - `3 50`; white space around and between is free.
 * @throws IpvsSyncError `ERR_CONFIG`, whose `field` is the variable's name.
 * @example
 * const settings = applySysctl(sysctlDefaults, 'sync_threshold', '0 20')
 */
export function applySysctl(settings: Sysctls, name: string, text: string): Sysctls {
  const definition = definitionOf(name)
  const numbers = numbersOf(definition, text)
  if (definition.key !== 'syncThreshold') return withValue(settings, definition, numbers[0]!, text)
  return withValue(settings, definition, [numbers[0]!, numbers[1] ?? settings.syncThreshold[1]], text)
}

/**
 * Verifies settings that were made by hand, and completes them with the defaults.
 *
 * @returns A frozen copy.
 * @throws IpvsSyncError `ERR_CONFIG` for the first name that is none, or value that a kernel would refuse.
 */
export function verifySysctls(settings: Partial<Sysctls>): Sysctls {
  demandObject('sysctls', settings)
  for (const key of Object.keys(settings)) demandKey(key)
  let verified = sysctlDefaults
  for (const definition of SYSCTL_DEFINITIONS) {
    const value: unknown = settings[definition.key]
    if (value !== undefined && !isValue(value))
      throw refusal(definition, typeof value === 'string' ? value : shown(value))
    if (value !== undefined) verified = withValue(verified, definition, value, textOf(value))
  }
  return verified
}

function isValue(value: unknown): value is number | readonly [number, number] {
  return typeof value === 'number' || (Array.isArray(value) && value.every((one) => typeof one === 'number'))
}

/** A name that is none would be passed over in silence: `sync_ports` for syncPorts. */
function demandKey(key: string): void {
  const keys = SYSCTL_DEFINITIONS.map((each) => each.key)
  if (keys.some((known) => known === key)) return
  const hint = findDefinition(shortName(key))?.key ?? suggest(key, keys)
  const message = `there is no sysctl "${key}"${hint === undefined ? '' : `; did you mean ${hint}?`}`
  throw new IpvsSyncError('ERR_CONFIG', message, { field: key })
}

/** A variable's value as text: decimal, the two numbers of `sync_threshold` with the separator between them. */
export function textOf(value: number | readonly [number, number], separator = ' '): string {
  return typeof value === 'number' ? String(value) : value.join(separator)
}

/** Takes the prefix off a name: `net.ipv4.vs.`, `net/ipv4/vs/` or `/proc/sys/net/ipv4/vs/`. */
export function shortName(name: string): string {
  return name.replace(/^(?:\/?proc\/sys\/)?net([./])ipv4\1vs\1/, '')
}

function definitionOf(given: string): SysctlDefinition {
  const name = shortName(given)
  const definition = findDefinition(name)
  if (definition !== undefined) return definition
  const known = SYSCTL_DEFINITIONS.map((each) => each.name)
  const hint = suggest(name, known)
  throw new IpvsSyncError(
    'ERR_CONFIG',
    `net.ipv4.vs has no variable "${name}"${hint === undefined ? '; "ipvs-sync sysctl" lists them' : `; did you mean ${hint}?`}`,
    { field: name }
  )
}

/** As `proc_get_long` reads: a sign, and base 16, 8 or 10 by the prefix. */
function numbersOf(definition: SysctlDefinition, text: string): number[] {
  const words = text.trim().split(/\s+/)
  const most = definition.key === 'syncThreshold' ? 2 : 1
  const good = words.length <= most && words.every((word) => /^-?(?:0x[\da-f]+|0[0-7]*|[1-9]\d*)$/i.test(word))
  if (!good) throw refusal(definition, text)
  return words.map(numberOf)
}

/** An unsigned long can be more than a JavaScript integer; no queue can, so that is what it is cut to. */
function numberOf(word: string): number {
  const digits = word.replace('-', '')
  const exact = BigInt(/^0[0-7]/.test(digits) ? `0o${digits.slice(1)}` : digits)
  const isLong = exact > Number.MAX_SAFE_INTEGER && exact < 2n ** 64n
  const magnitude = isLong ? Number.MAX_SAFE_INTEGER : Number(exact)
  return word.startsWith('-') ? -magnitude : magnitude
}

function withValue(
  settings: Sysctls,
  definition: SysctlDefinition,
  value: number | readonly [number, number],
  text: string
): Sysctls {
  const numbers = typeof value === 'number' ? [value] : value
  const arity = definition.key === 'syncThreshold' ? 2 : 1
  const good = numbers.length === arity && numbers.every((number) => isWithin(definition, number))
  if (!good || !fits(definition, numbers)) throw refusal(definition, text)
  return freeze({ ...settings, [definition.key]: value })
}

function isWithin({ least, most }: SysctlDefinition, number: number): boolean {
  return Number.isInteger(number) && number >= least && number <= most
}

/** What a range does not say. */
function fits({ key }: SysctlDefinition, numbers: readonly number[]): boolean {
  const [first, second] = numbers
  if (key === 'syncThreshold') return second === 0 || first! < second!
  return key !== 'syncPorts' || Number.isInteger(Math.log2(first!))
}

function refusal({ name, accepted }: SysctlDefinition, text: string): IpvsSyncError {
  return new IpvsSyncError('ERR_CONFIG', `${name} = "${text.trim()}" is not accepted: it takes ${accepted}`, {
    field: name
  })
}

function freeze(settings: Sysctls): Sysctls {
  return Object.freeze({ ...settings, syncThreshold: Object.freeze([...settings.syncThreshold] as const) })
}
