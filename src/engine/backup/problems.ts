/**
 * What a backup tells of a message that it could not take as it was: values made only where somebody may read them.
 *
 * @module
 */

import { isAgentMessage } from '../../wire/agent-mark.js'
import { HEADER_V0, HEADER_V1, RECORD_V1 } from '../../wire/layout.js'
import type { MessageReader } from '../../wire/message-reader.js'
import { PROBLEMS, type Problem, type ProblemCode, type Severity } from '../../wire/problems.js'
import { ROW, ROW_WORDS } from '../../wire/rows.js'

const TEXTS: Readonly<Record<ProblemCode, string>> = {
  SHORT_MESSAGE: 'shorter than the 4 bytes of a header',
  SIZE_MISMATCH: 'the size in its header is not its length',
  RECORD_TRUNCATED: 'no room is left for the next connection',
  RECORD_LENGTH: 'the connection claims more bytes than are left',
  RECORD_VERSION: 'the connection has a record version other than 0',
  RECORD_TYPE: 'the connection is neither IPv4 nor IPv6',
  RECORD_TOO_SHORT: 'the connection claims fewer bytes than its fixed fields have',
  PARAMETER_TRUNCATED: 'a parameter is cut off in its header',
  PARAMETER_LENGTH: 'a parameter is empty or runs past its connection',
  SEQUENCE_LENGTH: 'sequence data are not 24 bytes long',
  SEQUENCE_REPEATED: 'sequence data come twice',
  ENGINE_DATA_REPEATED: 'persistence-engine data come twice',
  ENGINE_NAME_LENGTH: 'a persistence engine’s name is longer than 16 bytes',
  ENGINE_NAME_REPEATED: 'a persistence engine’s name comes twice',
  PARAMETER_UNKNOWN: 'a parameter that must be understood is unknown',
  FLAGS_REFUSED: 'ONE_PACKET, or NO_CPORT on a template, is refused',
  PROTOCOL_UNKNOWN: 'the protocol is none that IPVS balances',
  STATE_RANGE: 'the protocol has no such state',
  TEMPLATE_STATE: 'a template has no such state',
  ENGINE_NAME_MISSING: 'persistence-engine data come without a name',
  ENGINE_UNKNOWN: 'no persistence engine of this name is known',
  SHORT_HEADER: 'of 4 to 7 bytes: too short to tell its version',
  VERSION_UNKNOWN: 'neither version 0 nor 1: receivers see no connection in it',
  SPARE_NOT_ZERO: 'version 1 with spare bytes that are not 0: receivers see no connection in it',
  RESERVED_NOT_ZERO: 'a reserved byte is not 0',
  TYPE_BITS: 'the connection’s type has unknown bits',
  PADDING_NOT_ZERO: 'padding is not 0',
  LEFTOVER_BYTES: 'bytes are left behind the last connection that its header counts',
  COUNT_WRAPPED: 'more connections are in it than its header counts',
  SEQUENCE_WITHOUT_FLAG: 'sequence data come without a sequence flag',
  MESSAGE_SNAPPED: 'the capture holds only its beginning'
}

const BY_NUMBER = new Map<number, { readonly code: ProblemCode; readonly severity: Severity }>(
  Object.entries(PROBLEMS).map(([code, { number, severity }]) => [number, { code: code as ProblemCode, severity }])
)

/**
 * A problem as a value.
 *
 * @param number - One of {@link PROBLEMS}.
 * @param offset - Byte offset in the message.
 * @param connection - The connection's number in the message; -1 for the message itself.
 */
export function problemOf(number: number, offset: number, connection: number): Problem {
  const { code, severity } = BY_NUMBER.get(number)!
  const where = connection < 0 ? 'message' : `connection ${connection}`
  return {
    code,
    severity,
    message: `${where}, byte ${offset}: ${TEXTS[code]}`,
    offset,
    ...(connection >= 0 && { connection })
  }
}

/**
 * What is strange in a message that a kernel takes without a word: a header under which no connection is seen, or bytes
 * behind the last one (docs/protocol.md sections 12 and 14).
 *
 * @returns The number of a warning, or 0.
 */
export function warningOf({ view, rows }: MessageReader, bytes: Uint8Array): number {
  if (view.fault !== 0) return 0
  if (view.version === 0 && bytes[HEADER_V1.RESERVED] === 0) {
    if (bytes.length < HEADER_V1.LENGTH) return PROBLEMS.SHORT_HEADER.number
    return bytes[HEADER_V1.VERSION] === 1 ? PROBLEMS.SPARE_NOT_ZERO.number : PROBLEMS.VERSION_UNKNOWN.number
  }
  if (rows.count === 0)
    return bytes.length > HEADER_V1.LENGTH && !isAgentMessage(bytes) ? PROBLEMS.LEFTOVER_BYTES.number : 0
  return endOf(view.index < 0, view.end, rows.words[(rows.count - 1) * ROW_WORDS + ROW.OFFSET]!) < bytes.length
    ? PROBLEMS.LEFTOVER_BYTES.number
    : 0
}

/** Where the last record ends: the reader leaves its view at rest where all records are plain. */
function endOf(plain: boolean, end: number, lastOffset: number): number {
  return plain ? lastOffset + RECORD_V1.LENGTH_IPV4 : end
}

/** Whether a datagram is a sound message of another syncid: kernels look at its size first. */
export function isOfOther(bytes: Uint8Array, syncid: number): boolean {
  if (syncid === 0 || bytes.length < HEADER_V0.LENGTH || bytes[HEADER_V0.SYNCID] === syncid) return false
  return ((bytes[HEADER_V0.SIZE]! << 8) | bytes[HEADER_V0.SIZE + 1]!) === bytes.length
}
