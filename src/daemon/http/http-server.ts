/**
 * HTTP port of a running daemon: metrics, the table, health. Read-only, and bounded: see {@link HTTP_LIMITS}.
 *
 * @module
 */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { isIP, type AddressInfo, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setImmediate as turn } from 'node:timers/promises'
import { escapeControls } from '../../text.js'
import type { TableConnection } from '../../wire/connection.js'
import { explainSocketError } from '../../transport/udp-errors.js'
import { LivePage } from '../page/live-page.js'
import { createMetrics, type Metrics, type MetricsSnapshot } from './metrics.js'

/** Items in order; those of other threads arrive asynchronously. */
export type Items<T> = Iterable<T> | AsyncIterable<T>

/** Data that the port serves. */
export interface HttpView {
  /** Returns whether `/readyz` answers 200. */
  ready(): boolean
  /** Returns the line that `/readyz` answers. */
  status?(): string
  /** Returns the table, in any order; it may change while it is read. */
  connections(): Items<TableConnection>
  /** Returns the table as `/proc/net/ip_vs_conn_sync` prints it: lines without their ends, the header first. */
  procLines(): Items<string>
  /** Returns the counters. */
  metrics(): MetricsSnapshot
}

/** Address to listen on. */
export interface HttpAddress {
  /** `127.0.0.1` by default. Anyone who can connect can read the table. */
  readonly host?: string
  /** 0…65535; 0 takes any free port. */
  readonly port: number
}

/** A server that listens. */
export interface HttpServer {
  /** `http://127.0.0.1:9100`. */
  readonly url: string
  /** Stops listening and ends the answers that are being sent. */
  close(): Promise<void>
}

/** A reply: its body is text, or lines without their ends. */
interface Reply {
  readonly status: number
  readonly type: string
  readonly body: string | Items<string>
}

/** Limits of the port. What is beyond them costs a client its connection or a 503, and the daemon nothing. */
export const HTTP_LIMITS = {
  /** Maximum number of TCP connections. */
  connections: 64,
  /** Maximum number of requests that are being answered; 503 beyond. A connection has one at a time. */
  requests: 32,
  /** Maximum number of clients that read the table; 503 beyond. */
  tableReaders: 4,
  /** Time for a request's header. */
  headersMs: 10_000,
  /** Time for a request. */
  requestMs: 30_000,
  /** Time without a byte in either direction. */
  idleMs: 30_000,
  /** Time between two requests of a connection. */
  keepAliveMs: 5_000,
  /** Interval at which the times are checked. */
  checkMs: 2_000,
  /** Age up to which a metrics text is sent again. */
  metricsMs: 1_000
}

/** The limits of {@link HTTP_LIMITS}; a test gives smaller ones. */
export type HttpLimits = Readonly<typeof HTTP_LIMITS>

/** Lines that are handed to the network at a time: about a millisecond of work. */
const LINES_A_CHUNK = 256
const TEXT = 'text/plain; charset=utf-8'
const BUSY = 'too many requests at once; try again'

/**
 * Serves the page at `/`, `/metrics` (Prometheus), `/connections` (JSON Lines), `/connections?format=proc`, `/healthz` and `/readyz`.
 *
 * @throws IpvsSyncError `ERR_ADDRESS_IN_USE` or `ERR_TRANSPORT`.
 */
export async function serveHttp(
  address: HttpAddress,
  view: HttpView,
  limits: HttpLimits = HTTP_LIMITS
): Promise<HttpServer> {
  const { host = '127.0.0.1', port } = address
  const responder = new Responder(host, view, limits)
  const server = createServer({ connectionsCheckingInterval: limits.checkMs }, (request, response) => {
    responder.answer(request, response).catch(() => response.destroy())
  })
  server.maxConnections = limits.connections
  server.headersTimeout = limits.headersMs
  server.requestTimeout = limits.requestMs
  server.keepAliveTimeout = limits.keepAliveMs
  server.setTimeout(limits.idleMs)
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      responder.close()
      reject(explainSocketError(`serving HTTP on ${host}:${port}`, cause))
    })
    server.listen(port, host, resolve)
  })
  // An accept that fails (EMFILE) is reported here; the server keeps listening.
  server.on('error', () => undefined)
  const bound = server.address() as AddressInfo
  return {
    url: `http://${bound.family === 'IPv6' ? `[${bound.address}]` : bound.address}:${bound.port}`,
    async close() {
      responder.close()
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeAllConnections()
      await closed
    }
  }
}

/** Answers requests within the limits. */
class Responder {
  readonly #host: string
  readonly #view: HttpView
  readonly #limits: HttpLimits
  readonly #metrics: Metrics
  readonly #page: LivePage
  readonly #answering = new Set<Socket>()
  #readers = 0
  #metricsText: Promise<string> | undefined

  /** @param host - Name that the port was given, accepted as `Host`. */
  constructor(host: string, view: HttpView, limits: HttpLimits) {
    this.#host = host
    this.#limits = limits
    this.#view = view
    this.#metrics = createMetrics(() => view.metrics())
    this.#page = new LivePage(view)
  }

  /** Ends the page's samples and streams. */
  close(): void {
    this.#page.close()
  }

  /** Answers one request. A second one before the first was answered (pipelining) closes the connection. */
  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request
    if (this.#answering.has(socket)) {
      socket.destroy()
      return
    }
    if (this.#answering.size >= this.#limits.requests) {
      response.writeHead(503, { 'content-type': TEXT, 'retry-after': '1' }).end(`${BUSY}\n`)
      return
    }
    this.#answering.add(socket)
    response.once('close', () => this.#answering.delete(socket))
    const { url, method, headers } = request
    const isRead = method === 'GET' || method === 'HEAD'
    if (isRead && this.#isOurHost(headers.host) && this.#page.answer(url!, method, response)) return
    const { status, type, body } = await this.#replyTo(request)
    const retry = status === 503 && body === `${BUSY}\n` ? { 'retry-after': '1' } : {}
    response.writeHead(status, { 'content-type': type, ...retry })
    if (request.method === 'HEAD') response.end()
    else if (typeof body === 'string') response.end(body)
    else {
      this.#readers++
      try {
        // One chunk waits at most: a slow reader costs its own chunk and no more.
        await pipeline(Readable.from(chunks(body), { objectMode: true, highWaterMark: 1 }), response)
      } finally {
        this.#readers--
      }
    }
  }

  async #replyTo({ method, url, headers }: IncomingMessage): Promise<Reply> {
    if (!this.#isOurHost(headers.host)) return plain(421, 'Host: expected an address, localhost or the name of --http')
    if (method !== 'GET' && method !== 'HEAD') return plain(405, 'method: expected GET or HEAD')
    const [path, query] = url!.split('?')
    switch (path!) {
      case '/metrics':
        return { status: 200, type: this.#metrics.contentType, body: await this.#sharedMetrics() }
      case '/connections':
        return this.#table(new URLSearchParams(query).get('format') ?? 'json', method)
      case '/healthz':
        return plain(200, 'ok')
      case '/readyz':
        return plain(
          this.#view.ready() ? 200 : 503,
          this.#view.status?.() ?? (this.#view.ready() ? 'ready' : 'the sockets are not open')
        )
      default:
        return plain(404, 'path: expected /, /metrics, /connections, /connections?format=proc, /healthz or /readyz')
    }
  }

  /** A web page must not be able to read the table through a name that resolves to this host (DNS rebinding). */
  #isOurHost(header: string | undefined): boolean {
    if (header === undefined) return true
    const name = header
      .replace(/:\d*$/, '')
      .replace(/^\[(.*)\]$/, '$1')
      .toLowerCase()
    return isIP(name) !== 0 || name === 'localhost' || name === this.#host.toLowerCase()
  }

  /** All who ask within a second get one text: rendering costs more than sending. */
  #sharedMetrics(): Promise<string> {
    if (this.#metricsText === undefined) {
      this.#metricsText = this.#metrics.text()
      const forget = (): void => void (this.#metricsText = undefined)
      this.#metricsText.catch(forget)
      setTimeout(forget, this.#limits.metricsMs).unref()
    }
    return this.#metricsText
  }

  #table(format: string, method: 'GET' | 'HEAD'): Reply {
    if (format !== 'json' && format !== 'proc') return plain(400, 'format: expected json or proc')
    const type = format === 'json' ? 'application/x-ndjson' : TEXT
    if (method === 'HEAD') return { status: 200, type, body: '' }
    if (this.#readers >= this.#limits.tableReaders) return plain(503, BUSY)
    const body = format === 'json' ? jsonLines(this.#view.connections()) : this.#view.procLines()
    return { status: 200, type, body }
  }
}

/** The event loop gets a turn after each chunk: a reader as fast as we are would otherwise stop timers and sockets. */
async function* chunks(lines: Items<string>): AsyncGenerator<string> {
  let chunk: string[] = []
  for await (const line of lines) {
    if (chunk.push(`${line}\n`) < LINES_A_CHUNK) continue
    yield chunk.join('')
    chunk = []
    await turn()
  }
  if (chunk.length > 0) yield chunk.join('')
}

async function* jsonLines(connections: Items<TableConnection>): AsyncGenerator<string> {
  for await (const connection of connections) yield escapeControls(JSON.stringify(connection))
}

function plain(status: number, text: string): Reply {
  return { status, type: TEXT, body: `${text}\n` }
}
