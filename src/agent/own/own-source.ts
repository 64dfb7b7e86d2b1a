/**
 * A way to receive what this host's kernel announces as master: multicast loopback keeps it from the agent's own sockets.
 *
 * @module
 */

import type { From } from '../../engine/events.js'

/** Receives what a source delivers. `onEnd` is called once, after which the source is silent. */
export interface OwnSourceHandlers {
  /** Everything that is announced from now on is delivered. */
  readonly onUp: () => void
  /** The kernel's master, or this agent, sent a datagram. Its bytes are the receiver's to keep. */
  readonly onDatagram: (bytes: Uint8Array, from: From) => void
  /** Datagrams lost on this host so far. */
  readonly onDrops: (total: number) => void
  /** The source ended or could not start; what is announced from now on is missed. */
  readonly onEnd: (code: string, text: string) => void
}

/** An open source. */
export interface OwnSource {
  /** Requests the number of lost datagrams, which `onDrops` receives. */
  poll(): void
  /** Ends the source without `onEnd`. */
  close(): Promise<void>
}

/** Opens a source; failures are reported by `onEnd`. */
export type OpenOwnSource = (handlers: OwnSourceHandlers) => OwnSource
