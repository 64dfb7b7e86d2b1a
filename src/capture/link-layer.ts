/**
 * From a captured frame to the IP packet in it: Ethernet, Linux cooked v1 and v2, raw IP, null/loopback, PPP, NFLOG; with
 * the tags and tunnels that an EtherType announces.
 *
 * @module
 */

import { IpvsSyncError } from '../errors.js'
import type { TunnelLayer } from './items.js'
import type { RawPacket } from './raw-packet.js'
import { followEthernet, followPpp, followType, type InnerIp, type Walk } from './tunnels.js'

/** Where an IP packet begins in a frame. */
export interface IpLocation extends InnerIp {
  /** Tells apart the same packet seen at several places (interface, direction, VLAN): fragments are only joined within one. */
  readonly place: string
  /** Tags and tunnels around it, outermost first. */
  readonly layers: readonly TunnelLayer[]
}

/** What a finder found, and what tells its place from others. */
interface Found {
  readonly ip: InnerIp | undefined
  readonly place: string
}

type Finder = (packet: RawPacket, walk: Walk) => Found | undefined

/** AF_INET and the values of AF_INET6 of Linux, NetBSD and OpenBSD, FreeBSD, macOS. */
const FAMILIES: ReadonlyMap<number, 4 | 6> = new Map([
  [2, 4],
  [10, 6],
  [24, 6],
  [28, 6],
  [30, 6]
])

const FINDERS: ReadonlyMap<number, Finder> = new Map<number, Finder>([
  [0, findInNull],
  [1, ({ start }, walk) => ({ ip: followEthernet(walk, start), place: '' })],
  [9, ({ start }, walk) => ({ ip: followPpp(walk, start), place: '' })],
  [12, findInRaw],
  [14, findInRaw],
  [50, ({ start }, walk) => ({ ip: followPpp(walk, start), place: '' })],
  [51, findInPppoe],
  [101, findInRaw],
  [108, findInNull],
  [113, findInCooked],
  [228, ({ start }) => ({ ip: { version: 4, start }, place: '' })],
  [229, ({ start }) => ({ ip: { version: 6, start }, place: '' })],
  [239, findInNflog],
  [276, findInCooked2]
])

/** Whether packets of this link type can be read. */
export function isKnownLinkType(linkType: number): boolean {
  return FINDERS.has(linkType)
}

/** @throws {IpvsSyncError} `ERR_CAPTURE` when packets of this link type cannot be read. */
export function assertLinkType(linkType: number): void {
  if (!FINDERS.has(linkType)) throw unknownLinkTypeError(linkType)
}

/** The error for a capture whose link type is not supported: lists those that are. */
export function unknownLinkTypeError(linkType: number): IpvsSyncError {
  const known =
    'Ethernet (1), Linux cooked (113, 276), raw IP (12, 14, 101, 228, 229), null/loopback (0, 108), PPP (9, 50, 51) or NFLOG (239)'
  return new IpvsSyncError(
    'ERR_CAPTURE',
    `link type: expected ${known}, got ${linkType}; capture again on an IP interface`
  )
}

/**
 * Finds the IP packet in a frame.
 *
 * @returns Undefined when there is none, or the frame is cut off before it.
 */
export function findIp(packet: RawPacket): IpLocation | undefined {
  const walk: Walk = { view: packet.view, end: packet.end, layers: [] }
  // The file parsers hand on no other link types.
  const found = FINDERS.get(packet.linkType)!(packet, walk)
  if (found?.ip === undefined) return undefined
  const { interfaceNumber } = packet
  const place = `${interfaceNumber === 0 ? '' : interfaceNumber}${found.place}${layersText(walk.layers)}`
  return { ...found.ip, place, layers: walk.layers }
}

/** Layers as a part of a place. */
export function layersText(layers: readonly TunnelLayer[]): string {
  return layers.map(({ type, id }) => `.${type}${id ?? ''}`).join('')
}

/** packet kind 2 · hardware type 2 · address length 2 · address 8 · EtherType 2 */
function findInCooked({ view, start, end }: RawPacket, walk: Walk): Found | undefined {
  if (end - start < 16) return undefined
  return { ip: followType(walk, view.getUint16(start + 14), start + 16), place: `/${view.getUint16(start)}` }
}

/** EtherType 2 · reserved 2 · interface index 4 · hardware type 2 · packet kind 1 · address length 1 · address 8 */
function findInCooked2({ view, start, end }: RawPacket, walk: Walk): Found | undefined {
  if (end - start < 20) return undefined
  const place = `/${view.getUint32(start + 4)}/${view.getUint8(start + 10)}`
  return { ip: followType(walk, view.getUint16(start), start + 20), place }
}

function findInRaw({ view, start, end }: RawPacket): Found | undefined {
  if (end === start) return undefined
  const version = view.getUint8(start) >> 4
  return version === 4 || version === 6 ? { ip: { version, start }, place: '' } : undefined
}

/** Four bytes of address family: in the writer's byte order for null, in the network's for loopback. Either is taken. */
function findInNull({ view, start, end }: RawPacket): Found | undefined {
  if (end - start < 4) return undefined
  const version = FAMILIES.get(view.getUint32(start)) ?? FAMILIES.get(view.getUint32(start, true))
  return version === undefined ? undefined : { ip: { version, start: start + 4 }, place: '' }
}

/** A PPPoE session packet without Ethernet: version 1, code 0. */
function findInPppoe({ start }: RawPacket, walk: Walk): Found {
  return { ip: followType(walk, 0x8864, start), place: '' }
}

const NFLOG_PAYLOAD = 9

/** family 1 · version 1 · resource 2, then attributes: length 2 and type 2 in the writer's order, padded to 4. */
function findInNflog({ view, start, end }: RawPacket): Found | undefined {
  if (end - start < 4) return undefined
  const version = FAMILIES.get(view.getUint8(start))
  for (let at = start + 4; version !== undefined && at + 4 <= end;) {
    const isLittle = view.getUint16(at, true) <= end - at && view.getUint8(at + 3) === 0
    const length = view.getUint16(at, isLittle)
    if (view.getUint16(at + 2, isLittle) === NFLOG_PAYLOAD) return { ip: { version, start: at + 4 }, place: '' }
    if (length < 4) return undefined
    at += (length + 3) & ~3
  }
  return undefined
}
