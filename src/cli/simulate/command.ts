/**
 * `ipvs-sync simulate`: what a director with these settings would send, and what a failover would lose.
 *
 * @module
 */
import { Option, type Command } from 'commander'
import { applySysctl, type Sysctls } from '../../sysctl/settings.js'
import type { Io } from '../io.js'
import { addNotes } from '../notes.js'
import { collect } from '../options.js'
import { integerOption, refuse } from '../parsers.js'
import { addInputOptions, readInputs, type InputOptions, type Inputs } from './inputs.js'
import { simulate, type SentMessage, type RunResult } from './run.js'
import { reasonText, type Reason } from '../../director/outcome.js'
import { counted } from '../../text.js'
import type { Course } from './timelines.js'

interface Options extends InputOptions {
  readonly format?: 'table' | 'json' | 'html'
  readonly compare: readonly string[]
  readonly failoverAt?: number
  readonly loss: number
  readonly seed: number
}

/** Adds arguments, options and examples. */
export function configure(command: Command): void {
  addInputOptions(command)
    .argument('[capture...]', 'pcap or pcapng of the clients’ side, also in gzip; - is standard input')
    .addOption(new Option('--format <format>', 'what to print').choices(['table', 'json', 'html']).default('table'))
    .addOption(
      command
        .createOption('--compare <settings>', 'also run with NAME=VALUE…; may be repeated')
        .argParser(collect)
        .default([], 'none')
    )
    .option('--failover-at <seconds>', 'list what a failover at this time would lose', (text: string): number =>
      /^\d+(\.\d+)?$/.test(text) ? Number(text) : refuse('--failover-at', text, 'seconds, 0 or more')
    )
    .option(
      '--loss <probability>',
      'share of sync messages that are lost, 0 to 1',
      (text: string): number => {
        const value = /^\d*\.?\d+$/.test(text) ? Number(text) : NaN
        return value >= 0 && value <= 1 ? value : refuse('--loss', text, 'a number, 0 to 1')
      },
      0
    )
    .option('--seed <number>', 'seed of everything random', integerOption('--seed', 0, 2 ** 32 - 1), 1)
  addNotes(command, {
    text: [
      'The clock stops with the last packet; what the master holds is then sent. Frames that the director itself sends are recognised by their MAC address, or by IP identification and TTL, and not counted.',
      'Exit codes: 0 whatever the captures hold; 2 usage; 3 a file cannot be read, or is not a capture.'
    ],
    examples: [
      'ipvs-sync simulate --services ip_vs.txt --sysctl-from kernel clients.pcap',
      "ipvs-sync simulate --workload web --compare 'sync_refresh_period=10 sync_retries=2'"
    ]
  })
}

/** Runs the simulation. */
export async function execute(command: Command, io: Io): Promise<number> {
  const options = command.opts<Options>()
  const inputs = await readInputs(options, command.args)
  if (options.compare.length > 0 && command.args.includes('-'))
    refuse('--compare', '-', 'a capture file: standard input can be read only once')
  for (const note of inputs.notes) io.stderr.write(`ipvs-sync: ${note}\n`)
  const { loss, seed } = options
  if (options.format === 'json') {
    let frame = 0
    const onMessage = (sent: SentMessage): void => void io.stdout.write(jsonLine(sent, ++frame, options.local[0]))
    await simulate(inputs, { settings: inputs.settings, loss, seed, onMessage }, io)
    return 0
  }
  const runs: NamedRun[] = []
  for (const [name, settings] of variantsOf(inputs, options.compare))
    runs.push({ name, result: await simulate(inputs, { settings, loss, seed }, io) })
  const report = options.format === 'html' ? htmlReport : tableReport
  io.stdout.write(report(runs, options.failoverAt))
  return 0
}

/** The given settings, and each variant. */
function variantsOf({ settings }: Inputs, compare: readonly string[]): (readonly [string, Sysctls])[] {
  return [['as given', settings], ...compare.map((text) => [text, applyAll(settings, text)] as const)]
}

/** Applies `NAME=VALUE NAME=VALUE`, where a value may hold spaces: the next word with `=` begins the next setting. */
function applyAll(settings: Sysctls, text: string): Sysctls {
  const assignments: string[] = []
  for (const word of text.trim().split(/\s+/)) {
    if (word.includes('=')) assignments.push(word)
    else if (assignments.length === 0) refuse('--compare', text, 'NAME=VALUE, as often as needed')
    else assignments.push(`${assignments.pop()!} ${word}`)
  }
  return assignments.reduce((before, assignment) => {
    const at = assignment.indexOf('=')
    return applySysctl(before, assignment.slice(0, at), assignment.slice(at + 1))
  }, settings)
}

/** A message as `decode --format json` prints it. */
function jsonLine({ timeMs, channel, message }: SentMessage, frame: number, local = '0.0.0.0'): string {
  const { version, syncid, size, connections, problems } = message
  return `${JSON.stringify({
    // Six digits, as captures have them.
    time: new Date(timeMs).toISOString().replace('Z', '000Z'),
    source: { address: local, port: 0 },
    destination: { address: '224.0.0.81', port: 8848 + channel },
    frame,
    channel,
    version,
    syncid,
    size,
    connections,
    problems
  })}\n`
}

/** A run and the settings that it differs by. */
interface NamedRun {
  readonly name: string
  readonly result: RunResult
}

/** Connections listed of a failover at most. */
const MAX_LISTED = 50

/** The figures of each run, side by side. */
function tableReport(runs: readonly NamedRun[], failoverAt: number | undefined): string {
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
function htmlReport(runs: readonly NamedRun[], failoverAt: number | undefined): string {
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
