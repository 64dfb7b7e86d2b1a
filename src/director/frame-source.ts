/**
 * The frames of a capture file, pushed in chunk by chunk.
 *
 * @module
 */
import { ByteQueue } from '../capture/byte-queue.js'
import { captureFormat, FORMAT_BYTES } from '../capture/formats.js'
import { PcapParser } from '../capture/pcap-parser.js'
import { PcapngParser } from '../capture/pcapng-parser.js'
import type { PacketSink, RawPacket } from '../capture/raw-packet.js'

/** Reads pcap and pcapng, and hands over each frame. */
export class FrameSource {
  /** Frames that the file format or link type keeps from being read. */
  skipped = 0
  /** Messages about damage to the file. */
  readonly damage: string[] = []
  readonly #queue = new ByteQueue()
  readonly #sink: PacketSink
  #parser: PcapParser | PcapngParser | undefined
  #isDamaged = false

  /** @param onFrame - Gets each frame; its bytes are good until it returns. */
  constructor(onFrame: (frame: RawPacket) => void) {
    this.#sink = {
      packet: onFrame,
      skipped: () => (this.skipped += 1),
      unreadable: () => (this.skipped += 1),
      damage: (_, message) => void this.damage.push(message)
    }
  }

  /**
   * Takes a chunk.
   *
   * @throws IpvsSyncError `ERR_CAPTURE` where the file is no capture.
   */
  push(chunk: Uint8Array): void {
    if (this.#isDamaged) return
    this.#queue.append(chunk)
    if (this.#queue.length >= FORMAT_BYTES) this.#parser ??= this.#chooseParser()
    if (this.#parser !== undefined) this.#isDamaged = !this.#parser.parse(this.#queue, this.#sink)
    this.#queue.retain()
  }

  /**
   * Ends the file.
   *
   * @throws IpvsSyncError `ERR_CAPTURE` where it was no capture.
   */
  end(): void {
    this.#parser ??= this.#chooseParser()
    if (!this.#isDamaged) this.#parser.end(this.#queue, this.#sink)
  }

  #chooseParser(): PcapParser | PcapngParser {
    const { bytes, start, end } = this.#queue
    return captureFormat(bytes.subarray(start, end)) === 'pcap' ? new PcapParser() : new PcapngParser()
  }
}
