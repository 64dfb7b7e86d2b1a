/**
 * A capture's frames given to a director: which of them it received, which it sent itself.
 *
 * @module
 */
import type { RawPacket } from '../capture/raw-packet.js'
import type { Milliseconds, TimestampMs } from '../units.js'
import { FLAG } from '../wire/constants.js'
import type { Director } from './director.js'
import { FrameReader } from './frames.js'
import type { Outcome } from './outcome.js'
import type { Packet } from './packet.js'

/** What an observer counted; none of it is a fault. */
export interface ObserverCounts {
  /** Frames in all. */
  frames: number
  /** Frames that are part of the director's traffic. */
  handled: number
  /** Frames that the director itself sent. */
  own: number
  /** Frames of other traffic. */
  foreign: number
  /** Frames cut off or not understood. */
  unreadable: number
  /** Frames between other hosts: replies that by-pass the director. */
  bypassing: number
  /** Frames without a time. */
  timeless: number
}

/** Marks that a firewall would set. */
export type Marker = (packet: Packet) => number

/** For how long a packet can be seen again as the director forwards it. */
const COPY_WINDOW: Milliseconds = 1000
const MAX_RECENT = 65_536

/** Feeds captured frames to a director. */
export class Observer {
  readonly counts: ObserverCounts = {
    frames: 0,
    handled: 0,
    own: 0,
    foreign: 0,
    unreadable: 0,
    bypassing: 0,
    timeless: 0
  }
  readonly #director: Director
  readonly #reader = new FrameReader()
  readonly #mark: Marker | undefined
  /** Link-layer addresses of the director: packets for its services were sent to them. */
  readonly #macs = new Set<number>()
  /** TTL and time of packets for a service, by what tells them apart. */
  readonly #recent = new Map<string, { readonly ttl: number; readonly ms: TimestampMs }>()

  constructor(director: Director, mark?: Marker) {
    this.#director = director
    this.#mark = mark
  }

  /** The packet of the last frame. */
  get packet(): Packet {
    return this.#reader.packet
  }

  /** Takes a frame; returns what happened, or undefined where it concerns no connection of the director. */
  frame(raw: RawPacket): Outcome | undefined {
    const { counts } = this
    counts.frames++
    if (raw.time === undefined) return this.#count('timeless')
    if (!this.#reader.read(raw)) return this.#count('unreadable')
    const { packet } = this.#reader
    if (!packet.isComplete) return this.#count('unreadable')
    if (this.#mark !== undefined) packet.mark = this.#mark(packet)
    const now = raw.time.ms
    const side = this.#sideOf(packet, now)
    if (side !== 'received') return this.#count(side)
    const outcome = this.#director.handlePacket(packet, now)
    counts[outcome.reason === 'other-protocol' || outcome.reason === 'no-service' ? 'foreign' : 'handled']++
    return outcome
  }

  #count(kind: Exclude<keyof ObserverCounts, 'frames' | 'handled'>): Outcome | undefined {
    this.counts[kind]++
    return undefined
  }

  #sideOf(packet: Packet, now: TimestampMs): 'received' | 'own' | 'bypassing' {
    const { inner, info } = this.#reader
    const { sourceMac, destinationMac } = info
    // What a tunnel carries to a real server is the client's packet once more.
    if (inner !== undefined && this.#director.isForService(inner)) return 'own'
    const isForService = this.#director.isForService(packet)
    const isSentByDirector = sourceMac !== undefined && this.#macs.has(sourceMac)
    if (isForService) {
      // Direct routing sends the packet on as it is.
      if (isSentByDirector || this.#isCopy(packet, now)) return 'own'
      if (destinationMac !== undefined) this.#macs.add(destinationMac)
      return 'received'
    }
    const connection = this.#director.findTranslated(packet)
    if (connection === undefined) return isSentByDirector || this.#director.isFromItself(packet) ? 'own' : 'received'
    // From the virtual address to the client: NAT after the director, other methods past it.
    if ((connection.flags & FLAG.FORWARDING) !== 0)
      return isSentByDirector || destinationMac === undefined || this.#macs.has(destinationMac)
        ? 'received'
        : 'bypassing'
    // Where the capture holds the servers' side too, this is the same reply again.
    if (connection.isServerSideSeen) return 'own'
    packet.isTranslated = true
    return 'received'
  }

  /** Whether the same packet was seen shortly before with a higher TTL: then this is what the director sent on. */
  #isCopy(packet: Packet, now: TimestampMs): boolean {
    const { id, ttl, fingerprint } = this.#reader.info
    if (id === 0 && fingerprint === 0) return false
    const key = `${packet.source} ${packet.destination} ${packet.sourcePort} ${packet.destinationPort} ${id} ${fingerprint}`
    const before = this.#recent.get(key)
    if (before !== undefined && before.ttl - 1 === ttl && now - before.ms <= COPY_WINDOW) return true
    this.#recent.delete(key)
    if (this.#recent.size >= MAX_RECENT) this.#recent.clear()
    this.#recent.set(key, { ttl, ms: now })
    return false
  }
}
