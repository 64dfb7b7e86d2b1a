/**
 * The bounded queue of closed messages between a channel's buffer and its socket (docs/protocol.md section 9).
 *
 * @module
 */

import type { Datagram } from '../engine.js'

export type { Datagram } from '../engine.js'

/** First in, first out. Takes and gives in constant time; memory follows what is held. */
export class SendQueue {
  #items: (Datagram | undefined)[] = []
  #head = 0

  #connections = 0

  /** Connections in the messages held. */
  get connections(): number {
    return this.#connections
  }

  /** Messages held. */
  get length(): number {
    return this.#items.length - this.#head
  }

  /** Adds a message behind all others. The caller has looked at {@link SendQueue.length} first. */
  push(datagram: Datagram): void {
    this.#items.push(datagram)
    this.#connections += datagram.connections
  }

  /** Takes the oldest message, or nothing. */
  shift(): Datagram | undefined {
    if (this.length === 0) return undefined
    const datagram = this.#items[this.#head]!
    this.#connections -= datagram.connections
    this.#items[this.#head++] = undefined
    if (this.#head === this.#items.length || this.#head >= 1024) this.#compact()
    return datagram
  }

  /** Removes everything. */
  clear(): void {
    this.#items = []
    this.#head = 0
    this.#connections = 0
  }

  /** Dropping the emptied front only now and then keeps a take at constant cost on average. */
  #compact(): void {
    if (this.#head < this.#items.length / 2) return
    this.#items = this.#items.slice(this.#head)
    this.#head = 0
  }
}
