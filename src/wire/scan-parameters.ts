/**
 * The scan of a version 1 record's parameters: docs/protocol.md section 4.
 *
 * @module
 */
import { MAX_ENGINE_NAME, PARAMETER, SEQUENCE_BYTES } from './constants.js'
import { toText } from './hex.js'
import type { ScanState } from './scan-state.js'

/** What a record's parameters are. */
export interface ScannedParameters {
  /** Byte offset behind the last that a receiver reads. */
  readonly end: number
  /** Whether one of them makes the receiver skip the connection: it looks at nothing else then. */
  readonly isSkipped: boolean
  /** Where those stand that a receiver knows, by type. */
  readonly seen: ReadonlyMap<number, Place>
}

/** Byte offsets of a parameter, of its data, and behind them. */
export interface Place {
  readonly at: number
  readonly data: number
  readonly end: number
}

/**
 * Reads parameters one after the other, each fully before the next (`ip_vs_proc_sync_conn`).
 *
 * @returns undefined where the receiver drops the rest of the message.
 */
export function scanParameters(
  state: ScanState,
  from: number,
  to: number,
  index: number
): ScannedParameters | undefined {
  const { bytes, findings } = state
  const seen = new Map<number, Place>()
  let at = from
  while (at < to) {
    const place = placeOf(state, at, to, index)
    if (place === undefined) return undefined
    const type = bytes[at]! & ~PARAMETER.OPTIONAL
    if (NAMES.has(type)) {
      if (!checkKnown(state, type, place, seen, index)) return undefined
      seen.set(type, place)
    } else if ((bytes[at]! & PARAMETER.OPTIONAL) === 0) {
      findings.add('PARAMETER_UNKNOWN', at, `parameter ${type} is unknown and not marked as optional`, index)
      return { end: at, isSkipped: true, seen }
    }
    at = place.end
  }
  return { end: to, isSkipped: false, seen }
}

/** Reports engine data without a name, or with one that the receiver does not know; names end at their first zero byte. */
export function judgeEngine(
  { bytes, engines, findings }: ScanState,
  seen: ReadonlyMap<number, Place>,
  index: number
): void {
  const data = seen.get(PARAMETER.ENGINE_DATA)
  if (data === undefined) return
  const name = seen.get(PARAMETER.ENGINE_NAME)
  if (name === undefined) {
    findings.add('ENGINE_NAME_MISSING', data.data, 'engine data without an engine name', index)
    return
  }
  const [text = ''] = toText(bytes.subarray(name.data, name.end)).split('\0')
  if (engines.includes(text)) return
  const known = engines.join(', ')
  findings.add('ENGINE_UNKNOWN', name.data, `engine ${JSON.stringify(text)}; the receiver knows ${known}`, index)
}

const NAMES = new Map<number, string>([
  [PARAMETER.SEQUENCE, 'sequence data'],
  [PARAMETER.ENGINE_DATA, 'engine data'],
  [PARAMETER.ENGINE_NAME, 'an engine name']
])

function placeOf({ bytes, findings }: ScanState, at: number, to: number, index: number): Place | undefined {
  if (to - at < 2) {
    findings.add('PARAMETER_TRUNCATED', at, 'a parameter has at least 2 bytes, 1 is left of the record', index)
    return undefined
  }
  const length = bytes[at + 1]!
  const left = to - at - 2
  if (length > 0 && length <= left) return { at, data: at + 2, end: at + 2 + length }
  const expected = length === 0 ? 'it has at least 1' : `${left} are left of the record`
  findings.add('PARAMETER_LENGTH', at + 1, `a parameter of ${length} bytes; ${expected}`, index)
  return undefined
}

/** A known parameter's length, and that it comes once; false where the receiver drops the rest. */
function checkKnown(
  { findings }: ScanState,
  type: number,
  { at, data, end }: Place,
  seen: ReadonlyMap<number, Place>,
  index: number
): boolean {
  const length = end - data
  if (type === PARAMETER.SEQUENCE && length !== SEQUENCE_BYTES)
    return findings.add('SEQUENCE_LENGTH', at, `sequence data of ${length} bytes, not ${SEQUENCE_BYTES}`, index)
  if (type === PARAMETER.ENGINE_NAME && length > MAX_ENGINE_NAME)
    return findings.add(
      'ENGINE_NAME_LENGTH',
      at,
      `an engine name of ${length} bytes; ${MAX_ENGINE_NAME} are allowed`,
      index
    )
  if (!seen.has(type)) return true
  const code =
    type === PARAMETER.SEQUENCE
      ? 'SEQUENCE_REPEATED'
      : type === PARAMETER.ENGINE_DATA
        ? 'ENGINE_DATA_REPEATED'
        : 'ENGINE_NAME_REPEATED'
  return findings.add(code, at, `${NAMES.get(type)!} for the second time`, index)
}
