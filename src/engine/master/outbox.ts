/**
 * All channels of a master: which one a connection goes to, and which message is sent next.
 *
 * @module
 */

import { IpvsSyncError } from '../../errors.js'
import type { TimestampMs } from '../../units.js'
import { MAX_CHANNELS } from '../../wire/constants.js'
import type { Rows } from '../../wire/rows.js'
import { channelOf } from '../channel-of.js'
import { Channel, type ChannelLimits, type RecordWriter } from './channel.js'
import type { ChannelReport } from './counters.js'
import type { Datagram } from '../engine.js'

/** The channels of one master. Their number never changes. */
export class Outbox {
  readonly #channels: readonly Channel[]
  #next = 0

  /**
   * @param ports - `sync_ports`, a power of two; at most 64 are used.
   * @param createWriter - Makes each channel's writer.
   * @param limits - Initial limits.
   * @param onDrop - Called with each message that does not fit into its queue.
   */
  constructor(
    ports: number,
    createWriter: () => RecordWriter,
    limits: ChannelLimits,
    onDrop: (datagram: Datagram) => void
  ) {
    const length = Math.min(ports, MAX_CHANNELS)
    this.#channels = Array.from({ length }, (_, i) => new Channel(i, createWriter(), limits, onDrop))
  }

  /** Changes every channel's limits. */
  configure(limits: ChannelLimits): void {
    for (const channel of this.#channels) channel.configure(limits)
  }

  /** Puts a connection into its channel's open message. */
  add(rows: Rows, index: number, now: TimestampMs): void {
    this.#channels[channelOf(rows, index, this.#channels.length - 1)]!.add(rows, index, now)
  }

  /** Returns the next message that may be sent, of one channel or of all in turn. */
  poll(now: TimestampMs, only?: number): Datagram | undefined {
    if (only !== undefined) return this.channel(only).poll(now)
    const count = this.#channels.length
    for (let tried = 0; tried < count; tried++) {
      const datagram = this.#channels[this.#next]!.poll(now)
      this.#next = (this.#next + 1) % count
      if (datagram !== undefined) return datagram
    }
    return undefined
  }

  /** Returns when {@link Outbox.poll} will next return a message; Infinity if there is none, or all wait for a socket. */
  nextTimeout(): TimestampMs {
    let earliest = Infinity
    for (const channel of this.#channels) earliest = Math.min(earliest, channel.nextTimeout())
    return earliest
  }

  /** Closes every open message and lets everything be sent immediately. */
  flush(): void {
    for (const channel of this.#channels) channel.flush()
  }

  /** Discards everything; returns the number of connections. */
  discard(): number {
    return this.#channels.reduce((sum, channel) => sum + channel.discard(), 0)
  }

  /** Length of the longest queue, in messages. */
  longestQueue(): number {
    let longest = 0
    for (const { queued } of this.#channels) longest = Math.max(longest, queued)
    return longest
  }

  /** Returns a channel by its number; throws `ERR_USAGE` for one that does not exist. */
  channel(number: number): Channel {
    const channel = this.#channels[number]
    if (channel) return channel
    const count = this.#channels.length
    throw new IpvsSyncError('ERR_USAGE', `channel: expected 0…${count - 1}, got ${number}`, {
      field: 'channel'
    })
  }

  /** Returns the counters and the current content of each channel. */
  report(): readonly ChannelReport[] {
    return this.#channels.map((channel) => ({ ...channel.counters, queued: channel.queued, open: channel.open }))
  }

  /** Returns the number of connections in open and queued messages. */
  held(): number {
    return this.#channels.reduce((sum, channel) => sum + channel.holding, 0)
  }
}
