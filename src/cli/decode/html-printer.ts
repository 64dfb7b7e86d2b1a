/**
 * `decode --format html`: one page with plots, problems, gaps and a table of connections. It loads nothing.
 *
 * @module
 */

import type { CaptureFinding } from '../../capture/items.js'
import { CAPTURE_PROBLEM_TEXTS } from '../../capture/problems.js'
import { PROBLEMS, type ProblemCode } from '../../wire/problems.js'
import { protocolName, stateName } from '../../wire/protocols.js'
import { FLAG } from '../../wire/constants.js'
import { endpointText } from '../../wire/terminal-text.js'
import type { CapturedMessage } from './captured-message.js'
import { addressOf } from './filter.js'
import type { MessageRecords } from './message-records.js'
import type { Output } from './output.js'
import type { Printer } from './printer.js'
import { Summary } from './summary.js'
import { TimeSeries } from './tally.js'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const { TEMPLATE: FLAG_TEMPLATE } = FLAG

/** Lines of one plot; the last one sums the values that came after the others. */
const MOST_SERIES = 12
const OTHERS = 'others'
/** Meaning of each problem of a capture. */
const CAPTURE_TEXTS: Readonly<Record<string, string | undefined>> = CAPTURE_PROBLEM_TEXTS
/** The page loads nothing, whatever the network wrote into it. */
const POLICY =
  "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
/** Connections in the table: those that were announced first. */
const MOST_CONNECTIONS = 5000
/** Problems in the list. */
const MOST_PROBLEMS = 1000

/** One row of the table of problems by code. */
interface ProblemKind {
  readonly code: string
  readonly severity: string
  readonly meaning: string
  count: number
}

/** Gathers a capture, and prints the page at its end. */
export class HtmlPrinter implements Printer {
  readonly #output: Output
  readonly #title: string
  readonly #summary = new Summary()
  readonly #series = {
    protocol: new Map<string, TimeSeries>(),
    state: new Map<string, TimeSeries>(),
    sender: new Map<string, TimeSeries>()
  }
  readonly #connections = new Map<string, readonly (string | number)[]>()
  readonly #problems: (readonly (string | number)[])[] = []
  readonly #problemKinds = new Map<string, ProblemKind>()
  #isCut = false

  /**
   * @param output - Receives the page.
   * @param files - Names for the title.
   */
  constructor(output: Output, files: readonly string[]) {
    this.#output = output
    this.#title = files.join(', ')
  }

  message(message: CapturedMessage): void {
    const { records, problems, ms, packet } = message
    this.#summary.message(message)
    for (const { code, severity, message: text } of problems) this.#problem(packet, code, severity, text)
    const second = ms === undefined ? undefined : Math.floor(ms / 1000)
    if (second !== undefined) this.#count('sender', message.sender, second, records.count)
    for (let record = 0; record < records.count; record++) {
      const isTemplate = (records.flags(record) & FLAG_TEMPLATE) !== 0
      const protocol = protocolName(records.protocol(record))
      const state = stateName(records.protocol(record), isTemplate, records.state(record))
      if (second !== undefined) {
        this.#count('protocol', protocol, second, 1)
        this.#count('state', `${isTemplate ? 'template' : protocol} ${state}`, second, 1)
      }
      this.#connection(records, record, [
        String(message.time ?? ''),
        isTemplate ? `${protocol} template` : protocol,
        state
      ])
    }
  }

  finding(finding: CaptureFinding): void {
    const { code, severity, message } = finding.problem
    this.#summary.finding(finding)
    this.#problem(finding.packet ?? 0, code, severity, message)
  }

  end(): void {
    const folder = dirname(createRequire(import.meta.url).resolve('uplot/package.json'))
    const read = (name: string): string => readFileSync(join(folder, name), 'utf8')
    const [script, style, licence] = [read('dist/uPlot.iife.min.js'), read('dist/uPlot.min.css'), read('LICENSE')]
    const data = {
      title: this.#title,
      total: this.#summary.totals().join(''),
      summary: this.#summary.rows(),
      gaps: this.#summary.gaps,
      plots: [
        plot('Messages', new Map([['messages', this.#summary.messagesOverTime]])),
        plot('Records', new Map([['records', this.#summary.recordsOverTime]])),
        plot('Records by state', this.#series.state),
        plot('Records by protocol', this.#series.protocol),
        plot('Records by sender', this.#series.sender)
      ],
      problems: this.#problems,
      problemKinds: [...this.#problemKinds.values()],
      problemCount: [...this.#problemKinds.values()].reduce((sum, { count }) => sum + count, 0),
      connections: [...this.#connections.values()],
      isCut: this.#isCut,
      footer:
        'Times are UTC. Made by ipvs-sync decode --format html. Plots by uPlot (MIT licence, in the source of this page).'
    }
    // No text from the network can end the script element.
    const json = JSON.stringify(data).replaceAll('<', '\\u003c')
    this.#output.write(
      [
        '<!doctype html>',
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">',
        `<meta http-equiv="Content-Security-Policy" content="${POLICY}">`,
        '<title>ipvs-sync report</title>',
        `<!-- uPlot:\n${licence}-->`,
        `<style>${style}${PAGE_STYLE}</style></head><body>`,
        '<main></main>',
        `<script>${script}</script>`,
        `<script type="application/json" id="data">${json}</script>`,
        `<script>${PAGE_SCRIPT}</script></body></html>`,
        ''
      ].join('\n')
    )
  }

  #count(kind: 'protocol' | 'state' | 'sender', value: string, second: number, count: number): void {
    const all = this.#series[kind]
    const name = all.has(value) || all.size < MOST_SERIES - 1 ? value : OTHERS
    let series = all.get(name)
    if (series === undefined) all.set(name, (series = new TimeSeries()))
    series.add(second, count)
  }

  #connection(
    records: MessageRecords,
    record: number,
    [time, protocol, state]: readonly [string, string, string]
  ): void {
    const ports = records.portsAt(record)
    const ends = [0, 1, 2].map((i) =>
      endpointText({ address: addressOf(records, record, i), port: records.view.getUint16(ports + 2 * i) })
    )
    const key = `${protocol} ${ends[0]} ${ends[1]}`
    const before = this.#connections.get(key)
    if (before === undefined && this.#connections.size >= MOST_CONNECTIONS) {
      this.#isCut = true
      return
    }
    this.#connections.set(key, [protocol, ...ends, state, time, before === undefined ? 1 : Number(before[6]) + 1])
  }

  #problem(packet: number, code: string, severity: string, text: string): void {
    let kind = this.#problemKinds.get(code)
    if (kind === undefined) {
      const meaning = code in PROBLEMS ? PROBLEMS[code as ProblemCode].text : CAPTURE_TEXTS[code]
      kind = { code, severity, meaning: meaning ?? '', count: 0 }
      this.#problemKinds.set(code, kind)
    }
    kind.count += 1
    if (this.#problems.length < MOST_PROBLEMS) this.#problems.push([packet, severity, code, text])
  }
}

/** Series of one plot on a common time axis, a second each. */
function plot(title: string, all: ReadonlyMap<string, TimeSeries>): object {
  const used = [...all].filter(([, series]) => series.first !== undefined)
  const width = Math.max(1, ...used.map(([, series]) => series.width))
  const first = Math.min(...used.map(([, series]) => series.first!))
  const last = Math.max(...used.map(([, series]) => series.first! + series.counts.length * series.width))
  const length = used.length === 0 ? 0 : Math.ceil((last - first) / width)
  const times = Array.from({ length }, (_, i) => first + i * width)
  const lines = used.map(([name, series]) => {
    const rates = new Array<number>(length).fill(0)
    for (const [i, count] of series.counts.entries()) {
      const at = Math.floor((series.first! + i * series.width - first) / width)
      rates[at]! += count / width
    }
    return { name, rates }
  })
  return { title, times, lines }
}

/** Follows the reader's choice of light or dark. */
const PAGE_STYLE = `
:root{color-scheme:light dark;--fg:#1d2430;--bg:#fff;--soft:#5b6678;--line:#d9dee6;--card:#f6f8fa;--bad:#b3261e;--warn:#8a5a00}
@media(prefers-color-scheme:dark){:root{--fg:#e3e8ef;--bg:#12161c;--soft:#97a3b4;--line:#2c3542;--card:#1a2029;--bad:#ff8a80;--warn:#f0c060}}
body{margin:0;font:14px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg)}
main{max-width:1100px;margin:0 auto;padding:24px 16px}h1{font-size:22px;margin:0}h2{font-size:16px;margin:28px 0 8px}h3{font-size:14px;margin:16px 0 4px}
main>:nth-child(2){overflow-wrap:anywhere}
.card{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:10px 14px;margin:16px 0 24px}.card p{margin:0 0 4px;font-weight:600}
.card th{position:static;background:none;font-weight:400}.card th,.card td{border:0;padding:2px 14px 2px 0}
table{border-collapse:collapse;width:100%;font-size:13px;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:4px 14px 4px 0;border-bottom:1px solid var(--line);vertical-align:top;white-space:nowrap}
th{color:var(--soft);font-weight:600;position:sticky;top:0;background:var(--bg)}.wide{white-space:normal;min-width:200px}
input{font:inherit;padding:6px 10px;width:320px;max-width:100%;box-sizing:border-box;border:1px solid var(--line);border-radius:6px;background:var(--bg);color:var(--fg)}
summary{cursor:pointer;color:var(--soft);font-size:12px}footer{margin-top:32px;color:var(--soft);font-size:12px}
.plot:first-child{grid-column:1/-1}.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(460px,100%),1fr));gap:24px}.plot{min-width:0}.plot h2{margin:0 0 4px}
.u-legend{font-size:12px;text-align:left;padding-left:48px}.u-legend th{position:static;background:none;border:0;font-weight:400;padding:2px 0}.u-legend td{border:0}
.drop,.skip{color:var(--bad)}.warning{color:var(--warn)}.soft{color:var(--soft)}.scroll{overflow:auto;max-height:560px}.scroll:focus{outline:1px solid var(--line)}
`

/** Draws the page from the data in it. Text is only ever set as text. */
const PAGE_SCRIPT = `
const data = JSON.parse(document.getElementById('data').textContent)
const main = document.querySelector('main')
function make(tag, text, parent = main, kind = '') {
  const element = document.createElement(tag)
  if (text !== undefined) element.textContent = text
  if (kind) element.className = kind
  parent.append(element)
  return element
}
function table(heads, parent = main) {
  const scroll = make('div', undefined, parent, 'scroll')
  scroll.tabIndex = 0
  const element = make('table', undefined, scroll)
  const row = make('tr', undefined, make('thead', undefined, element))
  for (const head of heads) make('th', head, row)
  return make('tbody', undefined, element)
}
function addRow(body, values, kinds = []) {
  const row = make('tr', undefined, body)
  values.forEach((value, i) => make('td', value, row, kinds[i]))
}
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()
const iso = (second) => new Date(second * 1000).toISOString()
function timeText(second, step) {
  const text = iso(second)
  return step >= 86400 ? text.slice(5, 10) : step >= 60 ? text.slice(11, 16) : text.slice(11, 19)
}
const rateText = (rate) => String(Number(rate.toPrecision(3)))

make('h1', 'IPVS synchronisation report')
make('div', data.title, main, 'soft')
const card = make('div', undefined, main, 'card')
make('p', data.total, card)
const summary = make('tbody', undefined, make('table', undefined, card))
for (const [kind, text] of data.summary) {
  const row = make('tr', undefined, summary)
  make('th', kind, row).scope = 'row'
  make('td', text, row, 'wide')
}

const LINE_COLORS = ['#3b82f6', '#f59e0b', '#10b981', '#ef4444', '#8b5cf6', '#ec4899', '#14b8a6', '#84cc16', '#f97316', '#6366f1', '#06b6d4', '#94a3b8']
const HEIGHT = 210
const plots = []
const grid = make('div', undefined, main, 'plots')
// Every box exists before the first drawing, which takes its width from the grid.
const boxes = data.plots.filter(({ times }) => times.length > 0).map((plot) => ({ plot, box: make('div', undefined, grid, 'plot') }))
for (const { plot, box } of boxes) {
  make('h2', plot.title + ' per second', box)
  const axis = { stroke: () => color('--soft'), grid: { stroke: () => color('--line'), width: 1 }, ticks: { stroke: () => color('--line'), width: 1 } }
  const drawing = new uPlot({
    width: box.clientWidth,
    height: HEIGHT,
    tzDate: (second) => uPlot.tzDate(new Date(second * 1000), 'UTC'),
    cursor: { y: false },
    legend: { live: false },
    scales: { y: { range: (_, min, max) => [0, max > 0 ? max * 1.1 : 1] } },
    axes: [
      { ...axis, space: 80, size: 34, values: (_, seconds, i, space, step) => seconds.map((second) => timeText(second, step)) },
      { ...axis, size: 48, values: (_, rates) => rates.map(rateText) }
    ],
    series: [{}, ...plot.lines.map(({ name }, i) => ({ label: name, stroke: LINE_COLORS[i], width: 1.5, points: { show: plot.times.length < 30 } }))]
  }, [plot.times, ...plot.lines.map(({ rates }) => rates)], box)
  plots.push({ box, drawing })
  const details = make('details', undefined, box)
  make('summary', 'as a table (UTC)', details)
  details.addEventListener('toggle', () => {
    const body = table(['time', ...plot.lines.map(({ name }) => name)], details)
    plot.times.forEach((second, i) => addRow(body, [iso(second).slice(0, 19), ...plot.lines.map(({ rates }) => rateText(rates[i]))]))
  }, { once: true })
}
addEventListener('resize', () => {
  for (const { box, drawing } of plots) drawing.setSize({ width: box.clientWidth, height: HEIGHT })
})
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  for (const { drawing } of plots) drawing.redraw(false, true)
})

make('h2', 'Gaps')
if (data.gaps.length === 0) make('p', 'No time of 3 s or more without a message.', main, 'soft')
else {
  const body = table(['from (UTC)', 'to (UTC)', 'seconds'])
  for (const { from, to } of data.gaps) addRow(body, [iso(from / 1000), iso(to / 1000), ((to - from) / 1000).toFixed(3)])
}

make('h2', 'Problems')
if (data.problems.length === 0) make('p', 'None.', main, 'soft')
else {
  const kinds = table(['code', 'receiver', 'times', 'meaning'])
  for (const { code, severity, count, meaning } of data.problemKinds) addRow(kinds, [code, severity, count, meaning], ['', severity, '', 'wide'])
  const shown = data.problems.length
  make('h3', shown < data.problemCount ? 'The first ' + shown + ' of ' + data.problemCount : 'Each of them')
  const body = table(['packet', 'receiver', 'code', 'found'])
  for (const [packet, severity, code, found] of data.problems) addRow(body, [packet || '', severity, code, found], ['', severity, '', 'wide'])
}

make('h2', 'Connections')
const search = make('input')
search.type = 'search'
search.id = 'search'
search.placeholder = 'address, port, state …'
search.setAttribute('aria-label', 'search connections')
const count = make('p', '', main, 'soft')
count.id = 'count'
count.setAttribute('aria-live', 'polite')
const SHOWN = 1000
const connections = table(['protocol', 'client', 'virtual', 'destination', 'last state', 'last announced', 'records'])
connections.id = 'connections'
function show() {
  const words = search.value.toLowerCase().split(/\\s+/).filter(Boolean)
  const found = data.connections.filter((connection) => {
    const text = connection.join(' ').toLowerCase()
    return words.every((word) => text.includes(word))
  })
  connections.replaceChildren()
  for (const connection of found.slice(0, SHOWN)) addRow(connections, connection)
  count.textContent = found.length + ' of ' + data.connections.length + ' connections' +
    (found.length > SHOWN ? ', the first ' + SHOWN + ' shown' : '') +
    (data.isCut ? ' (the page holds the ' + data.connections.length + ' that were announced first)' : '')
}
search.addEventListener('input', show)
show()
make('footer', data.footer)
`
