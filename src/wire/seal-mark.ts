/**
 * Recognises the trailer of a sealed message: bytes after the last record that every kernel ignores (docs/protocol.md
 * section 14). What it says is read and verified in `trust/`.
 *
 * @module
 */

import { HEADER_V0 } from './layout.js'

/** Length of a trailer, in bytes. */
export const SEAL_LENGTH = 52
/** First word of a trailer: "IVSS" in ASCII, big-endian. */
export const SEAL_MAGIC = 0x49565353
/** Version of the trailer that this package reads. */
export const SEAL_VERSION = 1

/** Offsets in the trailer of what must be in range. */
const SEQUENCE = 20
const TIME = 28
/** Last instant that a date can name, in milliseconds since 1970. */
const LAST_DATE = 8_640_000_000_000_000n

/** Returns whether a whole message ends with a trailer. It says nothing about who wrote it. */
export function isSealed(bytes: Uint8Array): boolean {
  const at = bytes.length - SEAL_LENGTH
  if (at < HEADER_V0.LENGTH) return false
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return (
    view.getUint32(at) === SEAL_MAGIC &&
    view.getUint8(at + 4) === SEAL_VERSION &&
    view.getUint16(HEADER_V0.SIZE) === bytes.length &&
    view.getBigUint64(at + SEQUENCE) <= Number.MAX_SAFE_INTEGER &&
    view.getBigUint64(at + TIME) <= LAST_DATE
  )
}
