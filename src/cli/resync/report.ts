/**
 * What a resync says: what it sends, at which pace and why, and what it came to.
 *
 * @module
 */

import { counted } from '../../text.js'
import type { BulkProgress, Pace } from '../../daemon/bulk-sender.js'
import type { BulkCounts } from '../../engine/full-table/bulk-messages.js'
import { receiveBufferHolds } from '../../engine/full-table/pacer.js'
import type { Datagram } from '../../engine/engine.js'
import { describeReport } from '../../procfs/kernel-table.js'
import type { Bytes, Milliseconds } from '../../units.js'
import type { SourceReport } from './source.js'

/** What was asked for and read. */
export interface ResyncPlan {
  readonly messages: readonly Datagram[]
  readonly counts: BulkCounts
  readonly report: SourceReport
  readonly pace: Pace
  /** Connections a second, as it was asked for. */
  readonly rate: number | undefined
  readonly times: number
  /** UDP payload of a full message. */
  readonly maxLength: Bytes
}

/** IPv4 and UDP headers; IPv6's is 20 bytes longer. */
const HEADERS: Bytes = 28

/** What is sent, line by line: counts, what was assumed, what was left out, the pace. */
export function describePlan(plan: ResyncPlan): string[] {
  const { messages, counts, times } = plan
  const bytes = messages.reduce((sum, message) => sum + message.bytes.length, 0)
  const repeats = times === 1 ? '' : `, ${times} times`
  return [
    `${counted(counts.connections, 'connection')} (${counted(counts.templates, 'template')}, sent first) in ${counted(messages.length, 'message')}, ${bytes} bytes${repeats}`,
    ...plan.report.facts,
    ...(plan.report.table === undefined ? [] : describeReport(plan.report.table)),
    ...describeOmissions(plan),
    describePace(plan)
  ]
}

/** What it will cost: for `--dry-run`. */
export function describePrice(plan: ResyncPlan): string {
  const { messages, times, pace } = plan
  const cost = messages.reduce((sum, message) => sum + pace.costOf(message), 0) * times
  const bytes = messages.reduce((sum, message) => sum + message.bytes.length + HEADERS, 0) * times
  const seconds = Math.max(cost - pace.burst, 0) / pace.rate
  return `nothing was sent; it would take ${seconds.toFixed(1)} s and put ${bytes} bytes on the wire for each receiver or group, IP headers among them`
}

/** What it came to. */
export function describeResult(sent: BulkProgress, plan: ResyncPlan, elapsed: Milliseconds, where: string): string {
  const total = plan.messages.length * plan.times
  const seconds = Math.max(elapsed, 1) / 1000
  const rate = Math.round(sent.connections / seconds)
  const share = sent.messages === total ? '' : `stopped: ${sent.messages} of ${counted(total, 'message')}, `
  return `${share}${counted(sent.connections, 'connection')} sent to ${where} in ${seconds.toFixed(1)} s, ${rate}/s`
}

function describePace({ pace, rate, maxLength }: ResyncPlan): string {
  const holds = receiveBufferHolds(maxLength)
  if (rate !== undefined)
    return `pace: ${counted(rate, 'connection')} a second; a receiver's default socket buffer holds ${holds} full datagrams`
  return `pace: ${counted(pace.rate, 'message')} a second: half of the ${holds} full datagrams that a receiver's default socket buffer holds, each 100 ms`
}

function describeOmissions({ counts: { ipv6, refused }, report: { expired } }: ResyncPlan): string[] {
  const found: [number, string, string][] = [
    [expired, 'connection', ' expired since the store was saved: omitted'],
    [ipv6, 'IPv6 connection', ', which version 0 cannot carry: omitted'],
    [refused, 'connection', ' with a protocol, state or flags that every receiver skips: omitted']
  ]
  return found.filter(([count]) => count > 0).map(([count, noun, text]) => `${counted(count, noun)}${text}`)
}
