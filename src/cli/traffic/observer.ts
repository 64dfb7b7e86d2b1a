/**
 * Statistics of the sync messages on a link: who sends, on which channels, how much, and what is wrong with it. Used by
 * `doctor` for its verdicts and by `watch` for its screen. Memory is bounded whatever arrives.
 *
 * @module
 */

import { decodeAgentMessage } from '../../agent/protocol/messages.js'
import { findTrailer } from '../../trust/trailer.js'
import { isAgentMessage } from '../../wire/agent-mark.js'
import type { Connection } from '../../wire/connection.js'
import { decodeMessage } from '../../wire/decode-message.js'
import { HEADER_V0, HEADER_V1 } from '../../wire/layout.js'
import type { Milliseconds, TimestampMs } from '../../units.js'

/** One datagram as a socket or a capture delivers it. */
export interface ObservedDatagram {
  readonly payload: Uint8Array
  /** Size on the wire, in bytes; more than the payload's where a capture kept only a part. */
  readonly size: number
  readonly address: string
  /** UDP port that it was sent to. */
  readonly port: number
  /** Address that it was sent to; undefined for a socket, which does not report it. */
  readonly group?: string
  /** IP fragments that it arrived in; 1 is a whole datagram. */
  readonly fragments: number
}

/** Totals of one address with one syncid. */
export interface SenderTotals {
  readonly address: string
  readonly syncid: number
  /** Versions of its messages. */
  readonly versions: readonly number[]
  /** Ports that it sends to, ascending. */
  readonly ports: readonly number[]
  readonly groups: readonly string[]
  readonly messages: number
  readonly connections: number
  readonly bytes: number
  /** Size of its largest message, in bytes. */
  readonly largest: number
  /** Messages that arrived in IP fragments. */
  readonly fragmented: number
  /** Sequence numbers that are missing; undefined for a sender whose messages carry none. */
  readonly lost: number | undefined
  /** Our clock minus the sender's, at least; undefined for a sender whose messages are not sealed. */
  readonly clockOffset: Milliseconds | undefined
  /** Messages with a problem, by problem code. */
  readonly problems: Readonly<Record<string, number>>
  readonly firstMs: TimestampMs
  readonly lastMs: TimestampMs
}

/** What an agent reported about itself. */
export interface AgentTotals {
  readonly id: string
  readonly address: string
  readonly syncid: number
  readonly ready: boolean
  /** Connections in its table; undefined until it sends a hello. */
  readonly connections: number | undefined
  readonly messages: number
  readonly lastMs: TimestampMs
}

/** Everything that was observed. */
export interface TrafficReport {
  readonly senders: readonly SenderTotals[]
  readonly agents: readonly AgentTotals[]
  /** Distinct connections announced with our syncid, at most {@link MOST_CONNECTIONS}. */
  readonly connections: readonly Connection[]
  /** Datagrams that are not sync messages. */
  readonly foreign: number
}

/** Senders, and agents, that are kept; further ones are ignored, since anybody can invent addresses. */
const MOST_SENDERS = 256
/** Connections that are kept for the comparison with the kernel. */
export const MOST_CONNECTIONS = 5000
/** Messages decoded completely in each second of traffic; of further ones only the header is read. */
const DECODED_A_SECOND = 2000

interface Sender {
  readonly address: string
  readonly syncid: number
  readonly versions: Set<number>
  readonly ports: Set<number>
  readonly groups: Set<string>
  readonly sequences: Map<string, { first: number; last: number; count: number }>
  readonly problems: Map<string, number>
  messages: number
  connections: number
  bytes: number
  largest: number
  fragmented: number
  clockOffset: Milliseconds | undefined
  firstMs: TimestampMs
  lastMs: TimestampMs
}

type Mutable<Value> = { -readonly [Key in keyof Value]: Value[Key] }

/** The header of a message, whatever follows it. */
export interface MessageHeader {
  readonly version: 0 | 1
  readonly syncid: number
  readonly size: number
  readonly count: number
}

/** Reads a header as a receiver does; undefined for fewer than 4 bytes. */
export function readHeader(bytes: Uint8Array): MessageHeader | undefined {
  if (bytes.length < HEADER_V0.LENGTH) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const isVersion1 =
    bytes.length >= HEADER_V1.LENGTH &&
    bytes[HEADER_V1.RESERVED] === 0 &&
    bytes[HEADER_V1.VERSION] === 1 &&
    view.getUint16(HEADER_V1.SPARE) === 0
  return {
    version: isVersion1 ? 1 : 0,
    syncid: bytes[HEADER_V0.SYNCID]!,
    size: view.getUint16(HEADER_V0.SIZE),
    count: bytes[isVersion1 ? HEADER_V1.COUNT : HEADER_V0.COUNT]!
  }
}

/** Accumulates {@link TrafficReport}. */
export class TrafficObserver {
  readonly #syncid: number
  readonly #senders = new Map<string, Sender>()
  readonly #agents = new Map<string, Mutable<AgentTotals>>()
  readonly #connections = new Map<string, Connection>()
  #foreign = 0
  #second = -1
  #decoded = 0

  /** @param syncid - Connections with this syncid are kept; 0 keeps those of every syncid. */
  constructor(syncid: number) {
    this.#syncid = syncid
  }

  /**
   * Counts a datagram.
   *
   * @returns The connections that it announces, where it was decoded and is of our syncid.
   */
  observe(datagram: ObservedDatagram, now: TimestampMs): readonly Connection[] {
    const { payload, address, size } = datagram
    const header = readHeader(payload)
    if (header === undefined || (header.size !== size && header.count === 0)) {
      this.#foreign++
      return []
    }
    const sender = this.#senderOf(address, header.syncid, now)
    if (sender === undefined) return []
    sender.messages++
    sender.bytes += size
    sender.largest = Math.max(sender.largest, size)
    sender.lastMs = now
    sender.versions.add(header.version)
    sender.ports.add(datagram.port)
    if (datagram.group !== undefined && sender.groups.size < 16) sender.groups.add(datagram.group)
    if (datagram.fragments > 1) sender.fragmented++
    countSequence(sender, payload, now)
    if (isAgentMessage(payload)) {
      this.#countAgent(datagram, header.syncid, now)
      return []
    }
    const second = Math.floor(now / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#decoded = 0
    }
    if (this.#decoded++ >= DECODED_A_SECOND) {
      sender.connections += header.count
      return []
    }
    const { connections, problems } = decodeMessage(payload, { wireLength: size })
    sender.connections += connections.length
    for (const { code } of problems) sender.problems.set(code, (sender.problems.get(code) ?? 0) + 1)
    if (this.#syncid !== 0 && header.syncid !== this.#syncid) return []
    for (const connection of connections) {
      if (this.#connections.size >= MOST_CONNECTIONS) break
      this.#connections.set(connectionKey(connection), connection)
    }
    return connections
  }

  /** Returns the totals until now: senders and agents with the most messages first. */
  report(): TrafficReport {
    return {
      senders: Array.from(this.#senders.values(), (sender: Sender): SenderTotals => {
        const { versions, ports, groups, sequences, problems, ...figures } = sender
        let lost = 0
        for (const { first, last, count } of sequences.values()) lost += Math.max(0, last - first + 1 - count)
        return {
          ...figures,
          versions: [...versions].sort(),
          ports: [...ports].sort((a, b) => a - b),
          groups: [...groups].sort(),
          lost: sequences.size > 0 ? lost : undefined,
          problems: Object.fromEntries(problems)
        }
      }).sort((a, b) => b.messages - a.messages),
      agents: Array.from(this.#agents.values(), (agent) => ({ ...agent })).sort((a, b) => b.messages - a.messages),
      connections: [...this.#connections.values()],
      foreign: this.#foreign
    }
  }

  #senderOf(address: string, syncid: number, now: TimestampMs): Sender | undefined {
    const key = `${address} ${syncid}`
    const known = this.#senders.get(key)
    if (known !== undefined) return known
    if (this.#senders.size >= MOST_SENDERS) return undefined
    const sender: Sender = {
      address,
      syncid,
      versions: new Set(),
      ports: new Set(),
      groups: new Set(),
      sequences: new Map(),
      problems: new Map(),
      messages: 0,
      connections: 0,
      bytes: 0,
      largest: 0,
      fragmented: 0,
      clockOffset: undefined,
      firstMs: now,
      lastMs: now
    }
    this.#senders.set(key, sender)
    return sender
  }

  #countAgent({ payload, address }: ObservedDatagram, syncid: number, now: TimestampMs): void {
    const message = decodeAgentMessage(payload)
    if (message === undefined) return
    let agent = this.#agents.get(message.from)
    if (agent === undefined) {
      if (this.#agents.size >= MOST_SENDERS) return
      agent = { id: message.from, address, syncid, ready: false, connections: undefined, messages: 0, lastMs: now }
      this.#agents.set(message.from, agent)
    }
    agent.messages++
    agent.lastMs = now
    agent.address = address
    agent.ready = message.ready
    if (message.kind === 'hello') agent.connections = message.connections
  }
}

/** Identifies a connection as the table does: protocol, client and virtual endpoint. */
export function connectionKey({
  protocol,
  client,
  virtual
}: Pick<Connection, 'protocol' | 'client' | 'virtual'>): string {
  return `${protocol} ${client.address} ${client.port} ${virtual.address} ${virtual.port}`
}

/** Messages a second of a sender over a window. */
export function rateOf(totals: SenderTotals, window: Milliseconds): number {
  return totals.messages / Math.max(window / 1000, 1)
}

/** Sealed messages are numbered for each channel from 1; what is missing between the first and the last was lost. */
function countSequence(sender: Sender, payload: Uint8Array, now: TimestampMs): void {
  const trailer = findTrailer(payload)
  if (trailer === undefined) return
  // The least difference is that of the message which the network delayed least.
  sender.clockOffset = Math.min(sender.clockOffset ?? Infinity, now - trailer.time)
  const { sequences } = sender
  const key = `${trailer.sender} ${trailer.channel}`
  const known = sequences.get(key)
  if (known === undefined) {
    if (sequences.size < 256) sequences.set(key, { first: trailer.sequence, last: trailer.sequence, count: 1 })
    return
  }
  known.count++
  known.first = Math.min(known.first, trailer.sequence)
  known.last = Math.max(known.last, trailer.sequence)
}
