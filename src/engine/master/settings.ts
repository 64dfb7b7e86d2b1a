/**
 * A master's settings, checked and made ready; replaced whole, so that no pair of them is ever seen half-changed.
 *
 * @module
 */

import { demandInteger, misuse } from '../../demand.js'
import type { Bytes } from '../../units.js'
import { MAX_PAYLOAD } from '../../wire/constants.js'
import type { ChannelLimits } from './channel.js'
import { createPolicy, type Policy, type PolicySettings } from './policy.js'

/** The sysctls that a master reads; any full set of sysctls will do. */
export interface MasterSettings extends PolicySettings {
  /** `sync_version`: the version of the messages to come, 0 or 1. */
  readonly syncVersion: number
  /** `sync_ports`: channels, a power of two; 64 at most are used. Read when a master is made, and not again. */
  readonly syncPorts: number
  /** `sync_qlen_max`: the most messages that wait in a channel. */
  readonly syncQlenMax: number
}

/** Settings made ready. */
export interface MasterPlan {
  /** As they were given. */
  readonly settings: MasterSettings
  /** For decisions. */
  readonly policy: Policy
  /** For channels. */
  readonly limits: ChannelLimits
}

/** The smallest and the largest `sync_maxlen` that a kernel's master would end up with, over IPv4. */
const MAXLEN: readonly [Bytes, Bytes] = [1, MAX_PAYLOAD]

/**
 * Checks settings and makes them ready.
 *
 * @param settings - To be read once; later changes of the object have no effect.
 * @param syncid - 0…255.
 * @param maxlen - The largest message in bytes, header included: 1…65507.
 * @throws IpvsSyncError `ERR_CONFIG`, whose `field` is the setting's own name.
 */
export function planMaster(settings: MasterSettings, syncid: number, maxlen: Bytes): MasterPlan {
  const { syncVersion, syncPorts, syncQlenMax } = settings
  const ports = Number.isSafeInteger(syncPorts) && syncPorts >= 1 && Number.isInteger(Math.log2(syncPorts))
  if (syncVersion !== 0 && syncVersion !== 1) throw misuse('sync_version', '0 or 1', syncVersion, 'ERR_CONFIG')
  if (!ports) throw misuse('sync_ports', 'a power of two ≥ 1', syncPorts, 'ERR_CONFIG')
  demandInteger('sync_qlen_max', syncQlenMax, 0, Number.MAX_SAFE_INTEGER)
  demandInteger('syncid', syncid, 0, 255)
  demandInteger('sync_maxlen', maxlen, ...MAXLEN)
  const limits = { version: syncVersion, syncid, maxlen, qlenMax: syncQlenMax } as const
  return { settings: { ...settings }, policy: createPolicy(settings), limits }
}
