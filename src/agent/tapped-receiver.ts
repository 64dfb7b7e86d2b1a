/**
 * A receiving transport with somebody who hears every datagram first.
 *
 * @module
 */

import type { ReceivingTransport, SealReport, Sender, TransportHandlers } from '../transport/transport.js'

/** Hears a datagram; true keeps it from whoever the transport belongs to. */
export type Tap = (bytes: Uint8Array, from: Sender) => boolean

/** Passes everything on but what its tap keeps. */
export class TappedReceiver implements ReceivingTransport {
  readonly channels: number
  readonly description: string
  readonly #inner: ReceivingTransport
  readonly #tap: Tap

  /**
   * @param inner - Brings the datagrams; is started and closed by this one.
   * @param tap - Hears them first.
   */
  constructor(inner: ReceivingTransport, tap: Tap) {
    this.channels = inner.channels
    this.description = inner.description
    this.#inner = inner
    this.#tap = tap
  }

  async start(handlers: TransportHandlers): Promise<void> {
    await this.#inner.start({
      ...handlers,
      onDatagram: (bytes, from, channel) => {
        if (!this.#tap(bytes, from)) handlers.onDatagram?.(bytes, from, channel)
      }
    })
  }

  async close(): Promise<void> {
    await this.#inner.close()
  }

  receiveDrops(): number | undefined {
    return this.#inner.receiveDrops()
  }

  sealReport(): SealReport | undefined {
    return this.#inner.sealReport?.()
  }
}
