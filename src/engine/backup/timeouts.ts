/**
 * How long a connection lives whose message gives no timeout: by protocol and state, as an administrator may have changed it.
 *
 * @module
 */

import type { Seconds } from '../../units.js'
import { PROTOCOL, stateTimeout } from '../../wire/protocols.js'
import type { ChangedTimeouts } from './options.js'

const TCP_ESTABLISHED = 1
const TCP_FIN_WAIT = 4

/**
 * The timeout that a backup takes (`ip_vs_proc_conn`; docs/protocol.md section 7).
 *
 * @param changed - What `ipvsadm --set` would have changed.
 */
export function defaultTimeout(changed: ChangedTimeouts, protocol: number, template: boolean, state: number): Seconds {
  const usual = stateTimeout(protocol, template, state)
  if (template) return usual
  if (protocol === PROTOCOL.UDP) return changed.udp ?? usual
  if (protocol !== PROTOCOL.TCP) return usual
  if (state === TCP_ESTABLISHED) return changed.established ?? usual
  return state === TCP_FIN_WAIT ? (changed.finWait ?? usual) : usual
}
