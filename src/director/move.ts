/**
 * What a packet does to the state of its connection.
 *
 * @module
 */
import { FLAG } from '../wire/constants.js'
import { PROTOCOL } from '../wire/protocols.js'
import type { Connection } from './connection.js'
import type { Packet } from './packet.js'
import { COLUMN, SCTP_STATE, sctpEvent, sctpNext, TCP_ACTIVE, TCP_STATE, tcpEvent, tcpNext } from './transitions.js'
import type { StateTimeouts } from './transitions.js'

// Constants of this module: V8 folds them.
const { NOOUTPUT, INACTIVE } = FLAG
const { TCP, UDP, SCTP } = PROTOCOL

/**
 * Moves a connection's state, timeout and activity by one packet (`ip_vs_set_state`).
 *
 * @param isReply - Whether it comes from the real server.
 * @param isSecure - Whether the secure TCP table is in use.
 */
export function move(
  connection: Connection,
  packet: Packet,
  isReply: boolean,
  isSecure: boolean,
  timeouts: StateTimeouts
): void {
  // Protocol of the connection, not of the packet: AH and ESP belong to a UDP connection and move nothing.
  if (packet.protocol === TCP) {
    if (!packet.isComplete) return
    const column = columnOf(connection, isReply)
    const next = tcpNext(isSecure, column, connection.state, tcpEvent(packet.signal))
    if (next !== connection.state)
      change(connection, next, ((TCP_ACTIVE >>> next) & 1) === 1, next === TCP_STATE.ESTABLISHED)
    connection.timeoutMs = timeouts.tcp[next]!
  } else if (packet.protocol === UDP) {
    connection.timeoutMs = timeouts.udp
    if (isReply) assureController(connection)
  } else if (packet.protocol === SCTP && packet.signal >= 0) {
    const column = columnOf(connection, isReply)
    const next = sctpNext(column, connection.state, sctpEvent(packet.signal))
    const isEstablished = next === SCTP_STATE.ESTABLISHED
    if (next !== connection.state) change(connection, next, isEstablished, isEstablished)
    connection.timeoutMs = timeouts.sctp[next]!
  }
}

/** A reply that passes the director shows that it sees both directions. */
function columnOf(connection: Connection, isReply: boolean): number {
  if (isReply) {
    connection.flags &= ~NOOUTPUT
    return COLUMN.OUT
  }
  return (connection.flags & NOOUTPUT) === 0 ? COLUMN.IN : COLUMN.ONLY
}

function change(connection: Connection, next: number, isActive: boolean, isEstablished: boolean): void {
  const { server } = connection
  connection.state = next
  if (isEstablished) assureController(connection)
  if (server === undefined) return
  const wasActive = (connection.flags & INACTIVE) === 0
  if (isActive === wasActive) return
  connection.flags ^= INACTIVE
  const by = isActive ? 1 : -1
  server.active += by
  server.inactive -= by
}

/** State of a template whose connections have worked. */
const ASSURED = 1

function assureController({ controller }: Connection): void {
  if (controller?.template === true) controller.state = ASSURED
}
