/**
 * What agents say to each other in the group: version 1 messages that count no connections, which every kernel accepts
 * and ignores (docs/protocol.md section 14).
 *
 * ```
 *  0 header of version 1: 0, syncid, size, 0 connections, version 1, spare 0
 *  8 u32 magic "IVSA"         12 u8 version = 1     13 u8 kind      14 u16 bits (1 = the speaker is ready)
 * 16 u64 who speaks           24 u64 to whom; 0 is everybody
 * 32 u32 request number       36 u32 connections
 * 40 u32 words, as many as there is room for
 * ```
 * Integers are big-endian. What is behind a kind's words is for later versions of ours, and ignored.
 *
 * @module
 */

import { AGENT_MAGIC, isAgentMessage } from '../../wire/agent-mark.js'
import { HEADER_V1 } from '../../wire/layout.js'

/** An agent's name: 64 random bits as 16 lower-case hex digits. */
export type AgentId = string

/** Addressed to every agent. */
export const EVERYBODY: AgentId = '0000000000000000'

/**
 * What a message is.
 *
 * - `hello` the speaker is there; `connections` are in its table
 * - `request` the speaker wants a table: from everybody, offers; from one, the table itself
 * - `offer` the speaker has a table of `connections` for whoever asked
 * - `begin` it starts; `connections` are planned
 * - `progress` it goes on; `connections` were sent so far
 * - `done` it is over; `connections` were sent in all. Words: messages in all, and how often some were sent again
 * - `cancel` the one who asked wants no more of it
 * - `list` what was sent of a portion of 64 messages, whose number from 0 stands in `connections`. Words: a checksum each
 * - `repeat` the one who asked lacks some. Words: portion, and a bit for each of its messages, 0 to 31 and 32 to 63
 *
 * A hello's words are the name of the agent that its table came from, if it came from one.
 */
export type AgentMessageKind =
  'hello' | 'request' | 'offer' | 'begin' | 'progress' | 'done' | 'cancel' | 'list' | 'repeat'

/** A message between agents. */
export interface AgentMessage {
  readonly kind: AgentMessageKind
  /** Who speaks. */
  readonly from: AgentId
  /** To whom; {@link EVERYBODY}, or one. */
  readonly to: AgentId
  /** The number of the request that this belongs to, 0…4294967295; 0 in a hello. */
  readonly request: number
  /** 0…4294967295: see {@link AgentMessageKind}. */
  readonly connections: number
  /** The speaker holds its own table for complete. */
  readonly ready: boolean
  /** What there is more, 32 bits each, at most {@link MOST_WORDS}: see {@link AgentMessageKind}. */
  readonly words: readonly number[]
}

/** Words in one message: what an Ethernet frame has room for. */
export const MOST_WORDS = 352

const VERSION = 1
const READY = 1
const AT = {
  MAGIC: 8,
  VERSION: 12,
  KIND: 13,
  BITS: 14,
  FROM: 16,
  TO: 24,
  REQUEST: 32,
  CONNECTIONS: 36,
  LENGTH: 40
} as const
const KINDS: readonly (AgentMessageKind | undefined)[] = [
  undefined,
  'hello',
  'request',
  'offer',
  'begin',
  'progress',
  'done',
  'cancel',
  'list',
  'repeat'
]

/**
 * Writes a message.
 *
 * @param message - Numbers are cut to their 32 bits.
 * @param syncid - 0…255: agents of other syncids pass it over, as kernels do.
 */
export function encodeAgentMessage(message: AgentMessage, syncid: number): Uint8Array {
  const { words } = message
  const bytes = new Uint8Array(AT.LENGTH + 4 * words.length)
  const view = new DataView(bytes.buffer)
  bytes[HEADER_V1.SYNCID] = syncid
  view.setUint16(HEADER_V1.SIZE, bytes.length)
  bytes[HEADER_V1.VERSION] = 1
  view.setUint32(AT.MAGIC, AGENT_MAGIC)
  bytes[AT.VERSION] = VERSION
  bytes[AT.KIND] = KINDS.indexOf(message.kind)
  view.setUint16(AT.BITS, message.ready ? READY : 0)
  view.setBigUint64(AT.FROM, BigInt(`0x${message.from}`))
  view.setBigUint64(AT.TO, BigInt(`0x${message.to}`))
  view.setUint32(AT.REQUEST, message.request)
  view.setUint32(AT.CONNECTIONS, message.connections)
  for (const [index, word] of words.entries()) view.setUint32(AT.LENGTH + 4 * index, word)
  return bytes
}

/**
 * Reads a datagram.
 *
 * @returns Nothing for what is no such message, is cut off, or is of a version or kind that is not known.
 */
export function decodeAgentMessage(bytes: Uint8Array): AgentMessage | undefined {
  if (bytes.length < AT.LENGTH || !isAgentMessage(bytes) || bytes[AT.VERSION] !== VERSION) return undefined
  const kind = KINDS[bytes[AT.KIND]!]
  if (kind === undefined) return undefined
  const view = viewOf(bytes)
  return {
    kind,
    from: idAt(view, AT.FROM),
    to: idAt(view, AT.TO),
    request: view.getUint32(AT.REQUEST),
    connections: view.getUint32(AT.CONNECTIONS),
    ready: (view.getUint16(AT.BITS) & READY) !== 0,
    words: wordsAt(view)
  }
}

function wordsAt(view: DataView): number[] {
  const length = Math.min((view.byteLength - AT.LENGTH) >> 2, MOST_WORDS)
  return Array.from({ length }, (_, index) => view.getUint32(AT.LENGTH + 4 * index))
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function idAt(view: DataView, offset: number): AgentId {
  return view.getBigUint64(offset).toString(16).padStart(16, '0')
}
