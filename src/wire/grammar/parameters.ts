/**
 * Parameters of a version 1 record in the grammar's reading: checks and values (docs/protocol.md section 4).
 *
 * @module
 */
import { MAX_ENGINE_NAME, PARAMETER, SEQUENCE_BYTES } from '../constants.js'
import type { PersistenceEngine } from '../connection.js'
import { toHex, toText } from '../hex.js'
import type { ProblemCode } from '../problems.js'
import { PARAMETERS, SEQUENCE, type SequenceFields } from './parsers.js'
import { report, type ScanState } from './scan-state.js'

/** Parameters of a record that is read. */
interface ScannedParameters {
  /** Byte offset after the last that a receiver reads. */
  readonly end: number
  /** Whether one of them makes the receiver skip the connection without further checks. */
  readonly isSkipped: boolean
  /** Reports engine data whose engine the receiver does not know. */
  judgeEngine(): void
}

/** Byte offsets of a parameter, of its data, and of what follows. */
interface Place {
  readonly at: number
  readonly data: number
  readonly end: number
}

/** Code for the second parameter of a known type. */
const REPEATED = new Map<number, ProblemCode>([
  [PARAMETER.SEQUENCE, 'SEQUENCE_REPEATED'],
  [PARAMETER.ENGINE_DATA, 'ENGINE_DATA_REPEATED'],
  [PARAMETER.ENGINE_NAME, 'ENGINE_NAME_REPEATED']
])

/**
 * Scans parameters in order, each completely before the next (`ip_vs_proc_sync_conn`).
 *
 * @param hasFlag - Whether a sequence flag is set.
 * @returns Undefined where the receiver drops the rest of the message.
 */
export function scanParameters(
  state: ScanState,
  from: number,
  to: number,
  hasFlag: boolean,
  index: number
): ScannedParameters | undefined {
  const { bytes } = state
  const seen = new Map<number, Place>()
  let at = from
  let isSkipped = false
  while (at < to && !isSkipped) {
    const place = placeOf(state, at, to, index)
    if (place === undefined) return undefined
    const type = bytes[at]! & ~PARAMETER.OPTIONAL
    if (REPEATED.has(type)) {
      if (!checkKnown(state, type, place, seen, index)) return undefined
      seen.set(type, place)
    } else if ((bytes[at]! & PARAMETER.OPTIONAL) === 0) {
      report(state, 'PARAMETER_UNKNOWN', at, `type ${type}`, index)
      isSkipped = true
    }
    if (!isSkipped) at = place.end
  }
  const sequence = seen.get(PARAMETER.SEQUENCE)
  if (sequence !== undefined && !hasFlag) report(state, 'SEQUENCE_WITHOUT_FLAG', sequence.data, '', index)
  return { end: at, isSkipped, judgeEngine: () => judgeEngine(state, seen, index) }
}

function placeOf(state: ScanState, at: number, to: number, index: number): Place | undefined {
  if (to - at < 2) {
    report(state, 'PARAMETER_TRUNCATED', at, '2 bytes, 1 left', index)
    return undefined
  }
  const length = state.bytes[at + 1]!
  const left = to - at - 2
  if (length > 0 && length <= left) return { at, data: at + 2, end: at + 2 + length }
  report(state, 'PARAMETER_LENGTH', at + 1, `${length} bytes, ${left} left`, index)
  return undefined
}

/** Checks the length of a known parameter and that it is the first; returns false where the receiver drops the rest. */
function checkKnown(
  state: ScanState,
  type: number,
  { at, data, end }: Place,
  seen: ReadonlyMap<number, Place>,
  index: number
): boolean {
  const length = end - data
  if (type === PARAMETER.SEQUENCE && length !== SEQUENCE_BYTES)
    return report(state, 'SEQUENCE_LENGTH', at, `expected ${SEQUENCE_BYTES} bytes, got ${length}`, index)
  if (type === PARAMETER.ENGINE_NAME && length > MAX_ENGINE_NAME)
    return report(state, 'ENGINE_NAME_LENGTH', at, `at most ${MAX_ENGINE_NAME} bytes, got ${length}`, index)
  return !seen.has(type) || report(state, REPEATED.get(type)!, at, '', index)
}

/** Names end at their first zero byte. */
function judgeEngine(state: ScanState, seen: ReadonlyMap<number, Place>, index: number): void {
  const data = seen.get(PARAMETER.ENGINE_DATA)
  if (data === undefined) return
  const name = seen.get(PARAMETER.ENGINE_NAME)
  if (name === undefined) {
    report(state, 'ENGINE_NAME_MISSING', data.data, '', index)
    return
  }
  const [text = ''] = toText(state.bytes.subarray(name.data, name.end)).split('\0')
  if (state.engines.includes(text)) return
  const detail = `expected ${state.engines.join(', ')}, got ${JSON.stringify(text)}`
  report(state, 'ENGINE_UNKNOWN', name.data, detail, index)
}

/** Values of a record's parameters. */
export interface ParameterValues {
  readonly sequence: SequenceFields | undefined
  readonly engine: PersistenceEngine | undefined
}

/** Parses parameters that the scan found to be complete. */
export function parseParameters(bytes: Uint8Array): ParameterValues {
  const { items } = PARAMETERS.parse(bytes)
  const find = (type: number): Uint8Array | undefined =>
    items.find((item) => (item.type & ~PARAMETER.OPTIONAL) === type)?.data
  const sequence = find(PARAMETER.SEQUENCE)
  const name = find(PARAMETER.ENGINE_NAME)
  const data = find(PARAMETER.ENGINE_DATA)
  return {
    sequence: sequence && SEQUENCE.big.parse(sequence),
    engine: (name ?? data) && { name: toText(name ?? NO_BYTES), data: toHex(data ?? NO_BYTES) }
  }
}

const NO_BYTES = new Uint8Array(0)
