/**
 * `ipvs-sync decode`: captures of sync traffic as text.
 *
 * @module
 */

import type { CapturedDatagram, CaptureFinding, DatagramSink, DatagramView } from '../../capture/items.js'
import { PacketReader } from '../../capture/packet-reader.js'
import { CompressionDamage, expandCapture } from '../../capture/read-capture.js'
import { pickOptions } from '../../demand.js'
import { IpvsSyncError } from '../../errors.js'
import { decompress } from '../../files/capture-file.js'
import { counted } from '../../text.js'
import { READ_OPTIONS, type DecodeOptions, type ReadOptions } from '../../wire/options.js'
import type { Io, OutputStream } from '../io.js'
import { CapturedMessage } from './captured-message.js'
import { Filter, type FilterOptions } from './filter.js'
import { Output } from './output.js'
import { portsText, type Range } from './ports-option.js'
import type { Printer } from './printer.js'
import { Progress } from './progress.js'
import { fileSource, inTimeOrder, liveSource, type Source } from './sources.js'
import { problemText, styleFor, wrap, type Style } from './style.js'
import type { Summary } from './summary.js'

/** The formats, in the order of the help. */
export const FORMATS = ['table', 'json', 'tshark', 'hex', 'csv', 'html'] as const

/** One of {@link FORMATS}. */
export type Format = (typeof FORMATS)[number]

/** How captures are decoded. */
export interface DecodeSettings extends DecodeOptions {
  /** Paths, or `-` for standard input. */
  readonly files: readonly string[]
  /** An interface to capture on, in place of files. */
  readonly interface?: string | undefined
  /** Default: a table on a terminal, JSON elsewhere. */
  readonly format: Format | undefined
  readonly ports: readonly Range[]
  /** Default `auto`: on a terminal, unless `NO_COLOR` is set. */
  readonly color: 'auto' | 'always' | 'never'
  /** Which messages and connections are shown. */
  readonly filter?: FilterOptions | undefined
  /** Shows the history of the connections that the filter selects. */
  readonly isFollowing?: boolean | undefined
  /** Shows the summary alone. */
  readonly isSummary?: boolean | undefined
}

/** What it needs of a process. */
export type DecodeIo = Pick<Io, 'stdin' | 'stdout' | 'stderr' | 'env'> & Partial<Pick<Io, 'signal'>>

/**
 * Decodes captures.
 *
 * @returns The exit code: 0, or 1 where a receiver would drop or skip something, a file is damaged, or there is no sync
 *   traffic (or none that the filter selects).
 * @throws {IpvsSyncError} `ERR_IO` where a file cannot be read, `ERR_CAPTURE` where it is not a capture.
 */
export async function decode(settings: DecodeSettings, io: DecodeIo): Promise<number> {
  const output = new Output(io.stdout)
  const progress = new Progress((text) => io.stderr.write(text))
  const isTerminal = io.stdout.isTTY === true
  const isForPerson = isTerminal || settings.isSummary === true || settings.isFollowing === true
  const format = settings.format ?? (isForPerson ? 'table' : 'json')
  const style = styleFor(wantsColor(settings, io, isTerminal))
  const screen = screenOf(settings, io)
  const columns = screen?.columns
  const isLive = settings.interface !== undefined || settings.files.includes('-')
  const hasSummary = settings.isSummary === true || (format === 'table' && settings.isFollowing !== true)
  const summary = hasSummary || isLive ? new (await import('./summary.js')).Summary() : undefined
  const printer = await printerFor(format, settings, io, output, style)
  const sink = new DecodeSink(settings, printer, summary)
  const report = (name: string, text: string): void => {
    progress.end()
    io.stderr.write(`ipvs-sync: ${name}: ${text}\n`)
  }
  const run: Run = { settings, io, output, sink, report, total: { packets: 0, datagrams: 0, otherPorts: new Map() } }
  try {
    for (const source of await sourcesOf(settings, io, progress)) if (!(await readSource(source, run))) break
  } finally {
    progress.end()
    output.flush()
  }
  printer?.end?.()
  if (hasSummary) output.write(summaryText(summary!, format, style, sink.isUsed && printer !== undefined, columns))
  else if (io.signal?.aborted === true && summary !== undefined) io.stderr.write(`${summary.lines(style).join('\n')}\n`)
  output.flush()
  await output.drained()
  return exitCode(run, isLive)
}

/** One run of the command. */
interface Run {
  readonly settings: DecodeSettings
  readonly io: DecodeIo
  readonly output: Output
  readonly sink: DecodeSink
  readonly report: (name: string, text: string) => void
  readonly total: { packets: number; datagrams: number; readonly otherPorts: Map<number, number> }
}

/** Receives what the capture's reader finds, and prints what the filter selects. */
class DecodeSink implements DatagramSink {
  /** Whether a receiver would have dropped or skipped something, or a file is damaged. */
  hasFaults = false
  /** Whether anything was selected. */
  isUsed = false
  /** Receives problems for which the format has no place. */
  report: (finding: CaptureFinding) => void = () => undefined
  readonly #message: CapturedMessage
  readonly #filter: Filter | undefined
  readonly #printer: Printer | undefined
  readonly #summary: Summary | undefined

  constructor(settings: DecodeSettings, printer: Printer | undefined, summary: Summary | undefined) {
    this.#message = new CapturedMessage(readingOf(settings), settings.ports)
    const filter = new Filter(settings.filter ?? {})
    this.#filter = filter.isEmpty ? undefined : filter
    this.#printer = printer
    this.#summary = summary
  }

  plain(datagram: DatagramView): void {
    this.#message.readPlain(datagram)
    this.#take()
  }

  datagram(datagram: CapturedDatagram): void {
    this.#message.readDatagram(datagram)
    this.#take()
  }

  finding(finding: CaptureFinding): void {
    this.hasFaults ||= finding.problem.severity !== 'warning'
    this.#summary?.finding(finding)
    if (this.#printer?.finding === undefined) this.report(finding)
    else this.#printer.finding(finding)
  }

  #take(): void {
    const message = this.#message
    if (this.#filter !== undefined && !this.#filter.select(message)) return
    this.isUsed = true
    if (message.problems.length > 0) this.hasFaults ||= message.problems.some(({ severity }) => severity !== 'warning')
    this.#summary?.message(message)
    this.#printer?.message(message)
  }
}

async function sourcesOf(settings: DecodeSettings, io: DecodeIo, progress: Progress): Promise<Source[]> {
  if (settings.interface !== undefined) return [liveSource(settings.interface, settings.ports, io.signal)]
  const isWatched = io.stderr.isTTY === true && io.stdout.isTTY !== true
  const files = settings.files.includes('-') ? settings.files : await inTimeOrder(settings.files)
  return files.map((file) =>
    file === '-'
      ? { name: 'standard input', chunks: untilAborted(io.stdin, io.signal) }
      : fileSource(file, isWatched ? progress : undefined)
  )
}

/** The stream's chunks until it ends or the signal aborts. */
async function* untilAborted(stream: DecodeIo['stdin'], signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  const end = (): void => void stream.destroy()
  signal?.addEventListener('abort', end)
  try {
    yield* stream as AsyncIterable<Uint8Array>
  } catch (error) {
    if (signal?.aborted !== true) throw error
  } finally {
    signal?.removeEventListener('abort', end)
  }
}

/** Reads one capture; false where nobody reads the output any more. */
async function readSource({ name, chunks }: Source, run: Run): Promise<boolean> {
  const { settings, output, sink, total } = run
  sink.report = ({ packet, problem }) =>
    run.report(name, problemText(problem, packet === undefined ? '' : `packet ${packet}: `))
  const reader = new PacketReader({ ports: settings.ports }, sink)
  try {
    for await (const chunk of expandCapture(chunks, decompress)) {
      reader.push(chunk)
      if (output.isBlocked && !(await output.drained())) return false
      if (reader.isDamaged) break
    }
    // An interrupted pipe ends inside of a packet.
    if (run.io.signal?.aborted !== true) reader.end()
  } catch (error) {
    // The reader of captures does not know what it reads.
    if (!(error instanceof CompressionDamage))
      throw !(error instanceof IpvsSyncError) || error.code !== 'ERR_CAPTURE'
        ? error
        : new IpvsSyncError(error.code, `${name}: ${error.message}`, { cause: error })
    reader.end(error.problem)
  } finally {
    const { packets, datagrams, otherPorts } = reader.counts
    total.packets += packets
    total.datagrams += datagrams
    for (const [port, count] of otherPorts) total.otherPorts.set(port, (total.otherPorts.get(port) ?? 0) + count)
  }
  return true
}

/** How messages are read: the decoder refuses options that it does not know. */
function readingOf(settings: DecodeSettings): ReadOptions {
  return pickOptions<ReadOptions>(settings, READ_OPTIONS)
}

/** Loads no other format's code: loading all of it takes as long as decoding 100,000 connections. */
async function printerFor(
  format: Format,
  settings: DecodeSettings,
  io: DecodeIo,
  output: Output,
  style: Style
): Promise<Printer | undefined> {
  const screen = screenOf(settings, io)
  const columns = screen?.columns
  if (settings.isFollowing === true) {
    const { FollowPrinter } = await import('./follow-printer.js')
    return new FollowPrinter(output, { reading: readingOf(settings), style, columns, isJson: format === 'json' })
  }
  if (settings.isSummary === true) return undefined
  switch (format) {
    case 'json':
      return new (await import('./json-printer.js')).JsonPrinter(output)
    case 'tshark':
      return new (await import('./tshark-printer.js')).TsharkPrinter(output)
    case 'hex':
      return new (await import('./hex-printer.js')).HexPrinter(output, readingOf(settings))
    case 'csv':
      return new (await import('./csv-printer.js')).CsvPrinter(output)
    case 'html':
      return new (await import('./html-printer.js')).HtmlPrinter(output, settings.files)
    case 'table': {
      const { TablePrinter } = await import('./table-printer.js')
      return new TablePrinter(output, style, screen === undefined ? {} : { columns, rows: screen.rows })
    }
  }
}

/** Returns the terminal that shows the output: standard output, or that of a pager (`--color always | less -R`). */
function screenOf({ color }: DecodeSettings, { stdout, stderr }: DecodeIo): OutputStream | undefined {
  if (stdout.isTTY === true) return stdout
  return color === 'always' && stderr.isTTY === true ? stderr : undefined
}

/** https://no-color.org: set and not empty means none. */
function wantsColor({ color }: DecodeSettings, { env }: DecodeIo, isTerminal: boolean): boolean {
  if (color !== 'auto') return color === 'always'
  return isTerminal && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb'
}

function summaryText(
  summary: Summary,
  format: Format,
  style: Style,
  isSeparated: boolean,
  columns: number | undefined
): string {
  if (format === 'json') return `${JSON.stringify(summary)}\n`
  const lines = summary.lines(style, columns !== undefined)
  return `${isSeparated ? '\n' : ''}${wrap(lines.join('\n'), columns ?? Infinity)}\n`
}

function exitCode({ settings, sink, report, total }: Run, isLive: boolean): number {
  if (sink.hasFaults) return 1
  const name = settings.interface ?? settings.files.map((file) => (file === '-' ? 'standard input' : file)).join(', ')
  if (total.datagrams === 0) {
    report(name, nothingFound(settings.ports, total))
    return isLive && settings.interface !== undefined ? 0 : 1
  }
  if (sink.isUsed) return 0
  report(name, `no message matches the filter (${counted(total.datagrams, 'message')} read)`)
  return 1
}

function nothingFound(ports: readonly Range[], { packets, otherPorts }: Run['total']): string {
  const others = [...otherPorts.keys()].sort((one, other) => one - other)
  const hint =
    others.length === 0
      ? 'if the daemons use another port (see ipvsadm -L --daemon), name it with --ports'
      : `datagrams to port ${others.join(', ')} look like it: try --ports ${others.join(',')}`
  return `no sync traffic to ports ${portsText(ports)} in ${counted(packets, 'packet')}; ${hint}`
}
