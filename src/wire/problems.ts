/**
 * Every problem of a message: code, number, severity and text. The checks themselves are part of each reading (the grammar
 * and the view have separate ones, so that each tests the other).
 *
 * @module
 */

/**
 * Consequence of a problem at a receiver.
 *
 * - `drop` the receiver drops the datagram from that point on; connections before it are kept
 * - `skip` the receiver skips this connection and continues with the next
 * - `warning` the receiver does nothing; a person should know
 */
export type Severity = 'drop' | 'skip' | 'warning'

/** Something wrong with a message, a packet or a capture. */
export interface Problem {
  /** Stable: see {@link PROBLEMS}; captures and the command have further codes of their own. */
  readonly code: string
  /** Consequence at a receiver. */
  readonly severity: Severity
  /** Text of the code, and the expected and actual values where the reader knows them. */
  readonly message: string
  /** Byte offset in the message. */
  readonly offset?: number
  /** The connection's number in the message, from 0. */
  readonly connection?: number
}

/** Problems of a message by code. `number` is what the hot path stores in a row. */
export const PROBLEMS = {
  SHORT_MESSAGE: { number: 1, severity: 'drop', text: 'shorter than a header' },
  SIZE_MISMATCH: { number: 2, severity: 'drop', text: 'the size field differs from the length of the datagram' },
  RECORD_TRUNCATED: { number: 3, severity: 'drop', text: 'the record does not fit into the bytes left' },
  RECORD_LENGTH: { number: 4, severity: 'drop', text: 'the record length exceeds the bytes left' },
  RECORD_VERSION: { number: 5, severity: 'drop', text: 'unknown record version' },
  RECORD_TYPE: { number: 6, severity: 'drop', text: 'the record type is neither IPv4 nor IPv6' },
  RECORD_TOO_SHORT: { number: 7, severity: 'drop', text: 'the record length is less than its fixed part' },
  PARAMETER_TRUNCATED: {
    number: 8,
    severity: 'drop',
    text: 'the parameter header is cut off by the end of the record'
  },
  PARAMETER_LENGTH: { number: 9, severity: 'drop', text: 'the parameter is empty or exceeds the record' },
  SEQUENCE_LENGTH: { number: 10, severity: 'drop', text: 'wrong length of sequence data' },
  SEQUENCE_REPEATED: { number: 11, severity: 'drop', text: 'repeated sequence data' },
  ENGINE_DATA_REPEATED: { number: 12, severity: 'drop', text: 'repeated engine data' },
  ENGINE_NAME_LENGTH: { number: 13, severity: 'drop', text: 'the engine name is too long' },
  ENGINE_NAME_REPEATED: { number: 14, severity: 'drop', text: 'repeated engine name' },
  PARAMETER_UNKNOWN: { number: 32, severity: 'skip', text: 'unknown parameter that is not optional' },
  FLAGS_REFUSED: { number: 33, severity: 'skip', text: 'receivers refuse these flags' },
  PROTOCOL_UNKNOWN: { number: 34, severity: 'skip', text: 'receivers do not know the protocol' },
  STATE_RANGE: { number: 35, severity: 'skip', text: 'the protocol has no such state' },
  TEMPLATE_STATE: { number: 36, severity: 'skip', text: 'a template has no such state' },
  ENGINE_NAME_MISSING: { number: 37, severity: 'skip', text: 'engine data without an engine name' },
  ENGINE_UNKNOWN: { number: 38, severity: 'skip', text: 'receivers do not know the persistence engine' },
  SHORT_HEADER: {
    number: 64,
    severity: 'warning',
    text: 'too short to tell the version; read as version 0, which no kernel sends so short'
  },
  VERSION_UNKNOWN: {
    number: 65,
    severity: 'warning',
    text: 'unknown version; receivers read version 0 without connections'
  },
  SPARE_NOT_ZERO: {
    number: 66,
    severity: 'warning',
    text: 'version 1 with a spare field that is not 0; receivers read version 0 without connections'
  },
  RESERVED_NOT_ZERO: { number: 67, severity: 'warning', text: 'the reserved byte is not 0' },
  TYPE_BITS: { number: 68, severity: 'warning', text: 'the record type has unknown bits' },
  PADDING_NOT_ZERO: { number: 69, severity: 'warning', text: 'padding is not 0' },
  LEFTOVER_BYTES: { number: 70, severity: 'warning', text: 'bytes after the last connection' },
  COUNT_WRAPPED: { number: 71, severity: 'warning', text: 'more connections than the 8 bits of the count can hold' },
  SEQUENCE_WITHOUT_FLAG: { number: 72, severity: 'warning', text: 'sequence data without a sequence flag' },
  MESSAGE_SNAPPED: { number: 73, severity: 'warning', text: 'the capture holds only the beginning of the message' }
} as const satisfies Record<string, { readonly number: number; readonly severity: Severity; readonly text: string }>

/** A code of {@link PROBLEMS}. */
export type ProblemCode = keyof typeof PROBLEMS

const BY_NUMBER = new Map<number, ProblemCode>(
  Object.entries(PROBLEMS).map(([code, { number }]) => [number, code as ProblemCode])
)

/** Returns the code of a problem by its number. */
export function problemCode(number: number): ProblemCode {
  return BY_NUMBER.get(number)!
}

/**
 * Makes the value of a problem.
 *
 * @param code - Code of the problem.
 * @param offset - Byte offset in the message.
 * @param connection - Number of the connection; -1 for the message itself.
 * @param detail - Expected and actual values, where they are known.
 */
export function makeProblem(code: ProblemCode, offset: number, connection = -1, detail = ''): Problem {
  const { severity, text } = PROBLEMS[code]
  const message = detail === '' ? text : `${text} (${detail})`
  return connection < 0
    ? { code, severity, message, offset }
    : { code, severity, message: `connection ${connection}: ${message}`, offset, connection }
}
