/**
 * The table of the `mh` scheduler: Maglev hashing (NSDI 2016), with the kernel's hash and keys.
 *
 * @module
 */
import type { Server } from './services.js'

/** Places of the table, a prime: the kernel's default. */
export const MAGLEV_PLACES = 4093
const TABLE_BITS = 12

/** The word of both halves of each fixed key. */
const FIRST_KEY = 2654435761n
const SECOND_KEY = 2654446892n
const MASK = (1n << 64n) - 1n

/** SipHash-1-3 of four bytes, cut to 32 bits: `hsiphash` of a 64-bit kernel. */
function sipHash(word: number, key: bigint): number {
  let v0 = 0x736f6d6570736575n ^ key
  let v1 = 0x646f72616e646f6dn ^ key
  let v2 = 0x6c7967656e657261n ^ key
  let v3 = 0x7465646279746573n ^ key
  const rotate = (value: bigint, by: bigint): bigint => ((value << by) | (value >> (64n - by))) & MASK
  const round = (): void => {
    v0 = (v0 + v1) & MASK
    v1 = rotate(v1, 13n) ^ v0
    v0 = rotate(v0, 32n)
    v2 = (v2 + v3) & MASK
    v3 = rotate(v3, 16n) ^ v2
    v0 = (v0 + v3) & MASK
    v3 = rotate(v3, 21n) ^ v0
    v2 = (v2 + v1) & MASK
    v1 = rotate(v1, 17n) ^ v2
    v2 = rotate(v2, 32n)
  }
  const block = (4n << 56n) | BigInt(word >>> 0)
  v3 ^= block
  round()
  v0 ^= block
  v2 ^= 0xffn
  for (let last = 0; last < 3; last++) round()
  return Number((v0 ^ v1 ^ v2 ^ v3) & 0xffffffffn)
}

/** The hash of a client: its address plus port plus offset. */
export function maglevHash(word: number): number {
  return sipHash(word, FIRST_KEY)
}

/** The server of each place; empty where no server has a weight. */
export function maglevTable(servers: readonly Server[]): Server[] {
  const weighted = servers.filter(({ weight }) => weight > 0)
  if (weighted.length === 0) return []
  const divisor = weighted.reduce((gcd, { weight }) => commonDivisor(weight, gcd), 0)
  const most = Math.max(...weighted.map(({ weight }) => weight)) / divisor
  const shift = Math.max(0, 32 - Math.clz32(most) - TABLE_BITS / 2)
  const walks = weighted.map((server) => ({
    server,
    at: sipHash(server.address + server.port, FIRST_KEY) % MAGLEV_PLACES,
    skip: (sipHash(server.address + server.port, SECOND_KEY) % (MAGLEV_PLACES - 1)) + 1,
    turns: (server.weight / divisor) >> shift || 1
  }))
  const table = new Array<Server | undefined>(MAGLEV_PLACES).fill(undefined)
  for (let filled = 0; ;) {
    for (const walk of walks) {
      for (let turn = 0; turn < walk.turns; turn++) {
        while (table[walk.at] !== undefined) walk.at = (walk.at + walk.skip) % MAGLEV_PLACES
        table[walk.at] = walk.server
        if (++filled === MAGLEV_PLACES) return table as Server[]
      }
    }
  }
}

function commonDivisor(one: number, other: number): number {
  return other === 0 ? one : commonDivisor(other, one % other)
}
