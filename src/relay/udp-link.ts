/**
 * Links over UDP unicast: every frame is one encrypted datagram that fits the path MTU.
 *
 * @module
 */

import { demandKnownOptions, type OptionNames } from '../demand.js'
import type { RemoteInfo, Socket } from 'node:dgram'
import { addressFamily } from '../addresses.js'
import { IpvsSyncError } from '../errors.js'
import { openSocket } from '../transport/channel-sockets.js'
import { packetHeaders } from '../transport/sync-maxlen.js'
import { nodeSystem, type NetworkSystem } from '../transport/system.js'
import { CIPHER_OVERHEAD, FrameDecryptor, FrameEncryptor } from '../trust/frame-cipher.js'
import type { KeyRing } from '../trust/keys.js'
import type { Verdict } from '../trust/verifier.js'
import type { Bytes } from '../units.js'
import type { Link, LinkHandlers } from './link.js'

/** Port of links, by default. */
export const LINK_PORT = 8850

/** Smallest MTU that every IPv6 path has, and almost every IPv4 path: 1280. */
export const DEFAULT_LINK_MTU: Bytes = 1280

/** Datagrams that may wait in the socket; beyond that frames are dropped. */
const MAX_QUEUED: Bytes = 4 * 2 ** 20

/** Options of a {@link UdpLink}. */
export interface UdpLinkOptions {
  /** The other relay's address. */
  readonly address: string
  /** Its port, and this end's. */
  readonly port?: number
  readonly keys: KeyRing
  /** Largest IP packet of the path, in bytes. {@link DEFAULT_LINK_MTU} by default. */
  readonly mtu?: Bytes
  /** Address that the socket binds. All by default. */
  readonly bind?: string
  readonly wallClock?: () => number
  readonly system?: NetworkSystem
}

/** Names of the options. */
const OPTIONS: OptionNames<UdpLinkOptions> = {
  address: true,
  port: true,
  keys: true,
  mtu: true,
  bind: true,
  wallClock: true,
  system: true
}

/** A link to one other relay. */
export class UdpLink implements Link {
  readonly description: string
  readonly maxFrame: Bytes
  readonly #options: UdpLinkOptions
  readonly #port: number
  readonly #encryptor: FrameEncryptor
  readonly #decryptor: FrameDecryptor
  readonly #refused = new Map<Verdict, number>()
  #socket: Socket | undefined
  #dropped = 0

  /** @throws IpvsSyncError `ERR_CONFIG` for an address that is none. */
  constructor(options: UdpLinkOptions) {
    demandKnownOptions(options, OPTIONS)
    const { address, port = LINK_PORT, keys, wallClock, mtu = DEFAULT_LINK_MTU } = options
    const family = addressFamily(address)
    if (family === 0)
      throw new IpvsSyncError('ERR_CONFIG', `link: expected an IPv4 or IPv6 address, got "${address}"`, {
        field: 'link'
      })
    this.#options = options
    this.#port = port
    this.description = `udp://${family === 6 ? `[${address}]` : address}:${port}`
    this.maxFrame = mtu - packetHeaders(family === 6 ? 'ipv6' : 'ipv4') - CIPHER_OVERHEAD
    this.#encryptor = new FrameEncryptor(keys.signing, wallClock)
    this.#decryptor = new FrameDecryptor(keys, wallClock)
  }

  /** Returns how many datagrams were refused for this reason. */
  refused(verdict: Exclude<Verdict, 'VALID'>): number {
    return this.#refused.get(verdict) ?? 0
  }

  async start({ onFrame, onNotice, onError }: LinkHandlers): Promise<void> {
    const { address, bind, system = nodeSystem } = this.#options
    const type = addressFamily(address) === 4 ? 'udp4' : 'udp6'
    const local = { port: this.#port, ...(bind !== undefined && { address: bind }) }
    const socket = await openSocket(system, { type }, local, () => Promise.resolve())
    this.#socket = socket
    socket.on('error', (cause) =>
      onError(new IpvsSyncError('ERR_TRANSPORT', `${this.description}: ${cause.message}`, { cause }))
    )
    socket.on('message', (bytes: Buffer, from: RemoteInfo) => {
      const opened = this.#decryptor.decrypt(bytes)
      if ('frame' in opened) {
        onFrame(opened.frame)
        return
      }
      const count = this.refused(opened.verdict) + 1
      this.#refused.set(opened.verdict, count)
      // At every power of two: a flood of forged datagrams must not become a flood of lines.
      if ((count & (count - 1)) === 0)
        onNotice(
          `LINK_${opened.verdict}`,
          `${this.description}: ${count} datagrams refused (${opened.verdict}), last from ${from.address}`
        )
    })
  }

  send(_channel: number, frame: Uint8Array): void {
    const socket = this.#socket
    if (socket === undefined || socket.getSendQueueSize() > MAX_QUEUED) {
      this.#dropped++
      return
    }
    socket.send(this.#encryptor.encrypt(frame), this.#port, this.#options.address, (error) => {
      if (error !== null) this.#dropped++
    })
  }

  dropped(): number {
    return this.#dropped
  }

  async close(): Promise<void> {
    const socket = this.#socket
    this.#socket = undefined
    if (socket !== undefined) await new Promise<void>((resolve) => void socket.close(() => resolve()))
  }
}
