/**
 * What the formats of `decode` have in common. Types only.
 *
 * @module
 */

import type { CapturedDatagram, CaptureFinding } from '../../capture/items.js'
import type { Problem } from '../../wire/problems.js'

/** Writes text to standard output. */
export type Write = (text: string) => void

/** One output format. */
export interface Printer {
  /**
   * Prints one datagram.
   *
   * @returns What is wrong with the packet and the message: the exit code is made of it.
   */
  datagram(datagram: CapturedDatagram): readonly Problem[]
  /**
   * Prints what is wrong outside of a datagram; a format that has no place for it leaves it out, and the command says
   * it on standard error.
   *
   * @returns Whether it was printed.
   */
  finding(finding: CaptureFinding): boolean
  /** Prints what comes last. */
  end(): void
}
