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
 * finds the stream idle: when the end of broken data raises the error, everything is in the list.
 *
 * @throws {GzipDamage} After the last good byte, where the data are broken or end early.
 */
export async function* gunzip(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const { readable, writable } = new DecompressionStream('gzip')
  const reader = readable.getReader() as ReadableStreamDefaultReader<Uint8Array>
  const writer = writable.getWriter()
  const expanded: Uint8Array[] = []
  const reading = readAll(reader, expanded)
  try {
    for await (const slice of slices(chunks)) {
      if (!(await succeeds(writer.write(slice)))) break
      yield* expanded.splice(0)
    }
    await succeeds(writer.close())
    const failure = await reading
    yield* expanded.splice(0)
    if (failure !== undefined) throw new GzipDamage(failure)
  } finally {
    await reader.cancel().catch(() => undefined)
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

/** Reads to the end; gives the text of the error that ended it, if one did. */
async function readAll(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  into: Uint8Array[]
): Promise<string | undefined> {
  try {
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return undefined
      into.push(value)
    }
  } catch (error) {
    return String(error)
  }
}

async function succeeds(promise: Promise<unknown>): Promise<boolean> {
  return promise.then(
    () => true,
    () => false
  )
}
