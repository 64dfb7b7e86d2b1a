/**
 * The page at `/` of the HTTP port: figures of the last hour, live by server-sent events. It loads nothing from elsewhere.
 *
 * @module
 */

import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import type { MetricsSnapshot } from '../http/metrics.js'

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
    lost: (backup?.socketDrops ?? 0) + sum(master?.queueDropped ?? []) + sum(master?.undelivered ?? []),
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

/** The document. Its figures are filled in by the script. */
const PAGE_HTML = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>ipvs-sync</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/uplot.css">
<link rel="stylesheet" href="/page.css">
<script src="/uplot.js" defer></script>
<script src="/page.js" defer></script>
</head>
<body>
<header><h1>ipvs-sync</h1><p id="status" role="status">connecting</p></header>
<main>
<dl id="figures"></dl>
<h2>Senders</h2>
<table><thead><tr><th scope="col">Address</th><th scope="col">Last message, s</th></tr></thead><tbody id="senders"></tbody></table>
<div id="plots"></div>
<h2>Notices</h2>
<table><thead><tr><th scope="col">Code</th><th scope="col">Number</th></tr></thead><tbody id="notices"></tbody></table>
</main>
<noscript>This page needs JavaScript; /metrics has the same figures.</noscript>
</body>
</html>
`

/** Colours follow the system's light or dark setting. */
const PAGE_STYLE = `:root{color-scheme:light dark;--text:#1b1f24;--back:#fff;--line:#d5d9de;--good:#137333;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--text:#e6e8eb;--back:#14171a;--line:#3a4047;--good:#7bd88f;--bad:#ff8a80}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:72rem;padding:1rem;font:16px/1.5 system-ui,sans-serif;color:var(--text);background:var(--back)}
header{display:flex;flex-wrap:wrap;align-items:baseline;gap:0 1rem}
h1{font-size:1.4rem;margin:0}h2{font-size:1.1rem;margin:1.2rem 0 .3rem}
#status{margin:0;font-weight:600;overflow-wrap:anywhere}
#status.good{color:var(--good)}#status.bad{color:var(--bad)}
#figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.5rem;margin:1rem 0}
#figures div{border:1px solid var(--line);border-radius:.4rem;padding:.5rem .7rem}
dt{font-size:.85rem}dd{margin:0;font-size:1.3rem;font-variant-numeric:tabular-nums}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.25rem .5rem;border-bottom:1px solid var(--line);font-variant-numeric:tabular-nums}
.u-legend th,.u-legend td{border:0}
.plot{overflow:hidden}details{margin:.3rem 0}summary{cursor:pointer}
`

/** Reads the stream, draws with uPlot, and fills the table behind each plot. */
const PAGE_SCRIPT = `'use strict'
const PLOTS = [
  ['Messages a second', [['received', 'received', '#2f6fde'], ['sent', 'sent', '#d97706']], true],
  ['Connections in the table', [['connections', 'connections', '#0f9d70']], false],
  ['Dropped, skipped and lost a second', [['dropped', 'dropped', '#c2410c'], ['skipped', 'skipped', '#9333ea'], ['lost', 'lost', '#dc2626']], true]
]
const byId = (id) => document.getElementById(id)
const make = (name, text) => { const made = document.createElement(name); if (text !== undefined) made.textContent = text; return made }
const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString('en-GB')
const number = (value) => Number(value).toLocaleString('en', { maximumFractionDigits: 1 })
let samples = []
const plots = PLOTS.map(([title, series, isRate]) => {
  const section = make('section'), place = make('div'), details = make('details'), table = make('table')
  place.className = 'plot'
  place.setAttribute('role', 'img')
  place.setAttribute('aria-label', title + ' over the last hour; the table below has the figures')
  const head = make('tr')
  for (const text of ['Time', ...series.map(([, label]) => label)]) { const cell = make('th', text); cell.scope = 'col'; head.append(cell) }
  const body = make('tbody'), top = make('thead')
  top.append(head); table.append(top, body); details.append(make('summary', 'Table'), table)
  section.append(make('h2', title), place, details)
  byId('plots').append(section)
  return { series, isRate, place, body, details, chart: undefined }
})
const width = () => byId('plots').clientWidth
function dataOf({ series, isRate }) {
  const from = isRate ? samples.slice(1) : samples
  return [from.map((s) => s.time / 1000), ...series.map(([key]) => from.map((s, i) => {
    if (!isRate) return s[key]
    const before = samples[i]
    return Math.max(0, (s[key] - before[key]) / Math.max(0.001, (s.time - before.time) / 1000))
  }))]
}
function chartOf(plot) {
  const color = getComputedStyle(document.body).color, grid = { stroke: 'rgba(128,128,128,.25)' }
  return new uPlot({
    width: width(), height: 200, cursor: { drag: { x: false, y: false } },
    series: [{ label: 'time', value: (_, v) => v == null ? '' : clock(v) }, ...plot.series.map(([, label, stroke]) => ({ label, stroke, width: 2, points: { show: false }, value: (_, v) => v == null ? '' : number(v) }))],
    scales: { y: { range: (_, low, high) => [0, Math.max(1, high * 1.1)] } },
    axes: [{ stroke: color, grid, space: 80, values: (_, times) => times.map(clock) }, { stroke: color, grid, size: 60 }]
  }, dataOf(plot), plot.place)
}
function rows(body, values) {
  body.replaceChildren(...values.map((cells) => { const row = make('tr'); row.append(...cells.map((text) => make('td', text))); return row }))
}
function draw() {
  const now = samples.at(-1)
  if (now === undefined) return
  byId('status').textContent = now.status
  byId('status').className = now.ready ? 'good' : 'bad'
  const figures = { Connections: now.connections, Received: now.received, Sent: now.sent, Applied: now.applied, Dropped: now.dropped, Skipped: now.skipped, Lost: now.lost }
  byId('figures').replaceChildren(...Object.entries(figures).map(([name, value]) => { const box = make('div'); box.append(make('dt', name), make('dd', number(value))); return box }))
  rows(byId('senders'), Object.entries(now.senders).map(([address, age]) => [address, number(age)]))
  rows(byId('notices'), Object.entries(now.notices).map(([code, count]) => [code, number(count)]))
  for (const plot of plots) {
    const data = dataOf(plot)
    if (plot.chart === undefined) plot.chart = chartOf(plot)
    else plot.chart.setData(data)
    const times = data[0]
    rows(plot.body, times.map((time, i) => [clock(time), ...data.slice(1).map((one) => number(one[i]))]).reverse().slice(0, 60))
  }
}
const stream = new EventSource('/events')
stream.addEventListener('history', (event) => { samples = JSON.parse(event.data); draw() })
stream.addEventListener('sample', (event) => { samples.push(JSON.parse(event.data)); if (samples.length > 720) samples.shift(); draw() })
stream.addEventListener('error', () => { byId('status').textContent = 'connection lost; trying again'; byId('status').className = 'bad' })
addEventListener('resize', () => { for (const { chart } of plots) chart?.setSize({ width: width(), height: 200 }) })
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { for (const plot of plots) { plot.chart?.destroy(); plot.chart = undefined } draw() })
`
