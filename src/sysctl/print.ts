/**
 * Settings as text: sysctl.conf, and the files in /proc.
 *
 * @module
 */

import { SYSCTL_DEFINITIONS } from './definitions.js'
import { textOf, type Sysctls, type SysctlKey } from './settings.js'

/** Returns all settings in sysctl.conf syntax, one a line, in the order of the definitions; `parseSysctls` reads it. */
export function printSysctls(settings: Sysctls): string {
  return SYSCTL_DEFINITIONS.map(({ key, name }) => `net.ipv4.vs.${name} = ${textOf(settings[key])}\n`).join('')
}

/** Returns one setting as its file in `/proc/sys/net/ipv4/vs/` reads: a tab between two numbers, a newline at the end. */
export function printProc(settings: Sysctls, key: SysctlKey): string {
  return `${textOf(settings[key], '\t')}\n`
}
