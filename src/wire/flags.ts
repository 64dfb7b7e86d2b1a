/**
 * Flags and forwarding methods by bit and name: docs/protocol.md section 5.
 *
 * @module
 */
import { FLAG } from './constants.js'

/** Names of forwarding methods by number. */
export const FORWARDING_NAMES: readonly string[] = ['MASQ', 'LOCALNODE', 'TUNNEL', 'DROUTE', 'BYPASS']

/** Names in bit order. */
const FLAG_NAMES: readonly (readonly [number, string])[] = [
  [FLAG.SYNC, 'SYNC'],
  [FLAG.HASHED, 'HASHED'],
  [FLAG.NOOUTPUT, 'NOOUTPUT'],
  [FLAG.INACTIVE, 'INACTIVE'],
  [FLAG.OUT_SEQ, 'OUT_SEQ'],
  [FLAG.IN_SEQ, 'IN_SEQ'],
  [FLAG.NO_CPORT, 'NO_CPORT'],
  [FLAG.TEMPLATE, 'TEMPLATE'],
  [FLAG.ONE_PACKET, 'ONE_PACKET'],
  [FLAG.NFCT, 'NFCT']
]
/** Names of flags in bit order. */
export const FLAG_NAME_LIST: readonly string[] = FLAG_NAMES.map(([, name]) => name)

const BITS = new Map(FLAG_NAMES.map(([bit, name]) => [name, bit]))
const NAME_OF_BIT = new Map(FLAG_NAMES)

/** Lists of names returned before: real traffic has a handful of combinations. Frozen, and shared. */
const known = new Map<number, readonly string[]>()
const MAX_KNOWN = 1024
let lastFlags = 0
let lastNames: readonly string[] = Object.freeze([])

/** A forwarding method's name by the flags that hold it, or its number as text. */
export function forwardingName(flags: number): string {
  const method = flags & FLAG.FORWARDING
  return FORWARDING_NAMES[method] ?? String(method)
}

/** A forwarding method's number by its name or by its number as text, 0…7; undefined for what is neither. */
export function forwardingNumber(name: string): number | undefined {
  const index = FORWARDING_NAMES.indexOf(name)
  if (index >= 0) return index
  return /^[0-7]$/.test(name) ? Number(name) : undefined
}

/** Returns the names of the flags that are set, in bit order, without the forwarding method; unknown bits as `0x4000`. Frozen. */
export function flagNames(flags: number): readonly string[] {
  if (flags === lastFlags) return lastNames
  const names = known.get(flags) ?? Object.freeze(listNames(flags))
  if (known.size < MAX_KNOWN) known.set(flags, names)
  lastFlags = flags
  lastNames = names
  return names
}

/** The bits of flags by name or as `0x4000`; undefined where a name is unknown. */
export function flagBits(names: readonly string[]): number | undefined {
  let flags = 0
  for (const name of names) {
    const bit = BITS.get(name) ?? (/^0x[0-9a-f]{1,8}$/i.test(name) ? Number(name) : undefined)
    if (bit === undefined) return undefined
    flags |= bit
  }
  return flags
}

function listNames(flags: number): string[] {
  const names: string[] = []
  for (let place = 0; place < 32; place++) {
    const bit = 1 << place
    if ((flags & bit) !== 0 && (bit & FLAG.FORWARDING) === 0)
      names.push(NAME_OF_BIT.get(bit) ?? `0x${(bit >>> 0).toString(16)}`)
  }
  return names
}
