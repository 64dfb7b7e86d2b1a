/**
 * The block-structured capture file (draft-ietf-opsawg-pcapng): sections, each in its own byte order and with
 * interfaces of its own, made of blocks.
 *
 * ```
 * block: type 4 · total length 4 · body · total length 4     the body padded to a multiple of 4
 * ```
 *
 * @module
 */

import type { ByteQueue } from './byte-queue.js'
import {
  BLOCK,
  readEnhancedPacket,
  readInterface,
  readObsoletePacket,
  readSimplePacket,
  type Block,
  type PcapngInterface
} from './pcapng-blocks.js'
import { timeFromTicks } from './capture-time.js'
import { isKnownLinkType, unknownLinkTypeError } from './link-layer.js'
import { isHeader } from './pcap-parser.js'
import type { FrameTime, PacketSink } from './raw-packet.js'

const ETHERNET = 1
const MAGIC_BIG = 0x1a2b3c4d
const MAGIC_LITTLE = 0x4d3c2b1a
/** The largest block that is held in memory; one that need not be read may be longer. */
const LIMIT = 16_777_216
/** Later times, which a pcap file cannot hold either, are written by the careful path. */
const LAST_SECOND = 0xffff_ffff
/** A section with more interfaces than this is not a capture but an attack on memory. */
const MAX_INTERFACES = 65_536

/** Whether a file that starts with this number (in either byte order: it is a palindrome) is a pcapng file. */
export function isPcapngMagic(magic: number): boolean {
  return magic === BLOCK.SECTION
}

/** Reads pcapng, as far as the bytes in the queue go. */
export class PcapngParser {
  /** Whether another format begins where the queue stands: files joined by cat. */
  isOtherFormat = false
  #little = false
  #interfaces: PcapngInterface[] = []
  #reported = new Set<number>()
  #unknownLinkType: number | undefined
  #readable = false
  readonly #time: FrameTime = { seconds: 0, fraction: 0, digits: 6 }
  /** What is left of a block that is skipped, its closing length not counted. */
  #skip = 0
  /** The total length that the block being skipped must close with; 0 outside of one. */
  #closing = 0

  /**
   * Takes what is whole from the queue.
   *
   * @returns False when the file is damaged and nothing more can be read.
   */
  parse(queue: ByteQueue, sink: PacketSink): boolean {
    for (;;) {
      if (this.#closing !== 0) {
        const passed = this.#pass(queue, sink)
        if (passed !== 'passed') return passed === 'wait'
      }
      if (queue.length < 12) return true
      // As a block it would have a length that is no multiple of 4.
      if (isHeader(queue)) {
        this.isOtherFormat = true
        return true
      }
      const type = queue.view.getUint32(queue.start, this.#little)
      if (type === BLOCK.SECTION && !this.#byteOrder(queue, sink)) return false
      const length = queue.view.getUint32(queue.start + 4, this.#little)
      if (!isLengthSound(type, length, queue, sink)) return false
      if (!READ.has(type)) {
        queue.skip(8)
        this.#skip = length - 12
        this.#closing = length
      } else if (queue.length < length) return true
      else if (!this.#block(queue, sink, type, length)) return false
    }
  }

  /**
   * Says what was cut off, if anything.
   *
   * @throws {IpvsSyncError} `ERR_CAPTURE` when no interface with packets is of a link type that can be read.
   */
  end(queue: ByteQueue, sink: PacketSink): void {
    if (this.#unknownLinkType !== undefined && !this.#readable) throw unknownLinkTypeError(this.#unknownLinkType)
    if (queue.length === 0 && this.#closing === 0) return
    sink.damage(
      'CAPTURE_TRUNCATED',
      `the file ends inside a block: ${queue.length} bytes of it are there`,
      queue.position
    )
  }

  #byteOrder(queue: ByteQueue, sink: PacketSink): boolean {
    const magic = queue.view.getUint32(queue.start + 8)
    if (magic !== MAGIC_BIG && magic !== MAGIC_LITTLE) {
      const text = `a section header has byte-order magic 0x${magic.toString(16).padStart(8, '0')}, want 0x1a2b3c4d in either order`
      sink.damage('CAPTURE_DAMAGED', text, queue.position + 8)
      return false
    }
    this.#little = magic === MAGIC_LITTLE
    return true
  }

  #pass(queue: ByteQueue, sink: PacketSink): 'passed' | 'wait' | 'damaged' {
    const count = Math.min(this.#skip, queue.length)
    queue.skip(count)
    this.#skip -= count
    if (queue.length < 4) return 'wait'
    if (!this.#isClosed(queue, sink, queue.start, this.#closing)) return 'damaged'
    queue.skip(4)
    this.#closing = 0
    return 'passed'
  }

  #isClosed(queue: ByteQueue, sink: PacketSink, at: number, length: number): boolean {
    const closing = queue.view.getUint32(at, this.#little)
    if (closing === length) return true
    const text = `a block opens with length ${length} and closes with ${closing}`
    sink.damage('CAPTURE_DAMAGED', text, queue.position + at - queue.start)
    return false
  }

  #block(queue: ByteQueue, sink: PacketSink, type: number, length: number): boolean {
    if (!this.#isClosed(queue, sink, queue.start + length - 4, length)) return false
    const { bytes, view, start } = queue
    const block: Block = { bytes, view, little: this.#little, start: start + 8, end: start + length - 4 }
    if (type === BLOCK.SECTION) this.#interfaces = []
    else if (type === BLOCK.INTERFACE) {
      if (!this.#addInterface(block, queue, sink)) return false
    } else this.#packet(block, type, queue, sink)
    queue.skip(length)
    return true
  }

  #addInterface(block: Block, queue: ByteQueue, sink: PacketSink): boolean {
    const described = readInterface(block)
    if (described === undefined || this.#interfaces.length === MAX_INTERFACES) {
      const text =
        described === undefined
          ? 'an interface block is too short'
          : `a section has more than ${MAX_INTERFACES} interfaces`
      sink.damage('CAPTURE_DAMAGED', text, queue.position)
      return false
    }
    this.#interfaces.push(described)
    return true
  }

  /**
   * Hands over an Ethernet frame that was captured whole, in microseconds or nanoseconds, without an object for it.
   *
   * @returns False where it is something else.
   */
  #frame({ bytes, view, little, start, end }: Block, sink: PacketSink): boolean {
    if (sink.frame === undefined || end - start < 20) return false
    const described = this.#interfaces[view.getUint32(start, little)]
    const captured = view.getUint32(start + 12, little)
    const first = start + 20
    if (described?.linkType !== ETHERNET || described.offsetSeconds !== 0n) return false
    if (captured !== view.getUint32(start + 16, little) || first + captured > end) return false
    const { resolution } = described
    if (resolution !== 6 && resolution !== 9) return false
    // Splits ticks of 10^-digits seconds. A double does not hold 64 bits: the seconds may be wrong by one, and the fraction,
    // which is computed modulo 2^32, shows it.
    const high = view.getUint32(start + 4, little)
    const low = view.getUint32(start + 8, little)
    const unit = resolution === 6 ? 1_000_000 : 1_000_000_000
    let seconds = Math.floor((high * 4_294_967_296 + low) / unit)
    let fraction = (low - Math.imul(seconds % 4_294_967_296, unit)) >>> 0
    if (fraction >= 0x80000000) {
      seconds -= 1
      fraction = (fraction + unit) >>> 0
    } else if (fraction >= unit) {
      seconds += 1
      fraction -= unit
    }
    this.#time.seconds = seconds
    this.#time.fraction = fraction
    this.#time.digits = resolution
    if (this.#time.seconds > LAST_SECOND) return false
    if (!sink.frame(bytes, view, first, first + captured, this.#time)) return false
    this.#readable = true
    return true
  }

  #packet(block: Block, type: number, queue: ByteQueue, sink: PacketSink): void {
    if (type === BLOCK.ENHANCED && this.#frame(block, sink)) return
    const packet =
      type === BLOCK.ENHANCED
        ? readEnhancedPacket(block)
        : type === BLOCK.SIMPLE
          ? readSimplePacket(block, this.#interfaces[0]?.snapLength ?? 0)
          : readObsoletePacket(block)
    if (packet === undefined) {
      sink.unreadable(
        'BLOCK_INVALID',
        'a packet block is shorter than the packet that it claims to hold',
        queue.position
      )
      return
    }
    const described = this.#interfaces[packet.interfaceNumber]
    if (described === undefined) {
      const text = `a packet names interface ${packet.interfaceNumber}, and its section has described ${this.#interfaces.length}`
      sink.unreadable('INTERFACE_UNKNOWN', text, queue.position)
    } else if (isKnownLinkType(described.linkType)) {
      this.#readable = true
      sink.packet({
        bytes: block.bytes,
        view: block.view,
        start: packet.start,
        end: packet.end,
        wireLength: Math.max(packet.end - packet.start, packet.wireLength),
        linkType: described.linkType,
        interfaceNumber: packet.interfaceNumber,
        interfaceName: described.name,
        time: packet.ticks === undefined ? undefined : timeFromTicks(packet.ticks, described)
      })
    } else {
      // Once for each interface number: a busy one would fill the screen.
      this.#unknownLinkType ??= described.linkType
      if (this.#reported.has(packet.interfaceNumber)) {
        sink.skipped()
      } else {
        this.#reported.add(packet.interfaceNumber)
        const text = `interface ${packet.interfaceNumber} has link type ${described.linkType}, which is not read: its packets are passed over`
        sink.unreadable('LINK_TYPE_UNKNOWN', text, queue.position)
      }
    }
  }
}

const READ: ReadonlySet<number> = new Set<number>(Object.values(BLOCK))

function isLengthSound(type: number, length: number, queue: ByteQueue, sink: PacketSink): boolean {
  const tooLong = READ.has(type) && length > LIMIT
  const least = type === BLOCK.SECTION ? 28 : 12
  if (length >= least && length % 4 === 0 && !tooLong) return true
  const want = tooLong ? `at most ${LIMIT}` : `at least ${least} and a multiple of 4`
  sink.damage('CAPTURE_DAMAGED', `a block has length ${length}, want ${want}`, queue.position + 4)
  return false
}
