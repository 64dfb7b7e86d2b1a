/**
 * When a master announces a connection (`ip_vs_sync_conn_needed`; docs/protocol.md section 8).
 *
 * @module
 */

import { demandObject, misuse } from '../demand.js'
import type { Milliseconds, TimestampMs } from '../units.js'
import { PROTOCOL } from '../wire/protocols.js'

/** The fields of a connection that the decision depends on. */
export interface SyncSubject {
  /** IPPROTO number: TCP 6, SCTP 132; any other protocol is announced in every state. */
  readonly protocol: number
  /** It has the TEMPLATE flag. */
  readonly template: boolean
  /** It has the ONE_PACKET flag. */
  readonly onePacket: boolean
  /** A connection that controls it, directly or further up, is a template. */
  readonly underTemplate: boolean
  /** The state after this packet, in its protocol's numbering. */
  readonly state: number
  /** The state when it was last announced; 0 before the first announcement. */
  readonly lastSyncedState: number
  /** Its full timeout in milliseconds. */
  readonly timeoutMs: Milliseconds
  /** `now + timeout` of the last announcement; the creation time before the first. */
  readonly endTimeMs: TimestampMs
  /** Retries since the last announcement that was not a retry: 0…3. */
  readonly retriesUsed: number
}

/** The sysctls that `decideSync` reads; any full set of sysctls is accepted. */
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

/** {@link PolicySettings} prepared for `decide`. Immutable: a change of settings makes a new one. */
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
 * Reasons by {@link DecisionCode}; stable. The first six do not send, the others do.
 *
 * Not sent: `one-packet` · `under-template` with sync_persist_mode on · `state-not-synced` (handshakes) ·
 * `fresh` (announced recently, no retries left) · `retry-too-early` · `packet-count-not-met`.
 * Sent: `state-changed` to a closing state · `packet-count` reached the threshold · `template` needs no packet count ·
 * `refresh` is due · `retry` within the refresh period.
 */
export const REASONS = [
  'one-packet',
  'under-template',
  'state-not-synced',
  'fresh',
  'retry-too-early',
  'packet-count-not-met',
  'state-changed',
  'packet-count',
  'template',
  'refresh',
  'retry'
] as const

/** The reason of a decision: one of `REASONS`. */
export type DecisionReason = (typeof REASONS)[number]

/** The number of a reason in `REASONS`. */
export type DecisionCode = number

/** {@link DecisionCode} by name. */
export const DECISION = {
  ONE_PACKET: 0,
  UNDER_TEMPLATE: 1,
  STATE_NOT_SYNCED: 2,
  FRESH: 3,
  RETRY_TOO_EARLY: 4,
  PACKET_COUNT_NOT_MET: 5,
  STATE_CHANGED: 6,
  PACKET_COUNT: 7,
  TEMPLATE: 8,
  REFRESH: 9,
  RETRY: 10
} as const

/** Codes from this one on send. */
export const FIRST_SEND: DecisionCode = DECISION.STATE_CHANGED

/** The result of `decideSync`. */
export interface SyncDecision {
  /** Whether the connection is announced now. */
  readonly send: boolean
  /** The reason; stable. */
  readonly reason: DecisionReason
  /** Store it with the connection: `now + timeout` if it is sent, else unchanged. */
  readonly endTimeMs: TimestampMs
  /** Store it with the connection: one more for a retry, 0 for any other send, else unchanged. */
  readonly retriesUsed: number
}

/**
 * Decides whether this packet of a connection announces it. Only packets from the client count.
 *
 * @param subject - The connection after the packet.
 * @param packets - Its counter of packets from the client, this one included.
 * @param nowMs - The time, on the clock of `endTimeMs`.
 * @param settings - Seconds where a sysctl is in seconds.
 * @returns The decision, and what to store with the connection; if it is sent, its last synced state becomes `state` too.
 * @throws IpvsSyncError `ERR_CONFIG` for settings that `net.ipv4.vs` would refuse, `ERR_USAGE` for a field that is not a number.
 *
 * @example
 * ```ts
 * const answer = decideSync(
 *   { protocol: 6, template: false, onePacket: false, underTemplate: false, state: 1, lastSyncedState: 0,
 *     timeoutMs: 900_000, endTimeMs: 16_560, retriesUsed: 0 },
 *   3, 16_600, { syncThreshold: [3, 50], syncRefreshPeriod: 0, syncRetries: 0, syncPersistMode: 0 })
 * // { send: true, reason: 'packet-count', endTimeMs: 916_600, retriesUsed: 0 }
 * ```
 */
export function decideSync(
  subject: SyncSubject,
  packets: number,
  nowMs: TimestampMs,
  settings: PolicySettings
): SyncDecision {
  const fields: Readonly<Record<string, unknown>> = { ...subject, packets, nowMs }
  for (const name of NUMBERS) {
    const value = fields[name]
    if (typeof value !== 'number' || Number.isNaN(value)) throw misuse(name, 'a number', value)
  }
  const code = decide(subject, packets, nowMs, createPolicy(settings))
  const send = code >= FIRST_SEND
  return {
    send,
    reason: REASONS[code]!,
    endTimeMs: send ? nowMs + subject.timeoutMs : subject.endTimeMs,
    retriesUsed: send ? (code === DECISION.RETRY ? subject.retriesUsed + 1 : 0) : subject.retriesUsed
  }
}

const NUMBERS = ['protocol', 'state', 'lastSyncedState', 'timeoutMs', 'endTimeMs', 'retriesUsed', 'packets', 'nowMs']

/** {@link decideSync} as a code: makes no object, for the engine's hot path. */
export function decide(subject: SyncSubject, packets: number, nowMs: TimestampMs, policy: Policy): DecisionCode {
  if (subject.onePacket) return DECISION.ONE_PACKET
  if (!subject.template) {
    if (policy.persistMode && subject.underTemplate) return DECISION.UNDER_TEMPLATE
    if (!isStateSynced(subject.protocol, subject.state)) return DECISION.STATE_NOT_SYNCED
    if (isStateChangeSent(subject)) return DECISION.STATE_CHANGED
  }
  return policy.refreshMs === 0
    ? decideByPackets(subject, packets, policy)
    : decideByTime(subject, packets, nowMs, policy)
}

/** sync_refresh_period is 0: every `period` packets, or once where the period is 0. */
function decideByPackets(subject: SyncSubject, packets: number, policy: Policy): DecisionCode {
  if (policy.period === 0) return packets === policy.threshold ? DECISION.PACKET_COUNT : DECISION.PACKET_COUNT_NOT_MET
  if (subject.template) return DECISION.TEMPLATE
  return isPacketCountMet(packets, policy) ? DECISION.PACKET_COUNT : DECISION.PACKET_COUNT_NOT_MET
}

/** sync_refresh_period is set: when the end time has moved far enough, and `retries` times soon after an announcement. */
function decideByTime(subject: SyncSubject, packets: number, nowMs: TimestampMs, policy: Policy): DecisionCode {
  const { timeoutMs, endTimeMs, retriesUsed, template } = subject
  const { refreshMs, retries } = policy
  const isCountMet = template || policy.period === 0 || isPacketCountMet(packets, policy)
  const moved = Math.abs(nowMs + timeoutMs - endTimeMs)
  if (moved >= Math.min(refreshMs, Math.max(timeoutMs / 2, 10_000)))
    return isCountMet ? DECISION.REFRESH : DECISION.PACKET_COUNT_NOT_MET
  if (retriesUsed >= retries) return DECISION.FRESH
  const announcedAt = endTimeMs - timeoutMs
  if (nowMs < announcedAt + refreshMs / 8) return DECISION.RETRY_TOO_EARLY
  return isCountMet ? DECISION.RETRY : DECISION.PACKET_COUNT_NOT_MET
}

function isPacketCountMet(packets: number, { threshold, period }: Policy): boolean {
  return packets % period === threshold
}

const TCP_ESTABLISHED = 1
const SCTP_ESTABLISHED = 8
/** A bit for each state that is announced: ESTABLISHED, FIN_WAIT, TIME_WAIT, CLOSE, CLOSE_WAIT. */
const TCP_SYNCED = (1 << TCP_ESTABLISHED) | (1 << 4) | (1 << 5) | (1 << 6) | (1 << 7)
/** The same of SCTP: ESTABLISHED, SHUTDOWN_SENT, SHUTDOWN_RECEIVED, SHUTDOWN_ACK_SENT, CLOSED. */
const SCTP_SYNCED = (1 << SCTP_ESTABLISHED) | (1 << 9) | (1 << 10) | (1 << 11) | (1 << 13)

function isStateSynced(protocol: number, state: number): boolean {
  if (protocol === PROTOCOL.TCP) return state < 32 && ((TCP_SYNCED >>> state) & 1) === 1
  if (protocol === PROTOCOL.SCTP) return state < 32 && ((SCTP_SYNCED >>> state) & 1) === 1
  return true
}

/** A change of state is announced immediately, except for ESTABLISHED, which waits for its packet count. */
function isStateChangeSent({ protocol, state, lastSyncedState }: SyncSubject): boolean {
  if (state === lastSyncedState) return false
  if (protocol === PROTOCOL.TCP) return state !== TCP_ESTABLISHED
  return protocol === PROTOCOL.SCTP && state !== SCTP_ESTABLISHED
}

/**
 * Prepares settings for `decide`.
 *
 * @param settings - Seconds where a sysctl is in seconds.
 * @throws IpvsSyncError `ERR_CONFIG` for values that `net.ipv4.vs` would refuse (docs/protocol.md section 10).
 */
export function createPolicy(settings: PolicySettings): Policy {
  demandObject('settings', settings)
  const { syncThreshold, syncRefreshPeriod, syncRetries, syncPersistMode } = settings
  const [threshold, period] = Array.isArray(syncThreshold) ? syncThreshold : [NaN, NaN]
  demand(isCount(threshold) && isCount(period), 'sync_threshold', 'two integers ≥ 0', syncThreshold)
  demand(
    period === 0 || threshold < period,
    'sync_threshold',
    'a threshold below the period, or period 0',
    syncThreshold
  )
  demand(isCount(syncRefreshPeriod), 'sync_refresh_period', 'an integer ≥ 0 (seconds)', syncRefreshPeriod)
  demand(isCount(syncRetries) && syncRetries <= 3, 'sync_retries', '0…3', syncRetries)
  return {
    threshold,
    period,
    refreshMs: syncRefreshPeriod * 1000,
    retries: syncRetries,
    // Callers without types: undefined and false are off as well.
    persistMode: Boolean(syncPersistMode)
  }
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}

function demand(good: boolean, field: string, accepted: string, value: unknown): void {
  if (good) return
  throw misuse(field, accepted, value, 'ERR_CONFIG')
}
