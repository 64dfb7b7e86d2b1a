/**
 * A receiving transport that verifies sealed messages, passes them on without their trailers, and requests what is missing.
 *
 * A repaired message is older than what was received meanwhile. Of its records those pass whose connections no later message
 * of the same sender and channel mentions, so that a repair never brings back an older state.
 *
 * @module
 */

import { LRUCache } from 'lru-cache'
import type { ReceivingTransport, Sender, SendingTransport, TransportHandlers } from '../transport/transport.js'
import type { Milliseconds, TimestampMs } from '../units.js'
import type { Connection } from '../wire/connection.js'
import { decodeMessage } from '../wire/decode-message.js'
import { encodeMessage } from '../wire/encode-message.js'
import { decodeRepairMessage, encodeRepairMessage, MAX_REQUESTED } from './repair-messages.js'
import type { Sealer } from './sealer.js'
import type { TrustClock } from './sealed-sender.js'
import { removeTrailer, REPAIR_OFFERED, type Trailer } from './trailer.js'
import type { Verdict, Verifier } from './verifier.js'

/** When a missing message is requested, counted from when the gap was noticed: late ones arrive by themselves. */
const REQUESTS: readonly Milliseconds[] = [30, 90, 200, 400]
/** Requests a second to all senders, at most. */
const REQUESTS_A_SECOND = 100
/** Messages kept behind a gap, for each sender and channel. */
const MAX_LATER = 1024
/** Senders' channels with a gap that are remembered. */
const MAX_GAPS = 256

/** Options of a {@link SealedReceiver}. */
export interface SealedReceiverOptions {
  readonly verifier: Verifier
  /** Drops what is unsigned or signed with an unknown key. False by default: such messages are passed on, and counted. */
  readonly requireKey?: boolean
  readonly syncid: number
  readonly clock: TrustClock
  /** The group's channel that the inner receiver's first one is. 0 by default. */
  readonly firstChannel?: number
  /** Sends requests for repair. Without it gaps are counted only. */
  readonly repair?: { readonly sender: SendingTransport; readonly sealer: Sealer }
  /** Is called for every message that is not valid. */
  readonly onVerdict?: (verdict: Exclude<Verdict, 'VALID'>, from: Sender, dropped: boolean) => void
}

/** What happened to messages that were missing. */
export interface GapCounts {
  /** Requests sent. */
  readonly requests: number
  /** Messages that a repair brought. */
  readonly repaired: number
  /** Records of repaired messages that were left out because a later message mentions their connection. */
  readonly outdated: number
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

/** Verifies for a backup or an agent. */
export class SealedReceiver implements ReceivingTransport {
  readonly #inner: ReceivingTransport
  readonly #options: SealedReceiverOptions
  readonly #gaps = new LRUCache<string, Gap>({ max: MAX_GAPS, dispose: ({ cancel }) => cancel() })
  #handlers: TransportHandlers = {}
  #counts = { requests: 0, repaired: 0, outdated: 0 }
  #second: { begin: TimestampMs; requests: number } = { begin: -Infinity, requests: 0 }

  /**
   * @param inner - Receives the sealed messages.
   * @param options - Its verifier, and how it repairs.
   */
  constructor(inner: ReceivingTransport, options: SealedReceiverOptions) {
    this.#inner = inner
    this.#options = options
  }

  get channels(): number {
    return this.#inner.channels
  }

  get description(): string {
    return `${this.#inner.description}, ${this.#options.requireKey === true ? 'sealed messages only' : 'verifying'}`
  }

  /** What was requested and repaired: a copy. */
  gapCounts(): GapCounts {
    return { ...this.#counts }
  }

  async start(handlers: TransportHandlers): Promise<void> {
    this.#handlers = handlers
    await this.#inner.start({ ...handlers, onDatagram: (bytes, from, channel) => this.#receive(bytes, from, channel) })
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

  #receive(bytes: Uint8Array, from: Sender, channel: number): void {
    const repair = decodeRepairMessage(bytes)
    if (repair?.kind === 'repeat') this.#receiveRepeat(repair.sealed, from)
    else this.#receiveSealed(bytes, from, channel)
  }

  #receiveSealed(bytes: Uint8Array, from: Sender, channel: number): void {
    const { verifier, requireKey = false, firstChannel = 0 } = this.#options
    const { verdict, trailer } = verifier.verify(bytes, channel + firstChannel)
    if (verdict !== 'VALID') {
      const dropped = requireKey || (verdict !== 'UNSIGNED' && verdict !== 'UNKNOWN_KEY')
      this.#report(verdict, from, dropped)
      if (!dropped) this.#handlers.onDatagram?.(trailer === undefined ? bytes : removeTrailer(bytes), from, channel)
      return
    }
    const message = removeTrailer(bytes)
    // Requests and pulses are for this layer alone; both still count in their sender's sequence.
    if (decodeRepairMessage(message) === undefined) this.#handlers.onDatagram?.(message, from, channel)
    this.#noticeGap(trailer!, message)
  }

  /** Notices come at every power of two: a flood of forged messages must not become a flood of lines. */
  #report(verdict: Exclude<Verdict, 'VALID'>, from: Sender, dropped: boolean): void {
    this.#options.onVerdict?.(verdict, from, dropped)
    const count = this.#options.verifier.count(verdict)
    if ((count & (count - 1)) !== 0) return
    const outcome = dropped ? 'dropped' : 'applied without proof'
    this.#handlers.onNotice?.({
      code: `SEAL_${verdict}`,
      message: `${count} messages ${outcome} (${verdict}), last from ${from.address}`
    })
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
    const delay = REQUESTS[round]
    gap.round = round
    if (delay === undefined) {
      // The sender no longer has them, or nobody answers: the loss stays counted, and the next gap begins afresh.
      gap.abandoned = verifier.window(sender, channel)?.highest ?? 0
      gap.round = undefined
      gap.later.length = 0
      return
    }
    gap.cancel = clock.after(delay - (REQUESTS[round - 1] ?? 0), () => {
      this.#request(sender, channel, gap.abandoned)
      this.#schedule(gap, sender, channel, round + 1)
    })
  }

  #request(sender: bigint, channel: number, after: number): void {
    const { repair, verifier, clock, syncid } = this.#options
    const sequences = verifier.window(sender, channel)?.missing(MAX_REQUESTED, after) ?? []
    const now = clock.now()
    if (now - this.#second.begin >= 1000) this.#second = { begin: now, requests: 0 }
    if (sequences.length === 0 || this.#second.requests >= REQUESTS_A_SECOND || !repair!.sender.writable(0)) return
    this.#second.requests++
    this.#counts.requests++
    const request = encodeRepairMessage({ kind: 'request', sender, channel, sequences }, syncid)
    repair!.sender.send(0, repair!.sealer.seal(request, 0))
  }

  #receiveRepeat(sealed: Uint8Array, from: Sender): void {
    const { verifier, firstChannel = 0 } = this.#options
    const { verdict, trailer } = verifier.verify(sealed)
    // Others requested it too: a repeat of what this receiver has is no attack, and no finding.
    if (verdict !== 'VALID') return
    this.#counts.repaired++
    const message = removeTrailer(sealed)
    const { sender, channel, sequence } = trailer!
    const later = this.#gaps.get(gapName(sender, channel))?.later.filter((other) => other.sequence > sequence) ?? []
    if (decodeRepairMessage(message) === undefined) {
      const current = this.#withoutOutdated(
        message,
        later.map(({ bytes }) => bytes)
      )
      if (current !== undefined) this.#handlers.onDatagram?.(current, from, channel - firstChannel)
    }
    this.#noticeGap(trailer!, message)
  }

  /** Leaves out the records that a later message mentions; undefined if none remains. */
  #withoutOutdated(message: Uint8Array, later: readonly Uint8Array[]): Uint8Array | undefined {
    const mentioned = new Set(later.flatMap((bytes) => decodeMessage(bytes).connections.map(keyOf)))
    const { version, syncid, connections } = decodeMessage(message)
    const current = connections.filter((connection) => !mentioned.has(keyOf(connection)))
    this.#counts.outdated += connections.length - current.length
    if (current.length === connections.length) return message
    return current.length === 0 ? undefined : encodeMessage({ version, syncid, connections: current })
  }
}

function gapName(sender: bigint, channel: number): string {
  return `${sender}/${channel}`
}

function keyOf({ family, protocol, client, virtual, flags, fwmark }: Connection): string {
  const template = flags.includes('TEMPLATE') ? `template ${fwmark ?? 0}` : ''
  return `${family} ${protocol} ${client.address} ${client.port} ${virtual.address} ${virtual.port} ${template}`
}
