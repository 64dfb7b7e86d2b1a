/**
 * A row: one connection as 32 words of an `Int32Array`, the currency of the hot paths. The reader fills rows from a
 * message, the table finds and keeps them, the writer makes records of them; none makes an object for a connection.
 *
 * Every word is a signed 32-bit integer in the host's order. Addresses are their big-endian words (`10.0.0.1` is
 * `0x0a000001`); an IPv4 address uses the first of its four words, and the other three are undefined.
 *
 * ```
 *  0 family 4|6     1 protocol       2 flags (32 bits)   3 state
 *  4 clientPort     5 virtualPort    6 destinationPort   7 fwmark
 *  8 timeout (s)    9 present        10…13 client        14…17 virtual
 * 18…21 destination                  22…27 sequence: in initial, delta, previousDelta; out the same
 * 28 offset of the record in its message                 29 verdict: 0, or the number of the problem that skips it
 * 30, 31 scratch of the owner of the rows (the table: hash and slot)
 * ```
 *
 * @module
 */

/** Words in a row. */
export const ROW_WORDS = 32

/** The word of each field in a row. */
export const ROW = {
  FAMILY: 0,
  PROTOCOL: 1,
  FLAGS: 2,
  STATE: 3,
  CLIENT_PORT: 4,
  VIRTUAL_PORT: 5,
  DESTINATION_PORT: 6,
  FWMARK: 7,
  TIMEOUT: 8,
  PRESENT: 9,
  CLIENT: 10,
  VIRTUAL: 14,
  DESTINATION: 18,
  SEQUENCE: 22,
  OFFSET: 28,
  VERDICT: 29,
  SCRATCH: 30
} as const

/** Bits of the word `PRESENT`. */
export const PRESENT = {
  /** The six words of sequence data are set. */
  SEQUENCE: 1,
  /** The row has persistence-engine data; it stands in `Rows.engines` under the row's number. */
  ENGINE: 2
} as const

/** A persistence engine's name and data as bytes of one message (views: copy what you keep). */
export interface EngineBytes {
  /** 0…16 bytes. */
  readonly name: Uint8Array
  /** 0…255 bytes. */
  readonly data: Uint8Array
}

/** Rows of one message, or of one connection. Made once and filled again and again. */
export interface Rows {
  /** Row `i` starts at word `i * ROW_WORDS`. */
  readonly words: Int32Array
  /** By row number; only meaningful where the row's `PRESENT.ENGINE` bit is set. */
  readonly engines: (EngineBytes | undefined)[]
  /** How many rows are filled. */
  count: number
}

/**
 * Makes empty rows.
 *
 * @param capacity - How many rows it holds; a message has 255 at most.
 */
export function createRows(capacity = 255): Rows {
  return {
    words: new Int32Array(capacity * ROW_WORDS),
    engines: new Array<EngineBytes | undefined>(capacity).fill(undefined),
    count: 0
  }
}
