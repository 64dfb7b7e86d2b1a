/**
 * Connections over time: when the director had them, when a backup had them, and what a failover would lose.
 *
 * @module
 */
import { connectionValue, type Connection } from '../../director/connection.js'
import type { TimestampMs } from '../../units.js'
import type { Connection as WireConnection } from '../../wire/connection.js'

/** A stretch of time; its end does not belong to it. */
type Span = readonly [from: TimestampMs, to: TimestampMs]

/** One entry of the director's table. */
export interface Timeline {
  readonly label: string
  readonly protocol: string
  readonly isTemplate: boolean
  readonly controller: Timeline | undefined
  readonly createdMs: TimestampMs
  /** Its last packet. */
  lastMs: TimestampMs
  endedMs: TimestampMs | undefined
  isAnnounced: boolean
  /** When a backup held it; the last span is still open to refreshes. */
  readonly held: Span[]
}

/** Numbers of connections at one moment. */
export interface Peak {
  readonly count: number
  readonly atMs: TimestampMs
}

/** A count over time. */
export interface Course {
  /** Average over time. */
  readonly mean: number
  readonly worst: Peak
}

const DEFAULT_TIMEOUT = 180

/** The timelines of one run. */
export class Timelines {
  readonly all: Timeline[] = []
  readonly #byKey = new Map<string, Timeline>()
  readonly #sloppy: { readonly tcp: boolean; readonly sctp: boolean }

  /** @param sloppy - Whether a backup that takes over accepts TCP and SCTP in mid-stream. */
  constructor(sloppy: { readonly tcp: boolean; readonly sctp: boolean }) {
    this.#sloppy = sloppy
  }

  /** The timeline of an entry, begun where it is new. */
  of(connection: Connection): Timeline {
    if (connection.note !== undefined) return connection.note as Timeline
    const value = connectionValue(connection, connection.createdMs)
    const { controller } = connection
    const { protocol, client, virtual, flags } = value
    const ends = `${protocol} ${endpoint(client)} -> ${endpoint(virtual)}`
    const label = flags.includes('TEMPLATE') ? `${ends} (template)` : ends
    const timeline: Timeline = {
      label,
      protocol: value.protocol,
      isTemplate: connection.template,
      controller: controller === undefined ? undefined : this.of(controller),
      createdMs: connection.createdMs,
      lastMs: connection.createdMs,
      endedMs: undefined,
      isAnnounced: false,
      held: []
    }
    connection.note = timeline
    this.all.push(timeline)
    this.#byKey.set(keyOf(value), timeline)
    return timeline
  }

  /** A backup has received a record. */
  received(record: WireConnection, now: TimestampMs): void {
    const timeline = this.#byKey.get(keyOf(record))
    if (timeline === undefined) return
    const until = now + (record.timeout === undefined || record.timeout === 0 ? DEFAULT_TIMEOUT : record.timeout) * 1000
    const last = timeline.held.at(-1)
    if (last === undefined || last[1] < now) timeline.held.push([now, until])
    else timeline.held[timeline.held.length - 1] = [last[0], until]
  }

  /** Connections whose packets go on after a failover at this time, and that no backup could carry on. */
  lostAt(time: TimestampMs): Timeline[] {
    return this.all.filter((timeline) => this.#lostSpans(timeline).some(([from, to]) => from <= time && time < to))
  }

  /** What a failover would lose, over all moments. */
  losses(from: TimestampMs, to: TimestampMs): Course {
    return courseOf(
      this.all.flatMap((timeline) => this.#lostSpans(timeline)),
      from,
      to
    )
  }

  /** Live connections over all moments. */
  live(from: TimestampMs, to: TimestampMs): Course {
    const spans = this.all
      .filter(({ isTemplate }) => !isTemplate)
      .map(({ createdMs, lastMs }): Span => [createdMs, lastMs])
    return courseOf(spans, from, to)
  }

  /** Entries that a backup holds over all moments. */
  held(from: TimestampMs, to: TimestampMs): Course {
    return courseOf(
      this.all.flatMap(({ held }) => held),
      from,
      to
    )
  }

  /** Entries that a backup holds and the director no longer has. */
  ghosts(from: TimestampMs, to: TimestampMs): Course {
    const spans = this.all.flatMap(({ held, endedMs }) =>
      endedMs === undefined ? [] : held.map(([start, end]): Span => [Math.max(start, endedMs), end])
    )
    return courseOf(spans, from, to)
  }

  /** From creation to the last packet, less when a backup could have carried it on. */
  #lostSpans(timeline: Timeline): Span[] {
    if (timeline.isTemplate) return []
    const saved = [...timeline.held, ...this.#heldByTemplate(timeline)].sort(([one], [other]) => one - other)
    const lost: Span[] = []
    let from = timeline.createdMs
    for (const [start, end] of saved) {
      if (start > from) lost.push([from, Math.min(start, timeline.lastMs)])
      from = Math.max(from, end)
    }
    lost.push([from, timeline.lastMs])
    return lost.filter(([start, end]) => end > start)
  }

  /** A template alone is enough where the new master takes the connection up in mid-stream. */
  #heldByTemplate({ controller, protocol }: Timeline): readonly Span[] {
    if (controller?.isTemplate !== true) return []
    const isTaken = protocol === 'TCP' ? this.#sloppy.tcp : protocol !== 'SCTP' || this.#sloppy.sctp
    return isTaken ? controller.held : []
  }
}

function endpoint({ address, port }: { readonly address: string; readonly port: number }): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

function keyOf({ protocol, client, virtual, engine }: WireConnection): string {
  return `${protocol} ${client.address} ${client.port} ${virtual.address} ${virtual.port} ${engine?.data ?? ''}`
}

/** How many spans overlap, over time from `from` to `to`. */
function courseOf(spans: readonly Span[], from: TimestampMs, to: TimestampMs): Course {
  const steps: (readonly [time: TimestampMs, by: number])[] = []
  for (const [start, end] of spans) {
    const [first, last] = [Math.max(start, from), Math.min(end, to)]
    if (last > first) steps.push([first, 1], [last, -1])
  }
  steps.sort(([one, oneBy], [other, otherBy]) => one - other || oneBy - otherBy)
  let [count, area, at] = [0, 0, from]
  let worst: Peak = { count: 0, atMs: from }
  for (const [time, by] of steps) {
    area += count * (time - at)
    at = time
    count += by
    if (count > worst.count) worst = { count, atMs: time }
  }
  return { mean: to > from ? area / (to - from) : 0, worst }
}
