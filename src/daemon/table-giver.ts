/**
 * Gives a table to another director: all of it in messages, at a pace.
 *
 * @module
 */

import { BulkMessages } from '../engine/bulk-messages.js'
import type { Datagram } from '../engine/send-queue.js'
import type { Sysctls } from '../sysctl/settings.js'
import type { ConnectionTable } from '../table/connection-table.js'
import { masterSyncMaxlen } from '../transport/sync-maxlen.js'
import type { SendingTransport } from '../transport/transport.js'
import type { Bytes } from '../units.js'
import type { AgentOptions } from './agent-options.js'
import { paceFor, sendBulk } from './bulk-sender.js'
import type { Clock } from './clock.js'
import { linkOf } from './sync-options.js'

/** Connections taken between two turns of the event loop. */
const PORTION = 2000

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
}

/** Sends tables, one at a time. */
export class TableGiver {
  readonly #parts: TableGiverParts
  #giving: AbortController | undefined

  /** @param parts - What it works with. */
  constructor(parts: TableGiverParts) {
    this.#parts = parts
  }

  /**
   * Sends all of a table, templates first, with each connection's full timeout.
   *
   * @param table - May change meanwhile.
   * @param refresh - Brings it up to date first.
   * @returns How many connections were sent; undefined if it was stopped.
   */
  async give(table: ConnectionTable, refresh: () => Promise<unknown>): Promise<number | undefined> {
    const { sender, clock, maxLength, rate, onProgress } = this.#parts
    const giving = new AbortController()
    const { signal } = giving
    this.#giving = giving
    await refresh()
    const { connections } = await sendBulk(await this.#messagesOf(table, signal), sender, {
      pace: paceFor(maxLength, rate),
      times: 1,
      clock,
      signal,
      onProgress: (progress) => onProgress(progress.connections)
    })
    return signal.aborted ? undefined : connections
  }

  /** Stops what is under way. */
  stop(): void {
    this.#giving?.abort()
  }

  async #messagesOf(table: ConnectionTable, signal: AbortSignal): Promise<readonly Datagram[]> {
    const { syncid, maxLength } = this.#parts
    const bulk = new BulkMessages({ version: 1, syncid, maxLength, channels: 1 })
    let taken = 0
    for (const connection of table) {
      if (signal.aborted) return []
      bulk.add(connection)
      if (++taken % PORTION === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    return bulk.finish()
  }
}

/** The largest message of an answer where none is set: what the interface suggests to a master. */
export function answerMaxlen(options: AgentOptions, sysctls: Sysctls): Bytes {
  if (options.sender !== undefined) return masterSyncMaxlen('ipv4', undefined).bytes
  const { family, mtu } = linkOf(options, sysctls)
  return masterSyncMaxlen(family, mtu).bytes
}
