/**
 * How a master's and a backup's sockets start alike: find the interface, open, and watch it from then on.
 *
 * @module
 */

import { findInterface, type InterfaceAddress, isSameInterface, lookUpInterface, lossOf } from './interfaces.js'
import type { NetworkSystem } from './system.js'
import type { TransportHandlers, TransportNotice } from './transport.js'
import { explainSocketError, errorCodeOf } from './udp-errors.js'
import type { UdpPlan } from './udp-options.js'

/** What a start does that is the role's own. */
export interface SocketRole extends Pick<InterfaceChanges, 'steadyLooks' | 'steady' | 'joined' | 'back'> {
  /** Opens the sockets, on the interface where one is named; resolves to what a person should know of them. */
  readonly open: (found: InterfaceAddress | undefined) => Promise<readonly TransportNotice[]>
  /** The interface cannot be used. The reason is for a person. */
  readonly lost: (reason: string) => void
}

/**
 * Opens a role's sockets, tells the first notice (channels have them alike), and watches the interface if one is named.
 *
 * @param system - Whose interfaces.
 * @param plan - Where the sockets go.
 * @param handlers - Who hears the notice.
 * @param role - What is the role's own.
 * @returns Ends the watch.
 * @throws IpvsSyncError `ERR_INTERFACE`, and what `open` throws: nothing is watched then.
 */
export async function openAndWatch(
  system: NetworkSystem,
  { interfaceName, family }: UdpPlan,
  handlers: TransportHandlers,
  role: SocketRole
): Promise<() => void> {
  const found = interfaceName === undefined ? undefined : findInterface(system, interfaceName, family)
  const notices = await role.open(found)
  for (const notice of notices.slice(0, 1)) handlers.onNotice?.(notice)
  if (interfaceName === undefined || found === undefined) return () => undefined
  return watchInterface(system, interfaceName, family, found, {
    steadyLooks: role.steadyLooks,
    ...(role.steady !== undefined && { steady: role.steady }),
    ...(role.joined !== undefined && { joined: role.joined }),
    lost: (reason) => role.lost(reason),
    unknown: (cause) =>
      handlers.onError?.(explainSocketError(`reading the state of interface ${interfaceName}`, cause)),
    back: role.back
  })
}

const INTERVAL_MS = 1000

/** What a watch calls. */
interface InterfaceChanges {
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
 * Watches an interface: whether it disappears, returns, or is replaced by another of its name. Node has no netlink, so the
 * state is polled once a second.
 *
 * @param system - Interfaces and clock.
 * @param name - The interface.
 * @param family - The family of the address that matters.
 * @param first - Its state when the sockets were opened.
 * @returns Ends the watch.
 */
function watchInterface(
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
