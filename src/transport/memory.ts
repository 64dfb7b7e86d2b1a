/**
 * A network in memory and in virtual time, that loses, delays, repeats and reorders by a seed: for simulations.
 *
 * It has no timer and reads no clock. Its user moves time with {@link MemoryNetwork.advance}; the same seed, options and
 * calls give the same deliveries on every machine.
 *
 * @module
 */

import { demandKnownOptions, type OptionNames } from '../demand.js'
import { IpvsSyncError } from '../errors.js'
import type { Milliseconds, TimestampMs } from '../units.js'
import { seededChance, type Chance } from './chance.js'
import type { Sender, Transport, TransportHandlers } from './transport.js'

/** How a {@link MemoryNetwork} treats datagrams. Chances are 0…1, and each receiver's copy has its own luck. */
export interface MemoryNetworkOptions {
  /** Decides all chances. 1 by default. */
  readonly seed?: number
  /** Chance that a copy is lost. 0 by default. */
  readonly loss?: number
  /** Chance that a copy arrives twice, the second with its own delay. 0 by default. */
  readonly duplication?: number
  /** Least and greatest delay; drawn evenly between them, so that a range reorders by itself. `[0, 0]` by default. */
  readonly delayMs?: readonly [Milliseconds, Milliseconds]
  /** Chance that a copy is held back by `reorderMs` more, so that later ones overtake it. 0 by default. */
  readonly reordering?: number
  /** How long a reordered copy is held back. 50 ms by default. */
  readonly reorderMs?: Milliseconds
  /** Channels of each transport. 1 by default. */
  readonly channels?: number
}

/** What became of the copies (one for each receiver of each datagram). sent + duplicated = lost + delivered + under way. */
export interface MemoryNetworkCounters {
  readonly sent: number
  readonly lost: number
  readonly duplicated: number
  readonly reordered: number
  readonly delivered: number
}

interface Copy extends Delivery {
  readonly to: MemoryTransport
  readonly from: Sender
  readonly channel: number
  readonly bytes: Uint8Array
}

/** Names of the options. */
const OPTIONS: OptionNames<MemoryNetworkOptions> = {
  seed: true,
  loss: true,
  duplication: true,
  delayMs: true,
  reordering: true,
  reorderMs: true,
  channels: true
}

/**
 * The network: every transport of it hears every other one, as members of one multicast group do.
 *
 * @example
 * ```ts
 * const network = new MemoryNetwork({ seed: 7, loss: 0.1, delayMs: [1, 20] })
 * const master = network.open('10.0.0.1')
 * const backup = network.open('10.0.0.2')
 * backup.listen({ onDatagram: (bytes, from) => engine.handleDatagram(bytes, from, network.now) })
 * master.listen({})
 * master.send(0, message)
 * network.advance(network.nextTimeout() ?? network.now)
 * ```
 */
export class MemoryNetwork {
  readonly #options: Required<MemoryNetworkOptions>
  readonly #chance: Chance
  readonly #members = new Set<MemoryTransport>()
  readonly #underWay = new DeliveryQueue<Copy>()
  readonly #counters = { sent: 0, lost: 0, duplicated: 0, reordered: 0, delivered: 0 }
  #now: TimestampMs = 1
  #order = 0

  /** @throws IpvsSyncError `ERR_CONFIG` for a chance outside 0…1 or a delay range turned round. */
  constructor(options: MemoryNetworkOptions = {}) {
    demandKnownOptions(options, OPTIONS)
    this.#options = verify({
      seed: 1,
      loss: 0,
      duplication: 0,
      delayMs: [0, 0],
      reordering: 0,
      reorderMs: 50,
      channels: 1,
      ...options
    })
    this.#chance = seededChance(this.#options.seed)
  }

  /** Virtual time; starts at 1 and never goes back. */
  get now(): TimestampMs {
    return this.#now
  }

  /** What became of every copy so far. */
  get counters(): MemoryNetworkCounters {
    return { ...this.#counters }
  }

  /** Makes a transport with this address. It hears nothing until it listens. */
  open(address: string, port = 8848): MemoryTransport {
    return new MemoryTransport(this, { address, port }, this.#options.channels)
  }

  /** When the next copy arrives; undefined if none is under way. */
  nextTimeout(): TimestampMs | undefined {
    return this.#underWay.peek()?.due
  }

  /**
   * Moves time and delivers, in order, all that is due. `now` reads the time of arrival while a handler runs; what
   * a handler sends without delay arrives in the same call.
   *
   * @param nowMs - The new time. An earlier one than the present is taken as the present.
   */
  advance(nowMs: TimestampMs): void {
    const until = Math.max(this.#now, nowMs)
    for (let next = this.#underWay.peek(); next !== undefined && next.due <= until; next = this.#underWay.peek()) {
      this.#underWay.pop()
      this.#now = next.due
      if (!this.#members.has(next.to)) this.#counters.lost += 1
      else {
        this.#counters.delivered += 1
        next.to.deliver(next.bytes, next.from, next.channel)
      }
    }
    this.#now = until
  }

  /** Used by {@link MemoryTransport}. */
  join(member: MemoryTransport): void {
    this.#members.add(member)
  }

  /** Used by {@link MemoryTransport}. Copies under way to it count as lost when they arrive. */
  leave(member: MemoryTransport): void {
    this.#members.delete(member)
  }

  /** Used by {@link MemoryTransport}: one copy for every other member. */
  carry(from: MemoryTransport, channel: number, bytes: Uint8Array): void {
    for (const to of this.#members) {
      if (to === from) continue
      this.#counters.sent += 1
      if (this.#chance() < this.#options.loss) {
        this.#counters.lost += 1
        continue
      }
      this.#dispatch(to, from.sender, channel, bytes)
      if (this.#chance() < this.#options.duplication) {
        this.#counters.duplicated += 1
        this.#dispatch(to, from.sender, channel, bytes)
      }
    }
  }

  #dispatch(to: MemoryTransport, from: Sender, channel: number, bytes: Uint8Array): void {
    // Each copy has its own bytes: a receiver may keep them, a sender may use its buffer again.
    this.#underWay.push({
      due: this.#now + this.#delay(),
      order: this.#order++,
      to,
      from,
      channel,
      bytes: bytes.slice()
    })
  }

  #delay(): Milliseconds {
    const [least, greatest] = this.#options.delayMs
    const delay = least + this.#chance() * (greatest - least)
    if (this.#chance() >= this.#options.reordering) return delay
    this.#counters.reordered += 1
    return delay + this.#options.reorderMs
  }
}

/** One member's end of a {@link MemoryNetwork}. Besides the interface it can be blocked, as a full socket is. */
export class MemoryTransport implements Transport {
  readonly channels: number
  readonly #network: MemoryNetwork
  readonly #sender: Sender
  readonly #blocked = new Set<number>()
  #handlers: TransportHandlers | undefined

  /** Made by {@link MemoryNetwork.open}. */
  constructor(network: MemoryNetwork, sender: Sender, channels: number) {
    this.#network = network
    this.#sender = sender
    this.channels = channels
  }

  /** Where it stands, for a person. */
  get description(): string {
    return `memory network, ${this.#sender.address}:${this.#sender.port}`
  }

  /** What others see as the sender. */
  get sender(): Sender {
    return this.#sender
  }

  /** As {@link listen}. */
  start(handlers: TransportHandlers): Promise<void> {
    this.listen(handlers)
    return Promise.resolve()
  }

  /** Begins to receive, at once. */
  listen(handlers: TransportHandlers): void {
    this.#handlers = handlers
    this.#network.join(this)
  }

  /** False for a blocked channel, and once closed. */
  writable(channel: number): boolean {
    return this.#handlers !== undefined && !this.#blocked.has(channel)
  }

  /** Blocks a channel, or frees it: then `onWritable` is called. */
  block(channel: number, blocked = true): void {
    if (blocked) this.#blocked.add(channel)
    else if (this.#blocked.delete(channel)) this.#handlers?.onWritable?.(channel)
  }

  /**
   * @throws IpvsSyncError `ERR_USAGE` before the start, after the close, for a channel that is not there or is blocked.
   */
  send(channel: number, bytes: Uint8Array): void {
    if (!(channel >= 0 && channel < this.channels) || !this.writable(channel)) {
      throw new IpvsSyncError(
        'ERR_USAGE',
        `channel ${channel} cannot send now: it is closed, blocked, or not one of 0…${this.channels - 1}; ask writable() first`
      )
    }
    this.#network.carry(this, channel, bytes)
  }

  /** Nothing waits in a memory transport. */
  flush(): Promise<void> {
    return Promise.resolve()
  }

  /** Leaves the network. */
  close(): Promise<void> {
    this.#handlers = undefined
    this.#network.leave(this)
    return Promise.resolve()
  }

  /** A memory transport has room for everything. */
  receiveDrops(): number {
    return 0
  }

  /** Used by {@link MemoryNetwork}. */
  deliver(bytes: Uint8Array, from: Sender, channel: number): void {
    this.#handlers?.onDatagram?.(bytes, from, channel)
  }
}

function verify(options: Required<MemoryNetworkOptions>): Required<MemoryNetworkOptions> {
  for (const name of ['loss', 'duplication', 'reordering'] as const) {
    const chance = options[name]
    if (!(chance >= 0 && chance <= 1)) {
      throw new IpvsSyncError('ERR_CONFIG', `${name} is a chance of 0 to 1, not ${chance}`, { field: name })
    }
  }
  const [least, greatest] = options.delayMs
  if (!(least >= 0 && greatest >= least)) {
    throw new IpvsSyncError('ERR_CONFIG', `delayMs is [least, greatest] in ms, not [${least}, ${greatest}]`, {
      field: 'delayMs'
    })
  }
  return options
}

/** Something that is to happen at a time. */
interface Delivery {
  /** When it is due. */
  readonly due: TimestampMs
  /** Breaks ties: what was put in first comes out first. */
  readonly order: number
}

/** Deliveries by time, then by order. Both operations take O(log n). */
class DeliveryQueue<T extends Delivery> {
  readonly #heap: T[] = []

  /** The earliest, which stays; undefined if there is none. */
  peek(): T | undefined {
    return this.#heap[0]
  }

  /** Adds one. */
  push(delivery: T): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(delivery)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (before(heap[parent]!, delivery)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = delivery
  }

  /** Takes the earliest out; undefined if there is none. */
  pop(): T | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (last !== undefined && heap.length > 0) {
      const heap = this.#heap
      let at = 0
      for (;;) {
        let child = 2 * at + 1
        if (child >= heap.length) break
        if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child += 1
        if (before(last, heap[child]!)) break
        heap[at] = heap[child]!
        at = child
      }
      heap[at] = last
    }
    return first
  }
}

function before(one: Delivery, other: Delivery): boolean {
  return one.due === other.due ? one.order < other.order : one.due < other.due
}
