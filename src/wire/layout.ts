/**
 * Where every field stands: the one offset table of the view, the reader and the writer. Offsets and lengths in bytes,
 * integers big-endian: docs/protocol.md sections 2 to 4. (The grammar has a reading of its own and knows none of this.)
 *
 * ```
 * version 0 message                      version 1 message
 * | count | syncid |     size      |     |   0   | syncid |     size      |
 *                                        | count |   1    |   spare = 0   |
 * ```
 *
 * @module
 */

/** Version 0's message header (`struct ip_vs_sync_mesg_v0`). */
export const HEADER_V0 = { COUNT: 0, SYNCID: 1, SIZE: 2, LENGTH: 4 } as const

/** Version 1's message header (`struct ip_vs_sync_mesg`). */
export const HEADER_V1 = { RESERVED: 0, SYNCID: 1, SIZE: 2, COUNT: 4, VERSION: 5, SPARE: 6, LENGTH: 8 } as const

/** Version 0's record (`struct ip_vs_sync_conn_v0`); sequence data follows where either sequence flag is set. */
export const RECORD_V0 = {
  RESERVED: 0,
  PROTOCOL: 1,
  CLIENT_PORT: 2,
  VIRTUAL_PORT: 4,
  DESTINATION_PORT: 6,
  CLIENT: 8,
  VIRTUAL: 12,
  DESTINATION: 16,
  FLAGS: 20,
  STATE: 22,
  LENGTH: 24,
  LENGTH_WITH_SEQUENCE: 48
} as const

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

/** A version 1 parameter: type, length, data. */
export const PARAMETER_HEADER = { TYPE: 0, LENGTH: 1, DATA: 2 } as const
