/**
 * A relay, ready-made: local sockets, links, the engine and the clock.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import { systemClock, type Clock } from '../daemon/clock.js'
import { ContainedEmitter } from '../daemon/runner.js'
import { IpvsSyncError } from '../errors.js'
import type { ReceivingTransport, SendingTransport } from '../transport/transport.js'
import { SITE_NAME } from './frame.js'
import type { Link } from './link.js'
import { RelayEngine, type RelayCounters } from './relay-engine.js'

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
  readonly links: readonly { readonly description: string; readonly framesSent: number; readonly dropped: number }[]
}

/** Carries the messages of one local group to other sites and back. */
export class Relay extends ContainedEmitter<RelayEvents> {
  readonly #options: RelayOptions
  readonly #clock: Clock
  readonly #engine: RelayEngine
  readonly #sent: number[]
  #cancel: (() => void) | undefined
  #counts = { localDropped: 0, foreign: 0 }
  #state: 'new' | 'open' | 'closed' = 'new'

  /** @throws IpvsSyncError `ERR_CONFIG` for a site's name or syncid that is none, or no link. */
  constructor(options: RelayOptions) {
    super()
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
    return { ...this.#engine.counters(), ...this.#counts, links }
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
      onError: (error: IpvsSyncError) => this.#fail(error)
    }
    try {
      for (const [index, link] of links.entries())
        await link.start({
          onFrame: (bytes) => this.#step(() => this.#engine.handleFrame(index, bytes, this.#clock.now())),
          onNotice: (code, message) => this.#notice(code, message),
          onError: notices.onError
        })
      await sender.start(notices)
      await receiver.start({ ...notices, onDatagram: (bytes, _from, channel) => this.#receive(bytes, channel) })
    } catch (error) {
      await this.close()
      throw error
    }
    this.emit('listening', [receiver.description, ...links.map(({ description }) => description)].join(', '))
  }

  /** Closes everything; what waits in a batch is lost. Calling it again does nothing. */
  async close(): Promise<void> {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#cancel?.()
    const { receiver, sender, links } = this.#options
    await Promise.all([receiver.close(), sender.close(), ...links.map((link) => link.close())])
    this.emit('close')
  }

  /** For `await using`: as {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #receive(bytes: Uint8Array, channel: number): void {
    // The syncid stands in byte 1 of both versions' headers.
    if (bytes.length < 4 || bytes[1] !== this.#options.syncid) this.#counts.foreign++
    else this.#step(() => this.#engine.handleLocal(bytes, channel, this.#clock.now()))
  }

  #step(input: () => void): void {
    if (this.#state !== 'open') return
    input()
    for (let next = this.#engine.pollTransmit(); next !== undefined; next = this.#engine.pollTransmit()) {
      if (next.to !== 'local') {
        this.#sent[next.to]!++
        this.#options.links[next.to]!.send(next.channel, next.bytes)
      } else if (next.channel < this.#options.sender.channels && this.#options.sender.writable(next.channel))
        this.#options.sender.send(next.channel, next.bytes)
      else this.#counts.localDropped++
    }
    this.#cancel?.()
    const due = this.#engine.nextTimeout()
    this.#cancel =
      due === undefined
        ? undefined
        : this.#clock.after(Math.max(0, due - this.#clock.now()), () =>
            this.#step(() => this.#engine.handleTimeout(this.#clock.now()))
          )
  }

  #notice(code: string, message: string): void {
    this.emit('notice', Object.freeze({ type: 'notice', code, message }))
  }

  #fail(error: IpvsSyncError): void {
    if (this.listenerCount('error') > 0) this.emit('error', error)
  }
}
