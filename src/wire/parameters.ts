/**
 * Parameters of a version 1 record: offsets, the checks of a receiver in its order, and how they are written
 * (`ip_vs_proc_sync_conn`; docs/protocol.md section 4).
 *
 * @module
 */
import { MAX_ENGINE_NAME, PARAMETER, SEQUENCE_BYTES } from './constants.js'
import { PROBLEMS } from './problems.js'
import { PRESENT, ROW, type EngineBytes } from './rows.js'

/** A version 1 parameter: type, length, data. */
export const PARAMETER_HEADER = { TYPE: 0, LENGTH: 1, DATA: 2 } as const

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

/** Returns the length of a row's parameters in bytes, headers included. */
export function parametersLength(present: number, engine: EngineBytes | undefined): number {
  const sequence = (present & PRESENT.SEQUENCE) === 0 ? 0 : PARAMETER_HEADER.DATA + SEQUENCE_BYTES
  if (engine === undefined) return sequence
  const { data, name } = engine
  return (
    sequence +
    (data.length > 0 ? PARAMETER_HEADER.DATA + data.length : 0) +
    (name.length > 0 ? PARAMETER_HEADER.DATA + name.length : 0)
  )
}

/** Writes the parameters of the row whose words begin at `from`: sequence data, engine data, engine name. */
export function writeParameters(
  data: DataView,
  first: number,
  words: Int32Array,
  from: number,
  engine: EngineBytes | undefined
): void {
  let at = first
  if ((words[from + ROW.PRESENT]! & PRESENT.SEQUENCE) !== 0) {
    writeParameterHeader(data, at, PARAMETER.SEQUENCE, SEQUENCE_BYTES)
    writeSequence(data, at + PARAMETER_HEADER.DATA, words, from, false)
    at += PARAMETER_HEADER.DATA + SEQUENCE_BYTES
  }
  if (engine === undefined) return
  if (engine.data.length > 0) at = writeBytes(data, at, PARAMETER.ENGINE_DATA, engine.data)
  if (engine.name.length > 0) writeBytes(data, at, PARAMETER.ENGINE_NAME, engine.name)
}

/** Writes the six words of sequence data. */
export function writeSequence(
  data: DataView,
  at: number,
  words: Int32Array,
  from: number,
  littleEndian: boolean
): void {
  for (let i = 0; i < 6; i++) data.setInt32(at + 4 * i, words[from + ROW.SEQUENCE + i]!, littleEndian)
}

function writeBytes(data: DataView, at: number, type: number, bytes: Uint8Array): number {
  writeParameterHeader(data, at, type, bytes.length)
  for (let i = 0; i < bytes.length; i++) data.setUint8(at + PARAMETER_HEADER.DATA + i, bytes[i]!)
  return at + PARAMETER_HEADER.DATA + bytes.length
}

function writeParameterHeader(data: DataView, at: number, type: number, length: number): void {
  data.setUint8(at + PARAMETER_HEADER.TYPE, type)
  data.setUint8(at + PARAMETER_HEADER.LENGTH, length)
}
