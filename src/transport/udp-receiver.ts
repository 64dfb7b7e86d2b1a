/**
 * A backup's sockets: member of a multicast group on one interface, or a unicast listener, with `node:dgram`.
 *
 * As the kernel's (`make_receive_sock`): SO_REUSEADDR, bound to the group and port. Linux hands a socket that is bound to
 * a group whatever any interface of the host has joined, and Node cannot bind a socket to an interface: it is the
 * backup's `accept` list that limits senders, not the interface.
 *
 * @module
 */

import type { Socket } from 'node:dgram'
import { IpvsSyncError } from '../errors.js'
import { closeAll, openAll, openSocket, type BindTo } from './channel-sockets.js'
import { ownAddresses, type InterfaceAddress } from './interfaces.js'
import { openAndWatch } from './open-and-watch.js'
import { sizeReceiveBuffer } from './socket-buffers.js'
import { nodeSystem, type NetworkSystem } from './system.js'
import type { ReceivingTransport, TransportHandlers, TransportNotice } from './transport.js'
import { explainSocketError } from './udp-errors.js'
import { describePlan, describeTarget, planUdp, type UdpOptions, type UdpPlan } from './udp-options.js'

interface Place extends BindTo {
  readonly channel: number
}

/**
 * Receives messages by UDP.
 *
 * @example
 * ```ts
 * const receiver = new UdpReceiver({ mcastInterface: 'eth1' })
 * await receiver.start({ onDatagram: (bytes, from) => engine.handleDatagram(bytes, from, now()) })
 * await receiver.close()
 * ```
 */
export class UdpReceiver implements ReceivingTransport {
  readonly channels: number
  #description: string
  readonly #plan: UdpPlan
  readonly #system: NetworkSystem
  #handlers: TransportHandlers = {}
  #sockets: readonly Socket[] = []
  #dropsBefore = 0
  #unwatch: () => void = () => undefined
  #closed = false

  /**
   * @param options - Where to listen.
   * @param system - The system's network; a test may give its own.
   * @throws IpvsSyncError `ERR_CONFIG`, `ERR_GROUP`, `ERR_INTERFACE`: see `planUdp`.
   */
  constructor(options: UdpOptions, system: NetworkSystem = nodeSystem) {
    this.#plan = planUdp(options)
    this.#system = system
    this.channels = this.#plan.channels
    this.#description = describePlan(this.#plan)
  }

  /** The group, or, with peers, the sockets that it listens on. */
  get description(): string {
    return this.#description
  }

  async start(handlers: TransportHandlers): Promise<void> {
    this.#handlers = handlers
    this.#unwatch = await openAndWatch(this.#system, this.#plan, handlers, {
      steadyLooks: 1,
      joined: () => {
        const { family, group, peers, interfaceName } = this.#plan
        return peers.length > 0 ? undefined : isMember(this.#system, interfaceName!, family, group)
      },
      open: (found) => this.#open(found),
      lost: (reason) => {
        this.#handlers.onNotice?.({
          code: 'INTERFACE_LOST',
          message: `${reason}: nothing is received until it returns`
        })
      },
      back: (found) => this.#back(found)
    })
    // Closed while it started: nothing is left to watch for.
    if (this.#closed) this.#unwatch()
  }

  receiveDrops(): number | undefined {
    const now = this.#dropsNow()
    return now === undefined ? undefined : now + this.#dropsBefore
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#unwatch()
    this.#dropsBefore = this.receiveDrops() ?? this.#dropsBefore
    const sockets = this.#sockets
    this.#sockets = []
    await closeAll(sockets)
  }

  /** A count that cannot be read now (EMFILE) is unknown. */
  #dropsNow(): number | undefined {
    try {
      if (this.#sockets.length === 0) return 0
      const { family, channels } = this.#plan
      const bases = new Set(this.#places(undefined).map(({ port, channel }) => port - channel))
      const counts = [...bases].map((base) => socketDrops(this.#system, family, base, channels))
      return counts.reduce<number | undefined>(
        (sum, count) => (sum === undefined || count === undefined ? undefined : sum + count),
        0
      )
    } catch {
      return undefined
    }
  }

  async #open(found: InterfaceAddress | undefined): Promise<TransportNotice[]> {
    const notices: TransportNotice[] = []
    const places = this.#places(found)
    this.#description = describeListening(this.#plan, ownAddresses(this.#system), found?.address)
    const sockets = await openAll(places, (place) => this.#openPlace(place, found, notices))
    this.#sockets = sockets
    // Closed while the sockets were being opened: they go as well.
    if (this.#closed) await this.close()
    return notices
  }

  async #openPlace(place: Place, found: InterfaceAddress | undefined, notices: TransportNotice[]): Promise<Socket> {
    const { family, peers, bufferBytes } = this.#plan
    const multicast = peers.length === 0
    // Unicast goes to one socket only: sharing the port would steal it from a listener that is there already.
    const options = { type: family === 'ipv4' ? 'udp4' : 'udp6', reuseAddr: multicast } as const
    return openSocket(this.#system, options, place, (socket) => {
      const notice = sizeReceiveBuffer(socket, bufferBytes)
      if (notice !== undefined) notices.push(notice)
      if (multicast) this.#join(socket, found!)
      const { onDatagram, onError } = this.#handlers
      if (onDatagram !== undefined) socket.on('message', (bytes, from) => onDatagram(bytes, from, place.channel))
      socket.on('error', (cause) => {
        onError?.(explainSocketError(`receiving on ${this.description}`, cause))
      })
    }).catch((cause: unknown) => {
      if (cause instanceof IpvsSyncError) throw cause
      throw explainSocketError(`listening on ${place.address ?? '*'}:${place.port}`, cause)
    })
  }

  #join(socket: Socket, found: InterfaceAddress): void {
    const { group, interfaceName } = this.#plan
    try {
      socket.addMembership(group, found.address)
    } catch (cause) {
      throw explainSocketError(`joining group ${group} on ${interfaceName}`, cause, {
        fallback: 'ERR_GROUP',
        to: 'group'
      })
    }
  }

  /** Every socket's place: the group's ports, or those of the peers that are this host; any address if none is. */
  #places(found: InterfaceAddress | undefined): Place[] {
    const { family, group, port, peers, interfaceName } = this.#plan
    const bases: BindTo[] =
      peers.length > 0
        ? listenAt(peers, ownAddresses(this.#system), family === 'ipv4' ? found?.address : undefined)
        : [{ address: family === 'ipv4' ? group : `${group}%${interfaceName}`, port }]
    return bases.flatMap((base) =>
      Array.from({ length: this.channels }, (_, channel) => ({ ...base, port: base.port + channel, channel }))
    )
  }

  /** The membership went with the interface, and so did an IPv6 socket's scope: new sockets take the old ones' place. */
  async #back(found: InterfaceAddress): Promise<boolean> {
    this.#dropsBefore = this.receiveDrops() ?? this.#dropsBefore
    const old = this.#sockets
    this.#sockets = []
    await closeAll(old)
    try {
      await this.#open(found)
    } catch (error) {
      this.#handlers.onError?.(error as IpvsSyncError)
      return false
    }
    if (this.#closed) return true
    this.#handlers.onNotice?.({
      code: 'INTERFACE_BACK',
      message: `interface ${this.#plan.interfaceName} is back: its group is joined again`
    })
    return true
  }
}

/**
 * Returns where a receiver listens: `224.0.0.81:8848 on eth1`, or with peers `0.0.0.0:8848 (peers 10.9.0.2)`.
 *
 * @param own - Addresses of this host.
 * @param interfaceAddress - IPv4 address of the interface, if one is named.
 */
export function describeListening(
  plan: UdpPlan,
  own: ReadonlySet<string | undefined>,
  interfaceAddress: string | undefined
): string {
  const { family, peers, channels } = plan
  if (peers.length === 0) return describePlan(plan)
  const bases = listenAt(peers, own, family === 'ipv4' ? interfaceAddress : undefined)
  const any = family === 'ipv4' ? '0.0.0.0' : '::'
  const sockets = bases.map(({ address = any, port }) => describeTarget(address, port, channels)).join(', ')
  const isRemote = !peers.some(({ address }) => own.has(address))
  return isRemote ? `${sockets} (peers ${peers.map(({ address }) => address).join(', ')})` : sockets
}

/** The peers that are this host's own addresses, else any address (or the interface's) at each of the peers' ports. */
function listenAt(
  peers: readonly Required<BindTo>[],
  own: ReadonlySet<string | undefined>,
  interfaceAddress: string | undefined
): BindTo[] {
  const here = peers.filter(({ address }) => own.has(address))
  if (here.length > 0) return here
  const address = interfaceAddress === undefined ? {} : { address: interfaceAddress }
  return [...new Set(peers.map(({ port }) => port))].map((port) => ({ ...address, port }))
}

/** Fields of a line of `/proc/net/udp` and `/proc/net/udp6`, split at white space. */
const FIELD = { LOCAL: 1, INODE: 9, DROPS: 12 } as const

/**
 * Sums the drop counters of this process's UDP sockets that are bound to a range of ports: the only trace that datagrams
 * leave which a full receive buffer turned away.
 *
 * @param system - Where `/proc/net/udp` is read, and which sockets are ours: other processes may share the group and port.
 * @param family - Chooses `/proc/net/udp` or `/proc/net/udp6`.
 * @param firstPort - The range's first port.
 * @param count - How many ports it has.
 * @returns undefined where the system does not tell.
 */
export function socketDrops(
  system: NetworkSystem,
  family: 'ipv4' | 'ipv6',
  firstPort: number,
  count: number
): number | undefined {
  const text = system.readText(family === 'ipv4' ? '/proc/net/udp' : '/proc/net/udp6')
  if (text === undefined) return undefined
  const own = system.socketInodes()
  let drops = 0
  for (const line of text.split('\n').slice(1)) {
    const fields = line.trim().split(/\s+/)
    const port = Number.parseInt(fields[FIELD.LOCAL]?.split(':')[1] ?? '', 16)
    if (!(port >= firstPort && port < firstPort + count) || !own.has(fields[FIELD.INODE] ?? '')) continue
    drops += Number(fields[FIELD.DROPS] ?? 0)
  }
  return drops
}

/**
 * Returns whether an interface of this host is a member of a group, from /proc/net/igmp and /proc/net/igmp6. A membership
 * can be lost without a trace: an interface that is moved to another network namespace and back keeps its index and address.
 *
 * @returns undefined where the system does not report it.
 */
export function isMember(
  system: NetworkSystem,
  name: string,
  family: 'ipv4' | 'ipv6',
  group: string
): boolean | undefined {
  const text = system.readText(family === 'ipv4' ? '/proc/net/igmp' : '/proc/net/igmp6')
  if (text === undefined) return undefined
  if (family === 'ipv4') {
    // A line names an interface (`3<TAB>eth1 :`), and those below it its groups, as words in the byte order of the host.
    const bytes = group.split('.').map((byte) => Number(byte).toString(16).padStart(2, '0'))
    const words = [bytes.join(''), [...bytes].reverse().join('')]
    let inside = false
    for (const line of text.toLowerCase().split('\n').slice(1)) {
      const [first = '', second = ''] = line.trim().split(/\s+/)
      if (/^\d/.test(line)) inside = second.replace(/:$/, '') === name.toLowerCase()
      else if (inside && words.includes(first)) return true
    }
    return false
  }
  // Each line has an index, an interface and a group of 32 hexadecimal digits. Groups have no embedded IPv4 address: `ff02::51`.
  const [head = '', tail] = group.toLowerCase().split('::')
  const words = (text: string): string[] =>
    text
      .split(':')
      .filter((word) => word !== '')
      .map((word) => word.padStart(4, '0'))
  const [left, right] = [words(head), words(tail ?? '')]
  const digits = [...left, ...Array.from({ length: 8 - left.length - right.length }, () => '0000'), ...right].join('')
  return text.split('\n').some((line) => {
    const [, device, word] = line.trim().split(/\s+/)
    return device === name && word?.toLowerCase() === digits
  })
}
