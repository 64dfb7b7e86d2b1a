/**
 * The parameters behind a version 1 record: where they stand, and what a receiver finds wrong with them
 * (`ip_vs_proc_sync_conn`; docs/protocol.md section 4).
 *
 * @module
 */
import { MAX_ENGINE_NAME, PARAMETER, SEQUENCE_BYTES } from './constants.js'
import { PARAMETER_HEADER } from './layout.js'
import { PROBLEMS } from './problems.js'

/** Places of one record's parameters, as byte offsets in its message. */
export abstract class RecordParameters {
  /** Byte offset of its 24 bytes of sequence data, or 0. */
  sequenceOffset = 0
  /** Byte offset of its persistence-engine data, or 0. */
  engineDataOffset = 0
  /** Length of that data, in bytes. */
  engineDataLength = 0
  /** Byte offset of its persistence-engine name, or 0. */
  engineNameOffset = 0
  /** Length of that name, in bytes. */
  engineNameLength = 0

  /** Whether any of them was set since they were last forgotten. */
  protected hasParameters = false
  /** Byte offset of what {@link RecordParameters.readParameters} stopped at. */
  protected parameterAt = 0

  /** Makes ready for the next record. */
  protected forgetParameters(): void {
    this.hasParameters = false
    this.sequenceOffset = 0
    this.engineDataOffset = 0
    this.engineNameOffset = 0
    this.engineDataLength = 0
    this.engineNameLength = 0
  }

  /**
   * Reads parameters from `first` to `end`. Each is judged fully before the next is read.
   *
   * @returns 0, or the number of the problem at `parameterAt`: `PARAMETER_UNKNOWN` skips the record, any other drops the rest.
   */
  protected readParameters(bytes: Uint8Array, first: number, end: number): number {
    this.hasParameters = true
    for (let at = first; at < end;) {
      this.parameterAt = at
      if (end - at < PARAMETER_HEADER.DATA) return PROBLEMS.PARAMETER_TRUNCATED.number
      const length = bytes[at + PARAMETER_HEADER.LENGTH]!
      const data = at + PARAMETER_HEADER.DATA
      if (length === 0 || data + length > end) {
        this.parameterAt = at + PARAMETER_HEADER.LENGTH
        return PROBLEMS.PARAMETER_LENGTH.number
      }
      const type = bytes[at + PARAMETER_HEADER.TYPE]!
      const problem = this.#take(type & ~PARAMETER.OPTIONAL, data, length)
      if (problem !== 0) return problem
      if (isUnknown(type)) return PROBLEMS.PARAMETER_UNKNOWN.number
      at = data + length
    }
    return 0
  }

  /** Notes where a known parameter's data stand; the number of the problem that drops the rest, or 0. */
  #take(type: number, data: number, length: number): number {
    if (type === PARAMETER.SEQUENCE) {
      if (length !== SEQUENCE_BYTES) return PROBLEMS.SEQUENCE_LENGTH.number
      if (this.sequenceOffset !== 0) return PROBLEMS.SEQUENCE_REPEATED.number
      this.sequenceOffset = data
    } else if (type === PARAMETER.ENGINE_DATA) {
      if (this.engineDataOffset !== 0) return PROBLEMS.ENGINE_DATA_REPEATED.number
      this.engineDataOffset = data
      this.engineDataLength = length
    } else if (type === PARAMETER.ENGINE_NAME) {
      if (length > MAX_ENGINE_NAME) return PROBLEMS.ENGINE_NAME_LENGTH.number
      if (this.engineNameOffset !== 0) return PROBLEMS.ENGINE_NAME_REPEATED.number
      this.engineNameOffset = data
      this.engineNameLength = length
    }
    return 0
  }
}

/** Whether a receiver must know a parameter and does not. */
function isUnknown(type: number): boolean {
  const known = type & ~PARAMETER.OPTIONAL
  return (known < PARAMETER.SEQUENCE || known > PARAMETER.ENGINE_NAME) && (type & PARAMETER.OPTIONAL) === 0
}
