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
   * Prints one datagram. Where it gives a promise, the next call waits for it.
   *
   * @returns What is wrong with the packet and the message: the exit code is made of it.
   */
  datagram(datagram: CapturedDatagram): readonly Problem[] | Promise<readonly Problem[]>
  /**
   * Prints what is wrong outside of a datagram; where a format has no place for it, the command says it on
   * standard error.
   */
  finding?(finding: CaptureFinding): void
  /** Prints what comes last. */
  end?(): void
}
