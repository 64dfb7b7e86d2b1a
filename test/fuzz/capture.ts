/**
 * Mutated capture files: whatever the bytes, the reader gives items or the one documented error, in time and memory that
 * the file's size bounds.
 */

import { generator } from './random.js'

/** The part of `CaptureReader` that is fuzzed: the caller passes the one it wants tested. */
interface Reader {
  push(chunk: Uint8Array): readonly { readonly kind: string }[]
  end(): readonly { readonly kind: string }[]
}

export interface CaptureFuzzOptions {
  /** Makes the reader under test. */
  readonly createReader: () => Reader
  /** Sound captures to start from. */
  readonly seeds: readonly Uint8Array[]
  /** What to do with each datagram's payload besides; it must not throw. */
  readonly decode?: (payload: Uint8Array) => unknown
  readonly runs: number
  readonly seed: number
}

export interface CaptureFuzzResult {
  readonly files: number
  readonly datagrams: number
  readonly problems: number
  readonly refused: number
}

/** Runs the mutations; an exception that is not documented is thrown on with the run's number and the seed in its message. */
export function fuzzCaptures(options: CaptureFuzzOptions): CaptureFuzzResult {
  const random = generator(options.seed)
  const result = { files: 0, datagrams: 0, problems: 0, refused: 0 }
  for (let run = 0; run < options.runs; run += 1) {
    const file = mutate(options.seeds[pick(random, options.seeds.length)]!, options.seeds, random)
    try {
      readOnce(file, options, random, result)
    } catch (error) {
      if (isDocumented(error)) result.refused += 1
      else
        throw new Error(`run ${run} of seed ${options.seed}: ${Buffer.from(file).toString('base64')}`, { cause: error })
    }
    result.files += 1
  }
  return result
}

function readOnce(
  file: Uint8Array,
  { createReader, decode }: CaptureFuzzOptions,
  random: () => number,
  result: { datagrams: number; problems: number }
): void {
  const reader = createReader()
  let items = 0
  const take = (taken: readonly { readonly kind: string }[]): void => {
    for (const item of taken) {
      items += 1
      if (item.kind !== 'datagram') result.problems += 1
      else {
        result.datagrams += 1
        decode?.((item as unknown as { payload: Uint8Array }).payload)
      }
    }
  }
  for (let at = 0; at < file.length;) {
    const size = 1 + pick(random, 4096)
    take(reader.push(file.slice(at, at + size)))
    at += size
  }
  take(reader.end())
  // The smallest block of pcapng has 12 bytes, and no block gives more than one item.
  if (items > file.length / 12 + 16) throw new Error(`${items} items from ${file.length} bytes`)
}

function isDocumented(error: unknown): boolean {
  return (
    error instanceof Error &&
    error.name === 'IpvsSyncError' &&
    (error as Error & { code: string }).code === 'ERR_CAPTURE'
  )
}

const INTERESTING = [0, 1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 0x7f, 0x80, 0xff]

function mutate(seed: Uint8Array, seeds: readonly Uint8Array[], random: () => number): Uint8Array {
  let file = seed.slice()
  for (let count = 1 + pick(random, 6); count > 0; count -= 1) {
    const at = pick(random, file.length)
    const kind = pick(random, 6)
    if (kind === 0) file[at] = pick(random, 256)
    else if (kind === 1) file[at] = INTERESTING[pick(random, INTERESTING.length)]!
    else if (kind === 2) file = file.slice(0, at)
    else if (kind === 3) file = join(file.subarray(0, at), file.subarray(at + 1 + pick(random, 64)))
    else if (kind === 4) file = join(file.subarray(0, at), file.subarray(pick(random, at + 1), at), file.subarray(at))
    else {
      const other = seeds[pick(random, seeds.length)]!
      file = join(file.subarray(0, at), other.subarray(pick(random, other.length)))
    }
  }
  return file
}

function join(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(
    Math.min(
      parts.reduce((sum, part) => sum + part.length, 0),
      200_000
    )
  )
  let at = 0
  for (const part of parts) {
    joined.set(part.subarray(0, joined.length - at), at)
    at = Math.min(at + part.length, joined.length)
  }
  return joined
}

function pick(random: () => number, count: number): number {
  return Math.floor(random() * count)
}
