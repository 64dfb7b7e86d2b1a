/**
 * The sockets of all channels: opened together or not at all, closed together.
 *
 * @module
 */

import type { Socket, SocketOptions } from 'node:dgram'
import type { NetworkSystem } from './system.js'

/** Where a socket is bound. */
export interface BindTo {
  readonly address?: string
  readonly port: number
}

/**
 * Opens one socket for each place.
 *
 * @throws The error of the first `open` that failed; the others are closed then.
 */
export async function openAll<T>(places: readonly T[], open: (place: T) => Promise<Socket>): Promise<Socket[]> {
  const outcomes = await Promise.allSettled(places.map((place) => open(place)))
  const sockets = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
  const failed = outcomes.find((outcome) => outcome.status === 'rejected')
  if (failed === undefined) return sockets
  await closeAll(sockets)
  throw failed.reason
}

/** Closes sockets; resolves when all are closed. */
export async function closeAll(sockets: readonly Socket[]): Promise<void> {
  await Promise.all(sockets.map((socket) => new Promise<void>((resolve) => socket.close(resolve))))
}

/**
 * Makes and binds a socket, then lets `prepare` set it up. If either fails the socket is closed.
 *
 * @param system - Makes it.
 * @param options - Its family and whether it shares its port.
 * @param at - Where it is bound.
 * @param prepare - Runs when it is bound: groups, buffers, connecting.
 * @throws What binding or preparing threw, unexplained.
 */
export async function openSocket(
  system: NetworkSystem,
  options: SocketOptions,
  at: BindTo,
  prepare: (socket: Socket) => void | Promise<void>
): Promise<Socket> {
  // Addresses are given as numbers, so the look-up that dgram does for each datagram can be skipped.
  const socket = system.createSocket({ ...options, lookup: (address, _, done) => done(null, address, 0) })
  try {
    await outcomeOf(socket, (done) => socket.bind({ ...at, exclusive: true }, done))
    await prepare(socket)
    return socket
  } catch (cause) {
    await closeAll([socket])
    throw cause
  }
}

/**
 * Waits for a socket's operation: its callback, or the socket's next error.
 *
 * @param socket - Whose `error` counts as a failure of the operation.
 * @param operate - Starts it. `bind` reports a failure by an event, `connect` through its callback.
 */
export async function outcomeOf(socket: Socket, operate: (done: (error?: Error) => void) => void): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    operate((error) => {
      socket.off('error', reject)
      if (error === undefined) resolve()
      else reject(error)
    })
  })
}
