/**
 * `net.ipv4.vs`: every variable, its default and range, parsed, verified and printed. Pure.
 *
 * @module
 */
export { findDefinition, SYSCTL_DEFINITIONS, type SysctlDefinition } from './definitions.js'
export { parseSysctls, readSysctls, type SysctlFinding, type SysctlFindingCode, type SysctlReading } from './parse.js'
export { printProc, printSysctls } from './print.js'
export {
  applySysctl,
  shortName,
  sysctlDefaults,
  textOf,
  verifySysctls,
  type SysctlKey,
  type SysctlLimits,
  type Sysctls,
  type SysctlValue
} from './settings.js'
