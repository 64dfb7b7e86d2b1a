/**
 * Settings as a table for people, or JSON Lines.
 *
 * @module
 */

import { SYSCTL_DEFINITIONS, textOf, type Sysctls } from '../../sysctl/index.js'

/** A block for each variable: name, value and default on the first line, what is accepted and its meaning below. */
export function printTable(settings: Sysctls): string {
  const blocks = SYSCTL_DEFINITIONS.map(({ key, name, default: usual, unit, accepted, meaning }) => {
    const [value, normal] = [textOf(settings[key]), textOf(usual)]
    const changed = value === normal ? '' : '  (changed)'
    return `${name} = ${value}${unit === '' ? '' : ` ${value === '1' ? unit.replace(/(?<=.)s$/, '') : unit}`}${changed}\n  default:  ${normal}\n  accepted: ${accepted}\n  meaning:  ${meaning}\n`
  })
  return blocks.join('\n')
}

/** One object a line: `{"name","value","default","unit","accepted","meaning"}`; `sync_threshold`'s values are arrays. */
export function printJson(settings: Sysctls): string {
  return SYSCTL_DEFINITIONS.map(({ key, name, default: usual, unit, accepted, meaning }) => {
    return `${JSON.stringify({ name, value: settings[key], default: usual, unit, accepted, meaning })}\n`
  }).join('')
}
