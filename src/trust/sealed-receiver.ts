/**
 * A receiving transport that verifies sealed messages, passes them on without their trailers, and requests what is missing.
 *
 * A repaired message is older than what was received meanwhile. Of its records those pass whose connections no later message
 * of the same sender and channel mentions, so that a repair never brings back an older state.
 *
 * A sender whose messages are authentic but stale is challenged; once it has responded, its own clock counts.
 *
 * @module
 */

import { demandKnownOptions, type OptionNames } from '../demand.js'
import { LRUCache } from 'lru-cache'
import type {
  ReceivingTransport,
  SealReport,
  Sender,
  SendingTransport,
  TransportHandlers
} from '../transport/transport.js'
import type { Milliseconds } from '../units.js'
import { ClockChallenges } from './clock-challenges.js'
import { KnownConnections } from './known-connections.js'
import { decodeRepairMessage, encodeRepairMessage, MAX_REQUESTED, type RepairMessage } from './repair-messages.js'
import { REPLAY_WINDOW } from './replay-window.js'
import { SecondLimit } from './second-limit.js'
import type { Sealer } from './sealer.js'
import type { TrustClock } from './sealed-sender.js'
import { removeTrailer, REPAIR_OFFERED, type Trailer } from './trailer.js'
import { senderName, VERDICTS, type Verdict, type Verifier } from './verifier.js'

/** When a missing message is requested, counted from when the gap was noticed: late ones arrive by themselves. */
const REQUESTS: readonly Milliseconds[] = [30, 90, 200, 400]
/** Requests a second to all senders, at most. */
const REQUESTS_A_SECOND = 100
/** Messages kept behind a gap, for each sender and channel. */
const MAX_LATER = 1024
/** Senders' channels with a gap that are remembered. */
const MAX_GAPS = 256
/** Senders' channels in a report: series of metrics must not grow with them. */
const MAX_REPORTED = 64

/** Options of a {@link SealedReceiver}. */
export interface SealedReceiverOptions {
  readonly verifier: Verifier
  /** Drops what is unsigned or signed with an unknown key. False by default: such messages are passed on, and counted. */
  readonly requireKey?: boolean
  readonly syncid: number
  readonly clock: TrustClock
  /** The group's channel that the inner receiver's first one is. 0 by default. */
  readonly firstChannel?: number
  /** Sends requests for repair and challenges to stale senders. Without it gaps and stale messages are counted only. */
  readonly repair?: { readonly sender: SendingTransport; readonly sealer: Sealer }
  /** Is called for every message that is not valid. */
  readonly onVerdict?: (verdict: Exclude<Verdict, 'VALID'>, from: Sender, dropped: boolean) => void
}

/** One sender's channel while messages are missing. */
interface Gap {
  /** Later messages, as they were received. */
  readonly later: { readonly sequence: number; readonly bytes: Uint8Array }[]
  /** Requests of this round so far; undefined where no timer runs. */
  round: number | undefined
  /** Up to this sequence nothing is requested any more. */
  abandoned: number
  cancel: () => void
}

/** Names of the options. */
const OPTIONS: OptionNames<SealedReceiverOptions> = {
  verifier: true,
  requireKey: true,
  syncid: true,
  clock: true,
  firstChannel: true,
  repair: true,
  onVerdict: true
}

/** Verifies for a backup or an agent. */
export class SealedReceiver implements ReceivingTransport {
  readonly #inner: ReceivingTransport
  readonly #options: SealedReceiverOptions
  readonly #gaps = new LRUCache<string, Gap>({ max: MAX_GAPS, dispose: ({ cancel }) => cancel() })
  readonly #requestLimit = new SecondLimit(REQUESTS_A_SECOND)
  readonly #challenges: ClockChallenges | undefined
  #handlers: TransportHandlers = {}
  #counts = { requests: 0, repaired: 0, outdated: 0, lost: 0 }

  /**
   * @param inner - Receives the sealed messages.
   * @param options - Its verifier, and how it repairs.
   */
  constructor(inner: ReceivingTransport, options: SealedReceiverOptions) {
    demandKnownOptions(options, OPTIONS)
    this.#inner = inner
    this.#options = options
    const { repair, verifier } = options
    this.#challenges = repair && new ClockChallenges(repair.sealer.sender, verifier)
  }

  get channels(): number {
    return this.#inner.channels
  }

  get description(): string {
    return `${this.#inner.description}, ${this.#options.requireKey === true ? 'sealed messages only' : 'verifying'}`
  }

  sealReport(): SealReport {
    const { verifier } = this.#options
    const verdicts = Object.fromEntries(VERDICTS.map((verdict) => [verdict, verifier.count(verdict)]))
    const sequences = verifier.sequences().sort((one, other) => other.received - one.received)
    return { verdicts, sequences: sequences.slice(0, MAX_REPORTED), ...this.#counts }
  }

  async start(handlers: TransportHandlers): Promise<void> {
    this.#handlers = handlers
    await this.#inner.start({
      ...handlers,
      onDatagram: (bytes, from, channel) => {
        const repair = decodeRepairMessage(bytes)
        if (repair?.kind === 'repeat') {
          // Passes on those records of a repaired message that no later message has.
          const { verifier, firstChannel = 0 } = this.#options
          const { verdict, trailer } = verifier.verify(repair.sealed)
          // Others requested it too: a repeat of what this receiver has is no attack, and no finding.
          if (verdict === 'VALID') {
            this.#counts.repaired++
            const message = removeTrailer(repair.sealed)
            const { sender, channel, sequence } = trailer!
            if (decodeRepairMessage(message) === undefined) {
              const later =
                this.#gaps.get(gapName(sender, channel))?.later.filter((other) => other.sequence > sequence) ?? []
              const known = new KnownConnections()
              for (const { bytes } of later) known.add(bytes)
              const current = known.without(message)
              this.#counts.outdated += current.omitted
              if (current.message !== undefined)
                this.#handlers.onDatagram?.(current.message, from, channel - firstChannel)
            }
            this.#noticeGap(trailer!, message)
          }
        } else {
          const { verifier, requireKey = false, firstChannel = 0, onVerdict, clock } = this.#options
          const { verdict, trailer } = verifier.verify(bytes, channel + firstChannel)
          const message = trailer === undefined ? bytes : removeTrailer(bytes)
          const repair = verdict === 'VALID' || verdict === 'STALE' ? decodeRepairMessage(message) : undefined
          if (repair?.kind === 'challenge' || repair?.kind === 'response')
            this.#send(this.#challenges?.handle(repair, trailer!, clock.now()))
          if (verdict === 'VALID') {
            // Messages of this layer are not passed on; they still count in their sender's sequence.
            if (repair === undefined) this.#handlers.onDatagram?.(message, from, channel)
            this.#noticeGap(trailer!, message)
          } else {
            const isDropped = requireKey || (verdict !== 'UNSIGNED' && verdict !== 'UNKNOWN_KEY')
            onVerdict?.(verdict, from, isDropped)
            this.#noticeAtPowers(`SEAL_${verdict}`, verifier.count(verdict), (count) => {
              return `${count} messages ${isDropped ? 'dropped' : 'applied without proof'} (${verdict}), last from ${from.address}`
            })
            if (!isDropped) this.#handlers.onDatagram?.(message, from, channel)
            if (verdict === 'STALE' && repair === undefined)
              this.#send(this.#challenges?.challenge(trailer!, clock.now()))
          }
        }
      }
    })
    const { onNotice, onError } = handlers
    await this.#options.repair?.sender.start({
      ...(onNotice !== undefined && { onNotice }),
      ...(onError !== undefined && { onError })
    })
  }

  receiveDrops(): number | undefined {
    return this.#inner.receiveDrops()
  }

  async close(): Promise<void> {
    this.#gaps.clear()
    await this.#options.repair?.sender.close()
    await this.#inner.close()
  }

  #send(message: RepairMessage | undefined): boolean {
    const { repair, syncid } = this.#options
    if (message === undefined || repair?.sender.writable(0) !== true) return false
    repair.sender.send(0, repair.sealer.seal(encodeRepairMessage(message, syncid), 0))
    return true
  }

  /** Reports a count at every power of two: a flood of messages must not become a flood of lines. */
  #noticeAtPowers(code: `SEAL_${string}`, count: number, text: (count: number) => string): void {
    if ((count & (count - 1)) === 0) this.#handlers.onNotice?.({ code, message: text(count) })
  }

  #noticeGap({ sender, channel, sequence, flags }: Trailer, message: Uint8Array): void {
    const { repair, verifier } = this.#options
    if (repair === undefined || (flags & REPAIR_OFFERED) === 0) return
    const name = gapName(sender, channel)
    const gap = this.#gaps.get(name) ?? { later: [], round: undefined, abandoned: 0, cancel: () => undefined }
    if (verifier.window(sender, channel)!.missing(1, gap.abandoned).length === 0) {
      gap.cancel()
      if (gap.abandoned === 0) this.#gaps.delete(name)
      else Object.assign(gap, { round: undefined, later: [] })
      return
    }
    this.#gaps.set(name, gap)
    if (gap.later.length < MAX_LATER) gap.later.push({ sequence, bytes: message })
    if (gap.round === undefined) this.#schedule(gap, sender, channel, 0)
  }

  #schedule(gap: Gap, sender: bigint, channel: number, round: number): void {
    const { clock, verifier } = this.#options
    const missing = (limit: number): number[] => verifier.window(sender, channel)?.missing(limit, gap.abandoned) ?? []
    const delay = REQUESTS[round]
    gap.round = round
    if (delay === undefined) {
      // The sender no longer has them, or does not respond: the loss stays counted, and the next gap begins afresh.
      const lost = missing(REPLAY_WINDOW).length
      const before = this.#counts.lost
      this.#counts.lost += lost
      // One line where the count passes a power of two.
      if (lost > 0 && Math.clz32(before) !== Math.clz32(before + lost))
        this.#handlers.onNotice?.({
          code: 'SEAL_LOST',
          message: `${before + lost} messages lost in all, last ${lost} of sender ${senderName(sender)} on channel ${channel}`
        })
      gap.abandoned = verifier.window(sender, channel)?.highest ?? 0
      gap.round = undefined
      gap.later.length = 0
      return
    }
    gap.cancel = clock.after(delay - (REQUESTS[round - 1] ?? 0), () => {
      const sequences = missing(MAX_REQUESTED)
      if (sequences.length > 0 && this.#requestLimit.take(clock.now()))
        if (this.#send({ kind: 'request', sender, channel, sequences })) this.#counts.requests++
      this.#schedule(gap, sender, channel, round + 1)
    })
  }
}

function gapName(sender: bigint, channel: number): string {
  return `${sender}/${channel}`
}
