/**
 * How a master's and a backup's sockets start alike: find the interface, open, and watch it from then on.
 *
 * @module
 */

import { watchInterface, type InterfaceChanges } from './interface-watch.js'
import { findInterface, type InterfaceAddress } from './interfaces.js'
import type { NetworkSystem } from './system.js'
import type { TransportHandlers, TransportNotice } from './transport.js'
import { explainSocketError } from './udp-errors.js'
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
