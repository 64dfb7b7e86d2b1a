/**
 * Connections of the model, their hash and their timers.
 *
 * @module
 */
import type { Milliseconds, TimestampMs } from '../units.js'
import { formatIpv4, formatIpv6 } from '../addresses.js'
import type { TableConnection } from '../wire/connection.js'
import { FLAG } from '../wire/constants.js'
import { flagNames, forwardingName } from '../wire/flags.js'
import { toHex } from '../wire/hex.js'
import { protocolName, stateName } from '../wire/protocols.js'
import { createRows, ROW } from '../wire/rows.js'
import { rowFromConnection } from '../wire/row-values.js'
import { foldWords, type Packet } from './packet.js'
import type { Server } from './services.js'

/** Start of each address in {@link Connection.words}. */
export const WORDS = { CLIENT: 0, VIRTUAL: 4, DESTINATION: 8 } as const

/**
 * One entry of the director's table (`ip_vs_conn`). The names of what a sync decision reads are those of
 * `engine/decide-sync`, which reads it directly.
 */
export class Connection {
  family = 4
  protocol = 0
  /** IPv4: the word. IPv6: the fold of `words`. */
  client = 0
  virtual = 0
  destination = 0
  /** IPv6 only: client, virtual, destination. */
  words: Int32Array | undefined = undefined
  clientPort = 0
  virtualPort = 0
  destinationPort = 0
  fwmark = 0
  /** As on the wire (docs/protocol.md section 5). */
  flags = 0
  template = false
  onePacket = false
  /** Whether a controller, directly or further up, is a template. */
  underTemplate = false
  state = 0
  lastSyncedState = 0
  timeoutMs: Milliseconds = 0
  endTimeMs: TimestampMs = 0
  retriesUsed = 0
  /** Packets from the client. */
  packets = 0
  controller: Connection | undefined = undefined
  /** How many entries this one controls. */
  controls = 0
  server: Server | undefined = undefined
  /** A template of a one-packet service. */
  ofOnePacketService = false
  /** Persistence-engine data (`sip`). */
  engineData: Uint8Array | undefined = undefined
  /** When its timer fires. */
  deadlineMs: TimestampMs = 0
  /** Place in the timer heap; -1 outside of it. */
  heapIndex = -1
  /** Whether look-ups find it. */
  isHashed = false
  hash = 0
  replyHash = 0
  next: Connection | undefined = undefined
  nextReply: Connection | undefined = undefined
  /** Number in order of creation, from 1. */
  id = 0
  createdMs: TimestampMs = 0
  /** Whether a reply was seen before the director rewrote it. */
  isServerSideSeen = false
  /** An observer of the director keeps its record of this connection here. */
  note: unknown = undefined
}

/** A connection as the value that tables and JSON show. */
export function connectionValue(connection: Connection, now: TimestampMs): TableConnection {
  const { protocol, flags, words } = connection
  const address = (word: number, at: number): string => (words === undefined ? formatIpv4(word) : formatIpv6(words, at))
  return {
    family: connection.family === 6 ? 'ipv6' : 'ipv4',
    protocol: protocolName(protocol),
    client: { address: address(connection.client, WORDS.CLIENT), port: connection.clientPort },
    virtual: { address: address(connection.virtual, WORDS.VIRTUAL), port: connection.virtualPort },
    destination: { address: address(connection.destination, WORDS.DESTINATION), port: connection.destinationPort },
    forwarding: forwardingName(flags),
    flags: flagNames(flags),
    state: stateName(protocol, connection.template, connection.state),
    fwmark: connection.fwmark >>> 0,
    timeout: Math.floor(connection.timeoutMs / 1000),
    ...(connection.engineData !== undefined && { engine: { name: 'sip', data: toHex(connection.engineData) } }),
    origin: (flags & FLAG.SYNC) === 0 ? 'LOCAL' : 'SYNC',
    expires: Math.max(0, Math.floor((connection.deadlineMs - now) / 1000)),
    syncid: 0
  }
}

/** An entry with the key, state and timeout of a connection as a value; its flags are those on the wire. */
export function entryFromConnection(value: TableConnection): Connection {
  const rows = createRows(1)
  rowFromConnection(value, rows, 0)
  const { words } = rows
  const entry = new Connection()
  entry.family = words[ROW.FAMILY]!
  entry.protocol = words[ROW.PROTOCOL]!
  const isIpv6 = entry.family === 6
  entry.client = isIpv6 ? foldWords(words, ROW.CLIENT) : words[ROW.CLIENT]!
  entry.virtual = isIpv6 ? foldWords(words, ROW.VIRTUAL) : words[ROW.VIRTUAL]!
  entry.destination = isIpv6 ? foldWords(words, ROW.DESTINATION) : words[ROW.DESTINATION]!
  if (isIpv6) entry.words = words.slice(ROW.CLIENT, ROW.CLIENT + 12)
  entry.clientPort = words[ROW.CLIENT_PORT]!
  entry.virtualPort = words[ROW.VIRTUAL_PORT]!
  entry.destinationPort = words[ROW.DESTINATION_PORT]!
  entry.fwmark = words[ROW.FWMARK]!
  entry.flags = words[ROW.FLAGS]!
  entry.state = entry.lastSyncedState = words[ROW.STATE]!
  entry.timeoutMs = (words[ROW.TIMEOUT]! >>> 0) * 1000
  return entry
}

/** One hash for all look-ups: two addresses, two ports, the protocol. */
function hashOf(one: number, other: number, ports: number, protocol: number): number {
  let hash = Math.imul(one ^ (protocol << 24), 0x9e3779b1)
  hash = Math.imul(hash ^ (hash >>> 15) ^ other, 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13) ^ ports, 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}

const INITIAL_BUCKETS = 1024

/**
 * The hash of connections: found by client and virtual address, and by client and reply source. The newest of two with
 * one key is found, as in a kernel.
 */
export class ConnectionStore {
  #heads = new Array<Connection | undefined>(INITIAL_BUCKETS).fill(undefined)
  #replyHeads = new Array<Connection | undefined>(INITIAL_BUCKETS).fill(undefined)
  #mask = INITIAL_BUCKETS - 1
  #size = 0
  /** Connections whose client port is still open. */
  #openPorts = 0

  /** Entries in the hash. */
  get size(): number {
    return this.#size
  }

  /** Adds a connection whose key is set. */
  add(connection: Connection): void {
    const { client, clientPort, virtual, virtualPort, protocol } = connection
    connection.hash = hashOf(client, virtual, (clientPort << 16) | virtualPort, protocol)
    const isMasq = (connection.flags & FLAG.FORWARDING) === 0
    const source = isMasq ? connection.destination : virtual
    const port = isMasq ? connection.destinationPort : virtualPort
    connection.replyHash = hashOf(client, source, (clientPort << 16) | port, protocol)
    connection.isHashed = true
    if (++this.#size > this.#mask) {
      const all = [...this].reverse()
      this.#mask = this.#mask * 2 + 1
      this.#heads = new Array<Connection | undefined>(this.#mask + 1).fill(undefined)
      this.#replyHeads = new Array<Connection | undefined>(this.#mask + 1).fill(undefined)
      for (const connection of all) this.#link(connection)
    }
    this.#link(connection)
    if ((connection.flags & FLAG.NO_CPORT) !== 0) this.#openPorts++
  }

  /** Takes a connection out; one that is not in is ignored. */
  remove(connection: Connection): void {
    if (!connection.isHashed) return
    connection.isHashed = false
    this.#size--
    if ((connection.flags & FLAG.NO_CPORT) !== 0) this.#openPorts--
    const at = connection.hash & this.#mask
    if (this.#heads[at] === connection) this.#heads[at] = connection.next
    else {
      let before = this.#heads[at]!
      while (before.next !== connection) before = before.next!
      before.next = connection.next
    }
    connection.next = undefined
    if (connection.template) return
    const replyAt = connection.replyHash & this.#mask
    if (this.#replyHeads[replyAt] === connection) this.#replyHeads[replyAt] = connection.nextReply
    else {
      let before = this.#replyHeads[replyAt]!
      while (before.nextReply !== connection) before = before.nextReply!
      before.nextReply = connection.nextReply
    }
    connection.nextReply = undefined
  }

  /**
   * The connection of a packet from the client, or undefined.
   *
   * @param protocol - That of the look-up: AH and ESP look for UDP.
   * @param isReversed - Whether the packet's ends are exchanged.
   */
  find(
    packet: Packet,
    protocol: number,
    sourcePort: number,
    destinationPort: number,
    isReversed: boolean
  ): Connection | undefined {
    const found = this.#find(packet, protocol, sourcePort, destinationPort, isReversed)
    if (found !== undefined || this.#openPorts === 0) return found
    return isReversed
      ? this.#find(packet, protocol, sourcePort, 0, true)
      : this.#find(packet, protocol, 0, destinationPort, false)
  }

  #find(
    packet: Packet,
    protocol: number,
    sourcePort: number,
    destinationPort: number,
    isReversed: boolean
  ): Connection | undefined {
    const client = isReversed ? packet.destination : packet.source
    const virtual = isReversed ? packet.source : packet.destination
    const clientPort = isReversed ? destinationPort : sourcePort
    const virtualPort = isReversed ? sourcePort : destinationPort
    const hash = hashOf(client, virtual, (clientPort << 16) | virtualPort, protocol)
    for (let at = this.#heads[hash & this.#mask]; at !== undefined; at = at.next) {
      const isSame =
        at.hash === hash &&
        at.client === client &&
        at.virtual === virtual &&
        at.clientPort === clientPort &&
        at.virtualPort === virtualPort &&
        at.protocol === protocol &&
        at.family === packet.family &&
        !at.template
      if (!isSame) continue
      // A look-up with port 0 finds only connections whose client port is still open (`__ip_vs_conn_in_get`).
      if (clientPort === 0 && (at.flags & FLAG.NO_CPORT) === 0) continue
      if (at.words === undefined) return at
      const clientWords = isReversed ? packet.destinationWords : packet.sourceWords
      const virtualWords = isReversed ? packet.sourceWords : packet.destinationWords
      if (sameWords(at.words, WORDS.CLIENT, clientWords) && sameWords(at.words, WORDS.VIRTUAL, virtualWords)) return at
    }
    return undefined
  }

  /** The connection of a packet from the real server, or undefined. */
  findReply(packet: Packet, protocol: number, sourcePort: number, destinationPort: number): Connection | undefined {
    const { source, destination } = packet
    const hash = hashOf(destination, source, (destinationPort << 16) | sourcePort, protocol)
    for (let at = this.#replyHeads[hash & this.#mask]; at !== undefined; at = at.nextReply) {
      const isMasq = (at.flags & FLAG.FORWARDING) === 0
      const isSame =
        at.replyHash === hash &&
        at.client === destination &&
        at.clientPort === destinationPort &&
        (isMasq ? at.destination : at.virtual) === source &&
        (isMasq ? at.destinationPort : at.virtualPort) === sourcePort &&
        at.protocol === protocol &&
        at.family === packet.family
      if (!isSame) continue
      if (at.words === undefined) return at
      const from = isMasq ? WORDS.DESTINATION : WORDS.VIRTUAL
      if (sameWords(at.words, WORDS.CLIENT, packet.destinationWords) && sameWords(at.words, from, packet.sourceWords))
        return at
    }
    return undefined
  }

  /** The template of a key, which is a connection that is not in the table; or undefined. */
  findTemplate(key: Connection): Connection | undefined {
    const { client, virtual, virtualPort, protocol } = key
    const hash = hashOf(client, virtual, (key.clientPort << 16) | virtualPort, protocol)
    for (let at = this.#heads[hash & this.#mask]; at !== undefined; at = at.next) {
      const isSame =
        at.hash === hash &&
        at.template &&
        at.client === client &&
        at.virtual === virtual &&
        at.clientPort === key.clientPort &&
        at.virtualPort === virtualPort &&
        at.protocol === protocol &&
        at.family === key.family &&
        sameData(at.engineData, key.engineData)
      if (!isSame) continue
      if (at.words === undefined || key.words === undefined) return at
      if (
        sameWords(at.words, WORDS.CLIENT, key.words.subarray(0, 4)) &&
        sameWords(at.words, WORDS.VIRTUAL, key.words.subarray(4, 8))
      )
        return at
    }
    return undefined
  }

  /** Every connection, templates included. Do not change the table meanwhile. */
  *[Symbol.iterator](): Generator<Connection> {
    for (const head of this.#heads) for (let at = head; at !== undefined; at = at.next) yield at
  }

  #link(connection: Connection): void {
    const at = connection.hash & this.#mask
    connection.next = this.#heads[at]
    this.#heads[at] = connection
    // A template is no connection: no reply belongs to it.
    if (connection.template) return
    const replyAt = connection.replyHash & this.#mask
    connection.nextReply = this.#replyHeads[replyAt]
    this.#replyHeads[replyAt] = connection
  }
}

function sameWords(words: Int32Array, at: number, other: Int32Array): boolean {
  return (
    words[at] === other[0] && words[at + 1] === other[1] && words[at + 2] === other[2] && words[at + 3] === other[3]
  )
}

function sameData(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  if (one === undefined || other === undefined) return one === other
  return one.length === other.length && one.every((byte, index) => byte === other[index])
}

/**
 * Timers: a binary heap by deadline. A deadline that becomes later is only noticed when its old one comes up; one that
 * becomes earlier moves at once.
 */
export class TimerHeap {
  readonly #entries: Connection[] = []
  readonly #keys: number[] = []

  /** The earliest time at which {@link TimerHeap.due} may return something; Infinity without timers. */
  get earliest(): TimestampMs {
    return this.#keys[0] ?? Infinity
  }

  /** Sets a connection's deadline, and starts its timer if it does not run. */
  restart(connection: Connection, deadline: TimestampMs): void {
    connection.deadlineMs = deadline
    const at = connection.heapIndex
    if (at < 0) {
      this.#entries.push(connection)
      this.#keys.push(deadline)
      this.#up(this.#keys.length - 1, connection, deadline)
    } else if (deadline < this.#keys[at]!) this.#up(at, connection, deadline)
  }

  /** Stops a connection's timer. */
  stop(connection: Connection): void {
    const at = connection.heapIndex
    if (at < 0) return
    connection.heapIndex = -1
    const last = this.#entries.pop()!
    const key = this.#keys.pop()!
    if (last === connection) return
    this.#up(at, last, key)
    this.#down(last.heapIndex, last, key)
  }

  /** Takes the next connection whose timer has fired by `now`, its timer stopped; undefined if there is none. */
  due(now: TimestampMs): Connection | undefined {
    for (;;) {
      const key = this.#keys[0]
      if (key === undefined || key > now) return undefined
      const connection = this.#entries[0]!
      if (connection.deadlineMs <= key) {
        this.stop(connection)
        return connection
      }
      this.#down(0, connection, connection.deadlineMs)
    }
  }

  #up(from: number, connection: Connection, key: number): void {
    const entries = this.#entries
    const keys = this.#keys
    let at = from
    while (at > 0) {
      const parent = (at - 1) >>> 1
      if (keys[parent]! <= key) break
      entries[at] = entries[parent]!
      keys[at] = keys[parent]!
      entries[at]!.heapIndex = at
      at = parent
    }
    entries[at] = connection
    keys[at] = key
    connection.heapIndex = at
  }

  #down(from: number, connection: Connection, key: number): void {
    const entries = this.#entries
    const keys = this.#keys
    const length = keys.length
    let at = from
    for (;;) {
      let child = 2 * at + 1
      if (child >= length) break
      if (child + 1 < length && keys[child + 1]! < keys[child]!) child++
      if (keys[child]! >= key) break
      entries[at] = entries[child]!
      keys[at] = keys[child]!
      entries[at]!.heapIndex = at
      at = child
    }
    entries[at] = connection
    keys[at] = key
    connection.heapIndex = at
  }
}
