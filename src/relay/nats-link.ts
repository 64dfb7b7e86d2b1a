/**
 * Links over NATS: every site publishes on its own subjects, `ipvs.sync.<fleet>.<site>.<syncid>.<channel>`, and
 * subscribes to those of all sites.
 *
 * The broker's client is an optional peer dependency, loaded on the first start. While the broker is away frames are kept in
 * a bounded ring; the oldest are dropped first, and receivers see a gap.
 *
 * @module
 */

import type { ConnectionOptions, NatsConnection } from '@nats-io/transport-node'
import { readFileSync } from 'node:fs'
import { IpvsSyncError } from '../errors.js'
import type { Bytes } from '../units.js'
import { SITE_NAME } from './frame.js'
import type { Link, LinkHandlers } from './link.js'

/** Largest frame over NATS: 8 to 32 datagrams, far below the broker's limit of 1 MiB. */
const MAX_FRAME: Bytes = 45_000
/** Frames kept while the broker is away. */
const DEFAULT_RING: Bytes = 16 * 2 ** 20
/** Between two attempts to reach a broker. */
const RETRY_MS = 1000

/** Options of a {@link NatsLink}. */
export interface NatsLinkOptions {
  /** Servers of one cluster, `host:port`. */
  readonly servers: readonly string[]
  /** Name of the fleet: see {@link SITE_NAME}. */
  readonly fleet: string
  /** This site's name. */
  readonly site: string
  /** 0…255. */
  readonly syncid: number
  /** A nkey seed file or a credentials file: the site's identity. */
  readonly credentials?: string
  /** Certificate authority, certificate and key for TLS. */
  readonly tls?: { readonly caFile?: string; readonly certFile?: string; readonly keyFile?: string }
  /** Bytes of frames kept while the broker is away. 16 MiB by default. */
  readonly ringBytes?: Bytes
  /** Loads the client; for tests. */
  readonly load?: () => Promise<
    Pick<typeof import('@nats-io/transport-node'), 'connect' | 'nkeyAuthenticator' | 'credsAuthenticator'>
  >
}

/** A link to every site of a fleet. */
export class NatsLink implements Link {
  readonly description: string
  readonly maxFrame: Bytes = MAX_FRAME
  readonly #options: NatsLinkOptions
  readonly #ringLimit: Bytes
  #ring: { subject: string; frame: Uint8Array }[] = []
  #ringBytes = 0
  #connection: NatsConnection | undefined
  #up = false
  #closed = false
  #dropped = 0
  #retry: NodeJS.Timeout | undefined

  /** @throws IpvsSyncError `ERR_CONFIG` for a fleet or site that cannot be part of a subject. */
  constructor(options: NatsLinkOptions) {
    for (const field of ['fleet', 'site'] as const)
      if (!SITE_NAME.test(options[field]))
        throw new IpvsSyncError(
          'ERR_CONFIG',
          `${field}: expected up to 32 of a-z, 0-9 and "-", beginning with a letter or digit, got "${options[field]}"`,
          { field }
        )
    this.#options = options
    this.#ringLimit = options.ringBytes ?? DEFAULT_RING
    this.description = `nats://${options.servers.join(',')}`
  }

  /** @throws IpvsSyncError `ERR_CONFIG` where the client is not installed. A broker that is away is no failure. */
  async start(handlers: LinkHandlers): Promise<void> {
    const client = await this.#load()
    await this.#connect(client, handlers)
  }

  send(channel: number, frame: Uint8Array): void {
    const { fleet, site, syncid } = this.#options
    const subject = `ipvs.sync.${fleet}.${site}.${syncid}.${channel}`
    if (this.#up && this.#publish(subject, frame)) return
    this.#ring.push({ subject, frame })
    this.#ringBytes += frame.length
    while (this.#ringBytes > this.#ringLimit) {
      this.#ringBytes -= this.#ring.shift()!.frame.length
      this.#dropped++
    }
  }

  dropped(): number {
    return this.#dropped
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#retry)
    const connection = this.#connection
    this.#connection = undefined
    this.#up = false
    await connection?.close()
  }

  async #load(): Promise<Awaited<ReturnType<NonNullable<NatsLinkOptions['load']>>>> {
    try {
      return await (this.#options.load ?? (() => import('@nats-io/transport-node')))()
    } catch (cause) {
      throw new IpvsSyncError(
        'ERR_CONFIG',
        'a nats:// link needs the package @nats-io/transport-node; run npm install @nats-io/transport-node',
        { field: 'link', cause }
      )
    }
  }

  /** Connects, and retries until the link is closed: a relay starts also while its broker is away. */
  async #connect(
    client: Awaited<ReturnType<NonNullable<NatsLinkOptions['load']>>>,
    handlers: LinkHandlers
  ): Promise<void> {
    const { fleet, site, syncid } = this.#options
    try {
      const connection = await client.connect(this.#connectionOptions(client))
      if (this.#closed) {
        await connection.close()
        return
      }
      this.#connection = connection
      connection.subscribe(`ipvs.sync.${fleet}.*.${syncid}.*`, {
        callback: (error, { subject, data }) => {
          // A site's own publications come back from the broker.
          if (error === null && subject.split('.')[3] !== site) handlers.onFrame(data)
        }
      })
      this.#setUp(handlers)
      void this.#follow(connection, handlers)
    } catch (cause) {
      handlers.onNotice(
        'LINK_DOWN',
        `${this.description}: ${(cause as Error).message}; retrying every ${RETRY_MS / 1000} s`
      )
      if (!this.#closed) this.#retry = setTimeout(() => void this.#connect(client, handlers), RETRY_MS)
    }
  }

  #connectionOptions(client: Awaited<ReturnType<NonNullable<NatsLinkOptions['load']>>>): ConnectionOptions {
    const { servers, site, credentials, tls } = this.#options
    return {
      servers: [...servers],
      name: `ipvs-sync relay ${site}`,
      noEcho: true,
      maxReconnectAttempts: -1,
      reconnectTimeWait: RETRY_MS,
      pingInterval: 5000,
      maxPingOut: 2,
      timeout: 5000,
      ...(tls !== undefined && { tls }),
      ...(credentials !== undefined && { authenticator: authenticatorOf(client, readFileSync(credentials)) })
    }
  }

  async #follow(connection: NatsConnection, handlers: LinkHandlers): Promise<void> {
    for await (const status of connection.status()) {
      if (status.type === 'disconnect') {
        this.#up = false
        handlers.onNotice('LINK_DOWN', `${this.description}: disconnected; keeping up to ${this.#ringLimit} bytes`)
      } else if (status.type === 'reconnect') this.#setUp(handlers)
      else if (status.type === 'error')
        handlers.onError(new IpvsSyncError('ERR_TRANSPORT', `${this.description}: ${status.error.message}`))
    }
  }

  #setUp(handlers: LinkHandlers): void {
    this.#up = true
    const kept = this.#ring
    this.#ring = []
    this.#ringBytes = 0
    for (const { subject, frame } of kept) this.#publish(subject, frame)
    handlers.onNotice(
      'LINK_UP',
      `${this.description}: connected; ${kept.length} kept frames sent, ${this.#dropped} dropped so far`
    )
  }

  #publish(subject: string, frame: Uint8Array): boolean {
    try {
      this.#connection!.publish(subject, frame)
      return true
    } catch {
      return false
    }
  }
}

function authenticatorOf(
  client: Awaited<ReturnType<NonNullable<NatsLinkOptions['load']>>>,
  file: Uint8Array
): NonNullable<ConnectionOptions['authenticator']> {
  const text = Buffer.from(file).toString('utf8').trim()
  return text.startsWith('S')
    ? client.nkeyAuthenticator(new TextEncoder().encode(text))
    : client.credsAuthenticator(file)
}
