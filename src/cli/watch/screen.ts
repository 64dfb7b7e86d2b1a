/**
 * Draws a snapshot of `watch` for a terminal of any size, and as one line for a log. Pure.
 *
 * @module
 */

import { counted } from '../../text.js'
import { printable } from '../../wire/terminal-text.js'
import type { SenderRow, WatchSnapshot } from './model.js'

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
