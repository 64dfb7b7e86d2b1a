/**
 * The relay's state machine: local messages go out in frames to every link, the messages of other sites go to the local
 * group and on to the other links. No I/O, no clock.
 *
 * Messages of one origin's channel are delivered in the order in which its relay received them. One that overtakes another waits at
 * most {@link HOLD_BACK} for it; one in pieces waits {@link PIECE_WAIT} for its last piece, unless a later one is complete. Every message is delivered once, by whichever link it arrives first; a site's own messages
 * and those that passed too many relays are dropped.
 *
 * @module
 */

import { demandKnownOptions, type OptionNames } from '../demand.js'
import { LRUCache } from 'lru-cache'
import type { Bytes, Milliseconds, TimestampMs } from '../units.js'
import {
  decodeFrame,
  encodeFrame,
  frameOverhead,
  ITEM_OVERHEAD,
  type Frame,
  type FrameItem,
  type Origin
} from './frame.js'
import type { Position } from './table-chunks.js'

/** A message that arrived ahead of an earlier one waits at most this long for it. */
export const HOLD_BACK: Milliseconds = 20
/** A message waits at most this long for its other pieces: a busy host can send them far apart. */
export const PIECE_WAIT: Milliseconds = 250
/** A message waits at most this long for others to share its frame. */
export const MAX_BATCH_DELAY: Milliseconds = 5
/** The last message of an idle channel is repeated after this time, so that its loss, or that of earlier ones, is noticed. */
export const IDLE_REPEAT: Milliseconds = 5000
/** Repeats in a row: an older message would bring back connections that have ended. */
const MAX_IDLE_REPEATS = 12
/** Relays that a frame may pass after the origin's. */
export const MAX_HOPS = 4

/** A message that this relay delivered is not taken for a local one when the group returns it within this time. */
const ECHO_TIME: Milliseconds = 2000
/** Delivered messages whose echoes are recognised. */
const MAX_ECHOES = 8192
/** Channels of origins that are remembered. */
const MAX_ORIGINS = 1024
/** Messages of one origin that wait for an earlier one, or for their other pieces. */
const MAX_WAITING = 256

/** The properties of a link that the engine needs. */
export interface LinkShape {
  /** Largest frame that the link carries, in bytes. */
  readonly maxFrame: Bytes
}

/** Options of a {@link RelayEngine}. */
export interface RelayEngineOptions {
  readonly origin: Origin
  readonly links: readonly LinkShape[]
}

/** Something to send: a message to the local group, or a frame to a link. */
export type RelayTransmit =
  | { readonly to: 'local'; readonly channel: number; readonly bytes: Uint8Array }
  | { readonly to: number; readonly channel: number; readonly bytes: Uint8Array }

/** What a relay counted. */
export interface RelayCounters {
  /** Messages received from the local group. */
  readonly local: number
  /** Messages that this relay had delivered and the group returned: loopback, or another relay on the same network. */
  readonly echoes: number
  /** Messages of other sites delivered to the local group. */
  readonly delivered: number
  /** Messages that arrived again by another way. */
  readonly duplicates: number
  /** Messages of other sites that never arrived. */
  readonly lost: number
  /** Frames that are malformed, were this site's own, or passed too many relays. */
  readonly refused: number
}

interface Waiting {
  readonly pieces: (Uint8Array | undefined)[]
  readonly hops: number
  readonly from: number
  missing: number
  /** When it is not waited for any more while it is incomplete; when it waits no more for earlier ones once it is complete. */
  deadline: TimestampMs
}

/** What was received of one origin's channel. */
interface Incoming {
  readonly origin: Origin
  readonly channel: number
  /** The sequence that is delivered next. */
  next: number
  readonly waiting: Map<number, Waiting>
}

/** What was sent on one channel. */
interface Outgoing {
  readonly sequence: number
  /** The last message. */
  readonly bytes: Uint8Array
  repeatAt: TimestampMs
  repeats: number
}

/** The frames of one origin's channel that passed equally many relays. */
type Flow = Omit<Frame, 'items'>

interface Batch {
  readonly link: number
  readonly flow: Flow
  readonly deadline: TimestampMs
  readonly items: FrameItem[]
  length: Bytes
}

/** Names of the options. */
const OPTIONS: OptionNames<RelayEngineOptions> = { origin: true, links: true }

/** Relays between one local group and its links. */
export class RelayEngine {
  readonly #options: RelayEngineOptions
  readonly #origins = new LRUCache<string, Incoming>({ max: MAX_ORIGINS })
  readonly #echoes = new LRUCache<bigint, TimestampMs>({ max: MAX_ECHOES })
  readonly #batches = new Map<string, Batch>()
  #transmits: RelayTransmit[] = []
  readonly #outgoing = new Map<number, Outgoing>()
  readonly #gaps = new Set<string>()
  #counters = { local: 0, echoes: 0, delivered: 0, duplicates: 0, lost: 0, refused: 0 }

  constructor(options: RelayEngineOptions) {
    demandKnownOptions(options, OPTIONS)
    this.#options = options
  }

  /** Returns what was counted: a copy. */
  counters(): RelayCounters {
    return { ...this.#counters }
  }

  /** Handles a message of the local group. */
  handleLocal(bytes: Uint8Array, channel: number, now: TimestampMs): void {
    const deliveredAt = this.#echoes.get(digest(bytes))
    if (deliveredAt !== undefined && now - deliveredAt < ECHO_TIME) {
      this.#counters.echoes++
      return
    }
    this.#counters.local++
    const sequence = (this.#outgoing.get(channel)?.sequence ?? 0) + 1
    this.#outgoing.set(channel, { sequence, bytes, repeatAt: now + IDLE_REPEAT, repeats: 0 })
    this.#announce(channel, sequence, bytes, now)
  }

  /** Handles a frame that a link received. */
  handleFrame(link: number, bytes: Uint8Array, now: TimestampMs): void {
    const frame = decodeFrame(bytes)
    if (frame === undefined || frame.origin.site === this.#options.origin.site || frame.hops > MAX_HOPS) {
      this.#counters.refused++
      return
    }
    const { origin, channel } = frame
    const name = `${origin.site}/${origin.id}/${channel}`
    let incoming = this.#origins.get(name)
    if (incoming === undefined) {
      incoming = { origin, channel, next: frame.items[0]!.sequence, waiting: new Map() }
      this.#origins.set(name, incoming)
    }
    for (const item of frame.items) this.#take(incoming, item, frame.hops, link, now)
    this.#deliver(incoming, now)
  }

  /** Sends batches and skips gaps whose time has come. */
  handleTimeout(now: TimestampMs): void {
    for (const [channel, outgoing] of this.#outgoing) {
      if (outgoing.repeatAt > now) continue
      outgoing.repeatAt = ++outgoing.repeats < MAX_IDLE_REPEATS ? now + IDLE_REPEAT : Infinity
      this.#announce(channel, outgoing.sequence, outgoing.bytes, now)
    }
    for (const [name, batch] of this.#batches) if (batch.deadline <= now) this.#flush(name, batch)
    for (const incoming of this.#origins.values()) this.#deliver(incoming, now)
  }

  /** Returns when {@link handleTimeout} is due; undefined if nothing waits. It changes with every `handle…` call. */
  nextTimeout(): TimestampMs | undefined {
    let next = Infinity
    for (const { repeatAt } of this.#outgoing.values()) next = Math.min(next, repeatAt)
    for (const { deadline } of this.#batches.values()) next = Math.min(next, deadline)
    for (const { waiting } of this.#origins.values())
      for (const { deadline } of waiting.values()) next = Math.min(next, deadline)
    return next === Infinity ? undefined : next
  }

  /** Returns the next thing to send; undefined if there is nothing. */
  pollTransmit(): RelayTransmit | undefined {
    return this.#transmits.shift()
  }

  /** Returns the sites of which messages were lost since the last call. */
  takeGaps(): string[] {
    const sites = [...this.#gaps]
    this.#gaps.clear()
    return sites
  }

  /** Returns where each origin's channel continues: what was delivered so far comes before. */
  positions(): Position[] {
    const hex = (id: bigint): string => id.toString(16).padStart(16, '0')
    const { origin } = this.#options
    const own = [...this.#outgoing].map(([channel, { sequence }]) => ({ origin, channel, next: sequence + 1 }))
    return [...own, ...this.#origins.values()].map(({ origin: { site, id }, channel, next }) => {
      return { site, id: hex(id), channel, next }
    })
  }

  #announce(channel: number, sequence: number, bytes: Uint8Array, now: TimestampMs): void {
    const { origin, links } = this.#options
    for (const link of links.keys()) this.#enqueue(link, { origin, channel, hops: 0 }, sequence, bytes, now)
  }

  #countLost(incoming: Incoming, lost: number): void {
    if (lost === 0) return
    this.#counters.lost += lost
    this.#gaps.add(incoming.origin.site)
  }

  #take(incoming: Incoming, item: FrameItem, hops: number, from: number, now: TimestampMs): void {
    const { sequence, piece, pieces, bytes } = item
    const known = incoming.waiting.get(sequence)
    if (sequence < incoming.next || known?.pieces[piece] !== undefined) {
      this.#counters.duplicates++
      return
    }
    if (known !== undefined) {
      if (known.pieces.length !== pieces) return
      known.pieces[piece] = bytes
      if (--known.missing === 0) known.deadline = now + HOLD_BACK
      return
    }
    // A sender far ahead has lost what lies between: it is not waited for.
    if (incoming.waiting.size >= MAX_WAITING || sequence - incoming.next >= MAX_WAITING) {
      for (const waiting of [...incoming.waiting.keys()].sort((a, b) => a - b)) {
        this.#countLost(incoming, waiting - incoming.next)
        incoming.next = waiting
        this.#release(incoming, now)
      }
      this.#countLost(incoming, sequence - incoming.next)
      incoming.next = sequence
    }
    const parts: (Uint8Array | undefined)[] = Array.from({ length: pieces })
    parts[piece] = bytes
    const deadline = now + (pieces === 1 ? HOLD_BACK : PIECE_WAIT)
    incoming.waiting.set(sequence, { pieces: parts, hops, from, missing: pieces - 1, deadline })
  }

  /** Delivers what is complete and in order; a message whose deadline has passed does not wait for earlier ones any more. */
  #deliver(incoming: Incoming, now: TimestampMs): void {
    for (;;) {
      const head = incoming.waiting.get(incoming.next)
      if (head?.missing !== 0 && !this.#isOverdue(incoming, now)) return
      if (head === undefined) {
        const earliest = Math.min(...incoming.waiting.keys())
        this.#countLost(incoming, earliest - incoming.next)
        incoming.next = earliest
      } else this.#release(incoming, now)
    }
  }

  #isOverdue({ waiting }: Incoming, now: TimestampMs): boolean {
    for (const { deadline } of waiting.values()) if (deadline <= now) return true
    return false
  }

  /** Delivers the message whose turn it is, or counts it as lost where a piece is missing. */
  #release(incoming: Incoming, now: TimestampMs): void {
    const { pieces, missing, hops, from } = incoming.waiting.get(incoming.next)!
    const { origin, channel } = incoming
    incoming.waiting.delete(incoming.next)
    const sequence = incoming.next++
    if (missing > 0) {
      this.#countLost(incoming, 1)
      return
    }
    const bytes = join(pieces as Uint8Array[])
    this.#counters.delivered++
    this.#echoes.set(digest(bytes), now)
    this.#transmits.push({ to: 'local', channel, bytes })
    if (hops < MAX_HOPS)
      for (const link of this.#options.links.keys())
        if (link !== from) this.#enqueue(link, { origin, channel, hops: hops + 1 }, sequence, bytes, now)
  }

  #enqueue(link: number, flow: Flow, sequence: number, bytes: Uint8Array, now: TimestampMs): void {
    const { maxFrame } = this.#options.links[link]!
    const { origin, channel, hops } = flow
    const overhead = frameOverhead(origin.site)
    const room = maxFrame - overhead - ITEM_OVERHEAD
    const pieces = Math.max(1, Math.ceil(bytes.length / room))
    const name = `${link} ${origin.id} ${channel} ${hops}`
    for (let piece = 0; piece < pieces; piece++) {
      const part = bytes.subarray(piece * room, (piece + 1) * room)
      let batch = this.#batches.get(name)
      if (batch !== undefined && (batch.length + ITEM_OVERHEAD + part.length > maxFrame || isFar(batch, sequence))) {
        this.#flush(name, batch)
        batch = undefined
      }
      if (batch === undefined) {
        batch = { link, flow, deadline: now + MAX_BATCH_DELAY, items: [], length: overhead }
        this.#batches.set(name, batch)
      }
      batch.items.push({ sequence, piece, pieces, bytes: part })
      batch.length += ITEM_OVERHEAD + part.length
      // A receiver that has the other pieces waits for the last one.
      if (pieces > 1 && piece === pieces - 1) this.#flush(name, batch)
    }
  }

  #flush(name: string, { link, flow, items }: Batch): void {
    this.#batches.delete(name)
    this.#transmits.push({ to: link, channel: flow.channel, bytes: encodeFrame({ ...flow, items }) })
  }
}

/** Two independent 32-bit FNV-1a sums in one 64-bit value: no attacker chooses it, since links are authenticated. */
function digest(bytes: Uint8Array): bigint {
  let [low, high] = [0x811c9dc5, 0x050c5d1f]
  for (const byte of bytes) {
    low = Math.imul(low ^ byte, 0x01000193)
    high = Math.imul(high ^ (byte + 1), 0x01000193)
  }
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)
}

function isFar({ items }: Batch, sequence: number): boolean {
  return sequence - items[0]!.sequence > 0xffff || sequence < items[0]!.sequence
}

function join(pieces: readonly Uint8Array[]): Uint8Array {
  if (pieces.length === 1) return pieces[0]!
  const whole = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const piece of pieces) {
    whole.set(piece, at)
    at += piece.length
  }
  return whole
}
