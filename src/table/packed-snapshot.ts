/**
 * A table as packed binary blocks, and back: the format of a store. Little-endian throughout.
 *
 * ```
 * file    header, blocks, end
 * header  "ipvs-tbl"  version u32 = 2  savedAt f64 (ms since 1970)  crc u32 of the 20 bytes before
 * block   "blok"  payload bytes u32  records u32  crc u32 of lengths and payload  payload
 * end     "end "  8 u32  0 u32            crc u32 of lengths and payload  connections u32  0 u32
 * record  0 flags (17 bits) | kind << 20 (1 IPv6, 2 sequence data, 4 engine)   1 state << 16 | protocol << 8 | syncid
 *         2 client port << 16 | virtual port   3 destination port << 16 | name bytes << 8 | data bytes of the engine
 *         4 fwmark   5 timeout (s)   6 seconds left
 *         7 client, virtual, destination: 3 words (IPv4) or 12; then 6 words of sequence data; then the engine's name and
 *         data, padded to a word
 * ```
 *
 * A block has at most 1,024 records, so that writing or reading one holds the event loop for less than 2 ms.
 *
 * @module
 */
import type { Milliseconds, TimestampMs } from '../units.js'
import { FLAG } from '../wire/constants.js'
import { createRows, PRESENT, ROW, type Rows } from '../wire/rows.js'
import type { ConnectionTable } from './connection-table.js'
import { newReport, type SnapshotReport } from './snapshot.js'

/** A CRC-32 (polynomial 0xedb88320) that continues a previous one: the shape of `zlib.crc32`. */
export type Checksum = (bytes: Uint8Array, previous?: number) => number

/** The times of a restore. */
export interface RestoreTimes {
  /** The table's clock. */
  readonly now: TimestampMs
  /** Milliseconds since 1970: the age of the snapshot is subtracted from every connection's remaining time. */
  readonly wallClock: TimestampMs
}

const MAGIC = textBytes('ipvs-tbl')
const VERSION = 2
const BLOCK = word(textBytes('blok'))
const END = word(textBytes('end '))
const HEADER_BYTES = 24
const BLOCK_HEADER = 16
const BLOCK_RECORDS = 1024
const RECORD_WORDS = 7
/** Words of the longest record: IPv6, sequence data, 16 + 255 bytes of engine data. */
const MAX_RECORD_WORDS = RECORD_WORDS + 12 + 6 + 68
const IPV6 = 1
const SEQUENCE = 2
const ENGINE = 4

/**
 * Yields a table as a snapshot, block by block.
 *
 * @param table - May change between two blocks: what is removed by then is omitted.
 * @param savedAt - Wall-clock time in milliseconds since 1970, by which a reader computes the snapshot's age.
 * @param checksum - CRC-32; `zlib.crc32` is five times as fast as the default.
 */
export function* packTable(
  table: ConnectionTable,
  savedAt: TimestampMs,
  checksum: Checksum = crc32
): Generator<Uint8Array> {
  yield packHeader(savedAt, checksum)
  const rows = createRows(1)
  // One buffer for all blocks stays in the cache; each block is copied out of it.
  let buffer = new Uint8Array(BLOCK_HEADER + BLOCK_RECORDS * 4 * (RECORD_WORDS + 12))
  let connections = 0
  for (const slots of table.walk({ limit: BLOCK_RECORDS })) {
    if (slots.length === 0) continue
    let view = new DataView(buffer.buffer)
    let at = BLOCK_HEADER
    for (const slot of slots) {
      if (at + 4 * MAX_RECORD_WORDS > buffer.length) {
        const longer = new Uint8Array(2 * buffer.length)
        longer.set(buffer)
        buffer = longer
        view = new DataView(buffer.buffer)
      }
      at = packRecord(table, slot, rows, view, at)
    }
    connections += slots.length
    yield sealBlock(buffer.slice(0, at), BLOCK, slots.length, checksum)
  }
  const end = new Uint8Array(BLOCK_HEADER + 8)
  new DataView(end.buffer).setUint32(BLOCK_HEADER, connections, true)
  yield sealBlock(end, END, 0, checksum)
}

/** Returns whether a file that begins with these bytes is a packed snapshot. */
export function isPackedSnapshot(bytes: Uint8Array): boolean {
  return bytes.length >= MAGIC.length && MAGIC.every((byte, i) => bytes[i] === byte)
}

/**
 * Loads a packed snapshot into a table, from pieces of any length. A damaged block ends it: {@link SnapshotReport.complete}
 * stays false. Pieces of 64 kB hold the event loop for about 1 ms.
 */
export class PackedSnapshotLoader {
  /** Counts so far; `complete` is true once the end was read. */
  readonly report: SnapshotReport = newReport()
  readonly #table: ConnectionTable
  readonly #times: RestoreTimes
  readonly #checksum: Checksum
  readonly #replaces: boolean
  readonly #rows = createRows(1)
  #rest: Uint8Array = new Uint8Array(0)
  #hasHeader = false
  #connections = 0
  #isDamaged = false

  /**
   * @param table - The destination.
   * @param times - The times of the restore.
   * @param checksum - As of {@link packTable}.
   * @param replaces - Whether a connection whose key the table has already replaces one that was received earlier; by default
   * the table's stays as it is.
   */
  constructor(table: ConnectionTable, times: RestoreTimes, checksum: Checksum = crc32, replaces = false) {
    this.#table = table
    this.#times = times
    this.#checksum = checksum
    this.#replaces = replaces
  }

  /**
   * Loads the next piece.
   *
   * @returns False as soon as the snapshot is known to be damaged: further pieces are ignored.
   */
  push(piece: Uint8Array): boolean {
    if (this.#isDamaged) return false
    let bytes = piece
    if (this.#rest.length > 0) {
      bytes = new Uint8Array(this.#rest.length + piece.length)
      bytes.set(this.#rest)
      bytes.set(piece, this.#rest.length)
    }
    let at = 0
    for (let length = this.#next(bytes, at); length > 0; length = this.#next(bytes, at)) at += length
    this.#rest = bytes.slice(at)
    return !this.#isDamaged
  }

  /** Takes the header or block at a place; returns its length, 0 if it is not all there, or damaged. */
  #next(bytes: Uint8Array, at: number): number {
    const view = new DataView(bytes.buffer, bytes.byteOffset + at, bytes.length - at)
    if (!this.#hasHeader) {
      if (bytes.length < HEADER_BYTES) return 0
      const isSound =
        isPackedSnapshot(bytes) &&
        view.getUint32(8, true) === VERSION &&
        this.#checksum(bytes.subarray(0, 20)) === view.getUint32(20, true)
      if (!isSound) return this.#damage()
      this.#hasHeader = true
      this.report.ageMs = Math.max(0, this.#times.wallClock - view.getFloat64(12, true))
      return HEADER_BYTES
    }
    if (view.byteLength < BLOCK_HEADER) return 0
    // Nothing may follow the end.
    if (this.report.complete) return this.#damage()
    const kind = view.getUint32(0, true)
    const length = view.getUint32(4, true)
    const records = view.getUint32(8, true)
    const isSized = records <= BLOCK_RECORDS && length <= 4 * MAX_RECORD_WORDS * Math.max(records, 1)
    if ((kind !== BLOCK && kind !== END) || !isSized) return this.#damage()
    const end = BLOCK_HEADER + length
    if (view.byteLength < end) return 0
    const sum = this.#checksum(bytes.subarray(at + BLOCK_HEADER, at + end), this.#checksum(bytes.subarray(at, at + 12)))
    if (sum !== view.getUint32(12, true)) return this.#damage()
    if (kind === END) {
      if (length !== 8 || view.getUint32(BLOCK_HEADER, true) !== this.#connections) return this.#damage()
      this.report.complete = true
    } else if (!this.#load(view, end, records)) return this.#damage()
    return end
  }

  #damage(): 0 {
    this.#isDamaged = true
    this.report.complete = false
    return 0
  }

  /** Loads the records of a block; false where they do not fill it. */
  #load(view: DataView, end: number, records: number): boolean {
    const { report } = this
    const table = this.#table
    const rows = this.#rows
    const { now } = this.#times
    let at = BLOCK_HEADER
    for (let i = 0; i < records; i++) {
      const next = unpackRecord(view, at, end, rows)
      if (next === 0) return false
      const left: Milliseconds = view.getUint32(at + 24, true) * 1000 - report.ageMs
      const known = left <= 0 ? 0 : table.findExact(rows, 0)
      // A connection of the table stays unless the record was received later.
      const stays =
        known !== 0 &&
        (!this.#replaces ||
          now + left - (rows.words[ROW.TIMEOUT]! >>> 0) * 1000 <= table.deadlineMs(known) - table.timeoutMs(known))
      if (left <= 0) report.expired++
      else if (stays) report.known++
      else {
        table.remove(known)
        const slot = table.add(rows, 0, now, left)
        if (slot === 0) report.refused++
        else {
          report.loaded++
          table.setSyncid(slot, view.getUint8(at + 4))
        }
      }
      at = next
    }
    this.#connections += records
    return at === end
  }
}

/** CRC-32 as of zlib and PNG, byte by byte. */
export function crc32(bytes: Uint8Array, previous = 0): number {
  let crc = ~previous
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8)
  return ~crc >>> 0
}

const CRC_TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0)
  return crc
})

function packHeader(savedAt: TimestampMs, checksum: Checksum): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES)
  const view = new DataView(header.buffer)
  header.set(MAGIC)
  view.setUint32(8, VERSION, true)
  view.setFloat64(12, savedAt, true)
  view.setUint32(20, checksum(header.subarray(0, 20)), true)
  return header
}

function sealBlock(bytes: Uint8Array, kind: number, records: number, checksum: Checksum): Uint8Array {
  const view = new DataView(bytes.buffer)
  view.setUint32(0, kind, true)
  view.setUint32(4, bytes.length - BLOCK_HEADER, true)
  view.setUint32(8, records, true)
  view.setUint32(12, checksum(bytes.subarray(BLOCK_HEADER), checksum(bytes.subarray(0, 12))), true)
  return bytes
}

/** Writes a record; returns where the next one begins. */
function packRecord(table: ConnectionTable, slot: number, rows: Rows, view: DataView, from: number): number {
  table.readRow(slot, rows, 0)
  const { words } = rows
  const present = words[ROW.PRESENT]!
  const length = words[ROW.FAMILY] === 6 ? 4 : 1
  const engine = (present & PRESENT.ENGINE) === 0 ? undefined : rows.engines[0]
  const kind = (length === 4 ? IPV6 : 0) | ((present & PRESENT.SEQUENCE) === 0 ? 0 : SEQUENCE) | (engine ? ENGINE : 0)
  const sizes = engine === undefined ? 0 : (engine.name.length << 8) | engine.data.length
  view.setInt32(from, words[ROW.FLAGS]! | (kind << 20), true)
  view.setInt32(from + 4, (words[ROW.STATE]! << 16) | (words[ROW.PROTOCOL]! << 8) | table.syncid(slot), true)
  view.setInt32(from + 8, (words[ROW.CLIENT_PORT]! << 16) | words[ROW.VIRTUAL_PORT]!, true)
  view.setInt32(from + 12, (words[ROW.DESTINATION_PORT]! << 16) | sizes, true)
  view.setInt32(from + 16, words[ROW.FWMARK]!, true)
  view.setInt32(from + 20, words[ROW.TIMEOUT]!, true)
  view.setUint32(from + 24, Math.min(Math.max(0, table.deadlineMs(slot) - table.now) / 1000, 0xffffffff), true)
  let at = from + 4 * RECORD_WORDS
  for (const address of ADDRESSES)
    for (let i = 0; i < length; i++, at += 4) view.setInt32(at, words[address + i]!, true)
  if ((kind & SEQUENCE) !== 0) for (let i = 0; i < 6; i++, at += 4) view.setInt32(at, words[ROW.SEQUENCE + i]!, true)
  if (engine === undefined) return at
  const bytes = new Uint8Array(view.buffer, at)
  bytes.set(engine.name)
  bytes.set(engine.data, engine.name.length)
  return at + ((engine.name.length + engine.data.length + 3) & ~3)
}

const ADDRESSES = [ROW.CLIENT, ROW.VIRTUAL, ROW.DESTINATION]

/** Reads a record into row 0; returns where the next one begins, 0 if it runs past the end. */
function unpackRecord(view: DataView, from: number, end: number, rows: Rows): number {
  if (from + 4 * RECORD_WORDS > end) return 0
  const { words } = rows
  const first = view.getInt32(from, true)
  const second = view.getInt32(from + 4, true)
  const kind = (first >>> 20) & 7
  const ports = view.getInt32(from + 8, true)
  const destination = view.getInt32(from + 12, true)
  const nameLength = (destination >>> 8) & 0xff
  const dataLength = destination & 0xff
  const length = (kind & IPV6) === 0 ? 1 : 4
  const sequence = (kind & SEQUENCE) === 0 ? 0 : 6
  const engine = (kind & ENGINE) === 0 ? 0 : (nameLength + dataLength + 3) & ~3
  let at = from + 4 * RECORD_WORDS
  const next = at + 4 * (3 * length + sequence) + engine
  if (next > end) return 0
  words[ROW.FAMILY] = length === 4 ? 6 : 4
  words[ROW.PROTOCOL] = (second >>> 8) & 0xff
  words[ROW.FLAGS] = first & (FLAG.NFCT | 0xffff)
  words[ROW.STATE] = second >>> 16
  words[ROW.CLIENT_PORT] = ports >>> 16
  words[ROW.VIRTUAL_PORT] = ports & 0xffff
  words[ROW.DESTINATION_PORT] = destination >>> 16
  words[ROW.FWMARK] = view.getInt32(from + 16, true)
  words[ROW.TIMEOUT] = view.getInt32(from + 20, true)
  words[ROW.PRESENT] = (sequence > 0 ? PRESENT.SEQUENCE : 0) | ((kind & ENGINE) === 0 ? 0 : PRESENT.ENGINE)
  for (const address of ADDRESSES)
    for (let i = 0; i < length; i++, at += 4) words[address + i] = view.getInt32(at, true)
  for (let i = 0; i < sequence; i++, at += 4) words[ROW.SEQUENCE + i] = view.getInt32(at, true)
  if ((kind & ENGINE) !== 0) {
    const bytes = new Uint8Array(view.buffer, view.byteOffset + at, nameLength + dataLength)
    rows.engines[0] = { name: bytes.subarray(0, nameLength), data: bytes.subarray(nameLength) }
  }
  return next
}

function textBytes(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0))
}

function word(bytes: Uint8Array): number {
  return new DataView(bytes.buffer).getUint32(0, true)
}
