/**
 * `decode --format hex`: every byte of every message with its meaning.
 *
 * @module
 */

import type { DecodeOptions } from '../../wire/options.js'
import { formatMessage } from '../../wire/format-message.js'
import { endpointText } from '../../wire/terminal-text.js'
import type { CapturedMessage } from './captured-message.js'
import type { Output } from './output.js'
import type { Printer } from './printer.js'
import { problemText } from './style.js'

/** Prints a heading, a dump and the problems of each message. */
export class HexPrinter implements Printer {
  readonly #output: Output
  readonly #options: DecodeOptions

  /**
   * @param output - Receives the text.
   * @param options - How messages are read.
   */
  constructor(output: Output, options: DecodeOptions) {
    this.#output = output
    this.#options = options
  }

  message(message: CapturedMessage): void {
    const { payload, wireLength, problems } = message
    const when = String(message.time ?? 'no time')
    const path = `${endpointText(message.source)} > ${endpointText(message.destination)}`
    const dump = formatMessage(payload, { ...this.#options, wireLength, style: 'dump' })
    const faults = problems.map((problem) => `! ${problemText(problem)}\n`).join('')
    this.#output.write(`# ${when}  ${path}, ${payload.length} bytes\n${dump}\n${faults}\n`)
  }
}
