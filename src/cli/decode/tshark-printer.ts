/**
 * `decode --format tshark`: a line for each message, as `tshark -T fields -E header=y` prints it.
 *
 * @module
 */

import type { CapturedDatagram } from '../../capture/items.js'
import { MessageReader } from '../../wire/message-reader.js'
import type { ReadOptions } from '../../wire/options.js'
import type { Problem } from '../../wire/problems.js'
import type { Printer, Write } from './printer.js'
import type { ReadMessage } from './read-message.js'
import { TSHARK_NAMES, tsharkValues } from './tshark-fields.js'

/** Prints Wireshark's fields, separated by tabs, under a line with their names. */
export class TsharkPrinter implements Printer {
  readonly #write: Write
  readonly #read: ReadMessage
  readonly #reader: MessageReader
  #isFirst = true

  /** @param options - How messages are read. */
  constructor(write: Write, read: ReadMessage, options: ReadOptions) {
    this.#write = write
    this.#read = read
    this.#reader = new MessageReader(options)
  }

  datagram(datagram: CapturedDatagram): readonly Problem[] {
    this.#heading()
    const { version } = this.#reader.read(readable(datagram))
    const { rows } = this.#reader
    this.#write(`${tsharkValues({ datagram, version, rows }).join('\t')}\n`)
    return this.#read(datagram).problems
  }

  end(): void {
    this.#heading()
  }

  #heading(): void {
    if (!this.#isFirst) return
    this.#isFirst = false
    this.#write(`${TSHARK_NAMES.join('\t')}\n`)
  }
}

/** A message of which only the first part is in the capture, with a size that fits: so its whole connections are read. */
function readable({ payload, wireLength }: CapturedDatagram): Uint8Array {
  if (payload.length === wireLength || payload.length < 4) return payload
  const cut = payload.slice()
  cut.set([cut.length >> 8, cut.length & 0xff], 2)
  return cut
}
