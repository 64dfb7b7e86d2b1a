/**
 * Reads a table of connections from bytes into rows: `/proc/net/ip_vs_conn`, `ip_vs_conn_sync`, and `ipvsadm -Lnc` with or
 * without `--persistent-conn`. Columns are found by the header's names, since vendors add some (docs/protocol.md section 11).
 * A line makes no string and no object, unless it has persistence-engine data or cannot be read.
 *
 * @module
 */

import { IpvsSyncError } from '../errors.js'
import type { Bytes } from '../units.js'
import { FLAG } from '../wire/constants.js'
import { PROTOCOL } from '../wire/protocols.js'
import { createRows, PRESENT, ROW, ROW_WORDS, type Rows } from '../wire/rows.js'
import {
  BLANK,
  CLASS,
  isGrouped,
  isIpv6Endpoint,
  NEWLINE,
  readAddress,
  readEndpoint,
  readIpv4Ends,
  readNumber,
  readPort,
  readTime,
  wordEnd
} from './table-fields.js'
import { FIELD, readTableStart, type TableForm } from './table-form.js'
import {
  canonicalNumber,
  ERROR_STATE,
  findName,
  isTemplate,
  LOCAL,
  nameAt,
  NOT_A_STATE,
  protocolAt,
  stateOf,
  SYNC
} from './table-names.js'
import { noteUnreadable, noUnreadableLines, type UnreadableLines } from './unreadable.js'

/** Words of a row that mean something else until `RowCompleter` has completed it. */
export const TABLE_ROW = {
  /** Seconds left. A table shows no sequence data, whose first word this is. */
  EXPIRES: ROW.SEQUENCE,
  /** Number of the line, from 1. */
  LINE: ROW.OFFSET,
  /** Bits of {@link MARK}. */
  MARKS: ROW.VERDICT
} as const

/** What a line shows besides the fields of a connection. */
export const MARK = {
  /** The kernel printed `ERR!` for a protocol that has states. */
  STATE_UNKNOWN: 1,
  /** The real server's address is of the other family. */
  OTHER_FAMILY: 2,
  /** `Origin` of `ip_vs_conn_sync`. */
  ORIGIN_LOCAL: 4,
  ORIGIN_SYNC: 8
} as const

/** A line of a kernel's table has at most some 500 bytes. */
const LONGEST_LINE: Bytes = 65_536
const BUFFER: Bytes = 4 * LONGEST_LINE
/** Fields of fixed width are read before it is known that the line is as long. */
const SLACK: Bytes = 64
const BYTE_ORDER_MARK = '\xef\xbb\xbf'
const SPACE = 32
/** `TCP ` and `UDP ` as little-endian words. */
const TCP = 0x20504354
const UDP = 0x20504455
/** The most that a message can carry of a persistence engine (`IP_VS_PENAME_MAXLEN`, `IP_VS_PEDATA_MAXLEN`). */
const MOST_NAME: Bytes = 16
const MOST_DATA: Bytes = 255

/**
 * Reads a table. Bytes are put into its buffer, rows are taken out.
 *
 * @example
 * ```ts
 * const reader = new TableReader()
 * for (let n = read(reader.room()); n > 0; n = read(reader.room())) {
 *   reader.take(n)
 *   while (reader.next()) use(reader.rows)
 * }
 * reader.end()
 * while (reader.next()) use(reader.rows)
 * ```
 */
export class TableReader {
  /** The rows of the last `next`. Engine data are views of the buffer: good until the next `room`. */
  readonly rows: Rows = createRows()
  /** Lines that cannot be read. */
  readonly unreadable: UnreadableLines = noUnreadableLines()

  readonly #name: string
  readonly #bytes = new Uint8Array(BUFFER + SLACK)
  readonly #view = new DataView(this.#bytes.buffer)
  #form: TableForm | undefined
  #place = 0
  #filled = 0
  /** Behind the last newline: lines up to here are whole. */
  #whole = 0
  #line = 0

  /** @param name - What to call the source in errors. */
  constructor(name = 'connection table') {
    this.#name = name
  }

  /** Free memory for bytes, at least 128 kB. All rows must have been taken. */
  room(): Uint8Array {
    this.#bytes.copyWithin(0, this.#place, this.#filled)
    this.#filled -= this.#place
    this.#whole -= this.#place
    this.#place = 0
    return this.#bytes.subarray(this.#filled, BUFFER)
  }

  /**
   * Takes bytes that were put into the memory of `room`.
   *
   * @throws IpvsSyncError `ERR_IO` for a line of more than 65536 bytes: the source is not a table.
   */
  take(length: Bytes): void {
    // Of an empty buffer `lastIndexOf` would search the bytes of earlier lines: -1 counts from the end.
    if (length === 0) return
    this.#filled += length
    this.#whole = Math.max(this.#bytes.lastIndexOf(NEWLINE, this.#filled - 1) + 1, this.#whole)
    if (this.#filled - this.#whole > LONGEST_LINE)
      throw new IpvsSyncError('ERR_IO', `${this.#name}: line longer than ${LONGEST_LINE} bytes: not a connection table`)
  }

  /** Takes the end of the source: its last line may lack a newline. */
  end(): void {
    if (this.#filled === this.#whole) return
    this.#bytes[this.#filled++] = NEWLINE
    this.#whole = this.#filled
  }

  /**
   * Reads the next whole lines into `rows`: at most 255.
   *
   * @returns False where no connection is left.
   * @throws IpvsSyncError `ERR_IO` where the first line is not a table's header.
   */
  next(): boolean {
    const { rows } = this
    const bytes = this.#bytes
    const capacity = rows.engines.length
    let place = this.#place
    rows.count = 0
    while (place < this.#whole && rows.count < capacity) {
      this.#line++
      while (CLASS[bytes[place]!] === BLANK) place++
      if (bytes[place] === NEWLINE) place++
      else if (this.#form === undefined) place = this.#readHeader(place)
      else {
        let end = this.#form.isUsual ? this.#readUsual(place) : -1
        if (end < 0) end = this.#readLine(place, this.#form)
        if (end >= 0) end = bytes[end] === NEWLINE ? end + 1 : this.#readRest(end, this.#form)
        if (end < 0) place = this.#refuseLine(place)
        else {
          rows.words[rows.count * ROW_WORDS + TABLE_ROW.LINE] = this.#line
          rows.count++
          place = end
        }
      }
    }
    this.#place = place
    return rows.count > 0
  }

  #readHeader(place: number): number {
    const end = this.#bytes.indexOf(NEWLINE, place)
    const text = this.#text(place, end).replace(BYTE_ORDER_MARK, '')
    if (text.trim() !== '') this.#form = readTableStart(text, this.#name)
    return end + 1
  }

  #refuseLine(place: number): number {
    const end = this.#bytes.indexOf(NEWLINE, place)
    noteUnreadable(this.unreadable, this.#line, this.#text(place, end))
    return end + 1
  }

  #text(from: number, end: number): string {
    return Buffer.from(this.#bytes.subarray(from, end)).toString('latin1')
  }

  /** Reads what nearly all lines are: TCP or UDP over IPv4, in fixed places. Returns -1 for any other line. */
  #readUsual(from: number): number {
    const bytes = this.#bytes
    const view = this.#view
    const { words, count } = this.rows
    const row = count * ROW_WORDS
    const head = view.getInt32(from, true)
    const protocol = head === TCP ? PROTOCOL.TCP : head === UDP ? PROTOCOL.UDP : 0
    if (protocol === 0 || !readIpv4Ends(bytes, from + 4, words, row)) return -1
    const name = findName(
      view.getInt32(from + 46, true),
      view.getInt32(from + 50, true),
      view.getInt32(from + 54, true)
    )
    let place = from + 58
    while (CLASS[bytes[place]!] === BLANK) place++
    const end = readNumber(bytes, place, words, row + TABLE_ROW.EXPIRES)
    words[row + ROW.PROTOCOL] = protocol
    return name !== 0 && end > place && this.#finishRow(row, name, -1, 0, 0) ? end : -1
  }

  /** Reads a line's columns into the next row: the place behind them, or -1 where they cannot be read. */
  #readLine(from: number, form: TableForm): number {
    const bytes = this.#bytes
    const { words, count } = this.rows
    const { fields, targets, ports } = form
    const row = count * ROW_WORDS
    let place = from
    let state = 0
    let stateEnd = 0
    let origin = 0
    // A bit for each address: whether it is of IPv6.
    let families = 0
    for (let i = 0; i < fields.length; i++) {
      while (CLASS[bytes[place]!] === BLANK) place++
      const start = place
      switch (fields[i]!) {
        case FIELD.ADDRESS:
          if (isGrouped(bytes, place)) families |= 1 << targets[i]!
          place = readAddress(bytes, place, words, row + targets[i]!)
          break
        case FIELD.PORT:
          place = readPort(bytes, place, words, row + ports[i]!)
          break
        case FIELD.ENDPOINT:
          if (isIpv6Endpoint(bytes, place)) families |= 1 << targets[i]!
          place = readEndpoint(bytes, place, words, row + targets[i]!, row + ports[i]!)
          break
        case FIELD.SECONDS:
          place = readNumber(bytes, place, words, row + TABLE_ROW.EXPIRES)
          break
        case FIELD.TIME:
          place = readTime(bytes, place, words, row + TABLE_ROW.EXPIRES)
          break
        default:
          place = wordEnd(bytes, place)
          if (fields[i] === FIELD.PROTOCOL) words[row + ROW.PROTOCOL] = protocolAt(bytes, start, place)
          else if (fields[i] === FIELD.ORIGIN) origin = nameAt(bytes, start, place)
          else if (fields[i] === FIELD.STATE) {
            state = start
            stateEnd = place
          }
      }
      if (place <= start) return -1
    }
    const name = nameAt(bytes, state, stateEnd)
    const number = name === 0 ? canonicalNumber(bytes, state, stateEnd, 0xffff) : -1
    return this.#finishRow(row, name, number, origin, families) ? place : -1
  }

  /**
   * Writes what depends on several fields.
   *
   * @param name - The state's, 0 where it is given by its number.
   * @returns False where the fields do not fit together.
   */
  #finishRow(row: number, name: number, numeric: number, origin: number, families: number): boolean {
    const { words } = this.rows
    const protocol = words[row + ROW.PROTOCOL]!
    const isIpv6 = (families >> ROW.CLIENT) & 1
    if (protocol < 0 || isIpv6 !== ((families >> ROW.VIRTUAL) & 1)) return false
    const template = isTemplate(protocol, words[row + ROW.CLIENT_PORT]!, name)
    const number = name === 0 ? numeric : stateOf(name, protocol, template)
    if (number === NOT_A_STATE) return false
    words[row + ROW.FAMILY] = isIpv6 === 1 ? 6 : 4
    words[row + ROW.FLAGS] = template ? FLAG.TEMPLATE : 0
    words[row + ROW.STATE] = number
    words[row + ROW.PRESENT] = 0
    words[row + TABLE_ROW.MARKS] =
      (number === ERROR_STATE ? MARK.STATE_UNKNOWN : 0) |
      (((families >> ROW.DESTINATION) & 1) === isIpv6 ? 0 : MARK.OTHER_FAMILY) |
      (origin === LOCAL ? MARK.ORIGIN_LOCAL : origin === SYNC ? MARK.ORIGIN_SYNC : 0)
    return true
  }

  /** Reads the rest of a line: a persistence engine's name and data, where there are any. */
  #readRest(from: number, { hasEngine, engineData }: TableForm): number {
    const bytes = this.#bytes
    const index = this.rows.count
    const newline = bytes.indexOf(NEWLINE, from)
    let name = from
    while (CLASS[bytes[name]!] === BLANK) name++
    if (name === newline || !hasEngine) return newline + 1
    const nameEnd = wordEnd(bytes, name)
    let data = nameEnd
    let dataEnd = newline
    if (engineData === 'word') {
      while (CLASS[bytes[data]!] === BLANK) data++
      dataEnd = wordEnd(bytes, data)
    } else if (engineData === 'raw' && bytes[nameEnd] === SPACE) data++
    else dataEnd = data
    if (nameEnd - name > MOST_NAME || dataEnd - data > MOST_DATA) return -1
    this.rows.words[index * ROW_WORDS + ROW.PRESENT] = PRESENT.ENGINE
    this.rows.engines[index] = { name: bytes.subarray(name, nameEnd), data: bytes.subarray(data, dataEnd) }
    return newline + 1
  }
}
