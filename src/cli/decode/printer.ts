/**
 * What the formats of `decode` have in common. Types only.
 *
 * @module
 */

import type { CaptureFinding } from '../../capture/items.js'
import type { CapturedMessage } from './captured-message.js'

/** One output format. */
export interface Printer {
  /** Prints one message. The object serves all messages: nothing of it is kept. */
  message(message: CapturedMessage): void
  /** Prints a problem outside of the messages; where a format has no place for it, standard error receives it. */
  finding?(finding: CaptureFinding): void
  /** Prints what comes last. */
  end?(): void
}
