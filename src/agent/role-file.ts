/**
 * What keepalived said last, kept beside its FIFO: it tells changes only, and an agent that starts anew missed them.
 *
 * @module
 */

import { readFileSync } from 'node:fs'
import { replaceFileSync } from '../daemon/replace-file.js'
import { parseRoleChange, type RoleChange } from './notify-fifo.js'

/**
 * Writes the instances that are master, as keepalived would say it.
 *
 * @param path - Of the FIFO; `PATH.role` is written. It goes with a reboot if it stands below /run, as it should.
 * @throws The system's error where it cannot.
 */
export function keepRole(path: string, masters: Iterable<string>): void {
  replaceFileSync(`${path}.role`, Array.from(masters, (name) => `INSTANCE "${name}" MASTER 0\n`).join(''))
}

/** Reads them; none where nothing was kept. */
export function recallRole(path: string): RoleChange[] {
  let text: string
  try {
    text = readFileSync(`${path}.role`, 'latin1')
  } catch {
    // Nothing was kept: the first start since the reboot.
    return []
  }
  return text
    .split('\n')
    .map(parseRoleChange)
    .filter((change) => change !== undefined)
}
