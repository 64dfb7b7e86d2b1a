/**
 * What an agent tells a person.
 *
 * @module
 */

/** Passes lines on, and those that would come again and again only once. */
export class AgentNotices {
  readonly #tell: (text: string) => void
  readonly #told = new Set<string>()

  /** @param tell - Takes each line. */
  constructor(tell: (text: string) => void) {
    this.#tell = tell
  }

  /** Tells it. */
  readonly tell = (text: string): void => this.#tell(text)

  /** Tells it, unless it was told before with other numbers in it. */
  readonly once = (text: string): void => {
    const kind = text.replace(/\d+/g, '')
    if (this.#told.has(kind)) return
    this.#told.add(kind)
    this.#tell(text)
  }

  /**
   * Does what may fail; a failure is reported once.
   *
   * @param what - What cannot be done then: `the ready file`.
   */
  attempt(what: string, action: () => void): void {
    try {
      action()
    } catch (error) {
      this.once(`${what} cannot be written: ${(error as Error).message}`)
    }
  }
}
