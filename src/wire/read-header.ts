/**
 * A message's header, by the grammar.
 *
 * @module
 */
import { MESSAGE_HEADER_V0, MESSAGE_HEADER_V1 } from './grammar.js'

/** What a receiver takes from a header. */
export interface Header {
  readonly version: 0 | 1
  /** 0…255. */
  readonly syncid: number
  /** The size field, in bytes. */
  readonly size: number
  /** 0…255. */
  readonly count: number
}

/**
 * Reads the header as a receiver does: reserved and spare 0 and version 1 are version 1, anything else is version 0
 * (`ip_vs_process_message`).
 *
 * @returns undefined where there are fewer than 4 bytes.
 */
export function readHeader(bytes: Uint8Array): Header | undefined {
  if (bytes.length < 4) return undefined
  if (bytes.length >= 8) {
    const { reserved, syncid, size, count, version, spare } = MESSAGE_HEADER_V1.parse(bytes)
    if (reserved === 0 && version === 1 && spare === 0) return { version, syncid, size, count }
  }
  const { count, syncid, size } = MESSAGE_HEADER_V0.parse(bytes)
  return { version: 0, syncid, size, count }
}

/** Why a header of 8 bytes or more that begins with a 0 is not version 1's. */
export function versionFault(bytes: Uint8Array): { readonly version: number; readonly spare: number } {
  return MESSAGE_HEADER_V1.parse(bytes)
}
