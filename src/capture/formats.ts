/**
 * What kind of file it is, by its first bytes, and what to say where it is no capture.
 *
 * @module
 */

import { IpvsSyncError } from '../errors.js'
import type { Compression } from './items.js'
import { isPcapMagic } from './pcap-parser.js'
import { isPcapngMagic } from './pcapng-parser.js'

/** A file's kind, as far as it can be read. */
export type CaptureFormat = 'pcap' | 'pcapng'

/** How many bytes {@link captureFormat} looks at. */
export const FORMAT_BYTES = 4

/** Files that are met in place of captures, by how they begin, and what to do about them. */
const OTHERS: readonly (readonly [start: readonly number[], advice: string])[] = [
  [[0xfd, 0x37, 0x7a, 0x58], 'compressed with xz: xz -dc FILE | ipvs-sync decode -'],
  [[0x42, 0x5a, 0x68], 'compressed with bzip2: bzip2 -dc FILE | ipvs-sync decode -'],
  [[0x04, 0x22, 0x4d, 0x18], 'compressed with lz4: lz4 -dc FILE | ipvs-sync decode -'],
  [[0x50, 0x4b, 0x03, 0x04], 'a zip archive: unpack it first'],
  [[0x73, 0x6e, 0x6f, 0x6f], 'a snoop capture: editcap -F pcap FILE - | ipvs-sync decode -']
]

/** How a file is compressed, by its first four bytes; undefined where it is not. */
export function compressionOf(start: Uint8Array): Compression | undefined {
  if (start[0] === 0x1f && start[1] === 0x8b) return 'gzip'
  return ZSTD.every((byte, i) => start[i] === byte) ? 'zstd' : undefined
}

const ZSTD = [0x28, 0xb5, 0x2f, 0xfd]

/**
 * Tells the format of a file.
 *
 * @param start - Its first {@link FORMAT_BYTES} bytes or more; fewer only where it has no more.
 * @throws {IpvsSyncError} `ERR_CAPTURE` where it is no capture: says what it seems to be and what to do.
 */
export function captureFormat(start: Uint8Array): CaptureFormat {
  if (start.length >= 4) {
    const magic = new DataView(start.buffer, start.byteOffset).getUint32(0)
    if (isPcapMagic(magic)) return 'pcap'
    if (isPcapngMagic(magic)) return 'pcapng'
  }
  throw new IpvsSyncError('ERR_CAPTURE', notACapture(start))
}

function notACapture(start: Uint8Array): string {
  const compression = compressionOf(start)
  if (compression !== undefined)
    return `the capture is compressed with ${compression}: use readCapture, or expand it first`
  if (start.length === 0) return 'not a capture: it is empty (was tcpdump stopped before it wrote? try tcpdump -U)'
  const other = OTHERS.find(([bytes]) => bytes.every((byte, index) => start[index] === byte))
  if (other !== undefined) return `not a capture: it is ${other[1]}`
  const head = start.subarray(0, 16)
  if (head.every((byte) => (byte >= 0x20 && byte < 0x7f) || byte === 0x0a || byte === 0x0d || byte === 0x09)) {
    return `not a capture: it is text beginning with ${JSON.stringify(String.fromCharCode(...head))}; want pcap or pcapng, as tcpdump -w writes`
  }
  const hex = Array.from(head.subarray(0, 4), (byte) => byte.toString(16).padStart(2, '0')).join(' ')
  return `not a capture: it begins with bytes ${hex}; want pcap or pcapng, as tcpdump -w writes, or either in gzip`
}
