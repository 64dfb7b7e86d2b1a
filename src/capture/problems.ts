/**
 * The catalogue of what can be wrong with a capture and its packets. Codes are stable, texts are not.
 *
 * @module
 */

import type { Problem, Severity } from '../wire/problems.js'

/**
 * Every code that a capture's reader gives, with its severity: `drop` where a receiver would not have got the datagram,
 * or where the file cannot be read on; `warning` where only the reader is short of something.
 *
 * - `CAPTURE_TRUNCATED` the file ends inside a packet or block: what came before was read
 * - `CAPTURE_DAMAGED` a length in the file cannot be true: reading ends there
 * - `GZIP_DAMAGED` the compressed data break off or are wrong: what could be expanded was read
 * - `BLOCK_INVALID` one pcapng block contradicts itself: it is skipped
 * - `INTERFACE_UNKNOWN` a pcapng packet names an interface that its section has not described: it is skipped
 * - `LINK_TYPE_UNKNOWN` packets of one interface are of a link type that is not read: they are skipped
 * - `PACKET_SNAPPED` the capture holds only the first part of the packet (`tcpdump -s`)
 * - `IP_LENGTH` the IP header's length is less than the header or more than the frame
 * - `UDP_LENGTH` the UDP header's length is less than 8 or more than IP carries: a receiver drops the datagram
 * - `UDP_TRAILING` IP carries more bytes than the UDP header says: a receiver cuts them off
 * - `FRAGMENT_MISSING` some fragments of a datagram are not in the capture; what is there from its start is given
 * - `FRAGMENT_WITHOUT_FIRST` fragments were left over whose first, the one with the ports, is not in the capture
 * - `FRAGMENT_OVERLAP` fragments overlap: a receiver drops the datagram (RFC 5722; Linux does the same for IPv4)
 * - `FRAGMENT_REPEATED` a fragment came twice with different bytes: the first was kept, as Linux does
 * - `FRAGMENT_INVALID` a fragment ends past 65,535 bytes, or beyond the last one, or not at a multiple of 8 bytes
 * - `FRAGMENT_LIMIT` more datagrams were waiting for fragments than the reader keeps: the oldest was given up
 */
export const CAPTURE_PROBLEMS = {
  CAPTURE_TRUNCATED: 'drop',
  CAPTURE_DAMAGED: 'drop',
  GZIP_DAMAGED: 'drop',
  BLOCK_INVALID: 'drop',
  INTERFACE_UNKNOWN: 'drop',
  LINK_TYPE_UNKNOWN: 'warning',
  PACKET_SNAPPED: 'warning',
  IP_LENGTH: 'drop',
  UDP_LENGTH: 'drop',
  UDP_TRAILING: 'warning',
  FRAGMENT_MISSING: 'drop',
  FRAGMENT_WITHOUT_FIRST: 'warning',
  FRAGMENT_OVERLAP: 'drop',
  FRAGMENT_REPEATED: 'warning',
  FRAGMENT_INVALID: 'drop',
  FRAGMENT_LIMIT: 'warning'
} as const satisfies Record<string, Severity>

/** A code of {@link CAPTURE_PROBLEMS}. */
export type CaptureProblemCode = keyof typeof CAPTURE_PROBLEMS

/**
 * Makes a problem with the severity of its code.
 *
 * @param code - What is wrong.
 * @param message - Expected and actual, with units.
 * @param offset - Where in the file, in bytes (of what gzip holds, not of the compressed file).
 */
export function captureProblem(code: CaptureProblemCode, message: string, offset?: number): Problem {
  const severity = CAPTURE_PROBLEMS[code]
  return offset === undefined ? { code, severity, message } : { code, severity, message, offset }
}
