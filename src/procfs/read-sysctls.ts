/**
 * The live values of `net.ipv4.vs`.
 *
 * @module
 */

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { IpvsSyncError } from '../errors.js'
import { fileFault } from './file-fault.js'
import { findDefinition } from '../sysctl/definitions.js'
import { readSysctls } from '../sysctl/parse.js'
import type { Sysctls } from '../sysctl/settings.js'

/** Folder of the variables. */
export const SYSCTL_FOLDER = '/proc/sys/net/ipv4/vs'

/** Values that were read. */
export interface LiveSysctls {
  /** Variables that this kernel lacks have our defaults. */
  readonly settings: Sysctls
  /** Names of the variables that were read. */
  readonly read: readonly string[]
  /** Names of variables that are unknown here, or whose values are not accepted. */
  readonly unknown: readonly string[]
}

/**
 * Reads the running kernel's settings.
 *
 * @param folder - Another place to read from, for a test.
 * @throws IpvsSyncError `ERR_NO_IPVS` without any: ip_vs is not loaded, or the network namespace belongs to another
 * user namespace.
 */
export function readLiveSysctls(folder: string = SYSCTL_FOLDER): LiveSysctls {
  const names = listNames(folder)
  const known = names.filter((name) => findDefinition(name) !== undefined)
  const lines = known.map((name) => `${name} = ${readFileSync(join(folder, name), 'utf8').trim()}`)
  const { settings, findings } = readSysctls(lines.join('\n'))
  const refused = findings.map(({ line }) => known[line - 1]!)
  return {
    settings,
    read: known.filter((name) => !refused.includes(name)),
    unknown: names.filter((name) => !known.includes(name) || refused.includes(name))
  }
}

/** A network namespace of another user namespace has the folder without the files (up to Linux 6.9). */
function listNames(folder: string): string[] {
  const advice = 'load IPVS with modprobe ip_vs, or read them in the initial network namespace'
  try {
    const names = readdirSync(folder).sort()
    if (names.length > 0) return names
  } catch (cause) {
    throw new IpvsSyncError('ERR_NO_IPVS', `${folder}: ${fileFault(cause)}; ${advice}`, { cause })
  }
  throw new IpvsSyncError('ERR_NO_IPVS', `${folder}: expected variables, got an empty folder; ${advice}`)
}
