/**
 * The blocks of pcapng that are read: interface descriptions and the three kinds of packet block. Offsets are those of
 * the block's body.
 *
 * @module
 */

import type { TimeResolution } from './capture-time.js'

/** Block types that are read; all others are skipped. */
export const BLOCK = { SECTION: 0x0a0d0d0a, INTERFACE: 1, OBSOLETE: 2, SIMPLE: 3, ENHANCED: 6 } as const

/** A block's body in its buffer. */
export interface Block {
  /** The parser's buffer. */
  readonly bytes: Uint8Array
  /** A view over it, same offsets. */
  readonly view: DataView
  /** Whether its section is little-endian. */
  readonly little: boolean
  /** Index of the body's first byte. */
  readonly start: number
  /** Index after the body, where its closing length stands. */
  readonly end: number
}

/** What an interface description says. */
export interface PcapngInterface extends TimeResolution {
  /** Link type, of the registry of pcap link types. */
  readonly linkType: number
  /** Most bytes captured of a packet; 0 is no limit. */
  readonly snapLength: number
  /** `if_name`, if given. */
  readonly name: string | undefined
}

/** A packet in its block. */
export interface PacketBlock {
  /** Which interface of the section, from 0. */
  readonly interfaceNumber: number
  /** Time in the interface's ticks; a simple packet block has none. */
  readonly ticks: bigint | undefined
  /** Index of the packet's first byte in the buffer. */
  readonly start: number
  /** Index after its last captured byte. */
  readonly end: number
  /** Bytes on the wire, as the block claims. */
  readonly wireLength: number
}

const OPTION = { END: 0, NAME: 2, RESOLUTION: 9, OFFSET: 14 } as const
/** More of a name than any kernel allows an interface is cut off. */
const NAME_LIMIT = 256

/** Reads an interface description; undefined when it is too short to be one. */
export function readInterface({ bytes, view, little, start, end }: Block): PcapngInterface | undefined {
  if (end - start < 8) return undefined
  let name: string | undefined
  let resolution = 6
  let offsetSeconds = 0n
  let at = start + 8
  while (at + 4 <= end) {
    const code = view.getUint16(at, little)
    const length = view.getUint16(at + 2, little)
    const value = at + 4
    if (code === OPTION.END || value + length > end) break
    if (code === OPTION.NAME)
      name = new TextDecoder().decode(bytes.subarray(value, value + Math.min(length, NAME_LIMIT)))
    else if (code === OPTION.RESOLUTION && length === 1) resolution = view.getUint8(value)
    else if (code === OPTION.OFFSET && length === 8) offsetSeconds = view.getBigInt64(value, little)
    at = value + Math.ceil(length / 4) * 4
  }
  const linkType = view.getUint16(start, little)
  return { linkType, snapLength: view.getUint32(start + 4, little), name, resolution, offsetSeconds }
}

/** Enhanced packet block: interface 4 · ticks 4 high, 4 low · captured 4 · on the wire 4 · packet. */
export function readEnhancedPacket(block: Block): PacketBlock | undefined {
  return block.end - block.start < 20 ? undefined : readTimed(block, block.view.getUint32(block.start, block.little))
}

/** The packet block that the enhanced one replaced: the same, but interface 2 · dropped 2 in front. */
export function readObsoletePacket(block: Block): PacketBlock | undefined {
  return block.end - block.start < 20 ? undefined : readTimed(block, block.view.getUint16(block.start, block.little))
}

/** Simple packet block: on the wire 4 · packet, cut at the first interface's snapshot length; no time. */
export function readSimplePacket(block: Block, snapLength: number): PacketBlock | undefined {
  if (block.end - block.start < 4) return undefined
  const wireLength = block.view.getUint32(block.start, block.little)
  const captured = snapLength === 0 ? wireLength : Math.min(wireLength, snapLength)
  const start = block.start + 4
  return start + captured > block.end
    ? undefined
    : { interfaceNumber: 0, ticks: undefined, start, end: start + captured, wireLength }
}

function readTimed({ view, little, start, end }: Block, interfaceNumber: number): PacketBlock | undefined {
  const captured = view.getUint32(start + 12, little)
  const first = start + 20
  if (first + captured > end) return undefined
  const ticks = (BigInt(view.getUint32(start + 4, little)) << 32n) | BigInt(view.getUint32(start + 8, little))
  return { interfaceNumber, ticks, start: first, end: first + captured, wireLength: view.getUint32(start + 16, little) }
}
