/**
 * Parser of sysctl.conf: lines of `name = value`. It reports what is wrong with which line.
 *
 * @module
 */

import { demandText } from '../demand.js'
import { IpvsSyncError } from '../errors.js'
import { findDefinition } from './definitions.js'
import { applySysctl, shortName, sysctlDefaults, type SysctlLimits, type Sysctls } from './settings.js'

/**
 * Kind of a finding.
 *
 * - `SYSCTL_REFUSED` a kernel would refuse the value
 * - `SYSCTL_UNKNOWN` the variable is unknown to this version; a newer kernel may have it. For a daemon this is a warning
 * - `SYSCTL_SYNTAX` the line is not an assignment
 */
export type SysctlFindingCode = 'SYSCTL_REFUSED' | 'SYSCTL_UNKNOWN' | 'SYSCTL_SYNTAX'

/** A line that has no effect. */
export interface SysctlFinding {
  /** Kind of the finding. */
  readonly code: SysctlFindingCode
  /** Number of the line, from 1. */
  readonly line: number
  /** Reason, and what is accepted. */
  readonly error: IpvsSyncError
}

/** Result of reading a text. */
export interface SysctlReading {
  /** The settings, without the lines of the findings. */
  readonly settings: Sysctls
  /** In the order of the lines. */
  readonly findings: readonly SysctlFinding[]
  /** Number of lines that set a variable of `net.ipv4.vs`. */
  readonly assignments: number
}

/**
 * Parses sysctl.conf syntax, or lines of `NAME=VALUE`.
 *
 * Names may have the prefix `net.ipv4.vs.`, or `/` for `.`. Lines that begin with `#` or `;` are comments; a `-` before a name
 * suppresses its findings, as in sysctl(8). Variables of other parts of the kernel are ignored.
 *
 * @param text - Content of the file.
 * @param base - Values of the variables that the text does not set; the defaults unless given.
 * @returns Frozen settings.
 * @throws IpvsSyncError `ERR_CONFIG` for the first finding; the message names the line. `ERR_USAGE` for an argument that is not
 *   a string. A daemon, for which an unknown name is only a warning, calls `readSysctls`.
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
 * Parses as {@link parseSysctls} does, and collects the findings instead of throwing the first.
 *
 * @param text - Content of the file.
 * @param base - Values of the variables that the text does not set.
 * @param limits - Clock of the kernel that the text is for.
 */
export function readSysctls(text: string, base: Sysctls = sysctlDefaults, limits: SysctlLimits = {}): SysctlReading {
  demandText('text', text, 'ERR_USAGE')
  const findings: SysctlFinding[] = []
  let settings = base
  let assignments = 0
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (/^\s*(?:[#;]|$)/.test(line)) continue
    const [, lenient = '', name = '', value] = /^\s*(-?)\s*([^=\s]*)\s*(?:=(.*))?$/.exec(line) ?? []
    // A variable of another part of the kernel: `net.core.rmem_max`.
    if (/[./]/.test(shortName(name))) continue
    try {
      if (name === '' || value === undefined)
        throw new IpvsSyncError('ERR_CONFIG', `${JSON.stringify(line.trim())}: expected NAME = VALUE`, {
          ...(name !== '' && { field: shortName(name) })
        })
      settings = applySysctl(settings, name, value, limits)
      assignments++
    } catch (error) {
      const code =
        name === '' || value === undefined
          ? 'SYSCTL_SYNTAX'
          : findDefinition(shortName(name)) === undefined
            ? 'SYSCTL_UNKNOWN'
            : 'SYSCTL_REFUSED'
      if (lenient === '') findings.push({ code, line: index + 1, error: error as IpvsSyncError })
    }
  }
  return { settings, findings, assignments }
}
