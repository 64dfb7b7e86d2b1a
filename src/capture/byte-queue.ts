/**
 * Bytes that have come and are not read yet.
 *
 * @module
 */

/** Room for what is left of one chunk and the next, without growing in the usual case. */
const FIRST_CAPACITY = 65_536

/**
 * A queue of bytes: chunks go in at the end, a parser reads and takes from the front. A chunk that comes while the
 * queue is empty is read where it stands; what is left of it is copied by {@link ByteQueue.retain}.
 */
export class ByteQueue {
  /** Where the unread bytes are, from {@link ByteQueue.start} to {@link ByteQueue.end}. Changes with each append. */
  bytes: Uint8Array = new Uint8Array(0)
  /** A view over {@link ByteQueue.bytes}, with the same offsets. */
  view: DataView = new DataView(new ArrayBuffer(0))
  /** Index of the first unread byte. */
  start = 0
  /** Index after the last unread byte. */
  end = 0
  /** Bytes taken since the beginning: the position in the file of the first unread byte. */
  position = 0
  #owned = new Uint8Array(0)

  /** How many bytes wait. */
  get length(): number {
    return this.end - this.start
  }

  /** Takes a chunk in. It must not change until {@link ByteQueue.retain}. */
  append(chunk: Uint8Array): void {
    if (this.length === 0) {
      this.#use(chunk, 0, chunk.length)
      return
    }
    this.#makeRoom(chunk.length)
    this.bytes.set(chunk, this.end)
    this.end += chunk.length
  }

  /** Takes bytes off the front. */
  skip(count: number): void {
    this.start += count
    this.position += count
  }

  /** Copies what is left of a caller's chunk, so that the caller may use it again. */
  retain(): void {
    if (this.bytes !== this.#owned) this.#makeRoom(0)
  }

  #makeRoom(count: number): void {
    const length = this.length
    if (this.bytes === this.#owned && this.end + count <= this.#owned.length) return
    const source = this.bytes.subarray(this.start, this.end)
    // Moving down only when half is free keeps the copying of many small chunks linear.
    if ((length + count) * 2 > this.#owned.length) {
      this.#owned = new Uint8Array(Math.max(FIRST_CAPACITY, (length + count) * 2))
      this.#owned.set(source)
    } else if (this.bytes === this.#owned) {
      this.#owned.copyWithin(0, this.start, this.end)
    } else {
      this.#owned.set(source)
    }
    this.#use(this.#owned, 0, length)
  }

  #use(bytes: Uint8Array, start: number, end: number): void {
    if (bytes !== this.bytes) this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.bytes = bytes
    this.start = start
    this.end = end
  }
}
