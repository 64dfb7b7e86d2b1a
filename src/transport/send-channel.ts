/**
 * One channel's socket with what is in flight on it.
 *
 * @module
 */

import type { Socket } from 'node:dgram'
import { errorCodeOf } from './udp-errors.js'

/**
 * Datagrams that may be on their way into the system at a time. Past it the socket's own buffer is full (Node sends at
 * once as long as there is room), and what more were handed over would queue in memory without bound.
 */
export const MAX_IN_FLIGHT = 32

/** Where a datagram goes; undefined where the socket is connected. */
export interface SendTarget {
  readonly address: string
  readonly port: number
}

/** Listeners. */
export interface SendChannelHandlers {
  /** It was full, and has room again. */
  readonly room: () => void
  /** A datagram of a connected socket was refused; true if it is kept, and so not lost. */
  readonly keep: (bytes: Uint8Array, cause: Error) => boolean
  /** A datagram was lost to an error; the next one of the same code in a row is not told. */
  readonly failed: (cause: Error) => void
  /** Nothing is in flight any more. */
  readonly idle: () => void
}

/** Sends datagrams on one socket, and says when to hold back. */
export class SendChannel {
  /** The socket, for closing. */
  readonly socket: Socket
  readonly #targets: readonly SendTarget[]
  readonly #handlers: SendChannelHandlers
  readonly #done: (error: Error | null) => void
  /** What is in flight on a connected socket: the system completes datagrams in their order. */
  readonly #sent: Uint8Array[] = []
  #inFlight = 0
  #full = false
  #lastFailure = ''

  /**
   * @param socket - Bound; connected if there are no targets.
   * @param targets - Every datagram goes to each of them.
   * @param handlers - Called from the event loop, never from inside {@link send}.
   */
  constructor(socket: Socket, targets: readonly SendTarget[], handlers: SendChannelHandlers) {
    this.socket = socket
    this.#targets = targets
    this.#handlers = handlers
    // One function for all datagrams: a closure for each would cost more than the sending.
    this.#done = (error) => {
      this.#inFlight -= 1
      const bytes = this.#sent.shift()
      const kept = error !== null && bytes !== undefined && this.#handlers.keep(bytes, error)
      if (!kept) {
        const failure = error === null ? '' : errorCodeOf(error)
        if (error !== null && failure !== this.#lastFailure) this.#handlers.failed(error)
        this.#lastFailure = failure
      }
      if (this.#full && this.writable) {
        this.#full = false
        this.#handlers.room()
      }
      if (this.#inFlight === 0) this.#handlers.idle()
    }
  }

  /** Whether there is room. */
  get writable(): boolean {
    return this.#inFlight < MAX_IN_FLIGHT
  }

  /** Datagrams that have neither left nor failed. */
  get inFlight(): number {
    return this.#inFlight
  }

  /** Sends one message to every target. */
  send(bytes: Uint8Array): void {
    if (this.#targets.length === 0) {
      this.#inFlight += 1
      this.#sent.push(bytes)
      this.socket.send(bytes, this.#done)
    } else {
      this.#inFlight += this.#targets.length
      for (const { address, port } of this.#targets) this.socket.send(bytes, port, address, this.#done)
    }
    this.#full = !this.writable
  }
}
