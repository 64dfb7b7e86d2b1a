/**
 * Fields of a table's line, from bytes. Each function takes the field's first byte and returns the place behind its last,
 * or -1 where the bytes are not such a field; all may read 40 bytes ahead.
 *
 * @module
 */

import { ROW } from '../wire/rows.js'

/** Classes of bytes: a part of a word, white space within a line (as `\s` for Latin-1), the end of the line. */
export const WORD = 0
export const BLANK = 1
export const NEWLINE = 10

/** The class of each byte; {@link NEWLINE} is its own. */
export const CLASS: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte === NEWLINE ? NEWLINE : [9, 11, 12, 13, 32, 160].includes(byte) ? BLANK : WORD
)

const SPACE = 32
const COLON = 58
const DOT = 46
const ZERO = 48
const OPEN = 91
const CLOSE = 93
const NOT_HEX = 0x80
const MOST = 0xffffffff

/** The value of each hex digit; others have the bit {@link NOT_HEX}. */
const HEX = Uint8Array.from({ length: 256 }, (_, byte) => {
  const digit = '0123456789abcdef'.indexOf(String.fromCharCode(byte).toLowerCase())
  return digit < 0 ? NOT_HEX : digit
})

/** The place behind a word. */
export function wordEnd(bytes: Uint8Array, at: number): number {
  let end = at
  while (CLASS[bytes[end]!] === WORD) end++
  return end
}

/** Whether an address in hex is of IPv6: groups of four digits. */
export function isGrouped(bytes: Uint8Array, at: number): boolean {
  return bytes[at + 4] === COLON
}

/** Whether an `address:port` is of IPv6. */
export function isIpv6Endpoint(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === OPEN
}

/** An address as the kernel prints it: 8 hex digits (`%08X`), or 8 groups of 4 (`%pI6`). */
export function readAddress(bytes: Uint8Array, at: number, words: Int32Array, to: number): number {
  if (isGrouped(bytes, at)) {
    for (let i = 0; i < 4; i++) {
      const place = at + 10 * i
      const high = fourDigits(bytes, place)
      const low = fourDigits(bytes, place + 5)
      if ((high | low) < 0 || bytes[place + 4] !== COLON || (i < 3 && bytes[place + 9] !== COLON)) return -1
      words[to + i] = (high << 16) | low
    }
    return CLASS[bytes[at + 39]!] === WORD ? -1 : at + 39
  }
  const high = fourDigits(bytes, at)
  const low = fourDigits(bytes, at + 4)
  if ((high | low) < 0 || CLASS[bytes[at + 8]!] === WORD) return -1
  words[to] = (high << 16) | low
  return at + 8
}

/**
 * The addresses and ports of an IPv4 line as the kernel prints them, one space between two: `0A010002 985A 0A010001 0050
 * 0A020002 0050`, in places 0, 9, 14, 23, 28 and 37.
 *
 * @returns False where one of them is not there; the row may be changed then.
 */
export function readIpv4Ends(bytes: Uint8Array, at: number, words: Int32Array, row: number): boolean {
  const client = fourDigits(bytes, at)
  const clientLow = fourDigits(bytes, at + 4)
  const clientPort = fourDigits(bytes, at + 9)
  const virtual = fourDigits(bytes, at + 14)
  const virtualLow = fourDigits(bytes, at + 18)
  const virtualPort = fourDigits(bytes, at + 23)
  const destination = fourDigits(bytes, at + 28)
  const destinationLow = fourDigits(bytes, at + 32)
  const destinationPort = fourDigits(bytes, at + 37)
  const digits =
    client |
    clientLow |
    clientPort |
    virtual |
    virtualLow |
    virtualPort |
    destination |
    destinationLow |
    destinationPort
  const gaps =
    (bytes[at + 8]! ^ SPACE) |
    (bytes[at + 13]! ^ SPACE) |
    (bytes[at + 22]! ^ SPACE) |
    (bytes[at + 27]! ^ SPACE) |
    (bytes[at + 36]! ^ SPACE) |
    (bytes[at + 41]! ^ SPACE)
  if (digits < 0 || gaps !== 0) return false
  words[row + ROW.CLIENT] = (client << 16) | clientLow
  words[row + ROW.CLIENT_PORT] = clientPort
  words[row + ROW.VIRTUAL] = (virtual << 16) | virtualLow
  words[row + ROW.VIRTUAL_PORT] = virtualPort
  words[row + ROW.DESTINATION] = (destination << 16) | destinationLow
  words[row + ROW.DESTINATION_PORT] = destinationPort
  return true
}

/** A port: 4 hex digits (`%04X`). */
export function readPort(bytes: Uint8Array, at: number, words: Int32Array, to: number): number {
  const port = fourDigits(bytes, at)
  if (port < 0 || CLASS[bytes[at + 4]!] === WORD) return -1
  words[to] = port
  return at + 4
}

/** A decimal number of 32 bits. */
export function readNumber(bytes: Uint8Array, at: number, words: Int32Array, to: number): number {
  const end = wordEnd(bytes, at)
  const value = numberOf(bytes, at, end)
  if (!(value <= MOST)) return -1
  words[to] = value | 0
  return end
}

/** `minutes:seconds`, as seconds of 32 bits. Minutes may have any number of digits. */
export function readTime(bytes: Uint8Array, at: number, words: Int32Array, to: number): number {
  const end = wordEnd(bytes, at)
  const seconds = end - at >= 4 && bytes[end - 3] === COLON ? numberOf(bytes, end - 2, end) : NaN
  const value = numberOf(bytes, at, end - 3) * 60 + seconds
  if (!(seconds < 60 && value <= MOST)) return -1
  words[to] = value | 0
  return end
}

/** `address:port` in decimal, IPv6 as `[address]:port`. */
export function readEndpoint(bytes: Uint8Array, at: number, words: Int32Array, to: number, port: number): number {
  const end = wordEnd(bytes, at)
  let colon = end - 1
  while (colon > at && bytes[colon] !== COLON) colon--
  const isRead =
    bytes[at] === OPEN
      ? bytes[colon - 1] === CLOSE && readIpv6(bytes, at + 1, colon - 1, words, to)
      : readIpv4(bytes, at, colon, words, to)
  const value = numberOf(bytes, colon + 1, end)
  if (!isRead || !(value <= 0xffff)) return -1
  words[port] = value
  return end
}

/** A decimal number of at most ten digits; NaN for anything else. */
export function numberOf(bytes: Uint8Array, from: number, end: number): number {
  if (end <= from || end - from > 10) return NaN
  let value = 0
  for (let at = from; at < end; at++) {
    const digit = bytes[at]! - ZERO
    if (digit < 0 || digit > 9) return NaN
    value = value * 10 + digit
  }
  return value
}

/** Four hex digits; negative where one is not. */
function fourDigits(bytes: Uint8Array, at: number): number {
  const a = HEX[bytes[at]!]!
  const b = HEX[bytes[at + 1]!]!
  const c = HEX[bytes[at + 2]!]!
  const d = HEX[bytes[at + 3]!]!
  return (a | b | c | d) < NOT_HEX ? (a << 12) | (b << 8) | (c << 4) | d : -1
}

function readIpv4(bytes: Uint8Array, from: number, end: number, words: Int32Array, to: number): boolean {
  let word = 0
  let at = from
  for (let i = 0; i < 4; i++) {
    let dot = at
    while (dot < end && bytes[dot] !== DOT) dot++
    const octet = numberOf(bytes, at, dot)
    // A zero before another digit would be octal to some.
    if (!(octet <= 255) || (dot > at + 1 && bytes[at] === ZERO) || (dot === end) !== (i === 3)) return false
    word = (word << 8) | octet
    at = dot + 1
  }
  words[to] = word
  return true
}

const groups = new Uint16Array(9)
const dotted = new Int32Array(1)

/** IPv6 text as `inet_ntop` writes it: groups before `::` fill from the left, those behind it from the right. */
function readIpv6(bytes: Uint8Array, from: number, end: number, words: Int32Array, to: number): boolean {
  let count = 0
  let gap = -1
  let at = from
  while (at < end) {
    const isGap = bytes[at] === COLON && bytes[at + 1] === COLON
    if (isGap && gap >= 0) return false
    if (isGap) gap = count
    if (isGap) at += 2
    else if (bytes[at] === COLON && count > 0 && gap !== count) at++
    if (isGap && at === end) break
    let stop = at
    while (stop < end && bytes[stop] !== COLON) stop++
    if (count > 7) return false
    if (stop === end && count < 7 && readIpv4(bytes, at, end, dotted, 0)) {
      groups[count++] = dotted[0]! >>> 16
      groups[count] = dotted[0]!
    } else {
      const group = groupOf(bytes, at, stop)
      if (group < 0) return false
      groups[count] = group
    }
    count++
    at = stop
  }
  if (gap < 0 ? count !== 8 : count > 7) return false
  const missing = 8 - count
  for (let i = 0; i < 4; i++) words[to + i] = (expanded(2 * i, gap, missing) << 16) | expanded(2 * i + 1, gap, missing)
  return true
}

/** The group at a place of all eight, with those that `::` stands for. */
function expanded(index: number, gap: number, missing: number): number {
  if (missing === 0 || index < gap) return groups[index]!
  return index < gap + missing ? 0 : groups[index - missing]!
}

/** One to four hex digits; -1 for anything else. */
function groupOf(bytes: Uint8Array, from: number, end: number): number {
  let group = end > from && end - from <= 4 ? 0 : NOT_HEX << 16
  for (let at = from; at < end && group < NOT_HEX << 16; at++) {
    const digit = HEX[bytes[at]!]!
    group = digit === NOT_HEX ? NOT_HEX << 16 : (group << 4) | digit
  }
  return group < NOT_HEX << 16 ? group : -1
}
