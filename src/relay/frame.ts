/**
 * Relay frames: sync messages of one site, byte for byte as they were received, on their way to other sites.
 *
 * ```
 *  0 u8 version = 1     1 u8 hops         2 u8 length of the site's name    3 u8 channel
 *  4 the site's name, ASCII
 *    u64 origin: 64 random bits that the site's relay draws at each start
 *    u64 sequence of the first item
 *    items: u8 piece, u8 pieces, u16 length, u16 distance of its sequence from the first; then the bytes
 * ```
 * Integers are big-endian. A message larger than a frame travels in pieces; every piece has the message's sequence.
 *
 * @module
 */

/** Characters of a site's name. */
export const SITE_NAME = /^[a-z0-9][a-z0-9-]{0,31}$/

/** Pieces of one message, at most: 65,507 bytes in frames of 1,000. */
export const MAX_PIECES = 70

/** Where messages come from. */
export interface Origin {
  /** The site's name: see {@link SITE_NAME}. */
  readonly site: string
  /** 64 random bits, drawn at each start of the site's relay. */
  readonly id: bigint
}

/** A message, or one piece of it. */
export interface FrameItem {
  /** Count of the origin's messages on the channel, from 1. */
  readonly sequence: number
  /** 0…pieces − 1. */
  readonly piece: number
  readonly pieces: number
  readonly bytes: Uint8Array
}

/** A frame. */
export interface Frame {
  readonly origin: Origin
  /** Relays that the frame passed after the origin's. */
  readonly hops: number
  /** 0…63. */
  readonly channel: number
  /** In the order of their sequences; at least one. */
  readonly items: readonly FrameItem[]
}

/** Bytes in front of each item's own. */
export const ITEM_OVERHEAD = 6

const VERSION = 1
const FIXED = 4 + 8 + 8

/** Returns the bytes in front of the items of a frame from this site. */
export function frameOverhead(site: string): number {
  return FIXED + site.length
}

/** Encodes a frame. The sequences of its items lie within 65,535 of the first. */
export function encodeFrame({ origin, hops, channel, items }: Frame): Uint8Array {
  const length = items.reduce((sum, { bytes }) => sum + ITEM_OVERHEAD + bytes.length, frameOverhead(origin.site))
  const frame = new Uint8Array(length)
  const view = new DataView(frame.buffer)
  frame.set([VERSION, hops, origin.site.length, channel])
  for (let index = 0; index < origin.site.length; index++) frame[4 + index] = origin.site.charCodeAt(index)
  let at = 4 + origin.site.length
  const first = items[0]!.sequence
  view.setBigUint64(at, origin.id)
  view.setBigUint64(at + 8, BigInt(first))
  at += 16
  for (const { sequence, piece, pieces, bytes } of items) {
    frame.set([piece, pieces], at)
    view.setUint16(at + 2, bytes.length)
    view.setUint16(at + 4, sequence - first)
    frame.set(bytes, at + ITEM_OVERHEAD)
    at += ITEM_OVERHEAD + bytes.length
  }
  return frame
}

/** Decodes a frame; undefined unless every byte of it is sound. The items' bytes are views into `frame`. */
export function decodeFrame(frame: Uint8Array): Frame | undefined {
  if (frame.length < FIXED || frame[0] !== VERSION || frame[3]! > 63) return undefined
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  const nameEnd = 4 + frame[2]!
  if (frame.length < nameEnd + 16) return undefined
  const site = String.fromCharCode(...frame.subarray(4, nameEnd))
  const first = view.getBigUint64(nameEnd + 8)
  if (!SITE_NAME.test(site) || first < 1n || first > Number.MAX_SAFE_INTEGER - 0x10000) return undefined
  const items = decodeItems(frame, view, nameEnd + 16, Number(first))
  return items?.[0] && { origin: { site, id: view.getBigUint64(nameEnd) }, hops: frame[1]!, channel: frame[3]!, items }
}

function decodeItems(frame: Uint8Array, view: DataView, begin: number, first: number): FrameItem[] | undefined {
  const items: FrameItem[] = []
  let at = begin
  while (at < frame.length) {
    if (frame.length - at < ITEM_OVERHEAD) return undefined
    const [piece = 0, pieces = 0] = frame.subarray(at, at + 2)
    const end = at + ITEM_OVERHEAD + view.getUint16(at + 2)
    if (piece >= pieces || pieces > MAX_PIECES || end > frame.length) return undefined
    const sequence = first + view.getUint16(at + 4)
    items.push({ sequence, piece, pieces, bytes: frame.subarray(at + ITEM_OVERHEAD, end) })
    at = end
  }
  return items
}
