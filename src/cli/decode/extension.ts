/**
 * What this package sends behind the connections of a message, where kernels never look: the trailer of a sealed message,
 * and the messages of agents and of repair, which hold no connections (docs/protocol.md section 14).
 *
 * @module
 */

import { decodeAgentMessage } from '../../agent/protocol/messages.js'
import { decodeRepairMessage } from '../../trust/repair-messages.js'
import { findTrailer, removeTrailer, TRAILER_LENGTH } from '../../trust/trailer.js'

/** The extension of one message. Its keys are those of the message in JSON. */
export interface Extension {
  /** The trailer of a sealed message. Nothing is verified: that takes the key. */
  readonly seal?: {
    /** Hex digits. */
    readonly key: string
    readonly sender: string
    readonly channel: number
    readonly sequence: number
    readonly time: string
  }
  /** A message between this package's programs. */
  readonly control?: { readonly protocol: 'agent' | 'repair'; readonly kind: string }
}

/**
 * Recognises what stands behind the connections.
 *
 * @param payload - The message.
 * @param end - Index after its last connection.
 * @returns Undefined where it is anything else.
 */
export function extensionOf(payload: Uint8Array, end: number): Extension | undefined {
  const trailer = findTrailer(payload)
  const isSealed = trailer !== undefined && payload.length - TRAILER_LENGTH >= end
  const rest = isSealed ? payload.length - TRAILER_LENGTH : payload.length
  const seal = isSealed && {
    key: trailer.keyId.toString(16).padStart(8, '0'),
    sender: trailer.sender.toString(16).padStart(16, '0'),
    channel: trailer.channel,
    sequence: trailer.sequence,
    time: new Date(trailer.time).toISOString()
  }
  if (rest === end) return seal === false ? undefined : { seal }
  const message = isSealed ? removeTrailer(payload) : payload
  const repair = decodeRepairMessage(message)?.kind
  const kind = repair ?? decodeAgentMessage(message)?.kind
  if (kind === undefined) return undefined
  const control = { protocol: repair === undefined ? 'agent' : 'repair', kind } as const
  return seal === false ? { control } : { seal, control }
}

/** `agent hello, sealed by 0123456789abcdef (key 89abcdef, sequence 12)`. */
export function extensionText({ seal, control }: Extension): string {
  const parts: string[] = []
  if (control !== undefined) parts.push(`${control.protocol} ${control.kind}`)
  if (seal !== undefined) parts.push(`sealed by ${seal.sender} (key ${seal.key}, sequence ${seal.sequence})`)
  return parts.join(', ')
}
