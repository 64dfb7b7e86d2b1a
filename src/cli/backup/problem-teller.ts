/**
 * Says what is wrong with messages, without letting a stranger fill the log.
 *
 * @module
 */

import type { ProblemEvent } from '../../engine/events.js'
import type { Tell } from '../service.js'

/** Kinds of problem (a sender and a code) that are told apart; further ones are only counted by the backup. */
const MOST_KINDS = 256

/** Says the first problem of each sender and code, and then the tenth, the hundredth and so on. */
export class ProblemTeller {
  readonly #tell: Tell
  readonly #counts = new Map<string, number>()

  /** @param tell - Where to say it. */
  constructor(tell: Tell) {
    this.#tell = tell
  }

  /** Takes one problem. */
  tell({ problem, from }: ProblemEvent): void {
    const kind = `${from.address} ${problem.code}`
    const count = (this.#counts.get(kind) ?? 0) + 1
    if (count === 1 && this.#counts.size >= MOST_KINDS) return
    this.#counts.set(kind, count)
    if (!Number.isInteger(Math.log10(count))) return
    const times = count === 1 ? '' : ` (${count} times)`
    this.#tell(`${from.address}: ${problem.code}${times}, ${problem.severity}: ${problem.message}`)
  }
}
