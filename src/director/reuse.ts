/**
 * When a SYN or an INIT on an existing connection is a new one.
 *
 * @module
 */
import { FLAG } from '../wire/constants.js'
import { PROTOCOL } from '../wire/protocols.js'
import type { Connection } from './connection.js'
import type { Packet } from './packet.js'
import { CHUNK, SCTP_STATE, TCP_FLAG, TCP_STATE } from './transitions.js'

const { TCP, SCTP } = PROTOCOL

/** Whether a packet is a SYN or an INIT, and not a later fragment. */
export function isOpening({ protocol, signal, isComplete, isLaterFragment }: Packet): boolean {
  if (isLaterFragment) return false
  if (protocol === TCP) return isComplete && (signal & TCP_FLAG.SYN) !== 0
  return protocol === SCTP && (signal & 0xff) === CHUNK.INIT
}

/** `is_new_conn_expected`. */
export function isNewExpected({ controller, protocol, state, flags }: Connection, mode: number): boolean {
  if (controller !== undefined) return false
  if (protocol === SCTP) return state === SCTP_STATE.CLOSED
  if (state === TCP_STATE.TIME_WAIT || state === TCP_STATE.CLOSE) return true
  return (mode & 2) !== 0 && state === TCP_STATE.FIN_WAIT && (flags & FLAG.NOOUTPUT) !== 0
}

/**
 * Whether netfilter tracks a connection that was confirmed before this packet. Its own state machine replaces a closed
 * connection at a SYN; packets do not show more.
 */
export function isTracked({ flags, protocol, state }: Connection): boolean {
  if ((flags & FLAG.NFCT) === 0) return false
  if (protocol === SCTP) return state !== SCTP_STATE.CLOSED
  return state !== TCP_STATE.TIME_WAIT && state !== TCP_STATE.CLOSE
}
