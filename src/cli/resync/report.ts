/**
 * The output of a resync: what it sends, its pace, its result.
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

/** Sums over the messages of one round. */
export interface ResyncTotals {
  messages: number
  bytes: Bytes
  /** In the unit of the pace. */
  cost: number
}

/** A resync that is ready to be sent. */
export interface ResyncPlan {
  /** Templates first. Empty for a dry run. */
  readonly messages: readonly Datagram[]
  readonly totals: ResyncTotals
  readonly counts: BulkCounts
  readonly report: SourceReport
  readonly pace: Pace
  /** Connections a second, if given. */
  readonly rate: number | undefined
  /** Agents that answered `--rate auto`; undefined if none was asked. */
  readonly agents?: number | undefined
  readonly times: number
  /** UDP payload of a full message. */
  readonly maxLength: Bytes
}

/** IPv4 and UDP headers; IPv6's is 20 bytes longer. */
const HEADERS: Bytes = 28

/** Describes what is sent, line by line: counts, assumptions, omissions, the pace. */
export function describePlan(plan: ResyncPlan): string[] {
  const { totals, counts, times, report } = plan
  const repeats = times === 1 ? '' : `, ${times} times`
  return [
    `${counted(counts.connections, 'connection')} (${counted(counts.templates, 'template')}, sent first) in ${counted(totals.messages, 'message')}, ${totals.bytes} bytes${repeats}`,
    ...report.facts,
    ...(report.table === undefined ? [] : describeReport(report.table)),
    ...describeOmissions(plan),
    describePace(plan)
  ]
}

/** Describes what sending would cost: for `--dry-run`. */
export function describeCost({ totals, times, pace }: ResyncPlan): string {
  const bytes = (totals.bytes + HEADERS * totals.messages) * times
  const seconds = Math.max(totals.cost * times - pace.burst, 0) / pace.rate
  return `dry run, nothing sent; sending takes ${seconds.toFixed(1)} s and ${bytes} bytes with IP headers for each receiver or group`
}

/** Describes the result. */
export function describeResult(sent: BulkProgress, plan: ResyncPlan, elapsed: Milliseconds, where: string): string {
  const total = plan.totals.messages * plan.times
  const seconds = Math.max(elapsed, 1) / 1000
  const rate = Math.round(sent.connections / seconds)
  const share = sent.messages === total ? '' : `incomplete: ${sent.messages} of ${counted(total, 'message')}, `
  return `${share}${counted(sent.connections, 'connection')} sent to ${where} in ${seconds.toFixed(1)} s, ${rate}/s`
}

function describePace({ pace, rate, agents, maxLength }: ResyncPlan): string {
  const holds = receiveBufferHolds(maxLength)
  if (agents !== undefined && agents > 0)
    return `pace: ${counted(Math.round(pace.rate), 'message')} a second, which the receive buffers of ${counted(agents, 'agent')} can take`
  const silent = agents === undefined ? '' : 'no agent answered; '
  if (rate !== undefined)
    return `pace: ${counted(rate, 'connection')} a second; a default receive buffer holds ${holds} full datagrams`
  return `pace: ${silent}${counted(pace.rate, 'message')} a second: every 100 ms half of the ${holds} full datagrams that a default receive buffer holds`
}

function describeOmissions({ counts: { ipv6, refused }, report: { expired } }: ResyncPlan): string[] {
  const found: [number, string, string][] = [
    [expired, 'connection', ' expired since the store was saved: omitted'],
    [ipv6, 'IPv6 connection', ', which version 0 cannot carry: omitted'],
    [refused, 'connection', ' with a protocol, state or flags that every receiver skips: omitted']
  ]
  return found.filter(([count]) => count > 0).map(([count, noun, text]) => `${counted(count, noun)}${text}`)
}
