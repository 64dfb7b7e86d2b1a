/**
 * The catalogue of what can be wrong with a message: constants only. Who finds a problem lives with each reader
 * (the grammar and the view have fault code of their own, so that each tests the other).
 *
 * @module
 */

/**
 * What a receiver does about a problem.
 *
 * - `drop` it gives up the datagram, or the rest of it: connections before it stand
 * - `skip` it passes over this connection and goes on with the next
 * - `warning` it does nothing; a person should know
 */
export type Severity = 'drop' | 'skip' | 'warning'

/** Something wrong with a message, a packet or a capture. */
export interface Problem {
  /** Stable: see {@link PROBLEMS}; captures and the command have further codes of their own. */
  readonly code: string
  /** What a receiver does about it. */
  readonly severity: Severity
  /** Expected and actual, with units. */
  readonly message: string
  /** Byte offset in the message. */
  readonly offset?: number
  /** The connection's number in the message, from 0. */
  readonly connection?: number
}

/** The codes of a message's problems, each with what a receiver does. `number` is what the hot path stores in a row. */
export const PROBLEMS = {
  SHORT_MESSAGE: { number: 1, severity: 'drop' },
  SIZE_MISMATCH: { number: 2, severity: 'drop' },
  RECORD_TRUNCATED: { number: 3, severity: 'drop' },
  RECORD_LENGTH: { number: 4, severity: 'drop' },
  RECORD_VERSION: { number: 5, severity: 'drop' },
  RECORD_TYPE: { number: 6, severity: 'drop' },
  RECORD_TOO_SHORT: { number: 7, severity: 'drop' },
  PARAMETER_TRUNCATED: { number: 8, severity: 'drop' },
  PARAMETER_LENGTH: { number: 9, severity: 'drop' },
  SEQUENCE_LENGTH: { number: 10, severity: 'drop' },
  SEQUENCE_REPEATED: { number: 11, severity: 'drop' },
  ENGINE_DATA_REPEATED: { number: 12, severity: 'drop' },
  ENGINE_NAME_LENGTH: { number: 13, severity: 'drop' },
  ENGINE_NAME_REPEATED: { number: 14, severity: 'drop' },
  PARAMETER_UNKNOWN: { number: 32, severity: 'skip' },
  FLAGS_REFUSED: { number: 33, severity: 'skip' },
  PROTOCOL_UNKNOWN: { number: 34, severity: 'skip' },
  STATE_RANGE: { number: 35, severity: 'skip' },
  TEMPLATE_STATE: { number: 36, severity: 'skip' },
  ENGINE_NAME_MISSING: { number: 37, severity: 'skip' },
  ENGINE_UNKNOWN: { number: 38, severity: 'skip' },
  SHORT_HEADER: { number: 64, severity: 'warning' },
  VERSION_UNKNOWN: { number: 65, severity: 'warning' },
  SPARE_NOT_ZERO: { number: 66, severity: 'warning' },
  RESERVED_NOT_ZERO: { number: 67, severity: 'warning' },
  TYPE_BITS: { number: 68, severity: 'warning' },
  PADDING_NOT_ZERO: { number: 69, severity: 'warning' },
  LEFTOVER_BYTES: { number: 70, severity: 'warning' },
  COUNT_WRAPPED: { number: 71, severity: 'warning' },
  SEQUENCE_WITHOUT_FLAG: { number: 72, severity: 'warning' },
  MESSAGE_SNAPPED: { number: 73, severity: 'warning' }
} as const satisfies Record<string, { readonly number: number; readonly severity: Severity }>

/** A code of {@link PROBLEMS}. */
export type ProblemCode = keyof typeof PROBLEMS
