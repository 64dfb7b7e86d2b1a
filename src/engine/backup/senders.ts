/**
 * The senders: bounded, because anyone can forge addresses.
 *
 * @module
 */

import { LRUCache } from 'lru-cache'
import type { Milliseconds, Seconds, TimestampMs } from '../../units.js'
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
  /** Messages that were accepted. */
  readonly messages: number
  /** Connections in them, skipped ones included. */
  readonly connections: number
  /** Time since its last message. */
  readonly age: Seconds
}

/** A sender as it is stored. */
export interface Sender {
  readonly address: string
  readonly syncid: number
  port: number
  version: 0 | 1
  messages: number
  connections: number
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

  /** Records a message and returns its sender. */
  record(from: From, syncid: number, version: 0 | 1, now: TimestampMs): Sender {
    const last = this.#last
    const sender = last?.address === from.address && last.syncid === syncid ? last : this.#find(from, syncid)
    this.#last = sender
    sender.port = from.port
    sender.version = version
    sender.messages++
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
    return Array.from(this.#senders.values(), ({ address, port, syncid, version, messages, connections, lastMs }) => ({
      address,
      port,
      syncid,
      version,
      messages,
      connections,
      age: Math.max(0, now - lastMs) / 1000
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
      lastMs: 0,
      isOversizeReported: false
    }
    this.#senders.set(key, sender)
    return sender
  }
}
