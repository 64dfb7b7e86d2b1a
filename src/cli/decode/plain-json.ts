/**
 * Plain messages as JSON, written straight into the output's bytes: what makes `decode --format json` quick. Plain is a
 * sound version 1 message of IPv4 connections without parameters, the bulk of all traffic. The text is exactly what
 * `JSON.stringify` makes of the decoded message.
 *
 * @module
 */

import { formatIpv4 } from '../../addresses.js'
import { FLAG, MAX_CONNECTIONS } from '../../wire/constants.js'
import { flagNames, forwardingName } from '../../wire/flags.js'
import { HEADER_V1, RECORD_V1 } from '../../wire/layout.js'
import { MessageReader } from '../../wire/message-reader.js'
import type { ReadOptions } from '../../wire/message-view.js'
import { protocolName, stateName } from '../../wire/protocols.js'
import { ROW, ROW_WORDS } from '../../wire/rows.js'
import { Fragments } from './fragments.js'
import type { Output } from './output.js'

/** More than any connection takes: 29 flags of 12 characters, and 300 for all the rest. */
const MOST_PER_CONNECTION = 1000
const MOST = MAX_CONNECTIONS * MOST_PER_CONNECTION + 200

const TIMEOUT = Buffer.from(',"timeout":')
const NEXT = Buffer.from('},')
const CLIENT_PORT = Buffer.from('","port":')
const END = Buffer.from('],"problems":[]}\n')

/** Reads messages and prints the plain ones. Keeps pieces of text that come again and again. */
export class PlainJson {
  readonly #reader: MessageReader
  readonly #out: Output
  readonly #heads = new Fragments(headText)
  readonly #virtuals = new Fragments(virtualText)
  readonly #destinations = new Fragments(destinationText)
  readonly #tails = new Fragments(tailText)

  /** @param options - How messages are read. */
  constructor(out: Output, options: ReadOptions) {
    this.#out = out
    this.#reader = new MessageReader(options)
  }

  /**
   * Prints a line: `head`, and the message from `"version"` on.
   *
   * @returns False where the message is not plain: nothing was printed.
   */
  print(head: string, payload: Uint8Array): boolean {
    const count = this.#reader.read(payload)
    const { view, rows } = this.#reader
    // Each record takes 36 bytes or more: where all together take 36 each, none has parameters, padding or IPv6, and
    // nothing is left over.
    const plainLength = HEADER_V1.LENGTH + count * RECORD_V1.LENGTH_IPV4
    if (view.version !== 1 || count !== view.count || payload.length !== plainLength) return false
    for (let at = 0; at < count * ROW_WORDS; at += ROW_WORDS) if (rows.words[at + ROW.VERDICT] !== 0) return false
    const out = this.#out
    out.write(`${head}"version":1,"syncid":${view.syncid},"size":${view.size},"connections":[`)
    out.reserve(MOST)
    for (let index = 0; index < count; index += 1) {
      this.#connection(rows.words, index * ROW_WORDS)
      out.put(index === count - 1 ? LAST : NEXT)
    }
    out.put(END)
    return true
  }

  /** A connection but for its closing brace. */
  #connection(words: Int32Array, at: number): void {
    const out = this.#out
    const protocol = words[at + ROW.PROTOCOL]!
    out.put(this.#heads.get(protocol, 0, 0))
    out.ipv4(words[at + ROW.CLIENT]!)
    out.put(CLIENT_PORT)
    out.decimal(words[at + ROW.CLIENT_PORT]!)
    out.put(this.#virtuals.get(words[at + ROW.VIRTUAL]!, words[at + ROW.VIRTUAL_PORT]!, 0))
    out.put(this.#destinations.get(words[at + ROW.DESTINATION]!, words[at + ROW.DESTINATION_PORT]!, 0))
    out.put(this.#tails.get(protocol, words[at + ROW.FLAGS]!, words[at + ROW.STATE]!))
    out.decimal(words[at + ROW.FWMARK]! >>> 0)
    out.put(TIMEOUT)
    out.decimal(words[at + ROW.TIMEOUT]! >>> 0)
  }
}

const LAST = Buffer.from('}')

function headText(protocol: number): string {
  return `{"family":"ipv4","protocol":"${protocolName(protocol)}","client":{"address":"`
}

function virtualText(word: number, port: number): string {
  return `},"virtual":{"address":"${formatIpv4(word)}","port":${port}`
}

function destinationText(word: number, port: number): string {
  return `},"destination":{"address":"${formatIpv4(word)}","port":${port}`
}

/** From the destination's end to the firewall mark. */
function tailText(protocol: number, flags: number, state: number): string {
  const stateText = stateName(protocol, (flags & FLAG.TEMPLATE) !== 0, state)
  return `},"forwarding":"${forwardingName(flags)}","flags":${JSON.stringify(flagNames(flags))},"state":"${stateText}","fwmark":`
}
