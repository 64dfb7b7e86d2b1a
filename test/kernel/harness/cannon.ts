import { createSocket, type Socket } from 'node:dgram'

const VXLAN_HEADER = 8
const ETHERNET_HEADER = 14
const ETHER_TYPE = { 4: 0x0800, 6: 0x86dd } as const

/**
 * The far end of the director's two legs: whole IP packets go in, as this program likes. Node has no raw
 * sockets, but a VXLAN tunnel is UDP: a datagram with the tunnel's header and a frame is a packet to the director.
 */
export class Cannon {
  readonly #clients: Socket
  readonly #servers: Socket
  /** Connected, so that a send needs no address lookup and has left the process when it returns. */
  readonly #senders: readonly [clients: Socket, servers: Socket]

  private constructor(clients: Socket, servers: Socket, senders: readonly [Socket, Socket]) {
    this.#clients = clients
    this.#servers = servers
    this.#senders = senders
  }

  /** Opens both ends on the loopback, where the director's tunnels send to. */
  static async open(): Promise<Cannon> {
    return new Cannon(await bind(5789), await bind(5790), [await connect(4789), await connect(4790)])
  }

  /** Sends a packet at once; the director has handled it when this returns. */
  shoot(packet: Uint8Array, from: 'client' | 'server'): void {
    const leg = from === 'client' ? 1 : 2
    this.#senders[leg - 1]!.send(frame(packet, leg))
  }

  /** Hands over what the director sends to clients or servers, as frames. */
  onReceived(listen: (frame: Uint8Array, to: 'client' | 'server') => void): void {
    this.#clients.on('message', (message) => listen(message.subarray(VXLAN_HEADER), 'client'))
    this.#servers.on('message', (message) => listen(message.subarray(VXLAN_HEADER), 'server'))
  }

  /** A packet from a client. */
  async fromClient(packet: Uint8Array): Promise<void> {
    return send(this.#clients, 4789, frame(packet, 1))
  }

  /** A packet from a real server. */
  async fromServer(packet: Uint8Array): Promise<void> {
    return send(this.#servers, 4790, frame(packet, 2))
  }

  close(): void {
    for (const socket of [this.#clients, this.#servers, ...this.#senders]) socket.close()
  }
}

async function bind(port: number): Promise<Socket> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 8 << 20 })
  await new Promise<void>((resolve) => socket.bind(port, '127.0.0.1', resolve))
  return socket
}

async function connect(port: number): Promise<Socket> {
  const socket = createSocket('udp4')
  await new Promise<void>((resolve) => socket.connect(port, '127.0.0.1', resolve))
  return socket
}

async function send(socket: Socket, port: number, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.send(bytes, port, '127.0.0.1', (error) => {
      if (error === null) resolve()
      else reject(error)
    })
  })
}

/** VXLAN header (flag I, network id), then Ethernet to the leg's own address. */
function frame(packet: Uint8Array, leg: 1 | 2): Uint8Array {
  const bytes = new Uint8Array(VXLAN_HEADER + ETHERNET_HEADER + packet.length)
  bytes.set([0x08, 0, 0, 0, 0, 0, leg, 0])
  bytes.set([2, 0, 0, 0, 0, leg, 2, 0, 0, 0, 1, leg], VXLAN_HEADER)
  const type = ETHER_TYPE[packet[0]! >> 4 === 6 ? 6 : 4]
  bytes.set([type >> 8, type & 0xff], VXLAN_HEADER + 12)
  bytes.set(packet, VXLAN_HEADER + ETHERNET_HEADER)
  return bytes
}
