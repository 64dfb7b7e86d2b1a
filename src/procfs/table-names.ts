/**
 * The names that stand in a table's lines, found by their bytes: protocols, states, origins.
 *
 * @module
 */

import { PROTOCOL, protocolName, stateCount, stateName } from '../wire/protocols.js'
import { numberOf } from './table-fields.js'

/** What {@link stateOf} returns for a name that is not a state of the protocol, and for the kernel's `ERR!`. */
export const NOT_A_STATE = -1
export const ERROR_STATE = -2

/** Which states a name can be: those of TCP, UDP, SCTP, of a template, of AH and ESP, of a protocol without any. */
const CLASSES = { TCP: 0, UDP: 1, SCTP: 2, TEMPLATE: 3, ONE: 4, NONE: 5 } as const
const CLASS_COUNT = 6
const CLASS_OF = new Uint8Array(256).fill(CLASSES.NONE)
CLASS_OF[PROTOCOL.TCP] = CLASSES.TCP
CLASS_OF[PROTOCOL.UDP] = CLASSES.UDP
CLASS_OF[PROTOCOL.SCTP] = CLASSES.SCTP
CLASS_OF[PROTOCOL.AH] = CLASSES.ONE
CLASS_OF[PROTOCOL.ESP] = CLASSES.ONE

/** A name has at most 12 bytes: its key is three words, little-endian, the rest spaces as the kernel pads a state. */
const LONGEST_NAME = 12
const SPACE = 0x20
const SPACES = 0x20202020
const CELLS = 256
const cells = new Uint8Array(CELLS)
const keys = new Int32Array(3 * CELLS)
const protocols = new Int16Array(CELLS).fill(-1)
const states = new Int16Array(CLASS_COUNT * CELLS).fill(NOT_A_STATE)
let names = 0

const ERROR = addName('ERR!')
const NONE = addName('NONE')
const ASSURED = addName('ASSURED')
/** Numbers of the origins' names. */
export const LOCAL: number = addName('LOCAL')
export const SYNC: number = addName('SYNC')
for (const protocol of Object.values(PROTOCOL)) protocols[addName(protocolName(protocol))] = protocol
for (const protocol of [PROTOCOL.TCP, PROTOCOL.UDP, PROTOCOL.SCTP]) addStates(protocol, false, CLASS_OF[protocol]!)
addStates(PROTOCOL.TCP, true, CLASSES.TEMPLATE)
for (let each = 0; each < CLASS_COUNT; each++) states[ERROR * CLASS_COUNT + each] = ERROR_STATE
states[ERROR * CLASS_COUNT + CLASSES.ONE] = 0

/** The number of a name, 0 for an unknown one. */
export function nameAt(bytes: Uint8Array, from: number, end: number): number {
  if (end - from > LONGEST_NAME) return 0
  let a = SPACES
  let b = SPACES
  let c = SPACES
  for (let at = from; at < end; at++) {
    const shift = (at - from) << 3
    const bits = (bytes[at]! ^ SPACE) << (shift & 31)
    if (shift < 32) a ^= bits
    else if (shift < 64) b ^= bits
    else c ^= bits
  }
  return findName(a, b, c)
}

/** A protocol's number by its name, as `IP_51` or as `51`; -1 for anything else. */
export function protocolAt(bytes: Uint8Array, from: number, end: number): number {
  const named = protocols[nameAt(bytes, from, end)]!
  if (named >= 0) return named
  const isPrefixed = bytes[from] === 0x49 && bytes[from + 1] === 0x50 && bytes[from + 2] === 0x5f
  return canonicalNumber(bytes, isPrefixed ? from + 3 : from, end, 255)
}

/** Whether a line shows a template: the table does not show the flag itself. */
export function isTemplate(protocol: number, clientPort: number, name: number): boolean {
  return protocol === PROTOCOL.IP || (clientPort === 0 && (name === NONE || name === ASSURED))
}

/** A state's number by its name's number; {@link NOT_A_STATE} or {@link ERROR_STATE}. */
export function stateOf(name: number, protocol: number, template: boolean): number {
  return states[name * CLASS_COUNT + (template ? CLASSES.TEMPLATE : CLASS_OF[protocol]!)]!
}

/** A decimal number without leading zeros; -1 for anything else. */
export function canonicalNumber(bytes: Uint8Array, from: number, end: number, most: number): number {
  const value = numberOf(bytes, from, end)
  return value <= most && (bytes[from] !== 0x30 || end - from === 1) ? value : -1
}

function addName(text: string): number {
  const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0))
  const known = nameAt(bytes, 0, bytes.length)
  if (known > 0) return known
  const words = new Int32Array(3).fill(SPACES)
  bytes.forEach((byte, i) => (words[i >> 2]! ^= (byte ^ SPACE) << (8 * (i & 3))))
  const [a, b, c] = words as unknown as [number, number, number]
  let cell = cellOf(a, b, c)
  while (cells[cell] !== 0) cell = (cell + 1) & (CELLS - 1)
  cells[cell] = ++names
  keys.set(words, 3 * names)
  return names
}

function addStates(protocol: number, template: boolean, kind: number): void {
  const count = template ? 2 : stateCount(protocol)
  for (let state = 0; state < count; state++)
    states[addName(stateName(protocol, template, state)) * CLASS_COUNT + kind] = state
}

/** The number of a name by its key, 0 for an unknown one. */
export function findName(a: number, b: number, c: number): number {
  for (let cell = cellOf(a, b, c); cells[cell] !== 0; cell = (cell + 1) & (CELLS - 1)) {
    const name = cells[cell]!
    if (keys[3 * name] === a && keys[3 * name + 1] === b && keys[3 * name + 2] === c) return name
  }
  return 0
}

function cellOf(a: number, b: number, c: number): number {
  return Math.imul(a ^ Math.imul(b ^ Math.imul(c, 0x9e3779b1), 0x85ebca6b), 0xc2b2ae35) >>> 24
}
