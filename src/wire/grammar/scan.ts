/**
 * The scan before the parsers run: which records of a message are complete, and every problem in the order in which a
 * receiver finds it. Offsets are written here again, as numbers: the view has its own, and a test compares the two readings.
 *
 * @module
 */
import { isSealed, SEAL_LENGTH } from '../seal-mark.js'
import { counted } from '../../text.js'
import { CHECK, checksOf, FLAG, KNOWN_ENGINES } from '../constants.js'
import { flagNames } from '../flags.js'
import { demandDecodable, type DecodeOptions } from '../options.js'
import type { Problem } from '../problems.js'
import { protocolName, stateCount } from '../protocols.js'
import { scanParameters } from './parameters.js'
import { MESSAGE_HEADER_V0, MESSAGE_HEADER_V1 } from './parsers.js'
import { report, type Run, type ScanState } from './scan-state.js'

/** Fields of a header that a receiver uses. */
export interface Header {
  readonly version: 0 | 1
  /** 0…255. */
  readonly syncid: number
  /** Size field, in bytes. */
  readonly size: number
  /** 0…255. */
  readonly count: number
}

/** Result of a scan. */
export interface Scan {
  /** Undefined for a message that is shorter than a header. */
  readonly header: Header | undefined
  /** Records that are complete. */
  readonly runs: readonly Run[]
  readonly problems: readonly Problem[]
}

/** End of a scan of records. */
interface ScanEnd {
  /** Number of complete records. */
  readonly count: number
  /** Byte offset after the last of them. */
  readonly end: number
  /** Reason to stop before the count was reached. */
  readonly stopped?: 'dropped' | 'snapped'
  /** Number of further records; undefined unless all the remaining bytes are records. */
  readonly further?: number
}

const HEADER_V0 = 4
const HEADER_V1 = 8
const RECORD_V0 = 24
const RECORD_V0_WITH_SEQUENCE = 48
const RECORD_IPV4 = 36
const RECORD_IPV6 = 72

/**
 * Scans a message of any bytes. It does not throw for any of them; time and result are bounded by the length of the message.
 *
 * @throws IpvsSyncError `ERR_USAGE` for arguments that are not accepted.
 */
export function scanMessage(bytes: Uint8Array, options: DecodeOptions = {}): Scan {
  demandDecodable(bytes, options)
  const state: ScanState = {
    bytes,
    data: new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
    length: Math.max(options.wireLength ?? 0, bytes.length),
    checks: checksOf(options.flagChecks),
    engines: options.engines ?? KNOWN_ENGINES,
    problems: [],
    runs: []
  }
  const header = readHeader(bytes)
  if (checkSize(state, header)) {
    if (bytes.length < Math.min(state.length, HEADER_V1)) reportSnapped(state, 0, 0)
    else if (header.version === 1) scanRecords(state, header.count, scanRecordsV1)
    else {
      const { bytes, length } = state
      if (length < HEADER_V1) report(state, 'SHORT_HEADER', 0, `${length} bytes`)
      // With reserved 0 the sender meant another version than 0.
      const isOtherVersion = header.count === 0 && length >= HEADER_V1
      const end = scanRecords(state, header.count, scanRecordsV0, isOtherVersion)
      if (isOtherVersion && !isWrapped(end)) {
        const { version, spare } = MESSAGE_HEADER_V1.parse(bytes)
        if (version === 1) report(state, 'SPARE_NOT_ZERO', 6, `spare ${spare}`)
        else report(state, 'VERSION_UNKNOWN', 5, `expected 1, got ${version}`)
      }
    }
  }
  return { header, runs: state.runs, problems: state.problems }
}

/** Version 1 has reserved and spare 0 and version 1; anything else is read as version 0 (`ip_vs_process_message`). */
function readHeader(bytes: Uint8Array): Header | undefined {
  if (bytes.length < HEADER_V0) return undefined
  if (bytes.length >= HEADER_V1) {
    const { reserved, syncid, size, count, version, spare } = MESSAGE_HEADER_V1.parse(bytes)
    if (reserved === 0 && version === 1 && spare === 0) return { version, syncid, size, count }
  }
  const { count, syncid, size } = MESSAGE_HEADER_V0.parse(bytes)
  return { version: 0, syncid, size, count }
}

function checkSize(state: ScanState, header: Header | undefined): header is Header {
  const { bytes, length } = state
  if (length < HEADER_V0) return report(state, 'SHORT_MESSAGE', 0, `expected at least 4 bytes, got ${length}`)
  if (header === undefined) return report(state, 'MESSAGE_SNAPPED', bytes.length, snappedText(state))
  if (header.size === length) return true
  return report(state, 'SIZE_MISMATCH', 2, `size ${header.size}, length ${length} bytes`)
}

function scanRecords(
  state: ScanState,
  count: number,
  scan: (state: ScanState, count: number) => ScanEnd,
  isOtherVersion = false
): ScanEnd {
  const end = scan(state, count)
  if (end.stopped === 'dropped') return end
  if (end.stopped === undefined && (!isOtherVersion || isWrapped(end))) reportLeftover(state, end)
  if (state.bytes.length < state.length) reportSnapped(state, end.count, count)
  return end
}

/** The count has 8 bits: a sender that adds 256 records more than it can count lets it wrap. */
function isWrapped({ further }: ScanEnd): boolean {
  return further !== undefined && further > 0 && further % 256 === 0
}

function reportLeftover(state: ScanState, scanEnd: ScanEnd): void {
  const { count, end, further } = scanEnd
  const left = state.length - end
  if (left <= 0) return
  // A receiver without the key ignores the trailer, as kernels do.
  if (left === SEAL_LENGTH && isSealed(state.bytes)) return
  if (isWrapped(scanEnd)) {
    report(state, 'COUNT_WRAPPED', end, `the header counts ${count}, the message has ${count + further!}`)
    return
  }
  const look = further ? `, as long as ${counted(further, 'record')}` : ''
  report(state, 'LEFTOVER_BYTES', end, `${counted(left, 'byte')}${look}`)
}

function reportSnapped(state: ScanState, complete: number, count: number): void {
  const rest = complete < count ? `; ${complete} of ${counted(count, 'connection')}` : ''
  report(state, 'MESSAGE_SNAPPED', state.bytes.length, `${snappedText(state)}${rest}`)
}

function snappedText({ bytes, length }: ScanState): string {
  return `${bytes.length} of ${counted(length, 'byte')}`
}

/** Scans as many version 0 records as the header counts (`ip_vs_process_message_v0`; docs/protocol.md section 3). */
function scanRecordsV0(state: ScanState, count: number): ScanEnd {
  const { bytes, data, length } = state
  let at = HEADER_V0
  for (let i = 0; i < count; i++) {
    const size = at + RECORD_V0 <= bytes.length ? sizeV0(data, at) : RECORD_V0
    if (at + size > length) {
      report(state, 'RECORD_TRUNCATED', at, `${size} bytes, ${length - at} left`, i)
      return { count: i, end: at, stopped: 'dropped' }
    }
    if (at + size > bytes.length) return { count: i, end: at, stopped: 'snapped' }
    if (bytes[at] !== 0) report(state, 'RESERVED_NOT_ZERO', at, `got ${bytes[at]!}`, i)
    judge(state, data.getUint16(at + 20), bytes[at + 1]!, data.getUint16(at + 22), at, i)
    addRun(state.runs, size === RECORD_V0 ? 'v0' : 'v0-sequence', at, at + size, at + size)
    at += size
  }
  const end = at
  let further = 0
  for (; at + RECORD_V0 <= bytes.length; further++) at += sizeV0(data, at)
  return at === length ? { count, end, further } : { count, end }
}

function sizeV0(data: DataView, at: number): number {
  return (data.getUint16(at + 20) & FLAG.SEQUENCE) === 0 ? RECORD_V0 : RECORD_V0_WITH_SEQUENCE
}

/** Scans as many version 1 records as the header counts (`ip_vs_proc_sync_conn`; docs/protocol.md section 4). */
function scanRecordsV1(state: ScanState, count: number): ScanEnd {
  const { bytes, data, length } = state
  const plain = scanPlain(state, count)
  let at = HEADER_V1 + plain * RECORD_IPV4
  let end = at
  for (let i = plain; i < count; i++) {
    checkPadding(state, end, at, i)
    if (length - at >= RECORD_IPV4 && bytes.length - at < RECORD_IPV4) return { count: i, end, stopped: 'snapped' }
    if (!checkRecord(state, at, i)) return { count: i, end, stopped: 'dropped' }
    const size = data.getUint16(at + 2) & 4095
    if (at + size > bytes.length) return { count: i, end, stopped: 'snapped' }
    if (!scanRecord(state, at, size, i)) return { count: i, end, stopped: 'dropped' }
    end = at + size
    at += (size + 3) & ~3
  }
  return { count, end, ...scanFurther(state, at) }
}

/** All of a record's first word but its protocol: 36 for type 0, record version 0 and no parameters. */
const PLAIN_MASK = ~0xff0000

/**
 * Scans the valid IPv4 records without parameters at the beginning, of which most messages consist.
 *
 * @returns Their number.
 */
function scanPlain({ data, runs }: ScanState, count: number): number {
  let at = HEADER_V1
  let i = 0
  for (; i < count && at + RECORD_IPV4 <= data.byteLength; i++) {
    const first = data.getInt32(at)
    if ((first & PLAIN_MASK) !== RECORD_IPV4) break
    if ((data.getInt32(at + 4) & (FLAG.TEMPLATE | FLAG.ONE_PACKET)) !== 0) break
    if (data.getUint16(at + 8) >= stateCount(first >>> 16)) break
    at += RECORD_IPV4
  }
  if (i > 0) addRun(runs, 'ipv4', HEADER_V1, at, at)
  return i
}

/** Checks the bytes between a record and the next. */
function checkPadding(state: ScanState, from: number, to: number, next: number): void {
  const { bytes } = state
  for (let at = from; at < Math.min(to, bytes.length); at++) {
    if (bytes[at] === 0) continue
    report(state, 'PADDING_NOT_ZERO', at, `got ${bytes[at]!}`, next - 1)
    return
  }
}

/** Makes the checks before the parameters; returns false where the receiver drops the rest. */
function checkRecord(state: ScanState, at: number, index: number): boolean {
  const { bytes, data, length } = state
  const left = length - at
  if (left < RECORD_IPV4)
    return report(state, 'RECORD_TRUNCATED', at, `at least 36 bytes, ${Math.max(left, 0)} left`, index)
  const word = data.getUint16(at + 2)
  const size = word & 4095
  if (size > left) return report(state, 'RECORD_LENGTH', at + 2, `${size} bytes, ${left} left`, index)
  if (word > 4095) return report(state, 'RECORD_VERSION', at + 2, `expected 0, got ${word >> 12}`, index)
  const type = bytes[at]!
  if (type !== 0 && type % 2 === 0) return report(state, 'RECORD_TYPE', at, `expected 0 or 1, got ${type}`, index)
  const least = type === 0 ? RECORD_IPV4 : RECORD_IPV6
  if (size < least) return report(state, 'RECORD_TOO_SHORT', at + 2, `${size} of at least ${least} bytes`, index)
  if (type > 1) report(state, 'TYPE_BITS', at, `expected 0 or 1, got ${type}`, index)
  return true
}

/** Checks a complete record and adds it to the runs; returns false where the receiver drops the rest. */
function scanRecord(state: ScanState, at: number, size: number, index: number): boolean {
  const { bytes, data } = state
  const fixed = bytes[at] === 0 ? RECORD_IPV4 : RECORD_IPV6
  const flags = data.getInt32(at + 4)
  const protocol = bytes[at + 1]!
  const recordState = data.getUint16(at + 8)
  if (size === fixed) {
    judge(state, flags, protocol, recordState, at, index)
    addRun(state.runs, fixed === RECORD_IPV4 ? 'ipv4' : 'ipv6', at, at + size, at + size)
    return true
  }
  const parameters = scanParameters(state, at + fixed, at + size, (flags & FLAG.SEQUENCE) !== 0, index)
  if (parameters === undefined) return false
  if (!parameters.isSkipped && !judge(state, flags, protocol, recordState, at, index)) parameters.judgeEngine()
  addRun(state.runs, 'parameters', at, at + size, parameters.end)
  return true
}

/** Counts the records after those of the header, if the remaining bytes are nothing else. */
function scanFurther({ bytes, data, length }: ScanState, from: number): { further?: number } {
  let at = from
  let count = 0
  let end = from
  for (; at + RECORD_IPV4 <= bytes.length; count++) {
    const size = data.getUint16(at + 2)
    if (bytes[at]! > 1 || size < (bytes[at] === 0 ? RECORD_IPV4 : RECORD_IPV6)) return {}
    end = at + size
    at += (size + 3) & ~3
  }
  return end === length ? { further: count } : {}
}

/** Adds a record to the last run if it is of the same kind and follows directly. */
function addRun(runs: Run[], kind: Run['kind'], from: number, to: number, parametersEnd: number): void {
  const last = runs.at(-1)
  if (last?.kind === kind && last.to === from && kind !== 'parameters') last.to = to
  else runs.push({ kind, from, to, parametersEnd })
}

/**
 * Reports why a receiver skips the connection, if it does: flags first, then protocol and state.
 *
 * @returns Whether it skips the connection.
 */
function judge(
  state: ScanState,
  flags: number,
  protocol: number,
  connectionState: number,
  at: number,
  index: number
): boolean {
  const { checks } = state
  const isTemplate = (flags & FLAG.TEMPLATE) !== 0
  if (checks & CHECK.FLAGS && (flags & FLAG.ONE_PACKET || (isTemplate && flags & FLAG.NO_CPORT))) {
    const names = flagNames(flags & (FLAG.ONE_PACKET | FLAG.TEMPLATE | FLAG.NO_CPORT)).join(' with ')
    return !report(state, 'FLAGS_REFUSED', at, names, index)
  }
  if (isTemplate) {
    if ((checks & CHECK.TEMPLATE_STATE) === 0 || connectionState <= 1) return false
    return !report(state, 'TEMPLATE_STATE', at, `expected 0 or 1, got ${connectionState}`, index)
  }
  const states = stateCount(protocol)
  if (states === 0) return !report(state, 'PROTOCOL_UNKNOWN', at, `got ${protocol}`, index)
  if (connectionState < states) return false
  const expected = `${protocolName(protocol)} has 0 to ${states - 1}`
  return !report(state, 'STATE_RANGE', at, `${expected}, got ${connectionState}`, index)
}
