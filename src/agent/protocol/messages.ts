/**
 * Messages between agents: version 1 sync messages with zero connections, which every kernel accepts and ignores
 * (docs/protocol.md section 14).
 *
 * ```
 *  0 version 1 header: 0, syncid, size, 0 connections, version 1, spare 0
 *  8 u32 magic "IVSA"         12 u8 version = 1     13 u8 kind      14 u16 bits (1 = the sender is ready)
 * 16 u64 sender               24 u64 recipient; 0 is every agent
 * 32 u32 request number       36 u32 figure, by kind
 * 40 u32 words, by kind
 * ```
 * Integers are big-endian. Later versions may append words to any kind; readers ignore words they do not know.
 *
 * @module
 */

import { AGENT_MAGIC, isAgentMessage } from '../../wire/agent-mark.js'
import { HEADER_V1 } from '../../wire/layout.js'
import type { Bytes } from '../../units.js'

/** An agent's name: 64 random bits as 16 lower-case hex digits. */
export type AgentId = string

/** The recipient of a message to every agent. */
export const EVERY_AGENT: AgentId = '0000000000000000'

/** Fields that every message has. */
interface Envelope {
  readonly from: AgentId
  /** One agent, or {@link EVERY_AGENT}. */
  readonly to: AgentId
  /** Number of the request that the message belongs to, 0…4294967295; 0 in a hello. */
  readonly request: number
  /** Whether the sender is ready. */
  readonly ready: boolean
}

/** Announces an agent. */
export interface HelloMessage extends Envelope {
  readonly kind: 'hello'
  /** Connections in the sender's table. */
  readonly connections: number
  /** Agent that supplied the sender's table; undefined if none did. */
  readonly origin: AgentId | undefined
  /** What the host of the sender can receive; agents of 0.1.0 do not state it. */
  readonly capacity?: ReceiveCapacity | undefined
}

/** Receive buffer settings of a requester's host, in bytes; 0 is unknown. */
export interface ReceiveCapacity {
  readonly syncSockSize: Bytes
  readonly rmemDefault: Bytes
  readonly rmemMax: Bytes
}

/** Requests offers (from every agent) or the table itself (from one agent). */
export interface RequestMessage extends Envelope {
  readonly kind: 'request'
  /** Undefined where the requester states none; agents of 0.1.0 never do. */
  readonly capacity: ReceiveCapacity | undefined
}

/** Offers a table. */
export interface OfferMessage extends Envelope {
  readonly kind: 'offer'
  readonly connections: number
}

/** Starts an answer. */
export interface BeginMessage extends Envelope {
  readonly kind: 'begin'
  /** Connections that the answer will probably have. */
  readonly connections: number
}

/** Reports how far an answer is. */
export interface ProgressMessage extends Envelope {
  readonly kind: 'progress'
  /** Connections sent so far. */
  readonly connections: number
}

/** Ends an answer, or a retransmission of parts of it. */
export interface DoneMessage extends Envelope {
  readonly kind: 'done'
  /** Connections and messages of the whole table. */
  readonly connections: number
  readonly messages: number
  /** Number of retransmissions before this. */
  readonly round: number
}

/** Withdraws a request. */
export interface CancelMessage extends Envelope {
  readonly kind: 'cancel'
}

/** Lists the checksums of a portion of 64 messages. */
export interface ListMessage extends Envelope {
  readonly kind: 'list'
  /** From 0. */
  readonly portion: number
  readonly sums: readonly number[]
}

/** Requests the retransmission of single messages. */
export interface RepeatMessage extends Envelope {
  readonly kind: 'repeat'
  /** Number of this request for retransmission, from 1. */
  readonly round: number
  readonly pieces: readonly Piece[]
}

/**
 * Messages of one portion of 64: bit `i` of `early` is its message `i`, of `late` its message `32 + i`. Without any bit it
 * is the portion's list alone.
 */
export interface Piece {
  /** From 0. */
  readonly portion: number
  readonly early: number
  readonly late: number
}

/** A message between agents. */
export type AgentMessage =
  | HelloMessage
  | RequestMessage
  | OfferMessage
  | BeginMessage
  | ProgressMessage
  | DoneMessage
  | CancelMessage
  | ListMessage
  | RepeatMessage

/** Omits fields of each member of a union. */
type Without<Message, Field extends PropertyKey> = Message extends unknown ? Omit<Message, Field> : never

/** A message without the fields that its sender fills in for all. */
export type AgentStatement = Without<AgentMessage, 'from' | 'ready'>

/** Version of the agent protocol. */
export const AGENT_VERSION = 1
/** Words in one message: as many as fit an Ethernet frame. */
const MAX_WORDS = 352
const READY = 1
const AT = {
  MAGIC: 8,
  VERSION: 12,
  KIND: 13,
  BITS: 14,
  FROM: 16,
  TO: 24,
  REQUEST: 32,
  FIGURE: 36,
  LENGTH: 40
} as const
const KINDS: readonly AgentMessage['kind'][] = [
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
 * Encodes a message.
 *
 * @param message - Numbers are truncated to 32 bits.
 * @param syncid - 0…255: agents ignore messages with another syncid, as kernels do.
 */
export function encodeAgentMessage(message: AgentMessage, syncid: number): Uint8Array {
  const [figure, words] = bodyOf(message)
  const bytes = new Uint8Array(AT.LENGTH + 4 * words.length)
  const view = new DataView(bytes.buffer)
  bytes[HEADER_V1.SYNCID] = syncid
  view.setUint16(HEADER_V1.SIZE, bytes.length)
  bytes[HEADER_V1.VERSION] = 1
  view.setUint32(AT.MAGIC, AGENT_MAGIC)
  bytes[AT.VERSION] = AGENT_VERSION
  bytes[AT.KIND] = KINDS.indexOf(message.kind) + 1
  view.setUint16(AT.BITS, message.ready ? READY : 0)
  view.setBigUint64(AT.FROM, BigInt(`0x${message.from}`))
  view.setBigUint64(AT.TO, BigInt(`0x${message.to}`))
  view.setUint32(AT.REQUEST, message.request)
  view.setUint32(AT.FIGURE, figure)
  for (const [index, word] of words.entries()) view.setUint32(AT.LENGTH + 4 * index, word)
  return bytes
}

/** Returns the figure and the words of a message. */
function bodyOf(message: AgentMessage): [figure: number, words: readonly number[]] {
  switch (message.kind) {
    case 'hello': {
      const { origin = EVERY_AGENT, capacity } = message
      const names = [parseInt(origin.slice(0, 8), 16), parseInt(origin.slice(8), 16)]
      if (capacity !== undefined)
        return [message.connections, [...names, capacity.syncSockSize, capacity.rmemDefault, capacity.rmemMax]]
      return [message.connections, message.origin === undefined ? [] : names]
    }
    case 'request': {
      const { capacity } = message
      return [0, capacity === undefined ? [] : [capacity.syncSockSize, capacity.rmemDefault, capacity.rmemMax]]
    }
    case 'done':
      return [message.connections, [message.messages, message.round]]
    case 'cancel':
      return [0, []]
    case 'list':
      return [message.portion, message.sums]
    case 'repeat':
      return [message.round, message.pieces.flatMap(({ portion, early, late }) => [portion, early, late])]
    case 'offer':
    case 'begin':
    case 'progress':
      return [message.connections, []]
  }
}

/**
 * Decodes a datagram.
 *
 * @returns Undefined for anything but a whole message of a known version and kind.
 */
export function decodeAgentMessage(bytes: Uint8Array): AgentMessage | undefined {
  if (bytes.length < AT.LENGTH || !isAgentMessage(bytes) || bytes[AT.VERSION] !== AGENT_VERSION) return undefined
  const kind = KINDS[bytes[AT.KIND]! - 1]
  if (kind === undefined) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const idAt = (offset: number): AgentId => view.getBigUint64(offset).toString(16).padStart(16, '0')
  const length = Math.min((bytes.length - AT.LENGTH) >> 2, MAX_WORDS)
  const words = Array.from({ length }, (_, index) => view.getUint32(AT.LENGTH + 4 * index))
  const figure = view.getUint32(AT.FIGURE)
  const envelope = {
    from: idAt(AT.FROM),
    to: idAt(AT.TO),
    request: view.getUint32(AT.REQUEST),
    ready: (view.getUint16(AT.BITS) & READY) !== 0
  }
  switch (kind) {
    case 'hello': {
      const name = words.length < 2 ? EVERY_AGENT : idAt(AT.LENGTH)
      const origin = name === EVERY_AGENT ? undefined : name
      const capacity = capacityIn(words.slice(2))
      return { kind, ...envelope, connections: figure, origin, ...(capacity !== undefined && { capacity }) }
    }
    case 'request':
      return { kind, ...envelope, capacity: capacityIn(words) }
    case 'done':
      return { kind, ...envelope, connections: figure, messages: words[0] ?? 0, round: words[1] ?? 0 }
    case 'cancel':
      return { kind, ...envelope }
    case 'list':
      return { kind, ...envelope, portion: figure, sums: words }
    case 'repeat':
      return { kind, ...envelope, round: figure, pieces: piecesIn(words) }
    case 'offer':
    case 'begin':
    case 'progress':
      return { kind, ...envelope, connections: figure }
  }
}

/** Returns the version of the agent protocol in a datagram; undefined if it is not a message between agents. */
export function agentVersionOf(bytes: Uint8Array): number | undefined {
  return isAgentMessage(bytes) ? bytes[AT.VERSION] : undefined
}

function capacityIn([syncSockSize, rmemDefault, rmemMax]: readonly number[]): ReceiveCapacity | undefined {
  return rmemMax === undefined ? undefined : { syncSockSize: syncSockSize!, rmemDefault: rmemDefault!, rmemMax }
}

function piecesIn(words: readonly number[]): Piece[] {
  const pieces: Piece[] = []
  for (let at = 0; at + 2 < words.length; at += 3)
    pieces.push({ portion: words[at]!, early: words[at + 1]!, late: words[at + 2]! })
  return pieces
}
