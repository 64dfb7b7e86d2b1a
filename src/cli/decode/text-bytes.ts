/**
 * Text written as bytes: constants eight bytes at a time, numbers and addresses by small tables. Functions write at `to`
 * and return the index after the text; they may overwrite up to {@link SLACK} bytes behind it.
 *
 * @module
 */

/** Bytes behind a text that may be overwritten. */
export const SLACK = 8

/** A constant text: its first double in {@link TEXT}, and its length in the low 8 bits. */
export type Piece = number

const TEXT = new Float64Array(16_384)
const TEXT_BYTES = new Uint8Array(TEXT.buffer)
let used = 0

/**
 * Stores a constant text of at most 255 printable ASCII characters. (Such text, read as doubles, is never a NaN, whose
 * bits need not survive a copy.)
 */
export function piece(text: string): Piece {
  const from = used
  for (let i = 0; i < text.length; i++) TEXT_BYTES[8 * from + i] = text.charCodeAt(i)
  used += Math.ceil(text.length / 8)
  return (from << 8) | text.length
}

/** Writes a constant. */
export function put(view: DataView, to: number, constant: Piece): number {
  const from = constant >>> 8
  const length = constant & 255
  for (let i = 0; i < length; i += 8) view.setFloat64(to + i, TEXT[from + (i >> 3)]!, true)
  return to + length
}

/** Writes text of printable ASCII characters. */
export function putText(view: DataView, to: number, text: string): number {
  for (let i = 0; i < text.length; i++) view.setUint8(to + i, text.charCodeAt(i))
  return to + text.length
}

/** Two decimal digits of 0…99, and two hex digits of 0…255, as little-endian words of 16 bits. */
const DECIMAL = Uint16Array.from({ length: 100 }, (_, n) => (48 + ((n / 10) | 0)) | ((48 + (n % 10)) << 8))
const HEX = Uint16Array.from({ length: 256 }, (_, n) => {
  const [high, low] = n.toString(16).padStart(2, '0')
  return high!.charCodeAt(0) | (low!.charCodeAt(0) << 8)
})
/** Each octet's digits with a dot behind them, as a little-endian word; how many of its bytes count. */
const OCTETS = Array.from({ length: 256 }, (_, octet) => `${octet}.`)
const OCTET_WORDS = Int32Array.from(OCTETS, (text) =>
  Array.from(text).reduce((word, character, i) => word | (character.charCodeAt(0) << (8 * i)), 0)
)
const OCTET_LENGTHS = Uint8Array.from(OCTETS, (text) => text.length)

/** Writes 0…99 with two digits. */
export function twoDigits(view: DataView, to: number, value: number): number {
  view.setUint16(to, DECIMAL[value]!, true)
  return to + 2
}

/** Writes 0…9999 with four digits. */
export function fourDigits(view: DataView, to: number, value: number): number {
  const hundreds = (value / 100) | 0
  view.setInt32(to, DECIMAL[hundreds]! | (DECIMAL[value - hundreds * 100]! << 16), true)
  return to + 4
}

/** Writes 0…9999 without leading zeros. */
function upTo9999(view: DataView, to: number, value: number): number {
  const hundreds = (value / 100) | 0
  const word = DECIMAL[hundreds]! | (DECIMAL[value - hundreds * 100]! << 16)
  const zeros = value < 10 ? 3 : value < 100 ? 2 : value < 1000 ? 1 : 0
  view.setInt32(to, word >>> (8 * zeros), true)
  return to + 4 - zeros
}

/** Writes 0…4294967295 in decimal. */
export function decimal(view: DataView, to: number, value: number): number {
  if (value < 10_000) return upTo9999(view, to, value)
  const high = Math.floor(value / 10_000)
  if (high < 10_000) return fourDigits(view, upTo9999(view, to, high), value - high * 10_000)
  const highest = (high / 10_000) | 0
  return fourDigits(view, fourDigits(view, upTo9999(view, to, highest), high - highest * 10_000), value - high * 10_000)
}

/** Writes a signed 32-bit number in decimal. */
export function signedDecimal(view: DataView, to: number, value: number): number {
  if (value >= 0) return decimal(view, to, value)
  view.setUint8(to, 0x2d)
  return decimal(view, to + 1, -value)
}

/** Writes a byte as two hex digits. */
export function hex8(view: DataView, to: number, value: number): number {
  view.setUint16(to, HEX[value]!, true)
  return to + 2
}

/** Writes 16 bits as four hex digits. */
export function hex16(view: DataView, to: number, value: number): number {
  view.setInt32(to, HEX[value >>> 8]! | (HEX[value & 255]! << 16), true)
  return to + 4
}

/** Writes 32 bits as eight hex digits. */
export function hex32(view: DataView, to: number, value: number): number {
  return hex16(view, hex16(view, to, value >>> 16), value & 0xffff)
}

/** Writes bytes as hex digits. */
export function hexBytes(view: DataView, to: number, bytes: Uint8Array, from: number, end: number): number {
  for (let at = from; at < end; at++, to += 2) view.setUint16(to, HEX[bytes[at]!]!, true)
  return to
}

/** A byte's two hex digits and two blanks, as a little-endian word. */
const HEX_BLANKS = Int32Array.from(HEX, (digits) => digits | 0x20200000)
const BLANKS = new DataView(Uint8Array.from({ length: 8 }, () => 0x20).buffer).getFloat64(0)

/** Writes bytes as hex digits with a blank behind each, and blanks up to a width of `width` characters. */
export function hexColumn(
  view: DataView,
  to: number,
  bytes: Uint8Array,
  from: number,
  end: number,
  width: number
): number {
  const last = to + width
  for (let at = from; at < end; at++, to += 3) view.setInt32(to, HEX_BLANKS[bytes[at]!]!, true)
  for (; to < last; to += 8) view.setFloat64(to, BLANKS, true)
  return last
}

/** Writes the IPv4 address that stands at byte `at`. */
export function ipv4(view: DataView, to: number, bytes: Uint8Array, at: number): number {
  for (let i = at; i < at + 4; i++) {
    const octet = bytes[i]!
    view.setInt32(to, OCTET_WORDS[octet]!, true)
    to += OCTET_LENGTHS[octet]!
  }
  return to - 1
}

const MAPPED = piece('::ffff:')

/** Writes the IPv6 address that stands at byte `at` of `source`, as RFC 5952 has it. */
export function ipv6(view: DataView, to: number, bytes: Uint8Array, source: DataView, at: number): number {
  if (source.getInt32(at) === 0 && source.getInt32(at + 4) === 0 && source.getInt32(at + 8) === 0xffff)
    return ipv4(view, put(view, to, MAPPED), bytes, at + 12)
  let first = 8
  let length = 1
  for (let i = 0; i < 8;) {
    let end = i
    while (end < 8 && source.getUint16(at + 2 * end) === 0) end++
    if (end - i > length) {
      first = i
      length = end - i
    }
    i = end + 1
  }
  if (first === 8) return groups(view, to, source, at, 0, 8)
  to = groups(view, to, source, at, 0, first)
  view.setUint16(to, 0x3a3a, true)
  return groups(view, to + 2, source, at, first + length, 8)
}

/** Writes groups of an IPv6 address with colons between them. */
function groups(view: DataView, to: number, source: DataView, at: number, first: number, end: number): number {
  if (first >= end) return to
  for (let i = first; i < end; i++) {
    const group = source.getUint16(at + 2 * i)
    const zeros = group < 16 ? 3 : group < 256 ? 2 : group < 4096 ? 1 : 0
    view.setInt32(to, (HEX[group >>> 8]! | (HEX[group & 255]! << 16)) >>> (8 * zeros), true)
    to += 4 - zeros
    view.setUint8(to++, 0x3a)
  }
  return to - 1
}
