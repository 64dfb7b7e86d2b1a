/**
 * State that the parts of a scan share: options, problems and complete records.
 *
 * @module
 */
import { makeProblem, type Problem, type ProblemCode } from '../problems.js'

/** Records of one kind, back to back; `parameters` is a single record that has some. */
export interface Run {
  readonly kind: 'v0' | 'v0-sequence' | 'ipv4' | 'ipv6' | 'parameters'
  /** Byte offset of the first. */
  readonly from: number
  /** Byte offset after the last. */
  to: number
  /** Byte offset after the last parameter that a receiver reads: before the end of a record that is skipped. */
  readonly parametersEnd: number
}

/** State of a scan. */
export interface ScanState {
  readonly bytes: Uint8Array
  readonly data: DataView
  /** Length of the datagram on the wire: more than the bytes where the capture cut it. */
  readonly length: number
  /** Checks of the receiver's generation: bits of `CHECK`. */
  readonly checks: number
  readonly engines: readonly string[]
  readonly problems: Problem[]
  readonly runs: Run[]
}

/**
 * Adds a problem.
 *
 * @returns False, for `return report(…)` where the receiver drops the rest.
 */
export function report(
  state: ScanState,
  code: ProblemCode,
  offset: number,
  detail: string,
  connection?: number
): false {
  state.problems.push(makeProblem(code, offset, connection, detail))
  return false
}
