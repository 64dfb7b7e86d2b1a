/**
 * Packets as the director's model reads them: packed, and made from values.
 *
 * @module
 */
import { parseAddress } from '../addresses.js'
import { misuse } from '../demand.js'
import type { Endpoint } from '../wire/connection.js'
import { PROTOCOL, protocolNumber } from '../wire/protocols.js'
import { TCP_FLAG } from './transitions.js'

/** A packet that the hot path reads. An instance may be filled again and again. */
export class Packet {
  /** 4 or 6. */
  family = 4
  /** IP protocol number. */
  protocol = 0
  /** IPv4: the address as a word. IPv6: the four words combined by exclusive or; the words are in `sourceWords`. */
  source = 0
  /** As `source`. */
  destination = 0
  /** IPv6 only. */
  readonly sourceWords: Int32Array = new Int32Array(4)
  /** IPv6 only. */
  readonly destinationWords: Int32Array = new Int32Array(4)
  sourcePort = 0
  destinationPort = 0
  /** TCP: the flags byte. SCTP: the first chunk's type and, in bits 8…15, the second's; -1 without a chunk header. */
  signal = 0
  /** Firewall mark. */
  mark = 0
  /** Whether the ports (TCP: the flags too) are there. */
  isComplete = true
  /** Whether it is an IPv6 fragment other than the first. */
  isLaterFragment = false
  /** Whether it arrived over a loopback device. */
  isLoopback = false
  /** Whether it is a reply whose source the director has already rewritten: seen on the client's side. */
  isTranslated = false
  /** Bytes after the transport header, where they are known. */
  payload: Uint8Array | undefined = undefined
  /** Length of the IP packet in bytes; 0 where it is not known. */
  length = 0
  /** Whether the IPv4 header forbids fragments. */
  dontFragment = false
  /** ICMP: type and code as `type << 8 | code`. */
  icmp = 0
  /** ICMP errors: the packet that the error is about. */
  inner: Packet | undefined = undefined
}

/** A packet as a value. */
export interface PacketValue {
  /** `TCP`, `UDP`, `SCTP`, `AH`, `ESP`, `ICMP`, `ICMPv6`, or a number as text. */
  readonly protocol: string
  /** Port 0 where the protocol has none. */
  readonly source: Endpoint
  readonly destination: Endpoint
  /** TCP: any of `SYN`, `ACK`, `FIN`, `RST`. */
  readonly flags?: readonly ('SYN' | 'ACK' | 'FIN' | 'RST')[]
  /** SCTP: the types of the first two chunks. */
  readonly chunks?: readonly number[]
  /** Firewall mark, 0 unless given. */
  readonly mark?: number
  /** `lo` for a loopback device. */
  readonly device?: string
  /** Bytes after the transport header: read by the `sip` engine and the FTP helper. */
  readonly payload?: Uint8Array
  /** Length of the IP packet in bytes. */
  readonly length?: number
  readonly dontFragment?: boolean
  /** ICMP errors: type, code and the packet that the error is about. */
  readonly icmp?: { readonly type: number; readonly code: number; readonly inner?: PacketValue }
}

/**
 * Packs a packet.
 *
 * @throws IpvsSyncError `ERR_USAGE`, whose `field` names what is wrong.
 */
export function packetFromValue(value: PacketValue, field = 'packet'): Packet {
  const packet = new Packet()
  const protocol = protocolNumber(value.protocol)
  if (protocol === undefined) throw misuse(`${field}.protocol`, 'a protocol name or number', value.protocol)
  packet.protocol = protocol
  const words = [0, 0, 0, 0]
  const family = parseAddress(value.source.address, words)
  if (family === 0) throw misuse(`${field}.source.address`, 'an IP address', value.source.address)
  packet.family = family
  packet.source = family === 4 ? words[0]! : foldWords(words)
  packet.sourceWords.set(words)
  if (parseAddress(value.destination.address, words) !== family)
    throw misuse(`${field}.destination.address`, `an IPv${family} address`, value.destination.address)
  packet.destination = family === 4 ? words[0]! : foldWords(words)
  packet.destinationWords.set(words)
  packet.sourcePort = value.source.port
  packet.destinationPort = value.destination.port
  const { flags = [], chunks } = value
  packet.signal =
    protocol === PROTOCOL.SCTP
      ? chunks?.[0] === undefined
        ? -1
        : chunks[0] | ((chunks[1] ?? 0xff) << 8)
      : flags.reduce((bits, flag) => bits | TCP_FLAG[flag], 0)
  packet.mark = value.mark ?? 0
  packet.isLoopback = value.device === 'lo'
  packet.payload = value.payload
  packet.length = value.length ?? 0
  packet.dontFragment = value.dontFragment ?? false
  if (value.icmp !== undefined) {
    packet.icmp = (value.icmp.type << 8) | value.icmp.code
    if (value.icmp.inner !== undefined) packet.inner = packetFromValue(value.icmp.inner, `${field}.icmp.inner`)
  }
  return packet
}

/** An IPv6 address as one word. */
export function foldWords(words: ArrayLike<number>, at = 0): number {
  return words[at]! ^ words[at + 1]! ^ words[at + 2]! ^ words[at + 3]!
}
