/**
 * The grammar's look ahead: which records of a message are whole, and everything that is wrong with it, in the order in
 * which a receiver meets it. It knows where lengths and kinds stand and nothing of `layout.ts`: the view has offsets and
 * checks of its own, and a test holds the two together.
 *
 * @module
 */
import { counted } from '../text.js'
import { demandDecodable, type DecodeOptions } from './options.js'
import { checksOf, KNOWN_ENGINES } from './constants.js'
import { Findings } from './findings.js'
import type { Problem } from './problems.js'
import { readHeader, versionFault, type Header } from './read-header.js'
import type { Run, ScanEnd, ScanState } from './scan-state.js'
import { scanRecordsV0 } from './scan-v0.js'
import { scanRecordsV1 } from './scan-v1.js'

/** What the scan hands to the parsers. */
export interface Scan {
  /** Undefined where the header itself is cut off. */
  readonly header: Header | undefined
  readonly runs: readonly Run[]
  readonly problems: readonly Problem[]
}

/**
 * Scans a message of any bytes, none of which make it throw; its work and its result are bounded by the message's length.
 *
 * @throws IpvsSyncError `ERR_USAGE` for what is no Uint8Array, and for options that mean nothing.
 */
export function scanMessage(bytes: Uint8Array, options: DecodeOptions = {}): Scan {
  demandDecodable(bytes, options)
  const state: ScanState = {
    bytes,
    data: new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
    length: Math.max(options.wireLength ?? 0, bytes.length),
    checks: checksOf(options.flagChecks),
    engines: options.engines ?? KNOWN_ENGINES,
    findings: new Findings(),
    runs: []
  }
  const header = readHeader(bytes)
  if (checkSize(state, header)) {
    if (bytes.length < Math.min(state.length, 8)) reportSnapped(state, 0, 0)
    else if (header.version === 1) scanRecords(state, header.count, scanRecordsV1)
    else scanVersion0(state, header.count)
  }
  return { header, runs: state.runs, problems: state.findings.problems }
}

type ScanRecords = (state: ScanState, count: number) => ScanEnd

function checkSize({ bytes, length, findings }: ScanState, header: Header | undefined): header is Header {
  if (length < 4) return findings.add('SHORT_MESSAGE', 0, `${counted(length, 'byte')}; a message has at least 4`)
  if (header === undefined) return findings.add('MESSAGE_SNAPPED', bytes.length, snappedText(bytes.length, length))
  if (header.size === length) return true
  return findings.add('SIZE_MISMATCH', 2, `the header says ${counted(header.size, 'byte')}, the datagram has ${length}`)
}

function scanVersion0(state: ScanState, count: number): void {
  const { length, findings } = state
  if (length < 8)
    findings.add(
      'SHORT_HEADER',
      0,
      `${length} bytes are too few to tell the version; taken as version 0, no kernel sends it`
    )
  // Reserved is 0: whoever wrote version 1 and something else besides meant it not to be read as version 0.
  const isNone = count === 0 && length >= 8
  const end = scanRecords(state, count, scanRecordsV0, isNone)
  if (isNone && !isWrapped(end)) reportVersion(state)
}

function reportVersion({ bytes, findings }: ScanState): void {
  const { version, spare } = versionFault(bytes)
  if (version !== 1)
    findings.add(
      'VERSION_UNKNOWN',
      5,
      `version ${version}; receivers know 1, and take this as version 0 without connections`
    )
  else
    findings.add('SPARE_NOT_ZERO', 6, `spare is ${spare}, not 0: receivers take this as version 0 without connections`)
}

function scanRecords(state: ScanState, count: number, scan: ScanRecords, isNone = false): ScanEnd {
  const end = scan(state, count)
  if (end.stopped === 'dropped') return end
  if (end.stopped === undefined && (!isNone || isWrapped(end))) reportLeftover(state, end)
  if (state.bytes.length < state.length) reportSnapped(state, end.count, count)
  return end
}

/** The count has one byte: a sender that puts in 256 more than it says has let it wrap. */
function isWrapped({ further }: ScanEnd): boolean {
  return further !== undefined && further > 0 && further % 256 === 0
}

function reportLeftover({ length, findings }: ScanState, scanEnd: ScanEnd): void {
  const { count, end, further } = scanEnd
  if (end >= length) return
  if (isWrapped(scanEnd)) {
    const all = count + further!
    findings.add('COUNT_WRAPPED', end, `the header counts ${count} connections, ${all} are there: its 8 bits wrapped`)
    return
  }
  const behind = count === 0 ? 'the header' : count === 1 ? 'the only connection' : `the last of ${count} connections`
  const look = further ? `; they look like ${further} more` : ''
  findings.add('LEFTOVER_BYTES', end, `${counted(length - end, 'byte')} behind ${behind}${look}`)
}

function reportSnapped({ bytes, length, findings }: ScanState, found: number, count: number): void {
  const rest = found < count ? `; ${found} of ${count} connections are whole` : ''
  findings.add('MESSAGE_SNAPPED', bytes.length, `${snappedText(bytes.length, length)}${rest}`)
}

function snappedText(kept: number, length: number): string {
  return `the capture kept ${kept} of ${counted(length, 'byte')}`
}
