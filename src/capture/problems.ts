/**
 * The catalogue of what can be wrong with a capture and its packets. Codes are stable, texts are not.
 *
 * @module
 */

import type { Problem, Severity } from '../wire/problems.js'

/**
 * Every code that the reader of a capture reports, with its severity: `drop` where a receiver would not have received the
 * datagram or the file cannot be read further, `warning` where only the reader lacks something. `docs/captures.md`
 * explains each.
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

/** Meaning of each code. */
export const CAPTURE_PROBLEM_TEXTS: Readonly<Record<CaptureProblemCode, string>> = {
  CAPTURE_TRUNCATED: 'the file ends inside a packet or block; everything before it was read',
  CAPTURE_DAMAGED: 'a length in the file is impossible; reading ends there',
  GZIP_DAMAGED: 'the compressed data end early or are invalid; everything before that was read',
  BLOCK_INVALID: 'a pcapng block contradicts itself and is skipped',
  INTERFACE_UNKNOWN: 'a pcapng packet names an interface that its section does not describe; it is skipped',
  LINK_TYPE_UNKNOWN: 'packets of a link type that is not supported are skipped',
  PACKET_SNAPPED: 'the capture holds only the first part of the packet (tcpdump -s)',
  IP_LENGTH: 'the length in the IP header is less than the header or more than the frame',
  UDP_LENGTH: 'the length in the UDP header is less than 8 or more than IP carries; a receiver drops the datagram',
  UDP_TRAILING: 'IP carries more bytes than the UDP header says; a receiver ignores them',
  FRAGMENT_MISSING: 'the capture lacks fragments of a datagram; the bytes before the first missing one are shown',
  FRAGMENT_WITHOUT_FIRST: 'the capture lacks the first fragment of a datagram, the one with the ports',
  // RFC 5722 for IPv6; Linux does the same for IPv4.
  FRAGMENT_OVERLAP: 'fragments overlap; a receiver drops the datagram',
  // As Linux does.
  FRAGMENT_REPEATED: 'a fragment was repeated with different bytes; the first one was kept',
  FRAGMENT_INVALID: 'a fragment ends after byte 65535 or after the last fragment, or not at a multiple of 8 bytes',
  FRAGMENT_LIMIT: 'too many datagrams wait for fragments; the oldest was abandoned'
}

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
