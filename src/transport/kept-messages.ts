/**
 * Messages that the system refused because the interface was going: an interface's loss is only seen at the next look, and
 * what is sent until then must not be lost with it.
 *
 * @module
 */

import { errorCodeOf } from './udp-errors.js'

/** A message that was refused. */
export interface KeptMessage {
  /** From 0. */
  readonly channel: number
  /** All of it. */
  readonly bytes: Uint8Array
}

/** What a send is answered with while an interface goes: its address, its route, it itself or our socket there is no more. */
const GOING = new Set(['ECANCELED', 'ENETUNREACH', 'ENETDOWN', 'ENODEV', 'EADDRNOTAVAIL'])

/** Keeps refused messages until it is known what became of the interface. As many as were in flight, and no more. */
export class KeptMessages {
  #messages: KeptMessage[] = []
  #lastTry = false
  #refused = false

  /** How many are kept. */
  get count(): number {
    return this.#messages.length
  }

  /**
   * Keeps a message, if what it met says that the interface is going.
   *
   * @param message - What was refused.
   * @param cause - What the system said.
   * @returns Whether it is kept: not for another cause, nor where the interface is known to be there.
   */
  keep(message: KeptMessage, cause: Error): boolean {
    if (!GOING.has(errorCodeOf(cause))) return false
    this.#refused = true
    if (!this.#lastTry) this.#messages.push(message)
    return !this.#lastTry
  }

  /**
   * Hands them over, to be sent again.
   *
   * @param lastTry - What is refused from now on is not kept again.
   */
  take(lastTry: boolean): readonly KeptMessage[] {
    const messages = this.#messages
    this.#messages = []
    this.#lastTry = lastTry
    return messages
  }

  /**
   * A look found the interface as it was: what was refused is tried once more. Refused again it is lost, like all that follows,
   * until a look that nothing was refused before: it is not the interface then, but a route, and holding back would help nobody.
   */
  steady(): readonly KeptMessage[] {
    const refused = this.#refused
    this.#refused = false
    return this.take(refused)
  }
}
