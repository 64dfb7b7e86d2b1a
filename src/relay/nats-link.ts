/**
 * Links over NATS: every site publishes on its own subjects, `ipvs.sync.<fleet>.<site>.<syncid>.<channel>`, and
 * subscribes to those of all sites.
 *
 * The client is an optional peer dependency, loaded on the first start. Frames are published without acknowledgement, so the
 * data path never waits for the broker. A bounded ring keeps what the broker has not confirmed yet and sends it again after
 * an interruption; the oldest frames are dropped first, and receivers see a gap. After its own interruption a link reads what
 * it missed from a short JetStream stream, and holds live frames back meanwhile, so that the order is kept.
 *
 * @module
 */

import { demandKnownOptions, type OptionNames } from '../demand.js'
import type { ConnectionOptions, NatsConnection } from '@nats-io/transport-node'
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { IpvsSyncError } from '../errors.js'
import type { Bytes, Milliseconds, Seconds } from '../units.js'
import { SITE_NAME } from './frame.js'
import type { Link, LinkHandlers } from './link.js'
import { NatsTables } from './nats-tables.js'

/** Largest frame over NATS: 8 to 32 datagrams, far below the broker's limit of 1 MiB. */
const MAX_FRAME: Bytes = 45_000
/** Frames that are kept until the broker has confirmed them. */
const DEFAULT_RING: Bytes = 16 * 2 ** 20
/** Live frames that are held back while older ones are read from the stream. */
const MAX_HELD: Bytes = 32 * 2 ** 20
/** Between two attempts to reach a broker, or its stream. */
const RETRY_MS: Milliseconds = 1000
/** Between two confirmations; what was confirmed stays in the ring for one more, since a server may die before it passed it on. */
const CONFIRM_MS: Milliseconds = 1000
/** Attempts to read the stream: after the death of a server a cluster elects a new leader first. */
const STREAM_ATTEMPTS = 6
/** A stream is read from this long before the last frame: clocks of broker and relay differ. */
const STREAM_MARGIN_MS: Milliseconds = 10_000
const DEFAULT_STREAM = { seconds: 60, bytes: 128 * 2 ** 20, replicas: 1 } as const

/** The part of the client that a link uses. */
export type NatsClient = Pick<
  typeof import('@nats-io/transport-node'),
  'connect' | 'nkeyAuthenticator' | 'credsAuthenticator'
>
/** The part of the JetStream client that a link uses. */
export type JetStreamClient = Pick<typeof import('@nats-io/jetstream'), 'jetstream' | 'jetstreamManager'>

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
  /** Bytes of frames kept until the broker has confirmed them. 16 MiB by default. */
  readonly ringBytes?: Bytes
  /** Limits of the stream, which the first relay of a fleet creates. 0 seconds: no stream. */
  readonly stream?: { readonly seconds?: Seconds; readonly bytes?: Bytes; readonly replicas?: number }
  /** Loads the client; for tests. */
  readonly load?: () => Promise<NatsClient>
  /** Loads the JetStream client; for tests. */
  readonly loadJetStream?: () => Promise<JetStreamClient>
}

interface KeptFrame {
  readonly number: number
  readonly subject: string
  readonly frame: Uint8Array
  isPublished: boolean
}

/** Names of the options. */
const OPTIONS: OptionNames<NatsLinkOptions> = {
  servers: true,
  fleet: true,
  site: true,
  syncid: true,
  credentials: true,
  tls: true,
  ringBytes: true,
  load: true,
  stream: true,
  loadJetStream: true
}

/** A link to every site of a fleet. */
export class NatsLink implements Link {
  readonly description: string
  readonly maxFrame: Bytes = MAX_FRAME
  readonly tables: NatsTables
  readonly #options: NatsLinkOptions
  readonly #ringLimit: Bytes
  #ring: KeptFrame[] = []
  #ringBytes = 0
  /** Frames that were ever sent, and up to which of them the broker confirmed in the period before. */
  #count = 0
  #confirmed = 0
  /** Bytes published and not confirmed: the client would keep them without bound. */
  #inFlight = 0
  #isHolding = false
  #connection: NatsConnection | undefined
  #jetStream: JetStreamClient | undefined
  #isUp = false
  #isClosed = false
  #dropped = 0
  /** Wall clock at the last frame, or at the last interruption while older frames are read from the stream. */
  #lastFrameAt = Date.now()
  #interruptions = 0
  #isStreamReported = false
  #held: Uint8Array[] | undefined
  #heldBytes = 0
  #timer: NodeJS.Timeout | undefined

  /** @throws IpvsSyncError `ERR_CONFIG` for a fleet or site that cannot be part of a subject. */
  constructor(options: NatsLinkOptions) {
    demandKnownOptions(options, OPTIONS)
    for (const field of ['fleet', 'site'] as const)
      if (!SITE_NAME.test(options[field]) || options[field] === 'any')
        throw new IpvsSyncError(
          'ERR_CONFIG',
          `${field}: expected up to 32 of a-z, 0-9 and "-", beginning with a letter or digit, and not "any", got "${options[field]}"`,
          { field }
        )
    this.#options = options
    this.#ringLimit = options.ringBytes ?? DEFAULT_RING
    this.description = `nats://${options.servers.join(',')}`
    this.tables = new NatsTables(options)
  }

  /** @throws IpvsSyncError `ERR_CONFIG` where the client is not installed. A broker that is away is no failure. */
  async start(handlers: LinkHandlers): Promise<void> {
    const { load = () => import('@nats-io/transport-node'), loadJetStream, stream } = this.#options
    let client: NatsClient
    try {
      client = await load()
      if (stream?.seconds !== 0) this.#jetStream = await (loadJetStream ?? (() => import('@nats-io/jetstream')))()
    } catch (cause) {
      throw new IpvsSyncError(
        'ERR_CONFIG',
        'a nats:// link needs two packages; run npm install @nats-io/transport-node @nats-io/jetstream',
        { field: 'link', cause }
      )
    }
    await this.#connect(client, handlers)
  }

  send(channel: number, frame: Uint8Array): void {
    const { fleet, site, syncid } = this.#options
    const subject = `ipvs.sync.${fleet}.${site}.${syncid}.${channel}`
    const kept: KeptFrame = { number: ++this.#count, subject, frame, isPublished: false }
    this.#ring.push(kept)
    this.#ringBytes += frame.length
    if (this.#isUp) this.#publish(kept)
    let surplus = 0
    for (; this.#ringBytes > this.#ringLimit; surplus++) {
      const { frame: oldest, isPublished } = this.#ring[surplus]!
      this.#ringBytes -= oldest.length
      if (!isPublished) this.#dropped++
    }
    if (surplus > 0) this.#ring.splice(0, surplus)
  }

  dropped(): number {
    return this.#dropped
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#isUp = false
    clearTimeout(this.#timer)
    const connection = this.#connection
    this.#connection = undefined
    this.tables.attach(undefined)
    await connection?.close()
  }

  /** Connects, and retries until the link is closed: a relay starts also while its broker is away. */
  async #connect(client: NatsClient, handlers: LinkHandlers): Promise<void> {
    const { servers, fleet, site, syncid, credentials, tls } = this.#options
    try {
      const connection = await client.connect({
        servers: [...servers],
        name: `ipvs-sync relay ${site}`,
        noEcho: true,
        maxReconnectAttempts: -1,
        reconnectTimeWait: RETRY_MS,
        pingInterval: 2000,
        maxPingOut: 2,
        timeout: 5000,
        ...(tls !== undefined && { tls }),
        ...(credentials !== undefined && { authenticator: authenticatorOf(client, readFileSync(credentials)) })
      })
      if (this.#isClosed) {
        await connection.close()
        return
      }
      this.#connection = connection
      connection.subscribe(`ipvs.sync.${fleet}.*.${syncid}.*`, {
        callback: (error, { subject, data }) => {
          // A site's own publications come back from the broker.
          if (error === null && subject.split('.')[3] !== site) {
            const { onFrame } = handlers
            if (this.#held === undefined) {
              this.#lastFrameAt = Date.now()
              onFrame(data)
            } else {
              this.#held.push(data)
              this.#heldBytes += data.length
              if (this.#heldBytes > MAX_HELD) this.#release(onFrame)
            }
          }
        }
      })
      this.tables.attach(connection)
      this.#setUp(handlers)
      handlers.onGap?.()
      void this.#createStream(connection, handlers)
      void this.#follow(connection, handlers)
    } catch (cause) {
      handlers.onNotice(
        'LINK_DOWN',
        `${this.description}: ${(cause as Error).message}; retrying every ${RETRY_MS / 1000} s`
      )
      if (!this.#isClosed) this.#timer = setTimeout(() => void this.#connect(client, handlers), RETRY_MS)
    }
  }

  async #follow(connection: NatsConnection, handlers: LinkHandlers): Promise<void> {
    for await (const status of connection.status()) {
      if (status.type === 'disconnect') {
        this.#isUp = false
        this.#interruptions++
        this.#held ??= []
        handlers.onNotice('LINK_DOWN', `${this.description}: disconnected; keeping up to ${this.#ringLimit} bytes`)
      } else if (status.type === 'reconnect') {
        this.#setUp(handlers)
        void this.#catchUp(connection, handlers)
      } else if (status.type === 'error')
        handlers.onError(new IpvsSyncError('ERR_TRANSPORT', `${this.description}: ${status.error.message}`))
    }
  }

  /** Sends the ring, also what the broker received before an interruption: other sites drop what they have. */
  #setUp(handlers: LinkHandlers): void {
    this.#isUp = true
    this.#confirmed = 0
    this.#inFlight = 0
    this.#isHolding = false
    for (const kept of this.#ring) this.#publish(kept)
    this.#scheduleConfirmation()
    handlers.onNotice(
      'LINK_UP',
      `${this.description}: connected; ${this.#ring.length} kept frames sent, ${this.#dropped} dropped so far`
    )
  }

  #publish(kept: KeptFrame): void {
    this.#isHolding ||= this.#inFlight + kept.frame.length > this.#ringLimit
    if (this.#isHolding) return
    try {
      this.#connection!.publish(kept.subject, kept.frame)
      kept.isPublished = true
      this.#inFlight += kept.frame.length
    } catch {
      // The connection is closing; the frame stays in the ring.
    }
  }

  #scheduleConfirmation(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      const [count, inFlight, interruptions] = [this.#count, this.#inFlight, this.#interruptions]
      this.#connection?.flush().then(
        () => {
          if (this.#isClosed || !this.#isUp || interruptions !== this.#interruptions) return
          const first = this.#ring.findIndex(({ number, isPublished }) => number > this.#confirmed || !isPublished)
          for (const { frame } of this.#ring.splice(0, first === -1 ? this.#ring.length : first))
            this.#ringBytes -= frame.length
          this.#confirmed = count
          this.#inFlight -= inFlight
          if (this.#isHolding) {
            this.#isHolding = false
            for (const kept of this.#ring) if (!kept.isPublished) this.#publish(kept)
          }
          this.#scheduleConfirmation()
        },
        // After the interruption a new confirmation is scheduled.
        () => undefined
      )
    }, CONFIRM_MS)
  }

  #release(onFrame: LinkHandlers['onFrame']): void {
    const held = this.#held ?? []
    this.#held = undefined
    this.#heldBytes = 0
    this.#lastFrameAt = Date.now()
    for (const frame of held) onFrame(frame)
  }

  get #stream(): string {
    return `IPVS_SYNC_${this.#options.fleet}`
  }

  /** Creates the stream unless there is one; a fleet may do without. */
  async #createStream(connection: NatsConnection, { onNotice }: LinkHandlers): Promise<void> {
    if (this.#jetStream === undefined) return
    const { fleet, stream } = this.#options
    const { seconds, bytes, replicas } = { ...DEFAULT_STREAM, ...stream }
    try {
      const manager = await this.#jetStream.jetstreamManager(connection, { timeout: 2000, checkAPI: false })
      await manager.streams.add({
        name: this.#stream,
        subjects: [`ipvs.sync.${fleet}.>`],
        storage: 'memory',
        max_age: seconds * 1e9,
        max_bytes: bytes,
        num_replicas: replicas,
        no_ack: true
      })
    } catch (cause) {
      // Without JetStream, or without the right to create a stream, a table repairs what an interruption lost.
      if (!this.#isStreamReported)
        onNotice('LINK_STREAM', `${this.description}: no stream: ${(cause as Error).message}`)
      this.#isStreamReported = true
    }
  }

  /** Reads what was published during an interruption, then releases the live frames; where that fails, a gap is declared. */
  async #catchUp(connection: NatsConnection, handlers: LinkHandlers): Promise<void> {
    const interruptions = this.#interruptions
    const isCurrent = (): boolean => !this.#isClosed && interruptions === this.#interruptions
    let outcome: 'complete' | 'gap' | 'retry' = this.#jetStream === undefined ? 'gap' : 'retry'
    for (let attempt = 0; attempt < STREAM_ATTEMPTS && outcome === 'retry'; attempt++) {
      if (attempt > 0) await delay(RETRY_MS)
      if (!isCurrent()) return
      await this.#createStream(connection, handlers)
      outcome = await this.#readStream(connection, handlers.onFrame).catch(() => 'retry' as const)
    }
    if (!isCurrent()) return
    this.#release(handlers.onFrame)
    if (outcome !== 'complete') handlers.onGap?.()
  }

  async #readStream(connection: NatsConnection, onFrame: LinkHandlers['onFrame']): Promise<'complete' | 'gap'> {
    const { fleet, site, syncid } = this.#options
    const { jetstream, jetstreamManager } = this.#jetStream!
    const options = { timeout: 2000, checkAPI: false }
    const since = new Date(this.#lastFrameAt - STREAM_MARGIN_MS)
    const manager = await jetstreamManager(connection, options)
    const { created, state } = await manager.streams.info(this.#stream)
    const begin = state.first_seq > 1 ? new Date(state.first_ts) : new Date(created)
    const consumer = await jetstream(connection, options).consumers.get(this.#stream, {
      filter_subjects: `ipvs.sync.${fleet}.*.${syncid}.*`,
      deliver_policy: 'by_start_time',
      opt_start_time: since.toISOString()
    })
    let { num_pending: pending } = await consumer.info()
    while (pending > 0) {
      const before = pending
      const batch = await consumer.fetch({ max_messages: Math.min(pending, 256), expires: 2000 })
      for await (const { subject, data, info } of batch) {
        pending = info.pending
        if (subject.split('.')[3] !== site) onFrame(data)
      }
      if (pending === before) throw new Error('the stream does not answer')
    }
    return begin.getTime() > this.#lastFrameAt ? 'gap' : 'complete'
  }
}

function authenticatorOf(client: NatsClient, file: Uint8Array): NonNullable<ConnectionOptions['authenticator']> {
  const text = Buffer.from(file).toString('utf8').trim()
  return text.startsWith('S')
    ? client.nkeyAuthenticator(new TextEncoder().encode(text))
    : client.credsAuthenticator(file)
}
