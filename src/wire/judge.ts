/**
 * Checks of one connection's flags, protocol and state, for both versions.
 *
 * @module
 */
import { CHECK, FLAG } from './constants.js'
import { PROBLEMS } from './problems.js'
import { stateCount } from './protocols.js'

// Constants of this module: V8 folds them, and reads properties of an object in another chunk at each use.
const { NO_CPORT: FLAG_NO_CPORT, ONE_PACKET: FLAG_ONE_PACKET, TEMPLATE: FLAG_TEMPLATE } = FLAG
const { FLAGS: CHECK_FLAGS, TEMPLATE_STATE: CHECK_TEMPLATE_STATE } = CHECK

const TEMPLATE_STATES = 2

/**
 * Returns why a receiver skips a connection for its flags, protocol or state, in the order of a kernel's checks
 * (`ip_vs_process_message_v0`, `ip_vs_proc_sync_conn`; docs/protocol.md section 4).
 *
 * @param checks - Checks of the receiver's generation: bits of {@link CHECK}.
 * @returns 0, or the number of the problem.
 */
export function judge(flags: number, protocol: number, state: number, checks: number): number {
  const template = (flags & FLAG_TEMPLATE) !== 0
  if ((checks & CHECK_FLAGS) !== 0 && ((flags & FLAG_ONE_PACKET) !== 0 || (template && (flags & FLAG_NO_CPORT) !== 0)))
    return PROBLEMS.FLAGS_REFUSED.number
  if (template)
    return (checks & CHECK_TEMPLATE_STATE) !== 0 && state >= TEMPLATE_STATES ? PROBLEMS.TEMPLATE_STATE.number : 0
  const states = stateCount(protocol)
  if (states === 0) return PROBLEMS.PROTOCOL_UNKNOWN.number
  return state < states ? 0 : PROBLEMS.STATE_RANGE.number
}
