/**
 * One run of the model over the traffic.
 *
 * @module
 */
import { Director } from '../../director/director.js'
import type { ObserverCounts } from '../../director/observer.js'
import { MasterEngine } from '../../engine/index.js'
import type { Sysctls } from '../../sysctl/settings.js'
import { seededChance } from '../../transport/chance.js'
import type { TimestampMs } from '../../units.js'
import { decodeMessage, type DecodedMessage } from '../../wire/index.js'
import type { Io } from '../io.js'
import { feed, type Inputs, type OnPacket } from './inputs.js'
import { Timelines } from './timelines.js'

/** A message that the director would send. */
export interface SentMessage {
  readonly timeMs: TimestampMs
  readonly channel: number
  readonly message: DecodedMessage
}

/** Options of a run, besides its inputs. */
export interface RunOptions {
  readonly settings: Sysctls
  /** Probability that a message is lost, 0…1. */
  readonly loss: number
  readonly seed: number
  readonly onMessage?: (sent: SentMessage) => void
  readonly onPacket?: OnPacket
}

/** What came of a run. */
export interface RunResult {
  readonly counts: ObserverCounts
  readonly firstMs: TimestampMs
  readonly lastMs: TimestampMs
  readonly timelines: Timelines
  readonly messages: number
  readonly lostMessages: number
  readonly records: number
  readonly bytes: number
  readonly peakRecords: number
  readonly peakBytes: number
  /** Packets by reason of the outcome. */
  readonly reasons: ReadonlyMap<string, number>
}

/** The most in any whole second. */
class PeakRate {
  most = 0
  #second = NaN
  #sum = 0

  add(timeMs: TimestampMs, amount: number): void {
    const second = Math.floor(timeMs / 1000)
    this.#sum = second === this.#second ? this.#sum + amount : amount
    this.#second = second
    this.most = Math.max(this.most, this.#sum)
  }
}

/** Runs the traffic through a director with these settings. */
export async function simulate(inputs: Inputs, options: RunOptions, io: Pick<Io, 'stdin'>): Promise<RunResult> {
  const { settings, loss, seed } = options
  const master = new MasterEngine({ syncid: inputs.options.syncid, settings })
  const timelines = new Timelines({ tcp: settings.sloppyTcp !== 0, sctp: settings.sloppySctp !== 0 })
  const chance = seededChance(seed)
  const reasons = new Map<string, number>()
  const total = { messages: 0, lostMessages: 0, records: 0, bytes: 0 }
  const [recordRate, byteRate] = [new PeakRate(), new PeakRate()]
  let [firstMs, lastMs] = [NaN, NaN]
  const drain = (now: TimestampMs): void => {
    for (let datagram = master.pollTransmit(); datagram !== undefined; datagram = master.pollTransmit()) {
      const message = decodeMessage(datagram.bytes)
      total.messages++
      total.records += datagram.connections
      total.bytes += datagram.bytes.length
      recordRate.add(now, datagram.connections)
      byteRate.add(now, datagram.bytes.length)
      options.onMessage?.({ timeMs: now, channel: datagram.channel, message })
      if (loss > 0 && chance() < loss) total.lostMessages++
      else for (const connection of message.connections) timelines.received(connection, now)
    }
  }
  const advance = (now: TimestampMs): void => {
    for (let due = master.nextTimeout(); due <= now; due = master.nextTimeout()) {
      master.handleTimeout(due)
      drain(due)
      if (master.nextTimeout() <= due) break
    }
  }
  const make = (made: ConstructorParameters<typeof Director>[0]): Director =>
    new Director({
      ...made,
      settings,
      master,
      seed,
      onAnnounce: (connection) => void (timelines.of(connection).isAnnounced = true),
      onEnd: (connection, _, now) => void (timelines.of(connection).endedMs ??= now)
    })
  const counts = await feed({ ...inputs, settings }, make, io, (outcome, packet, now) => {
    advance(now)
    if (Number.isNaN(firstMs)) firstMs = now
    lastMs = now
    reasons.set(outcome.reason, (reasons.get(outcome.reason) ?? 0) + 1)
    if (outcome.connection !== undefined) timelines.of(outcome.connection).lastMs = now
    options.onPacket?.(outcome, packet, now)
  })
  // The clock stops with the last packet; what the master holds is then sent.
  master.close(lastMs || 1)
  drain(lastMs)
  return {
    ...total,
    counts,
    firstMs,
    lastMs,
    timelines,
    peakRecords: recordRate.most,
    peakBytes: byteRate.most,
    reasons
  }
}
