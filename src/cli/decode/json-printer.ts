/**
 * `decode --format json`: one object a line for each message, nothing else.
 *
 * @module
 */

import type { CapturedDatagram } from '../../capture/items.js'
import type { Endpoint } from '../../wire/connection.js'
import type { Problem } from '../../wire/problems.js'
import type { DecodeOptions } from '../../wire/options.js'
import type { Output } from './output.js'
import { PlainJson } from './plain-json.js'
import type { Printer } from './printer.js'
import type { ReadMessage } from './read-message.js'

/** Prints messages as JSON Lines; what is wrong outside of them has no line here. */
export class JsonPrinter implements Printer {
  readonly #output: Output
  readonly #options: DecodeOptions
  readonly #plain: PlainJson
  #read: ReadMessage | undefined

  /** @param options - How messages are read. */
  constructor(output: Output, options: DecodeOptions) {
    this.#output = output
    this.#options = options
    this.#plain = new PlainJson(output, options)
  }

  datagram(datagram: CapturedDatagram): readonly Problem[] | Promise<readonly Problem[]> {
    const head = headText(datagram)
    if (datagram.problems.length === 0 && this.#plain.print(head, datagram.payload)) return NONE
    return this.#read === undefined ? this.#loadAndPrint(head, datagram) : this.#print(this.#read, head, datagram)
  }

  /** Most captures hold plain messages only: the decoder is loaded when one is met that is not. */
  async #loadAndPrint(head: string, datagram: CapturedDatagram): Promise<readonly Problem[]> {
    const { messageReader } = await import('./read-message.js')
    this.#read = messageReader(this.#options)
    return this.#print(this.#read, head, datagram)
  }

  #print(read: ReadMessage, head: string, datagram: CapturedDatagram): readonly Problem[] {
    const { message, problems } = read(datagram)
    const { version, syncid, size, connections } = message
    this.#output.write(`${head}${JSON.stringify({ version, syncid, size, connections, problems }).slice(1)}\n`)
    return problems
  }
}

const NONE: readonly Problem[] = []

function headText({ time, source, destination }: CapturedDatagram): string {
  const when = time === undefined ? 'null' : `"${time.toString()}"`
  return `{"time":${when},"source":${endpoint(source)},"destination":${endpoint(destination)},`
}

/** Addresses hold no character that JSON would escape. */
function endpoint({ address, port }: Endpoint): string {
  return `{"address":"${address}","port":${port}}`
}
