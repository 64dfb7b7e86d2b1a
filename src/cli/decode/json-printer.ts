/**
 * `decode --format json`: one object a line for each message, nothing else.
 *
 * @module
 */

import type { CapturedDatagram } from '../../capture/items.js'
import type { Endpoint } from '../../wire/connection.js'
import type { Problem } from '../../wire/problems.js'
import type { PlainJson } from './plain-json.js'
import type { Printer, Write } from './printer.js'
import type { ReadMessage } from './read-message.js'

/** Prints messages as JSON Lines; what is wrong outside of them has no line here. */
export class JsonPrinter implements Printer {
  readonly #write: Write
  readonly #read: ReadMessage
  readonly #plain: PlainJson

  constructor(write: Write, read: ReadMessage, plain: PlainJson) {
    this.#write = write
    this.#read = read
    this.#plain = plain
  }

  datagram(datagram: CapturedDatagram): readonly Problem[] {
    const { time, source, destination } = datagram
    const when = time === undefined ? 'null' : `"${time.toString()}"`
    const head = `{"time":${when},"source":${endpoint(source)},"destination":${endpoint(destination)},`
    if (datagram.problems.length === 0 && this.#plain.print(head, datagram.payload)) return NONE
    const { message, problems } = this.#read(datagram)
    const { version, syncid, size, connections } = message
    this.#write(`${head}${JSON.stringify({ version, syncid, size, connections, problems }).slice(1)}\n`)
    return problems
  }
}

const NONE: readonly Problem[] = []

/** Addresses hold no character that JSON would escape. */
function endpoint({ address, port }: Endpoint): string {
  return `{"address":"${address}","port":${port}}`
}
