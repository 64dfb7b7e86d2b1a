/**
 * A message as text for a person: one line, many lines, or every byte with its meaning.
 *
 * @module
 */
import { demandKnownOptions, demandOneOf, type OptionNames } from '../demand.js'
import { counted } from '../text.js'
import { DECODE_OPTIONS, demandMessage, type DecodeOptions } from './options.js'
import type { Connection, DecodedMessage, SyncMessage } from './connection.js'
import { decodeMessage } from './decode-message.js'
import { labelBytes } from './dump-message.js'
import { encodeMessage } from './encode-message.js'
import { toHex } from './hex.js'
import type { Problem } from './problems.js'
import { endpointText, printable } from './terminal-text.js'

/** Options of {@link formatMessage}. */
export interface FormatOptions extends DecodeOptions {
  /**
   * - `line` one line: header, how many connections of which protocol, codes of problems
   * - `lines` (default) that line, then one for each connection and each problem
   * - `dump` a line for each field, with offset and bytes: every byte of the message has its label
   */
  readonly style?: 'line' | 'lines' | 'dump'
}

const FORMAT_OPTIONS: OptionNames<FormatOptions> = { ...DECODE_OPTIONS, style: true }
const STYLES = ['line', 'lines', 'dump'] as const

/**
 * Formats a message as text. Control characters are escaped.
 *
 * @param message - Bytes of any kind, or a value. `dump` of a value shows the bytes that `encodeMessage` makes of it.
 * @param options - The style, and how bytes are read.
 * @returns Lines joined by line feeds, without one at the end.
 * @throws {@link IpvsSyncError} `ERR_ENCODE` for what is no message and for a dump of a value that cannot be encoded,
 *   `ERR_USAGE` for options that mean nothing; never for bytes.
 * @example
 * ```ts
 * console.log(formatMessage(datagram, { style: 'dump' }))
 * // 0000  00                                               reserved 0
 * // 0001  07                                               syncid 7
 * // 0002  00 2c                                            size 44
 * ```
 */
export function formatMessage(message: Uint8Array | SyncMessage, options: FormatOptions = {}): string {
  demandKnownOptions(options, FORMAT_OPTIONS, 'ERR_USAGE')
  const { style = 'lines', ...decodeOptions } = options
  demandOneOf('style', style, STYLES, 'ERR_USAGE')
  if (style === 'dump') {
    const bytes = message instanceof Uint8Array ? message : encodeMessage(message)
    const lines: string[] = []
    let connection: number | undefined
    for (const part of labelBytes(bytes, decodeOptions)) {
      if (part.connection !== undefined && part.connection !== connection) lines.push(`connection ${part.connection}`)
      connection = part.connection
      lines.push(...dumpLines(part.offset, part.bytes, part.label))
    }
    return lines.join('\n')
  }
  const value = message instanceof Uint8Array ? decodeMessage(message, decodeOptions) : message
  demandMessage(value)
  return style === 'line' ? heading(value) : [heading(value), ...body(value)].join('\n')
}

function heading(message: SyncMessage | DecodedMessage): string {
  const { version, syncid, connections } = message
  const size = 'size' in message ? `, ${message.size} bytes` : ''
  const found = problemsOf(message).map(({ code }) => code)
  const count = counted(connections.length, 'connection')
  return [`version ${version}, syncid ${syncid}${size}, ${count}${byProtocol(connections)}`, ...found].join(', ')
}

/** Returns ` (2 TCP, 1 UDP)`, or an empty string if there are no connections. */
function byProtocol(connections: readonly Connection[]): string {
  const counts = new Map<string, number>()
  for (const { protocol } of connections) counts.set(protocol, (counts.get(protocol) ?? 0) + 1)
  return counts.size === 0 ? '' : ` (${[...counts].map(([protocol, count]) => `${count} ${protocol}`).join(', ')})`
}

function body(message: SyncMessage | DecodedMessage): string[] {
  const problems = problemsOf(message)
  const count = message.connections.length
  const at = (row: number): string[] =>
    problems
      .filter((one) => problemRow(one, count) === row)
      .map(({ severity, code, message }: Problem): string => `  ! ${severity} ${code}: ${printable(message)}`)
  const connections = message.connections.flatMap((connection, i) => [connectionLine(connection, i), ...at(i)])
  return [...at(-1), ...connections, ...at(count)]
}

const HEADER_V1 = 8

/**
 * Under which connection of a message a problem belongs in a text.
 *
 * @param problem - Of the message, or of the packet that it came in: that one has no offset.
 * @param count - How many connections there are.
 * @returns The connection's number, -1 for what is said before the first, `count` for what is said behind the last.
 */
export function problemRow({ connection, offset = 0 }: Problem, count: number): number {
  if (connection !== undefined) return Math.min(connection, count)
  return offset < HEADER_V1 ? -1 : count
}

function problemsOf(message: SyncMessage | DecodedMessage): readonly Problem[] {
  return 'problems' in message ? message.problems : []
}

function connectionLine(connection: Connection, number: number): string {
  const { protocol, client, virtual, destination, forwarding, state, flags } = connection
  const path = [client, virtual, destination].map(endpointText).join(' > ')
  return [`  ${number}`, protocol, path, forwarding, state, ...flags, ...extras(connection)].join(' ')
}

function extras({ timeout, fwmark, inSequence, outSequence, engine }: Connection): string[] {
  return [
    ...(timeout === undefined ? [] : [`timeout=${timeout}`]),
    ...(fwmark === undefined || fwmark === 0 ? [] : [`fwmark=${fwmark}`]),
    ...(inSequence === undefined ? [] : [`in=${sequenceText(inSequence)}`]),
    ...(outSequence === undefined ? [] : [`out=${sequenceText(outSequence)}`]),
    ...(engine === undefined ? [] : [`engine=${printable(engine.name).replaceAll(' ', '\\x20')}:${engine.data}`])
  ]
}

function sequenceText({ initial, delta, previousDelta }: NonNullable<Connection['inSequence']>): string {
  return `${initial}${signed(delta)}${signed(previousDelta)}`
}

/** Deltas are unsigned on the wire and signed in meaning. */
function signed(delta: number): string {
  return (delta | 0) < 0 ? String(delta | 0) : `+${delta}`
}

const WIDTH = 16

/** A label stands in the first of its lines; the others repeat nothing but a mark. */
function dumpLines(offset: number, bytes: Uint8Array, label: string): string[] {
  const lines: string[] = []
  for (let at = 0; at < bytes.length; at += WIDTH) {
    const hex = toHex(bytes.subarray(at, at + WIDTH)).replace(/(..)(?!$)/g, '$1 ')
    const place = (offset + at).toString(16).padStart(4, '0')
    lines.push(`${place}  ${hex.padEnd(3 * WIDTH)} ${at === 0 ? label : '"'}`)
  }
  return lines
}
