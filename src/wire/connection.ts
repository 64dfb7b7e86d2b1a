/**
 * A connection and a message as values: the shape of the JSON (one object a line), of what `decodeMessage` returns,
 * of what `encodeMessage` and `handleConnection` take, and of what a table yields.
 *
 * Types only. The packed form that the hot paths use is a row: see `rows.ts`.
 *
 * @module
 */

import type { Problem } from './problems.js'

/** An address as text (IPv4 dotted, IPv6 as RFC 5952) and a port, 0…65535. */
export interface Endpoint {
  /** IPv4 dotted, IPv6 as RFC 5952. */
  readonly address: string
  /** 0…65535. */
  readonly port: number
}

/** How a director hands packets to the real server. A number that has no name is given as text: `"6"`. */
export type Forwarding = 'MASQ' | 'LOCALNODE' | 'TUNNEL' | 'DROUTE' | 'BYPASS' | (string & {})

/** Sequence-number adjustment of one direction (`ip_vs_seq`). Each is an unsigned 32-bit number; deltas are signed in meaning. */
export interface SequenceAdjustment {
  /** The sequence number from which `delta` holds. */
  readonly initial: number
  /** What is added to numbers from `initial` on. */
  readonly delta: number
  /** What is added to numbers before `initial`. */
  readonly previousDelta: number
}

/** A persistence engine's name (1…16 bytes, `sip` in every known kernel) and data (1…255 bytes) in lower-case hex. */
export interface PersistenceEngine {
  /** Empty where a message carries data without a name: a receiver skips such a record. */
  readonly name: string
  /** Empty where a message carries a name without data. */
  readonly data: string
}

/**
 * One connection: an entry of a message or of a table.
 *
 * Numbers without a name are given as text: `protocol: "99"`, `state: "17"`, `forwarding: "6"`, `flags: ["0x4000"]`.
 */
export interface Connection {
  /** Of all three addresses. */
  readonly family: 'ipv4' | 'ipv6'
  /** `TCP`, `UDP`, `SCTP`, `AH`, `ESP`, `IP` (0, of fwmark templates), `ICMP`, `ICMPv6`, or the number as text. */
  readonly protocol: string
  /** Who connects; a template's port is 0. */
  readonly client: Endpoint
  /** The virtual service's side. A fwmark template has the fwmark in the first four bytes of its address. */
  readonly virtual: Endpoint
  /** The real server. */
  readonly destination: Endpoint
  /** How packets reach the real server. */
  readonly forwarding: Forwarding
  /** Flag names in bit order, without the forwarding method; unknown bits as `0x4000`. */
  readonly flags: readonly string[]
  /** A state of the connection's protocol, `NONE` or `ASSURED` for a template, `0` for AH and ESP, or the number as text. */
  readonly state: string
  /** Firewall mark of the packet that made the entry; 0 is none. Version 0 has no such field. */
  readonly fwmark?: number
  /** The full timeout in seconds, 0…4294967295; 0 takes the state's own. Version 0 has no such field. */
  readonly timeout?: number
  /** Sequence data of packets from the client; only where the record has them. */
  readonly inSequence?: SequenceAdjustment
  /** Sequence data of packets to the client; only where the record has them. */
  readonly outSequence?: SequenceAdjustment
  /** Persistence-engine data; only where the record has them. */
  readonly engine?: PersistenceEngine
}

/** A connection of a table: what is known of it besides. */
export interface TableConnection extends Connection {
  /** `SYNC` was learned from the network, `LOCAL` was made here. */
  readonly origin: 'LOCAL' | 'SYNC'
  /** Whole seconds until it expires. */
  readonly expires: number
  /** The syncid of the message it was last heard in; 0 for a connection made here. */
  readonly syncid: number
}

/** A message: one datagram. */
export interface SyncMessage {
  /** Of the message's format. */
  readonly version: 0 | 1
  /** 0…255. */
  readonly syncid: number
  /** In their order in the message; 255 at most. */
  readonly connections: readonly Connection[]
}

/** A message as it was read from bytes. */
export interface DecodedMessage extends SyncMessage {
  /** The header's size field, in bytes; the datagram's length where the header itself was cut off. */
  readonly size: number
  /** What is wrong with it, in the order in which a receiver meets it. Empty for a sound message. */
  readonly problems: readonly Problem[]
}
