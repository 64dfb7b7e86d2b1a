/**
 * A master's sockets: multicast on one interface, or unicast to peers, with `node:dgram`.
 *
 * As the kernel's (`make_send_sock`): an ephemeral source port at the interface's own address, multicast loopback off,
 * TTL 1 unless told otherwise. Path-MTU discovery cannot be turned off from Node; the stack still splits what is larger
 * than the interface's MTU.
 *
 * @module
 */

import type { Socket } from 'node:dgram'
import { counted } from '../text.js'
import { IpvsSyncError } from '../errors.js'
import { closeAll, openAll, openSocket, outcomeOf } from './channel-sockets.js'
import type { InterfaceAddress } from './interfaces.js'
import { openAndWatch } from './open-and-watch.js'
import { sizeSendBuffer } from './socket-buffers.js'
import { nodeSystem, type NetworkSystem } from './system.js'
import type { SendingTransport, TransportHandlers, TransportNotice } from './transport.js'
import { explainSocketError, errorCodeOf } from './udp-errors.js'
import { describePlan, planUdp, type UdpOptions, type UdpPlan } from './udp-options.js'

/**
 * Sends messages by UDP.
 *
 * A channel whose socket takes no more is not {@link UdpSender.writable | writable}, and so is every channel while the
 * interface is gone: hold messages back then. What is refused because the interface is going is sent again when it is back.
 * A datagram that the system refuses for another reason is lost, as a kernel's is, and told through `onError`.
 *
 * @example
 * ```ts
 * const sender = new UdpSender({ mcastInterface: 'eth1', channels: 4 })
 * await sender.start({ onError: (error) => log(error.message) })
 * if (sender.writable(0)) sender.send(0, message)
 * await sender.flush()
 * await sender.close()
 * ```
 */
export class UdpSender implements SendingTransport {
  readonly channels: number
  readonly description: string
  readonly #plan: UdpPlan
  readonly #system: NetworkSystem
  #handlers: TransportHandlers = {}
  #channels: readonly SendChannel[] = []
  #present = false
  readonly #kept = new KeptMessages()
  #unwatch: () => void = () => undefined
  #idle: (() => void)[] = []
  #closed = false

  /**
   * @param options - Where to send.
   * @param system - The system's network; a test may give its own.
   * @throws IpvsSyncError `ERR_CONFIG`, `ERR_GROUP`, `ERR_INTERFACE`: see `planUdp`.
   */
  constructor(options: UdpOptions, system: NetworkSystem = nodeSystem) {
    this.#plan = planUdp(options)
    this.#system = system
    this.channels = this.#plan.channels
    this.description = describePlan(this.#plan)
  }

  async start(handlers: TransportHandlers): Promise<void> {
    this.#handlers = handlers
    this.#unwatch = await openAndWatch(this.#system, this.#plan, handlers, {
      steadyLooks: 2,
      steady: () => this.#sendAgain(this.#kept.steady()),
      open: (found) => this.#open(found),
      lost: (reason) => {
        this.#present = false
        this.#handlers.onNotice?.({
          code: 'INTERFACE_LOST',
          message: `${reason}: messages are held back until it returns`
        })
      },
      back: (found) => this.#back(found)
    })
    // Closed while it started: nothing is left to watch for.
    if (this.#closed) this.#unwatch()
  }

  writable(channel: number): boolean {
    return this.#present && this.#kept.count === 0 && this.#channels[channel]?.writable === true
  }

  /** @throws IpvsSyncError `ERR_USAGE` for a channel that is not {@link writable}. */
  send(channel: number, bytes: Uint8Array): void {
    if (!this.writable(channel)) {
      throw new IpvsSyncError(
        'ERR_USAGE',
        `channel ${channel} of ${this.description} cannot send now: ask writable() first`
      )
    }
    this.#channels[channel]!.send(bytes)
  }

  async flush(): Promise<void> {
    this.#sendAgain(this.#kept.take(true))
    if (this.#channels.some((channel) => channel.inFlight > 0)) {
      await new Promise<void>((resolve) => this.#idle.push(resolve))
    }
  }

  async close(): Promise<void> {
    // Closed while messages are kept: the callers that wait for them are notified.
    const lost = this.#kept.take(true).length
    if (lost !== 0) {
      const message = `closing ${this.description}: ${counted(lost, 'message')} had no interface to leave by`
      this.#handlers.onError?.(new IpvsSyncError('ERR_INTERFACE', message))
    }
    this.#closed = true
    this.#present = false
    this.#unwatch()
    const channels = this.#channels
    this.#channels = []
    await closeAll(channels.map((channel) => channel.socket))
    this.#release()
  }

  async #open(source: InterfaceAddress | undefined): Promise<TransportNotice[]> {
    const notices: TransportNotice[] = []
    const sockets = await openAll(this.#plan.channels, (channel) => this.#openChannel(channel, source, notices)).catch(
      (cause: unknown) => {
        throw explainSocketError(`opening sockets to ${this.description}`, cause)
      }
    )
    this.#channels = sockets.map((socket, channel) => {
      const targets: SendTarget[] = this.#plan.peers.map(({ address, port }) => ({ address, port: port + channel }))
      const tell = (cause: Error): void => {
        if (!this.#closed) this.#handlers.onError?.(explainSocketError(`sending to ${this.description}`, cause))
      }
      socket.on('error', tell)
      return new SendChannel(socket, targets, {
        room: () => this.#tellRoom(channel),
        keep: (bytes, cause) => !this.#closed && this.#kept.keep({ channel, bytes }, cause),
        failed: tell,
        idle: () => this.#release()
      })
    })
    this.#present = true
    // Closed while the sockets were being opened: they go as well.
    if (this.#closed) await this.close()
    return notices
  }

  async #openChannel(
    channel: number,
    source: InterfaceAddress | undefined,
    notices: TransportNotice[]
  ): Promise<Socket> {
    const { family, peers, bufferBytes } = this.#plan
    // IPv6 leaves the source address to the system, as the kernel's own sender does.
    const address = source === undefined || family === 'ipv6' ? {} : { address: source.address }
    const type = family === 'ipv4' ? 'udp4' : 'udp6'
    return openSocket(this.#system, { type }, { ...address, port: 0 }, async (socket) => {
      const notice = sizeSendBuffer(socket, bufferBytes)
      if (notice !== undefined) notices.push(notice)
      if (peers.length === 0) await this.#aimAtGroup(socket, channel, source!)
    })
  }

  async #aimAtGroup(socket: Socket, channel: number, source: InterfaceAddress): Promise<void> {
    const { family, group, port, ttl, interfaceName } = this.#plan
    socket.setMulticastInterface(source.address)
    socket.setMulticastTTL(ttl)
    socket.setMulticastLoopback(ttl === 0)
    const target = family === 'ipv4' ? group : `${group}%${interfaceName}`
    await outcomeOf(socket, (done) => socket.connect(port + channel, target, done))
  }

  /** Ahead of everything that was held back meanwhile. */
  #sendAgain(messages: readonly KeptMessage[]): void {
    for (const { channel, bytes } of messages) this.#channels[channel]?.send(bytes)
    for (const channel of new Set(messages.map((message) => message.channel))) this.#tellRoom(channel)
  }

  #tellRoom(channel: number): void {
    if (this.#present) this.#handlers.onWritable?.(channel)
  }

  #release(): void {
    if (this.#channels.some((channel) => channel.inFlight > 0)) return
    const waiting = this.#idle
    this.#idle = []
    for (const resolve of waiting) resolve()
  }

  /** The old sockets are bound to an address that may be gone: new ones take their place. */
  async #back(source: InterfaceAddress): Promise<boolean> {
    const old = this.#channels
    try {
      await this.#open(source)
    } catch (error) {
      this.#handlers.onError?.(error as IpvsSyncError)
      return false
    }
    await closeAll(old.map((channel) => channel.socket))
    if (this.#closed) return true
    this.#handlers.onNotice?.({
      code: 'INTERFACE_BACK',
      message: `interface ${this.#plan.interfaceName} is back: sending again`
    })
    this.#sendAgain(this.#kept.take(false))
    for (let channel = 0; channel < this.channels; channel++) this.#tellRoom(channel)
    return true
  }
}

/** A message that was refused. */
interface KeptMessage {
  /** From 0. */
  readonly channel: number
  /** All of it. */
  readonly bytes: Uint8Array
}

/** What a send is answered with while an interface goes: its address, its route, it itself or our socket there is no more. */
const GOING = new Set(['ECANCELED', 'ENETUNREACH', 'ENETDOWN', 'ENODEV', 'EADDRNOTAVAIL'])

/**
 * Keeps refused messages until it is known what became of the interface: its loss is only seen at the next look, and what
 * is sent until then must not be lost with it. As many as were in flight, and no more.
 */
class KeptMessages {
  #messages: KeptMessage[] = []
  #lastTry = false
  #refused = false

  /** How many are kept. */
  get count(): number {
    return this.#messages.length
  }

  /**
   * Keeps a message, if what it met says that the interface is going.
   *
   * @param message - What was refused.
   * @param cause - What the system said.
   * @returns Whether it is kept: not for another cause, nor where the interface is known to be there.
   */
  keep(message: KeptMessage, cause: Error): boolean {
    if (!GOING.has(errorCodeOf(cause))) return false
    this.#refused = true
    if (!this.#lastTry) this.#messages.push(message)
    return !this.#lastTry
  }

  /**
   * Hands them over, to be sent again.
   *
   * @param lastTry - What is refused from now on is not kept again.
   */
  take(lastTry: boolean): readonly KeptMessage[] {
    const messages = this.#messages
    this.#messages = []
    this.#lastTry = lastTry
    return messages
  }

  /**
   * A look found the interface as it was: what was refused is tried once more. Refused again it is lost, like all that follows,
   * until a look that nothing was refused before: it is not the interface then, but a route, and holding back would help nobody.
   */
  steady(): readonly KeptMessage[] {
    const refused = this.#refused
    this.#refused = false
    return this.take(refused)
  }
}

/**
 * Datagrams that may be on their way into the system at a time. Past it the socket's own buffer is full (Node sends at
 * once as long as there is room), and what more were handed over would queue in memory without bound.
 */
const MAX_IN_FLIGHT = 32

/** Where a datagram goes; undefined where the socket is connected. */
interface SendTarget {
  readonly address: string
  readonly port: number
}

/** Listeners. */
interface SendChannelHandlers {
  /** It was full, and has room again. */
  readonly room: () => void
  /** A datagram of a connected socket was refused; true if it is kept, and so not lost. */
  readonly keep: (bytes: Uint8Array, cause: Error) => boolean
  /** A datagram was lost to an error; the next one of the same code in a row is not told. */
  readonly failed: (cause: Error) => void
  /** Nothing is in flight any more. */
  readonly idle: () => void
}

/** Sends datagrams on one socket, and says when to hold back. */
class SendChannel {
  /** The socket, for closing. */
  readonly socket: Socket
  readonly #targets: readonly SendTarget[]
  readonly #handlers: SendChannelHandlers
  readonly #done: (error: Error | null) => void
  /** What is in flight on a connected socket: the system completes datagrams in their order. */
  readonly #sent: Uint8Array[] = []
  #inFlight = 0
  #full = false
  #lastFailure = ''

  /**
   * @param socket - Bound; connected if there are no targets.
   * @param targets - Every datagram goes to each of them.
   * @param handlers - Called from the event loop, never from inside {@link send}.
   */
  constructor(socket: Socket, targets: readonly SendTarget[], handlers: SendChannelHandlers) {
    this.socket = socket
    this.#targets = targets
    this.#handlers = handlers
    // One function for all datagrams: a closure for each would cost more than the sending.
    this.#done = (error) => {
      this.#inFlight -= 1
      const bytes = this.#sent.shift()
      const kept = error !== null && bytes !== undefined && this.#handlers.keep(bytes, error)
      if (!kept) {
        const failure = error === null ? '' : errorCodeOf(error)
        if (error !== null && failure !== this.#lastFailure) this.#handlers.failed(error)
        this.#lastFailure = failure
      }
      if (this.#full && this.writable) {
        this.#full = false
        this.#handlers.room()
      }
      if (this.#inFlight === 0) this.#handlers.idle()
    }
  }

  /** Whether there is room. */
  get writable(): boolean {
    return this.#inFlight < MAX_IN_FLIGHT
  }

  /** Datagrams that have neither left nor failed. */
  get inFlight(): number {
    return this.#inFlight
  }

  /** Sends one message to every target. */
  send(bytes: Uint8Array): void {
    if (this.#targets.length === 0) {
      this.#inFlight += 1
      this.#sent.push(bytes)
      this.socket.send(bytes, this.#done)
    } else {
      this.#inFlight += this.#targets.length
      for (const { address, port } of this.#targets) this.socket.send(bytes, port, address, this.#done)
    }
    this.#full = !this.writable
  }
}
