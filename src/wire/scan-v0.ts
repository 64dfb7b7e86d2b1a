/**
 * The scan of version 0's records: docs/protocol.md section 3.
 *
 * @module
 */
import { FLAG } from './constants.js'
import type { ScanEnd, ScanState } from './scan-state.js'
import { addRun, refuse } from './scan-record.js'

const HEADER = 4
const RECORD = 24
const WITH_SEQUENCE = 48

/** Scans as many records as the header counts (`ip_vs_process_message_v0`). */
export function scanRecordsV0(state: ScanState, count: number): ScanEnd {
  const { bytes, data, length, findings } = state
  let at = HEADER
  for (let i = 0; i < count; i++) {
    const size = at + RECORD <= bytes.length ? sizeAt(data, at) : RECORD
    if (at + size > length) {
      findings.add('RECORD_TRUNCATED', at, `a record of ${size} bytes does not fit, ${length - at} are left`, i)
      return { count: i, end: at, stopped: 'dropped' }
    }
    if (at + size > bytes.length) return { count: i, end: at, stopped: 'snapped' }
    if (bytes[at] !== 0) findings.add('RESERVED_NOT_ZERO', at, `reserved is ${bytes[at]!}, not 0`, i)
    refuse(state, {
      flags: data.getUint16(at + 20),
      protocol: bytes[at + 1]!,
      state: data.getUint16(at + 22),
      at,
      index: i
    })
    addRun(state.runs, size === RECORD ? 'v0' : 'v0-sequence', at, at + size, at + size)
    at += size
  }
  return { count, end: at, ...further(state, at) }
}

function sizeAt(data: DataView, at: number): number {
  return (data.getUint16(at + 20) & FLAG.SEQUENCE) === 0 ? RECORD : WITH_SEQUENCE
}

/** Records beyond those counted, if the rest consists of nothing else. */
function further({ bytes, data, length }: ScanState, from: number): { further?: number } {
  let at = from
  let count = 0
  for (; at + RECORD <= bytes.length; count++) at += sizeAt(data, at)
  return at === length ? { further: count } : {}
}
