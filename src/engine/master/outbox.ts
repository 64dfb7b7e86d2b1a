/**
 * All channels of a master: which one a connection goes to, and what leaves next.
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
import type { Datagram } from './send-queue.js'

/** The channels of one master. Their number is fixed for its life. */
export class Outbox {
  readonly #channels: readonly Channel[]
  #next = 0

  /**
   * @param ports - `sync_ports`, a power of two; 64 at most are used.
   * @param createWriter - Makes each channel's writer.
   * @param limits - To begin with.
   * @param onDrop - Told of each message that found its queue full.
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

  /** The next message that may leave, of one channel or of all in turn; or nothing. */
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

  /** When {@link Outbox.poll} will next give something; Infinity if nothing is held, or all that is waits for a socket. */
  nextTimeout(): TimestampMs {
    let earliest = Infinity
    for (const channel of this.#channels) earliest = Math.min(earliest, channel.nextTimeout())
    return earliest
  }

  /** Closes every open message and lets everything leave at once. */
  flush(): void {
    for (const channel of this.#channels) channel.flush()
  }

  /** Gives up everything; returns how many connections that were. */
  discard(): number {
    return this.#channels.reduce((sum, channel) => sum + channel.discard(), 0)
  }

  /** A channel by its number. */
  channel(number: number): Channel {
    const channel = this.#channels[number]
    if (channel) return channel
    const count = this.#channels.length
    throw new IpvsSyncError('ERR_USAGE', `there is no channel ${number}: they go from 0 to ${count - 1}`, {
      field: 'channel'
    })
  }

  /** What each channel counted and holds. */
  report(): readonly ChannelReport[] {
    return this.#channels.map((channel) => ({ ...channel.counters, queued: channel.queued, open: channel.open }))
  }

  /** Connections in open and queued messages. */
  held(): number {
    return this.#channels.reduce((sum, channel) => sum + channel.holding, 0)
  }
}
