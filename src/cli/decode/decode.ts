/**
 * `ipvs-sync decode`: a capture of sync traffic as text.
 *
 * @module
 */

import { counted } from '../../text.js'
import type { Io } from '../io.js'
import type { CaptureCounts, CaptureFinding } from '../../capture/items.js'
import { decodeCapture } from './decode-capture.js'
import { IpvsSyncError } from '../../errors.js'
import type { DecodeOptions } from '../../wire/options.js'
import { openCapture } from './open-capture.js'
import { Output } from './output.js'
import { firstPort, type Range } from './ports-option.js'
import type { Printer, Write } from './printer.js'
import { Progress } from './progress.js'
import type { ReadMessage } from './read-message.js'
import { problemText, styleFor } from './style.js'

/** The formats, in the order of the help. */
export const FORMATS = ['table', 'json', 'tshark', 'hex'] as const

/** One of {@link FORMATS}. */
export type Format = (typeof FORMATS)[number]

/** What was asked for. */
export interface DecodeSettings extends DecodeOptions {
  /** A path, or `-` for standard input. */
  readonly file: string
  /** Default: a table on a terminal, JSON elsewhere. */
  readonly format: Format | undefined
  readonly ports: readonly Range[]
  /** Default `auto`: on a terminal, unless `NO_COLOR` is set. */
  readonly color: 'auto' | 'always' | 'never'
}

/** What it needs of a process. */
export type DecodeIo = Pick<Io, 'stdin' | 'stdout' | 'stderr' | 'env'>

/**
 * Decodes a capture.
 *
 * @returns The exit code: 0, or 1 where a receiver would drop or skip something or the file is damaged.
 * @throws {IpvsSyncError} `ERR_IO` where the file cannot be read, `ERR_CAPTURE` where it is no capture.
 */
export async function decode(settings: DecodeSettings, io: DecodeIo): Promise<number> {
  const name = settings.file === '-' ? 'standard input' : settings.file
  const output = new Output(io.stdout)
  const progress = new Progress((text) => io.stderr.write(text))
  const isWatched = io.stderr.isTTY === true && io.stdout.isTTY !== true
  const source = settings.file === '-' ? io.stdin : openCapture(settings.file, isWatched ? progress : undefined)
  const tell = (text: string): void => {
    progress.end()
    io.stderr.write(`ipvs-sync: ${name}: ${text}\n`)
  }
  const run = decodeCapture({
    source,
    options: { ports: settings.ports },
    printer: await printerFor(settings, io, output),
    output,
    onFinding: (finding) => tell(findingText(finding))
  })
  const { counts, hasFindings } = await run
    .catch((error: unknown) => {
      throw withName(error, name)
    })
    .finally(() => {
      progress.end()
      output.flush()
    })
  if (counts.datagrams === 0 && !hasFindings) tell(nothingFound(settings.ports, counts))
  return hasFindings ? 1 : 0
}

/** The reader of captures does not know what it reads. */
function withName(error: unknown, name: string): unknown {
  if (!(error instanceof IpvsSyncError) || error.code !== 'ERR_CAPTURE') return error
  return new IpvsSyncError(error.code, `${name}: ${error.message}`, { cause: error })
}

function findingText({ packet, problem }: CaptureFinding): string {
  return problemText(problem, packet === undefined ? '' : `packet ${packet}: `)
}

/** Loads no other format's code: loading all of it takes as long as decoding 100,000 connections. */
async function printerFor(settings: DecodeSettings, io: DecodeIo, output: Output): Promise<Printer> {
  const { write } = output
  const format = settings.format ?? (io.stdout.isTTY === true ? 'table' : 'json')
  if (format === 'json') {
    const { JsonPrinter } = await import('./json-printer.js')
    return new JsonPrinter(output, settings)
  }
  const { messageReader } = await import('./read-message.js')
  const read = messageReader(settings)
  switch (format) {
    case 'tshark': {
      const { TsharkPrinter } = await import('./tshark-printer.js')
      return new TsharkPrinter(write, read, settings)
    }
    case 'hex': {
      const { HexPrinter } = await import('./hex-printer.js')
      return new HexPrinter(write, read, settings)
    }
    case 'table':
      return tablePrinter(settings, io, write, read)
  }
}

async function tablePrinter(settings: DecodeSettings, io: DecodeIo, write: Write, read: ReadMessage): Promise<Printer> {
  const { Summary } = await import('./summary.js')
  const { TablePrinter } = await import('./table-printer.js')
  const isTerminal = io.stdout.isTTY === true
  const style = styleFor(wantsColor(settings, io, isTerminal))
  return new TablePrinter(
    write,
    read,
    style,
    new Summary(firstPort(settings.ports)),
    isTerminal ? io.stdout.columns : undefined
  )
}

/** https://no-color.org: set and not empty means none. */
function wantsColor({ color }: DecodeSettings, { env }: DecodeIo, isTerminal: boolean): boolean {
  if (color !== 'auto') return color === 'always'
  return isTerminal && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb'
}

function nothingFound(ports: readonly Range[], { packets, otherPorts }: CaptureCounts): string {
  const others = [...otherPorts.keys()].sort((one, other) => one - other)
  const hint =
    others.length === 0
      ? 'if the daemons use another port (ipvsadm -L --daemon tells), name it with --ports'
      : `what goes to port ${others.join(', ')} looks like it: try --ports ${others.join(',')}`
  return `no sync traffic to ports ${ports.map(rangeText).join(',')} in ${counted(packets, 'packet')}; ${hint}`
}

function rangeText([first, last]: Range): string {
  return first === last ? String(first) : `${first}-${last}`
}
