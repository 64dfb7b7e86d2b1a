/**
 * Addresses as text, bytes and 32-bit words. Pure.
 *
 * A *word* is a signed 32-bit integer that holds four bytes of an address in network order: `10.0.0.1` is `0x0a000001`.
 * An IPv4 address is one word, an IPv6 address four. IPv6 text is RFC 5952's: lower case, the longest run of zero groups
 * (the first of equals, never a single one) as `::`, IPv4-mapped addresses with a dotted tail.
 *
 * @module
 */

/** Text of every byte. */
const OCTETS: readonly string[] = Array.from({ length: 256 }, (_, value) => String(value))

/** Code of `0`, and what is left of that of `.` without it. */
const DIGIT_0 = 48
const DOT = 46 - DIGIT_0

/** Texts of the /24 networks used last, such as `10.0.0.`, so that most addresses cost one concatenation. */
const NETWORKS = 1024
const networkWords = new Int32Array(NETWORKS)
const networkTexts = new Array<string>(NETWORKS).fill('0.0.0.')

/** Returns the text of an IPv4 address given as one word. */
export function formatIpv4(word: number): string {
  const network = word >>> 8
  const place = (network ^ (network >>> 10)) & (NETWORKS - 1)
  if (networkWords[place] !== network) {
    networkWords[place] = network
    networkTexts[place] = `${OCTETS[word >>> 24]!}.${OCTETS[(word >>> 16) & 255]!}.${OCTETS[(word >>> 8) & 255]!}.`
  }
  return networkTexts[place]! + OCTETS[word & 255]!
}

/**
 * Text of an IPv6 address given as four words.
 *
 * @param words - Holds the address.
 * @param at - Index of its first word.
 */
export function formatIpv6(words: ArrayLike<number>, at = 0): string {
  const [a, b, c, d] = [words[at]!, words[at + 1]!, words[at + 2]!, words[at + 3]!]
  if (a === 0 && b === 0 && c === 0xffff) return `::ffff:${formatIpv4(d)}`
  const groups = [a >>> 16, a & 0xffff, b >>> 16, b & 0xffff, c >>> 16, c & 0xffff, d >>> 16, d & 0xffff]
  let best = { start: 0, length: 0 }
  for (let start = 0; start < 8; start++) {
    let length = 0
    while (groups[start + length] === 0) length++
    if (length > best.length) best = { start, length }
  }
  const { start, length } = best
  if (length < 2) return joinGroups(groups, 0, 8)
  return `${joinGroups(groups, 0, start)}::${joinGroups(groups, start + length, 8)}`
}

/** Text of an address that stands as 4 or 16 bytes at byte `at`. */
export function formatAddress(view: DataView, at: number, version: 4 | 6): string {
  if (version === 4) return formatIpv4(view.getInt32(at))
  return formatIpv6([view.getInt32(at), view.getInt32(at + 4), view.getInt32(at + 8), view.getInt32(at + 12)])
}

/**
 * Reads an address strictly: IPv4 as four decimal numbers without leading zeros, IPv6 as RFC 4291 allows, without a scope.
 *
 * @param text - The address.
 * @param words - Where its words go: one for IPv4, four for IPv6. Untouched where the text is no address.
 * @param at - Index of the first word.
 * @returns 4 or 6, or 0 where the text is no address.
 */
export function parseAddress(text: string, words: Int32Array | number[], at = 0): 0 | 4 | 6 {
  if (text.includes(':')) return parseIpv6(text, words, at) ? 6 : 0
  const word = parseIpv4(text)
  if (word === undefined) return 0
  words[at] = word
  return 4
}

/** 4, 6, or 0 where the text is no address. */
export function addressFamily(text: string): 0 | 4 | 6 {
  return parseAddress(text, SCRATCH)
}

/** Whether the text is a multicast address: 224.0.0.0/4 or ff00::/8. */
export function isMulticast(text: string): boolean {
  const family = parseAddress(text, SCRATCH)
  return family === 4 ? SCRATCH[0]! >>> 28 === 14 : family === 6 && SCRATCH[0]! >>> 24 === 255
}

/** A network: an address and the length of its prefix. */
export interface Network {
  readonly family: 4 | 6
  /** One word, or four; bits past the prefix are zero. */
  readonly words: readonly number[]
  /** 0…32 or 0…128. */
  readonly prefix: number
}

/**
 * Reads `ADDRESS/PREFIX`, or an address alone (all its bits count).
 *
 * @returns undefined where the text is neither.
 */
export function parseNetwork(text: string): Network | undefined {
  const [address = '', length, ...rest] = text.split('/')
  const words = [0, 0, 0, 0]
  const family = parseAddress(address, words)
  if (family === 0 || rest.length > 0) return undefined
  const bits = family === 4 ? 32 : 128
  if (length !== undefined && !/^(0|[1-9]\d{0,2})$/.test(length)) return undefined
  const prefix = length === undefined ? bits : Number(length)
  if (prefix > bits) return undefined
  const masked = words.slice(0, bits / 32).map((word, i) => word & maskOf(prefix - 32 * i))
  return { family, words: masked, prefix }
}

/** Whether a network holds an address (text). An IPv4-mapped IPv6 address counts as its IPv4 address too. */
export function networkHolds(network: Network, address: string): boolean {
  let family = parseAddress(address, SCRATCH)
  if (family === 6 && network.family === 4 && SCRATCH[0] === 0 && SCRATCH[1] === 0 && SCRATCH[2] === 0xffff) {
    SCRATCH[0] = SCRATCH[3]!
    family = 4
  }
  if (family !== network.family) return false
  return network.words.every((word, i) => (SCRATCH[i]! & maskOf(network.prefix - 32 * i)) === word)
}

function maskOf(bits: number): number {
  return bits >= 32 ? -1 : bits <= 0 ? 0 : -1 << (32 - bits)
}

function joinGroups(groups: readonly number[], from: number, to: number): string {
  let text = ''
  for (let i = from; i < to; i++) text += i > from ? `:${groups[i]!.toString(16)}` : groups[i]!.toString(16)
  return text
}

function parseIpv4(text: string): number | undefined {
  let word = 0
  let dots = 0
  let octet = -1
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - DIGIT_0
    if (digit === DOT) {
      if (octet < 0 || ++dots > 3) return undefined
      word = (word << 8) | octet
      octet = -1
    } else {
      // A 0 before another digit would be octal to some.
      if (digit < 0 || digit > 9 || octet === 0) return undefined
      octet = octet < 0 ? digit : octet * 10 + digit
      if (octet > 255) return undefined
    }
  }
  return dots === 3 && octet >= 0 ? (word << 8) | octet : undefined
}

function parseIpv6(text: string, words: Int32Array | number[], at: number): boolean {
  const halves = text.split('::')
  if (halves.length > 2) return false
  const head = groupsOf(halves[0]!, halves.length === 1)
  const tail = halves.length === 2 ? groupsOf(halves[1]!, true) : []
  if (head === undefined || tail === undefined) return false
  const missing = 8 - head.length - tail.length
  if (halves.length === 1 ? missing !== 0 : missing < 1) return false
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail]
  for (let i = 0; i < 4; i++) words[at + i] = (groups[2 * i]! << 16) | groups[2 * i + 1]!
  return true
}

/** The 16-bit groups of one side of `::`; a dotted IPv4 tail, where one may stand, gives two. */
function groupsOf(text: string, last: boolean): number[] | undefined {
  if (text === '') return []
  const groups: number[] = []
  const parts = text.split(':')
  for (const [i, part] of parts.entries()) {
    if (/^[0-9a-f]{1,4}$/i.test(part)) groups.push(parseInt(part, 16))
    else {
      const word = last && i === parts.length - 1 ? parseIpv4(part) : undefined
      if (word === undefined) return undefined
      groups.push(word >>> 16, word & 0xffff)
    }
  }
  return groups
}

const SCRATCH = new Int32Array(4)
