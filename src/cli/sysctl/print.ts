/**
 * Prints settings as text or JSON Lines.
 *
 * @module
 */

import { SYSCTL_DEFINITIONS, textOf, type Sysctls } from '../../sysctl/index.js'

/** Returns a block for each variable: name and value, then default, accepted values and meaning. */
export function printTable(settings: Sysctls): string {
  const blocks = SYSCTL_DEFINITIONS.map(({ key, name, default: usual, unit, accepted, meaning }) => {
    const [value, normal] = [textOf(settings[key]), textOf(usual)]
    const changed = value === normal ? '' : '  (changed)'
    return `${name} = ${value}${unit === '' ? '' : ` ${value === '1' ? unit.replace(/(?<=.)s$/, '') : unit}`}${changed}\n  default:  ${normal}\n  accepted: ${accepted}\n  meaning:  ${meaning}\n`
  })
  return blocks.join('\n')
}

/** Returns one object a line: `{"name","value","default","unit","accepted","meaning"}`; `sync_threshold`'s values are arrays. */
export function printJson(settings: Sysctls): string {
  return SYSCTL_DEFINITIONS.map(({ key, name, default: usual, unit, accepted, meaning }) => {
    return `${JSON.stringify({ name, value: settings[key], default: usual, unit, accepted, meaning })}\n`
  }).join('')
}
