/**
 * Capture files: their bytes, expanded where they are compressed.
 *
 * @module
 */

import { open } from 'node:fs/promises'
import { demandObject } from '../demand.js'
import type { Transform } from 'node:stream'
import * as zlib from 'node:zlib'
import { readCapture, type Capture, type Decompress } from '../capture/read-capture.js'
import type { ReadCaptureOptions } from '../capture/items.js'
import { IpvsSyncError } from '../errors.js'

/** Bytes read at a time. */
const CHUNK = 262_144
/** Compressed bytes expanded at a time: what stands before damage in one of these is lost. */
const SLICE = 4096
/** Bytes of checksum and length at the end of gzip: expanded last, so that a wrong one takes nothing away. */
const TRAILER = 8

/**
 * Opens a capture file: pcap or pcapng, also compressed with gzip or, where Node supports it, zstd.
 *
 * @param path - The file. It is opened when iteration begins.
 * @param options - Which ports, and how much may wait for fragments.
 * @throws {IpvsSyncError} While iterating: `ERR_IO` where the file cannot be read, `ERR_CAPTURE` where it is not a capture.
 * @example
 * ```ts
 * for await (const item of openCapture('sync.pcap.gz', { ports: [[8848, 8911]] }))
 *   if (item.kind === 'datagram') console.log(decodeMessage(item.payload))
 * ```
 */
export function openCapture(path: string, options: ReadCaptureOptions = {}): Capture {
  demandObject('options', options)
  return readCapture(readFileBytes(path), { decompress, ...options })
}

/**
 * Reads a file's bytes.
 *
 * @param onBytes - Receives the file's size, once, and then the number of bytes of each chunk.
 * @throws {IpvsSyncError} `ERR_IO` while iterating; `cause` is the system's error.
 */
export async function* readFileBytes(
  path: string,
  onBytes?: (count: number, isTotal: boolean) => void
): AsyncGenerator<Uint8Array, void, undefined> {
  const handle = await attempt(path, open(path))
  try {
    onBytes?.((await handle.stat()).size, true)
    for (;;) {
      // A new buffer each time: what was given away may still be read.
      const { bytesRead, buffer } = await attempt(path, handle.read(Buffer.allocUnsafeSlow(CHUNK)))
      if (bytesRead === 0) return
      onBytes?.(bytesRead, false)
      yield buffer.subarray(0, bytesRead)
    }
  } finally {
    await handle.close()
  }
}

async function attempt<Value>(path: string, promise: Promise<Value>): Promise<Value> {
  return promise.catch((cause: unknown) => {
    throw new IpvsSyncError('ERR_IO', `${path}: ${(cause as Error).message}`, { cause })
  })
}

/** Node's decompressor for gzip, and for zstd from Node 22.15 on. */
export const decompress: Decompress = (compression, chunks) => {
  const stream =
    compression === 'gzip' ? zlib.createGunzip({ flush: zlib.constants.Z_SYNC_FLUSH }) : createZstdDecompress?.()
  return stream === undefined ? undefined : expand(chunks, stream)
}

/** Node's types are those of Node 20. */
const { createZstdDecompress } = zlib as unknown as { readonly createZstdDecompress?: () => Transform }

/**
 * Expands chunk by chunk. Everything that can be expanded before an error is given first.
 *
 * @throws What the decompressor found wrong.
 */
async function* expand(
  chunks: AsyncIterable<Uint8Array>,
  stream: Transform
): AsyncGenerator<Uint8Array, void, undefined> {
  let pieces: Uint8Array[] = []
  const faults: Error[] = []
  const take = (): Uint8Array[] => {
    const taken = pieces
    pieces = []
    return taken
  }
  stream.on('data', (piece: Uint8Array) => pieces.push(piece))
  stream.on('error', (error) => faults.push(error))
  try {
    let held: Uint8Array = new Uint8Array(0)
    for await (const chunk of chunks) {
      const bytes = Buffer.concat([held, chunk])
      const end = Math.max(0, bytes.length - TRAILER)
      for (let at = 0; at < end && faults.length === 0; at += SLICE) {
        await write(stream, bytes.subarray(at, Math.min(at + SLICE, end)))
        yield* take()
      }
      if (faults.length > 0) break
      held = bytes.subarray(end)
    }
    if (faults.length === 0) await write(stream, held)
    if (faults.length === 0) await finish(stream)
    yield* take()
    if (faults.length > 0) throw faults[0]!
  } finally {
    stream.destroy()
  }
}

/** Resolves when the bytes are expanded, or the stream has failed: its callback is not called then. */
async function write(stream: Transform, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    stream.once('close', resolve)
    stream.write(bytes, () => {
      stream.off('close', resolve)
      resolve()
    })
  })
}

async function finish(stream: Transform): Promise<void> {
  return new Promise((resolve) => {
    stream.once('end', resolve).once('close', resolve)
    stream.end()
  })
}
