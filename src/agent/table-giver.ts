/**
 * Gives a table to another director: all of it in messages, at a pace.
 *
 * @module
 */

import { indexesOf, LIST_MESSAGES, messageSum, type Piece } from './protocol/arrival-proof.js'
import { BulkMessages } from '../engine/full-table/bulk-messages.js'
import type { Datagram } from '../engine/engine.js'
import type { Sysctls } from '../sysctl/settings.js'
import { masterSyncMaxlen } from '../transport/sync-maxlen.js'
import type { SendingTransport } from '../transport/transport.js'
import type { Bytes } from '../units.js'
import type { Connection } from '../wire/connection.js'
import type { AgentOptions } from './options.js'
import { paceFor, sendBulk, type BulkProgress } from '../daemon/bulk-sender.js'
import type { Clock } from '../daemon/clock.js'
import { linkOf } from '../daemon/sync-options.js'

/** Connections taken between two turns of the event loop: a few milliseconds' worth. */
const TAKEN_AT_ONCE = 250

/** What it works with. */
export interface TableGiverParts {
  /** Started and closed by others; messages leave through its first channel, which every receiver listens at. */
  readonly sender: SendingTransport
  readonly clock: Clock
  /** 0…255. */
  readonly syncid: number
  readonly maxLength: Bytes
  /** Connections a second; left out, what a receiver's default buffer bears. */
  readonly rate: number | undefined
  /** Hears how many connections were sent so far. */
  readonly onProgress: (connections: number) => void
  /** Hears what was sent of a portion of {@link LIST_MESSAGES} messages: the checksums of all of them. */
  readonly onPortion: (portion: number, sums: readonly number[]) => void
}

/** What was given. */
export interface Given {
  readonly connections: number
  readonly messages: number
}

/** Sends tables, one at a time. */
export class TableGiver {
  readonly #parts: TableGiverParts
  #giving: AbortController | undefined
  /** The last answer's, as long as some of it may be asked for again. */
  #messages: readonly Datagram[] = []

  /** @param parts - What it works with. */
  constructor(parts: TableGiverParts) {
    this.#parts = parts
  }

  /**
   * Sends all of a table, templates first, with each connection's full timeout.
   *
   * @param table - Its connections; may change meanwhile.
   * @param refresh - Brings it up to date first.
   * @returns How much was sent; undefined if it was stopped.
   */
  async give(table: Iterable<Connection>, refresh: () => Promise<unknown>): Promise<Given | undefined> {
    const giving = this.#begin()
    this.#messages = []
    await refresh()
    const messages = await this.#messagesOf(table, giving)
    if (giving.aborted) return undefined
    this.#messages = messages
    return this.#send([...messages.keys()], giving)
  }

  /**
   * Sends some messages of the last table again, as long as it is not forgotten.
   *
   * @param pieces - Which of them.
   * @returns How much was given of the whole table; undefined if it was stopped.
   */
  async repeat(pieces: readonly Piece[]): Promise<Given | undefined> {
    for (const piece of pieces) if (indexesOf(piece).length === 0) this.#tellPortion(this.#messages, piece.portion)
    const numbers = pieces.flatMap(indexesOf).filter((number) => number < this.#messages.length)
    return this.#send(numbers, this.#begin())
  }

  /** Nothing of the last table will be asked for again. */
  forget(): void {
    this.#messages = []
  }

  /** Stops what is under way. */
  stop(): void {
    this.#giving?.abort()
  }

  #begin(): AbortSignal {
    this.#giving = new AbortController()
    return this.#giving.signal
  }

  /** Sends messages by number; when those of a portion are over, tells what all of the portion is. */
  async #send(numbers: readonly number[], signal: AbortSignal): Promise<Given | undefined> {
    const { sender, clock, maxLength, rate, onProgress } = this.#parts
    const messages = this.#messages
    const told = ({ messages: sent, connections }: BulkProgress): void => {
      onProgress(connections)
      const portion = portionOf(numbers[sent - 1]!)
      if (sent === numbers.length || portionOf(numbers[sent]!) !== portion) this.#tellPortion(messages, portion)
    }
    await sendBulk(
      numbers.map((number) => messages[number]!),
      sender,
      { pace: paceFor(maxLength, rate), times: 1, clock, signal, onProgress: told }
    )
    if (signal.aborted) return undefined
    return { connections: messages.reduce((sum, message) => sum + message.connections, 0), messages: messages.length }
  }

  #tellPortion(messages: readonly Datagram[], portion: number): void {
    const those = messages.slice(portion * LIST_MESSAGES, (portion + 1) * LIST_MESSAGES)
    this.#parts.onPortion(
      portion,
      those.map(({ bytes }) => messageSum(bytes))
    )
  }

  async #messagesOf(table: Iterable<Connection>, signal: AbortSignal): Promise<readonly Datagram[]> {
    const { syncid, maxLength } = this.#parts
    const bulk = new BulkMessages({ version: 1, syncid, maxLength, channels: 1 })
    let taken = 0
    for (const connection of table) {
      if (signal.aborted) return []
      bulk.add(connection)
      if (++taken % TAKEN_AT_ONCE === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    return bulk.finish()
  }
}

function portionOf(number: number): number {
  return Math.floor(number / LIST_MESSAGES)
}

/** The largest message of an answer where none is set: what the interface suggests to a master. */
export function answerMaxlen(options: AgentOptions, sysctls: Sysctls): Bytes {
  if (options.sender !== undefined) return masterSyncMaxlen('ipv4', undefined).bytes
  const { family, mtu } = linkOf(options, sysctls)
  return masterSyncMaxlen(family, mtu).bytes
}
