/**
 * A relay, ready-made: local sockets, links, the engine and the clock.
 *
 * @module
 */

import { demandKnownOptions, type OptionNames } from '../demand.js'
import { randomBytes } from 'node:crypto'
import { systemClock, type Clock } from '../daemon/clock.js'
import { ContainedEmitter } from '../daemon/runner.js'
import { IpvsSyncError } from '../errors.js'
import type { ReceivingTransport, SendingTransport } from '../transport/transport.js'
import type { Milliseconds } from '../units.js'
import { SITE_NAME } from './frame.js'
import type { Link, TableCarrier, TableReceipt } from './link.js'
import { RelayEngine, type RelayCounters } from './relay-engine.js'
import type { RelayTable } from './relay-table.js'

/** In place of a site's name: the table of any site that is complete. */
const ANY = 'any'
/** Gaps that are noticed within this time lead to one request. */
const GAP_DELAY: Milliseconds = 1000
/** Between two requests. */
const TABLE_INTERVAL: Milliseconds = 2000
const PORTION_MS: Milliseconds = 50
const DEFAULT_TABLE_RATE = 460

/** Options of a {@link Relay}. */
export interface RelayOptions {
  /** This site's name: see {@link SITE_NAME}. */
  readonly site: string
  /** 0…255. Messages with another syncid stay on their side. */
  readonly syncid: number
  /** Receives what the local group sends. */
  readonly receiver: ReceivingTransport
  /** Sends to the local group. */
  readonly sender: SendingTransport
  readonly links: readonly Link[]
  /** The union of all sites' tables: sent to sites that join late, over links that carry tables. Without it none is kept. */
  readonly table?: RelayTable
  /** Messages of a whole table that go to the local group in a second. 460 by default: a default receive buffer holds them. */
  readonly tableRate?: number
  readonly clock?: Clock
  /** 64 bits that name this relay until it restarts. Random by default. */
  readonly id?: bigint
}

/** Events of a {@link Relay}. */
export interface RelayEvents {
  /** Everything is open. */
  listening: [description: string]
  /** Something that an administrator should know. */
  notice: [event: { readonly type: 'notice'; readonly code: string; readonly message: string }]
  /** A socket or link failed after the start. */
  error: [error: IpvsSyncError]
  /** Everything is closed. */
  close: []
}

/** What a {@link Relay} counted. */
export interface RelayReport extends RelayCounters {
  /** Messages of other sites that the local socket had no room for. */
  readonly localDropped: number
  /** Messages of another syncid. */
  readonly foreign: number
  /** Whole tables received from other sites, and requests that no site answered. */
  readonly tablesReceived: number
  readonly tableFailures: number
  /** Connections in the relay's table. */
  readonly tableSize: number
  /** Messages of a whole table that wait for the local group. */
  readonly tableQueued: number
  readonly links: readonly { readonly description: string; readonly framesSent: number; readonly dropped: number }[]
}

/** Names of the options. */
const OPTIONS: OptionNames<RelayOptions> = {
  site: true,
  syncid: true,
  receiver: true,
  sender: true,
  links: true,
  clock: true,
  id: true,
  table: true,
  tableRate: true
}

/** Carries the messages of one local group to other sites and back. */
export class Relay extends ContainedEmitter<RelayEvents> {
  readonly #options: RelayOptions
  readonly #clock: Clock
  readonly #engine: RelayEngine
  readonly #sent: number[]
  #cancel: (() => void) | undefined
  #counts = { localDropped: 0, foreign: 0, tablesReceived: 0, tableFailures: 0 }
  readonly #tableQueue: Uint8Array[] = []
  /** Sites whose tables are to be requested; `any` for one of any site. */
  readonly #wanted = new Set<string>()
  #isListening = false
  #isRequesting = false
  #cancelTable: (() => void) | undefined
  #isDelivering = false
  #cancelDelivery: (() => void) | undefined
  #state: 'new' | 'open' | 'closed' = 'new'

  /** @throws IpvsSyncError `ERR_CONFIG` for a site's name or syncid that is none, or no link. */
  constructor(options: RelayOptions) {
    super()
    demandKnownOptions(options, OPTIONS)
    const { site, syncid, links, id = randomBytes(8).readBigUInt64BE(), clock = systemClock } = options
    if (!SITE_NAME.test(site))
      throw new IpvsSyncError(
        'ERR_CONFIG',
        `site: expected up to 32 of a-z, 0-9 and "-", beginning with a letter or digit, got "${site}"`,
        { field: 'site' }
      )
    if (!Number.isInteger(syncid) || syncid < 0 || syncid > 255)
      throw new IpvsSyncError('ERR_CONFIG', `syncid: expected an integer 0…255, got ${syncid}`, { field: 'syncid' })
    if (links.length === 0)
      throw new IpvsSyncError('ERR_CONFIG', 'links: expected at least one link, got none', { field: 'links' })
    this.#options = options
    this.#clock = clock
    this.#engine = new RelayEngine({ origin: { site, id }, links: links.map(({ maxFrame }) => ({ maxFrame })) })
    this.#sent = links.map(() => 0)
  }

  /** Returns what was counted: a copy. */
  report(): RelayReport {
    const links = this.#options.links.map((link, index) => ({
      description: link.description,
      framesSent: this.#sent[index]!,
      dropped: link.dropped()
    }))
    const tables = { tableSize: this.#options.table?.size ?? 0, tableQueued: this.#tableQueue.length }
    return { ...this.#engine.counters(), ...this.#counts, ...tables, links }
  }

  /**
   * Opens sockets and links. May be called once.
   *
   * @throws IpvsSyncError What a socket or link reports; everything is closed then.
   */
  async start(): Promise<void> {
    if (this.#state !== 'new') throw new IpvsSyncError('ERR_USAGE', 'start() may be called once; create a new instance')
    this.#state = 'open'
    const { receiver, sender, links } = this.#options
    const notices = {
      onNotice: ({ code, message }: { code: string; message: string }) => this.#notice(code, message),
      onError: (error: IpvsSyncError) => {
        if (this.listenerCount('error') > 0) this.emit('error', error)
      }
    }
    try {
      for (const [index, link] of links.entries())
        await link.start({
          onFrame: (bytes) => this.#step(() => this.#engine.handleFrame(index, bytes, this.#clock.now())),
          onNotice: (code, message) => this.#notice(code, message),
          onGap: () => this.#want(ANY),
          onError: notices.onError
        })
      await sender.start(notices)
      await receiver.start({
        ...notices,
        onDatagram: (bytes, _from, channel) => {
          // The syncid stands in byte 1 of both versions' headers.
          if (bytes.length < 4 || bytes[1] !== this.#options.syncid) this.#counts.foreign++
          else
            this.#step(() => {
              this.#options.table?.handleMessage(bytes, this.#clock.now())
              this.#engine.handleLocal(bytes, channel, this.#clock.now())
            })
        }
      })
    } catch (error) {
      await this.close()
      throw error
    }
    this.#isListening = true
    if (this.#wanted.size > 0) this.#requestAfter(0)
    this.emit('listening', [receiver.description, ...links.map(({ description }) => description)].join(', '))
  }

  /** Closes everything; what waits in a batch is lost. Calling it again does nothing. */
  async close(): Promise<void> {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#cancel?.()
    this.#cancelTable?.()
    this.#cancelDelivery?.()
    const { receiver, sender, links } = this.#options
    await Promise.all([receiver.close(), sender.close(), ...links.map((link) => link.close())])
    this.emit('close')
  }

  /** For `await using`: as {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #step(input: () => void): void {
    if (this.#state !== 'open') return
    const { sender, table } = this.#options
    input()
    table?.handleTimeout(this.#clock.now())
    for (let next = this.#engine.pollTransmit(); next !== undefined; next = this.#engine.pollTransmit()) {
      if (next.to !== 'local') {
        this.#sent[next.to]!++
        this.#options.links[next.to]!.send(next.channel, next.bytes)
        continue
      }
      table?.handleMessage(next.bytes, this.#clock.now())
      if (next.channel < sender.channels && sender.writable(next.channel)) sender.send(next.channel, next.bytes)
      else this.#counts.localDropped++
    }
    for (const site of this.#engine.takeGaps()) this.#want(site)
    this.#cancel?.()
    const due = this.#engine.nextTimeout()
    this.#cancel =
      due === undefined
        ? undefined
        : this.#clock.after(Math.max(0, due - this.#clock.now()), () =>
            this.#step(() => this.#engine.handleTimeout(this.#clock.now()))
          )
  }

  /** Requests a site's table soon: several gaps of one moment are one request. */
  #want(site: string): void {
    if (this.#options.table === undefined || this.#carriers().length === 0) return
    this.#wanted.add(site)
    if (this.#isListening && !this.#isRequesting) this.#requestAfter(site === ANY ? 0 : GAP_DELAY)
  }

  #requestAfter(delay: Milliseconds): void {
    this.#isRequesting = true
    this.#cancelTable = this.#clock.after(delay, () => void this.#requestTables())
  }

  #carriers(): TableCarrier[] {
    return this.#options.links.flatMap(({ tables }) => tables ?? [])
  }

  /** Requests what is wanted, one table after the other; serves the own table once it is complete. */
  async #requestTables(): Promise<void> {
    const table = this.#options.table!
    const [site = ANY] = this.#wanted
    this.#wanted.delete(site)
    await this.#refresh()
    table.beginReception()
    const begin = this.#clock.now()
    let receipt: TableReceipt | undefined
    for (const carrier of this.#carriers())
      receipt ??= await carrier.request(site === ANY ? undefined : site, (bytes) => {
        const message =
          bytes[1] === this.#options.syncid ? table.handleTableMessage(bytes, this.#clock.now()) : undefined
        if (message === undefined) return
        this.#tableQueue.push(message)
        this.#deliverTable()
      })
    table.endReception(receipt !== undefined || site === ANY)
    if (this.#state === 'closed') return
    if (receipt === undefined) this.#counts.tableFailures++
    else {
      this.#counts.tablesReceived++
      const { connections, bytes, site: from } = receipt
      const seconds = ((this.#clock.now() - begin) / 1000).toFixed(1)
      this.#notice(
        'TABLE_RECEIVED',
        `full table of site ${from}: ${connections} connections, ${bytes} bytes in ${seconds} s`
      )
    }
    if (table.isComplete)
      for (const carrier of this.#carriers())
        carrier.serve(async () => {
          await this.#refresh()
          return { positions: this.#engine.positions(), messages: table.messages() }
        })
    this.#isRequesting = false
    if (this.#wanted.size > 0) this.#requestAfter(TABLE_INTERVAL)
  }

  async #refresh(): Promise<void> {
    try {
      await this.#options.table!.refresh()
    } catch (error) {
      this.#notice('TABLE_KERNEL', `kernel table not read: ${(error as Error).message}`)
    }
  }

  /** Sends a portion of a received table to the local group every 50 ms. */
  #deliverTable(): void {
    if (this.#isDelivering) return
    const { sender, tableRate = DEFAULT_TABLE_RATE } = this.#options
    this.#isDelivering = true
    const portion = Math.max(1, Math.round((tableRate * PORTION_MS) / 1000))
    for (let count = 0; count < portion && this.#tableQueue.length > 0 && sender.writable(0); count++)
      sender.send(0, this.#tableQueue.shift()!)
    this.#cancelDelivery = this.#clock.after(PORTION_MS, () => {
      this.#isDelivering = false
      if (this.#tableQueue.length > 0) this.#deliverTable()
    })
  }

  #notice(code: string, message: string): void {
    this.emit('notice', Object.freeze({ type: 'notice', code, message }))
  }
}
