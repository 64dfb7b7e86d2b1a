/**
 * `--rate auto`: asks the agents of the group what their hosts' kernels can receive.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import {
  decodeAgentMessage,
  encodeAgentMessage,
  EVERY_AGENT,
  type ReceiveCapacity
} from '../../agent/protocol/messages.js'
import { paceOf } from '../../agent/protocol/pace.js'
import { systemClock, type Clock } from '../../daemon/clock.js'
import type { Pace } from '../../engine/full-table/pacer.js'
import type { ReceivingTransport, SendingTransport } from '../../transport/transport.js'
import type { Bytes, Milliseconds } from '../../units.js'

/** Interval of the requests, which UDP may lose, and their number. An agent answers within 400 ms. */
const INTERVAL: Milliseconds = 600
const REQUESTS = 2
/** Agents of a group whose answers are considered. */
const MAX_AGENTS = 64

/** What the agents answered. */
export interface AutoRate {
  readonly agents: number
  readonly pace: Pace
}

/**
 * Asks the agents of the group, for 1.2 s.
 *
 * @param sender - Started and closed here, as is `receiver`.
 * @param syncid - 0…255: agents ignore requests with another one.
 * @param maxLength - UDP payload of a full message.
 * @returns The pace that the smallest receive buffer can take; undefined without an answer.
 * @throws IpvsSyncError if the sockets cannot be opened.
 */
export async function askForPace(
  sender: SendingTransport,
  receiver: ReceivingTransport,
  syncid: number,
  maxLength: Bytes,
  clock: Clock = systemClock
): Promise<AutoRate | undefined> {
  const capacities = new Map<string, ReceiveCapacity>()
  const from = randomBytes(8).toString('hex')
  await receiver.start({
    onDatagram(bytes) {
      const message = decodeAgentMessage(bytes)
      if (message?.kind !== 'hello' || message.capacity === undefined || capacities.size >= MAX_AGENTS) return
      if (syncid === 0 || bytes[1] === syncid) capacities.set(message.from, message.capacity)
    }
  })
  try {
    await sender.start({})
    for (let request = 1; request <= REQUESTS; request++) {
      const question = { kind: 'request', from, to: EVERY_AGENT, request, ready: false, capacity: undefined } as const
      if (sender.writable(0)) sender.send(0, encodeAgentMessage(question, syncid))
      await new Promise<void>((resolve) => void clock.after(INTERVAL, resolve))
    }
  } finally {
    await Promise.all([sender.close(), receiver.close()])
  }
  if (capacities.size === 0) return undefined
  return { agents: capacities.size, pace: paceOf(maxLength, undefined, [...capacities.values()]) }
}
