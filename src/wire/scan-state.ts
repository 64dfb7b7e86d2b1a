/**
 * What the scan's parts share: how a message is judged, what was found so far, and where records stand. Types only.
 *
 * @module
 */
import type { Findings } from './findings.js'

/** Records of one kind, back to back: `parameters` is a single record that has some. */
export interface Run {
  readonly kind: 'v0' | 'v0-sequence' | 'ipv4' | 'ipv6' | 'parameters'
  /** Byte offset of the first. */
  readonly from: number
  /** Byte offset behind the last. */
  to: number
  /** Byte offset behind the last parameter that a receiver reads; the record's end where it reads them all. */
  readonly parametersEnd: number
}

/** A scan at work: shared by the header's part and the records' parts. */
export interface ScanState {
  readonly bytes: Uint8Array
  readonly data: DataView
  /** Bytes that the datagram had: as many as there are, or more where the capture cut it. */
  readonly length: number
  /** Checks of the receiver's generation: bits of `CHECK`. */
  readonly checks: number
  readonly engines: readonly string[]
  readonly findings: Findings
  readonly runs: Run[]
}

/** What a scan of records stopped at. */
export interface ScanEnd {
  /** How many records are whole and stand. */
  readonly count: number
  /** Byte offset behind the last of them. */
  readonly end: number
  /** Why it stopped before the count was reached, if it did. */
  readonly stopped?: 'dropped' | 'snapped'
  /** How many further records seem to follow; undefined where what follows does not look like records alone. */
  readonly further?: number
}
