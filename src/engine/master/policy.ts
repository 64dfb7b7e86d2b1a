/**
 * The settings that decide when a connection is announced, in the unit in which the decision is made.
 *
 * @module
 */

import { demandObject, misuse } from '../../demand.js'
import type { Milliseconds } from '../../units.js'

/** The sysctls that `decideSync` reads; any full set of sysctls will do. */
export interface PolicySettings {
  /** `sync_threshold` and `sync_period`, in packets: threshold ≥ 0, and below the period unless that is 0. */
  readonly syncThreshold: readonly [number, number]
  /** `sync_refresh_period` in seconds, ≥ 0; 0 is off. */
  readonly syncRefreshPeriod: number
  /** `sync_retries`, 0…3. */
  readonly syncRetries: number
  /** `sync_persist_mode`: any number but 0 is on. */
  readonly syncPersistMode: number
}

/** {@link PolicySettings} made ready for `decide`. Immutable: a change of settings makes a new one. */
export interface Policy {
  /** Packets. */
  readonly threshold: number
  /** Packets; 0 is off. */
  readonly period: number
  /** Milliseconds; 0 is off. */
  readonly refreshMs: Milliseconds
  /** How often a send may be repeated within the refresh period. */
  readonly retries: number
  /** Whether connections of a template are left to their template. */
  readonly persistMode: boolean
}

/**
 * Makes settings ready for `decide`.
 *
 * @param settings - Seconds where a sysctl is in seconds.
 * @throws IpvsSyncError `ERR_CONFIG` for values that `net.ipv4.vs` would not take (docs/protocol.md section 10).
 */
export function createPolicy(settings: PolicySettings): Policy {
  demandObject('settings', settings)
  const given: unknown = settings.syncThreshold
  const [threshold, period] = Array.isArray(given) ? settings.syncThreshold : [NaN, NaN]
  demand(isCount(threshold) && isCount(period), 'sync_threshold', 'two integers ≥ 0', settings.syncThreshold)
  demand(
    period === 0 || threshold < period,
    'sync_threshold',
    'a threshold below the period, or period 0',
    settings.syncThreshold
  )
  demand(
    isCount(settings.syncRefreshPeriod),
    'sync_refresh_period',
    'an integer ≥ 0, in seconds',
    settings.syncRefreshPeriod
  )
  demand(isCount(settings.syncRetries) && settings.syncRetries <= 3, 'sync_retries', '0…3', settings.syncRetries)
  return {
    threshold,
    period,
    refreshMs: settings.syncRefreshPeriod * 1000,
    retries: settings.syncRetries,
    // Told by a caller without types, nothing and false are off as well.
    persistMode: Boolean(settings.syncPersistMode)
  }
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}

function demand(good: boolean, field: string, accepted: string, value: unknown): void {
  if (good) return
  throw misuse(field, accepted, value, 'ERR_CONFIG')
}
