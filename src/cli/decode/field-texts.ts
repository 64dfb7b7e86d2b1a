/**
 * The texts of a connection's fields that are names, as pieces for the writers of every format. Their spelling comes from
 * the wire's own tables.
 *
 * @module
 */

import { FLAG } from '../../wire/constants.js'
import { flagNames, forwardingName } from '../../wire/flags.js'
import { protocolName, stateCount, stateName } from '../../wire/protocols.js'
import { decimal, piece, put, type Piece } from './text-bytes.js'

const { FORWARDING: FLAG_FORWARDING, TEMPLATE: FLAG_TEMPLATE } = FLAG
const PROTOCOLS = 256
/** No protocol has more states. */
const STATES = 16

/** `TCP`, or the number, by protocol number. */
export const PROTOCOL_PIECES: readonly Piece[] = Array.from({ length: PROTOCOLS }, (_, number) =>
  piece(protocolName(number))
)

/** `MASQ`, or the number, by the low bits of the flags. */
export const FORWARDING_PIECES: readonly Piece[] = Array.from({ length: FLAG_FORWARDING + 1 }, (_, method) =>
  piece(forwardingName(method))
)

/** A flag's name with a comma behind it, by bit number; with a blank; in quotes for JSON. */
export const FLAG_PIECES: readonly Piece[] = namesOfBits((name) => `${name},`)
export const BLANK_FLAG_PIECES: readonly Piece[] = namesOfBits((name) => `${name} `)
export const QUOTED_FLAG_PIECES: readonly Piece[] = namesOfBits((name) => `"${name}",`)

function namesOfBits(text: (name: string) => string): Piece[] {
  return Array.from({ length: 32 }, (_, bit) => piece(text(flagNames(1 << bit)[0] ?? '')))
}

const STATE_PIECES = new Int32Array((PROTOCOLS + 1) * STATES)
for (let protocol = 0; protocol < PROTOCOLS; protocol++)
  for (let state = 0; state < stateCount(protocol); state++)
    STATE_PIECES[protocol * STATES + state] = piece(stateName(protocol, false, state))
for (const state of [0, 1]) STATE_PIECES[PROTOCOLS * STATES + state] = piece(stateName(0, true, state))

/** Writes a state's name, or its number. */
export function putState(view: DataView, to: number, protocol: number, flags: number, state: number): number {
  const row = (flags & FLAG_TEMPLATE) !== 0 ? PROTOCOLS : protocol
  const name = state < STATES ? STATE_PIECES[row * STATES + state]! : 0
  return name === 0 ? decimal(view, to, state) : put(view, to, name)
}

/** Writes the names of flags in bit order, each as `pieces` has it; the forwarding method is left out. */
export function putFlags(view: DataView, to: number, flags: number, pieces: readonly Piece[]): number {
  let rest = flags & ~FLAG_FORWARDING
  if (rest === 0) return to
  while (rest !== 0) {
    const bit = 31 - Math.clz32(rest & -rest)
    to = put(view, to, pieces[bit]!)
    rest &= rest - 1
  }
  return to - 1
}
