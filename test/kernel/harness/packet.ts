// IP packets by hand. Only the IPv4 header's checksum is right: IPVS looks at no other, and nobody else is there.

/** Addresses and ports of a packet. Addresses are 4 bytes, or 16. */
export interface Path {
  readonly from: readonly number[]
  readonly to: readonly number[]
  readonly fromPort: number
  readonly toPort: number
}

/** TCP flags as bits of the header's fourteenth byte. */
export const TCP = { FIN: 1, SYN: 2, RST: 4, ACK: 16 } as const

/** An ICMP error about a packet: port unreachable. IPVS reads as many bytes as there are. */
export function icmpError(ends: Pick<Path, 'from' | 'to'>, about: Uint8Array): Uint8Array {
  const even = about.length + (about.length % 2)
  const message = new Uint8Array(8 + even)
  message.set([3, 3])
  message.set(about, 8)
  new DataView(message.buffer).setUint16(2, checksum(message))
  return ip(ends, 1, message)
}

/** SCTP chunk types. */
export const SCTP = {
  DATA: 0,
  INIT: 1,
  INIT_ACK: 2,
  SHUTDOWN: 7,
  SHUTDOWN_ACK: 8,
  COOKIE_ECHO: 10,
  COOKIE_ACK: 11,
  SHUTDOWN_COMPLETE: 14
} as const

/** A TCP segment with these flags and a few bytes of data. */
export function tcp(path: Path, flags: number): Uint8Array {
  const segment = new Uint8Array(20)
  const view = ports(segment, path)
  view.setUint32(4, 1000)
  view.setUint32(8, flags & TCP.ACK ? 2000 : 0)
  segment[12] = 5 << 4
  segment[13] = flags
  view.setUint16(14, 8192)
  return ip(path, 6, segment)
}

/** A UDP datagram. */
export function udp(path: Path, payload: Uint8Array = new Uint8Array(8)): Uint8Array {
  const datagram = new Uint8Array(8 + payload.length)
  ports(datagram, path).setUint16(4, datagram.length)
  datagram.set(payload, 8)
  return ip(path, 17, datagram)
}

/** An SCTP packet with one chunk, or two. */
export function sctp(path: Path, chunk: number, second?: number): Uint8Array {
  const packet = new Uint8Array(12 + 20 + (second === undefined ? 0 : 4))
  const view = ports(packet, path)
  packet[12] = chunk
  view.setUint16(14, 20)
  if (second !== undefined) {
    packet[32] = second
    view.setUint16(34, 4)
  }
  return ip(path, 132, packet)
}

/** The other direction. */
export function back({ from, to, fromPort, toPort }: Path): Path {
  return { from: to, to: from, fromPort: toPort, toPort: fromPort }
}

function ports(bytes: Uint8Array, { fromPort, toPort }: Path): DataView {
  const view = new DataView(bytes.buffer)
  view.setUint16(0, fromPort)
  view.setUint16(2, toPort)
  return view
}

/** An IP packet of any protocol. */
export function ip({ from, to }: Pick<Path, 'from' | 'to'>, protocol: number, payload: Uint8Array): Uint8Array {
  if (from.length === 16)
    return Uint8Array.of(
      0x60,
      0,
      0,
      0,
      payload.length >> 8,
      payload.length & 0xff,
      protocol,
      64,
      ...from,
      ...to,
      ...payload
    )
  const length = 20 + payload.length
  const header = Uint8Array.of(0x45, 0, length >> 8, length & 0xff, 0, 1, 0x40, 0, 64, protocol, 0, 0, ...from, ...to)
  new DataView(header.buffer).setUint16(10, checksum(header))
  return Uint8Array.of(...header, ...payload)
}

/** The Internet checksum (RFC 1071) of an even number of bytes. */
export function checksum(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer)
  let sum = 0
  for (let at = 0; at < bytes.length; at += 2) sum += view.getUint16(at)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}
