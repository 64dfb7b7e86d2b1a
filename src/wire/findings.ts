/**
 * Collects what the scan finds wrong with a message.
 *
 * @module
 */
import { PROBLEMS, type Problem, type ProblemCode } from './problems.js'

/** Problems in the order in which they were found. */
export class Findings {
  readonly problems: Problem[] = []

  /**
   * Adds a problem.
   *
   * @param code - What it is; its severity comes from {@link PROBLEMS}.
   * @param offset - Byte offset in the message.
   * @param message - Expected and actual.
   * @param connection - The connection's number, where it is about one.
   * @returns False, for `return findings.add(…)` where the receiver goes no further.
   */
  add(code: ProblemCode, offset: number, message: string, connection?: number): false {
    const { severity } = PROBLEMS[code]
    this.problems.push(
      connection === undefined
        ? { code, severity, message, offset }
        : { code, severity, message: `connection ${connection}: ${message}`, offset, connection }
    )
    return false
  }
}
