/**
 * One channel of a master: an open message, the queue of closed ones, and when they may be sent
 * (`ip_vs_sync_conn`, `sb_queue_tail`, `next_sync_buff`, `sync_thread_master`; docs/protocol.md section 9).
 *
 * @module
 */

import type { Bytes, Milliseconds, TimestampMs } from '../../units.js'
import type { Rows } from '../../wire/rows.js'
import type { Datagram } from '../engine.js'

/** From the first message in an empty queue until the sender wakes. */
const SEND_DELAY: Milliseconds = 20
/** Messages queued since then that wake it immediately. */
const WAKE_AFTER = 8
/** Interval at which a sleeping sender checks. */
const CHECK_PERIOD: Milliseconds = 1000
/** Age at which an open message is sent at the next check. */
const FLUSH_AGE: Milliseconds = 2000

/** Writes records into one message at a time: `MessageWriter` of `src/wire`. */
export interface RecordWriter {
  /** Starts a message of at most `maxlen` bytes, header included. */
  begin(version: 0 | 1, syncid: number, maxlen: Bytes): void
  /**
   * Adds row `index`; false, and nothing written, if it does not fit or 255 records are in. The first record of a
   * message always fits: one that is longer than `maxlen` gets its own message.
   */
  add(rows: Rows, index: number): boolean
  /** Ends the message; the bytes are the caller's to keep. */
  finish(): Uint8Array
}

/** The settings of a channel; replaced as a whole when they change. */
export interface ChannelLimits {
  /** Version of the messages to come: `sync_version`. */
  readonly version: 0 | 1
  /** 0…255. */
  readonly syncid: number
  /** Maximum length of a message, header included. */
  readonly maxlen: Bytes
  /** Maximum number of messages that wait: `sync_qlen_max`. */
  readonly qlenMax: number
}

/** Counters of a channel: they only grow. */
export interface ChannelCounters {
  /** Messages returned to be sent. */
  messagesSent: number
  /** Connections in them. */
  connectionsSent: number
  /** Bytes in them. */
  bytesSent: number
  /** Messages lost because the queue was full. */
  messagesDropped: number
  /** Connections in them. */
  connectionsDropped: number
}

/** Bounded queue of closed messages between a channel's buffer and its socket (docs/protocol.md section 9). First in, first out, in constant time. */
export class SendQueue {
  #items: (Datagram | undefined)[] = []
  #head = 0
  #connections = 0

  /** Connections in the messages. */
  get connections(): number {
    return this.#connections
  }

  /** Number of messages. */
  get length(): number {
    return this.#items.length - this.#head
  }

  /** Appends a message. The caller enforces the limit. */
  push(datagram: Datagram): void {
    this.#items.push(datagram)
    this.#connections += datagram.connections
  }

  /** Removes and returns the oldest message. */
  shift(): Datagram | undefined {
    if (this.length === 0) return undefined
    const datagram = this.#items[this.#head]!
    this.#connections -= datagram.connections
    this.#items[this.#head++] = undefined
    if (this.#head === this.#items.length || this.#head >= 1024) {
      // Cutting the emptied front only now and then keeps a removal at constant cost on average.
      if (this.#head >= this.#items.length / 2) {
        this.#items = this.#items.slice(this.#head)
        this.#head = 0
      }
    }
    return datagram
  }

  /** Removes everything. */
  clear(): void {
    this.#items = []
    this.#head = 0
    this.#connections = 0
  }
}

/** Buffer, queue and wake-ups of a channel. */
export class Channel {
  /** Counters; read-only for callers. */
  readonly counters: ChannelCounters = {
    messagesSent: 0,
    connectionsSent: 0,
    bytesSent: 0,
    messagesDropped: 0,
    connectionsDropped: 0
  }
  readonly #number: number
  readonly #writer: RecordWriter
  readonly #onDrop: (datagram: Datagram) => void
  readonly #queue = new SendQueue()
  #limits: ChannelLimits
  #open = 0
  #openVersion: 0 | 1 = 1
  #openedAt: TimestampMs = 0
  #queuedSinceEmpty = 0
  #wakeAt = Infinity
  #awake = false
  #sleptAt: TimestampMs = 0
  #held = false

  /**
   * @param number - From 0; it is in each datagram.
   * @param writer - This channel's own.
   * @param limits - Initial limits.
   * @param onDrop - Called with each message that does not fit into the queue.
   */
  constructor(number: number, writer: RecordWriter, limits: ChannelLimits, onDrop: (datagram: Datagram) => void) {
    this.#number = number
    this.#writer = writer
    this.#limits = limits
    this.#onDrop = onDrop
  }

  /** Connections in the open message. */
  get open(): number {
    return this.#open
  }

  /** Messages in the queue. */
  get queued(): number {
    return this.#queue.length
  }

  /** Connections in the open message and in the queue. */
  get holding(): number {
    return this.#open + this.#queue.connections
  }

  /** Whether a full socket holds this channel: it returns nothing, and its queue may overflow. */
  get held(): boolean {
    return this.#held
  }

  set held(held: boolean) {
    this.#held = held
  }

  /** Changes the limits. The open message keeps those it was begun with, except that a new version closes it. */
  configure(limits: ChannelLimits): void {
    this.#limits = limits
  }

  /** Adds a connection to the open message; closes and queues that first if the record does not fit. */
  add(rows: Rows, index: number, now: TimestampMs): void {
    const { version, syncid, maxlen } = this.#limits
    if (this.#open > 0) {
      if (this.#openVersion === version && this.#writer.add(rows, index)) {
        this.#open++
        return
      }
      const datagram = this.#finish()
      if (this.#queue.length >= this.#limits.qlenMax) {
        this.counters.messagesDropped++
        this.counters.connectionsDropped += datagram.connections
        this.#onDrop(datagram)
      } else {
        if (this.#queuedSinceEmpty === 0) this.#wakeAt = now + SEND_DELAY
        this.#queue.push(datagram)
        if (++this.#queuedSinceEmpty === WAKE_AFTER) this.#awake = true
      }
    }
    this.#writer.begin(version, syncid, maxlen)
    this.#writer.add(rows, index)
    this.#openVersion = version
    this.#openedAt = now
    this.#open = 1
  }

  /** Closes and queues the open message and lets everything be sent immediately, regardless of limits: the end. */
  flush(): void {
    if (this.#open > 0) this.#queue.push(this.#finish())
    this.#awake = true
  }

  /** Discards the open message and the queue; returns the number of connections in them. */
  discard(): number {
    const connections = this.holding
    this.#queue.clear()
    this.#open = 0
    this.#wakeAt = Infinity
    return connections
  }

  /** Removes and returns the next message that may be sent now. */
  poll(now: TimestampMs): Datagram | undefined {
    if (this.#held) return undefined
    if (!this.#awake && now < this.nextTimeout()) return undefined
    this.#awake = true
    const datagram =
      this.#queue.shift() ?? (this.#open > 0 && now >= this.#openedAt + FLUSH_AGE ? this.#finish() : undefined)
    if (this.#queue.length === 0) {
      // The queue is empty: the next message begins a new wait of 20 ms.
      this.#queuedSinceEmpty = 0
      this.#wakeAt = Infinity
    }
    if (datagram === undefined) {
      this.#awake = false
      this.#sleptAt = now
    } else {
      this.counters.messagesSent++
      this.counters.connectionsSent += datagram.connections
      this.counters.bytesSent += datagram.bytes.length
    }
    return datagram
  }

  /** Returns when {@link Channel.poll} will next return a message; 0 while it is awake with messages, Infinity while it is held. */
  nextTimeout(): TimestampMs {
    if (this.#held) return Infinity
    if (this.#queue.length > 0) return this.#awake ? 0 : this.#wakeAt
    if (this.#open === 0) return Infinity
    // The sender checks once a second, counted from when it fell asleep.
    const time = this.#openedAt + FLUSH_AGE
    const checks = Math.ceil((time - this.#sleptAt) / CHECK_PERIOD)
    return this.#sleptAt + checks * CHECK_PERIOD
  }

  #finish(): Datagram {
    const connections = this.#open
    this.#open = 0
    return { channel: this.#number, bytes: this.#writer.finish(), connections }
  }
}
