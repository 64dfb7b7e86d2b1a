/**
 * From a captured frame to the IP packet in it: Ethernet with VLAN tags, Linux cooked v1 and v2, raw IP, null/loopback.
 *
 * @module
 */

import { IpvsSyncError } from '../errors.js'
import type { RawPacket } from './raw-packet.js'

/** Where an IP packet begins in a frame. */
export interface IpLocation {
  /** 4 or 6, as the frame says. */
  readonly version: 4 | 6
  /** Index of its first byte in the packet's buffer. */
  readonly start: number
  /** Tells apart the same packet seen at several places (interface, direction, VLAN): fragments are only joined within one. */
  readonly place: string
}

type Finder = (packet: RawPacket) => IpLocation | undefined

const ETHERTYPE = { IPV4: 0x0800, IPV6: 0x86dd } as const
/** 802.1Q, 802.1ad (QinQ), and the QinQ type from before the standard. */
const VLAN_TYPES: ReadonlySet<number> = new Set([0x8100, 0x88a8, 0x9100])
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
  [1, findInEthernet],
  [12, findInRaw],
  [14, findInRaw],
  [101, findInRaw],
  [108, findInNull],
  [113, findInCooked],
  [228, (packet) => locate(4, packet.start, packet, '')],
  [229, (packet) => locate(6, packet.start, packet, '')],
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

/** The error for a capture whose link type is not read: says what is read. */
export function unknownLinkTypeError(linkType: number): IpvsSyncError {
  const known = 'Ethernet (1), Linux cooked (113, 276), raw IP (12, 14, 101, 228, 229) and null/loopback (0, 108)'
  return new IpvsSyncError(
    'ERR_CAPTURE',
    `link type ${linkType} is not read; known are ${known}: capture again on an IP interface`
  )
}

/**
 * Finds the IP packet in a frame.
 *
 * @returns Undefined when there is none, or the frame is cut off before it.
 */
export function findIp(packet: RawPacket): IpLocation | undefined {
  // The file parsers hand on no other link types.
  return FINDERS.get(packet.linkType)!(packet)
}

function findInEthernet(packet: RawPacket): IpLocation | undefined {
  return packet.end - packet.start < 14 ? undefined : findByType(packet, packet.start + 12, packet.start + 14, '')
}

/** packet kind 2 · hardware type 2 · address length 2 · address 8 · EtherType 2 */
function findInCooked(packet: RawPacket): IpLocation | undefined {
  if (packet.end - packet.start < 16) return undefined
  const kind = packet.view.getUint16(packet.start)
  return findByType(packet, packet.start + 14, packet.start + 16, `/${kind}`)
}

/** EtherType 2 · reserved 2 · interface index 4 · hardware type 2 · packet kind 1 · address length 1 · address 8 */
function findInCooked2(packet: RawPacket): IpLocation | undefined {
  if (packet.end - packet.start < 20) return undefined
  const { view, start } = packet
  return findByType(packet, start, start + 20, `/${view.getUint32(start + 4)}/${view.getUint8(start + 10)}`)
}

/** Tags stand before the packet, each followed by the EtherType of what comes next. */
function findByType(packet: RawPacket, typeAt: number, start: number, place: string): IpLocation | undefined {
  let type = packet.view.getUint16(typeAt)
  let at = start
  let tags = ''
  while (VLAN_TYPES.has(type)) {
    if (packet.end - at < 4) return undefined
    tags += `.${packet.view.getUint16(at) & 0xfff}`
    type = packet.view.getUint16(at + 2)
    at += 4
  }
  if (type === ETHERTYPE.IPV4) return locate(4, at, packet, place + tags)
  if (type === ETHERTYPE.IPV6) return locate(6, at, packet, place + tags)
  return undefined
}

function findInRaw(packet: RawPacket): IpLocation | undefined {
  if (packet.end === packet.start) return undefined
  const version = packet.view.getUint8(packet.start) >> 4
  return version === 4 || version === 6 ? locate(version, packet.start, packet, '') : undefined
}

/** Four bytes of address family: in the writer's byte order for null, in the network's for loopback. Either is taken. */
function findInNull(packet: RawPacket): IpLocation | undefined {
  if (packet.end - packet.start < 4) return undefined
  const { view, start } = packet
  const version = FAMILIES.get(view.getUint32(start)) ?? FAMILIES.get(view.getUint32(start, true))
  return version === undefined ? undefined : locate(version, start + 4, packet, '')
}

function locate(version: 4 | 6, start: number, packet: RawPacket, place: string): IpLocation {
  return { version, start, place: packet.interfaceNumber === 0 ? place : `${packet.interfaceNumber}${place}` }
}
