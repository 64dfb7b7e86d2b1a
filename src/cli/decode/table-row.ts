/**
 * A connection as one line of aligned columns.
 *
 * @module
 */

import type { Connection, SequenceAdjustment } from '../../wire/connection.js'
import { endpointText, printable } from '../../wire/terminal-text.js'

/** The columns of equal width; what comes after them has no fixed place. */
export const HEADINGS = ['PROTO', 'CLIENT', 'VIRTUAL', 'DESTINATION', 'FORWARD', 'STATE', 'TIMEOUT'] as const

/** Widths that suit IPv4; a wider value widens its column from there on. */
const FIRST_WIDTHS = [5, 21, 21, 21, 7, 11, 7]

/** A line of these with a flag behind it. */
const USUAL_LINE = FIRST_WIDTHS.reduce((sum, width) => sum + width + 1, 2 + ' INACTIVE'.length)

/** Cells of one line, and what follows them. */
export interface TableRow {
  readonly cells: readonly string[]
  readonly rest: string
}

/** The row of a connection. */
export function rowOf(connection: Connection): TableRow {
  const { protocol, client, virtual, destination, forwarding, state, timeout } = connection
  return {
    cells: [
      protocol,
      endpointText(client),
      endpointText(virtual),
      endpointText(destination),
      forwarding,
      state,
      timeout === undefined ? '-' : String(timeout)
    ],
    rest: restOf(connection)
  }
}

function restOf({ flags, fwmark, engine, inSequence, outSequence }: Connection): string {
  const rest = flags.length === 0 ? [] : [flags.join(',')]
  if (fwmark !== undefined && fwmark !== 0) rest.push(`fwmark ${fwmark}`)
  if (engine !== undefined) rest.push(`${printable(engine.name) || 'no engine'} "${readable(engine.data)}"`)
  if (inSequence !== undefined) rest.push(`in_seq ${sequenceText(inSequence)}`)
  if (outSequence !== undefined) rest.push(`out_seq ${sequenceText(outSequence)}`)
  return rest.join('  ')
}

/** Deltas are unsigned on the wire and signed in meaning. */
function sequenceText({ initial, delta, previousDelta }: SequenceAdjustment): string {
  return `${initial}/${delta | 0}/${previousDelta | 0}`
}

/** Engine data of the one engine there is are text: a SIP Call-ID. */
function readable(hex: string): string {
  return printable((hex.match(/../g) ?? []).map((pair) => String.fromCharCode(parseInt(pair, 16))).join(''))
}

/** Keeps the columns' widths: they grow with what is seen and never shrink, so that a stream can be printed as it comes. */
export class Columns {
  readonly #widths: number[]

  /** @param width - Of the terminal: where the usual widths and flags do not fit, columns begin as narrow as their headings. */
  constructor(width = Infinity) {
    this.#widths = width < USUAL_LINE ? HEADINGS.map((heading) => heading.length) : [...FIRST_WIDTHS]
  }

  /** Makes room for rows that belong together. */
  fit(rows: readonly TableRow[]): void {
    for (const { cells } of rows) {
      for (const [index, cell] of cells.entries()) this.#widths[index] = Math.max(this.#widths[index]!, cell.length)
    }
  }

  /** One line, without blanks at its end. */
  line({ cells, rest }: TableRow): string {
    const padded = cells.map((cell, index) =>
      index === cells.length - 1 ? cell.padStart(this.#widths[index]!) : cell.padEnd(this.#widths[index]!)
    )
    return `  ${padded.join(' ')}  ${rest}`.trimEnd()
  }
}
