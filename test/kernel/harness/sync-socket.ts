import { createSocket, type Socket } from 'node:dgram'

/** A datagram as the scenario heard it. */
export interface Heard {
  readonly bytes: Uint8Array
  readonly address: string
  readonly port: number
  /** The port it came in at, which tells the channel. */
  readonly localPort: number
  /** `Date.now()` at arrival. */
  readonly at: number
}

/** A plain multicast socket for each port: nothing of ours, so that it judges ours as well. */
export class SyncSocket {
  readonly heard: Heard[] = []
  readonly #sockets = new Map<number, Socket>()
  readonly #interface: string
  readonly #group: string

  private constructor(address: string, group: string) {
    this.#interface = address
    this.#group = group
  }

  /**
   * @param address - Own address on the sync network; it selects the interface.
   * @param ports - The ports to hear.
   */
  static async open(address: string, ports: readonly number[] = [8848], group = '224.0.0.81'): Promise<SyncSocket> {
    const opened = new SyncSocket(address, group)
    for (const port of ports) await opened.#listen(port)
    return opened
  }

  /** Sends a datagram to the group. Resolves when the kernel has taken it. */
  async send(bytes: Uint8Array, port = 8848, group = this.#group): Promise<void> {
    const socket = this.#sockets.get(8848) ?? [...this.#sockets.values()][0]!
    return new Promise((resolve, reject) => {
      socket.send(bytes, port, group, (error) => {
        if (error === null) resolve()
        else reject(error)
      })
    })
  }

  /** What was heard since the last call. */
  take(): Heard[] {
    return this.heard.splice(0)
  }

  close(): void {
    for (const socket of this.#sockets.values()) socket.close()
  }

  async #listen(port: number): Promise<void> {
    const ipv6 = this.#group.includes(':')
    const socket = createSocket({ type: ipv6 ? 'udp6' : 'udp4', reuseAddr: true, recvBufferSize: 16 << 20 })
    socket.on('message', (message, { address, port: from }) => {
      this.heard.push({ bytes: new Uint8Array(message), address, port: from, localPort: port, at: Date.now() })
    })
    await new Promise<void>((resolve) => socket.bind(port, this.#group, resolve))
    socket.addMembership(this.#group, this.#interface)
    socket.setMulticastInterface(this.#interface)
    socket.setMulticastLoopback(false)
    this.#sockets.set(port, socket)
  }
}
