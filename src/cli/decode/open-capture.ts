/**
 * A capture's bytes, from a file.
 *
 * @module
 */

import { open } from 'node:fs/promises'
import { IpvsSyncError } from '../../errors.js'
import { fileFault } from '../errors.js'
import type { Progress } from './progress.js'

/** Bytes read at a time. */
const CHUNK = 262_144

/**
 * Opens a capture when it is first asked for.
 *
 * @param file - A path.
 * @param progress - Told of the bytes read, where someone looks.
 * @throws {IpvsSyncError} `ERR_IO` while iterating: says what is wrong with the file.
 */
export async function* openCapture(
  file: string,
  progress: Progress | undefined
): AsyncGenerator<Uint8Array, void, undefined> {
  const handle = await attempt(file, open(file))
  try {
    progress?.start((await handle.stat()).size)
    for (;;) {
      // A new buffer each time: what was given away may still be read.
      const { bytesRead, buffer } = await attempt(file, handle.read(Buffer.allocUnsafeSlow(CHUNK)))
      if (bytesRead === 0) return
      progress?.add(bytesRead)
      yield buffer.subarray(0, bytesRead)
    }
  } finally {
    await handle.close()
  }
}

async function attempt<Value>(file: string, promise: Promise<Value>): Promise<Value> {
  return promise.catch((error: unknown) => {
    throw new IpvsSyncError('ERR_IO', `${file}: ${reason(error as NodeJS.ErrnoException)}`, { cause: error })
  })
}

const ADVICE: Readonly<Record<string, string>> = {
  ENOENT: '; write one with tcpdump -i IF -w FILE udp, or read standard input with -',
  EISDIR: '; name a capture file in it',
  EACCES: '; tcpdump gives what it writes to a user of its own'
}

function reason(error: NodeJS.ErrnoException): string {
  return `${fileFault(error)}${ADVICE[String(error.code)] ?? ''}`
}
