/**
 * `decode --format table`: for a person.
 *
 * @module
 */

import type { CaptureFinding } from '../../capture/items.js'
import { counted } from '../../text.js'
import { problemRow } from '../../wire/format-message.js'
import type { Problem } from '../../wire/problems.js'
import { endpointText } from '../../wire/terminal-text.js'
import type { CapturedMessage } from './captured-message.js'
import { FLAG_PIECES, FORWARDING_PIECES, PROTOCOL_PIECES, putFlags, putState } from './field-texts.js'
import { extensionText } from './extension.js'
import type { MessageRecords } from './message-records.js'
import type { Output } from './output.js'
import type { Printer } from './printer.js'
import { problemText, wrap, type Style } from './style.js'
import { decimal, hex8, ipv4, ipv6, piece, put, signedDecimal } from './text-bytes.js'

/** The columns of equal width; what comes after them has no fixed place. */
const HEADINGS = ['PROTO', 'CLIENT', 'VIRTUAL', 'DESTINATION', 'FORWARD', 'STATE', 'TIMEOUT'] as const

/** Widths that suit IPv4; a wider value widens its column from there on. */
const WIDTHS = [5, 21, 21, 21, 7, 11, 7]

/** A line of these with a flag behind it. */
const USUAL_LINE = WIDTHS.reduce((sum, width) => sum + width + 1, 2 + ' INACTIVE'.length)

/** Why sequence data look odd. Printed once, where such data are first shown. */
const GARBAGE = [
  '  note: Linux before 6.1.189 writes garbage as version 1 sequence data (it swaps its own buffer); receivers accept it.',
  '        Version 0 is not affected.'
].join('\n')

/** Most bytes of a message's own lines and of the headings. */
const HEAD = 4096
/** Most bytes of a connection, its engine's data aside. */
const MOST = 1024
/** Most bytes of a problem's line. */
const PROBLEM = 4096

/** What a terminal is like. */
export interface Screen {
  /** Width, in characters. */
  readonly columns?: number | undefined
  /** Height, in lines. */
  readonly rows?: number | undefined
}

/** Prints a line for each message, one for each connection, and problems where they occur. */
export class TablePrinter implements Printer {
  readonly #output: Output
  readonly #style: Style
  readonly #screen: Screen
  readonly #widths: number[]
  #hasGrown = false
  #isNoted = false
  /** Lines since the headings; undefined before the first. */
  #lines: number | undefined

  /**
   * @param output - Receives the text.
   * @param style - Colours.
   * @param screen - The terminal: where the usual widths do not fit, columns begin as narrow as their headings, and longer lines
   *   are wrapped between words. Empty where there is no terminal.
   */
  constructor(output: Output, style: Style, screen: Screen = {}) {
    this.#output = output
    this.#style = style
    this.#screen = screen
    this.#widths = (screen.columns ?? Infinity) < USUAL_LINE ? HEADINGS.map((heading) => heading.length) : [...WIDTHS]
  }

  message(message: CapturedMessage): void {
    const output = this.#output
    const { records, problems } = message
    output.reserve(HEAD + MOST * records.count + 4 * message.payload.length + PROBLEM * problems.length)
    const from = output.at
    const isHeaded = this.#lines !== undefined && this.#lines < (this.#screen.rows ?? Infinity) - 2
    if (this.#print(message, !isHeaded)) {
      // A column was widened by one of the rows: the others follow.
      output.at = from
      this.#print(message, !isHeaded)
    }
    if (!this.#isNoted && records.version === 1 && hasSequence(records)) {
      this.#isNoted = true
      output.write(`${this.#style.faint(GARBAGE)}\n`)
    }
    this.#lines = (isHeaded ? this.#lines! : 0) + 1 + records.count + problems.length
    if (this.#screen.columns !== undefined) output.write(wrap(output.takeBack(from), this.#screen.columns))
  }

  finding(finding: CaptureFinding): void {
    const where = finding.packet === undefined ? '' : `packet ${finding.packet}: `
    this.#output.write(wrap(`${this.#problemLine(finding.problem, where)}\n`, this.#screen.columns ?? Infinity))
  }

  /** Prints a message; whether one of its rows has widened a column. */
  #print(message: CapturedMessage, withHeadings: boolean): boolean {
    this.#hasGrown = false
    const output = this.#output
    const { records, problems } = message
    const { count } = records
    if (withHeadings) output.write(`${this.#style.strong(this.#headings())}\n`)
    output.write(`${this.#messageLine(message)}\n`)
    this.#problemsAt(problems, -1, count)
    for (let record = 0; record < count; record++) {
      let to = output.at
      const { bytes, view: source } = records
      const protocol = records.protocol(record)
      const flags = records.flags(record)
      const isIpv6 = records.isIpv6(record)
      output.view.setUint16(to, 0x2020)
      to = this.#pad(output.view, to + 2, put(output.view, to + 2, PROTOCOL_PIECES[protocol]!), 0)
      for (let i = 0; i < 3; i++) {
        const at = records.addressesAt(record) + (isIpv6 ? 16 : 4) * i
        const end = isIpv6 ? bracketed(output.view, to, records, at) : ipv4(output.view, to, bytes, at)
        output.view.setUint8(end, 0x3a)
        to = this.#pad(
          output.view,
          to,
          decimal(output.view, end + 1, source.getUint16(records.portsAt(record) + 2 * i)),
          1 + i
        )
      }
      to = this.#pad(output.view, to, put(output.view, to, FORWARDING_PIECES[flags & 7]!), 4)
      to = this.#pad(output.view, to, putState(output.view, to, protocol, flags, records.state(record)), 5)
      to = this.#putTimeout(output.view, to, records, record)
      to = putRest(output.view, to, records, record, flags)
      output.view.setUint8(to, 0x0a)
      output.at = to + 1
      this.#problemsAt(problems, record, count)
    }
    this.#problemsAt(problems, count, count)
    return this.#hasGrown
  }

  #headings(): string {
    const padded = HEADINGS.map((heading, i) =>
      i === HEADINGS.length - 1 ? heading.padStart(this.#widths[i]!) : heading.padEnd(this.#widths[i]!)
    )
    return `  ${padded.join(' ')}  FLAGS`
  }

  #messageLine(message: CapturedMessage): string {
    const { records, fragments, tunnel, extension } = message
    // `via vlan 12, vxlan 42`.
    const what = [
      `version ${records.version}`,
      `syncid ${records.syncid}`,
      counted(records.size, 'byte'),
      ...(fragments > 1 ? [`${fragments} fragments`] : []),
      counted(records.count, 'connection'),
      ...(tunnel === undefined
        ? []
        : [`via ${tunnel.map(({ type, id }) => (id === undefined ? type : `${type} ${id}`)).join(' / ')}`]),
      ...(extension === undefined ? [] : [extensionText(extension)])
    ]
    const path = `${endpointText(message.source)} > ${endpointText(message.destination)}`
    return `${this.#style.strong(`${String(message.time ?? 'no time')}  ${path}`)}  ${what.join(', ')}`
  }

  #problemsAt(problems: readonly Problem[], row: number, count: number): void {
    if (problems.length === 0) return
    for (const problem of problems)
      if (problemRow(problem, count) === row) this.#output.write(`${this.#problemLine(problem)}\n`)
  }

  #problemLine(problem: Problem, where = ''): string {
    const paint = problem.severity === 'drop' ? this.#style.bad : this.#style.doubtful
    return paint(`  ! ${problemText(problem, where)}`)
  }

  /** Fills a cell that was written from `from` to `end` up to its column's width, and a blank; widens the column where it must. */
  #pad(view: DataView, from: number, end: number, column: number): number {
    let width = this.#widths[column]!
    if (end - from > width) {
      width = this.#widths[column] = end - from
      this.#hasGrown = true
    }
    const to = from + width + 1
    for (let at = end; at < to; at++) view.setUint8(at, 0x20)
    return to
  }

  #putTimeout(view: DataView, to: number, records: MessageRecords, record: number): number {
    const width = this.#widths[6]!
    const hasTimeout = records.version === 1
    const timeout = hasTimeout ? records.view.getUint32(records.at[record]! + 20) : 0
    let digits = 1
    for (let rest = timeout; rest >= 10; rest /= 10) digits++
    if (digits > width) {
      this.#widths[6] = digits
      this.#hasGrown = true
    }
    for (let i = digits; i < width; i++) view.setUint8(to++, 0x20)
    if (hasTimeout) return decimal(view, to, timeout)
    view.setUint8(to, 0x2d)
    return to + 1
  }
}

function bracketed(view: DataView, to: number, { bytes, view: source }: MessageRecords, at: number): number {
  view.setUint8(to, 0x5b)
  const end = ipv6(view, to + 1, bytes, source, at)
  view.setUint8(end, 0x5d)
  return end + 1
}

function hasSequence({ count, sequenceAt }: MessageRecords): boolean {
  for (let record = 0; record < count; record++) if (sequenceAt[record] !== 0) return true
  return false
}

const GAP = piece('  ')
const FWMARK = piece('  fwmark ')
const IN_SEQUENCE = piece('  in_seq ')
const OUT_SEQUENCE = piece('  out_seq ')
const NO_ENGINE = piece('no engine')
const DATA = piece(' "')

/** Writes what has no column, each part behind two blanks. */
function putRest(view: DataView, to: number, records: MessageRecords, record: number, flags: number): number {
  if ((flags & ~7) !== 0) to = putFlags(view, put(view, to, GAP), flags, FLAG_PIECES)
  if (records.version === 1) {
    const fwmark = records.view.getUint32(records.at[record]! + 16)
    if (fwmark !== 0) to = decimal(view, put(view, to, FWMARK), fwmark)
  }
  const nameAt = records.engineNameAt[record]!
  const dataAt = records.engineDataAt[record]!
  if (nameAt !== 0 || dataAt !== 0) {
    to = put(view, to, GAP)
    to =
      nameAt === 0
        ? put(view, to, NO_ENGINE)
        : putPrintable(view, to, records.bytes, nameAt, records.engineNameLength[record]!)
    to = put(view, to, DATA)
    if (dataAt !== 0) to = putPrintable(view, to, records.bytes, dataAt, records.engineDataLength[record]!)
    view.setUint8(to++, 0x22)
  }
  const at = records.sequenceAt[record]!
  if (at === 0) return to
  to = putSequence(view, put(view, to, IN_SEQUENCE), records, at)
  return putSequence(view, put(view, to, OUT_SEQUENCE), records, at + 12)
}

/** Writes `initial/delta/previous`; deltas are unsigned on the wire and signed in meaning. */
function putSequence(view: DataView, to: number, records: MessageRecords, at: number): number {
  const { view: source, version, littleEndian } = records
  const little = version === 0 && littleEndian
  to = decimal(view, to, source.getUint32(at, little))
  view.setUint8(to, 0x2f)
  to = signedDecimal(view, to + 1, source.getInt32(at + 4, little))
  view.setUint8(to, 0x2f)
  return signedDecimal(view, to + 1, source.getInt32(at + 8, little))
}

/** Writes bytes from the network as printable ASCII, anything else as `\xNN`. */
function putPrintable(view: DataView, to: number, bytes: Uint8Array, at: number, length: number): number {
  for (let i = at; i < at + length; i++) {
    const byte = bytes[i]!
    if (byte >= 0x20 && byte < 0x7f && byte !== 0x5c) view.setUint8(to++, byte)
    else {
      view.setUint16(to, 0x5c78)
      to = hex8(view, to + 2, byte)
    }
  }
  return to
}
