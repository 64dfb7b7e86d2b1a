/**
 * The trailer of a sealed message: 52 bytes after the last record, inside the message's size, where kernels never look
 * (docs/protocol.md section 14).
 *
 * ```
 *  0 u32 magic "IVSS"     4 u8 version = 1   5 u32 key id
 *  9 u8 channel          10 u16 flags (bit 0: repair offered)
 * 12 u64 sender id       20 u64 sequence, from 1, a count for each channel
 * 28 u64 Unix time, ms   36 16 bytes MAC: HMAC-SHA-256 over everything before it, truncated
 * ```
 * Integers are big-endian. A receiver ignores a trailer of another version: such a message counts as unsigned.
 *
 * @module
 */

import { HEADER_V0, HEADER_V1 } from '../wire/layout.js'
import { isSealed, SEAL_LENGTH, SEAL_MAGIC, SEAL_VERSION } from '../wire/seal-mark.js'
import { MAC_LENGTH } from './keys.js'

/** Length of a trailer, in bytes: what sealing takes from a message's maximum length. */
export const TRAILER_LENGTH = SEAL_LENGTH

/** Set in {@link Trailer.flags} by a sender that keeps its messages and retransmits them on request. */
export const REPAIR_OFFERED = 1

const AT = { MAGIC: 0, VERSION: 4, KEY: 5, CHANNEL: 9, FLAGS: 10, SENDER: 12, SEQUENCE: 20, TIME: 28, MAC: 36 } as const

/** What a trailer says. */
export interface Trailer {
  readonly keyId: number
  /** 0…255. */
  readonly channel: number
  readonly flags: number
  /** 64 random bits that the sender draws at each start. */
  readonly sender: bigint
  /** Messages of this sender on this channel, this one included. */
  readonly sequence: number
  /** The sender's wall clock, in milliseconds since 1970. */
  readonly time: number
}

/** Returns a copy of a message with room for a trailer, its size field raised, and the trailer written without its MAC. */
export function appendTrailer(message: Uint8Array, trailer: Trailer): Uint8Array {
  const bytes = new Uint8Array(message.length + TRAILER_LENGTH)
  bytes.set(message)
  const view = new DataView(bytes.buffer)
  view.setUint16(HEADER_V0.SIZE, bytes.length)
  const at = message.length
  view.setUint32(at + AT.MAGIC, SEAL_MAGIC)
  view.setUint8(at + AT.VERSION, SEAL_VERSION)
  view.setUint32(at + AT.KEY, trailer.keyId)
  view.setUint8(at + AT.CHANNEL, trailer.channel)
  view.setUint16(at + AT.FLAGS, trailer.flags)
  view.setBigUint64(at + AT.SENDER, trailer.sender)
  view.setBigUint64(at + AT.SEQUENCE, BigInt(trailer.sequence))
  view.setBigUint64(at + AT.TIME, BigInt(trailer.time))
  return bytes
}

/** Returns the bytes that the MAC covers, and the MAC, of a message whose trailer was found. */
export function macParts(bytes: Uint8Array): { covered: Uint8Array; mac: Uint8Array } {
  const end = bytes.length - MAC_LENGTH
  return { covered: bytes.subarray(0, end), mac: bytes.subarray(end) }
}

/**
 * Finds the trailer of a datagram. It says nothing about who wrote it: verify the MAC.
 *
 * @returns Undefined for a datagram without one.
 */
export function findTrailer(bytes: Uint8Array): Trailer | undefined {
  if (!isSealed(bytes)) return undefined
  const at = bytes.length - TRAILER_LENGTH
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return {
    keyId: view.getUint32(at + AT.KEY),
    channel: view.getUint8(at + AT.CHANNEL),
    flags: view.getUint16(at + AT.FLAGS),
    sender: view.getBigUint64(at + AT.SENDER),
    sequence: Number(view.getBigUint64(at + AT.SEQUENCE)),
    time: Number(view.getBigUint64(at + AT.TIME))
  }
}

/** Returns the message as it was before it was sealed: an independent copy, with the size field lowered. */
export function removeTrailer(bytes: Uint8Array): Uint8Array {
  // Not slice(): a Buffer's shares memory with the datagram, whose own size field must stay.
  const message = new Uint8Array(bytes.length - TRAILER_LENGTH)
  message.set(bytes.subarray(0, message.length))
  new DataView(message.buffer).setUint16(HEADER_V1.SIZE, message.length)
  return message
}
