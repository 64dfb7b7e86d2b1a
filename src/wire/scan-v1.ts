/**
 * The scan of version 1's records: docs/protocol.md section 4.
 *
 * @module
 */
import { FLAG, PARAMETER } from './constants.js'
import { judgeEngine, scanParameters } from './scan-parameters.js'
import { stateCount } from './protocols.js'
import type { ScanEnd, ScanState } from './scan-state.js'
import { addRun, refuse } from './scan-record.js'

const HEADER = 8
const IPV4 = 36
const IPV6 = 72

/** Scans as many records as the header counts (`ip_vs_process_message`, `ip_vs_proc_sync_conn`). */
export function scanRecordsV1(state: ScanState, count: number): ScanEnd {
  const { bytes, data, length } = state
  const plain = passPlain(state, count)
  let at = HEADER + plain * IPV4
  let end = at
  for (let i = plain; i < count; i++) {
    checkPadding(state, end, at, i)
    if (length - at >= IPV4 && bytes.length - at < IPV4) return { count: i, end, stopped: 'snapped' }
    if (!checkRecord(state, at, i)) return { count: i, end, stopped: 'dropped' }
    const size = data.getUint16(at + 2) & 4095
    if (at + size > bytes.length) return { count: i, end, stopped: 'snapped' }
    if (!takeRecord(state, at, size, i)) return { count: i, end, stopped: 'dropped' }
    end = at + size
    at += (size + 3) & ~3
  }
  return { count, end, ...further(state, at) }
}

/** Type 0, any protocol, record version 0, 36 bytes. */
const PLAIN_MASK = ~0xff0000
const DOUBTFUL_FLAGS = FLAG.TEMPLATE | FLAG.ONE_PACKET

/**
 * Passes over the sound IPv4 records without parameters at the beginning, of which most messages consist.
 *
 * @returns How many there are.
 */
function passPlain({ data, runs }: ScanState, count: number): number {
  let at = HEADER
  let i = 0
  for (; i < count && at + IPV4 <= data.byteLength; i++) {
    const first = data.getInt32(at)
    if ((first & PLAIN_MASK) !== IPV4 || (data.getInt32(at + 4) & DOUBTFUL_FLAGS) !== 0) break
    if (data.getUint16(at + 8) >= stateCount(first >>> 16)) break
    at += IPV4
  }
  if (i > 0) addRun(runs, 'ipv4', HEADER, at, at)
  return i
}

/** The bytes between a record and the next. */
function checkPadding({ bytes, findings }: ScanState, from: number, to: number, next: number): void {
  for (let at = from; at < Math.min(to, bytes.length); at++) {
    if (bytes[at] === 0) continue
    findings.add('PADDING_NOT_ZERO', at, `padding is ${bytes[at]!}, not 0`, next - 1)
    return
  }
}

/** What a receiver asks of a record before it looks at its parameters; false where it drops the rest. */
function checkRecord({ bytes, data, length, findings }: ScanState, at: number, index: number): boolean {
  const left = length - at
  if (left < IPV4)
    return findings.add(
      'RECORD_TRUNCATED',
      at,
      `a record has at least ${IPV4} bytes, ${Math.max(left, 0)} are left`,
      index
    )
  const word = data.getUint16(at + 2)
  const size = word & 4095
  if (size > left) return findings.add('RECORD_LENGTH', at + 2, `a record of ${size} bytes, ${left} are left`, index)
  if (word > 4095) return findings.add('RECORD_VERSION', at + 2, `record version ${word >> 12}, not 0`, index)
  const type = bytes[at]!
  if (type !== 0 && type % 2 === 0)
    return findings.add('RECORD_TYPE', at, `record type ${type}; receivers know 0 (IPv4) and bit 0 (IPv6)`, index)
  const least = type === 0 ? IPV4 : IPV6
  if (size < least)
    return findings.add('RECORD_TOO_SHORT', at + 2, `a record of ${size} bytes; this type has at least ${least}`, index)
  if (type > 1) findings.add('TYPE_BITS', at, `record type ${type}: only bit 0 has a meaning`, index)
  return true
}

/** Judges a record that is whole and notes where it stands; false where the receiver drops the rest. */
function takeRecord(state: ScanState, at: number, size: number, index: number): boolean {
  const { bytes, data } = state
  const fixed = bytes[at] === 0 ? IPV4 : IPV6
  const flags = data.getInt32(at + 4)
  const judged = { flags, protocol: bytes[at + 1]!, state: data.getUint16(at + 8), at, index }
  if (size === fixed) {
    refuse(state, judged)
    addRun(state.runs, fixed === IPV4 ? 'ipv4' : 'ipv6', at, at + size, at + size)
    return true
  }
  const found = scanParameters(state, at + fixed, at + size, index)
  if (found === undefined) return false
  const sequence = found.seen.get(PARAMETER.SEQUENCE)
  if (sequence !== undefined && (flags & FLAG.SEQUENCE) === 0)
    state.findings.add('SEQUENCE_WITHOUT_FLAG', sequence.data, 'sequence data, but neither flag says so', index)
  if (!found.isSkipped && !refuse(state, judged)) judgeEngine(state, found.seen, index)
  addRun(state.runs, 'parameters', at, at + size, found.end)
  return true
}

/** Records beyond those counted, if the rest consists of nothing else. */
function further({ bytes, data, length }: ScanState, from: number): { further?: number } {
  let at = from
  let count = 0
  let end = from
  for (; at + IPV4 <= bytes.length; count++) {
    const size = data.getUint16(at + 2)
    if (bytes[at]! > 1 || size < (bytes[at] === 0 ? IPV4 : IPV6)) return {}
    end = at + size
    at += (size + 3) & ~3
  }
  return end === length ? { further: count } : {}
}
