/**
 * Notices of an agent, by code.
 *
 * @module
 */

/** Emits notices; those that would recur are emitted once. */
export class AgentNotices {
  readonly #emit: (code: string, text: string) => void
  readonly #emitted = new Set<string>()

  /** @param emit - Receives each notice. */
  constructor(emit: (code: string, text: string) => void) {
    this.#emit = emit
  }

  /** Emits a notice. */
  readonly notify = (code: string, text: string): void => this.#emit(code, text)

  /** Emits a notice, unless one of this code was emitted whose text differs in numbers only. */
  readonly once = (code: string, text: string): void => {
    const kind = `${code} ${text.replace(/\d+/g, '')}`
    if (this.#emitted.has(kind)) return
    this.#emitted.add(kind)
    this.#emit(code, text)
  }

  /**
   * Calls a function that writes a file; a failure is reported once.
   *
   * @param file - Name of the file for the notice: `the ready file /run/ipvs-sync/ready`.
   */
  writeFile(code: string, file: string, write: () => void): void {
    try {
      write()
    } catch (error) {
      this.once(code, `${file} cannot be written: ${(error as Error).message}`)
    }
  }
}
