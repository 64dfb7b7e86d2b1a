/**
 * The messages by which sealed senders and receivers repair losses: version 1 messages with zero connections, which every
 * kernel accepts and ignores (docs/protocol.md section 14).
 *
 * ```
 *  0 header of version 1: 0, syncid, size, 0 connections, version 1, spare 0
 *  8 u32 magic "IVSR"    12 u8 version = 1    13 u8 kind    14 u16 channel
 * 16 request (kind 1):   u64 sender, u64 first sequence, then u32 for each missing sequence: its distance from the first
 *    repeat (kind 2):    the sealed message as it was first sent
 *    pulse (kind 3):     nothing: its own sequence shows that the messages before it were sent
 *    challenge (kind 4): u64 sender whose clock is in doubt, u64 nonce; the response is to be sent on `channel`
 *    response (kind 5):  u64 sender of the challenge, u64 its nonce
 * ```
 * All but a repeat are sealed themselves. In a repeat the message inside carries its own seal.
 *
 * @module
 */

import { HEADER_V1 } from '../wire/layout.js'

/** Requests the retransmission of messages. */
export interface RepairRequest {
  readonly kind: 'request'
  /** Whose messages. */
  readonly sender: bigint
  readonly channel: number
  /** 1 to {@link MAX_REQUESTED}, ascending. */
  readonly sequences: readonly number[]
}

/** Carries a message that was requested. */
export interface RepairRepeat {
  readonly kind: 'repeat'
  readonly channel: number
  /** The sealed message. */
  readonly sealed: Uint8Array
}

/** Follows the last message of a busy period. */
export interface RepairPulse {
  readonly kind: 'pulse'
  readonly channel: number
}

/** Asks a sender whose time differs too much for a message that cannot be a recording; or is that message. */
export interface ClockMessage {
  readonly kind: 'challenge' | 'response'
  /** Of a challenge: where the response is to be sent. */
  readonly channel: number
  /** Recipient: the sender in doubt, or the sender of the challenge. */
  readonly sender: bigint
  /** 64 random bits. */
  readonly nonce: bigint
}

/** Any of them. */
export type RepairMessage = RepairRequest | RepairRepeat | RepairPulse | ClockMessage

/** Sequences in one request, at most. */
export const MAX_REQUESTED = 64

/** What a repeat adds to the sealed message, in bytes. */
export const REPEAT_OVERHEAD = 16

const MAGIC = 0x49565352
const VERSION = 1
const KINDS = [undefined, 'request', 'repeat', 'pulse', 'challenge', 'response'] as const
const AT = { MAGIC: 8, VERSION: 12, KIND: 13, CHANNEL: 14, BODY: 16 } as const
const REQUEST = { SENDER: 16, FIRST: 24, DISTANCES: 32 } as const
const CLOCK = { SENDER: 16, NONCE: 24, END: 32 } as const

/** Encodes a message for a group with this syncid, unsealed. */
export function encodeRepairMessage(message: RepairMessage, syncid: number): Uint8Array {
  const length = {
    request: () => REQUEST.DISTANCES + 4 * (message as RepairRequest).sequences.length,
    repeat: () => AT.BODY + (message as RepairRepeat).sealed.length,
    pulse: () => AT.BODY,
    challenge: () => CLOCK.END,
    response: () => CLOCK.END
  }
  const bytes = new Uint8Array(length[message.kind]())
  const view = new DataView(bytes.buffer)
  view.setUint8(HEADER_V1.SYNCID, syncid)
  view.setUint16(HEADER_V1.SIZE, bytes.length)
  view.setUint8(HEADER_V1.VERSION, 1)
  view.setUint32(AT.MAGIC, MAGIC)
  view.setUint8(AT.VERSION, VERSION)
  view.setUint8(AT.KIND, KINDS.indexOf(message.kind))
  view.setUint16(AT.CHANNEL, message.channel)
  if (message.kind === 'repeat') bytes.set(message.sealed, AT.BODY)
  else if (message.kind === 'request') {
    const [first = 0] = message.sequences
    view.setBigUint64(REQUEST.SENDER, message.sender)
    view.setBigUint64(REQUEST.FIRST, BigInt(first))
    for (const [index, sequence] of message.sequences.entries())
      view.setUint32(REQUEST.DISTANCES + 4 * index, sequence - first)
  } else if (message.kind !== 'pulse') {
    view.setBigUint64(CLOCK.SENDER, message.sender)
    view.setBigUint64(CLOCK.NONCE, message.nonce)
  }
  return bytes
}

/** Decodes a message without its trailer; undefined for any other datagram, and for one of an unknown version or kind. */
export function decodeRepairMessage(bytes: Uint8Array): RepairMessage | undefined {
  if (bytes.length < AT.BODY) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.getUint32(AT.MAGIC) !== MAGIC || view.getUint8(AT.VERSION) !== VERSION) return undefined
  if (view.getUint32(HEADER_V1.COUNT) !== 0x00010000 || view.getUint16(HEADER_V1.SIZE) !== bytes.length)
    return undefined
  const kind = KINDS[view.getUint8(AT.KIND)]
  const channel = view.getUint16(AT.CHANNEL)
  if (kind === 'repeat') return { kind, channel, sealed: bytes.subarray(AT.BODY) }
  if (kind === 'pulse') return { kind, channel }
  if (kind === 'challenge' || kind === 'response')
    return bytes.length < CLOCK.END
      ? undefined
      : { kind, channel, sender: view.getBigUint64(CLOCK.SENDER), nonce: view.getBigUint64(CLOCK.NONCE) }
  if (kind !== 'request' || bytes.length <= REQUEST.DISTANCES) return undefined
  const first = view.getBigUint64(REQUEST.FIRST)
  if (first > Number.MAX_SAFE_INTEGER - 0xffffffff) return undefined
  const count = Math.min((bytes.length - REQUEST.DISTANCES) >> 2, MAX_REQUESTED)
  const sequences = Array.from(
    { length: count },
    (_, index) => Number(first) + view.getUint32(REQUEST.DISTANCES + 4 * index)
  )
  return { kind, channel, sender: view.getBigUint64(REQUEST.SENDER), sequences }
}
