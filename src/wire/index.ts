/**
 * The wire: bytes to values and back, for versions 0 and 1. Pure.
 *
 * @module
 */
export type * from './connection.js'
export {
  BACKUP_MASK,
  BACKUP_UPDATE_MASK,
  DEFAULT_MAXLEN_IPV4,
  DEFAULT_MAXLEN_IPV6,
  FLAG_CHECKS,
  FLAG,
  KNOWN_ENGINES,
  MAX_CHANNELS,
  MAX_CONNECTIONS,
  MAX_ENGINE_NAME,
  MAX_PAYLOAD,
  PARAMETER,
  SEQUENCE_BYTES,
  SYNC_GROUP,
  SYNC_PORT,
  type FlagChecks
} from './constants.js'
export { decodeMessage, problemsOf } from './decode-message.js'
export { labelBytes, type LabelledBytes } from './dump-message.js'
export { encodeMessage, encodeMessages, type SplitOptions } from './encode-message.js'
export { flagBits, flagNames, forwardingName, forwardingNumber } from './flags.js'
export { formatMessage, type FormatOptions } from './format-message.js'
export { MessageReader, type ReadResult } from './message-reader.js'
export { MessageView } from './message-view.js'
export type { RecordParameters } from './parameters.js'
export { MessageWriter } from './message-writer.js'
export type { DecodeOptions, EncodeOptions, ReadOptions } from './options.js'
export { PROBLEMS, type Problem, type ProblemCode, type Severity } from './problems.js'
export {
  DEFAULT_TIMEOUT,
  PROTOCOL,
  protocolName,
  protocolNumber,
  stateCount,
  stateName,
  stateNumber,
  stateTimeout
} from './protocols.js'
export { connectionFromRow, rowFromConnection } from './row-values.js'
export { createRows, PRESENT, ROW, ROW_WORDS, type EngineBytes, type Rows } from './rows.js'
