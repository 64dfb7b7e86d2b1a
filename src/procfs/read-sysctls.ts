/**
 * The live values of `net.ipv4.vs`.
 *
 * @module
 */

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { IpvsSyncError } from '../errors.js'
import { findDefinition, readSysctls, type Sysctls } from '../sysctl/index.js'

/** Where they are. */
export const SYSCTL_FOLDER = '/proc/sys/net/ipv4/vs'

/** What was read. */
export interface LiveSysctls {
  /** Variables that this kernel does not have keep our defaults. */
  readonly settings: Sysctls
  /** Names of the variables that were read. */
  readonly read: readonly string[]
  /** Names that this kernel has and that we do not know, or whose values we would not take. */
  readonly unknown: readonly string[]
}

/**
 * Reads the running kernel's settings.
 *
 * @param folder - Another place to read from, for a test.
 * @throws IpvsSyncError `ERR_NO_IPVS` where there are none: ip_vs is not loaded, or the network namespace belongs to
 * another user namespace.
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

function listNames(folder: string): string[] {
  try {
    return readdirSync(folder).sort()
  } catch (cause) {
    throw new IpvsSyncError(
      'ERR_NO_IPVS',
      `${folder} is not there: ip_vs is not loaded (modprobe ip_vs), or this network namespace has no settings of its own`,
      { cause }
    )
  }
}
