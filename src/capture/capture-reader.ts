/**
 * A capture, pushed in chunk by chunk: what `readCapture` is built on.
 *
 * @module
 */

import type { Problem } from '../wire/problems.js'
import { ByteQueue } from './byte-queue.js'
import { Dissector } from './dissector.js'
import { captureFormat, FORMAT_BYTES } from './formats.js'
import type { CaptureCounts, CaptureItem, ReadCaptureOptions } from './items.js'
import { PcapParser } from './pcap-parser.js'
import { PcapngParser } from './pcapng-parser.js'
import { captureProblem } from './problems.js'
import type { PacketSink } from './raw-packet.js'

/**
 * Reads pcap and pcapng synchronously: push what has come, take what it held. Chunks may be cut anywhere; memory does
 * not grow with the capture.
 *
 * @example
 * ```ts
 * const reader = new CaptureReader({ ports: [[8848, 8911]] })
 * const items = [...reader.push(bytes), ...reader.end()]
 * ```
 */
export class CaptureReader {
  readonly #queue = new ByteQueue()
  readonly #dissector: Dissector
  readonly #sink: PacketSink
  #out: CaptureItem[] = []
  #parser: PcapParser | PcapngParser | undefined
  #isDamaged = false
  #packets = 0

  /**
   * @param options - Which ports, and how much may wait for fragments.
   * @throws {IpvsSyncError} `ERR_CONFIG` when a port or range is none.
   */
  constructor(options: ReadCaptureOptions = {}) {
    this.#dissector = new Dissector(options, (item) => this.#out.push(item))
    const finding = (packet: number | undefined): PacketSink['damage'] => {
      return (code, message, offset) => {
        this.#out.push({ kind: 'problem', packet, problem: captureProblem(code, message, offset) })
      }
    }
    this.#sink = {
      packet: (packet) => this.#dissector.packet(packet, ++this.#packets),
      skipped: () => (this.#packets += 1),
      unreadable: (...problem) => finding(++this.#packets)(...problem),
      damage: finding(undefined)
    }
  }

  /** Whether the file is damaged where it stands: whatever is pushed from now on is passed over. */
  get isDamaged(): boolean {
    return this.#isDamaged
  }

  /** What was counted so far. */
  get counts(): CaptureCounts {
    return {
      packets: this.#packets,
      datagrams: this.#dissector.datagrams,
      bytes: this.#queue.position,
      otherPorts: this.#dissector.otherPorts
    }
  }

  /**
   * Takes a chunk in. It is not kept: its memory may be used again.
   *
   * @returns The datagrams that are complete now, and problems, in the file's order.
   * @throws {IpvsSyncError} `ERR_CAPTURE` when the file is no capture, is in gzip (`readCapture` reads that), or is of a
   *   link type that is not read.
   */
  push(chunk: Uint8Array): CaptureItem[] {
    if (this.#isDamaged) return []
    this.#queue.append(chunk)
    if (this.#queue.length >= FORMAT_BYTES) this.#parser ??= this.#chooseParser()
    if (this.#parser !== undefined) this.#isDamaged = !this.#parser.parse(this.#queue, this.#sink)
    this.#queue.retain()
    return this.#take()
  }

  /**
   * The file ends.
   *
   * @param damage - Why it ends where it does, when whoever pushes knows: stands in place of the cut that it made.
   * @returns The problem that it is cut off, if it is; datagrams that still lack fragments.
   * @throws {IpvsSyncError} `ERR_CAPTURE` when it was no capture, or no packet was of a link type that can be read.
   */
  end(damage?: Problem): CaptureItem[] {
    if (damage === undefined) this.#finish()
    else {
      const offset = this.#queue.position + this.#queue.length
      this.#out.push({ kind: 'problem', packet: undefined, problem: { ...damage, offset } })
    }
    this.#dissector.end()
    return this.#take()
  }

  #finish(): void {
    this.#parser ??= this.#chooseParser()
    if (!this.#isDamaged) this.#parser.end(this.#queue, this.#sink)
  }

  #chooseParser(): PcapParser | PcapngParser {
    const { bytes, start, end } = this.#queue
    return captureFormat(bytes.subarray(start, end)) === 'pcap' ? new PcapParser() : new PcapngParser()
  }

  #take(): CaptureItem[] {
    const out = this.#out
    this.#out = []
    return out
  }
}
