/**
 * Reading captures from bytes or a stream: the folder's entry point.
 *
 * @module
 */

import { IpvsSyncError } from '../errors.js'
import { CaptureReader } from './capture-reader.js'
import { compressionOf } from './formats.js'
import type { CaptureCounts, CaptureItem, Decompress, ReadCaptureOptions } from './items.js'
import { captureProblem } from './problems.js'
import type { Problem } from '../wire/problems.js'

export type { Compression, Decompress } from './items.js'

/** Where a capture can come from. A chunk may be cut anywhere. */
export type CaptureSource = Uint8Array | AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>

/** A capture being read: iterate over it once. */
export interface Capture extends AsyncIterable<CaptureItem> {
  /** What was counted so far. */
  readonly counts: CaptureCounts
}

/** How much of a byte array is read at a time, so that what it holds is not all in memory twice. */
const CHUNK = 65_536

/**
 * Reads a capture: pcap or pcapng, also in gzip. Returns the UDP datagrams in it, reassembled from fragments, and what is
 * wrong with the file and its packets as problems: reading never throws because of damage. Datagrams are given as soon as
 * their bytes are read, and memory does not grow with the file.
 *
 * UDP checksums are not checked: where a network card computes them, a capture on the sender holds wrong ones.
 *
 * @param source - The bytes, or a stream of them. A stream's own errors are thrown on. `openCapture` takes a path.
 * @param options - Which ports, and how much may wait for fragments.
 * @throws {IpvsSyncError} `ERR_USAGE` at once when the source is something else, `ERR_CONFIG` when a port or range is not
 *   valid. `ERR_CAPTURE` while iterating when the source is not a capture (empty, text), or of a link type that is not
 *   supported.
 *
 * @example
 * ```ts
 * for await (const item of readCapture(createReadStream('sync.pcap'), { ports: [[8848, 8911]] })) {
 *   if (item.kind === 'datagram') console.log(`${item.time}`, decodeMessage(item.payload))
 *   else console.error(item.problem.message)
 * }
 * ```
 */
export function readCapture(source: CaptureSource, options: ReadCaptureOptions = {}): Capture {
  demandSource(source)
  const reader = new CaptureReader(options)
  return {
    get counts(): CaptureCounts {
      return reader.counts
    },
    [Symbol.asyncIterator]: () => items(source, reader, options.decompress)
  }
}

function demandSource(source: unknown): void {
  if (source instanceof Uint8Array) return
  if (typeof source === 'object' && source !== null && Symbol.asyncIterator in source) return
  const advice =
    typeof source === 'string' ? `the string ${JSON.stringify(source)}; openCapture(path) reads a file` : typeof source
  throw new IpvsSyncError('ERR_USAGE', `source: expected a Uint8Array or a stream of them, got ${advice}`, {
    field: 'source'
  })
}

async function* items(
  source: CaptureSource,
  reader: CaptureReader,
  decompress: Decompress | undefined
): AsyncGenerator<CaptureItem, void, undefined> {
  try {
    for await (const chunk of expandCapture(source instanceof Uint8Array ? cut(source) : source, decompress)) {
      yield* reader.push(chunk)
      if (reader.isDamaged) break
    }
  } catch (error) {
    if (!(error instanceof CompressionDamage)) throw error
    yield* reader.end(error.problem)
    return
  }
  yield* reader.end()
}

type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>

/** Compressed data that break off or are wrong: everything before them was given. */
export class CompressionDamage extends Error {
  /** For the end of the reader. */
  readonly problem: Problem

  /** @param reason - What the decompressor found. */
  constructor(reason: string) {
    super(reason)
    this.problem = captureProblem('GZIP_DAMAGED', `the compressed data break off or are wrong: ${reason}`)
  }
}

/**
 * Passes the bytes of a capture on, expanded where they are compressed.
 *
 * @param decompress - The platform's own decompressor; without it gzip alone is expanded, by the web's.
 * @throws {CompressionDamage} Behind the last bytes that could be expanded.
 * @throws {IpvsSyncError} `ERR_CAPTURE` where the compression is not supported.
 */
export async function* expandCapture(
  source: Chunks,
  decompress: Decompress = webDecompress
): AsyncGenerator<Uint8Array, void, undefined> {
  const chunks = joinStart(source)
  try {
    const first = await chunks.next()
    if (first.done === true) return
    const whole = resume(first.value, chunks)
    const compression = compressionOf(first.value)
    if (compression === undefined) {
      yield* whole
      return
    }
    const faults = new SourceFaults(whole)
    const expanded = decompress(compression, faults.chunks())
    if (expanded === undefined) {
      const text = `compressed with ${compression}, which this platform does not expand; try ${compression} -dc FILE | ipvs-sync decode -`
      throw new IpvsSyncError('ERR_CAPTURE', text)
    }
    try {
      yield* expanded
    } catch (error) {
      faults.rethrow()
      throw new CompressionDamage((error as Error).message)
    }
  } finally {
    await chunks.return()
  }
}

/** Tells an error of the source from one of the decompressor that reads it. */
class SourceFaults {
  readonly #source: AsyncIterable<Uint8Array>
  #fault: { readonly error: unknown } | undefined

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source
  }

  async *chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      yield* this.#source
    } catch (error) {
      this.#fault = { error }
      throw error
    }
  }

  rethrow(): void {
    if (this.#fault !== undefined) throw this.#fault.error
  }
}

const webDecompress: Decompress = (compression, chunks) => {
  if (compression !== 'gzip') return undefined
  const iterator = chunks[Symbol.asyncIterator]()
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const result = await iterator.next()
      if (result.done === true) controller.close()
      else controller.enqueue(result.value)
    },
    async cancel() {
      await iterator.return?.()
    }
  })
  return stream.pipeThrough(new DecompressionStream('gzip'))
}

/** The same bytes, with four or more in the first chunk: enough to know a compression. */
async function* joinStart(source: Chunks): AsyncGenerator<Uint8Array, void, undefined> {
  let start: Uint8Array | undefined = new Uint8Array(0)
  for await (const chunk of source) {
    if (start === undefined) yield chunk
    else {
      start = join(start, chunk)
      if (start.length < 4) continue
      yield start
      start = undefined
    }
  }
  if (start !== undefined && start.length > 0) yield start
}

function join(one: Uint8Array, other: Uint8Array): Uint8Array {
  const joined = new Uint8Array(one.length + other.length)
  joined.set(one)
  joined.set(other, one.length)
  return joined
}

async function* resume(
  start: Uint8Array,
  chunks: AsyncGenerator<Uint8Array, void, undefined>
): AsyncGenerator<Uint8Array, void, undefined> {
  yield start
  yield* chunks
}

function* cut(bytes: Uint8Array): Generator<Uint8Array, void, undefined> {
  for (let at = 0; at < bytes.length; at += CHUNK) yield bytes.subarray(at, at + CHUNK)
}
