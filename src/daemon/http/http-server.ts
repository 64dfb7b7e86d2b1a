/**
 * What a running master or backup shows over HTTP: metrics, the table, health. For reading only.
 *
 * @module
 */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { TableConnection } from '../../wire/connection.js'
import { explainSocketError } from '../../transport/udp-errors.js'
import { createMetrics, type Metrics, type MetricsSnapshot } from './metrics.js'

/** One after the other; those of other threads come as they are asked for. */
export type Items<T> = Iterable<T> | AsyncIterable<T>

/** What is shown. */
export interface HttpView {
  /** Whether the sockets are open: what `/readyz` answers. */
  ready(): boolean
  /** A line that goes with it. By default it speaks of the sockets alone. */
  status?(): string
  /** The table, in any order; may change while it is read. */
  connections(): Items<TableConnection>
  /** The table as `/proc/net/ip_vs_conn_sync` has it: lines without their ends, the header first. */
  procLines(): Items<string>
  /** The counters. */
  metrics(): MetricsSnapshot
}

/** Where to listen. */
export interface HttpAddress {
  /** `127.0.0.1` by default: who should read a director's table from elsewhere is for its administrator to say. */
  readonly host?: string
  /** 0…65535; 0 takes any free one. */
  readonly port: number
}

/** A server that listens. */
export interface HttpServer {
  /** `http://127.0.0.1:9100`. */
  readonly url: string
  /** Stops listening, and ends what is being answered. */
  close(): Promise<void>
}

/** An answer: its body is text, or lines without their ends. */
interface Reply {
  readonly status: number
  readonly type: string
  readonly body: string | Items<string>
}

/** Lines that are handed to the network at a time. */
const LINES_A_CHUNK = 512
const TEXT = 'text/plain; charset=utf-8'

/**
 * Serves `/metrics` (Prometheus), `/connections` (JSON Lines), `/connections?format=proc`, `/healthz` and `/readyz`.
 *
 * @throws IpvsSyncError `ERR_ADDRESS_IN_USE` or `ERR_TRANSPORT`.
 */
export async function serveHttp(address: HttpAddress, view: HttpView): Promise<HttpServer> {
  const { host = '127.0.0.1', port } = address
  const metrics = createMetrics(() => view.metrics())
  const server = createServer((request, response) => {
    answer(request, response, view, metrics).catch(() => response.destroy())
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(explainSocketError(`serving HTTP at ${host}:${port}`, cause)))
    server.listen(port, host, resolve)
  })
  const bound = server.address() as AddressInfo
  return {
    url: `http://${bound.family === 'IPv6' ? `[${bound.address}]` : bound.address}:${bound.port}`,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeAllConnections()
      await closed
    }
  }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  view: HttpView,
  metrics: Metrics
): Promise<void> {
  const { status, type, body } = await replyTo(request, view, metrics)
  response.writeHead(status, { 'content-type': type })
  if (request.method === 'HEAD') response.end()
  else await pipeline(Readable.from(typeof body === 'string' ? [body] : chunks(body)), response)
}

async function replyTo({ method, url }: IncomingMessage, view: HttpView, metrics: Metrics): Promise<Reply> {
  if (method !== 'GET' && method !== 'HEAD') return say(405, 'only GET and HEAD are answered')
  const [path, query] = url!.split('?')
  switch (path!) {
    case '/metrics':
      return { status: 200, type: metrics.contentType, body: await metrics.text() }
    case '/connections':
      return table(new URLSearchParams(query).get('format') ?? 'json', view)
    case '/healthz':
      return say(200, 'ok')
    case '/readyz':
      return readiness(view)
    default:
      return say(404, 'there are /metrics, /connections, /connections?format=proc, /healthz and /readyz')
  }
}

function readiness(view: HttpView): Reply {
  const ready = view.ready()
  const status = view.status?.() ?? (ready ? 'ready' : 'the sockets are not open')
  return say(ready ? 200 : 503, status)
}

function table(format: string, view: HttpView): Reply {
  if (format === 'json') return { status: 200, type: 'application/x-ndjson', body: jsonLines(view.connections()) }
  if (format === 'proc') return { status: 200, type: TEXT, body: view.procLines() }
  return say(400, 'format is json or proc')
}

/** A table of millions is never in memory as text, and a slow reader slows its own answer only. */
function chunks(lines: Items<string>): Items<string> {
  return Symbol.asyncIterator in lines ? asyncChunks(lines) : syncChunks(lines)
}

function* syncChunks(lines: Iterable<string>): Generator<string> {
  let chunk: string[] = []
  for (const line of lines) {
    if (chunk.push(`${line}\n`) < LINES_A_CHUNK) continue
    yield chunk.join('')
    chunk = []
  }
  if (chunk.length > 0) yield chunk.join('')
}

async function* asyncChunks(lines: AsyncIterable<string>): AsyncGenerator<string> {
  let chunk: string[] = []
  for await (const line of lines) {
    if (chunk.push(`${line}\n`) < LINES_A_CHUNK) continue
    yield chunk.join('')
    chunk = []
  }
  if (chunk.length > 0) yield chunk.join('')
}

function jsonLines(connections: Items<TableConnection>): Items<string> {
  return Symbol.asyncIterator in connections ? asyncJsonLines(connections) : syncJsonLines(connections)
}

function* syncJsonLines(connections: Iterable<TableConnection>): Generator<string> {
  for (const connection of connections) yield JSON.stringify(connection)
}

async function* asyncJsonLines(connections: AsyncIterable<TableConnection>): AsyncGenerator<string> {
  for await (const connection of connections) yield JSON.stringify(connection)
}

function say(status: number, text: string): Reply {
  return { status, type: TEXT, body: `${text}\n` }
}
