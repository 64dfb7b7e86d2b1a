/**
 * The layout of a connection in memory: the words of an entry, in chunks that are allocated as the table grows.
 *
 * ```
 *  0 next  1 previous            links of the timer wheel, or of the free list
 *  2 high halves: deadline << 16 | end time        3 deadline, low word     4 end time, low word
 *  5 client port << 16 | virtual port              6 destination port << 16 | protocol << 8 | syncid
 *  7 flags << 16 | state                           8 fwmark                 9 timeout (s)
 * 10 packets                     11 extra << 24 | retries << 16 | last synchronised state
 * 12 client, virtual, destination: 3 words (IPv4) or 12 (IPv6)
 * ```
 *
 * Times are milliseconds as 48-bit numbers: exact for thousands of years from any epoch. An entry has 15 words
 * (60 bytes) for IPv4 and 24 (96 bytes) for IPv6.
 *
 * @module
 */

/** Word of each field. */
export const ENTRY = {
  NEXT: 0,
  PREVIOUS: 1,
  HIGH: 2,
  DEADLINE: 3,
  END_TIME: 4,
  PORTS: 5,
  REST: 6,
  FLAGS_STATE: 7,
  FWMARK: 8,
  TIMEOUT: 9,
  PACKETS: 10,
  SYNCED: 11,
  ADDRESSES: 12
} as const

/** Bits of the byte `extra`. */
export const EXTRA = {
  /** The flag NFCT, which does not fit into the 16 bits of flags. */
  NFCT: 1,
  /** Sequence data are stored in `EntryExtras`. */
  SEQUENCE: 2,
  /** Persistence-engine data are stored in `EntryExtras` and are part of the key. */
  ENGINE: 4
} as const

/** In `PREVIOUS`: the entry is free. */
export const FREE = 0x7fffffff

/** 2^32, between the halves of a time. */
export const WORD = 0x100000000

/** Words of an IPv4 entry. */
const IPV4_WORDS = ENTRY.ADDRESSES + 3
/** A chunk holds 2 to the power of this many entries. */
export const CHUNK_BITS = 15
const CHUNK_ENTRIES = 1 << CHUNK_BITS
const CHUNK_MASK = CHUNK_ENTRIES - 1

/** Entries of one family, numbered from 1. Memory grows by chunks and is never copied. */
export class EntryPool {
  /** Words of one entry. */
  readonly words: number
  /** Entries in use. */
  size = 0
  /** The memory: entry by entry, 32,768 in each. IPv4 always has the first one, for number 0, which is never used. */
  readonly chunks: Int32Array[] = []
  /** The highest number ever used: the end of an iteration. */
  last = 0

  #free = 0

  /** @param addressWords - Words of one address: 1 or 4. */
  constructor(addressWords: 1 | 4) {
    this.words = ENTRY.ADDRESSES + 3 * addressWords
    this.#addFirst()
  }

  /** Returns the chunk that holds an entry. */
  chunk(number: number): Int32Array {
    return this.chunks[number >>> CHUNK_BITS]!
  }

  /** Returns the index of an entry's first word in its chunk. */
  base(number: number): number {
    return (number & CHUNK_MASK) * this.words
  }

  /** Allocates an entry; its words have old content. */
  take(): number {
    this.size++
    if (this.#free === 0) return this.#grow()
    const number = this.#free
    this.#free = this.chunk(number)[this.base(number) + ENTRY.NEXT]!
    return number
  }

  /** Frees an entry. */
  release(number: number): void {
    const chunk = this.chunk(number)
    const base = this.base(number)
    chunk[base + ENTRY.NEXT] = this.#free
    chunk[base + ENTRY.PREVIOUS] = FREE
    this.#free = number
    this.size--
  }

  /** Returns whether an entry is in use. */
  isUsed(number: number): boolean {
    return number >= 1 && number <= this.last && this.chunk(number)[this.base(number) + ENTRY.PREVIOUS] !== FREE
  }

  /** Frees all entries and their memory. */
  clear(): void {
    this.chunks.length = 0
    this.#free = this.size = this.last = 0
    this.#addFirst()
  }

  #grow(): number {
    this.last++
    if (this.last >>> CHUNK_BITS === this.chunks.length) this.#addChunk()
    return this.last
  }

  #addFirst(): void {
    if (this.words === IPV4_WORDS) this.#addChunk()
  }

  #addChunk(): void {
    this.chunks.push(new Int32Array(CHUNK_ENTRIES * this.words))
  }
}
