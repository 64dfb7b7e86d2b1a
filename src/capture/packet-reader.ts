/**
 * A capture, pushed in chunk by chunk, its datagrams handed to a sink: what every other reader of captures is built on.
 *
 * @module
 */

import type { Problem } from '../wire/problems.js'
import { ByteQueue } from './byte-queue.js'
import { Dissector } from './dissector.js'
import { captureFormat, FORMAT_BYTES } from './formats.js'
import type { CaptureCounts, DatagramSink, ReadCaptureOptions } from './items.js'
import { PcapParser } from './pcap-parser.js'
import { PcapngParser } from './pcapng-parser.js'
import { captureProblem } from './problems.js'
import type { PacketSink } from './raw-packet.js'

/** Reads pcap and pcapng synchronously. Chunks may be cut anywhere; memory does not grow with the capture. */
export class PacketReader {
  readonly #queue = new ByteQueue()
  readonly #dissector: Dissector
  readonly #sink: DatagramSink
  readonly #packetSink: PacketSink
  #parser: PcapParser | PcapngParser | undefined
  #isDamaged = false
  #packets = 0

  /**
   * @param options - Which ports, and how much may wait for fragments.
   * @param sink - Receives datagrams and problems.
   * @throws {IpvsSyncError} `ERR_CONFIG` when a port or range is not valid.
   */
  constructor(options: ReadCaptureOptions, sink: DatagramSink) {
    this.#sink = sink
    const dissector = (this.#dissector = new Dissector(options, sink))
    const finding = (packet: number | undefined): PacketSink['damage'] => {
      return (code, message, offset) => {
        sink.finding({ kind: 'problem', packet, problem: captureProblem(code, message, offset) })
      }
    }
    const packetSink: PacketSink = {
      packet: (packet) => dissector.packet(packet, ++this.#packets),
      skipped: () => (this.#packets += 1),
      unreadable: (...problem) => finding(++this.#packets)(...problem),
      damage: finding(undefined)
    }
    if (sink.plain !== undefined)
      packetSink.frame = (bytes, view, start, end, time) => {
        if (!dissector.frame(bytes, view, start, end, time, this.#packets + 1)) return false
        this.#packets += 1
        return true
      }
    this.#packetSink = packetSink
  }

  /** Whether the file is damaged where it stands: whatever is pushed from now on is ignored. */
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
   * @throws {IpvsSyncError} `ERR_CAPTURE` when the file is not a capture, is compressed, or has a link type that is not
   *   supported.
   */
  push(chunk: Uint8Array): void {
    if (this.#isDamaged) return
    this.#queue.append(chunk)
    if (this.#queue.length >= FORMAT_BYTES) this.#parser ??= this.#chooseParser()
    while (this.#parser !== undefined) {
      this.#isDamaged = !this.#parser.parse(this.#queue, this.#packetSink)
      if (!this.#parser.isOtherFormat) break
      this.#parser = this.#chooseParser()
    }
    this.#queue.retain()
  }

  /**
   * Ends the file: reports that it is cut off, if it is, and datagrams that still lack fragments.
   *
   * @param damage - Why it ends where it does, when the caller knows: replaces the problem that the file is cut off.
   * @throws {IpvsSyncError} `ERR_CAPTURE` when it was not a capture, or no packet was of a link type that is supported.
   */
  end(damage?: Problem): void {
    if (damage !== undefined) {
      const offset = this.#queue.position + this.#queue.length
      this.#sink.finding({ kind: 'problem', packet: undefined, problem: { ...damage, offset } })
    } else {
      this.#parser ??= this.#chooseParser()
      if (!this.#isDamaged) this.#parser.end(this.#queue, this.#packetSink)
    }
    this.#dissector.end()
  }

  #chooseParser(): PcapParser | PcapngParser {
    const { bytes, start, end } = this.#queue
    return captureFormat(bytes.subarray(start, end)) === 'pcap' ? new PcapParser() : new PcapngParser()
  }
}
