/**
 * A packet as the file holds it: what the file parsers hand to the dissector. Internal to the folder.
 *
 * @module
 */

import type { CaptureTime } from './capture-time.js'
import type { CaptureProblemCode } from './problems.js'

/** One packet. The object and its bytes are only good until the call that hands it over returns. */
export interface RawPacket {
  /** The file parser's buffer. */
  readonly bytes: Uint8Array
  /** A view over `bytes`, same offsets. */
  readonly view: DataView
  /** Index of the packet's first byte. */
  readonly start: number
  /** Index after the last byte that was captured. */
  readonly end: number
  /** Bytes on the wire; at least `end - start`. */
  readonly wireLength: number
  /** The link type, as the registry of pcap link types numbers them. */
  readonly linkType: number
  /** Which interface of the file, from 0. */
  readonly interfaceNumber: number
  /** Its name, if the file has it. */
  readonly interfaceName: string | undefined
  /** Undefined where the file has none. */
  readonly time: CaptureTime | undefined
}

/** A frame's time as a file holds it. */
export interface FrameTime {
  seconds: number
  fraction: number
  digits: number
}

/** Where the file parsers put what they find. */
export interface PacketSink {
  /** Takes a packet. */
  packet(packet: RawPacket): void
  /**
   * Takes an Ethernet frame that was captured whole, if it holds a whole datagram over plain IPv4 or IPv6 to a wanted port.
   *
   * @returns False where it does not: the packet goes through {@link PacketSink.packet}.
   */
  frame?(bytes: Uint8Array, view: DataView, start: number, end: number, time: FrameTime): boolean
  /** Counts a packet that is skipped. */
  skipped(): void
  /** Passes over a packet that cannot be read, says so, and counts it. */
  unreadable(code: CaptureProblemCode, message: string, offset: number): void
  /** Takes a problem of the file itself. */
  damage(code: CaptureProblemCode, message: string, offset: number): void
}
