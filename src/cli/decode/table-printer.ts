/**
 * `decode --format table`: for a person.
 *
 * @module
 */

import { counted } from '../../text.js'
import type { CapturedDatagram, CaptureFinding } from '../../capture/items.js'
import type { Connection, DecodedMessage } from '../../wire/connection.js'
import { problemRow } from '../../wire/format-message.js'
import type { Problem } from '../../wire/problems.js'
import { endpointText } from '../../wire/terminal-text.js'
import type { Printer, Write } from './printer.js'
import type { ReadMessage } from './read-message.js'
import { problemText, type Style } from './style.js'
import type { Summary } from './summary.js'
import { Columns, HEADINGS, rowOf } from './table-row.js'

/** Why sequence data look odd. Printed once, where such data are first shown. */
const GARBAGE = [
  '  note: Linux before 6.1.189 writes garbage as version 1 sequence data (it swaps its own buffer); a receiver takes it',
  '        all the same. Version 0 is not affected.'
].join('\n')

/** Prints a line for each message, one for each connection, problems where they occur, and a summary. */
export class TablePrinter implements Printer {
  readonly #write: Write
  readonly #read: ReadMessage
  readonly #style: Style
  readonly #summary: Summary
  readonly #columns: Columns
  #isFirst = true
  #isNoted = false

  /** @param width - Of the terminal, in characters; undefined where there is none. */
  constructor(write: Write, read: ReadMessage, style: Style, summary: Summary, width?: number) {
    this.#write = write
    this.#read = read
    this.#style = style
    this.#summary = summary
    this.#columns = new Columns(width)
  }

  datagram(datagram: CapturedDatagram): readonly Problem[] {
    const { message, problems } = this.#read(datagram)
    this.#summary.message(datagram, message, problems)
    const rows = message.connections.map(rowOf)
    this.#columns.fit(rows)
    const lines = [...this.#heading(), this.#messageLine(datagram, message)]
    const add = (row: number): void => {
      for (const one of problems) if (problemRow(one, rows.length) === row) lines.push(this.#problemLine(one))
    }
    add(-1)
    for (const [index, row] of rows.entries()) {
      lines.push(this.#columns.line(row))
      add(index)
    }
    add(rows.length)
    if (message.version === 1 && message.connections.some(hasSequence)) lines.push(...this.#note())
    this.#write(`${lines.join('\n')}\n`)
    return problems
  }

  finding(finding: CaptureFinding): void {
    this.#summary.finding(finding)
    const where = finding.packet === undefined ? '' : `packet ${finding.packet}: `
    this.#write(`${this.#problemLine(finding.problem, where)}\n`)
  }

  end(): void {
    this.#write(`${this.#isFirst ? '' : '\n'}${this.#summary.lines(this.#style).join('\n')}\n`)
  }

  #heading(): string[] {
    if (!this.#isFirst) return []
    this.#isFirst = false
    return [this.#style.strong(this.#columns.line({ cells: HEADINGS, rest: 'FLAGS' }))]
  }

  #messageLine({ time, source, destination, fragments }: CapturedDatagram, message: DecodedMessage): string {
    const when = time === undefined ? 'no time' : time.toString()
    const what = [
      `version ${message.version}`,
      `syncid ${message.syncid}`,
      counted(message.size, 'byte'),
      ...(fragments > 1 ? [`${fragments} fragments`] : []),
      counted(message.connections.length, 'connection')
    ]
    return (
      this.#style.strong(`${when}  ${endpointText(source)} > ${endpointText(destination)}`) + `  ${what.join(', ')}`
    )
  }

  #problemLine(problem: Problem, where = ''): string {
    const paint = problem.severity === 'drop' ? this.#style.bad : this.#style.doubtful
    return paint(`  ! ${problemText(problem, where)}`)
  }

  #note(): string[] {
    if (this.#isNoted) return []
    this.#isNoted = true
    return [this.#style.faint(GARBAGE)]
  }
}

function hasSequence({ inSequence }: Connection): boolean {
  return inSequence !== undefined
}
