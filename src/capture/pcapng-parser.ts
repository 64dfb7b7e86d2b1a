/**
 * The block-structured capture file (draft-ietf-opsawg-pcapng): sections, each in its own byte order and with
 * its own interfaces, made of blocks.
 *
 * ```
 * block: type 4 · total length 4 · body · total length 4     the body padded to a multiple of 4
 * ```
 *
 * @module
 */

import type { ByteQueue } from './byte-queue.js'
import { timeFromTicks, type TimeResolution } from './capture-time.js'
import { isKnownLinkType, unknownLinkTypeError } from './link-layer.js'
import { isHeader } from './pcap-parser.js'
import type { FrameTime, PacketSink } from './raw-packet.js'

/** Block types that are read; all others are skipped. */
const BLOCK = { SECTION: 0x0a0d0d0a, INTERFACE: 1, OBSOLETE: 2, SIMPLE: 3, ENHANCED: 6 } as const

/** A block's body in its buffer. */
interface Block {
  /** The parser's buffer. */
  readonly bytes: Uint8Array
  /** A view over it, same offsets. */
  readonly view: DataView
  /** Whether its section is little-endian. */
  readonly little: boolean
  /** Index of the body's first byte. */
  readonly start: number
  /** Index after the body, where its closing length stands. */
  readonly end: number
}

/** What an interface description says. */
interface PcapngInterface extends TimeResolution {
  /** Link type, of the registry of pcap link types. */
  readonly linkType: number
  /** Most bytes captured of a packet; 0 is no limit. */
  readonly snapLength: number
  /** `if_name`, if given. */
  readonly name: string | undefined
}

/** A packet in its block. */
interface PacketBlock {
  /** Which interface of the section, from 0. */
  readonly interfaceNumber: number
  /** Time in the interface's ticks; a simple packet block has none. */
  readonly ticks: bigint | undefined
  /** Index of the packet's first byte in the buffer. */
  readonly start: number
  /** Index after its last captured byte. */
  readonly end: number
  /** Bytes on the wire, as the block claims. */
  readonly wireLength: number
}

const OPTION = { END: 0, NAME: 2, RESOLUTION: 9, OFFSET: 14 } as const
/** More of a name than any kernel allows an interface is cut off. */
const NAME_LIMIT = 256

/** Reads an interface description; undefined when it is too short to be one. */
function readInterface({ bytes, view, little, start, end }: Block): PcapngInterface | undefined {
  if (end - start < 8) return undefined
  let name: string | undefined
  let resolution = 6
  let offsetSeconds = 0n
  let at = start + 8
  while (at + 4 <= end) {
    const code = view.getUint16(at, little)
    const length = view.getUint16(at + 2, little)
    const value = at + 4
    if (code === OPTION.END || value + length > end) break
    if (code === OPTION.NAME)
      name = new TextDecoder().decode(bytes.subarray(value, value + Math.min(length, NAME_LIMIT)))
    else if (code === OPTION.RESOLUTION && length === 1) resolution = view.getUint8(value)
    else if (code === OPTION.OFFSET && length === 8) offsetSeconds = view.getBigInt64(value, little)
    at = value + Math.ceil(length / 4) * 4
  }
  const linkType = view.getUint16(start, little)
  return { linkType, snapLength: view.getUint32(start + 4, little), name, resolution, offsetSeconds }
}

/** Simple packet block: on the wire 4 · packet, cut at the first interface's snapshot length; no time. */
function readSimplePacket(block: Block, snapLength: number): PacketBlock | undefined {
  if (block.end - block.start < 4) return undefined
  const wireLength = block.view.getUint32(block.start, block.little)
  const captured = snapLength === 0 ? wireLength : Math.min(wireLength, snapLength)
  const start = block.start + 4
  return start + captured > block.end
    ? undefined
    : { interfaceNumber: 0, ticks: undefined, start, end: start + captured, wireLength }
}

function readTimed({ view, little, start, end }: Block, interfaceNumber: number): PacketBlock | undefined {
  const captured = view.getUint32(start + 12, little)
  const first = start + 20
  if (first + captured > end) return undefined
  const ticks = (BigInt(view.getUint32(start + 4, little)) << 32n) | BigInt(view.getUint32(start + 8, little))
  return { interfaceNumber, ticks, start: first, end: first + captured, wireLength: view.getUint32(start + 16, little) }
}

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
    // Enhanced packet block: interface 4 · ticks 4 high, 4 low · captured 4 · on the wire 4 · packet.
    // The packet block that the enhanced one replaced: the same, but interface 2 · dropped 2 in front.
    let packet: PacketBlock | undefined
    if (type === BLOCK.SIMPLE) packet = readSimplePacket(block, this.#interfaces[0]?.snapLength ?? 0)
    else if (block.end - block.start >= 20) {
      const { view, start, little } = block
      packet = readTimed(block, type === BLOCK.ENHANCED ? view.getUint32(start, little) : view.getUint16(start, little))
    }
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
        const text = `interface ${packet.interfaceNumber} has link type ${described.linkType}, which is not supported: its packets are skipped`
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
