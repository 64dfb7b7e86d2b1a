/**
 * Sockets on the ports of a group beyond those of a backup: a master with a larger sync_ports sends there, and nothing else
 * shows it.
 *
 * @module
 */

import type { Socket } from 'node:dgram'
import type { Bytes } from '../units.js'
import { MAX_CHANNELS } from '../wire/constants.js'
import { closeAll, openSocket } from './channel-sockets.js'
import { nodeSystem, type NetworkSystem } from './system.js'
import type { Sender } from './transport.js'
import { planUdp, type UdpOptions } from './udp-options.js'

/** Receive buffer of each socket: a few messages, since one is enough to report its sender. */
const BUFFER: Bytes = 8192
/** Highest UDP port. */
const LAST_PORT = 65_535

/** Receives on every channel from `channels` to 63 of a multicast group. */
export class PortsBeyond {
  readonly #options: UdpOptions
  readonly #system: NetworkSystem
  #sockets: readonly Socket[] = []
  #closed = false

  /**
   * @param options - Of the receiver whose ports come first: it joins the group, and Linux delivers the group's datagrams to
   * every socket of the host that is bound to their port.
   * @param system - The system's network.
   * @throws IpvsSyncError As `planUdp`.
   */
  constructor(options: UdpOptions, system: NetworkSystem = nodeSystem) {
    this.#options = options
    this.#system = system
  }

  /**
   * Opens the sockets; a port that another program holds alone is left out. Unicast has none: a socket on a unicast port
   * would take the datagrams of a program that opens it later.
   *
   * @param onDatagram - Called with each datagram and its channel.
   */
  async open(onDatagram: (bytes: Uint8Array, from: Sender, channel: number) => void): Promise<void> {
    const { family, group, port, peers, interfaceName, channels } = planUdp(this.#options)
    if (peers.length > 0) return
    const last = Math.min(MAX_CHANNELS - 1, LAST_PORT - port)
    const address = family === 'ipv4' ? group : `${group}%${interfaceName}`
    const type = family === 'ipv4' ? 'udp4' : 'udp6'
    const opened = await Promise.allSettled(
      Array.from({ length: Math.max(0, last + 1 - channels) }, (_, index) => {
        const channel = channels + index
        return openSocket(this.#system, { type, reuseAddr: true }, { address, port: port + channel }, (socket) => {
          socket.setRecvBufferSize(BUFFER)
          socket.on('message', (bytes, from) => onDatagram(bytes, from, channel))
          socket.on('error', () => undefined)
          socket.unref()
        })
      })
    )
    this.#sockets = opened.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
    if (this.#closed) await this.close()
  }

  /** Closes the sockets. */
  async close(): Promise<void> {
    this.#closed = true
    const sockets = this.#sockets
    this.#sockets = []
    await closeAll(sockets)
  }
}
