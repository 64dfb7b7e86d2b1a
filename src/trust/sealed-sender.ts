/**
 * A sending transport that seals what it sends, and repeats what receivers request.
 *
 * @module
 */

import { demandKnownOptions, type OptionNames } from '../demand.js'
import type { ReceivingTransport, SendingTransport, SendReport, TransportHandlers } from '../transport/transport.js'
import type { Bytes, Milliseconds, TimestampMs } from '../units.js'
import { ClockChallenges } from './clock-challenges.js'
import { decodeRepairMessage, encodeRepairMessage, REPEAT_OVERHEAD, type ClockMessage } from './repair-messages.js'
import { SecondLimit } from './second-limit.js'
import type { Sealer } from './sealer.js'
import { removeTrailer, TRAILER_LENGTH } from './trailer.js'
import type { Verifier } from './verifier.js'

/** A clock with timers: the daemon's. */
export interface TrustClock {
  now(): TimestampMs
  after(delay: Milliseconds, callback: () => void): () => void
}

/** What sealing and repair take from a message's maximum length, in bytes. */
export const SEAL_OVERHEAD: Bytes = TRAILER_LENGTH + REPEAT_OVERHEAD

/** When pulses follow the last message of a channel, so that the loss of the last message is noticed. */
const PULSES: readonly Milliseconds[] = [100, 200, 400]
/** Repeats a second, at most: a request costs its sender less than the repeats cost us. */
const REPEATS_A_SECOND = 5000

/** Options of a {@link SealedSender}. */
export interface SealedSenderOptions {
  readonly sealer: Sealer
  readonly syncid: number
  readonly clock: TrustClock
  /** Receives requests for repair, verified by `verifier`. Without it nothing is kept or repeated. */
  readonly repair?: { readonly receiver: ReceivingTransport; readonly verifier: Verifier; readonly keepBytes?: Bytes }
}

/** What a {@link SealedSender} counted. */
export interface RepairCounts {
  /** Requests for messages of this sender. */
  readonly requests: number
  /** Messages repeated. */
  readonly repeated: number
  /** Requested messages that were no longer kept, were repeated just now, or exceeded the limit a second. */
  readonly refused: number
}

/** Names of the options. */
const OPTIONS: OptionNames<SealedSenderOptions> = { sealer: true, syncid: true, clock: true, repair: true }

/** Seals the messages of a master, an agent or a resync. */
export class SealedSender implements SendingTransport {
  readonly #inner: SendingTransport
  readonly #options: SealedSenderOptions
  readonly #sent: SentMessages
  readonly #pulses = new Map<number, () => void>()
  #counts = { requests: 0, repeated: 0, refused: 0 }
  readonly #repeatLimit = new SecondLimit(REPEATS_A_SECOND)
  readonly #challenges: ClockChallenges | undefined

  /**
   * @param inner - Carries the sealed messages.
   * @param options - Its sealer, and how it repairs.
   */
  constructor(inner: SendingTransport, options: SealedSenderOptions) {
    demandKnownOptions(options, OPTIONS)
    this.#inner = inner
    this.#options = options
    const { repair, sealer } = options
    this.#challenges = repair && new ClockChallenges(sealer.sender, repair.verifier)
    this.#sent = new SentMessages(options.repair?.keepBytes ?? 8 * 2 ** 20)
  }

  get channels(): number {
    return this.#inner.channels
  }

  get description(): string {
    return `${this.#inner.description}, sealed`
  }

  /** What was requested and repeated: a copy. */
  repairCounts(): RepairCounts {
    return { ...this.#counts }
  }

  async start(handlers: TransportHandlers): Promise<void> {
    await this.#inner.start(handlers)
    const { onNotice, onError } = handlers
    await this.#options.repair?.receiver.start({
      onDatagram: (bytes) => {
        const { repair, sealer, clock, syncid } = this.#options
        const { verdict, trailer } = repair!.verifier.verify(bytes)
        if (verdict !== 'VALID' && verdict !== 'STALE') return
        const message = decodeRepairMessage(removeTrailer(bytes))
        if (message === undefined || !('sender' in message) || message.sender !== sealer.sender) return
        let answer: ClockMessage | undefined
        if (message.kind !== 'request') answer = this.#challenges!.handle(message, trailer!, clock.now())
        else if (verdict === 'VALID') {
          const { channel, sequences } = message
          const now = this.#options.clock.now()
          this.#counts.requests++
          for (const sequence of sequences) {
            const isPossible = channel < this.channels && this.#inner.writable(channel)
            const sealed =
              isPossible && this.#repeatLimit.take(now) ? this.#sent.take(channel, sequence, now) : undefined
            if (sealed === undefined) {
              this.#counts.refused++
              continue
            }
            this.#counts.repeated++
            this.#inner.send(channel, encodeRepairMessage({ kind: 'repeat', channel, sealed }, this.#options.syncid))
          }
        } else answer = this.#challenges!.challenge(trailer!, clock.now())
        if (answer !== undefined && answer.channel < this.channels && this.#inner.writable(answer.channel))
          this.#send(answer.channel, encodeRepairMessage(answer, syncid))
      },
      ...(onNotice !== undefined && { onNotice }),
      ...(onError !== undefined && { onError })
    })
  }

  writable(channel: number): boolean {
    return this.#inner.writable(channel)
  }

  send(channel: number, bytes: Uint8Array): void {
    this.#send(channel, bytes)
    if (this.#options.repair !== undefined) this.#schedulePulse(channel, 0)
  }

  flush(): Promise<void> {
    return this.#inner.flush()
  }

  /** Pulses and repeats count as messages. */
  sendReport(): SendReport {
    return this.#inner.sendReport?.() ?? { errors: {}, undelivered: [], isUnreachable: false }
  }

  async close(): Promise<void> {
    for (const cancel of this.#pulses.values()) cancel()
    this.#pulses.clear()
    await this.#options.repair?.receiver.close()
    await this.#inner.close()
  }

  #send(channel: number, bytes: Uint8Array): void {
    const { sealer, repair } = this.#options
    const sealed = sealer.seal(bytes, channel)
    if (repair !== undefined) this.#sent.add(channel, sealer.lastSequence(channel), sealed)
    this.#inner.send(channel, sealed)
  }

  #schedulePulse(channel: number, round: number): void {
    this.#pulses.get(channel)?.()
    const delay = PULSES[round]
    if (delay === undefined) this.#pulses.delete(channel)
    else
      this.#pulses.set(
        channel,
        this.#options.clock.after(delay, () => {
          if (this.#inner.writable(channel))
            this.#send(channel, encodeRepairMessage({ kind: 'pulse', channel }, this.#options.syncid))
          this.#schedulePulse(channel, round + 1)
        })
      )
  }
}

/** A message is repeated at most once in this time, however many receivers request it. */
const REPEAT_INTERVAL: Milliseconds = 20

interface SentMessage {
  readonly bytes: Uint8Array
  repeatedAt: TimestampMs
}

/** The newest messages of every channel. */
export class SentMessages {
  readonly #limit: Bytes
  readonly #messages = new Map<string, SentMessage>()
  #bytes = 0

  /** @param limit - Bytes kept at most; the oldest messages make room. */
  constructor(limit: Bytes) {
    this.#limit = limit
  }

  /** Bytes kept. */
  get bytes(): Bytes {
    return this.#bytes
  }

  /** Keeps a message. */
  add(channel: number, sequence: number, bytes: Uint8Array): void {
    this.#messages.set(nameOf(channel, sequence), { bytes, repeatedAt: -Infinity })
    this.#bytes += bytes.length
    for (const [name, oldest] of this.#messages) {
      if (this.#bytes <= this.#limit) break
      this.#messages.delete(name)
      this.#bytes -= oldest.bytes.length
    }
  }

  /** Returns a message that is due for a repeat; undefined if it is gone, or was repeated just now. */
  take(channel: number, sequence: number, now: TimestampMs): Uint8Array | undefined {
    const message = this.#messages.get(nameOf(channel, sequence))
    if (message === undefined || now - message.repeatedAt < REPEAT_INTERVAL) return undefined
    message.repeatedAt = now
    return message.bytes
  }
}

function nameOf(channel: number, sequence: number): string {
  return `${channel}/${sequence}`
}
