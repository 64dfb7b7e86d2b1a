/**
 * Plain messages as JSON, written straight into the output's bytes: what makes `decode --format json` quick. Plain is a
 * sound version 1 message of IPv4 connections without parameters, the bulk of all traffic. The text is exactly what
 * `JSON.stringify` makes of the decoded message.
 *
 * @module
 */

import { formatIpv4 } from '../../addresses.js'
import { FLAG } from '../../wire/constants.js'
import { flagNames, forwardingName } from '../../wire/flags.js'
import { HEADER_V1, RECORD_V1 } from '../../wire/layout.js'
import { MessageReader } from '../../wire/message-reader.js'
import type { ReadOptions } from '../../wire/options.js'
import { protocolName, stateName } from '../../wire/protocols.js'
import { ROW, ROW_WORDS } from '../../wire/rows.js'
import { Fragments } from './fragments.js'
import type { Output } from './output.js'

/** More than any connection and the message's end take: 29 flags of 12 characters, and 400 for all the rest. */
const MOST = 1000

const CLIENT_PORT = Buffer.from('","port":')
/** In the place of the next connection's protocol where there is no next one. */
const NO_PROTOCOL = 0xffff
const END = Buffer.from('],"problems":[]}\n')

/** Reads messages and prints the plain ones. Keeps pieces of text that come again and again. */
export class PlainJson {
  readonly #reader: MessageReader
  readonly #out: Output
  readonly #heads = new Fragments(headText)
  readonly #targets = new Fragments(targetText)
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
    const { version, syncid, size, count, records } = this.#reader.read(payload)
    const { rows } = this.#reader
    // Each record takes 36 bytes or more: where all together take 36 each, none has parameters, padding or IPv6, and
    // nothing is left over.
    const plainLength = HEADER_V1.LENGTH + count * RECORD_V1.LENGTH_IPV4
    if (version !== 1 || records !== count || payload.length !== plainLength) return false
    for (let at = 0; at < count * ROW_WORDS; at += ROW_WORDS) if (rows.words[at + ROW.VERDICT] !== 0) return false
    const out = this.#out
    out.write(`${head}"version":1,"syncid":${syncid},"size":${size},"connections":[`)
    out.reserve(MOST)
    if (count > 0) out.put(this.#heads.get(rows.words[ROW.PROTOCOL]!, 0, 0, 0, 0))
    for (let index = 0; index < count; index += 1) {
      out.reserve(MOST)
      const at = index * ROW_WORDS
      this.#connection(rows.words, at, index + 1 < count ? rows.words[at + ROW_WORDS + ROW.PROTOCOL]! : NO_PROTOCOL)
    }
    out.put(END)
    return true
  }

  /** From the client's address to the next one's: what lies between is one piece. */
  #connection(words: Int32Array, at: number, nextProtocol: number): void {
    const out = this.#out
    out.ipv4(words[at + ROW.CLIENT]!)
    out.putFew(CLIENT_PORT)
    out.decimal(words[at + ROW.CLIENT_PORT]!)
    const virtual = words[at + ROW.VIRTUAL]!
    const destination = words[at + ROW.DESTINATION]!
    const virtualPort = words[at + ROW.VIRTUAL_PORT]!
    out.put(this.#targets.get(virtual, virtualPort, destination, words[at + ROW.DESTINATION_PORT]!, 0))
    const protocols = words[at + ROW.PROTOCOL]! | (nextProtocol << 16)
    const state = words[at + ROW.STATE]!
    out.put(
      this.#tails.get(protocols, words[at + ROW.FLAGS]!, state, words[at + ROW.FWMARK]!, words[at + ROW.TIMEOUT]!)
    )
  }
}

function headText(protocol: number): string {
  return `{"family":"ipv4","protocol":"${protocolName(protocol)}","client":{"address":"`
}

/** From the client's end to the destination's: services and real servers are few. */
function targetText(virtual: number, virtualPort: number, destination: number, destinationPort: number): string {
  return `},"virtual":${endpoint(virtual, virtualPort)},"destination":${endpoint(destination, destinationPort)}`
}

function endpoint(word: number, port: number): string {
  return `{"address":"${formatIpv4(word)}","port":${port}}`
}

/** From the destination's end to the next client's address: the timeout follows from the state, nearly always. */
function tailText(protocols: number, flags: number, state: number, fwmark: number, timeout: number): string {
  const protocol = protocols & 0xffff
  const nextProtocol = protocols >>> 16
  const stateText = stateName(protocol, (flags & FLAG.TEMPLATE) !== 0, state)
  const names = JSON.stringify(flagNames(flags))
  const numbers = `"fwmark":${fwmark >>> 0},"timeout":${timeout >>> 0}`
  return `,"forwarding":"${forwardingName(flags)}","flags":${names},"state":"${stateText}",${numbers}}${nextProtocol === NO_PROTOCOL ? '' : `,${headText(nextProtocol)}`}`
}
