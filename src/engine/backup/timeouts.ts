/**
 * Timeout of a connection whose message has none: by protocol and state, as an administrator may have changed it.
 *
 * @module
 */

import type { Seconds } from '../../units.js'
import { PROTOCOL, stateTimeout } from '../../wire/protocols.js'
import type { ChangedTimeouts } from './options.js'

const TCP_ESTABLISHED = 1
const TCP_FIN_WAIT = 4

/**
 * Returns the timeout that a backup uses (`ip_vs_proc_conn`; docs/protocol.md section 7).
 *
 * @param changed - The values of `ipvsadm --set`.
 */
export function defaultTimeout(changed: ChangedTimeouts, protocol: number, template: boolean, state: number): Seconds {
  const usual = stateTimeout(protocol, template, state)
  if (template) return usual
  if (protocol === PROTOCOL.UDP) return changed.udp ?? usual
  if (protocol !== PROTOCOL.TCP) return usual
  if (state === TCP_ESTABLISHED) return changed.established ?? usual
  return state === TCP_FIN_WAIT ? (changed.finWait ?? usual) : usual
}
