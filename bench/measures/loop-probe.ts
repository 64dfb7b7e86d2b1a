/** Longest time that the event loop was held. */

/** Measures from its creation to {@link LoopProbe.end}, by the time between two turns of the loop, which it keeps busy. */
export class LoopProbe {
  #last = performance.now()
  #longest = 0
  #running = true

  constructor() {
    const turn = (): void => {
      const now = performance.now()
      this.#longest = Math.max(this.#longest, now - this.#last)
      this.#last = now
      if (this.#running) setImmediate(turn)
    }
    setImmediate(turn)
  }

  /** Ends the measure; returns milliseconds. */
  async end(): Promise<number> {
    // Two turns: the first one may have been scheduled before the last hold.
    for (let i = 0; i < 2; i++) await new Promise((resolve) => setImmediate(resolve))
    this.#running = false
    return this.#longest
  }
}
