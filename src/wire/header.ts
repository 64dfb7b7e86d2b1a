/**
 * Header of a message: offsets, and how it is read and written (docs/protocol.md section 2). Integers are big-endian.
 *
 * ```
 * version 0                              version 1
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

/** Second word of version 1's header without the count: version 1, and spare 0. */
const VERSION_WORD = 1 << 16
const COUNT_MASK = 0xff << 24

/** Returns whether a message is version 1: reserved and spare are 0 and the version is 1 (`ip_vs_process_message`). */
export function isVersion1(data: DataView): boolean {
  if (data.byteLength < HEADER_V1.LENGTH || data.getUint8(HEADER_V1.RESERVED) !== 0) return false
  return (data.getInt32(HEADER_V1.COUNT) & ~COUNT_MASK) === VERSION_WORD
}

/** Writes the header of a message of `size` bytes that begins at `at`. */
export function writeHeader(
  data: DataView,
  at: number,
  version: 0 | 1,
  syncid: number,
  size: number,
  count: number
): void {
  if (version === 1) {
    data.setInt32(at, (syncid << 16) | size)
    data.setInt32(at + HEADER_V1.COUNT, (count << 24) | VERSION_WORD)
  } else {
    data.setInt32(at, (count << 24) | (syncid << 16) | size)
  }
}
