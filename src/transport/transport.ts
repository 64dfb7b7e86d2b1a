/**
 * What carries messages between directors: the interface that UDP and the memory network share.
 *
 * A transport moves datagrams and judges none. It never throws on what comes from the network, loses nothing that it
 * accepted for sending unless it says so through {@link TransportHandlers.onError}, and tells its user, by
 * {@link Transport.writable}, when to hold back.
 *
 * @module
 */

import type { IpvsSyncError } from '../errors.js'

/** Who sent a datagram. */
export interface Sender {
  /** IPv4 dotted, or IPv6 as the system writes it (with `%interface` for link-local ones). */
  readonly address: string
  /** 0…65535. */
  readonly port: number
}

/** Something that a person should know, and that stops nothing. */
export interface TransportNotice {
  /**
   * - `BUFFER` the system gave a smaller socket buffer than was asked for, or how much the default one holds
   * - `INTERFACE_LOST` the interface is gone: nothing is received or sent through it until it is back
   * - `INTERFACE_BACK` the interface is back, and its group joined again
   */
  readonly code: 'BUFFER' | 'INTERFACE_LOST' | 'INTERFACE_BACK' | `SEAL_${string}`
  /** What happened, where, and what to do. */
  readonly message: string
}

/** What a transport calls. Each is called from the event loop (or from `MemoryNetwork.advance`), never from inside `send`. */
export interface TransportHandlers {
  /** A datagram came. `bytes` is the receiver's to keep; `channel` is 0…channels − 1. */
  readonly onDatagram?: (bytes: Uint8Array, from: Sender, channel: number) => void
  /** A channel that was not {@link Transport.writable} is again. */
  readonly onWritable?: (channel: number) => void
  /** See {@link TransportNotice}. */
  readonly onNotice?: (notice: TransportNotice) => void
  /** A socket failed after the start. A datagram that could not be sent is lost, as the kernel's is. */
  readonly onError?: (error: IpvsSyncError) => void
}

/** Counts of a transport that verifies signatures. */
export interface SealReport {
  /** Messages by verdict: `VALID`, `UNSIGNED`, `UNKNOWN_KEY`, `BAD_MAC`, `STALE`, `REPLAYED`. */
  readonly verdicts: Readonly<Record<string, number>>
  /** Sequence counts of each sender's channels: at most 64, those with most messages. */
  readonly sequences: readonly SequenceReport[]
  /** Requests for retransmission that were sent. */
  readonly requests: number
  /** Missing messages that a retransmission brought. */
  readonly repaired: number
  /** Records of repaired messages that were left out because a later message has the same connection. */
  readonly outdated: number
  /** Missing messages that are no longer requested. */
  readonly lost: number
}

/** Sequence counts of one sender's channel. */
export interface SequenceReport {
  /** 16 hexadecimal digits, drawn at each start of the sender. */
  readonly sender: string
  readonly channel: number
  /** Messages accepted. */
  readonly received: number
  /** Messages that are missing at present: neither received nor repaired. */
  readonly missing: number
  /** Messages that arrived behind a later one. */
  readonly reordered: number
  /** Messages that arrived again. */
  readonly duplicates: number
}

/** Failed sends of a transport. */
export interface SendReport {
  /** Failed sends by target: the group, or each peer (`10.9.0.2:8848`). */
  readonly errors: Readonly<Record<string, number>>
  /** By channel: messages that no target took, and the connections in them. */
  readonly undelivered: readonly { readonly messages: number; readonly connections: number }[]
  /** Whether no target took the newest message of a channel. */
  readonly isUnreachable: boolean
}

/** What sending and receiving transports have in common. A channel is one UDP port, counted from the base port. */
export interface ChannelTransport {
  /** How many channels there are: sync_ports of a master or backup, 1…64. */
  readonly channels: number
  /** Where it sends to or listens at, for a person: `224.0.0.81:8848-8851 on eth1`. */
  readonly description: string
  /**
   * Opens the sockets. Resolves when every channel sends and receives.
   *
   * @throws IpvsSyncError `ERR_INTERFACE`, `ERR_ADDRESS_IN_USE`, `ERR_GROUP` or `ERR_TRANSPORT`; nothing stays open then.
   */
  start(handlers: TransportHandlers): Promise<void>
  /** Closes the sockets; what was not flushed is lost. Calling it again does nothing. */
  close(): Promise<void>
}

/** A master's side. */
export interface SendingTransport extends ChannelTransport {
  /** Whether `send` may be called for this channel now. */
  writable(channel: number): boolean
  /**
   * Sends one message to the group, or to every peer.
   *
   * @param channel - 0…channels − 1, and writable.
   * @param bytes - The message. Belongs to the transport until it has left: do not write to it again.
   */
  send(channel: number, bytes: Uint8Array): void
  /** Resolves when everything that was accepted has left or failed. */
  flush(): Promise<void>
  /** Failed sends until now. A transport without this method has none. */
  sendReport?(): SendReport
}

/** A backup's side. */
export interface ReceivingTransport extends ChannelTransport {
  /** Datagrams that the receive buffers had no room for since the start; undefined where the system does not tell. */
  receiveDrops(): number | undefined
  /** Counts of verified messages; undefined, or no such method, without keys. */
  sealReport?(): SealReport | undefined
}

/** Both sides in one, as the memory network has them. */
export interface Transport extends SendingTransport, ReceivingTransport {}
