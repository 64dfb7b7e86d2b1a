/**
 * Expanding gzip through the platform's `DecompressionStream`.
 *
 * @module
 */

/**
 * Compressed bytes handed over at a time. A write of this size, and not a smaller one, waits until it has been worked
 * through: no stream of Node's buffers more by default. It expands to 64 MiB at the very most, so a bomb cannot fill the
 * memory.
 */
const SLICE = 65_536

/** What went wrong, after all that could be expanded has been given. */
export class GzipDamage extends Error {
  /** Always `GzipDamage`. */
  override readonly name = 'GzipDamage'
}

/**
 * Expands gzip, giving all that can be expanded also where the data break off.
 *
 * An errored stream throws away what it has not handed out yet, and what a slice expands to that is still queued when
 * the stream is closed. So one loop reads without pause into a list, and slices are all full but the last, which then
 * finds the stream idle: when the end of broken data raises the error, everything is in the list. Where bytes are wrong,
 * the stream keeps the last 16 KiB before them to itself: of data that fit a single slice they are won back.
 *
 * @throws {GzipDamage} After the last good byte, where the data are broken or end early.
 */
export async function* gunzip(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const stream = new Expansion()
  let given = 0
  let first: Uint8Array<ArrayBuffer> | undefined
  let isSingle = true
  try {
    for await (const slice of slices(chunks)) {
      isSingle = first === undefined
      first ??= slice
      if (!(await stream.write(slice))) break
      for (const piece of stream.take()) {
        given += piece.length
        yield piece
      }
    }
    const failure = await stream.end()
    yield* stream.take()
    if (failure === undefined) return
    if (isSingle && first !== undefined && !isEarlyEnd(failure)) yield* skip(await expandSound(first), given)
    throw new GzipDamage(String(failure))
  } finally {
    await stream.cancel()
  }
}

/** One run of the platform's stream, read without pause. */
class Expansion {
  readonly #expanded: Uint8Array[] = []
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  readonly #writer: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>
  readonly #reading: Promise<Error | undefined>

  constructor() {
    const { readable, writable } = new DecompressionStream('gzip')
    this.#reader = readable.getReader() as ReadableStreamDefaultReader<Uint8Array>
    this.#writer = writable.getWriter()
    this.#reading = readAll(this.#reader, this.#expanded)
  }

  /** Whether the bytes were taken. */
  async write(bytes: Uint8Array<ArrayBuffer>): Promise<boolean> {
    return succeeds(this.#writer.write(bytes))
  }

  /** What has been expanded since it was last asked for. */
  take(): Uint8Array[] {
    return this.#expanded.splice(0)
  }

  /** No more bytes come: gives what was wrong with them, if anything. */
  async end(): Promise<Error | undefined> {
    await succeeds(this.#writer.close())
    return this.#reading
  }

  async cancel(): Promise<void> {
    await this.#reader.cancel().catch(() => undefined)
  }
}

/** What the longest part of wrong data expands to that is sound: found by halving, as no stream tells the place. */
async function expandSound(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array[]> {
  let sound = 0
  let wrong = bytes.length
  let expanded: Uint8Array[] = []
  while (wrong - sound > 1) {
    const middle = (sound + wrong) >> 1
    const stream = new Expansion()
    await stream.write(bytes.slice(0, middle))
    if (isEarlyEnd(await stream.end())) {
      sound = middle
      expanded = stream.take()
    } else wrong = middle
  }
  return expanded
}

/** Whether data only break off, and are sound until then: zlib's own code for it. */
function isEarlyEnd(failure: (Error & { readonly code?: unknown }) | undefined): boolean {
  return failure?.code === 'Z_BUF_ERROR'
}

function* skip(pieces: readonly Uint8Array[], count: number): Generator<Uint8Array, void, undefined> {
  let left = count
  for (const piece of pieces) {
    yield piece.subarray(Math.min(left, piece.length))
    left = Math.max(0, left - piece.length)
  }
}

/** The same bytes in slices of one size, all copies: the stream works on them after the caller may have used his memory again. */
async function* slices(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  let slice = new Uint8Array(SLICE)
  let filled = 0
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length;) {
      const part = chunk.subarray(at, at + SLICE - filled)
      slice.set(part, filled)
      filled += part.length
      at += part.length
      if (filled < SLICE) continue
      yield slice
      slice = new Uint8Array(SLICE)
      filled = 0
    }
  }
  if (filled > 0) yield slice.subarray(0, filled)
}

/** Reads to the end; gives the error that ended it, if one did. */
async function readAll(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  into: Uint8Array[]
): Promise<Error | undefined> {
  try {
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return undefined
      into.push(value)
    }
  } catch (error) {
    return error as Error
  }
}

async function succeeds(promise: Promise<unknown>): Promise<boolean> {
  return promise.then(
    () => true,
    () => false
  )
}
