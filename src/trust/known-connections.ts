/**
 * Connections that current messages had, to leave them out of an older message: a repair or a whole table never brings back
 * an older state.
 *
 * @module
 */

import type { Connection } from '../wire/connection.js'
import { decodeMessage } from '../wire/decode-message.js'
import { encodeMessage } from '../wire/encode-message.js'

/** Connections that are remembered, at most; later ones are not. */
const MAX_KNOWN = 500_000

/** The keys of connections in messages. */
export class KnownConnections {
  readonly #keys = new Set<string>()

  /** Remembers the connections of a message. */
  add(message: Uint8Array): void {
    for (const connection of decodeMessage(message).connections)
      if (this.#keys.size < MAX_KNOWN) this.#keys.add(keyOf(connection))
  }

  /**
   * Returns an older message without the known connections.
   *
   * @returns Undefined in place of a message where none of its connections remains; a message without any stays.
   */
  without(message: Uint8Array): { readonly message: Uint8Array | undefined; readonly omitted: number } {
    if (this.#keys.size === 0) return { message, omitted: 0 }
    const { version, syncid, connections } = decodeMessage(message)
    const current = connections.filter((connection) => !this.#keys.has(keyOf(connection)))
    const omitted = connections.length - current.length
    if (omitted === 0) return { message, omitted }
    const rest = current.length === 0 ? undefined : encodeMessage({ version, syncid, connections: current })
    return { message: rest, omitted }
  }
}

function keyOf({ family, protocol, client, virtual, flags, fwmark }: Connection): string {
  const template = flags.includes('TEMPLATE') ? `template ${fwmark ?? 0}` : ''
  return `${family} ${protocol} ${client.address} ${client.port} ${virtual.address} ${virtual.port} ${template}`
}
