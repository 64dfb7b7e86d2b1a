/**
 * What a capture held, in numbers.
 *
 * @module
 */

import type { CaptureFinding } from '../../capture/items.js'
import { counted } from '../../text.js'
import { protocolName, stateName } from '../../wire/protocols.js'
import { FLAG } from '../../wire/constants.js'
import type { CapturedMessage } from './captured-message.js'
import type { MessageRecords } from './message-records.js'
import type { Style } from './style.js'
import { DistinctCount, Tally, TimeSeries } from './tally.js'

const { TEMPLATE: FLAG_TEMPLATE } = FLAG

/** How many values of one kind are printed. */
const SHOWN = 12
/** Milliseconds without a message that count as a gap: a kernel sends what it holds every 2 seconds. */
const GAP_MS = 3000
/** How many gaps are kept: the longest. */
const GAPS = 5
/** Characters of a sparkline. */
const SPARK = '▁▂▃▄▅▆▇█'
const SPARK_WIDTH = 60

/** Time without messages. */
export interface Gap {
  /** When the message before it came, in milliseconds since 1970. */
  readonly from: number
  readonly to: number
}

/** Counts messages and prints the sums. */
export class Summary {
  /** Messages and records over time. */
  readonly messagesOverTime = new TimeSeries()
  readonly recordsOverTime = new TimeSeries()
  #messages = 0
  #records = 0
  #fragmented = 0
  #problems = 0
  #firstMs: number | undefined
  #lastMs: number | undefined
  #gaps: Gap[] = []
  readonly #distinct = new DistinctCount()
  /** Records by protocol, state and template, as one number. */
  readonly #states = new Map<number, number>()
  readonly #by = {
    version: new Tally(),
    syncid: new Tally(),
    channel: new Tally(),
    sender: new Tally(),
    protocol: new Tally(),
    state: new Tally(),
    extension: new Tally(),
    problem: new Tally()
  }

  /** The longest times without a message, the longest first. */
  get gaps(): readonly Gap[] {
    return this.#gaps
  }

  /** Counts a message. */
  message(message: CapturedMessage): void {
    const { records, problems, port, channel, ms } = message
    const by = this.#by
    this.#messages += 1
    this.#records += records.count
    if (message.fragments > 1) this.#fragmented += 1
    by.version.add(records.version === 1 ? '1' : '0')
    by.syncid.add(String(records.syncid))
    by.channel.add(`${channel} (port ${port})`)
    by.sender.add(message.sender)
    const { control, seal } = message.extension ?? {}
    if (control !== undefined) by.extension.add(`${control.protocol} ${control.kind}`)
    if (seal !== undefined) by.extension.add('sealed')
    for (let record = 0; record < records.count; record++) this.#record(records, record)
    for (const { code, severity } of problems) this.#problem(code, severity)
    if (ms !== undefined) {
      const second = Math.floor(ms / 1000)
      this.messagesOverTime.add(second, 1)
      this.recordsOverTime.add(second, records.count)
      this.#firstMs ??= ms
      const from = this.#lastMs ?? ms
      this.#lastMs = Math.max(from, ms)
      if (ms - from >= GAP_MS)
        this.#gaps = [...this.#gaps, { from, to: ms }]
          .sort((one, two) => two.to - two.from - (one.to - one.from))
          .slice(0, GAPS)
    }
  }

  /** Counts a problem outside of the messages. */
  finding({ problem: { code, severity } }: CaptureFinding): void {
    this.#problem(code, severity)
  }

  /** The summary as values, for a program. */
  toJSON(): object {
    const tallies = Object.fromEntries(
      Object.entries(this.#tallies()).map(([kind, tally]) => [kind, Object.fromEntries(tally.sorted())])
    )
    return {
      messages: this.#messages,
      records: this.#records,
      connections: this.#distinct.count,
      problems: this.#problems,
      fragmented: this.#fragmented,
      first: isoText(this.#firstMs),
      last: isoText(this.#lastMs),
      ...tallies,
      gaps: this.#gaps.map(({ from, to }) => ({ from: isoText(from), to: isoText(to), seconds: (to - from) / 1000 })),
      bucketSeconds: this.recordsOverTime.width,
      recordsOverTime: this.recordsOverTime.counts
    }
  }

  /**
   * Returns the summary line by line.
   *
   * @param hasSparkline - Whether to draw the records over time.
   */
  lines(style: Style, hasSparkline = false): string[] {
    const [total, span] = this.totals()
    return [
      style.strong(total) + span,
      ...this.rows(hasSparkline).map(([kind, text]) => (kind === '' ? `  ${text}` : `  ${kind.padEnd(10)}${text}`))
    ]
  }

  /** Returns the counts, and the time from the first to the last message. */
  totals(): readonly [total: string, span: string] {
    const span = this.#firstMs === undefined ? '' : `, ${isoText(this.#firstMs)!} to ${isoText(this.#lastMs)!}`
    const distinct = `${this.#distinct.isFull ? 'at least ' : ''}${counted(this.#distinct.count, 'distinct connection')}`
    const total = `${counted(this.#messages, 'message')}, ${counted(this.#records, 'record')}, ${distinct}, ${counted(this.#problems, 'problem')}`
    return [total, span]
  }

  /**
   * Returns the rows below the totals, each with its heading.
   *
   * @param hasSparkline - Whether to draw the records over time.
   */
  rows(hasSparkline = false): (readonly [kind: string, text: string])[] {
    const rows: (readonly [string, string])[] = []
    for (const [kind, tally] of Object.entries(this.#tallies())) {
      const values = tally.sorted()
      if (values.length > 0) rows.push([kind, list(values)])
    }
    rows.push(...this.#rateRows(hasSparkline))
    if (this.#fragmented > 0) {
      rows.push([
        '',
        `${counted(this.#fragmented, 'message')} arrived in IP fragments: the sender's sync_maxlen is larger than the path's MTU allows`
      ])
    }
    return rows
  }

  /** How often each value came, by kind. */
  #tallies(): Record<string, Tally> {
    const protocol = new Tally()
    const state = new Tally()
    for (const [key, count] of this.#states) {
      const [isTemplate, number, value] = [key >>> 24 !== 0, (key >>> 16) & 255, key & 0xffff]
      protocol.add(protocolName(number), count)
      state.add(`${isTemplate ? 'template' : protocolName(number)} ${stateName(number, isTemplate, value)}`, count)
    }
    return { ...this.#by, protocol, state }
  }

  #rateRows(hasSparkline: boolean): (readonly [string, string])[] {
    if (this.#firstMs === undefined || this.#lastMs! <= this.#firstMs) return []
    const seconds = (this.#lastMs! - this.#firstMs) / 1000
    const { counts, width } = this.recordsOverTime
    const peak = Math.max(...counts) / width
    const rate = `${perSecond(this.#messages / seconds)} messages/s, ${perSecond(this.#records / seconds)} records/s, at most ${perSecond(peak)} records/s in ${width} s`
    const rows: (readonly [string, string])[] = [['rate', rate]]
    if (hasSparkline) rows.push([' ', sparkline(counts)])
    const gaps = this.#gaps.map(({ from, to }) => `${perSecond((to - from) / 1000)} s from ${isoText(from)!}`)
    if (gaps.length > 0) rows.push(['gaps', gaps.join(', ')])
    return rows
  }

  #record(records: MessageRecords, record: number): void {
    const flags = records.flags(record)
    const key = ((flags & FLAG_TEMPLATE) !== 0 ? 1 << 24 : 0) | (records.protocol(record) << 16) | records.state(record)
    const before = this.#states.get(key)
    if (before !== undefined || this.#states.size < 1000) this.#states.set(key, (before ?? 0) + 1)
    const { view } = records
    const at = records.addressesAt(record)
    const ports = records.portsAt(record)
    let one = Math.imul(view.getInt32(ports) ^ (key >>> 16), 0x9e3779b1)
    let other = Math.imul(one ^ (one >>> 15), 0x85ebca6b)
    const end = at + (records.isIpv6(record) ? 32 : 8)
    for (let from = at; from < end; from += 4) {
      const word = view.getInt32(from)
      one = Math.imul(one ^ word, 0x85ebca6b)
      one ^= one >>> 13
      other = Math.imul(other ^ word, 0xc2b2ae35)
      other ^= other >>> 16
    }
    this.#distinct.add(one ^ (one >>> 16), other)
  }

  #problem(code: string, severity: string): void {
    this.#problems += 1
    this.#by.problem.add(`${code} (${severity})`)
  }
}

function isoText(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : new Date(ms).toISOString()
}

function perSecond(value: number): string {
  return value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : value.toFixed(0)
}

function sparkline(counts: readonly number[]): string {
  const step = Math.max(1, Math.ceil(counts.length / SPARK_WIDTH))
  const sums = Array.from({ length: Math.ceil(counts.length / step) }, (_, i) =>
    counts.slice(i * step, (i + 1) * step).reduce((sum, count) => sum + count, 0)
  )
  const most = Math.max(...sums, 1)
  return sums.map((sum) => (sum === 0 ? ' ' : SPARK[Math.min(7, Math.floor((sum / most) * 8))]!)).join('')
}

function list(values: readonly (readonly [string, number])[]): string {
  const shown = values.slice(0, SHOWN).map(([value, number]) => `${value}: ${number}`)
  const left = values.length - shown.length
  return left === 0 ? shown.join(', ') : `${shown.join(', ')}, and ${left} more`
}
