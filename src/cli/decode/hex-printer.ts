/**
 * `decode --format hex`: every byte of every message with its meaning.
 *
 * @module
 */

import type { CapturedDatagram } from '../../capture/items.js'
import type { DecodeOptions } from '../../wire/options.js'
import { formatMessage } from '../../wire/format-message.js'
import type { Problem } from '../../wire/problems.js'
import { endpointText } from '../../wire/terminal-text.js'
import type { Printer, Write } from './printer.js'
import type { ReadMessage } from './read-message.js'
import { problemText } from './style.js'

/** Prints a heading, a dump and the problems of each message. */
export class HexPrinter implements Printer {
  readonly #write: Write
  readonly #read: ReadMessage
  readonly #options: DecodeOptions

  /** @param options - How messages are read. */
  constructor(write: Write, read: ReadMessage, options: DecodeOptions) {
    this.#write = write
    this.#read = read
    this.#options = options
  }

  datagram(datagram: CapturedDatagram): readonly Problem[] {
    const { time, source, destination, payload, wireLength } = datagram
    const when = time === undefined ? 'no time' : time.toString()
    const heading = `# ${when}  ${endpointText(source)} > ${endpointText(destination)}, ${payload.length} bytes`
    const { problems } = this.#read(datagram)
    const dump = formatMessage(payload, { ...this.#options, wireLength, style: 'dump' })
    this.#write(`${[heading, dump, ...problems.map((problem) => `! ${problemText(problem)}`)].join('\n')}\n\n`)
    return problems
  }
}
