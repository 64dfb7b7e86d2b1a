/**
 * Carries messages from a master's engine to its transport, and holds back channels that take no more.
 *
 * @module
 */

import type { Datagram } from '../engine/engine.js'
import type { SendingTransport } from '../transport/transport.js'

/** The outgoing side of a master's engine. */
export interface MessageSource {
  /** The next message of a channel that may leave now. */
  pollTransmit(channel: number): Datagram | undefined
  /** The channel's socket is full, or no longer. */
  hold(channel: number, held: boolean): void
}

/**
 * Carries all that may leave now.
 *
 * @param source - Gives messages; is notified of each full channel, and keeps its messages.
 * @param transport - Takes messages as long as it is writable.
 */
export function carryMessages(source: MessageSource, transport: SendingTransport): void {
  for (let channel = 0; channel < transport.channels; channel++) {
    source.hold(channel, !transport.writable(channel))
    // A channel that is held gives nothing.
    for (let next = source.pollTransmit(channel); next !== undefined; next = source.pollTransmit(channel)) {
      transport.send(channel, next.bytes)
      source.hold(channel, !transport.writable(channel))
    }
  }
}
