/**
 * When a master announces a connection (`ip_vs_sync_conn_needed`; docs/protocol.md section 8).
 *
 * @module
 */

import { misuse } from '../demand.js'
import type { Milliseconds, TimestampMs } from '../units.js'
import { createPolicy, type Policy, type PolicySettings } from './master/policy.js'

/** What the decision reads of a connection. */
export interface SyncSubject {
  /** IPPROTO number: TCP 6, SCTP 132; every other one is announced whatever its state. */
  readonly protocol: number
  /** It has the TEMPLATE flag. */
  readonly template: boolean
  /** It has the ONE_PACKET flag. */
  readonly onePacket: boolean
  /** Some connection that controls it, directly or further up, is a template. */
  readonly underTemplate: boolean
  /** The state after this packet, in its protocol's numbering. */
  readonly state: number
  /** The state when it was last announced; 0 before. */
  readonly lastSyncedState: number
  /** Its full timeout in milliseconds. */
  readonly timeoutMs: Milliseconds
  /** `now + timeout` of the last announcement; the creation time before the first. */
  readonly endTimeMs: TimestampMs
  /** Retries counted since the last announcement that was not one: 0…3. */
  readonly retriesUsed: number
}

/**
 * Why a decision came out as it did; stable.
 *
 * Sent: `state-changed` to a closing state · `packet-count` met the threshold · `template` is not held to packet counts ·
 * `refresh` is due · `retry` within the refresh period.
 * Not sent: `one-packet` · `under-template` with sync_persist_mode on · `state-not-synced` (handshakes) ·
 * `fresh` (announced lately, no retries left) · `retry-too-early` · `packet-count-not-met`.
 */
export type DecisionReason = (typeof REASONS)[number]

/** Reasons by {@link DecisionCode}: the first six hold a connection back, the others send it. */
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

/** The number of a reason in {@link REASONS}. */
export type DecisionCode = number

/** Codes from this one on send. */
export const FIRST_SEND: DecisionCode = 6
/** The code of a send that counts as a retry. */
export const RETRY: DecisionCode = 10

/** What `decideSync` answers. */
export interface SyncDecision {
  /** Whether the connection is to be announced now. */
  readonly send: boolean
  /** Why; stable. */
  readonly reason: DecisionReason
  /** To be stored with the connection: `now + timeout` if it is sent, else as it was. */
  readonly endTimeMs: TimestampMs
  /** To be stored with the connection: one more for a retry, 0 for any other send, else as it was. */
  readonly retriesUsed: number
}

/**
 * Decides whether this packet of a connection announces it. Only packets from the client ask.
 *
 * @param subject - The connection after the packet.
 * @param packets - Its counter of packets from the client, this one included.
 * @param nowMs - The time, on the clock of `endTimeMs`.
 * @param settings - Seconds where a sysctl is in seconds.
 * @returns The answer, and what to store with the connection; if it sends, its last synced state becomes `state` too.
 * @throws IpvsSyncError `ERR_CONFIG` for settings that `net.ipv4.vs` would not take, `ERR_USAGE` for what is no number.
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
  demandNumbers({ ...subject, packets, nowMs })
  const code = decide(subject, packets, nowMs, createPolicy(settings))
  const reason = REASONS[code]!
  if (code < FIRST_SEND) {
    return { send: false, reason, endTimeMs: subject.endTimeMs, retriesUsed: subject.retriesUsed }
  }
  const retriesUsed = code === RETRY ? subject.retriesUsed + 1 : 0
  return { send: true, reason, endTimeMs: nowMs + subject.timeoutMs, retriesUsed }
}

function demandNumbers(given: Readonly<Record<string, unknown>>): void {
  for (const name of NUMBERS)
    if (typeof given[name] !== 'number' || Number.isNaN(given[name])) throw misuse(name, 'a number', given[name])
}

const NUMBERS = ['protocol', 'state', 'lastSyncedState', 'timeoutMs', 'endTimeMs', 'retriesUsed', 'packets', 'nowMs']

/** The same decision as a code: makes no object, for the engine's hot path. */
export function decide(subject: SyncSubject, packets: number, nowMs: TimestampMs, policy: Policy): DecisionCode {
  if (subject.onePacket) return 0
  if (!subject.template) {
    if (policy.persistMode && subject.underTemplate) return 1
    if (!announcesState(subject.protocol, subject.state)) return 2
    if (isForced(subject)) return 6
  }
  return policy.refreshMs === 0 ? byPackets(subject, packets, policy) : byRefresh(subject, packets, nowMs, policy)
}

/** Bit per state. TCP: ESTABLISHED, FIN_WAIT, TIME_WAIT, CLOSE, CLOSE_WAIT. */
const TCP_STATES = (1 << 1) | (1 << 4) | (1 << 5) | (1 << 6) | (1 << 7)
/** SCTP: ESTABLISHED, S-SENT, S-RECEIVED, S-ACK-SENT, CLOSED. */
const SCTP_STATES = (1 << 8) | (1 << 9) | (1 << 10) | (1 << 11) | (1 << 13)

function announcesState(protocol: number, state: number): boolean {
  if (protocol === 6) return state < 32 && ((TCP_STATES >>> state) & 1) === 1
  if (protocol === 132) return state < 32 && ((SCTP_STATES >>> state) & 1) === 1
  return true
}

/** A new state is told at once, unless it is ESTABLISHED: that one waits for its packet count. */
function isForced(subject: SyncSubject): boolean {
  if (subject.state === subject.lastSyncedState) return false
  if (subject.protocol === 6) return subject.state !== 1
  return subject.protocol === 132 && subject.state !== 8
}

function byRefresh(subject: SyncSubject, packets: number, nowMs: TimestampMs, policy: Policy): DecisionCode {
  const { timeoutMs, endTimeMs, retriesUsed } = subject
  const moved = Math.abs(nowMs + timeoutMs - endTimeMs)
  if (moved >= Math.min(policy.refreshMs, Math.max(timeoutMs / 2, 10_000))) {
    return mayPass(subject, packets, policy) ? 9 : 5
  }
  if (retriesUsed >= policy.retries) return 3
  if (nowMs < endTimeMs - timeoutMs + policy.refreshMs / 8) return 4
  return mayPass(subject, packets, policy) ? RETRY : 5
}

function mayPass(subject: SyncSubject, packets: number, policy: Policy): boolean {
  return policy.period === 0 || subject.template || packets % policy.period === policy.threshold
}

function byPackets(subject: SyncSubject, packets: number, policy: Policy): DecisionCode {
  if (policy.period === 0) return packets === policy.threshold ? 7 : 5
  if (subject.template) return 8
  return packets % policy.period === policy.threshold ? 7 : 5
}
