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
  let busy = false
  const look = async (): Promise<void> => {
    const found = lookUpInterface(system, name, family)
    if (busy || found?.identity === identity) return
    if (identity !== undefined) changes.lost()
    identity = undefined
    if (found === undefined) return
    busy = true
    if (await changes.back(found)) identity = found.identity
    busy = false
  }
  return system.every(INTERVAL_MS, () => void look())
}
