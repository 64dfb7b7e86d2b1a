/**
 * A datagram of a capture as a message, with the problems of both.
 *
 * @module
 */

import type { CapturedDatagram } from '../../capture/items.js'
import type { DecodedMessage } from '../../wire/connection.js'
import { decodeMessage } from '../../wire/decode-message.js'
import type { DecodeOptions } from '../../wire/options.js'
import type { Problem } from '../../wire/problems.js'

/** A message and everything that is wrong with it and with the packet that it came in. */
export interface MessageOfCapture {
  readonly message: DecodedMessage
  /** The packet's problems first: a receiver meets them first. */
  readonly problems: readonly Problem[]
}

/** Reads a datagram as a message; never throws. */
export type ReadMessage = (datagram: CapturedDatagram) => MessageOfCapture

/** Makes a reader of messages. Where bytes are not in the capture, the connections that are all there are given. */
export function messageReader(options: DecodeOptions): ReadMessage {
  return ({ payload, wireLength, problems }) => {
    const message = decodeMessage(payload, { ...options, wireLength })
    if (problems.length === 0) return { message, problems: message.problems }
    // That bytes are not in the capture is told once, by the reader of captures: it knows why.
    return { message, problems: [...problems, ...message.problems.filter(({ code }) => code !== 'MESSAGE_SNAPPED')] }
  }
}
