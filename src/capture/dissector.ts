/**
 * From packets to UDP datagrams: link layer, IP, fragments, UDP.
 *
 * @module
 */

import { formatAddress } from '../addresses.js'
import type { Problem } from '../wire/problems.js'
import { Assembly } from './assembly.js'
import type { CaptureTime } from './capture-time.js'
import { canLeadToUdp, readIp, skipExtensionHeaders, UDP, type Fragment, type IpPacket } from './ip.js'
import type { CapturedDatagram, DatagramSink, DatagramView, ReadCaptureOptions, TunnelLayer } from './items.js'
import { findIp, layersText, type IpLocation } from './link-layer.js'
import { captureProblem } from './problems.js'
import type { FrameTime, RawPacket } from './raw-packet.js'
import { followProtocol, followUdp, isTunnelPort, isTunnelProtocol, type Walk } from './tunnels.js'
import { IpvsSyncError } from '../errors.js'
import { LRUCache } from 'lru-cache'
import type { Milliseconds } from '../units.js'

const UDP_HEADER = 8
/** EtherType 0x0800, then version 4 with a header of 20 bytes. */
const IPV4_WITHOUT_OPTIONS = 0x080045
const ETHERTYPE_IPV6 = 0x86dd
/** Tunnels inside of tunnels that are followed. */
const MOST_TUNNELS = 4
const NOTHING = new Uint8Array(0)
/** More kinds of other traffic than this are not worth a hint. */
const MAX_OTHER_PORTS = 64

/** What is recorded of every datagram, whole or in fragments. */
interface Origin {
  readonly packet: number
  readonly time: CaptureTime | undefined
  readonly source: string
  readonly destination: string
  readonly interface: string | undefined
  readonly tunnel: readonly TunnelLayer[] | undefined
  /** Where the IP packet stood, and in how many tunnels. */
  readonly location: IpLocation
  readonly depth: number
  readonly interfaceNumber: number
}

/** UDP header and payload in some buffer. */
interface UdpBytes {
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly start: number
  /** Index after the last byte that is there. */
  readonly end: number
  /** Index after the last byte that IP carried. */
  readonly wireEnd: number
}

/** Finds the wanted datagrams among packets. */
export class Dissector {
  /** Wanted datagrams so far. */
  datagrams = 0
  /** Datagrams to other ports that look like sync messages, by port. */
  readonly otherPorts = new Map<number, number>()
  readonly #isWanted: (port: number) => boolean
  /** Wanted by name: where all ports are wanted, those of tunnels are still followed. */
  readonly #isChosen: (port: number) => boolean
  readonly #reassembler: Reassembler<Origin>
  readonly #sink: DatagramSink
  readonly #plain: DatagramView = {
    packet: 0,
    bytes: NOTHING,
    view: new DataView(NOTHING.buffer),
    start: 0,
    end: 0,
    isIpv6: false,
    addressesAt: 0,
    portsAt: 0,
    seconds: 0,
    fraction: 0,
    digits: 6
  }
  /** Packets that are cut off before their ports, and the number of the first. */
  #portless = 0
  #firstPortless = 0

  /** @param sink - Receives datagrams and problems. */
  constructor(options: ReadCaptureOptions, sink: DatagramSink) {
    this.#sink = sink
    this.#isWanted = portMatcher(options.ports)
    this.#isChosen = options.ports === undefined ? () => false : this.#isWanted
    const limits = {
      max: options.maxFragmentedDatagrams ?? 1024,
      maxBytes: options.maxFragmentBytes ?? 4_194_304,
      ttlMs: (options.fragmentSeconds ?? 30) * 1000
    }
    this.#reassembler = new Reassembler(limits, (pending, why) => this.#giveUp(pending, why))
  }

  /**
   * Takes an Ethernet frame if it is a whole, plain datagram to a wanted port and no fragments are waiting: nearly all
   * frames are, and none of them needs an object or a copy.
   *
   * @returns False where it is something else: see {@link Dissector.packet}.
   */
  frame(bytes: Uint8Array, view: DataView, start: number, end: number, time: FrameTime, number: number): boolean {
    const plain = this.#plain
    const ip = start + 14
    if (end - ip < 28) return false
    let udp: number
    let length: number
    if (view.getInt32(start + 12) >>> 8 === IPV4_WITHOUT_OPTIONS) {
      if ((view.getUint16(ip + 6) & 0x3fff) !== 0 || bytes[ip + 9] !== UDP) return false
      udp = ip + 20
      length = view.getUint16(ip + 2) - 20
      plain.isIpv6 = false
      plain.addressesAt = ip + 12
    } else {
      if (view.getUint16(start + 12) !== ETHERTYPE_IPV6 || end - ip < 48 || bytes[ip]! >> 4 !== 6) return false
      if (bytes[ip + 6] !== UDP) return false
      udp = ip + 40
      length = view.getUint16(ip + 4)
      plain.isIpv6 = true
      plain.addressesAt = ip + 8
    }
    if (length < UDP_HEADER || udp + length > end || view.getUint16(udp + 4) !== length) return false
    if (!this.#isWanted(view.getUint16(udp + 2)) || this.#reassembler.isWaiting) return false
    plain.packet = number
    plain.bytes = bytes
    plain.view = view
    plain.start = udp + UDP_HEADER
    plain.end = udp + length
    plain.portsAt = udp
    plain.seconds = time.seconds
    plain.fraction = time.fraction
    plain.digits = time.digits
    this.datagrams += 1
    this.#sink.plain!(plain)
    return true
  }

  /** Takes one packet. */
  packet(packet: RawPacket, number: number): void {
    if (packet.time !== undefined) this.#reassembler.advance(packet.time.ms)
    const location = findIp(packet)
    if (location !== undefined) this.#follow(packet, location, 0, number)
  }

  /** Follows tunnels, from an IP packet inwards. */
  #follow(packet: RawPacket, outermost: IpLocation, from: number, number: number): void {
    let location = outermost
    for (let depth = from; depth <= MOST_TUNNELS; depth++) {
      const ip = readIp(packet, location)
      if (isPortless(packet, ip)) {
        if (this.#portless === 0) this.#firstPortless = number
        this.#portless += 1
        return
      }
      if (ip === undefined) return
      const origin = (): Origin => originOf(packet, ip, location, depth, number)
      if (ip.fragment !== undefined) {
        this.#fragment(packet, ip, ip.fragment, origin())
        return
      }
      const inner = this.#inner(packet.view, ip, location)
      if (inner === undefined) {
        if (ip.protocol === UDP) {
          const udp = { bytes: packet.bytes, view: packet.view, start: ip.start, end: ip.end, wireEnd: ip.wireEnd }
          if (this.#accepts(udp)) {
            const problems = ip.isLengthWrong ? [captureProblem('IP_LENGTH', wrongLength(packet, ip))] : []
            this.#datagram(udp, origin(), 1, problems)
          }
        }
        return
      }
      location = inner
    }
  }

  /** The IP packet that another one carries; undefined where it carries none, or a wanted datagram. */
  #inner(
    view: DataView,
    { protocol, start, end, version }: Pick<IpPacket, 'protocol' | 'start' | 'end' | 'version'>,
    location: IpLocation
  ): IpLocation | undefined {
    const port = protocol === UDP && end - start >= UDP_HEADER ? view.getUint16(start + 2) : 0
    const isTunnel = protocol === UDP ? isTunnelPort(port) && !this.#isChosen(port) : isTunnelProtocol(protocol)
    if (!isTunnel) return undefined
    const walk: Walk = { view, end, layers: [...location.layers] }
    const inner =
      protocol === UDP ? followUdp(walk, port, start + UDP_HEADER) : followProtocol(walk, protocol, version, start)
    if (inner === undefined) return undefined
    return { ...inner, layers: walk.layers, place: `${location.place}${layersText(walk.layers)}` }
  }

  /** The capture ends: fragments that still wait are reported, and how many packets were cut off before their ports. */
  end(): void {
    this.#reassembler.end()
    if (this.#portless === 0) return
    const text = `packets cut off before their UDP ports, from this one on: ${this.#portless}; capture again with tcpdump -s 0`
    this.#sink.finding({
      kind: 'problem',
      packet: this.#firstPortless,
      problem: captureProblem('PACKET_SNAPPED', text)
    })
  }

  #fragment(packet: RawPacket, ip: IpPacket, fragment: Fragment, origin: Origin): void {
    if (!canLeadToUdp(ip.protocol) && !isTunnelProtocol(ip.protocol)) return
    const key = `${origin.source} ${origin.destination} ${fragment.id} ${origin.location.place}`
    const bytes = packet.bytes.subarray(ip.start, ip.end)
    const complete = this.#reassembler.add(key, origin, bytes.length, (assembly) => {
      assembly.add(fragment, ip.protocol, bytes, ip.wireEnd - ip.start)
    })
    if (complete !== undefined) this.#assembled(complete, origin, complete.warnings)
  }

  #assembled(assembly: Assembly, origin: Origin, problems: readonly Problem[]): void {
    const bytes = assembly.contents()
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    // An assembly with contents has its first fragment, and so its protocol.
    const upper = skipExtensionHeaders(view, assembly.protocol!, 0, bytes.length)
    if (upper === undefined) return
    if (assembly.isComplete) {
      const { location, depth, packet, time, interfaceNumber } = origin
      const { version } = location
      const inner = this.#inner(view, { ...upper, end: bytes.length, version }, location)
      if (inner !== undefined) {
        // The link type is that of the frame; nothing reads it from here on.
        const whole = { bytes, view, start: 0, end: bytes.length, wireLength: bytes.length, linkType: 0 }
        const raw = { ...whole, interfaceNumber, interfaceName: origin.interface, time }
        this.#follow(raw, inner, depth + 1, packet)
        return
      }
    }
    if (upper.protocol !== UDP) return
    const wireEnd = assembly.isComplete ? assembly.length : claimedEnd(view, upper.start)
    const udp = { bytes, view, start: upper.start, end: bytes.length, wireEnd }
    if (this.#accepts(udp)) this.#datagram(udp, origin, assembly.count, problems)
  }

  #giveUp({ assembly, note }: Pending<Origin>, why: GivenUp): void {
    const reason =
      assembly.fault ??
      (why === 'evicted'
        ? captureProblem(
            'FRAGMENT_LIMIT',
            'too many datagrams were waiting for fragments: this one was given up, incomplete'
          )
        : missing(assembly))
    if (assembly.protocol !== undefined) {
      this.#assembled(assembly, note, [reason, ...assembly.warnings])
      return
    }
    const text = `${assembly.count} fragments from ${note.source} to ${note.destination} without their first, so without ports`
    const problem = assembly.fault ?? captureProblem('FRAGMENT_WITHOUT_FIRST', text)
    this.#sink.finding({ kind: 'problem', packet: note.packet, problem })
  }

  /** Whether a datagram goes to a wanted port; if not, it may still be worth a hint. */
  #accepts({ view, start, end }: UdpBytes): boolean {
    if (end - start < 4) return false
    const port = view.getUint16(start + 2)
    if (this.#isWanted(port)) return true
    if (
      end - start >= UDP_HEADER + 4 &&
      view.getUint16(start + UDP_HEADER + 2) === view.getUint16(start + 4) - UDP_HEADER
    ) {
      const count = this.otherPorts.get(port)
      if (count !== undefined || this.otherPorts.size < MAX_OTHER_PORTS) this.otherPorts.set(port, (count ?? 0) + 1)
    }
    return false
  }

  #datagram(udp: UdpBytes, origin: Origin, fragments: number, before: readonly Problem[]): void {
    const { bytes, view, start, end } = udp
    const { wireLength, problem } = checkUdpLength(udp)
    const payload = bytes.slice(Math.min(start + UDP_HEADER, end), Math.min(start + UDP_HEADER + wireLength, end))
    const problems = [...before]
    if (problem !== undefined) problems.push(problem)
    if (payload.length < wireLength && before.length === 0) problems.push(snapped(payload.length, wireLength))
    const datagram: CapturedDatagram = {
      kind: 'datagram',
      packet: origin.packet,
      time: origin.time,
      source: { address: origin.source, port: view.getUint16(start) },
      destination: { address: origin.destination, port: view.getUint16(start + 2) },
      payload,
      wireLength,
      interface: origin.interface,
      fragments,
      tunnel: origin.tunnel,
      problems
    }
    this.datagrams += 1
    this.#sink.datagram(datagram)
  }
}

/** Whether a packet may be a wanted one, and is cut off before that could be seen. */
function isPortless({ start, end, wireLength }: RawPacket, ip: IpPacket | undefined): boolean {
  if (end - start >= wireLength) return false
  return ip === undefined || (ip.protocol === UDP && ip.fragment === undefined && ip.end - ip.start < 4)
}

/** Where a datagram that lacks fragments ends: there is only its header to ask. */
function claimedEnd(view: DataView, start: number): number {
  return view.byteLength - start < 6 ? view.byteLength : Math.max(view.byteLength, start + view.getUint16(start + 4))
}

/** Checks the UDP header's length as `__udp4_lib_rcv` does. */
function checkUdpLength({ view, start, end, wireEnd }: UdpBytes): { wireLength: number; problem: Problem | undefined } {
  const carried = wireEnd - start
  const whole = Math.max(carried - UDP_HEADER, 0)
  if (end - start < 6) return { wireLength: whole, problem: undefined }
  const length = view.getUint16(start + 4)
  if (length < UDP_HEADER || length > carried) {
    const text = `the UDP header says ${length} bytes, want ${UDP_HEADER} to the ${carried} that IP carries: a receiver drops it`
    return { wireLength: whole, problem: captureProblem('UDP_LENGTH', text) }
  }
  if (length === carried) return { wireLength: whole, problem: undefined }
  const text = `IP carries ${carried - length} bytes more than the ${length} of the UDP header: a receiver cuts them off`
  return { wireLength: length - UDP_HEADER, problem: captureProblem('UDP_TRAILING', text) }
}

function originOf(
  { view, time, interfaceName, interfaceNumber }: RawPacket,
  ip: IpPacket,
  location: IpLocation,
  depth: number,
  number: number
): Origin {
  const { layers } = location
  const { addressesAt: at, version } = ip
  return {
    packet: number,
    time,
    source: formatAddress(view, at, version),
    destination: formatAddress(view, at + (version === 4 ? 4 : 16), version),
    interface: interfaceName,
    tunnel: layers.length === 0 ? undefined : layers,
    location,
    depth,
    interfaceNumber
  }
}

function wrongLength(packet: RawPacket, ip: IpPacket): string {
  return `the IP header's length does not agree with its frame of ${packet.wireLength} bytes: a receiver drops the packet (${ip.wireEnd - ip.start} bytes are taken as its payload)`
}

function snapped(captured: number, wireLength: number): Problem {
  const text = `the capture holds ${captured} of the payload's ${wireLength} bytes: capture again with tcpdump -s 0`
  return captureProblem('PACKET_SNAPPED', text)
}

function missing(assembly: Assembly): Problem {
  const text = `fragments are missing (${assembly.missing()}); the capture filter "udp port" sees only the first: use "host" or "ip"`
  return captureProblem('FRAGMENT_MISSING', text)
}

/**
 * Makes a predicate of a list of ports and ranges: one look-up, however long the list.
 *
 * @throws {IpvsSyncError} `ERR_CONFIG` when a port is not an integer from 0 to 65,535, or a range ends before it starts.
 */
function portMatcher(ports: ReadCaptureOptions['ports']): (port: number) => boolean {
  if (typeof ports === 'function') return ports
  if (ports === undefined) return () => true
  const wanted = new Uint8Array(65_536)
  for (const range of ports) {
    const [first, last] = typeof range === 'number' ? [range, range] : range
    if (!isPort(first) || !isPort(last) || last < first) {
      const text = typeof range === 'number' ? String(range) : `${first}-${last}`
      throw new IpvsSyncError(
        'ERR_CONFIG',
        `ports: ${text} is not a port or range of ports: want 0…65535, the lower first`,
        {
          field: 'ports'
        }
      )
    }
    wanted.fill(1, first, last + 1)
  }
  return (port) => wanted[port] === 1
}

function isPort(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 65_535
}

/** A datagram in the making, and what its owner keeps with it. */
interface Pending<Note> {
  /** Its pieces. */
  readonly assembly: Assembly
  /** What the owner knows of the newest fragment. */
  readonly note: Note
}

/** Why a datagram was given up: too old, or the room was needed. */
type GivenUp = 'expired' | 'evicted'

/** Bounds of a {@link Reassembler}. */
interface ReassemblerLimits {
  /** Most datagrams at a time. */
  readonly max: number
  /** Most bytes held together. */
  readonly maxBytes: number
  /** How long a datagram may wait for its fragments, counted from its first. */
  readonly ttlMs: Milliseconds
}

/** What holding a datagram and a fragment costs besides the bytes: tiny fragments must count as what they take. */
const ASSEMBLY_COST = 512
const PIECE_COST = 256
/** How often the old ones are looked for. */
const SWEEP_MS = 1000

/** Datagrams in the making, by key. Time is the capture's; it counts forward even where the capture's stamps go back. */
class Reassembler<Note> {
  readonly #cache: LRUCache<string, Pending<Note> & { readonly bytes: number; readonly start: Milliseconds }>
  readonly #givenUp: (pending: Pending<Note>, why: GivenUp) => void
  readonly #maxBytes: number
  /** Never 0: lru-cache takes a start of 0 for none. */
  #clock = 1
  #last: Milliseconds | undefined
  #swept = 1

  constructor(limits: ReassemblerLimits, givenUp: (pending: Pending<Note>, why: GivenUp) => void) {
    this.#givenUp = givenUp
    this.#maxBytes = limits.maxBytes
    this.#cache = new LRUCache({
      max: limits.max,
      maxSize: limits.maxBytes,
      sizeCalculation: (pending) => pending.bytes,
      ttl: limits.ttlMs,
      ttlResolution: 0,
      ttlAutopurge: false,
      noDisposeOnSet: true,
      perf: { now: () => this.#clock },
      dispose: (pending, _key, reason) => {
        if (reason === 'expire') givenUp(pending, 'expired')
        else if (reason === 'evict') givenUp(pending, 'evicted')
      }
    })
  }

  /** Whether any datagram waits for fragments. */
  get isWaiting(): boolean {
    return this.#cache.size > 0
  }

  /** Moves time on. A stamp below the last moves nothing: captures that were merged go back and forth. */
  advance(ms: Milliseconds): void {
    this.#clock += Math.max(0, ms - (this.#last ?? ms))
    this.#last = ms
    if (this.#cache.size === 0 || this.#clock - this.#swept < SWEEP_MS) return
    this.#swept = this.#clock
    this.#cache.purgeStale()
  }

  /**
   * Takes a fragment in.
   *
   * @param add - Puts it into the assembly it is given.
   * @returns The assembly when it is complete: it is no longer held.
   */
  add(key: string, note: Note, bytes: number, add: (assembly: Assembly) => void): Assembly | undefined {
    const held = this.#cache.get(key)
    const assembly = held?.assembly ?? new Assembly()
    const before = assembly.count
    add(assembly)
    if (assembly.isComplete) {
      this.#cache.delete(key)
      return assembly
    }
    const grown = assembly.count > before ? bytes + PIECE_COST : 0
    const size = (held?.bytes ?? ASSEMBLY_COST) + grown
    const start = held?.start ?? this.#clock
    // One datagram that is larger than all the room: lru-cache would drop it without a word.
    if (size > this.#maxBytes) {
      this.#cache.delete(key)
      this.#givenUp({ assembly, note }, 'evicted')
    } else this.#cache.set(key, { assembly, note, bytes: size, start }, { start })
    return undefined
  }

  /** Gives up all that wait, oldest first. */
  end(): void {
    this.#cache.purgeStale()
    const waiting = [...this.#cache.rvalues()].filter((pending) => pending !== undefined)
    this.#cache.clear()
    for (const pending of waiting) this.#givenUp(pending, 'expired')
  }
}
