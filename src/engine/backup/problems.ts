/**
 * Checks of a whole message that a backup makes beside those of the wire.
 *
 * @module
 */

import { isAgentMessage } from '../../wire/agent-mark.js'
import { HEADER_V0, HEADER_V1 } from '../../wire/layout.js'
import type { ReadResult } from '../../wire/message-reader.js'
import { PROBLEMS } from '../../wire/problems.js'

/**
 * Returns what is unusual in a message that a kernel accepts silently: a header that hides all connections, or bytes
 * after the last one (docs/protocol.md sections 12 and 14).
 *
 * @returns The number of a warning, or 0.
 */
export function warningOf({ version, records, end, fault }: ReadResult, bytes: Uint8Array): number {
  if (fault !== 0) return 0
  if (version === 0 && bytes[HEADER_V1.RESERVED] === 0) {
    if (bytes.length < HEADER_V1.LENGTH) return PROBLEMS.SHORT_HEADER.number
    return bytes[HEADER_V1.VERSION] === 1 ? PROBLEMS.SPARE_NOT_ZERO.number : PROBLEMS.VERSION_UNKNOWN.number
  }
  if (records === 0 && isAgentMessage(bytes)) return 0
  return end < bytes.length ? PROBLEMS.LEFTOVER_BYTES.number : 0
}

/** Whether a datagram is a sound message of another syncid: kernels look at its size first. */
export function isOfOther(bytes: Uint8Array, syncid: number): boolean {
  if (syncid === 0 || bytes.length < HEADER_V0.LENGTH || bytes[HEADER_V0.SYNCID] === syncid) return false
  return ((bytes[HEADER_V0.SIZE]! << 8) | bytes[HEADER_V0.SIZE + 1]!) === bytes.length
}
