/**
 * sysctl.conf read: lines of `name = value`, with the places of what is wrong.
 *
 * @module
 */

import { misuse } from '../demand.js'
import { IpvsSyncError } from '../errors.js'
import { applySysctl, shortName, sysctlDefaults, type Sysctls } from './settings.js'

/** A line that a kernel would refuse. */
export interface SysctlFinding {
  /** From 1. */
  readonly line: number
  /** Why, and what is accepted. */
  readonly error: IpvsSyncError
}

/** What a text came to. */
export interface SysctlReading {
  /** The settings, without the lines that are wrong. */
  readonly settings: Sysctls
  /** In the order of the lines. */
  readonly findings: readonly SysctlFinding[]
  /** How many lines set a variable of `net.ipv4.vs`. */
  readonly assignments: number
}

/**
 * Reads sysctl.conf syntax, or lines of `NAME=VALUE`.
 *
 * Names stand with or without `net.ipv4.vs.`, or with `/` for `.`. Lines that begin with `#` or `;` are comments; a
 * `-` before a name lets its errors pass, as in sysctl(8). Variables of other parts of the kernel are passed over.
 *
 * @param text - The file's text.
 * @param base - What is not mentioned keeps these values; our defaults if left out.
 * @returns Frozen settings.
 * @throws IpvsSyncError `ERR_CONFIG` for the first line that a kernel would refuse; the message names the line. `ERR_USAGE` for
 * what is no text.
 * @example
 * const { syncThreshold } = parseSysctls('net.ipv4.vs.sync_threshold = 0 20')
 */
export function parseSysctls(text: string, base: Sysctls = sysctlDefaults): Sysctls {
  const { settings, findings } = readSysctls(text, base)
  const [first] = findings
  if (first === undefined) return settings
  const { message, field } = first.error
  throw new IpvsSyncError('ERR_CONFIG', `line ${first.line}: ${message}`, { ...(field !== undefined && { field }) })
}

/**
 * Reads as {@link parseSysctls} does, and gathers everything that is wrong instead of throwing.
 *
 * @param text - The file's text.
 * @param base - What is not mentioned keeps these values.
 */
export function readSysctls(text: string, base: Sysctls = sysctlDefaults): SysctlReading {
  if (typeof text !== 'string') throw misuse('text', 'text', text)
  const findings: SysctlFinding[] = []
  let settings = base
  let assignments = 0
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (/^\s*(?:[#;]|$)/.test(line)) continue
    const [, lenient = '', name = '', value] = /^\s*(-?)\s*([^=\s]*)\s*(?:=(.*))?$/.exec(line) ?? []
    if (isForeign(name)) continue
    try {
      settings = assign(settings, name, value, line)
      assignments++
    } catch (error) {
      if (lenient === '') findings.push({ line: index + 1, error: error as IpvsSyncError })
    }
  }
  return { settings, findings, assignments }
}

/** A variable of another part of the kernel: `net.core.rmem_max`. */
function isForeign(name: string): boolean {
  return /[./]/.test(shortName(name))
}

function assign(settings: Sysctls, name: string, value: string | undefined, line: string): Sysctls {
  if (name !== '' && value !== undefined) return applySysctl(settings, name, value)
  throw new IpvsSyncError('ERR_CONFIG', `"${line.trim()}" sets nothing: want NAME = VALUE`, {
    ...(name !== '' && { field: shortName(name) })
  })
}
