/**
 * A connection and a message as values: the shape of the JSON (one object a line), of what `decodeMessage` returns,
 * of what `encodeMessage` and `handleConnection` accept, and of what a table yields.
 *
 * Types only. The packed form that the hot paths use is a row: see `rows.ts`.
 *
 * @module
 */

import type { Problem } from './problems.js'

/** Address as text, and port. */
export interface Endpoint {
  /** IPv4 dotted, IPv6 as RFC 5952. */
  readonly address: string
  /** 0…65535. */
  readonly port: number
}

/** Any other string. It keeps a union open, and an editor still completes the names before it. */
export type OtherText = string & {}

/** Protocol of a connection, or its number as text. `IP` (0) is the protocol of fwmark templates. */
export type ProtocolName = 'TCP' | 'UDP' | 'SCTP' | 'AH' | 'ESP' | 'IP' | 'ICMP' | 'ICMPv6' | OtherText

/** Method by which a director forwards packets to the real server, or its number as text: `"6"`. */
export type Forwarding = 'MASQ' | 'LOCALNODE' | 'TUNNEL' | 'DROUTE' | 'BYPASS' | OtherText

/** Flag of a connection, or an unknown bit as text: `"0x4000"`. */
export type FlagName =
  | 'SYNC'
  | 'HASHED'
  | 'NOOUTPUT'
  | 'INACTIVE'
  | 'OUT_SEQ'
  | 'IN_SEQ'
  | 'NO_CPORT'
  | 'TEMPLATE'
  | 'ONE_PACKET'
  | 'NFCT'
  | OtherText

/** State of a TCP connection. */
export type TcpState =
  | 'NONE'
  | 'ESTABLISHED'
  | 'SYN_SENT'
  | 'SYN_RECV'
  | 'FIN_WAIT'
  | 'TIME_WAIT'
  | 'CLOSE'
  | 'CLOSE_WAIT'
  | 'LAST_ACK'
  | 'LISTEN'
  | 'SYNACK'

/** State of an SCTP association. */
export type SctpState =
  | 'NONE'
  | 'INIT1'
  | 'INIT'
  | 'C-SENT'
  | 'C-REPLIED'
  | 'C-WAIT'
  | 'COOKIE'
  | 'C-ECHOED'
  | 'ESTABLISHED'
  | 'S-SENT'
  | 'S-RECEIVED'
  | 'S-ACK-SENT'
  | 'REJECTED'
  | 'CLOSED'

/** State of a connection, `NONE` or `ASSURED` for a template, `0` for AH and ESP, or its number as text. */
export type StateName = TcpState | SctpState | 'UDP' | 'ASSURED' | '0' | OtherText

/** Sequence-number adjustment of one direction (`ip_vs_seq`): unsigned 32-bit numbers, of which the deltas are meant signed. */
export interface SequenceAdjustment {
  /** First sequence number to which `delta` applies. */
  readonly initial: number
  /** Added to sequence numbers from `initial` on. */
  readonly delta: number
  /** Added to sequence numbers before `initial`. */
  readonly previousDelta: number
}

/** Name (1…16 bytes, `sip` in every known kernel) and data (1…255 bytes, in lower-case hex) of a persistence engine. */
export interface PersistenceEngine {
  /** Empty for data without a name: a receiver skips such a record. */
  readonly name: string
  /** Empty for a name without data. */
  readonly data: string
}

/**
 * One connection: an entry of a message or of a table.
 *
 * Numbers without a name are given as text: `protocol: "99"`, `state: "17"`, `forwarding: "6"`, `flags: ["0x4000"]`.
 */
export interface Connection {
  /** Family of all three addresses. */
  readonly family: 'ipv4' | 'ipv6'
  /** IP protocol. */
  readonly protocol: ProtocolName
  /** Client; the port of a template is 0. */
  readonly client: Endpoint
  /** Virtual service. A fwmark template has the fwmark in the first four bytes of its address. */
  readonly virtual: Endpoint
  /** Real server. */
  readonly destination: Endpoint
  /** Method by which packets are forwarded to the real server. */
  readonly forwarding: Forwarding
  /** Flags in bit order, without the forwarding method. */
  readonly flags: readonly FlagName[]
  /** State of the protocol, or of the template. */
  readonly state: StateName
  /** Firewall mark of the packet that created the entry; 0 for a packet without a mark. Version 0 has no such field. */
  readonly fwmark?: number
  /** Full timeout in seconds, 0…4294967295; 0 stands for the default of the state. Version 0 has no such field. */
  readonly timeout?: number
  /** Sequence adjustment of packets from the client; absent unless the record has sequence data. */
  readonly inSequence?: SequenceAdjustment
  /** Sequence adjustment of packets to the client; absent unless the record has sequence data. */
  readonly outSequence?: SequenceAdjustment
  /** Persistence engine; absent unless the record has engine data or a name. */
  readonly engine?: PersistenceEngine
}

/** A connection of a table. */
export interface TableConnection extends Connection {
  /** `SYNC` was received, `LOCAL` was created here. */
  readonly origin: 'LOCAL' | 'SYNC'
  /** Whole seconds until it expires. */
  readonly expires: number
  /** Syncid of the last message that had it; 0 for a connection that was created here. */
  readonly syncid: number
}

/** A message: one datagram. */
export interface SyncMessage {
  /** Version of the format. */
  readonly version: 0 | 1
  /** 0…255. */
  readonly syncid: number
  /** Connections in the order of the message, at most 255. */
  readonly connections: readonly Connection[]
}

/** A message decoded from bytes: a plain object, frozen with all that it contains. */
export interface DecodedMessage extends SyncMessage {
  /** Size field of the header, in bytes; the length of the datagram if the header itself is cut off. */
  readonly size: number
  /** Problems in the order in which a receiver finds them; empty for a valid message. */
  readonly problems: readonly Problem[]
}
