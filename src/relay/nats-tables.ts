/**
 * Whole tables over NATS. A request for any table goes to one complete relay of the fleet (a queue group), one for the table of
 * a certain site to that site. The answer comes in chunks on a subject of the answering site.
 *
 * - `ipvs.table.<fleet>.<requesting site>.<syncid>.<site, or any>`: requests, JSON
 * - `ipvs.chunk.<fleet>.<answering site>.<syncid>.<request id>`: chunks (table-chunks.ts)
 *
 * @module
 */

import type { NatsConnection, Subscription } from '@nats-io/transport-node'
import { randomBytes } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Bytes, Milliseconds } from '../units.js'
import type { TableCarrier, TableReceipt } from './link.js'
import { BEGIN_CHUNK, encodeTable, TableAssembly, type TableContents } from './table-chunks.js'

/** Largest chunk. A server's `max_payload` may be lower. */
const MAX_CHUNK: Bytes = 256 * 1024
/** Without a first chunk, and between two: the answering site may have to read its kernel's table after the first. */
const SILENCE: { readonly first: Milliseconds; readonly next: Milliseconds } = { first: 3000, next: 30_000 }
/** Largest table: what is received waits in memory for the local group. */
const MAX_TABLE: Bytes = 512 * 2 ** 20
/** Chunks between two waits for the broker. */
const FLUSH_EVERY = 8

/** Who exchanges tables. */
export interface NatsTablesOptions {
  readonly fleet: string
  readonly site: string
  /** 0…255. */
  readonly syncid: number
}

/** Requests and answers of one site. */
export class NatsTables implements TableCarrier {
  readonly #options: NatsTablesOptions
  #connection: NatsConnection | undefined
  #source: (() => Promise<TableContents>) | undefined
  #subscriptions: readonly Subscription[] = []
  #isAnswering = false

  constructor(options: NatsTablesOptions) {
    this.#options = options
  }

  /** Uses this connection from now on; it subscribes again by itself after an interruption. */
  attach(connection: NatsConnection | undefined): void {
    this.#connection = connection
    this.#subscriptions = []
    if (this.#source !== undefined) this.serve(this.#source)
  }

  serve(source: () => Promise<TableContents>): void {
    this.#source = source
    const connection = this.#connection
    if (connection === undefined || this.#subscriptions.length > 0) return
    const { fleet, site, syncid } = this.#options
    const callback = (error: Error | null, { subject, data }: { subject: string; data: Uint8Array }): void => {
      const id = error === null && subject.split('.')[3] !== site ? requestId(data) : undefined
      if (id !== undefined && !this.#isAnswering) void this.#answer(connection, id)
    }
    this.#subscriptions = [
      connection.subscribe(`ipvs.table.${fleet}.*.${syncid}.any`, { queue: 'tables', callback }),
      connection.subscribe(`ipvs.table.${fleet}.*.${syncid}.${site}`, { callback })
    ]
  }

  request(of: string | undefined, onMessage: (bytes: Uint8Array) => void): Promise<TableReceipt | undefined> {
    const connection = this.#connection
    if (connection === undefined || connection.isClosed()) return Promise.resolve(undefined)
    const { fleet, site, syncid } = this.#options
    const id = randomBytes(8).toString('hex')
    const assembly = new TableAssembly()
    return new Promise((resolve) => {
      const end = (receipt?: TableReceipt): void => {
        clearTimeout(timer)
        subscription.unsubscribe()
        resolve(receipt)
      }
      let timer = setTimeout(end, SILENCE.first)
      const subscription = connection.subscribe(`ipvs.chunk.${fleet}.*.${syncid}.${id}`, {
        callback: (error, { subject, data }) => {
          const part = error === null ? assembly.handle(data) : undefined
          if (part === undefined || assembly.bytes > MAX_TABLE) end()
          else if ('manifest' in part) end({ site: subject.split('.')[3]!, bytes: assembly.bytes, ...part.manifest })
          else {
            clearTimeout(timer)
            timer = setTimeout(end, SILENCE.next)
            for (const message of part.messages) onMessage(message)
          }
        }
      })
      connection.publish(`ipvs.table.${fleet}.${site}.${syncid}.${of ?? 'any'}`, JSON.stringify({ version: 1, id }))
    })
  }

  /** Sends the table; waits for the broker now and then, so that live messages are not held up by it. */
  async #answer(connection: NatsConnection, id: string): Promise<void> {
    const { fleet, site, syncid } = this.#options
    const subject = `ipvs.chunk.${fleet}.${site}.${syncid}.${id}`
    const limit = Math.min(MAX_CHUNK, connection.info?.max_payload ?? MAX_CHUNK)
    this.#isAnswering = true
    try {
      connection.publish(subject, BEGIN_CHUNK)
      let published = 0
      for (const bytes of encodeTable(await this.#source!(), limit)) {
        if (bytes === undefined) await nextTurn()
        else {
          connection.publish(subject, bytes)
          if (++published % FLUSH_EVERY === 0) await connection.flush()
        }
      }
    } catch {
      // The broker is away, or the connection closed: the requester sees silence, and requests again.
    } finally {
      this.#isAnswering = false
    }
  }
}

function requestId(data: Uint8Array): string | undefined {
  try {
    const request = JSON.parse(new TextDecoder().decode(data)) as { version?: unknown; id?: unknown } | null
    const { version, id } = request ?? {}
    return version === 1 && typeof id === 'string' && /^[0-9a-f]{16}$/.test(id) ? id : undefined
  } catch {
    return undefined
  }
}
