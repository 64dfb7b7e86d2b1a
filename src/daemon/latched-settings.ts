/**
 * Settings that are read at the start, as a kernel's daemons read them: a later change waits, and a notice reports it.
 *
 * @module
 */

import type { NoticeEvent } from '../engine/events.js'
import type { Sysctls } from '../sysctl/settings.js'

const LATCHED = {
  SYNC_PORTS_LATCHED: ['sync_ports', 'syncPorts'],
  SYNC_SOCK_SIZE_LATCHED: ['sync_sock_size', 'syncSockSize']
} as const

/** The code of a notice of a setting that waits. */
export type LatchedCode = keyof typeof LATCHED

/**
 * What to tell of settings that are not what they were at the start.
 *
 * @param started - At the start.
 * @param settings - Now.
 * @param codes - Which ones are asked for.
 */
export function latchedSettings(started: Sysctls, settings: Sysctls, codes: readonly LatchedCode[]): NoticeEvent[] {
  return codes.flatMap((code) => {
    const [name, key] = LATCHED[code]
    if (settings[key] === started[key]) return []
    const message = `${name} is read at the start only: still ${started[key]}, ${settings[key]} after a restart`
    return [Object.freeze({ type: 'notice', code, message })]
  })
}
