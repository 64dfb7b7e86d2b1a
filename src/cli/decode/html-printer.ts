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
import { PAGE_SCRIPT, PAGE_STYLE } from './html-page.js'
import type { MessageRecords } from './message-records.js'
import type { Output } from './output.js'
import type { Printer } from './printer.js'
import { Summary } from './summary.js'
import { styleFor } from './style.js'
import { TimeSeries } from './tally.js'
import { readUPlot } from './uplot.js'

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
    const { script, style, licence } = readUPlot()
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
