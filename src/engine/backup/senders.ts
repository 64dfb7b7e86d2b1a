/**
 * Who sends: a bounded memory, because anybody can make up addresses.
 *
 * @module
 */

import { LRUCache } from 'lru-cache'
import type { Milliseconds, Seconds, TimestampMs } from '../../units.js'
import type { From } from '../events.js'

/** One sender of one syncid. */
export interface SenderReport {
  /** As text. */
  readonly address: string
  /** UDP port of its last message: each channel of a master has its own. */
  readonly port: number
  /** 0…255. */
  readonly syncid: number
  /** Of its last message. */
  readonly version: 0 | 1
  /** Messages that were taken up. */
  readonly messages: number
  /** Connections in them, those that were passed over among them. */
  readonly connections: number
  /** Time since its last message. */
  readonly age: Seconds
}

/** A sender as it is remembered. */
export interface Sender {
  readonly address: string
  readonly syncid: number
  port: number
  version: 0 | 1
  messages: number
  connections: number
  lastMs: TimestampMs
  /** It was already told of for messages that are too large. */
  oversizeTold: boolean
}

/** Who was heard last with a syncid, and who before. */
interface Voices {
  current: string
  other: string
  otherMs: TimestampMs
  told: string
}

/** Two that take turns within this time are two masters; one that follows another for good is a failover. */
const TOGETHER: Milliseconds = 10_000

/** Senders by address and syncid. */
export class SenderBook {
  readonly #senders: LRUCache<string, Sender>
  readonly #voices = new Map<number, Voices>()
  #last: Sender | undefined

  /** @param most - How many are remembered, ≥ 1. */
  constructor(most: number) {
    this.#senders = new LRUCache({ max: most })
  }

  /** Notes a message, and returns its sender. */
  hear(from: From, syncid: number, version: 0 | 1, now: TimestampMs): Sender {
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
   * Whether this sender takes turns with another one in using a syncid; says so once for each such pair.
   *
   * @returns The other's address, or nothing.
   */
  rivalOf({ address, syncid }: Sender, now: TimestampMs): string | undefined {
    const voices = this.#voices.get(syncid)
    if (voices === undefined) {
      this.#voices.set(syncid, { current: address, other: '', otherMs: now, told: '' })
      return undefined
    }
    const rival = voices.current
    if (rival === address) return undefined
    const takesTurns = voices.other === address && now - voices.otherMs <= TOGETHER
    voices.other = rival
    voices.otherMs = now
    voices.current = address
    const pair = [address, rival].sort().join(' ')
    if (!takesTurns || voices.told === pair) return undefined
    voices.told = pair
    return rival
  }

  /** Everybody who is remembered, last heard first. */
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
      oversizeTold: false
    }
    this.#senders.set(key, sender)
    return sender
  }
}
