/**
 * Reports of workers seen as one backup's.
 *
 * @module
 */

import type { BackupCounters } from '../../engine/backup/counters.js'
import type { IgnoredSender, SenderReport } from '../../engine/backup/senders.js'
import type { TableCount } from '../../table/table-count.js'
import type { SealReport } from '../../transport/transport.js'
import type { Milliseconds } from '../../units.js'

/** A worker's counters, and how many channels are its. */
export interface CountersPart {
  readonly counters: BackupCounters
  readonly channels: number
}

/** Senders as a worker saw them, and how long ago. */
export interface SendersPart<Sender extends SenderReport = SenderReport> {
  readonly senders: readonly Sender[]
  readonly age: Milliseconds
}

type Names = 'dropped' | 'skipped' | 'warnings'
type Numbers = Exclude<keyof BackupCounters, Names | 'received'>

/** What a worker that has said nothing yet has counted. */
export const NO_COUNTERS: BackupCounters = {
  received: [],
  dropped: {},
  skipped: {},
  warnings: {},
  applied: 0,
  created: 0,
  updated: 0,
  replaced: 0,
  expired: 0,
  eventsLost: 0
}

/** Adds counters up; channels stand in the order of the parts. */
export function mergeCounters(parts: readonly CountersPart[]): BackupCounters {
  const all = parts.map(({ counters }) => counters)
  const sum = (name: Numbers): number => all.reduce((total, counters) => total + counters[name], 0)
  const named = (name: Names): Record<string, number> => sumNamed(all.map((counters) => counters[name]))
  return {
    received: joinReceived(parts),
    dropped: named('dropped'),
    skipped: named('skipped'),
    warnings: named('warnings'),
    applied: sum('applied'),
    created: sum('created'),
    updated: sum('updated'),
    replaced: sum('replaced'),
    expired: sum('expired'),
    eventsLost: sum('eventsLost')
  }
}

/** Merges reports of one address and syncid: sums of what is counted, the rest of the latest. The latest comes first. */
export function mergeSenders<Sender extends SenderReport | IgnoredSender>(
  parts: readonly SendersPart<Sender>[]
): Sender[] {
  const merged = new Map<string, Sender>()
  for (const { senders, age } of parts) {
    for (const sender of senders) {
      const key = `${sender.address} ${sender.syncid} ${'reason' in sender ? sender.reason : ''}`
      merged.set(key, joinSenders({ ...sender, age: sender.age + age / 1000 }, merged.get(key)))
    }
  }
  return [...merged.values()].sort((a, b) => a.age - b.age)
}

/** Adds up what verifying workers count; undefined unless every worker verifies. At most 64 sequences remain. */
export function mergeSealReports(parts: readonly (SealReport | undefined)[]): SealReport | undefined {
  return parts.reduce((sum, part) => {
    if (sum === undefined || part === undefined) return undefined
    return {
      verdicts: sumNamed([sum.verdicts, part.verdicts]),
      sequences: [...sum.sequences, ...part.sequences].sort((a, b) => b.received - a.received).slice(0, 64),
      requests: sum.requests + part.requests,
      repaired: sum.repaired + part.repaired,
      outdated: sum.outdated + part.outdated,
      lost: sum.lost + part.lost
    }
  })
}

/** Adds up what tables count. */
export function mergeCounts(parts: readonly (readonly TableCount[])[]): TableCount[] {
  const merged = new Map<string, TableCount>()
  for (const count of parts.flat()) {
    const key = `${count.protocol} ${count.origin}`
    const before = merged.get(key)?.connections ?? 0
    merged.set(key, { ...count, connections: before + count.connections })
  }
  return [...merged.values()]
}

function joinSenders<Sender extends SenderReport>(one: Sender, other: Sender | undefined): Sender {
  if (other === undefined) return one
  const latest = one.age <= other.age ? one : other
  return {
    ...latest,
    channels: [...new Set([...one.channels, ...other.channels])].sort((a, b) => a - b),
    messages: one.messages + other.messages,
    connections: one.connections + other.connections,
    largest: Math.max(one.largest, other.largest)
  }
}

/** A worker leaves out its channels after the last that heard anything, and so does the whole. */
function joinReceived(parts: readonly CountersPart[]): (readonly [number, number])[] {
  const joined = parts.flatMap(({ counters: { received }, channels }) =>
    Array.from({ length: channels }, (_, channel) => received[channel] ?? ([0, 0] as const))
  )
  const last = joined.findLastIndex(([one, other]) => one + other > 0)
  return joined.slice(0, last + 1)
}

function sumNamed(parts: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sums: Record<string, number> = {}
  for (const part of parts) for (const [name, count] of Object.entries(part)) sums[name] = (sums[name] ?? 0) + count
  return sums
}
