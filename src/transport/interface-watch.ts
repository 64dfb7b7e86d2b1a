/**
 * Notices that an interface goes, comes back, or is replaced by another of its name.
 *
 * Node has no netlink, so it looks: once a second, at a list that the system has at hand.
 *
 * @module
 */

import { lookUpInterface, type InterfaceAddress } from './interfaces.js'
import type { NetworkSystem } from './system.js'

const INTERVAL_MS = 1000

/** What a watch calls. */
export interface InterfaceChanges {
  /**
   * Looks in a row that must find the same interface before it counts as back. A sender waits for the second: who
   * listens on the other end of a link that was down needs the time to join the group again.
   */
  readonly steadyLooks: number
  /** A look found it as it was. */
  readonly steady?: () => void
  /** It is gone, or lost its address. Called once for each loss. */
  readonly lost: () => void
  /** It is back, or another one. Called again a second later as long as it resolves to false. */
  readonly back: (address: InterfaceAddress) => Promise<boolean>
}

/**
 * Watches an interface.
 *
 * @param system - Whose interfaces, and whose clock.
 * @param name - The interface.
 * @param family - The family of the address that matters.
 * @param first - What it was when the sockets were opened.
 * @param changes - Who is told.
 * @returns Ends the watch.
 */
export function watchInterface(
  system: NetworkSystem,
  name: string,
  family: 'ipv4' | 'ipv6',
  first: InterfaceAddress,
  changes: InterfaceChanges
): () => void {
  let identity: string | undefined = first.identity
  let candidate = { identity: '', looks: 0 }
  let busy = false
  const look = async (): Promise<void> => {
    const found = lookUpInterface(system, name, family)
    if (found === undefined) candidate.looks = 0
    if (busy) return
    if (found?.identity === identity) {
      if (found !== undefined) changes.steady?.()
      return
    }
    if (identity !== undefined) changes.lost()
    identity = undefined
    if (found === undefined) return
    candidate = { identity: found.identity, looks: candidate.identity === found.identity ? candidate.looks + 1 : 1 }
    if (candidate.looks < changes.steadyLooks) return
    busy = true
    if (await changes.back(found)) {
      identity = found.identity
      candidate.looks = 0
    }
    busy = false
  }
  return system.every(INTERVAL_MS, () => void look())
}
