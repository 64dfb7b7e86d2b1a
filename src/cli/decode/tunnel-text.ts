/**
 * Tunnels as text for a person.
 *
 * @module
 */

import type { TunnelLayer } from '../../capture/items.js'

/** `via vlan 12, vxlan 42`. */
export function tunnelText(tunnel: readonly TunnelLayer[]): string {
  return `via ${tunnel.map(({ type, id }) => (id === undefined ? type : `${type} ${id}`)).join(' / ')}`
}
