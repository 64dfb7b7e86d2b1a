/**
 * Splits a stream of bytes into lines.
 *
 * @module
 */

import { IpvsSyncError } from '../errors.js'

/** Longest line that is read, in bytes. */
export const LONGEST_LINE = 65_536

/** The three bytes with which some editors begin a file in UTF-8. */
const BYTE_ORDER_MARK = /^\xef\xbb\xbf/

/**
 * Splits bytes into lines. Bytes are read as Latin-1: each character is one byte.
 *
 * @param source - Chunks of any size.
 * @param tooLong - What becomes of a line of more than 65536 bytes: `cut` yields its first 65537 bytes.
 * @throws IpvsSyncError `ERR_IO` for such a line if it is refused.
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
      if (tooLong === 'refuse') throw new IpvsSyncError('ERR_IO', `line longer than ${LONGEST_LINE} bytes: not text`)
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
