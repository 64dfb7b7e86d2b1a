/**
 * Text cut into lines as it comes.
 *
 * @module
 */

import { createReadStream } from 'node:fs'
import { IpvsSyncError } from '../errors.js'

/** A line of a kernel table has at most some 500 characters; past this it is not a line of anything we read. */
export const LONGEST_LINE = 65_536

/** The three bytes by which some editors begin a file in UTF-8: no part of its first line. */
const BYTE_ORDER_MARK = /^\xef\xbb\xbf/

/**
 * Cuts bytes into lines. Bytes are taken for Latin-1: engine data are raw, and each character is one byte.
 *
 * @param source - Chunks of any size.
 * @param tooLong - What becomes of a line of more than 65536 bytes: `cut` gives its beginning, more than 65536 of it.
 * @throws IpvsSyncError `ERR_IO` where such a line is to be refused: the source is no text.
 */
export async function* readLines(
  source: AsyncIterable<Uint8Array>,
  tooLong: 'refuse' | 'cut' = 'refuse'
): AsyncGenerator<string, void, undefined> {
  let rest = ''
  let isFirst = true
  for await (const chunk of source) {
    const lines = (rest + Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length).toString('latin1')).split('\n')
    rest = lines.pop()!
    if (rest.length > LONGEST_LINE) {
      if (tooLong === 'refuse')
        throw new IpvsSyncError('ERR_IO', `a line has more than ${LONGEST_LINE} bytes: this is no table`)
      rest = rest.slice(0, LONGEST_LINE + 1)
    }
    if (isFirst && lines.length > 0) {
      isFirst = false
      lines[0] = lines[0]!.replace(BYTE_ORDER_MARK, '')
    }
    yield* lines
  }
  if (isFirst) rest = rest.replace(BYTE_ORDER_MARK, '')
  if (rest !== '') yield rest
}

/**
 * Reads a file of `/proc/net`.
 *
 * @param path - `/proc/net/ip_vs_conn`.
 * @throws IpvsSyncError while iterating: `ERR_NO_IPVS` where there is no such file, `ERR_IO` where it cannot be read.
 */
export async function* readProcLines(path: string): AsyncGenerator<string, void, undefined> {
  try {
    yield* readLines(createReadStream(path))
  } catch (cause) {
    if (cause instanceof IpvsSyncError) throw cause
    const { code, message } = cause as NodeJS.ErrnoException
    if (code !== 'ENOENT') throw new IpvsSyncError('ERR_IO', message, { cause })
    throw new IpvsSyncError('ERR_NO_IPVS', `${path} is not there: ip_vs is not loaded (modprobe ip_vs)`, { cause })
  }
}
