/**
 * Socket buffers: asking for a size, and telling what came of it.
 *
 * @module
 */

import type { Socket } from 'node:dgram'
import type { Bytes } from '../units.js'
import type { TransportNotice } from './transport.js'

/** What the kernel charges a receive buffer for one full datagram of a 1500-byte network. */
const CHARGE = 2304

/**
 * Sets a sender's SO_SNDBUF.
 *
 * @param socket - Bound.
 * @param wanted - Bytes; 0 keeps the system's.
 * @returns A notice if the system gave less.
 */
export function sizeSendBuffer(socket: Socket, wanted: Bytes): TransportNotice | undefined {
  if (wanted === 0) return undefined
  socket.setSendBufferSize(wanted)
  return gaveLess('send', wanted, socket.getSendBufferSize())
}

/**
 * Sets a receiver's SO_RCVBUF.
 *
 * @param socket - Bound.
 * @param wanted - Bytes; 0 keeps the system's.
 * @returns A notice if the system gave less; with 0, how much the default holds: it is what loses messages first.
 */
export function sizeReceiveBuffer(socket: Socket, wanted: Bytes): TransportNotice | undefined {
  if (wanted !== 0) {
    socket.setRecvBufferSize(wanted)
    return gaveLess('receive', wanted, socket.getRecvBufferSize())
  }
  const size = socket.getRecvBufferSize()
  return {
    code: 'BUFFER',
    message:
      `receive buffer: ${size} bytes, ${Math.floor(size / CHARGE)} full messages (the system's default); ` +
      'for longer bursts set sync_sock_size, and net.core.rmem_max to at least as much'
  }
}

/** The kernel doubles what it is asked for, and reports the double. */
function gaveLess(direction: 'send' | 'receive', wanted: Bytes, reported: Bytes): TransportNotice | undefined {
  const given = Math.floor(reported / 2)
  if (given >= wanted) return undefined
  const limit = direction === 'send' ? 'net.core.wmem_max' : 'net.core.rmem_max'
  const holds = direction === 'send' ? '' : `, room for ${Math.floor(reported / CHARGE)} full messages`
  return {
    code: 'BUFFER',
    message: `sync_sock_size asks for a ${direction} buffer of ${wanted} bytes, the system gave ${given}${holds}: raise ${limit}`
  }
}
