/**
 * Mutated messages: whatever the bytes, every reading ends, throws nothing, and agrees with the others.
 */

import { generator } from './random.js'

export interface MessageFuzzOptions {
  /** What must hold for any bytes; it throws where it does not. */
  readonly check: (bytes: Uint8Array) => { readonly connections: number; readonly problems: number }
  /** Sound messages to start from. */
  readonly seeds: readonly Uint8Array[]
  readonly runs: number
  readonly seed: number
}

export interface MessageFuzzResult {
  readonly messages: number
  readonly connections: number
  readonly problems: number
}

/** Runs the mutations; what `check` throws is thrown on with the run's number, the seed and the bytes in its message. */
export function fuzzMessages({ check, seeds, runs, seed }: MessageFuzzOptions): MessageFuzzResult {
  const random = generator(seed)
  const total = { messages: 0, connections: 0, problems: 0 }
  for (let run = 0; run < runs; run += 1) {
    const bytes = mutate(seeds, random)
    try {
      const { connections, problems } = check(bytes)
      total.connections += connections
      total.problems += problems
    } catch (error) {
      throw new Error(`run ${run} of seed ${seed}: ${toHex(bytes)}`, { cause: error })
    }
    total.messages += 1
  }
  return total
}

const MOST_BYTES = 4096
const INTERESTING = [0, 1, 2, 3, 4, 8, 0x18, 0x24, 0x40, 0x41, 0x48, 0x7f, 0x80, 0xff]

function mutate(seeds: readonly Uint8Array[], random: () => number): Uint8Array {
  const pick = (count: number): number => Math.floor(random() * count)
  let message = Array.from(seeds[pick(seeds.length)]!)
  for (let count = pick(5); count > 0; count -= 1) {
    const at = pick(message.length + 1)
    const kind = pick(8)
    if (kind <= 2) message[pick(message.length || 1)] = pick(256)
    else if (kind <= 4) message[pick(message.length || 1)] = INTERESTING[pick(INTERESTING.length)]!
    else if (kind === 5) message.length = at
    else if (kind === 6) message.splice(at, 1 + pick(40))
    else message = [...message.slice(0, at), ...seeds[pick(seeds.length)]!.slice(pick(80), pick(400))]
  }
  if (message.length > MOST_BYTES) message.length = MOST_BYTES
  if (pick(10) > 0) mend(message)
  return Uint8Array.from(message)
}

/** Makes the size field right again, so that most mutations get past the header. */
function mend(message: number[]): void {
  if (message.length < 4) return
  message[2] = message.length >> 8
  message[3] = message.length & 255
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
