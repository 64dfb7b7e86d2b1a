/**
 * The message that is being printed: its packet, its records and its problems. One object serves all messages; it reads a
 * plain datagram where it stands in the capture's buffer.
 *
 * @module
 */

import { formatAddress, formatIpv4 } from '../../addresses.js'
import { CaptureTime } from '../../capture/capture-time.js'
import type { CapturedDatagram, DatagramView, TunnelLayer } from '../../capture/items.js'
import type { Endpoint } from '../../wire/connection.js'
import { problemsOf } from '../../wire/decode-message.js'
import type { DecodeOptions } from '../../wire/options.js'
import type { Problem } from '../../wire/problems.js'
import { extensionOf, type Extension } from './extension.js'
import { MessageRecords } from './message-records.js'
import { channelOf, type Range } from './ports-option.js'
import { decimal, fourDigits, ipv4, ipv6, putText, twoDigits } from './text-bytes.js'

const NONE: readonly Problem[] = []

/** The message that is being printed. */
export class CapturedMessage {
  /** Its records. */
  readonly records: MessageRecords
  /** What is wrong with the packet and the message; the packet's problems first, as a receiver finds them first. */
  problems: readonly Problem[] = NONE
  /** Number of the packet in the file, from 1. */
  packet = 0
  /** How many IP fragments it came in; 1 is a whole datagram. */
  fragments = 1
  /** Number of the channel, from 0; that of the port in its range of wanted ports. */
  channel = 0
  /** Port that it was sent to. */
  port = 0
  /** Bytes of payload on the wire. */
  wireLength = 0
  /** Tunnels that it came through, outermost first; undefined without any. */
  tunnel: readonly TunnelLayer[] | undefined
  /** What this package's own programs sent behind the connections. */
  extension: Extension | undefined
  readonly #options: DecodeOptions
  readonly #ports: readonly Range[]
  #plain: DatagramView | undefined
  #datagram: CapturedDatagram | undefined
  #second = NaN
  #secondText = ''
  #senderWord = 0
  #senderText = '0.0.0.0'

  /**
   * @param options - How messages are read.
   * @param ports - The wanted ports.
   */
  constructor(options: DecodeOptions, ports: readonly Range[]) {
    this.#options = options
    this.#ports = ports
    this.records = new MessageRecords(options)
  }

  /** Takes a plain datagram; its object is kept until the next call. */
  readPlain(plain: DatagramView): void {
    const { bytes, view, start, end, portsAt } = plain
    this.#plain = plain
    this.#datagram = undefined
    this.packet = plain.packet
    this.fragments = 1
    this.tunnel = undefined
    this.wireLength = end - start
    this.#takePort(view.getUint16(portsAt + 2))
    this.records.read(bytes, view, start, end, end - start)
    this.problems = this.#judge(end - start)
  }

  /** Takes any other datagram. */
  readDatagram(datagram: CapturedDatagram): void {
    const { payload, wireLength, problems, fragments, packet, destination, tunnel } = datagram
    this.#plain = undefined
    this.#datagram = datagram
    this.packet = packet
    this.fragments = fragments
    this.tunnel = tunnel
    this.wireLength = wireLength
    this.#takePort(destination.port)
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength)
    this.records.read(payload, view, 0, payload.length, wireLength)
    const found = this.#judge(wireLength)
    // That bytes are not in the capture is reported once, by the reader of captures: it knows why.
    this.problems =
      problems.length === 0 ? found : [...problems, ...found.filter(({ code }) => code !== 'MESSAGE_SNAPPED')]
  }

  /** The message's bytes. */
  get payload(): Uint8Array {
    const { bytes, start, end } = this.records
    return bytes.subarray(start, end)
  }

  /** When it was captured. */
  get time(): CaptureTime | undefined {
    const plain = this.#plain
    if (plain === undefined) return this.#datagram?.time
    const carry = Math.floor(plain.fraction / 10 ** plain.digits)
    const fraction = String(plain.fraction - carry * 10 ** plain.digits).padStart(plain.digits, '0')
    return new CaptureTime(plain.seconds + carry, fraction)
  }

  /** When it was captured, in milliseconds since 1970; undefined where the capture has no time. */
  get ms(): number | undefined {
    const plain = this.#plain
    if (plain === undefined) return this.#datagram?.time?.ms
    return plain.seconds * 1000 + plain.fraction / 10 ** (plain.digits - 3)
  }

  /** Address of the sender. */
  get sender(): string {
    const plain = this.#plain
    if (plain === undefined) return this.#datagram!.source.address
    if (plain.isIpv6) return formatAddress(plain.view, plain.addressesAt, 6)
    const word = plain.view.getInt32(plain.addressesAt)
    if (word !== this.#senderWord) {
      this.#senderWord = word
      this.#senderText = formatIpv4(word)
    }
    return this.#senderText
  }

  /** Sender's address and port. */
  get source(): Endpoint {
    const plain = this.#plain
    if (plain === undefined) return this.#datagram!.source
    return { address: this.sender, port: plain.view.getUint16(plain.portsAt) }
  }

  /** Address and port that it was sent to. */
  get destination(): Endpoint {
    const plain = this.#plain
    if (plain === undefined) return this.#datagram!.destination
    const { view, addressesAt, isIpv6 } = plain
    const address = isIpv6 ? formatAddress(view, addressesAt + 16, 6) : formatAddress(view, addressesAt + 4, 4)
    return { address, port: this.port }
  }

  /** Writes the time as ISO 8601. It must have one. */
  putTime(view: DataView, to: number): number {
    const plain = this.#plain
    if (plain === undefined || plain.fraction >= 10 ** plain.digits) return putText(view, to, String(this.time))
    if (plain.seconds !== this.#second) {
      this.#second = plain.seconds
      this.#secondText = new Date(plain.seconds * 1000).toISOString().slice(0, -4)
    }
    to = putFraction(view, putText(view, to, this.#secondText), plain)
    view.setUint8(to, 0x5a)
    return to + 1
  }

  /** Writes the time as seconds since 1970 with nine digits behind the point. It must have one. */
  putEpoch(view: DataView, to: number): number {
    const plain = this.#plain
    if (plain === undefined || plain.fraction >= 10 ** plain.digits) {
      const { seconds, fraction } = this.time!
      return putText(view, to, `${seconds}.${fraction.slice(0, 9).padEnd(9, '0')}`)
    }
    to = decimal(view, to, plain.seconds)
    view.setUint8(to, 0x2e)
    to = putFraction(view, to + 1, plain)
    return plain.digits === 9 ? to : putText(view, to, '000')
  }

  /** Writes the sender's address. */
  putSource(view: DataView, to: number): number {
    const plain = this.#plain
    if (plain === undefined) return putText(view, to, this.#datagram!.source.address)
    const { bytes, view: source, addressesAt } = plain
    return plain.isIpv6 ? ipv6(view, to, bytes, source, addressesAt) : ipv4(view, to, bytes, addressesAt)
  }

  /** Writes the address that it was sent to. */
  putDestination(view: DataView, to: number): number {
    const plain = this.#plain
    if (plain === undefined) return putText(view, to, this.#datagram!.destination.address)
    const { bytes, view: source, addressesAt } = plain
    return plain.isIpv6 ? ipv6(view, to, bytes, source, addressesAt + 16) : ipv4(view, to, bytes, addressesAt + 4)
  }

  /** Sender's port. */
  get sourcePort(): number {
    const plain = this.#plain
    return plain === undefined ? this.#datagram!.source.port : plain.view.getUint16(plain.portsAt)
  }

  /** Whether it came over IPv6. */
  get isIpv6(): boolean {
    return this.#plain?.isIpv6 ?? this.#datagram!.source.address.includes(':')
  }

  #judge(wireLength: number): readonly Problem[] {
    const { records } = this
    this.extension = undefined
    if (records.isSound) return NONE
    const { payload } = this
    if (records.recordsEnd !== 0 && records.recordsEnd < records.end)
      this.extension = extensionOf(payload, records.recordsEnd - records.start)
    if (this.extension === undefined) return problemsOf(payload, { ...this.#options, wireLength })
    if (records.areRecordsSound) return NONE
    return problemsOf(payload, this.#options).filter(({ code }) => code !== 'LEFTOVER_BYTES')
  }

  #takePort(port: number): void {
    if (port === this.port) return
    this.port = port
    this.channel = channelOf(this.#ports, port)
  }
}

function putFraction(view: DataView, to: number, { fraction, digits }: DatagramView): number {
  if (digits === 6) {
    const high = (fraction / 10_000) | 0
    return fourDigits(view, twoDigits(view, to, high), fraction - high * 10_000)
  }
  const high = Math.floor(fraction / 10_000)
  const highest = (high / 10_000) | 0
  view.setUint8(to, 0x30 + highest)
  return fourDigits(view, fourDigits(view, to + 1, high - highest * 10_000), fraction - high * 10_000)
}
