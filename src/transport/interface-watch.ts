/**
 * Watches an interface: whether it disappears, returns, or is replaced by another of its name.
 *
 * Node has no netlink, so the state is polled once a second.
 *
 * @module
 */

import { isSameInterface, lookUpInterface, lossOf, type InterfaceAddress } from './interfaces.js'
import type { NetworkSystem } from './system.js'
import { errorCodeOf } from './udp-errors.js'

const INTERVAL_MS = 1000

/** What a watch calls. */
export interface InterfaceChanges {
  /**
   * Number of polls in a row that must find the same interface before it counts as returned. A sender waits for the second:
   * receivers on a link that was down need the time to join the group again.
   */
  readonly steadyLooks: number
  /** A poll found it as it was. */
  readonly steady?: () => void
  /** Returns whether the group is still joined; false opens the sockets again. Called once a poll. */
  readonly joined?: () => boolean | undefined
  /** It cannot be used. Called once for each loss, with the reason: `interface eth1 has no carrier`. */
  readonly lost: (reason: string) => void
  /** It returned, or is another one. Called again a second later while it resolves to false. */
  readonly back: (address: InterfaceAddress) => Promise<boolean>
  /** The state cannot be read (EMFILE, ENOMEM); the last one stands. Called once until it can be read again. */
  readonly unknown: (cause: unknown) => void
}

/**
 * Watches an interface.
 *
 * @param system - Interfaces and clock.
 * @param name - The interface.
 * @param family - The family of the address that matters.
 * @param first - Its state when the sockets were opened.
 * @returns Ends the watch.
 */
export function watchInterface(
  system: NetworkSystem,
  name: string,
  family: 'ipv4' | 'ipv6',
  first: InterfaceAddress,
  changes: InterfaceChanges
): () => void {
  let current: InterfaceAddress | undefined = first
  let candidate: InterfaceAddress | undefined
  let looks = 0
  let busy = false
  let failure = ''
  const look = async (): Promise<void> => {
    const found = lookUpInterface(system, name, family)
    if (found === undefined) candidate = undefined
    if (busy) return
    if (found !== undefined && current !== undefined && isSameInterface(found, current)) {
      if (changes.joined?.() !== false) {
        changes.steady?.()
        return
      }
      changes.lost(`interface ${name} is no longer a member of the group`)
    } else if (current !== undefined) changes.lost(lossOf(system, name, family))
    current = undefined
    if (found === undefined) return
    looks = candidate !== undefined && isSameInterface(found, candidate) ? looks + 1 : 1
    candidate = found
    if (looks < changes.steadyLooks) return
    busy = true
    try {
      if (await changes.back(found)) {
        current = found
        candidate = undefined
      }
    } finally {
      busy = false
    }
  }
  // A poll that fails is no change: the last state stands, and the next poll decides.
  const poll = (): void => {
    look().then(
      () => (failure = ''),
      (cause: unknown) => {
        const code = errorCodeOf(cause) || String(cause)
        if (code === failure) return
        failure = code
        changes.unknown(cause)
      }
    )
  }
  return system.every(INTERVAL_MS, poll)
}
