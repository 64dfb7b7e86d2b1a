import { closeSync, constants, openSync, readSync } from 'node:fs'

/** The kernel's log, read record by record. */
export class KernelLog {
  readonly #device = openSync('/dev/kmsg', constants.O_RDONLY | constants.O_NONBLOCK)
  readonly #record = Buffer.alloc(8192)

  /** Texts logged since the last call, without time and level. */
  take(): string[] {
    const texts: string[] = []
    for (let text = this.#next(); text !== undefined; text = this.#next()) texts.push(text)
    return texts
  }

  close(): void {
    closeSync(this.#device)
  }

  /** A read gives one record, `EAGAIN` at the end, `EPIPE` where the ring was overwritten: that is an error of ours. */
  #next(): string | undefined {
    try {
      const length = readSync(this.#device, this.#record)
      const record = this.#record.toString('utf8', 0, length)
      return record.slice(record.indexOf(';') + 1).split('\n')[0]!
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return undefined
      throw error
    }
  }
}
