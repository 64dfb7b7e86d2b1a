/**
 * IPv4 and IPv6 headers: what is needed to find UDP in a packet, and to put fragments together.
 *
 * @module
 */

import type { RawPacket } from './raw-packet.js'
import type { IpLocation } from './link-layer.js'

/** The IP protocol number of UDP. */
export const UDP = 17

/** What an IP packet's headers say. */
export interface IpPacket {
  /** 4 or 6. */
  readonly version: 4 | 6
  /** Index of the source address in the packet's buffer; the destination address follows it. */
  readonly addressesAt: number
  /** Protocol of what begins at `start`: UDP's 17, or another. In a fragment of IPv6 it can still be an extension header. */
  readonly protocol: number
  /** Index of the first byte after the headers; never behind `end`. */
  readonly start: number
  /** Index after the last captured byte that belongs to this packet. */
  readonly end: number
  /** Index after the last byte that IP says it carries, captured or not. */
  readonly wireEnd: number
  /** Whether the length field is less than the header, or more than the frame was long. */
  readonly isLengthWrong: boolean
  /** Where in its datagram this piece stands; undefined for a whole one. */
  readonly fragment: Fragment | undefined
}

/** A fragment's place. */
export interface Fragment {
  /** Identification: 16 bits in IPv4, 32 in IPv6. */
  readonly id: number
  /** Offset of its first byte in the datagram. */
  readonly offset: number
  /** Whether others follow. */
  readonly more: boolean
}

/**
 * Reads the IP headers of a packet, down to UDP or to a fragment.
 *
 * @returns Undefined when what is there is no IP packet, or is cut off within its headers.
 */
export function readIp(packet: RawPacket, { version, start }: IpLocation): IpPacket | undefined {
  return version === 4 ? readIpv4(packet, start) : readIpv6(packet, start)
}

function readIpv4(packet: RawPacket, start: number): IpPacket | undefined {
  const { view, end } = packet
  if (end - start < 20 || view.getUint8(start) >> 4 !== 4) return undefined
  const headerLength = (view.getUint8(start) & 0x0f) * 4
  if (headerLength < 20 || end - start < headerLength) return undefined
  const place = view.getUint16(start + 6)
  const isFragment = (place & 0x3fff) !== 0
  return {
    version: 4,
    addressesAt: start + 12,
    protocol: view.getUint8(start + 9),
    start: start + headerLength,
    ...readEnd(packet, start, view.getUint16(start + 2), headerLength),
    fragment: isFragment
      ? { id: view.getUint16(start + 4), offset: (place & 0x1fff) * 8, more: (place & 0x2000) !== 0 }
      : undefined
  }
}

function readIpv6(packet: RawPacket, start: number): IpPacket | undefined {
  const { view, end } = packet
  if (end - start < 40 || view.getUint8(start) >> 4 !== 6) return undefined
  const length = view.getUint16(start + 4)
  const ends = readEnd(packet, start, length === 0 ? 0 : 40 + length, 40)
  const upper = skipExtensionHeaders(view, view.getUint8(start + 6), start + 40, ends.end)
  if (upper === undefined) return undefined
  return { version: 6, addressesAt: start + 8, ...upper, ...ends }
}

/**
 * Where the packet ends. A length of 0 means that the network card splits it later (segmentation offload), or an IPv6
 * jumbogram: the frame's end counts.
 */
function readEnd(
  { start: frameStart, end: frameEnd, wireLength }: RawPacket,
  start: number,
  length: number,
  headerLength: number
): { end: number; wireEnd: number; isLengthWrong: boolean } {
  const frameWireEnd = frameStart + wireLength
  const isLengthWrong = length !== 0 && (length < headerLength || start + length > frameWireEnd)
  const wireEnd = length === 0 || isLengthWrong ? frameWireEnd : start + length
  return { end: Math.min(frameEnd, wireEnd), wireEnd, isLengthWrong }
}

/** Hop-by-hop, routing, destination options, mobility, HIP, shim6: next header, then a length in units of 8 bytes. */
const EXTENSIONS: ReadonlySet<number> = new Set([0, 43, 60, 135, 139, 140])
const FRAGMENT_HEADER = 44
const AUTHENTICATION_HEADER = 51

/** Whether what follows a first fragment's headers can still be UDP. */
export function canLeadToUdp(protocol: number): boolean {
  return protocol === UDP || protocol === AUTHENTICATION_HEADER || EXTENSIONS.has(protocol)
}

/**
 * Passes over IPv6 extension headers. Stops at the first fragment header of a real fragment; the header of a datagram
 * that was not split (RFC 6946) is skipped like any other.
 *
 * @returns Undefined when the headers run past `end`.
 */
export function skipExtensionHeaders(
  view: DataView,
  firstProtocol: number,
  firstAt: number,
  end: number
): { protocol: number; start: number; fragment: Fragment | undefined } | undefined {
  let protocol = firstProtocol
  let at = firstAt
  while (protocol === FRAGMENT_HEADER || protocol === AUTHENTICATION_HEADER || EXTENSIONS.has(protocol)) {
    if (at + 8 > end) return undefined
    const next = view.getUint8(at)
    if (protocol === FRAGMENT_HEADER) {
      const place = view.getUint16(at + 2)
      const fragment = { id: view.getUint32(at + 4), offset: place & 0xfff8, more: (place & 1) !== 0 }
      if (fragment.offset !== 0 || fragment.more) return { protocol: next, start: at + 8, fragment }
      at += 8
    } else at += protocol === AUTHENTICATION_HEADER ? (view.getUint8(at + 1) + 2) * 4 : (view.getUint8(at + 1) + 1) * 8
    protocol = next
  }
  return at > end ? undefined : { protocol, start: at, fragment: undefined }
}
