/**
 * `decode --format html`: one page with plots, problems, gaps and a table of connections. It loads nothing.
 *
 * @module
 */

import type { CaptureFinding } from '../../capture/items.js'
import { PROBLEMS } from '../../wire/problems.js'
import { protocolName, stateName } from '../../wire/protocols.js'
import { FLAG } from '../../wire/constants.js'
import { endpointText } from '../../wire/terminal-text.js'
import type { CapturedMessage } from './captured-message.js'
import { addressOf } from './filter.js'
import type { MessageRecords } from './message-records.js'
import type { Output } from './output.js'
import type { Printer } from './printer.js'
import { Summary } from './summary.js'
import { styleFor } from './style.js'
import { TimeSeries } from './tally.js'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const { TEMPLATE: FLAG_TEMPLATE } = FLAG

/** Lines of one plot; further values are not drawn. */
const MOST_SERIES = 12
/** Connections in the table: those that were announced first. */
const MOST_CONNECTIONS = 5000
/** Problems in the list. */
const MOST_PROBLEMS = 1000

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
    // Reads uPlot from its package.
    const folder = dirname(createRequire(import.meta.url).resolve('uplot/package.json'))
    const read = (name: string): string => readFileSync(join(folder, name), 'utf8')
    const { script, style, licence } = {
      script: read('dist/uPlot.iife.min.js'),
      style: read('dist/uPlot.min.css'),
      licence: read('LICENSE')
    }
    const data = {
      title: this.#title,
      summary: this.#summary.lines(styleFor(false)),
      gaps: this.#summary.gaps,
      plots: [
        plot('Messages', new Map([['messages', this.#summary.messagesOverTime]])),
        plot('Records', new Map([['records', this.#summary.recordsOverTime]])),
        plot('Records by state', this.#series.state),
        plot('Records by protocol', this.#series.protocol),
        plot('Records by sender', this.#series.sender)
      ],
      problems: this.#problems,
      connections: [...this.#connections.values()],
      isCut: this.#connections.size >= MOST_CONNECTIONS
    }
    // No text from the network can end the script element.
    const json = JSON.stringify(data).replaceAll('<', '\\u003c')
    this.#output.write(
      [
        '<!doctype html>',
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
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
    let series = all.get(value)
    if (series === undefined) {
      if (all.size >= MOST_SERIES) return
      all.set(value, (series = new TimeSeries()))
    }
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
    if (before === undefined && this.#connections.size >= MOST_CONNECTIONS) return
    this.#connections.set(key, [protocol, ...ends, state, time, before === undefined ? 1 : Number(before[6]) + 1])
  }

  #problem(packet: number, code: string, severity: string, text: string): void {
    if (this.#problems.length >= MOST_PROBLEMS) return
    const known = (PROBLEMS as Readonly<Record<string, { readonly text?: string }>>)[code]
    this.#problems.push([packet, severity, code, text, known?.text ?? ''])
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
:root{color-scheme:light dark;--fg:#1d2430;--bg:#fff;--soft:#687386;--line:#d9dee6;--card:#f6f8fa;--bad:#b3261e;--warn:#8a5a00}
@media(prefers-color-scheme:dark){:root{--fg:#e3e8ef;--bg:#12161c;--soft:#97a3b4;--line:#2c3542;--card:#1a2029;--bad:#ff8a80;--warn:#f0c060}}
body{margin:0;font:14px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg)}
main{max-width:1100px;margin:0 auto;padding:24px}h1{font-size:22px;margin:0}h2{font-size:16px;margin:28px 0 8px}
pre{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:12px;overflow:auto;white-space:pre-wrap}
table{border-collapse:collapse;width:100%;font-size:13px;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:4px 10px 4px 0;border-bottom:1px solid var(--line);vertical-align:top}th{color:var(--soft);font-weight:600}
input{font:inherit;padding:6px 10px;width:320px;max-width:100%;border:1px solid var(--line);border-radius:6px;background:var(--bg);color:var(--fg)}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(480px,1fr));gap:20px}.plot h2{margin-top:0}.u-legend{font-size:12px}
.drop,.skip{color:var(--bad)}.warning{color:var(--warn)}.soft{color:var(--soft)}.scroll{overflow:auto;max-height:560px}
`

/** Draws the page from the data in it. Text is only ever set as text. */
const PAGE_SCRIPT = `
const data=JSON.parse(document.getElementById('data').textContent)
const main=document.querySelector('main')
const make=(tag,text,parent=main,kind='')=>{const e=document.createElement(tag);if(text!==undefined)e.textContent=text;if(kind)e.className=kind;parent.append(e);return e}
make('h1','IPVS synchronisation report');make('div',data.title,main,'soft')
make('pre',data.summary.join('\\n'))
const css=name=>getComputedStyle(document.documentElement).getPropertyValue(name).trim()
const colours=['#3b82f6','#f59e0b','#10b981','#ef4444','#8b5cf6','#ec4899','#14b8a6','#84cc16','#f97316','#6366f1','#06b6d4','#a3a3a3']
const grid=make('div',undefined,main,'plots')
for(const p of data.plots){if(p.times.length===0)continue
 const box=make('div',undefined,grid,'plot');make('h2',p.title+' per second',box)
 const axis={stroke:css('--soft'),grid:{stroke:css('--line')},ticks:{stroke:css('--line')}}
 new uPlot({width:500,height:210,legend:{live:false},scales:{y:{range:(u,min,max)=>[0,max>0?max*1.1:1]}},axes:[axis,{...axis,size:60}],
  series:[{},...p.lines.map((l,i)=>({label:l.name,stroke:colours[i%12],width:1.5,points:{show:p.times.length<30}}))]},
  [p.times,...p.lines.map(l=>l.rates)],box)}
const table=(heads,parent)=>{const wrap=make('div',undefined,parent,'scroll'),t=make('table',undefined,wrap),h=make('tr',undefined,make('thead',undefined,t));for(const x of heads)make('th',x,h);return make('tbody',undefined,t)}
make('h2','Gaps')
if(data.gaps.length===0)make('p','No time of 3 s or more without a message.',main,'soft')
else{const b=table(['from','to','seconds'],main);for(const g of data.gaps){const r=make('tr',undefined,b);make('td',new Date(g.from).toISOString(),r);make('td',new Date(g.to).toISOString(),r);make('td',((g.to-g.from)/1000).toFixed(3),r)}}
make('h2','Problems')
if(data.problems.length===0)make('p','None.',main,'soft')
else{const b=table(['packet','receiver','code','found','meaning'],main);for(const p of data.problems){const r=make('tr',undefined,b);p.forEach((x,i)=>make('td',x,r,i===1?p[1]:''))}}
make('h2','Connections')
const search=make('input');search.type='search';search.placeholder='address, port, state …';search.id='search'
const count=make('p','',main,'soft');count.id='count'
const body=table(['protocol','client','virtual','destination','last state','last announced','records'],main)
const show=()=>{const words=search.value.toLowerCase().split(/\\s+/).filter(Boolean)
 const found=data.connections.filter(c=>{const text=c.join(' ').toLowerCase();return words.every(w=>text.includes(w))})
 body.replaceChildren();for(const c of found.slice(0,1000)){const r=make('tr',undefined,body);for(const x of c)make('td',x,r)}
 count.textContent=found.length+' of '+data.connections.length+' connections'+(found.length>1000?', the first 1000 shown':'')+(data.isCut?' (the page holds the first '+data.connections.length+')':'')}
search.addEventListener('input',show);show()
`
