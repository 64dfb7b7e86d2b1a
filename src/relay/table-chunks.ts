/**
 * A whole table in chunks, with a manifest at the end.
 *
 * ```
 *  0 u8 version = 1   1 u8 kind: 1 begin, 2 data, 3 manifest   2 u32 number of the chunk, from 0
 *  6 data: u16 length and a sync message, repeated; manifest: JSON; begin: nothing
 * ```
 * Integers are big-endian. The manifest has the number of data chunks, of messages and of connections, the SHA-256 of all
 * data, and for each origin and channel the sequence that follows the table: live messages continue from there.
 *
 * @module
 */

import { createHash } from 'node:crypto'
import type { Bytes } from '../units.js'

/** Where live messages of an origin's channel continue. */
export interface Position {
  readonly site: string
  /** 16 hexadecimal digits. */
  readonly id: string
  readonly channel: number
  readonly next: number
}

/** What a table consists of. */
export interface Manifest {
  readonly chunks: number
  readonly messages: number
  readonly connections: number
  /** SHA-256 of the data of all chunks, hexadecimal. */
  readonly sha256: string
  readonly positions: readonly Position[]
}

/** A table to send. */
export interface TableContents {
  /** Of the time at which the table began. */
  readonly positions: readonly Position[]
  /** Messages and how many connections each has; undefined between slices of work. */
  readonly messages: Iterable<{ readonly bytes: Uint8Array; readonly connections: number } | undefined>
}

const VERSION = 1
const HEAD = 6
const KIND = { BEGIN: 1, DATA: 2, MANIFEST: 3 } as const

function chunk(kind: number, number: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEAD + body.length)
  bytes.set([VERSION, kind])
  new DataView(bytes.buffer).setUint32(2, number)
  bytes.set(body, HEAD)
  return bytes
}

/** The chunk that announces a table: its sender may have to read its kernel's table first. */
export const BEGIN_CHUNK: Uint8Array = chunk(KIND.BEGIN, 0, new Uint8Array())

/**
 * Yields the data chunks of a table and its manifest; undefined between slices of work.
 *
 * @param contents - The table.
 * @param limit - Bytes of the largest chunk; more than one message needs.
 */
export function* encodeTable(contents: TableContents, limit: Bytes): Generator<Uint8Array | undefined> {
  const hash = createHash('sha256')
  const body = new Uint8Array(limit - HEAD)
  let [length, chunks, messages, connections] = [0, 0, 0, 0]
  const take = (): Uint8Array => {
    const data = body.subarray(0, length)
    hash.update(data)
    length = 0
    return chunk(KIND.DATA, chunks++, data)
  }
  for (const message of contents.messages) {
    if (message === undefined) {
      yield undefined
      continue
    }
    const { bytes } = message
    if (length + 2 + bytes.length > body.length) yield take()
    body.set([bytes.length >> 8, bytes.length & 255], length)
    body.set(bytes, length + 2)
    length += 2 + bytes.length
    messages++
    connections += message.connections
  }
  if (length > 0) yield take()
  const { positions } = contents
  const manifest: Manifest = { chunks, messages, connections, sha256: hash.digest('hex'), positions }
  yield chunk(KIND.MANIFEST, chunks, new TextEncoder().encode(JSON.stringify(manifest)))
}

/** Assembles the chunks of one table, in the order in which they were sent. */
export class TableAssembly {
  readonly #hash = createHash('sha256')
  #chunks = 0
  #messages = 0
  #bytes = 0

  /** Bytes of data received. */
  get bytes(): Bytes {
    return this.#bytes
  }

  /**
   * Handles a chunk.
   *
   * @returns The messages of a data chunk (views into `bytes`), the manifest where the table is complete, or undefined where
   * a chunk is missing or malformed, or the manifest does not match: the table is of no use then.
   */
  handle(
    bytes: Uint8Array
  ): { readonly messages: readonly Uint8Array[] } | { readonly manifest: Manifest } | undefined {
    if (bytes.length < HEAD || bytes[0] !== VERSION) return undefined
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const body = bytes.subarray(HEAD)
    if (bytes[1] === KIND.BEGIN) return this.#chunks === 0 ? { messages: [] } : undefined
    if (view.getUint32(2) !== this.#chunks) return undefined
    if (bytes[1] === KIND.MANIFEST) {
      try {
        const manifest = JSON.parse(new TextDecoder().decode(body)) as Partial<Manifest> | null
        const { chunks, messages, connections, sha256 } = manifest ?? {}
        const isWhole = chunks === this.#chunks && messages === this.#messages && sha256 === this.#hash.digest('hex')
        return isWhole && Number.isSafeInteger(connections) ? { manifest: manifest as Manifest } : undefined
      } catch {
        return undefined
      }
    }
    if (bytes[1] !== KIND.DATA) return undefined
    const messages: Uint8Array[] = []
    for (let at = 0; at < body.length;) {
      const end = at + 2 + (at + 2 <= body.length ? view.getUint16(HEAD + at) : 0)
      if (end > body.length || end === at + 2) return undefined
      messages.push(body.subarray(at + 2, end))
      at = end
    }
    this.#chunks++
    this.#messages += messages.length
    this.#bytes += body.length
    this.#hash.update(body)
    return { messages }
  }
}
