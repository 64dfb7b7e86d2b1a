/**
 * A run's figures as text and as a page.
 *
 * @module
 */
import { reasonText, type Reason } from '../../director/index.js'
import { counted } from '../../text.js'
import type { RunResult } from './run.js'
import type { Course } from './timelines.js'

/** A run and the settings that it differs by. */
export interface NamedRun {
  readonly name: string
  readonly result: RunResult
}

/** Connections listed of a failover at most. */
const MAX_LISTED = 50

/** The figures of each run, side by side. */
export function tableReport(runs: readonly NamedRun[], failoverAt: number | undefined): string {
  const columns = runs.map(({ result }) => figuresOf(result, failoverAt))
  const names = columns[0]!.map(([name]) => name)
  const rows = [
    ['', ...runs.map(({ name }) => name)],
    ...names.map((name, at) => [name, ...columns.map((column) => column[at]![1])])
  ]
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const shown = runs.length === 1 ? rows.slice(1) : rows
  const lines = shown.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join('  ')
      .trimEnd()
  )
  const lists = runs.length === 1 ? [...outcomesOf(runs[0]!.result), ...lostOf(runs[0]!.result, failoverAt)] : []
  return [...lines, ...lists].map((line) => `${line}\n`).join('')
}

function figuresOf(result: RunResult, failoverAt: number | undefined): (readonly [string, string])[] {
  const { counts, timelines, firstMs, lastMs } = result
  const seconds = (lastMs - firstMs) / 1000
  const connections = timelines.all.filter(({ isTemplate }) => !isTemplate)
  const announced = connections.filter(({ isAnnounced }) => isAnnounced).length
  const losses = timelines.losses(firstMs, lastMs)
  const course = ({ mean, worst }: Course): string => `${decimal(mean)} mean, ${worst.count} worst`
  return [
    ['frames', String(counts.frames)],
    ['packets of the director', String(counts.handled)],
    ['sent by the director itself', String(counts.own)],
    ['between other hosts', String(counts.bypassing)],
    ['other traffic', String(counts.foreign)],
    ['cut off or not understood', String(counts.unreadable + counts.timeless)],
    ['seconds', decimal(seconds)],
    ['connections', String(connections.length)],
    ...['TCP', 'UDP', 'SCTP'].map(
      (name) => [`  ${name}`, String(connections.filter(({ protocol }) => protocol === name).length)] as const
    ),
    ['templates', String(timelines.all.length - connections.length)],
    [
      'announced',
      connections.length === 0 ? '0' : `${announced} (${decimal((100 * announced) / connections.length)} %)`
    ],
    ['records', String(result.records)],
    ['messages', `${result.messages}${result.lostMessages > 0 ? `, ${result.lostMessages} lost` : ''}`],
    ['bytes', String(result.bytes)],
    ['bytes a second', seconds > 0 ? `${decimal(result.bytes / seconds)} mean, ${result.peakBytes} peak` : '0'],
    ['records a second', seconds > 0 ? `${decimal(result.records / seconds)} mean, ${result.peakRecords} peak` : '0'],
    ['live connections', course(timelines.live(firstMs, lastMs))],
    ['held by a backup', course(timelines.held(firstMs, lastMs))],
    ['ghosts of a backup', course(timelines.ghosts(firstMs, lastMs))],
    ['lost by a failover', course(losses)],
    ['  worst moment', `${decimal((losses.worst.atMs - firstMs) / 1000)} s`],
    ...(failoverAt === undefined
      ? []
      : [
          [
            `lost by a failover at ${failoverAt} s`,
            String(timelines.lostAt(firstMs + failoverAt * 1000).length)
          ] as const
        ])
  ]
}

/** Packets that opened nothing, by reason, with the variable that would change it. */
function outcomesOf({ reasons }: RunResult): string[] {
  const usual = new Set(['existing', 'created', 'reply'])
  const rest = [...reasons].filter(([reason]) => !usual.has(reason))
  if (rest.length === 0) return []
  return [
    '',
    ...rest.map(([reason, count]) => {
      const { text, sysctl } = reasonText(reason as Reason)
      return `${counted(count, 'packet')}: ${text}${sysctl === undefined ? '' : ` (${sysctl})`}`
    })
  ]
}

function lostOf({ timelines, firstMs, lastMs }: RunResult, failoverAt: number | undefined): string[] {
  const worst = timelines.losses(firstMs, lastMs).worst
  const at = failoverAt === undefined ? worst.atMs : firstMs + failoverAt * 1000
  const lost = timelines.lostAt(at)
  if (lost.length === 0) return []
  const more = lost.length - MAX_LISTED
  return [
    '',
    `lost by a failover at ${decimal((at - firstMs) / 1000)} s:`,
    ...lost.slice(0, MAX_LISTED).map(({ label }) => `  ${label}`),
    ...(more > 0 ? [`  and ${more} more`] : [])
  ]
}

function decimal(value: number): string {
  return String(Number(value.toFixed(1)))
}

const [WIDTH, HEIGHT, MARGIN] = [720, 400, 60]

/** A page that draws bytes a second against the connections that a failover loses, a point for each run. */
export function htmlReport(runs: readonly NamedRun[], failoverAt: number | undefined): string {
  const points = runs.map(({ name, result }) => {
    const { timelines, firstMs, lastMs, bytes } = result
    const seconds = Math.max((lastMs - firstMs) / 1000, 0.001)
    return { name, rate: bytes / seconds, lost: timelines.losses(firstMs, lastMs).mean }
  })
  const most = (values: readonly number[]): number => Math.max(...values, 0.001)
  const [mostRate, mostLost] = [most(points.map(({ rate }) => rate)), most(points.map(({ lost }) => lost))]
  const x = (rate: number): number => MARGIN + (rate / mostRate) * (WIDTH - 3 * MARGIN)
  const y = (lost: number): number => HEIGHT - MARGIN - (lost / mostLost) * (HEIGHT - 2 * MARGIN)
  const marks = points.map(
    ({ name, rate, lost }) =>
      `<circle cx="${decimal(x(rate))}" cy="${decimal(y(lost))}" r="5"><title>${escapeHtml(name)}: ${decimal(rate)} bytes/s, ${decimal(lost)} lost</title></circle>` +
      `<text x="${decimal(x(rate) + 8)}" y="${decimal(y(lost) - 8)}">${escapeHtml(name)}</text>`
  )
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>ipvs-sync simulate</title>
<style>body{font:14px system-ui,sans-serif;margin:2em;color:#222;background:#fff}svg text{font-size:12px}circle{fill:#0b62a4}line{stroke:#999}pre{background:#f4f4f4;padding:1em;overflow:auto}</style>
<h1>Bandwidth against what a failover loses</h1>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" role="img" aria-label="Bytes a second against connections lost">
<line x1="${MARGIN}" y1="${HEIGHT - MARGIN}" x2="${WIDTH - MARGIN}" y2="${HEIGHT - MARGIN}"/><line x1="${MARGIN}" y1="${MARGIN}" x2="${MARGIN}" y2="${HEIGHT - MARGIN}"/>
<text x="${WIDTH / 2}" y="${HEIGHT - 15}">bytes a second (0 to ${decimal(mostRate)})</text>
<text x="${MARGIN}" y="${MARGIN - 20}">connections lost, mean over time (0 to ${decimal(mostLost)})</text>
${marks.join('\n')}
</svg>
<pre>${escapeHtml(tableReport(runs, failoverAt))}</pre>
</html>
`
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
