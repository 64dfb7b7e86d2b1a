/**
 * A table as the messages of an answer.
 *
 * @module
 */

import { BulkMessages } from '../../engine/full-table/bulk-messages.js'
import type { Datagram } from '../../engine/master/send-queue.js'
import type { Bytes } from '../../units.js'
import type { Connection } from '../../wire/connection.js'

/** Connections encoded in one step: about two milliseconds. */
const STEP = 1000

/**
 * Encodes connections as version 1 messages, templates first.
 *
 * @param connections - May change while they are read.
 * @param syncid - 0…255.
 * @param maxLength - UDP payload of the largest message.
 * @returns Undefined after each step that completes no message, then all messages.
 */
export function* tableMessages(
  connections: Iterable<Connection>,
  syncid: number,
  maxLength: Bytes
): Generator<Datagram | undefined, void> {
  const bulk = new BulkMessages({ version: 1, syncid, maxLength, channels: 1 })
  let count = 0
  for (const connection of connections) {
    bulk.add(connection)
    if (++count % STEP === 0) yield undefined
  }
  yield* bulk.finish()
}
