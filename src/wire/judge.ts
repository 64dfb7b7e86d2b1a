/**
 * The checks that skip one connection and look at numbers alone: the same for both versions.
 *
 * @module
 */
import { CHECK, FLAG } from './constants.js'
import { PROBLEMS } from './problems.js'
import { stateCount } from './protocols.js'

// Names of this module's own: V8 folds these constants, and reads those of another module anew at each use.
const { NO_CPORT, ONE_PACKET, TEMPLATE } = FLAG
const { FLAGS: CHECK_FLAGS, TEMPLATE_STATE: CHECK_TEMPLATE_STATE } = CHECK
const FLAGS_REFUSED = PROBLEMS.FLAGS_REFUSED.number
const PROTOCOL_UNKNOWN = PROBLEMS.PROTOCOL_UNKNOWN.number
const STATE_RANGE = PROBLEMS.STATE_RANGE.number
const TEMPLATE_STATE = PROBLEMS.TEMPLATE_STATE.number
const TEMPLATE_STATES = 2

/**
 * Whether a receiver skips a connection for its flags, protocol or state, in the order in which a kernel looks
 * (`ip_vs_process_message_v0`, `ip_vs_proc_sync_conn`; docs/protocol.md section 4).
 *
 * @param checks - Checks of the receiver's generation: bits of {@link CHECK}.
 * @returns 0, or the number of the problem.
 */
export function judge(flags: number, protocol: number, state: number, checks: number): number {
  const template = (flags & TEMPLATE) !== 0
  if ((checks & CHECK_FLAGS) !== 0 && ((flags & ONE_PACKET) !== 0 || (template && (flags & NO_CPORT) !== 0)))
    return FLAGS_REFUSED
  if (template) return (checks & CHECK_TEMPLATE_STATE) !== 0 && state >= TEMPLATE_STATES ? TEMPLATE_STATE : 0
  const states = stateCount(protocol)
  if (states === 0) return PROTOCOL_UNKNOWN
  return state < states ? 0 : STATE_RANGE
}
