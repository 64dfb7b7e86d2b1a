/**
 * The keyed hash of a table. Without the key nobody can make two connection keys collide.
 *
 * Plain IPv4 keys are hashed by tabulation: one table of 256 random words for each of the 13 key bytes, combined by XOR. Two
 * different keys collide with probability 2^-32 whatever their difference. Everything else (IPv6, persistence-engine data)
 * is hashed by HalfSipHash-1-3, which takes any length; Linux uses the same function for its own tables.
 *
 * @module
 */

/** Tables of the tabulation: client 4 bytes, ports 4, virtual 4, protocol 1. */
const TABLES = 13
const PORTS = 4 * 256
const VIRTUAL = 8 * 256
const PROTOCOL = 12 * 256
/** Longest input of {@link KeyHash.sip}: 11 words of key and length, 255 bytes of engine data. */
const MAX_WORDS = 11 + 64

/** The secret of one table: 128 bits, expanded once. */
export class KeyHash {
  /** The tabulation's tables, one behind the other. */
  readonly tables: Int32Array = new Int32Array(TABLES * 256)
  /** Input of {@link KeyHash.sip}: fill it, then call. */
  readonly input: Int32Array = new Int32Array(MAX_WORDS)
  readonly #key0: number
  readonly #key1: number

  /**
   * @param seed - Makes the key reproducible: for tests and simulations. Without it the key is random.
   */
  constructor(seed?: number) {
    const key = seed === undefined ? randomKey() : keyOf(seed)
    this.#key0 = key[0]!
    this.#key1 = key[1]!
    for (let i = 0; i < this.tables.length; i++) {
      this.input[0] = i
      this.tables[i] = halfSipHash(this.input, 1, key[2]!, key[3]!, 2, 4)
    }
  }

  /** Hashes the first `count` words of {@link KeyHash.input}. */
  sip(count: number): number {
    return halfSipHash(this.input, count, this.#key0, this.#key1, 1, 3)
  }
}

/**
 * Hashes a plain IPv4 key.
 *
 * @param tables - Of the table's {@link KeyHash}.
 * @param client - The client's address as a word.
 * @param ports - Client port << 16 | virtual port.
 * @param virtual - The virtual address as a word.
 * @param protocol - 0…255.
 */
export function tabulate(tables: Int32Array, client: number, ports: number, virtual: number, protocol: number): number {
  return (
    tables[client & 255]! ^
    tables[256 + ((client >>> 8) & 255)]! ^
    tables[512 + ((client >>> 16) & 255)]! ^
    tables[768 + (client >>> 24)]! ^
    tables[PORTS + (ports & 255)]! ^
    tables[PORTS + 256 + ((ports >>> 8) & 255)]! ^
    tables[PORTS + 512 + ((ports >>> 16) & 255)]! ^
    tables[PORTS + 768 + (ports >>> 24)]! ^
    tables[VIRTUAL + (virtual & 255)]! ^
    tables[VIRTUAL + 256 + ((virtual >>> 8) & 255)]! ^
    tables[VIRTUAL + 512 + ((virtual >>> 16) & 255)]! ^
    tables[VIRTUAL + 768 + (virtual >>> 24)]! ^
    tables[PROTOCOL + protocol]!
  )
}

/**
 * HalfSipHash of whole words, with 32 bits of output.
 *
 * @param words - Little-endian words of the message.
 * @param count - How many of them.
 * @param key0 - Bytes 0 to 3 of the key.
 * @param key1 - Bytes 4 to 7 of the key.
 * @param rounds - Rounds after each word.
 * @param finalRounds - Rounds at the end.
 */
export function halfSipHash(
  words: Int32Array,
  count: number,
  key0: number,
  key1: number,
  rounds: number,
  finalRounds: number
): number {
  let v0 = key0
  let v1 = key1
  let v2 = 0x6c796765 ^ key0
  let v3 = 0x74656462 ^ key1
  const length = (count << 2) << 24
  for (let i = 0; i <= count + 1; i++) {
    // The word behind the last is the length; the step behind that one is the finalisation.
    const word = i < count ? words[i]! : i === count ? length : 0
    const isFinal = i > count
    if (isFinal) v2 ^= 0xff
    else v3 ^= word
    const steps = isFinal ? finalRounds : rounds
    for (let step = 0; step < steps; step++) {
      v0 = (v0 + v1) | 0
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
      v0 = (v0 << 16) | (v0 >>> 16)
      v2 = (v2 + v3) | 0
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
      v0 = (v0 + v3) | 0
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
      v2 = (v2 + v1) | 0
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
      v2 = (v2 << 16) | (v2 >>> 16)
    }
    v0 ^= word
  }
  return v1 ^ v3
}

/** The only place in the pure folders that draws chance: a table that was given no seed needs a secret. */
function randomKey(): Int32Array {
  return globalThis.crypto.getRandomValues(new Int32Array(4))
}

function keyOf(seed: number): Int32Array {
  const input = Int32Array.of(seed, 0)
  return Int32Array.from([0, 1, 2, 3], (i) => {
    input[1] = i
    return halfSipHash(input, 2, 0x69707673, 0x73796e63, 2, 4)
  })
}
