/**
 * The senders: bounded, because anyone can forge addresses.
 *
 * @module
 */

import { LRUCache } from 'lru-cache'
import type { Bytes, Milliseconds, Seconds, TimestampMs } from '../../units.js'
import type { From } from '../events.js'

/** One sender of one syncid. */
export interface SenderReport {
  /** IPv4 dotted, IPv6 as RFC 5952. */
  readonly address: string
  /** UDP port of its last message; each channel of a master has its own. */
  readonly port: number
  /** 0…255. */
  readonly syncid: number
  /** Version of its last message. */
  readonly version: 0 | 1
  /** Channels of its messages, ascending. */
  readonly channels: readonly number[]
  /** Messages that were accepted. */
  readonly messages: number
  /** Connections in them, skipped ones included. */
  readonly connections: number
  /** UDP payload of its largest message. */
  readonly largest: Bytes
  /** Time since its last message. */
  readonly age: Seconds
}

/** A sender whose messages are dropped, and why. */
export interface IgnoredSender extends SenderReport {
  /** `OTHER_SYNCID`: none of ours. `NOT_ACCEPTED`: outside the list of accepted networks. */
  readonly reason: 'OTHER_SYNCID' | 'NOT_ACCEPTED'
}

/** A sender as it is stored. */
export interface Sender {
  readonly address: string
  readonly syncid: number
  port: number
  version: 0 | 1
  messages: number
  connections: number
  largest: Bytes
  /** Channels 0…31 and 32…63 as bits. */
  lowChannels: number
  highChannels: number
  lastMs: TimestampMs
  /** A notice about its too large messages was given. */
  isOversizeReported: boolean
}

/** The last two senders with one syncid. */
interface Users {
  current: string
  other: string
  otherMs: TimestampMs
  reported: string
}

/** Two senders that alternate within this time are two masters; one that follows another for good is a failover. */
const ALTERNATION: Milliseconds = 10_000

/** Senders by address and syncid. */
export class SenderBook {
  readonly #senders: LRUCache<string, Sender>
  readonly #users = new Map<number, Users>()
  #last: Sender | undefined

  /** @param most - Maximum number of senders, ≥ 1. */
  constructor(most: number) {
    this.#senders = new LRUCache({ max: most })
  }

  /** Records a message of `length` bytes, and returns its sender. */
  record(from: From, syncid: number, version: 0 | 1, length: Bytes, channel: number, now: TimestampMs): Sender {
    const last = this.#last
    const sender = last?.address === from.address && last.syncid === syncid ? last : this.#find(from, syncid)
    this.#last = sender
    sender.port = from.port
    sender.version = version
    sender.messages++
    if (length > sender.largest) sender.largest = length
    if (channel < 32) sender.lowChannels |= 1 << channel
    else sender.highChannels |= 1 << (channel - 32)
    sender.lastMs = now
    return sender
  }

  /**
   * Detects two senders that alternate in using one syncid; reports each pair once.
   *
   * @returns The address of the other sender, or undefined.
   */
  rivalOf({ address, syncid }: Sender, now: TimestampMs): string | undefined {
    const users = this.#users.get(syncid)
    if (users === undefined) {
      this.#users.set(syncid, { current: address, other: '', otherMs: now, reported: '' })
      return undefined
    }
    const rival = users.current
    if (rival === address) return undefined
    const isAlternating = users.other === address && now - users.otherMs <= ALTERNATION
    users.other = rival
    users.otherMs = now
    users.current = address
    const pair = [address, rival].sort().join(' ')
    if (!isAlternating || users.reported === pair) return undefined
    users.reported = pair
    return rival
  }

  /** Returns all stored senders, the latest first. */
  report(now: TimestampMs): SenderReport[] {
    return Array.from(this.#senders.values(), (sender) => ({
      address: sender.address,
      port: sender.port,
      syncid: sender.syncid,
      version: sender.version,
      channels: [...bitsOf(sender.lowChannels, 0), ...bitsOf(sender.highChannels, 32)],
      messages: sender.messages,
      connections: sender.connections,
      largest: sender.largest,
      age: Math.max(0, now - sender.lastMs) / 1000
    })).sort((a, b) => a.age - b.age)
  }

  #find(from: From, syncid: number): Sender {
    const key = `${from.address} ${syncid}`
    const known = this.#senders.get(key)
    if (known !== undefined) return known
    const sender: Sender = {
      address: from.address,
      syncid,
      port: from.port,
      version: 1,
      messages: 0,
      connections: 0,
      largest: 0,
      lowChannels: 0,
      highChannels: 0,
      lastMs: 0,
      isOversizeReported: false
    }
    this.#senders.set(key, sender)
    return sender
  }
}

function bitsOf(bits: number, first: number): number[] {
  return Array.from({ length: 32 }, (_, bit) => bit)
    .filter((bit) => (bits & (1 << bit)) !== 0)
    .map((bit) => first + bit)
}
