/**
 * Settings: defaults, changes and verification. Every value that leaves this module is frozen and accepted by a kernel.
 *
 * @module
 */

import { demandObject, misuse, suggest, wrongText } from '../demand.js'
import { IpvsSyncError } from '../errors.js'
import {
  findDefinition,
  SLOWEST_HZ,
  SYSCTL_DEFINITIONS,
  tickSeconds,
  type SysctlDefinition,
  type Sysctls,
  type SysctlValue
} from './definitions.js'

export type { SysctlKey, Sysctls, SysctlValue } from './definitions.js'

/** What is known of the kernel that the settings are for. */
export interface SysctlLimits {
  /**
   * Ticks per second of that kernel's clock (CONFIG_HZ): limits of seconds depend on it. 100 by default, whose limits are the
   * widest.
   */
  readonly hz?: number
}

/**
 * What `net.ipv4.vs` holds on a machine where nothing was set. The kernel computes `sync_qlen_max` from its free memory; here
 * it is 8192 messages for each channel (12 MB of full ones), the value for 1 GiB.
 */
export const sysctlDefaults: Sysctls = freeze(
  Object.fromEntries(SYSCTL_DEFINITIONS.map(({ key, default: value }) => [key, value])) as unknown as Sysctls
)

/**
 * Returns settings with one variable changed, from text as it is written to /proc.
 *
 * As there, numbers may be hexadecimal (`0x10`) or octal (`010`), and `sync_threshold` may be given its first number
 * alone. Unlike the kernel, it refuses a negative `sync_refresh_period` and text after the number.
 *
 * @param settings - Not changed.
 * @param name - `sync_threshold`, `net.ipv4.vs.sync_threshold` or `net/ipv4/vs/sync_threshold`.
 * @param text - `3 50`; white space around and between the numbers is free.
 * @param limits - Clock of the kernel.
 * @throws IpvsSyncError `ERR_CONFIG`, whose `field` is the variable's name.
 * @example
 * const settings = applySysctl(sysctlDefaults, 'sync_threshold', '0 20')
 */
export function applySysctl(settings: Sysctls, name: string, text: string, limits: SysctlLimits = {}): Sysctls {
  const definition = findDefinition(shortName(name))
  if (definition === undefined) throw unknownVariable(shortName(name))
  const value = parseValue(definition, text.trim(), settings)
  if (value === undefined || !isAccepted(definition, value, limits))
    throw wrongText(definition.name, definition.accepted, text.trim(), 'ERR_CONFIG')
  return freeze({ ...settings, [definition.key]: value })
}

/**
 * Verifies settings made by a program, and completes them with the defaults.
 *
 * @returns A frozen copy.
 * @throws IpvsSyncError `ERR_CONFIG` for the first unknown name, or value that a kernel would refuse.
 */
export function verifySysctls(settings: Partial<Sysctls>, limits: SysctlLimits = {}): Sysctls {
  demandObject('sysctls', settings)
  for (const key of Object.keys(settings)) {
    // An unknown key would otherwise be ignored: `sync_ports` for syncPorts.
    const keys = SYSCTL_DEFINITIONS.map((each) => each.key)
    if (!keys.some((known) => known === key)) {
      const hint = findDefinition(shortName(key))?.key ?? suggest(key, keys)
      const suggestion = hint === undefined ? '' : `; did you mean ${hint}?`
      throw new IpvsSyncError('ERR_CONFIG', `unknown sysctl ${key}${suggestion}`, { field: key })
    }
  }
  const verified: Record<string, SysctlValue> = { ...sysctlDefaults }
  for (const definition of SYSCTL_DEFINITIONS) {
    const value: unknown = settings[definition.key]
    if (value === undefined) continue
    if (!isAccepted(definition, value, limits))
      throw misuse(definition.name, acceptedValue(definition), value, 'ERR_CONFIG')
    verified[definition.key] = value
  }
  return freeze(verified as unknown as Sysctls)
}

/** Returns a variable's value as text: decimal, the two numbers of `sync_threshold` with the separator between them. */
export function textOf(value: SysctlValue, separator = ' '): string {
  return typeof value === 'object' ? value.join(separator) : String(value)
}

/** Removes the prefix of a name: `net.ipv4.vs.`, `net/ipv4/vs/` or `/proc/sys/net/ipv4/vs/`. */
export function shortName(name: string): string {
  return name.replace(/^(?:\/?proc\/sys\/)?net([./])ipv4\1vs\1/, '')
}

/** Makes the error for a name that this version does not know: a newer kernel may have it. */
function unknownVariable(name: string): IpvsSyncError {
  const hint = suggest(
    name,
    SYSCTL_DEFINITIONS.map((each) => each.name)
  )
  const next = hint === undefined ? '"ipvs-sync sysctl" lists the known variables' : `did you mean ${hint}?`
  return new IpvsSyncError('ERR_CONFIG', `${name}: unknown to this version of ipvs-sync; ${next}`, { field: name })
}

/** Returns undefined for text that does not have the form of the variable's value. */
function parseValue({ form }: SysctlDefinition, text: string, settings: Sysctls): SysctlValue | undefined {
  if (form === 'cpulist') return text
  const words = text.split(/\s+/)
  // As `proc_get_long` reads: a sign, and base 16, 8 or 10 by the prefix.
  if (!words.every((word) => /^-?(?:0x[\da-f]+|0[0-7]*|[1-9]\d*)$/i.test(word))) return undefined
  const [first, second, ...rest] = words.map(parseNumber)
  if (rest.length > 0) return undefined
  if (form === 'pair') return [first!, second ?? settings.syncThreshold[1]]
  return second === undefined ? first : undefined
}

/** An unsigned long can exceed a JavaScript integer; no queue can be that long, so the highest integer stands for it. */
function parseNumber(word: string): number {
  const digits = word.replace('-', '')
  const exact = BigInt(/^0[0-7]/.test(digits) ? `0o${digits.slice(1)}` : digits)
  const isLong = exact > Number.MAX_SAFE_INTEGER && exact < 2n ** 64n
  const magnitude = isLong ? Number.MAX_SAFE_INTEGER : Number(exact)
  return word.startsWith('-') ? -magnitude : magnitude
}

function isAccepted(definition: SysctlDefinition, value: unknown, limits: SysctlLimits): value is SysctlValue {
  // `cpulist_parse`: numbers, ranges, and parts of ranges (`0-7:2/4`).
  if (definition.form === 'cpulist')
    return (
      typeof value === 'string' &&
      (value === '' ||
        value.split(',').every((part) => {
          const [, first, last = first] = /^(\d{1,5})(?:-(\d{1,5})(?::\d{1,5}\/[1-9]\d{0,4})?)?$/.exec(part) ?? []
          return first !== undefined && Number(first) <= Number(last)
        }))
    )
  if (definition.form === 'integer')
    return isWithin(definition, value, limits) && (definition.key !== 'syncPorts' || Number.isInteger(Math.log2(value)))
  if (!Array.isArray(value) || value.length !== 2) return false
  const [threshold, period] = value as readonly unknown[]
  if (!isWithin(definition, threshold, limits) || !isWithin(definition, period, limits)) return false
  return period === 0 || threshold < period
}

function isWithin(
  { least, most, inTicks }: SysctlDefinition,
  value: unknown,
  { hz = SLOWEST_HZ }: SysctlLimits
): value is number {
  if (typeof value !== 'number' || !Number.isInteger(value)) return false
  const limit = inTicks ? tickSeconds(hz) : Infinity
  return value >= Math.max(least, -limit) && value <= Math.min(most, limit)
}

/** What a program may give: `sync_threshold` has two integers in an array there. */
function acceptedValue({ form, accepted }: SysctlDefinition): string {
  return form === 'pair' ? accepted.replace('two integers', 'an array of two integers') : accepted
}

function freeze(settings: Sysctls): Sysctls {
  return Object.freeze({ ...settings, syncThreshold: Object.freeze([...settings.syncThreshold] as const) })
}
