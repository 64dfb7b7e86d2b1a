/**
 * Reading captures from bytes or a stream: the folder's entry point.
 *
 * @module
 */

import { CaptureReader } from './capture-reader.js'
import { isGzip } from './formats.js'
import { GzipDamage, gunzip } from './gunzip.js'
import type { CaptureCounts, CaptureItem, ReadCaptureOptions } from './items.js'
import { captureProblem } from './problems.js'

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
 * Reads a capture: pcap or pcapng, also in gzip. Gives the UDP datagrams in it, fragments put together, and what is
 * wrong with the file and its packets as problems: reading never throws over damage. Streaming: datagrams come as their
 * bytes do, and memory does not grow with the file.
 *
 * UDP checksums are not checked: where a network card computes them, a capture on the sender holds wrong ones.
 *
 * @param source - The bytes, or a stream of them. A stream's own errors are thrown on.
 * @param options - Which ports, and how much may wait for fragments.
 * @throws {IpvsSyncError} `ERR_CONFIG` at once when a port or range is none. `ERR_CAPTURE` while iterating when the
 *   source is no capture (empty, text), or of a link type that is not read.
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
  const reader = new CaptureReader(options)
  return {
    get counts(): CaptureCounts {
      return reader.counts
    },
    [Symbol.asyncIterator]: () => oneByOne(readBatches(source instanceof Uint8Array ? cut(source) : source, reader))
  }
}

type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>

/**
 * The same, a chunk's items at a time: a turn of the event loop's small tasks for each chunk, not for each datagram.
 *
 * @param reader - New; its counts are those of what was read.
 * @throws {IpvsSyncError} `ERR_CAPTURE` while iterating, as {@link readCapture}.
 */
export async function* readBatches(
  source: Chunks,
  reader: CaptureReader
): AsyncGenerator<readonly CaptureItem[], void, undefined> {
  try {
    for await (const chunk of expand(source)) {
      yield reader.push(chunk)
      if (reader.isDamaged) break
    }
  } catch (error) {
    if (!(error instanceof GzipDamage)) throw error
    yield reader.end(captureProblem('GZIP_DAMAGED', `the gzip data break off or are wrong: ${error.message}`))
    return
  }
  yield reader.end()
}

async function* oneByOne(batches: AsyncIterable<readonly CaptureItem[]>): AsyncGenerator<CaptureItem, void, undefined> {
  for await (const batch of batches) yield* batch
}

/** Passes the bytes on, expanded where they are gzip. */
async function* expand(source: Chunks): AsyncGenerator<Uint8Array, void, undefined> {
  const chunks = joinStart(source)
  try {
    const first = await chunks.next()
    if (first.done === true) return
    const whole = resume(first.value, chunks)
    yield* isGzip(first.value) ? gunzip(whole) : whole
  } finally {
    await chunks.return()
  }
}

/** The same bytes, with two or more in the first chunk: enough to know gzip. */
async function* joinStart(source: Chunks): AsyncGenerator<Uint8Array, void, undefined> {
  let start: Uint8Array | undefined = new Uint8Array(0)
  for await (const chunk of source) {
    if (start === undefined) yield chunk
    else {
      start = join(start, chunk)
      if (start.length < 2) continue
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
