/**
 * The classic capture file: a header of 24 bytes, then records of 16 bytes and a packet (draft-ietf-opsawg-pcap).
 *
 * ```
 * header: magic 4 · version 2+2 · zone 4 · accuracy 4 · snapshot length 4 · link type 4 (low 16 bits)
 * record: seconds 4 · fraction 4 · captured length 4 · length on the wire 4 · packet
 * ```
 * All in the byte order of the machine that wrote it; the magic tells which, and whether the fraction is µs or ns.
 *
 * @module
 */

import type { ByteQueue } from './byte-queue.js'
import { timeFromParts } from './capture-time.js'
import { assertLinkType } from './link-layer.js'
import type { FrameTime, PacketSink } from './raw-packet.js'

const FILE_HEADER = 24
const RECORD_HEADER = 16
/** "Modified pcap" of old Linux patches: interface index 4 · protocol 2 · packet type 1 · padding 1 behind the lengths. */
const MODIFIED_RECORD_HEADER = 24
const ETHERNET = 1
/** libpcap's own limit for any link type but one: a record that claims more is damage, not a packet. */
const USUAL_LIMIT = 262_144
/** However large the snapshot length that a file claims, no more than this is ever held for one packet. */
const HARD_LIMIT = 16_777_216

/** How a pcap magic, read as big-endian, sets byte order and digits. */
const MAGICS: ReadonlyMap<number, Magic> = new Map([
  [0xa1b2c3d4, { little: false, digits: 6, recordHeader: RECORD_HEADER }],
  [0xd4c3b2a1, { little: true, digits: 6, recordHeader: RECORD_HEADER }],
  [0xa1b23c4d, { little: false, digits: 9, recordHeader: RECORD_HEADER }],
  [0x4d3cb2a1, { little: true, digits: 9, recordHeader: RECORD_HEADER }],
  [0xa1b2cd34, { little: false, digits: 6, recordHeader: MODIFIED_RECORD_HEADER }],
  [0x34cdb2a1, { little: true, digits: 6, recordHeader: MODIFIED_RECORD_HEADER }]
])

interface Magic {
  readonly little: boolean
  readonly digits: number
  readonly recordHeader: number
}

/** Whether a file that starts with this number (big-endian) is a pcap file. */
export function isPcapMagic(magic: number): boolean {
  return MAGICS.has(magic)
}

interface PcapHeader extends Magic {
  readonly linkType: number
  readonly limit: number
}

/** Whether a pcapng file begins here. As a record of pcap it would claim more bytes than any packet has. */
function isSectionHeader(view: DataView, at: number): boolean {
  if (view.getUint32(at) !== 0x0a0d0d0a) return false
  const magic = view.getUint32(at + 8)
  return magic === 0x1a2b3c4d || magic === 0x4d3c2b1a
}

/** Reads pcap, as far as the bytes in the queue go. */
export class PcapParser {
  /** Whether another format begins where the queue stands: files joined by cat. */
  isOtherFormat = false
  #header: PcapHeader | undefined
  readonly #time: FrameTime = { seconds: 0, fraction: 0, digits: 6 }

  /**
   * Takes what is whole from the queue.
   *
   * @returns False when the file is damaged and nothing more can be read.
   */
  parse(queue: ByteQueue, sink: PacketSink): boolean {
    this.#header ??= readHeader(queue)
    if (this.#header === undefined) return true
    while (queue.length >= this.#header.recordHeader) {
      // Files joined by cat: another header stands where a record would.
      if (isHeader(queue)) {
        if (queue.length < FILE_HEADER) return true
        this.#header = readHeader(queue)!
        continue
      }
      if (isSectionHeader(queue.view, queue.start)) {
        this.isOtherFormat = true
        return true
      }
      const { recordHeader } = this.#header
      const captured = queue.view.getUint32(queue.start + 8, this.#header.little)
      if (captured > this.#header.limit) {
        const text = `a packet claims ${captured} captured bytes, where this file allows ${this.#header.limit}`
        sink.damage('CAPTURE_DAMAGED', text, queue.position)
        return false
      }
      if (queue.length < recordHeader + captured) return true
      this.#packet(queue, sink, captured, this.#header)
      queue.skip(recordHeader + captured)
    }
    return true
  }

  /** Says what was cut off, if anything. */
  end(queue: ByteQueue, sink: PacketSink): void {
    if (queue.length === 0) return
    const what = this.#header === undefined ? `its header of ${FILE_HEADER} bytes` : 'a packet'
    sink.damage(
      'CAPTURE_TRUNCATED',
      `the file ends inside ${what}: ${queue.length} bytes of it are there`,
      queue.position
    )
  }

  #packet(queue: ByteQueue, sink: PacketSink, captured: number, header: PcapHeader): void {
    const { bytes, view, start } = queue
    const { little, digits, linkType, recordHeader } = header
    if (sink.frame !== undefined && linkType === ETHERNET && view.getUint32(start + 12, little) === captured) {
      const time = this.#time
      time.seconds = view.getUint32(start, little)
      time.fraction = view.getUint32(start + 4, little)
      time.digits = digits
      if (sink.frame(bytes, view, start + recordHeader, start + recordHeader + captured, time)) return
    }
    sink.packet({
      bytes,
      view,
      start: start + recordHeader,
      end: start + recordHeader + captured,
      wireLength: Math.max(captured, view.getUint32(start + 12, little)),
      linkType,
      interfaceNumber: 0,
      interfaceName: undefined,
      time: timeFromParts(view.getUint32(start, little), view.getUint32(start + 4, little), digits)
    })
  }
}

function readHeader(queue: ByteQueue): PcapHeader | undefined {
  if (queue.length < FILE_HEADER) return undefined
  const { view, start } = queue
  // The reader has looked at the magic before it chose this parser.
  const magic = MAGICS.get(view.getUint32(start))!
  const { little } = magic
  const linkType = view.getUint32(start + 20, little) & 0xffff
  const limit = Math.min(Math.max(view.getUint32(start + 16, little), USUAL_LIMIT), HARD_LIMIT)
  assertLinkType(linkType)
  queue.skip(FILE_HEADER)
  return { ...magic, linkType, limit }
}

/** Whether a pcap file's header begins where the queue stands: a magic, and version 2.4 behind it. */
export function isHeader({ view, start }: Pick<ByteQueue, 'view' | 'start'>): boolean {
  const magic = MAGICS.get(view.getUint32(start))
  return (
    magic !== undefined &&
    view.getUint16(start + 4, magic.little) === 2 &&
    view.getUint16(start + 6, magic.little) === 4
  )
}
