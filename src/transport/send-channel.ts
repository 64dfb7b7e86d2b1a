/**
 * Sockets of one channel, one for each target, and the datagrams in flight on them.
 *
 * @module
 */

import type { Socket } from 'node:dgram'
import { errorCodeOf } from './udp-errors.js'

/**
 * Maximum number of datagrams in flight. Node passes a datagram to the system at once while the socket's buffer has room, so
 * beyond this number they would queue in memory without bound.
 */
export const MAX_IN_FLIGHT = 32

/** Where a socket sends. */
export interface SendTarget {
  /** Label of the target in reports: `10.9.0.2:8848`. */
  readonly name: string
  readonly address: string
  readonly port: number
}

/** Handlers, called from the event loop and never from inside {@link SendChannel.send}. */
export interface SendChannelHandlers {
  /** The channel was full and is writable again. */
  readonly room: () => void
  /** Returns true if a refused message is kept for another attempt, and so not lost. */
  readonly keep: (bytes: Uint8Array, cause: Error) => boolean
  /** A target refused a message. `isRepeated` if the target's previous failure had the same code. */
  readonly refused: (name: string, cause: Error, isRepeated: boolean) => void
  /** A socket reported an error that belongs to no message. */
  readonly failed: (cause: Error) => void
  /** No target took a message. */
  readonly undelivered: (bytes: Uint8Array) => void
  /** No datagram is in flight. */
  readonly idle: () => void
}

/** A message on its way to every target. */
interface Flight {
  readonly bytes: Uint8Array
  /** Targets that refused it. */
  refusals: number
}

/** Errors of a connected socket whose route or source address has changed: an unconnected one follows the change. */
const STALE_ROUTE = new Set(['EINVAL', 'ENETUNREACH', 'ENETDOWN', 'ENODEV', 'EADDRNOTAVAIL'])

/** Errors that ICMP brings to a connected socket, for a message that was sent before. */
const REFUSALS = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH'])

/** Sends each message to every target, and reports backpressure. */
export class SendChannel {
  readonly #links: readonly Link[]
  readonly #handlers: SendChannelHandlers
  #inFlight = 0
  #isFull = false
  #last: Flight | undefined
  #isUnreachable = false

  /** @param sockets - Bound, with the target of each. */
  constructor(sockets: readonly (readonly [Socket, SendTarget])[], handlers: SendChannelHandlers) {
    this.#handlers = handlers
    this.#links = sockets.map(
      ([socket, target]) =>
        new Link(socket, target, {
          completed: (flight, error, link) => this.#completed(flight, error, link),
          refused: (flight, cause, link) => this.#refuse(flight, cause, link),
          failed: (cause) => this.#handlers.failed(cause)
        })
    )
  }

  /** For closing. */
  get sockets(): readonly Socket[] {
    return this.#links.map(({ socket }) => socket)
  }

  get writable(): boolean {
    return this.#inFlight < MAX_IN_FLIGHT
  }

  /** Datagrams that the system has neither taken nor refused. */
  get inFlight(): number {
    return this.#inFlight
  }

  /** Whether no target took the newest message whose fate is known. */
  get isUnreachable(): boolean {
    return this.#isUnreachable
  }

  /** Sends one message to every target. */
  send(bytes: Uint8Array): void {
    // A refusal by ICMP arrives after the system took the message: the fate of a message is known when the next one leaves.
    if (this.#last !== undefined && this.#last.refusals < this.#links.length) this.#isUnreachable = false
    const flight: Flight = { bytes, refusals: 0 }
    this.#last = flight
    this.#inFlight += this.#links.length
    for (const link of this.#links) link.send(flight)
    this.#isFull = !this.writable
  }

  #completed(flight: Flight, error: Error | null, link: Link): void {
    this.#inFlight -= 1
    if (error !== null && !this.#handlers.keep(flight.bytes, error)) this.#refuse(flight, error, link)
    if (error === null) link.failure = ''
    if (this.#isFull && this.writable) {
      this.#isFull = false
      this.#handlers.room()
    }
    if (this.#inFlight === 0) this.#handlers.idle()
  }

  #refuse(flight: Flight, cause: Error, link: Link): void {
    const code = errorCodeOf(cause)
    this.#handlers.refused(link.target.name, cause, code === link.failure)
    link.failure = code
    flight.refusals += 1
    if (flight.refusals < this.#links.length) return
    this.#isUnreachable = true
    this.#handlers.undelivered(flight.bytes)
  }
}

interface LinkHandlers {
  readonly completed: (flight: Flight, error: Error | null, link: Link) => void
  readonly refused: (flight: Flight, cause: Error, link: Link) => void
  readonly failed: (cause: Error) => void
}

/**
 * One target's socket. It is connected, so that a refusal by ICMP (ECONNREFUSED) is received: as an `error` event, or as the
 * result of the next send, which the system then has not performed.
 */
class Link {
  readonly socket: Socket
  readonly target: SendTarget
  /** Code of the last failure; empty after a success. */
  failure = ''
  readonly #handlers: LinkHandlers
  readonly #done: (error: Error | null) => void
  /** In flight: the system completes datagrams in their order. */
  readonly #flights: Flight[] = []
  /** The last message that the system took, while nothing is known against it. */
  #taken: Flight | undefined
  #isRetried = false
  #isConnected: boolean

  constructor(socket: Socket, target: SendTarget, handlers: LinkHandlers) {
    this.socket = socket
    this.#isConnected = isConnected(socket)
    this.target = target
    this.#handlers = handlers
    // One function for all datagrams: a closure for each costs more than the sending.
    this.#done = (error) => this.#completed(error)
    socket.on('error', (cause: Error) => {
      if (REFUSALS.has(errorCodeOf(cause))) this.#refuseTaken(cause)
      else handlers.failed(cause)
    })
  }

  send(flight: Flight): void {
    this.#flights.push(flight)
    this.#transmit(flight.bytes)
  }

  #transmit(bytes: Uint8Array): void {
    const { address, port } = this.target
    if (this.#isConnected) this.socket.send(bytes, this.#done)
    else this.socket.send(bytes, port, address, this.#done)
  }

  #completed(error: Error | null): void {
    const flight = this.#flights.shift()!
    const code = error === null ? '' : errorCodeOf(error)
    if (code === 'ECONNREFUSED' && this.#taken !== undefined && !this.#isRetried) {
      // The error is that of the message before this one.
      this.#refuseTaken(error!)
      this.#isRetried = true
      this.#flights.push(flight)
      this.#transmit(flight.bytes)
      return
    }
    this.#isRetried = false
    if (error === null) {
      this.#taken = flight
      if (!this.#isConnected && this.#flights.length === 0) this.#connect()
    } else if (this.#isConnected && STALE_ROUTE.has(code)) {
      this.socket.disconnect()
      this.#isConnected = false
    }
    this.#handlers.completed(flight, error, this)
  }

  /** The address is a number, so Node connects before this returns; the callback only tells what is known then. */
  #connect(): void {
    this.socket.connect(this.target.port, this.target.address, () => undefined)
    this.#isConnected = isConnected(this.socket)
  }

  #refuseTaken(cause: Error): void {
    const flight = this.#taken
    this.#taken = undefined
    if (flight !== undefined) this.#handlers.refused(flight, cause, this)
  }
}

function isConnected(socket: Socket): boolean {
  try {
    socket.remoteAddress()
    return true
  } catch {
    return false
  }
}
