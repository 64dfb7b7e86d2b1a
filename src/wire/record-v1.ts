/**
 * Version 1 record without its parameters: offsets, and how it is read and written (docs/protocol.md section 4).
 *
 * @module
 */
import { FLAG } from './constants.js'
import { ROW } from './rows.js'

/** Version 1's record (`struct ip_vs_sync_v4`, `ip_vs_sync_v6`); parameters follow the three addresses. */
export const RECORD_V1 = {
  TYPE: 0,
  PROTOCOL: 1,
  VER_SIZE: 2,
  FLAGS: 4,
  STATE: 8,
  CLIENT_PORT: 10,
  VIRTUAL_PORT: 12,
  DESTINATION_PORT: 14,
  FWMARK: 16,
  TIMEOUT: 20,
  CLIENT: 24,
  LENGTH_IPV4: 36,
  LENGTH_IPV6: 72
} as const

/** Bit of a record's type that says IPv6. */
export const TYPE_IPV6 = 0x01
/** Low bits of `ver_size`: the record's length, parameters included, padding not. */
export const SIZE_MASK = 0x0fff
/** Places that the record's version is shifted in `ver_size`. */
export const VERSION_SHIFT = 12

// Constants of this module: V8 folds them, and reads properties of an object in another chunk at each use.
const {
  CLIENT: ROW_CLIENT,
  CLIENT_PORT: ROW_CLIENT_PORT,
  DESTINATION: ROW_DESTINATION,
  DESTINATION_PORT: ROW_DESTINATION_PORT,
  FLAGS: ROW_FLAGS,
  FWMARK: ROW_FWMARK,
  PROTOCOL: ROW_PROTOCOL,
  STATE: ROW_STATE,
  TIMEOUT: ROW_TIMEOUT,
  VIRTUAL: ROW_VIRTUAL,
  VIRTUAL_PORT: ROW_VIRTUAL_PORT
} = ROW
const {
  FLAGS: V1_FLAGS,
  FWMARK: V1_FWMARK,
  LENGTH_IPV4: V1_LENGTH_IPV4,
  STATE: V1_STATE,
  TIMEOUT: V1_TIMEOUT,
  TYPE: V1_TYPE,
  VIRTUAL_PORT: V1_VIRTUAL_PORT
} = RECORD_V1
const { HASHED: FLAG_HASHED } = FLAG
/** First word of an IPv4 record without parameters, without its protocol: type 0, record version 0, 36 bytes. */
export const PLAIN_IPV4 = V1_LENGTH_IPV4
/** All of a record's first word but its protocol. */
export const PLAIN_MASK = ~0x00ff0000

/** Writes a record up to its addresses; `first` is its first word without the protocol. */
export function writeHead(data: DataView, at: number, first: number, words: Int32Array, from: number): void {
  data.setInt32(at + V1_TYPE, (words[from + ROW_PROTOCOL]! << 16) | first)
  data.setInt32(at + V1_FLAGS, words[from + ROW_FLAGS]! & ~FLAG_HASHED)
  data.setInt32(at + V1_STATE, (words[from + ROW_STATE]! << 16) | words[from + ROW_CLIENT_PORT]!)
  data.setInt32(at + V1_VIRTUAL_PORT, (words[from + ROW_VIRTUAL_PORT]! << 16) | words[from + ROW_DESTINATION_PORT]!)
  data.setInt32(at + V1_FWMARK, words[from + ROW_FWMARK]!)
  data.setInt32(at + V1_TIMEOUT, words[from + ROW_TIMEOUT]!)
}

/** Writes the addresses of an IPv4 record. */
export function writeIpv4(data: DataView, at: number, words: Int32Array, from: number): void {
  data.setInt32(at, words[from + ROW_CLIENT]!)
  data.setInt32(at + 4, words[from + ROW_VIRTUAL]!)
  data.setInt32(at + 8, words[from + ROW_DESTINATION]!)
}

/** Writes the addresses of an IPv6 record. */
export function writeIpv6(data: DataView, at: number, words: Int32Array, from: number): void {
  for (let i = 0; i < 4; i++) {
    data.setInt32(at + 4 * i, words[from + ROW_CLIENT + i]!)
    data.setInt32(at + 16 + 4 * i, words[from + ROW_VIRTUAL + i]!)
    data.setInt32(at + 32 + 4 * i, words[from + ROW_DESTINATION + i]!)
  }
}
