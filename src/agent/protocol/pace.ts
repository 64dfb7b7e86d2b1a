/**
 * Pace of an answer: what the receive buffers of the requesters' hosts can take.
 *
 * @module
 */

import { receiveBufferHolds, safeMessageRate } from '../../engine/full-table/pacer.js'
import type { Bytes } from '../../units.js'
import type { ReceiveCapacity } from './messages.js'

/** Linux's default receive buffer, for which {@link receiveBufferHolds} counts. */
const DEFAULT_BUFFER: Bytes = 212_992
/** Messages a second that no answer exceeds, however large the buffer: a kernel needs about 2 µs for each new connection. */
const MAX_MESSAGES = 4000
/** Share of a second's connections that may leave at once: timers are no finer. */
const BURST_SHARE = 0.02
/** Messages that may leave at once at the default pace. */
const BURST_MESSAGES = 8
/** Smallest record of version 1. */
const RECORD: Bytes = 36

/** A token bucket for messages. */
export interface Pace {
  /** Cost a second. */
  readonly rate: number
  /** Cost that may leave at once. */
  readonly burst: number
  /** Unit of the cost. */
  readonly unit: 'message' | 'connection'
}

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
  if (rate !== undefined) {
    const half = (receiveBufferHolds(length) / 2) * Math.max(length / RECORD, 1)
    return { rate, burst: Math.min(Math.max(rate * BURST_SHARE, 1), half), unit: 'connection' }
  }
  const buffers = capacities.map((capacity) => (capacity === undefined ? DEFAULT_BUFFER : receiveBufferOf(capacity)))
  const share = Math.min(...buffers) / DEFAULT_BUFFER
  const messages = Math.min(Math.max(safeMessageRate(length) * share, 1), MAX_MESSAGES)
  const burst = Math.max(Math.min(messages * BURST_SHARE, (receiveBufferHolds(length) * share) / 4), 1)
  return { rate: messages, burst: Math.max(burst, Math.min(BURST_MESSAGES, messages)), unit: 'message' }
}
