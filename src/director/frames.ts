/**
 * Frames of a capture as packets for the director, and which of them the director itself sent.
 *
 * @module
 */
import { findIp } from '../capture/link-layer.js'
import type { RawPacket } from '../capture/raw-packet.js'
import { PROTOCOL } from '../wire/protocols.js'
import { foldWords, Packet } from './packet.js'

const { TCP, UDP, SCTP, ICMP, ICMPV6, AH, ESP } = PROTOCOL
const FRAGMENT_HEADER = 44
/** Hop-by-hop, routing, destination options. */
const EXTENSIONS: ReadonlySet<number> = new Set([0, 43, 60])
const [ETHERNET, COOKED, COOKED2] = [1, 113, 276]
/** IPv4 and IPv6 inside of IP, and GRE: what a tunnel's packets are. */
const [IPIP, IPV6, GRE] = [4, 41, 47]
/** Bytes of an ICMP error before the packet that it is about. */
const ICMP_HEADER = 8

/** What a frame says besides the packet in it. */
export interface FrameInfo {
  /** Link-layer addresses as numbers of 48 bits; undefined where the capture has none. */
  sourceMac: number | undefined
  destinationMac: number | undefined
  /** IPv4 identification, TTL or hop limit. */
  id: number
  ttl: number
  /**
   * What tells packets of one connection apart: of TCP a mix of sequence and acknowledgement numbers and flags, of UDP
   * length and checksum.
   */
  fingerprint: number
}

/** Reads frames, one after the other, into one packet. */
export class FrameReader {
  /** The packet of the last frame that was read. */
  readonly packet: Packet = new Packet()
  /** The packet inside of it where the frame is a tunnel's: IPIP, GRE or GUE; else undefined. */
  inner: Packet | undefined = undefined
  readonly info: FrameInfo = { sourceMac: undefined, destinationMac: undefined, id: 0, ttl: 0, fingerprint: 0 }
  readonly #inner = new Packet()

  /** Reads a frame; false where there is no IP packet in it, or none that can be read. */
  read(raw: RawPacket): boolean {
    const location = findIp(raw)
    if (location === undefined) return false
    this.#readMacs(raw)
    const { view, bytes, end } = raw
    this.info.fingerprint = 0
    this.inner = undefined
    return this.#readIp(this.packet, view, bytes, location.start, end, true)
  }

  /** Reads what a tunnel carries; `at` is where its header ends. */
  #readTunneled(view: DataView, bytes: Uint8Array, at: number, end: number): void {
    if (this.#readIp(this.#inner, view, bytes, at, end, false)) this.inner = this.#inner
  }

  #readMacs({ view, start, linkType }: RawPacket): void {
    const { info } = this
    info.sourceMac = info.destinationMac = undefined
    if (linkType === ETHERNET) {
      info.destinationMac = macAt(view, start)
      info.sourceMac = macAt(view, start + 6)
    } else if (linkType === COOKED && view.getUint16(start + 4) === 6) info.sourceMac = macAt(view, start + 6)
    else if (linkType === COOKED2 && view.getUint8(start + 11) === 6) info.sourceMac = macAt(view, start + 12)
  }

  #readIp(packet: Packet, view: DataView, bytes: Uint8Array, start: number, end: number, isOuter: boolean): boolean {
    packet.isComplete = true
    packet.isLaterFragment = false
    packet.isLoopback = false
    packet.isTranslated = false
    packet.payload = undefined
    packet.inner = undefined
    packet.signal = 0
    packet.sourcePort = packet.destinationPort = 0
    packet.mark = 0
    const version = start < end ? view.getUint8(start) >> 4 : 0
    if (version === 4) {
      if (end - start < 20) return false
      const header = (view.getUint8(start) & 15) * 4
      if (header < 20) return false
      packet.family = 4
      packet.protocol = view.getUint8(start + 9)
      packet.length = view.getUint16(start + 2)
      packet.source = view.getInt32(start + 12)
      packet.destination = view.getInt32(start + 16)
      const place = view.getUint16(start + 6)
      packet.dontFragment = (place & 0x4000) !== 0
      packet.isLaterFragment = (place & 0x1fff) !== 0
      if (isOuter) {
        this.info.id = view.getUint16(start + 4)
        this.info.ttl = view.getUint8(start + 8)
      }
      const last = packet.length >= header ? Math.min(end, start + packet.length) : end
      this.#readTransport(packet, view, bytes, start + header, last, isOuter)
      return true
    }
    return version === 6 && this.#readIpv6(packet, view, bytes, start, end, isOuter)
  }

  #readIpv6(packet: Packet, view: DataView, bytes: Uint8Array, start: number, end: number, isOuter: boolean): boolean {
    if (end - start < 40) return false
    packet.family = 6
    packet.length = 40 + view.getUint16(start + 4)
    packet.dontFragment = true
    for (let i = 0; i < 4; i++) {
      packet.sourceWords[i] = view.getInt32(start + 8 + 4 * i)
      packet.destinationWords[i] = view.getInt32(start + 24 + 4 * i)
    }
    packet.source = foldWords(packet.sourceWords)
    packet.destination = foldWords(packet.destinationWords)
    if (isOuter) {
      this.info.id = 0
      this.info.ttl = view.getUint8(start + 7)
    }
    let protocol = view.getUint8(start + 6)
    let at = start + 40
    while ((EXTENSIONS.has(protocol) || protocol === FRAGMENT_HEADER) && at + 8 <= end) {
      const next = view.getUint8(at)
      if (protocol === FRAGMENT_HEADER) {
        packet.isLaterFragment = (view.getUint16(at + 2) & 0xfff8) !== 0
        at += 8
      } else at += (view.getUint8(at + 1) + 1) * 8
      protocol = next
    }
    packet.protocol = protocol
    this.#readTransport(packet, view, bytes, at, Math.min(end, start + packet.length), isOuter)
    return true
  }

  #readTransport(packet: Packet, view: DataView, bytes: Uint8Array, at: number, end: number, isOuter: boolean): void {
    const { protocol } = packet
    const left = end - at
    if (packet.isLaterFragment || protocol === AH || protocol === ESP) return
    if (protocol === ICMP || protocol === ICMPV6) {
      if (left < ICMP_HEADER || !isOuter) return
      packet.icmp = view.getUint16(at)
      if (this.#readIp(this.#inner, view, bytes, at + ICMP_HEADER, end, false)) packet.inner = this.#inner
      return
    }
    if (isOuter && (protocol === IPIP || protocol === IPV6)) this.#readTunneled(view, bytes, at, end)
    if (isOuter && protocol === GRE && left >= 4)
      this.#readTunneled(view, bytes, at + greHeader(view.getUint16(at)), end)
    if (protocol !== TCP && protocol !== UDP && protocol !== SCTP) return
    // Inside an ICMP error eight bytes are enough: the ports.
    packet.isComplete = left >= (isOuter ? HEADER[protocol]! : 8)
    if (left < 4) return
    packet.sourcePort = view.getUint16(at)
    packet.destinationPort = view.getUint16(at + 2)
    if (protocol === TCP && left >= 20) {
      packet.signal = view.getUint8(at + 13)
      this.info.fingerprint = (view.getInt32(at + 4) ^ Math.imul(view.getInt32(at + 8), 31) ^ packet.signal) | 0
      const payloadAt = at + (view.getUint8(at + 12) >> 4) * 4
      if (payloadAt < end) packet.payload = bytes.subarray(payloadAt, end)
    } else if (protocol === UDP && left > 8) {
      packet.payload = bytes.subarray(at + 8, end)
      if (!isOuter) return
      this.info.fingerprint = view.getInt32(at + 4)
      const [flags, inside] = [view.getUint8(at + 8), left > 9 ? view.getUint8(at + 9) : 0]
      if (flags < 32 && (inside === IPIP || inside === IPV6)) this.#readTunneled(view, bytes, at + 12 + flags * 4, end)
    } else if (protocol === SCTP) packet.signal = chunksAt(view, at + 12, end)
  }
}

/** Length of a GRE header by its flags: checksum, key and sequence number are four bytes each (RFC 2784, RFC 2890). */
function greHeader(flags: number): number {
  return 4 + [0x8000, 0x2000, 0x1000].filter((bit) => (flags & bit) !== 0).length * 4
}

/** Bytes of each protocol's header. */
const HEADER: Readonly<Record<number, number>> = { [TCP]: 20, [UDP]: 8, [SCTP]: 12 }

/** First chunk's type, and the second's in bits 8…15 (FF without one); -1 without a chunk header. */
function chunksAt(view: DataView, at: number, end: number): number {
  if (at + 4 > end) return -1
  const next = at + ((view.getUint16(at + 2) + 3) & ~3)
  const second = next > at && next + 4 <= end ? view.getUint8(next) : 0xff
  return view.getUint8(at) | (second << 8)
}

function macAt(view: DataView, at: number): number {
  return view.getUint16(at) * 0x100000000 + view.getUint32(at + 2)
}
