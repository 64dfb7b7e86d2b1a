/**
 * Receive buffer settings of this host, which requests state so that answers are paced by them.
 *
 * @module
 */

import type { Sysctls } from '../sysctl/settings.js'
import type { NetworkSystem } from '../transport/system.js'
import type { Bytes } from '../units.js'
import type { ReceiveCapacity } from './protocol/messages.js'
import { receiveBufferOf } from './protocol/pace.js'

/**
 * Returns the settings of the smaller receive buffer: the agent's own, or that of the kernel's backup daemon, which has the
 * kernel's `sync_sock_size`. A file that cannot be read leaves 0, which is unknown.
 */
export function readReceiveCapacity(system: NetworkSystem, { syncSockSize }: Sysctls): ReceiveCapacity {
  const read = (path: string): Bytes | undefined => {
    const text = system.readText(`/proc/sys/net/${path}`)?.trim() ?? ''
    return /^\d{1,9}$/.test(text) ? Number(text) : undefined
  }
  const limits = { rmemDefault: read('core/rmem_default') ?? 0, rmemMax: read('core/rmem_max') ?? 0 }
  const own = { syncSockSize, ...limits }
  const kernel = { syncSockSize: read('ipv4/vs/sync_sock_size') ?? syncSockSize, ...limits }
  return receiveBufferOf(kernel) < receiveBufferOf(own) ? kernel : own
}
