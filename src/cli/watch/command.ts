/**
 * `ipvs-sync watch`: a full-screen view of a group, a running daemon, or a capture.
 *
 * @module
 */

import { aborted } from '../service.js'
import type { Command } from 'commander'
import type { Readable } from 'node:stream'
import { fileSource } from '../decode/sources.js'
import { type Host, thisHost } from '../doctor/host.js'
import type { Io } from '../io.js'
import { addNotes } from '../notes.js'
import { addDaemonOptions, type DaemonOptions } from '../options.js'
import { type HostPort, integerOption, parseListen } from '../parsers.js'
import type { SenderRow, WatchSnapshot } from './model.js'
import { watchCapture, watchGroup, watchHttp, type WatchSource } from './model.js'
import { IpvsSyncError } from '../../errors.js'
import { counted } from '../../text.js'
import { SYNC_GROUP } from '../../wire/constants.js'
import { printable } from '../../wire/terminal-text.js'

interface Options extends DaemonOptions {
  readonly http?: HostPort
  readonly capture?: string
  readonly speed: number
  /** Undefined watches until interrupted. */
  readonly seconds?: number
}

/** Adds its options. */
export function configure(command: Command): void {
  addDaemonOptions(command)
    .option('--http <[host:]port>', 'watch a running daemon here instead of the group', (text) =>
      parseListen('--http', text)
    )
    .option('--capture <file>', 'replay a capture instead; - is standard input')
    .option('--speed <factor>', 'replay this many times as fast; 0 at once', integerOption('--speed', 0, 1_000_000), 1)
    .option('--seconds <number>', 'end after this many seconds', integerOption('--seconds', 1, 86_400))
  addNotes(command, {
    text: [
      'Keys: q quits, p pauses, s changes the order of the senders, / filters lines. Without a terminal it prints a line a second. It reads only.'
    ],
    examples: [
      'ipvs-sync watch --mcast-interface eth1 --syncid 5',
      'ipvs-sync watch --http 9848',
      'ipvs-sync watch --capture sync.pcap --speed 10'
    ]
  })
}

/** Shows the view until the user quits. */
export async function execute(command: Command, io: Io, host: Host = thisHost): Promise<number> {
  const options = command.opts<Options>()
  const end = new AbortController()
  const stop = (): void => end.abort()
  if (io.signal.aborted) stop()
  io.signal.addEventListener('abort', stop, { once: true })
  const source = await sourceOf(options, io, host, end.signal)
  const timer = options.seconds === undefined ? undefined : setTimeout(stop, options.seconds * 1000)
  const show = io.stdout.isTTY === true ? showScreen : showLines
  try {
    await show(source, io, end)
  } finally {
    stop()
    clearTimeout(timer)
    await source.close()
  }
  return 0
}

async function sourceOf(options: Options, io: Io, host: Host, end: AbortSignal): Promise<WatchSource> {
  const { http, capture, mcastInterface, syncid, mcastGroup = SYNC_GROUP, mcastPort } = options
  if (http !== undefined)
    return watchHttp(host, `${http.host.includes(':') ? `[${http.host}]` : http.host}:${http.port ?? 0}`, end)
  if (capture !== undefined)
    return watchCapture(capture, capture === '-' ? io.stdin : fileSource(capture).chunks, syncid, options.speed, end)
  if (mcastInterface === undefined)
    throw new IpvsSyncError(
      'ERR_CONFIG',
      '--mcast-interface: expected an interface name, or --http PORT, or --capture FILE',
      { field: 'mcast-interface' }
    )
  return watchGroup(host, { interfaceName: mcastInterface, syncid, group: mcastGroup, port: mcastPort }, end)
}

/** Prints a line a second, and a last one. */
async function showLines(source: WatchSource, io: Io, end: AbortController): Promise<void> {
  const print = (): void =>
    void io.stdout.write(`${watchLine(source.snapshot(), new Date().toISOString().slice(11, 19))}\n`)
  const timer = setInterval(print, 1000)
  try {
    await Promise.race([source.ended, aborted(end.signal)])
  } finally {
    clearInterval(timer)
  }
  print()
}

/** Enters the alternate screen without a cursor, and leaves it again. */
const ENTER = '\u001b[?1049h\u001b[?25l'
const LEAVE = '\u001b[?25h\u001b[?1049l'

/** Redraws twice a second in place: each line overwrites the old one, so nothing flickers. */
async function showScreen(source: WatchSource, io: Io, end: AbortController): Promise<void> {
  const { stdout } = io
  const stdin: Readable & { readonly isTTY?: boolean; setRawMode?: (isRaw: boolean) => unknown } = io.stdin
  let view: WatchView = { sort: 'messages', filter: '', isTyping: false, isPaused: false }
  let snapshot = source.snapshot()
  const draw = (): void => {
    if (!view.isPaused) snapshot = source.snapshot()
    const { columns = 80, rows = 24 } = stdout as { readonly columns?: number; readonly rows?: number }
    const lines = drawWatch(snapshot, view, { columns, rows }, io.env['NO_COLOR'] === undefined)
    stdout.write(`\u001b[H${lines.map((line) => `${line}\u001b[K`).join('\r\n')}`)
  }
  const onKey = (chunk: Buffer | string): void => {
    const text = String(chunk)
    // A key such as an arrow arrives as one escape sequence; several typed keys may arrive in one chunk.
    for (const key of text.length > 1 && text.startsWith('\u001b') ? [] : text) {
      const next = pressKey(view, key)
      if (next === 'quit') {
        end.abort()
        return
      }
      view = next
    }
    draw()
  }
  const reads = stdin.isTTY === true
  stdout.write(ENTER)
  const timer = setInterval(draw, 500)
  stdout.on('resize', draw)
  if (reads) {
    stdin.setRawMode?.(true)
    stdin.on('data', onKey)
  }
  try {
    draw()
    // A capture that has ended stays on the screen until the user quits.
    source.ended.catch(() => end.abort())
    await aborted(end.signal)
    await source.ended
  } finally {
    clearInterval(timer)
    stdout.off('resize', draw)
    if (reads) {
      stdin.off('data', onKey)
      stdin.setRawMode?.(false)
      stdin.pause()
    }
    stdout.write(LEAVE)
  }
}

/** Orders of the senders, in the order of the key `s`. */
export const SORTS = ['messages', 'rate', 'age', 'address'] as const

/** What the user chose by keys. */
export interface WatchView {
  readonly sort: (typeof SORTS)[number]
  /** Only lines with this text are shown; empty shows all. */
  readonly filter: string
  /** Whether the filter is being typed. */
  readonly isTyping: boolean
  readonly isPaused: boolean
}

/** Size of a terminal. */
export interface Size {
  readonly columns: number
  readonly rows: number
}

/** One column of the senders. */
interface Column {
  readonly title: string
  /** Characters; negative for text, which stands at the left. */
  readonly width: number
  readonly text: (row: SenderRow) => string
  /** Columns of the highest number are left out first where the terminal is narrow. */
  readonly rank: number
}

const COLUMNS: readonly Column[] = [
  { title: 'SENDER', width: -22, text: ({ address }) => address, rank: 0 },
  { title: 'SYNCID', width: 6, text: ({ syncid }) => String(syncid), rank: 2 },
  { title: 'VER', width: 3, text: ({ versions }) => versions, rank: 6 },
  { title: 'PORTS', width: -9, text: ({ ports }) => ports, rank: 5 },
  { title: 'MESSAGES', width: 8, text: ({ messages }) => String(messages), rank: 4 },
  { title: 'MSG/S', width: 6, text: ({ rate }) => rate.toFixed(1), rank: 1 },
  { title: 'RECORDS', width: 8, text: ({ connections }) => String(connections), rank: 7 },
  { title: 'AGE', width: 5, text: ({ age }) => (age < 1000 ? age.toFixed(1) : age.toFixed(0)), rank: 1 },
  { title: 'LOST', width: 5, text: ({ lost }) => (lost === undefined ? '-' : String(lost)), rank: 3 }
]

const BARS = '▁▂▃▄▅▆▇█'

/** Returns a line of bars, scaled to the largest value. */
export function sparkline(values: readonly number[]): string {
  const most = Math.max(1, ...values)
  return values.map((value) => (value === 0 ? ' ' : BARS[Math.min(7, Math.floor((value / most) * 7.99))]!)).join('')
}

/** Returns exactly `rows` lines of at most `columns` characters; control characters of remote text are escaped. */
export function drawWatch(
  snapshot: WatchSnapshot,
  view: WatchView,
  { columns, rows }: Size,
  hasColor: boolean
): string[] {
  const paint = (code: number, text: string): string => (hasColor ? `\u001b[${code}m${text}\u001b[0m` : text)
  const fit = (text: string): string => (text.length > columns ? `${text.slice(0, columns - 1)}…` : text)
  const total = snapshot.table.reduce((sum, { connections }) => sum + connections, 0)
  const matches = (text: string): boolean => text.toLowerCase().includes(view.filter.toLowerCase())
  let shownColumns = COLUMNS
  const widthOf = (list: readonly Column[]): number => list.reduce((sum, { width }) => sum + Math.abs(width) + 1, -1)
  for (let rank = 7; rank > 1 && widthOf(shownColumns) > columns; rank--)
    shownColumns = shownColumns.filter((column) => column.rank < rank)
  const line = (text: (column: Column) => string): string =>
    shownColumns
      .map((column) => (column.width < 0 ? text(column).padEnd(-column.width) : text(column).padStart(column.width)))
      .join(' ')
  const senders = [...snapshot.senders]
    .sort((a, b) => {
      if (view.sort === 'address') return a.address.localeCompare(b.address)
      return view.sort === 'age' ? a.age - b.age : b[view.sort] - a[view.sort]
    })
    .map((row) => line((column) => column.text(row)))
    .filter(matches)
  const table = snapshot.table
    .map(
      ({ protocol, state, connections }) =>
        `${protocol.padEnd(6)} ${state.padEnd(12)} ${String(connections).padStart(8)}`
    )
    .filter(matches)
  const changes = snapshot.changes.map(printable).filter(matches)
  const problems = snapshot.problems.map(printable)
  const room = Math.max(0, rows - 8 - Math.min(problems.length, 3))
  const senderRows = Math.min(senders.length, Math.max(1, Math.floor(room / 3)))
  const tableRows = Math.min(table.length, Math.max(1, Math.floor((room - senderRows) / 2)))
  const heading = (text: string): string => paint(1, fit(text))
  const keys = view.isTyping
    ? `filter: ${view.filter}_  (Enter keeps, Esc clears)`
    : `q quit  p ${view.isPaused ? 'continue' : 'pause'}  s sort: ${view.sort}  / filter${view.filter === '' ? '' : `: ${view.filter}`}`
  const width = Math.max(0, Math.min(60, columns - 22))
  const lines = [
    heading(`ipvs-sync watch  ${view.isPaused ? 'PAUSED  ' : ''}${printable(snapshot.source)}`),
    fit(`messages a second  ${sparkline(snapshot.history.slice(snapshot.history.length - width))}`),
    heading(line(({ title }) => title)),
    ...(senders.length === 0 ? ['nothing received yet'] : senders.slice(0, senderRows)).map(fit),
    heading(`TABLE  ${counted(total, 'connection')}`),
    ...table.slice(0, tableRows).map(fit),
    ...(problems.length === 0 ? [paint(32, 'no problem')] : problems.slice(0, 3).map((text) => paint(31, fit(text)))),
    heading('NEWEST CHANGES')
  ]
  const rest = Math.max(0, rows - lines.length - 1)
  const shown = changes.slice(0, rest).map(fit)
  const padding = new Array<string>(Math.max(0, rest - shown.length)).fill('')
  return [...lines, ...shown, ...padding].slice(0, Math.max(0, rows - 1)).concat(paint(2, fit(keys)))
}

/** Returns one line that sums up the snapshot. */
export function watchLine({ senders, table, problems }: WatchSnapshot, time: string): string {
  const total = table.reduce((sum, { connections }) => sum + connections, 0)
  const who = senders.map(
    ({ address, syncid, rate, age }) => `${address} syncid ${syncid} ${rate.toFixed(1)} msg/s age ${age.toFixed(1)} s`
  )
  return printable(
    `${time}  ${who.join(', ') || 'nothing received'}; table ${total}; ${problems.length === 0 ? 'no problem' : problems.join(', ')}`
  )
}

/** Applies a key; `quit` ends the view. */
export function pressKey(view: WatchView, key: string): WatchView | 'quit' {
  if (key === '\u0003') return 'quit'
  if (view.isTyping) {
    if (key === '\r' || key === '\n') return { ...view, isTyping: false }
    if (key === '\u001b') return { ...view, isTyping: false, filter: '' }
    if (key === '\u007f' || key === '\b') return { ...view, filter: view.filter.slice(0, -1) }
    return /^[ -~]+$/.test(key) ? { ...view, filter: (view.filter + key).slice(0, 40) } : view
  }
  switch (key) {
    case 'q':
      return 'quit'
    case 'p':
      return { ...view, isPaused: !view.isPaused }
    case 's':
      return { ...view, sort: SORTS[(SORTS.indexOf(view.sort) + 1) % SORTS.length]! }
    case '/':
      return { ...view, isTyping: true, filter: '' }
    default:
      return view
  }
}
