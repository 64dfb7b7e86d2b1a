/**
 * Pace of an answer: what the receive buffers of the requesters' hosts can take.
 *
 * @module
 */

import { paceFor, receiveBufferHolds, type Pace } from '../../engine/full-table/pacer.js'
import type { Bytes } from '../../units.js'
import type { ReceiveCapacity } from './messages.js'

/** Linux's default receive buffer (`net.core.rmem_default`). */
const DEFAULT_BUFFER: Bytes = 212_992
/** Messages a second that no answer exceeds, however large the buffer: a kernel needs about 2 µs for each new connection. */
const MAX_MESSAGES = 4000
/** Share of a second's messages that may leave at once: timers are no finer. */
const BURST_SHARE = 0.02

/**
 * Returns the receive buffer of a kernel's backup daemon: twice `sync_sock_size`, limited by `rmem_max` (`set_sock_size`),
 * or `rmem_default` where `sync_sock_size` is 0.
 */
export function receiveBufferOf({ syncSockSize, rmemDefault, rmemMax }: ReceiveCapacity): Bytes {
  if (syncSockSize === 0) return rmemDefault === 0 ? DEFAULT_BUFFER : rmemDefault
  return 2 * (rmemMax === 0 ? syncSockSize : Math.min(syncSockSize, rmemMax))
}

/**
 * Returns the pace at which the receivers lose nothing.
 *
 * @param length - UDP payload of a full message.
 * @param rate - Maximum in connections a second, chosen by the user; it replaces the calculated pace.
 * @param capacities - Of all requesters; an undefined one has Linux's default buffer.
 */
export function paceOf(
  length: Bytes,
  rate: number | undefined,
  capacities: readonly (ReceiveCapacity | undefined)[]
): Pace {
  const buffers = capacities.map((capacity) => (capacity === undefined ? DEFAULT_BUFFER : receiveBufferOf(capacity)))
  const buffer = buffers.length === 0 ? DEFAULT_BUFFER : Math.min(...buffers)
  const pace = paceFor(length, rate, buffer)
  if (rate !== undefined) return pace
  const messages = Math.min(pace.rate, MAX_MESSAGES)
  const burst = Math.min(Math.max(messages * BURST_SHARE, pace.burst), receiveBufferHolds(length, buffer))
  return { ...pace, rate: messages, burst }
}
