/**
 * Things that are done again and again, none of which may take all the time.
 *
 * @module
 */

import type { Milliseconds } from '../units.js'
import type { Clock } from './clock.js'

/** What is done, and how often. */
export interface Repeated {
  /** From one end to the next beginning; asked each time. */
  readonly interval: () => Milliseconds
  /** The pause is at least so many times what the last one took: 3 leaves three quarters of the time to others. */
  readonly rest: number
  /** Does it; must not reject. */
  readonly action: () => unknown
}

/** Repeats until it is stopped. */
export class Repeater {
  readonly #clock: Clock
  readonly #cancels = new Set<() => void>()
  #stopped = false

  /** @param clock - Its time. */
  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Begins with a pause. */
  add(repeated: Repeated): void {
    this.#arm(repeated, repeated.interval())
  }

  /** Nothing is begun any more; what is under way continues. */
  stop(): void {
    this.#stopped = true
    for (const cancel of this.#cancels) cancel()
  }

  #arm(repeated: Repeated, pause: Milliseconds): void {
    if (this.#stopped) return
    const cancel = this.#clock.after(pause, () => {
      this.#cancels.delete(cancel)
      void this.#run(repeated)
    })
    this.#cancels.add(cancel)
  }

  async #run(repeated: Repeated): Promise<void> {
    const begin = this.#clock.now()
    await repeated.action()
    this.#arm(repeated, Math.max(repeated.interval(), repeated.rest * (this.#clock.now() - begin)))
  }
}
