/**
 * Named deadlines of a state machine: the one structure that both its `handleTimeout` and its `nextTimeout` read.
 *
 * @module
 */

import type { TimestampMs } from '../../units.js'

/** Deadlines by name; each name has at most one. */
export class Timers<Name extends string> {
  readonly #deadlines = new Map<Name, TimestampMs>()

  /** Sets a deadline, or moves it. `Infinity` clears it. */
  set(name: Name, at: TimestampMs): void {
    if (at === Infinity) this.#deadlines.delete(name)
    else this.#deadlines.set(name, at)
  }

  /** Sets a deadline unless it is set already. */
  setOnce(name: Name, at: TimestampMs): void {
    if (!this.#deadlines.has(name)) this.set(name, at)
  }

  /** Clears the given deadlines; all of them without a name. */
  clear(...names: readonly Name[]): void {
    if (names.length === 0) this.#deadlines.clear()
    for (const name of names) this.#deadlines.delete(name)
  }

  /** Returns the earliest deadline; `Infinity` if there is none. */
  next(): TimestampMs {
    let next = Infinity
    for (const at of this.#deadlines.values()) if (at < next) next = at
    return next
  }

  /** Removes and returns the earliest deadline that has passed; undefined if none has. */
  take(now: TimestampMs): Name | undefined {
    let earliest: Name | undefined
    let due = now
    for (const [name, at] of this.#deadlines) {
      if (at > due || (at === due && earliest !== undefined)) continue
      earliest = name
      due = at
    }
    if (earliest !== undefined) this.#deadlines.delete(earliest)
    return earliest
  }
}
