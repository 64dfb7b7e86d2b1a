/**
 * Recognises the messages of this package's agents: version 1 messages with zero connections, which every kernel accepts and
 * ignores (docs/protocol.md section 14). The messages themselves are decoded in `agent/protocol/messages.ts`.
 *
 * @module
 */

import { HEADER_V1 } from './layout.js'

/** The word behind the header: "IVSA" in ASCII, big-endian. */
export const AGENT_MAGIC = 0x49565341

/** Returns whether a datagram is an agent's message of any version. */
export function isAgentMessage(bytes: Uint8Array): boolean {
  if (bytes.length < HEADER_V1.LENGTH + 4) return false
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return (
    view.getUint16(HEADER_V1.SIZE) === bytes.length &&
    view.getUint32(HEADER_V1.COUNT) === 0x00010000 &&
    bytes[HEADER_V1.RESERVED] === 0 &&
    view.getUint32(HEADER_V1.LENGTH) === AGENT_MAGIC
  )
}
