/**
 * What a capture's reader gives: datagrams, and what was wrong outside of them. Types only.
 *
 * @module
 */

import type { Endpoint } from '../wire/connection.js'
import type { Problem } from '../wire/problems.js'
import type { CaptureTime } from './capture-time.js'

/** A tunnel or tag that a packet came through. */
export interface TunnelLayer {
  /** `vlan`, `vxlan`, `geneve`, `gre`, `erspan`, `ipip`, `6in4`, `gue`, `fou`, `mpls`, `pppoe`, `nsh` … */
  readonly type: string
  /** VLAN, VNI, key, label or session; absent where the tunnel has none. */
  readonly id?: number
}

/** One UDP datagram of a capture, put together from its fragments where it had any. */
export interface CapturedDatagram {
  /** Tells the items apart. */
  readonly kind: 'datagram'
  /** Number of the packet in the file, from 1, as Wireshark counts: of its last fragment. */
  readonly packet: number
  /** When it was captured (its last fragment); undefined in a pcapng simple packet block, which has no time. */
  readonly time: CaptureTime | undefined
  /** Where it came from. */
  readonly source: Endpoint
  /** Where it was sent: for sync traffic the group, and the port that tells the channel. */
  readonly destination: Endpoint
  /** The UDP payload as far as it is in the capture. A copy: keep it as long as you like. */
  readonly payload: Uint8Array
  /** Bytes of UDP payload on the wire; more than `payload` holds where the packet was snapped or fragments are missing. */
  readonly wireLength: number
  /** The interface's name, where the capture tells (pcapng). */
  readonly interface: string | undefined
  /** How many fragments it came in; 1 is a whole datagram. */
  readonly fragments: number
  /** Tags and tunnels around it, outermost first; undefined without any. */
  readonly tunnel: readonly TunnelLayer[] | undefined
  /** What is wrong with the packet; what is wrong with the message in it is the decoder's business. */
  readonly problems: readonly Problem[]
}

/** Something wrong that is not about one datagram's contents: damage to the file, fragments left over. */
export interface CaptureFinding {
  /** Tells the items apart. */
  readonly kind: 'problem'
  /** Number of the packet in the file, from 1, where there is one. */
  readonly packet: number | undefined
  /** What it is; `offset` counts bytes of the file. */
  readonly problem: Problem
}

/**
 * A whole datagram where it stands in the reader's buffer: Ethernet, IPv4 without options or IPv6 without extension
 * headers, not fragmented, not cut. One object serves all datagrams: copy what you keep.
 */
export interface DatagramView {
  /** Number of the packet in the file, from 1. */
  packet: number
  /** The reader's buffer. */
  bytes: Uint8Array
  /** A view over `bytes`, same offsets. */
  view: DataView
  /** Index of the payload's first byte. */
  start: number
  /** Index after the payload. */
  end: number
  /** Whether the addresses are IPv6. */
  isIpv6: boolean
  /** Index of the source address; the destination address follows it. */
  addressesAt: number
  /** Index of the source port; the destination port follows it. */
  portsAt: number
  /** Whole seconds since 1970. */
  seconds: number
  /** What follows the point, as a number of `digits` digits. */
  fraction: number
  /** 6 or 9. */
  digits: number
}

/** Receives what a {@link PacketReader} finds, in the order of the file. */
export interface DatagramSink {
  /** Receives a datagram. */
  datagram(datagram: CapturedDatagram): void
  /** Receives a problem outside of the datagrams. */
  finding(finding: CaptureFinding): void
  /** Receives datagrams that need no copy; a sink without it receives them by `datagram`. */
  plain?(datagram: DatagramView): void
}

/** What a reader gives, in the order of the file. */
export type CaptureItem = CapturedDatagram | CaptureFinding

/** A port, or a range of ports with both its ends. */
export type PortRange = number | readonly [first: number, last: number]

/** How a capture file can be compressed. */
export type Compression = 'gzip' | 'zstd'

/** Expands compressed data; undefined where it cannot. It throws what is wrong with the data behind all that it could expand. */
export type Decompress = (
  compression: Compression,
  chunks: AsyncIterable<Uint8Array>
) => AsyncIterable<Uint8Array> | undefined

/** How a capture is read. */
export interface ReadCaptureOptions {
  /** The platform's own decompressor. Default: the web's for gzip. */
  readonly decompress?: Decompress
  /** Only datagrams to these destination ports: ranges, or a predicate. Default: all. */
  readonly ports?: readonly PortRange[] | ((port: number) => boolean)
  /** How many datagrams may wait for fragments at a time. Default 1024. */
  readonly maxFragmentedDatagrams?: number
  /** How many bytes all waiting fragments may take together. Default 4 MiB, as Linux. */
  readonly maxFragmentBytes?: number
  /** How long a datagram waits for its fragments, in seconds of capture time. Default 30, as Linux. */
  readonly fragmentSeconds?: number
}

/** What a reader has counted so far. */
export interface CaptureCounts {
  /** Packets in the file, of any kind. */
  readonly packets: number
  /** UDP datagrams to the wanted ports. */
  readonly datagrams: number
  /** Bytes of the file read so far (of what gzip holds). */
  readonly bytes: number
  /**
   * UDP datagrams to other ports that look like sync messages (bytes 2 and 3 are the payload's length): port to count.
   * At most 64 ports are kept.
   */
  readonly otherPorts: ReadonlyMap<number, number>
}
