/**
 * Packets inside of packets: what leads from an IP packet to the one that it carries.
 *
 * | carrier | formats |
 * | --- | --- |
 * | UDP | VXLAN (4789, 8472; RFC 7348), GENEVE (6081; RFC 8926), GUE (6080), FOU (5555) |
 * | GRE (47) | IP, Ethernet (RFC 2784, 2890), ERSPAN I, II and III, MPLS, NSH |
 * | IP | IPIP (4), 6in4 (41), Ethernet in IP (97), MPLS (137) |
 * | EtherType | VLAN tags, MPLS (RFC 3032), PPPoE sessions (RFC 2516), NSH (RFC 8300), LLC/SNAP |
 *
 * @module
 */

import type { TunnelLayer } from './items.js'

/** Where an IP packet begins, and what it came through. */
export interface InnerIp {
  /** 4 or 6. */
  readonly version: 4 | 6
  /** Index of its first byte. */
  readonly start: number
}

/** A walk through one frame: notes what it came through. */
export interface Walk {
  readonly view: DataView
  /** Index after the last byte. */
  readonly end: number
  /** Tags and tunnels so far, outermost first. */
  readonly layers: TunnelLayer[]
}

/** More tags and labels than this are not a packet but an attack on time. */
const MOST_LAYERS = 16

const ETHERTYPE = {
  IPV4: 0x0800,
  IPV6: 0x86dd,
  ETHERNET: 0x6558,
  MPLS: 0x8847,
  MPLS_MULTICAST: 0x8848,
  PPP: 0x880b,
  PPPOE: 0x8864,
  ERSPAN: 0x88be,
  ERSPAN3: 0x22eb,
  NSH: 0x894f
} as const
/** 802.1Q, 802.1ad (QinQ), and the QinQ type from before the standard. */
const VLAN_TYPES: ReadonlySet<number> = new Set([0x8100, 0x88a8, 0x9100])

/** Follows an EtherType and what stands behind it. */
export function followType(walk: Walk, type: number, at: number): InnerIp | undefined {
  const { view, end, layers } = walk
  if (type === ETHERTYPE.IPV4) return { version: 4, start: at }
  if (type === ETHERTYPE.IPV6) return { version: 6, start: at }
  if (layers.length >= MOST_LAYERS || at + 4 > end) return undefined
  if (VLAN_TYPES.has(type)) {
    layers.push({ type: 'vlan', id: view.getUint16(at) & 0xfff })
    return followType(walk, view.getUint16(at + 2), at + 4)
  }
  if (type <= 1500) return followLlc(walk, at)
  switch (type) {
    case ETHERTYPE.ETHERNET:
      return followEthernet(walk, at)
    case ETHERTYPE.MPLS:
    case ETHERTYPE.MPLS_MULTICAST:
      return followMpls(walk, at)
    case ETHERTYPE.PPP:
      return followPpp(walk, at)
    case ETHERTYPE.PPPOE:
      if (at + 8 > end) return undefined
      layers.push({ type: 'pppoe', id: view.getUint16(at + 2) })
      return followPpp(walk, at + 6)
    case ETHERTYPE.NSH:
      return followNsh(walk, at)
    default:
      return undefined
  }
}

/** Follows an Ethernet frame. */
export function followEthernet(walk: Walk, at: number): InnerIp | undefined {
  return at + 14 > walk.end ? undefined : followType(walk, walk.view.getUint16(at + 12), at + 14)
}

/** Follows PPP: address and control bytes, which may be left out, and a protocol of one or two bytes. */
export function followPpp(walk: Walk, at: number): InnerIp | undefined {
  const { view, end } = walk
  if (at + 4 > end) return undefined
  let from = view.getUint16(at) === 0xff03 ? at + 2 : at
  let protocol = view.getUint8(from)
  if ((protocol & 1) === 0) protocol = view.getUint16(from++)
  from += 1
  if (protocol === 0x21) return { version: 4, start: from }
  if (protocol === 0x57) return { version: 6, start: from }
  return protocol === 0x281 ? followMpls(walk, from) : undefined
}

/** LLC with a SNAP header: AA AA 03, organisation 3, EtherType 2. */
function followLlc(walk: Walk, at: number): InnerIp | undefined {
  const { view, end } = walk
  if (at + 8 > end || view.getUint32(at) >>> 8 !== 0xaaaa03) return undefined
  return followType(walk, view.getUint16(at + 6), at + 8)
}

/** Labels of 4 bytes; the last has a bit. What follows is recognised by its first four bits. */
function followMpls(walk: Walk, at: number): InnerIp | undefined {
  const { view, end, layers } = walk
  for (let from = at; from + 5 <= end && layers.length < MOST_LAYERS; from += 4) {
    const label = view.getUint32(from)
    layers.push({ type: 'mpls', id: label >>> 12 })
    if ((label & 0x100) === 0) continue
    const version = view.getUint8(from + 4) >> 4
    // A pseudowire: four zero bits begin its control word, and an Ethernet frame follows.
    return version === 0 ? followEthernet(walk, from + 8) : versioned(version, from + 4)
  }
  return undefined
}

function versioned(version: number, start: number): InnerIp | undefined {
  return version === 4 || version === 6 ? { version, start } : undefined
}

const NSH_TYPES: ReadonlyMap<number, number> = new Map([
  [1, ETHERTYPE.IPV4],
  [2, ETHERTYPE.IPV6],
  [3, ETHERTYPE.ETHERNET],
  [5, ETHERTYPE.MPLS]
])

/** Length in words in bits 10…15 of the first 16; next protocol in byte 3; path identifier in the second word. */
function followNsh(walk: Walk, at: number): InnerIp | undefined {
  const { view, end, layers } = walk
  if (at + 8 > end) return undefined
  const length = (view.getUint16(at) & 0x3f) * 4
  const type = NSH_TYPES.get(view.getUint8(at + 3))
  if (length < 8 || type === undefined) return undefined
  layers.push({ type: 'nsh', id: view.getUint32(at + 4) >>> 8 })
  return followType(walk, type, at + length)
}

const IPIP = 4
const IPV6_IN_IP = 41
const GRE = 47
const ETHERNET_IN_IP = 97
const MPLS_IN_IP = 137

/** Follows an IP protocol that carries packets; undefined where it carries none. */
export function followProtocol(walk: Walk, protocol: number, outer: 4 | 6, at: number): InnerIp | undefined {
  const { layers } = walk
  switch (protocol) {
    case IPIP:
      layers.push({ type: outer === 4 ? 'ipip' : '4in6' })
      return { version: 4, start: at }
    case IPV6_IN_IP:
      layers.push({ type: outer === 4 ? '6in4' : '6in6' })
      return { version: 6, start: at }
    case GRE:
      return followGre(walk, at)
    case ETHERNET_IN_IP:
      layers.push({ type: 'etherip' })
      return followEthernet(walk, at + 2)
    case MPLS_IN_IP:
      return followMpls(walk, at)
    default:
      return undefined
  }
}

/** Whether an IP protocol carries packets. */
export function isTunnelProtocol(protocol: number): boolean {
  return [IPIP, IPV6_IN_IP, GRE, ETHERNET_IN_IP, MPLS_IN_IP].includes(protocol)
}

/** flags and version 2 · type 2 · [checksum 4] · [key 4] · [sequence 4] */
function followGre(walk: Walk, at: number): InnerIp | undefined {
  const { view, end, layers } = walk
  if (at + 4 > end) return undefined
  const flags = view.getUint16(at)
  const type = view.getUint16(at + 2)
  if ((flags & 0x4007) !== 0) return undefined
  const keyAt = at + 4 + (flags & 0x8000 ? 4 : 0)
  const sequenceAt = keyAt + (flags & 0x2000 ? 4 : 0)
  const from = sequenceAt + (flags & 0x1000 ? 4 : 0)
  if (from > end) return undefined
  if (type === ETHERTYPE.ERSPAN) {
    // Type I has no sequence number and no header; type II a header of 8 bytes with the session in 10 bits.
    const hasSequence = (flags & 0x1000) !== 0
    if (from + 8 > walk.end) return undefined
    walk.layers.push(hasSequence ? { type: 'erspan', id: walk.view.getUint16(from + 2) & 0x3ff } : { type: 'erspan' })
    return followEthernet(walk, hasSequence ? from + 8 : from)
  }
  if (type === ETHERTYPE.ERSPAN3) {
    // A header of 12 bytes, and 8 more where its last bit is set.
    if (from + 12 > walk.end) return undefined
    walk.layers.push({ type: 'erspan', id: walk.view.getUint16(from + 2) & 0x3ff })
    return followEthernet(walk, from + (walk.view.getUint8(from + 11) & 1 ? 20 : 12))
  }
  layers.push(flags & 0x2000 ? { type: 'gre', id: view.getUint32(keyAt) } : { type: 'gre' })
  return followType(walk, type, from)
}

const VXLAN_PORTS: ReadonlySet<number> = new Set([4789, 8472])
const GENEVE_PORT = 6081
const GUE_PORT = 6080
const FOU_PORT = 5555

/** Whether UDP to this port usually carries packets. */
export function isTunnelPort(port: number): boolean {
  return VXLAN_PORTS.has(port) || port === GENEVE_PORT || port === GUE_PORT || port === FOU_PORT
}

/** Follows the payload of UDP to a port of {@link isTunnelPort}; undefined where it is something else. */
export function followUdp(walk: Walk, port: number, at: number): InnerIp | undefined {
  const { view, end, layers } = walk
  if (at + 8 > end) return undefined
  if (VXLAN_PORTS.has(port)) {
    if ((view.getUint8(at) & 0x08) === 0) return undefined
    layers.push({ type: 'vxlan', id: view.getUint32(at + 4) >>> 8 })
    return followEthernet(walk, at + 8)
  }
  if (port === GENEVE_PORT) {
    const first = view.getUint8(at)
    if (first >> 6 !== 0) return undefined
    layers.push({ type: 'geneve', id: view.getUint32(at + 4) >>> 8 })
    return followType(walk, view.getUint16(at + 2), at + 8 + (first & 0x3f) * 4)
  }
  if (port === FOU_PORT) return followBare(walk, 'fou', at)
  const first = view.getUint8(at)
  // GUE's variant 1 is an IP packet without a header.
  if (first >> 6 === 1) return followBare(walk, 'gue', at)
  if (first >> 5 !== 0) return undefined
  const from = at + 4 + (first & 0x1f) * 4
  const protocol = view.getUint8(at + 1)
  if (from + 4 > end) return undefined
  layers.push({ type: 'gue' })
  if (protocol === IPIP) return { version: 4, start: from }
  if (protocol === IPV6_IN_IP) return { version: 6, start: from }
  return protocol === GRE ? followGre(walk, from) : undefined
}

function followBare(walk: Walk, type: string, at: number): InnerIp | undefined {
  const inner = versioned(walk.view.getUint8(at) >> 4, at)
  if (inner !== undefined) walk.layers.push({ type })
  return inner
}
