/**
 * The page at `/` of the HTTP port: figures of the last hour, live by server-sent events. It loads nothing from elsewhere.
 *
 * @module
 */

import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import type { MetricsSnapshot } from '../http/metrics.js'
import { PAGE_HTML, PAGE_SCRIPT, PAGE_STYLE } from './assets.js'

/** What the page shows of a daemon. */
export interface PageView {
  ready(): boolean
  status?(): string
  metrics(): MetricsSnapshot
}

/** One moment; totals only grow, and the page derives rates. */
export interface PageSample {
  /** Milliseconds since 1970. */
  readonly time: number
  readonly ready: boolean
  readonly status: string
  readonly received: number
  readonly dropped: number
  readonly applied: number
  readonly skipped: number
  readonly sent: number
  /** Datagrams and messages lost to full buffers and queues. */
  readonly lost: number
  readonly connections: number
  readonly senders: Readonly<Record<string, number>>
  /** Notices until now, by code. */
  readonly notices: Readonly<Record<string, number>>
}

/** Samples of an hour, one every 5 s. */
const KEPT = 720
const INTERVAL_MS = 5000
/** Pages that may be open at a time. */
const MOST_STREAMS = 8
/** Inline scripts and foreign resources are refused; uPlot positions its parts by script, which this permits. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

function everyInterval(callback: () => void): () => void {
  const timer = setInterval(callback, INTERVAL_MS).unref()
  return () => clearInterval(timer)
}

/** Serves the page and its stream. */
export class LivePage {
  readonly #view: PageView
  readonly #samples: PageSample[] = []
  readonly #streams = new Set<ServerResponse>()
  readonly #stop: () => void

  /**
   * @param view - The daemon.
   * @param every - Calls back for each sample, until the function that it returns is called; a test gives its own.
   */
  constructor(view: PageView, every = everyInterval) {
    this.#view = view
    this.#stop = every(() => this.#sample())
    this.#sample()
  }

  /** Answers a GET or HEAD of a path of the page; returns false for any other path. */
  answer(path: string, method: string | undefined, response: ServerResponse): boolean {
    if (path === '/events') {
      if (this.#streams.size >= MOST_STREAMS) {
        response
          .writeHead(503, { 'content-type': 'text/plain; charset=utf-8', 'retry-after': '60' })
          .end('too many pages are open\n')
        return true
      }
      response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
      if (method === 'HEAD') {
        response.end()
        return true
      }
      this.#streams.add(response)
      response.once('close', () => this.#streams.delete(response))
      response.write(`event: history\ndata: ${JSON.stringify(this.#samples)}\n\n`)
      return true
    }
    const asset = assetOf(path)
    if (asset === undefined) return false
    response.writeHead(200, {
      'content-type': asset.type,
      'content-security-policy': POLICY,
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-cache'
    })
    response.end(method === 'HEAD' ? undefined : asset.body)
    return true
  }

  /** Ends the samples and every stream. */
  close(): void {
    this.#stop()
    for (const stream of this.#streams) stream.end()
  }

  #sample(): void {
    let sample: PageSample
    try {
      sample = sampleOf(this.#view, Date.now())
    } catch {
      // Counters that cannot be read leave a gap; the next sample may succeed.
      return
    }
    this.#samples.push(sample)
    if (this.#samples.length > KEPT) this.#samples.shift()
    const text = `event: sample\ndata: ${JSON.stringify(sample)}\n\n`
    // A reader that does not keep up would be buffered for; it reconnects and gets the history.
    for (const stream of this.#streams) if (!stream.write(text)) stream.destroy()
  }
}

/** Takes a sample. */
export function sampleOf(view: PageView, time: number): PageSample {
  const { master, backup, table, notices = {} } = view.metrics()
  const ready = view.ready()
  return {
    time,
    ready,
    status: view.status?.() ?? (ready ? 'ready' : 'not ready'),
    received: sum((backup?.received ?? []).flat()),
    dropped: sum(Object.values(backup?.dropped ?? {})),
    applied: backup?.applied ?? 0,
    skipped: sum(Object.values(backup?.skipped ?? {})),
    sent: sum(master?.sent ?? []),
    lost: (backup?.socketDrops ?? 0) + sum(master?.queueDropped ?? []),
    connections: sum(table.map(({ connections }) => connections)),
    senders: Object.fromEntries(Object.entries(backup?.age ?? {}).slice(0, 64)),
    notices: { ...notices }
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

const SCRIPT = 'text/javascript; charset=utf-8'
const STYLE = 'text/css; charset=utf-8'

function assetOf(path: string): { readonly type: string; readonly body: string | Uint8Array } | undefined {
  switch (path) {
    case '/':
      return { type: 'text/html; charset=utf-8', body: PAGE_HTML }
    case '/page.js':
      return { type: SCRIPT, body: PAGE_SCRIPT }
    case '/page.css':
      return { type: STYLE, body: PAGE_STYLE }
    case '/uplot.js':
      return { type: SCRIPT, body: ofUplot('uPlot.iife.min.js') }
    case '/uplot.css':
      return { type: STYLE, body: ofUplot('uPlot.min.css') }
    default:
      return undefined
  }
}

const files = new Map<string, Uint8Array>()

/** Reads a file of uPlot once. */
function ofUplot(name: string): Uint8Array {
  const known = files.get(name)
  if (known !== undefined) return known
  const bytes = readFileSync(createRequire(import.meta.url).resolve(`uplot/dist/${name}`))
  files.set(name, bytes)
  return bytes
}
