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
import type { Milliseconds } from '../units.js'
import type { InterfaceAddress } from './interfaces.js'
import { openAndWatch } from './open-and-watch.js'
import { SendChannel, type SendTarget } from './send-channel.js'
import { MessageReader } from '../wire/message-reader.js'
import { sizeSendBuffer } from './socket-buffers.js'
import { nodeSystem, type NetworkSystem } from './system.js'
import type { SendingTransport, SendReport, TransportHandlers, TransportNotice } from './transport.js'
import { errorCodeOf, explainSocketError } from './udp-errors.js'
import { describePlan, describeTarget, planUdp, type UdpOptions, type UdpPlan } from './udp-options.js'

/** Time in which a refusal of the last message can arrive from a peer on the link. */
const REFUSAL_MS: Milliseconds = 50

/**
 * Sends messages by UDP.
 *
 * A channel whose sockets are full is not {@link UdpSender.writable | writable}, nor is any channel while the interface is
 * missing: hold messages back then. A message that is refused because the interface disappears is sent again when it returns.
 * A message that the system refuses for another reason is lost, as a kernel's is; `onError` reports it and
 * {@link UdpSender.sendReport} counts it. A peer's refusal (ECONNREFUSED) counts as well, as far as ICMP reports it.
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
  readonly #reader = new MessageReader()
  #unwatch: () => void = () => undefined
  #idle: (() => void)[] = []
  #closed = false
  readonly #errors: Record<string, number>
  readonly #undelivered: { messages: number; connections: number }[]
  /** Whether a peer's refusal may still arrive. */
  #awaitsRefusal = false

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
    this.#errors = Object.fromEntries(this.#targets(0).map(({ name }) => [name, 0]))
    this.#undelivered = Array.from({ length: this.channels }, () => ({ messages: 0, connections: 0 }))
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
    this.#awaitsRefusal = this.#plan.peers.length > 0
    this.#channels[channel]!.send(bytes)
  }

  async flush(): Promise<void> {
    this.#sendAgain(this.#kept.take(true))
    if (this.#channels.some((channel) => channel.inFlight > 0)) {
      await new Promise<void>((resolve) => this.#idle.push(resolve))
    }
    if (!this.#awaitsRefusal || this.#closed) return
    this.#awaitsRefusal = false
    await new Promise<void>((resolve) => {
      const end = this.#system.every(REFUSAL_MS, () => {
        end()
        resolve()
      })
    })
  }

  sendReport(): SendReport {
    return {
      errors: { ...this.#errors },
      undelivered: this.#undelivered.map((counts) => ({ ...counts })),
      isUnreachable: this.#channels.some(({ isUnreachable }) => isUnreachable)
    }
  }

  async close(): Promise<void> {
    const lost = this.#kept.take(true)
    for (const { channel, bytes } of lost) this.#countUndelivered(channel, bytes)
    if (lost.length > 0) {
      const message = `closing ${this.description}: ${counted(lost.length, 'message')} had no interface to leave by`
      this.#handlers.onError?.(new IpvsSyncError('ERR_INTERFACE', message))
    }
    this.#closed = true
    this.#present = false
    this.#unwatch()
    const channels = this.#channels
    this.#channels = []
    await closeAll(channels.flatMap(({ sockets }) => sockets))
    this.#release()
  }

  async #open(source: InterfaceAddress | undefined): Promise<TransportNotice[]> {
    const notices: TransportNotice[] = []
    const targets = Array.from({ length: this.channels }, (_, channel) => this.#targets(channel))
    const sockets = await openAll(targets.flat(), (target) => this.#openSocket(target, source, notices)).catch(
      (cause: unknown) => {
        throw explainSocketError(`opening sockets to ${this.description}`, cause, { to: this.#kind })
      }
    )
    const each = targets[0]!.length
    this.#channels = targets.map((ofChannel, channel) =>
      this.#sendChannel(
        ofChannel.map((target, i) => [sockets[channel * each + i]!, target] as const),
        channel
      )
    )
    this.#present = true
    // Closed while the sockets were being opened: they are closed as well.
    if (this.#closed) await this.close()
    return notices
  }

  /** The group, or every peer. A target has one name on all channels. */
  #targets(channel: number): SendTarget[] {
    const { family, group, port, peers, interfaceName } = this.#plan
    if (peers.length > 0)
      return peers.map((peer) => ({
        name: describeTarget(peer.address, peer.port, 1),
        address: peer.address,
        port: peer.port + channel
      }))
    const address = family === 'ipv4' ? group : `${group}%${interfaceName}`
    return [{ name: describeTarget(group, port, 1), address, port: port + channel }]
  }

  get #kind(): 'group' | 'peer' {
    return this.#plan.peers.length > 0 ? 'peer' : 'group'
  }

  async #openSocket(
    { address: to, port }: SendTarget,
    source: InterfaceAddress | undefined,
    notices: TransportNotice[]
  ): Promise<Socket> {
    const { family, ttl, bufferBytes } = this.#plan
    // IPv6 leaves the source address to the system, as the kernel's own sender does.
    const address = source === undefined || family === 'ipv6' ? {} : { address: source.address }
    const type = family === 'ipv4' ? 'udp4' : 'udp6'
    return openSocket(this.#system, { type }, { ...address, port: 0 }, async (socket) => {
      const notice = sizeSendBuffer(socket, bufferBytes)
      if (notice !== undefined) notices.push(notice)
      if (this.#kind === 'group') {
        socket.setMulticastInterface(source!.address)
        socket.setMulticastTTL(ttl)
        socket.setMulticastLoopback(ttl === 0)
      }
      const connected = outcomeOf(socket, (done) => socket.connect(port, to, done))
      // A peer without a route is no error of the start: the route may come later.
      await (this.#kind === 'peer' ? connected.catch(() => undefined) : connected)
    })
  }

  #sendChannel(sockets: readonly (readonly [Socket, SendTarget])[], channel: number): SendChannel {
    return new SendChannel(sockets, {
      room: () => this.#tellRoom(channel),
      keep: (bytes, cause) => !this.#closed && this.#kind === 'group' && this.#kept.keep({ channel, bytes }, cause),
      refused: (name, cause, isRepeated) => {
        if (this.#closed) return
        this.#errors[name]! += 1
        if (!isRepeated) this.#handlers.onError?.(explainSocketError(`sending to ${name}`, cause, { to: this.#kind }))
      },
      failed: (cause) => {
        if (!this.#closed) this.#handlers.onError?.(explainSocketError(`sending to ${this.description}`, cause))
      },
      undelivered: (bytes) => this.#countUndelivered(channel, bytes),
      idle: () => this.#release()
    })
  }

  #countUndelivered(channel: number, bytes: Uint8Array): void {
    if (this.#closed) return
    const counts = this.#undelivered[channel]!
    counts.messages += 1
    counts.connections += this.#reader.readHeader(bytes).count
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
    await closeAll(old.flatMap(({ sockets }) => sockets))
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
  readonly bytes: Uint8Array
}

/** Errors of a send while its interface disappears: the address, the route, the interface or our socket is missing. */
const GOING = new Set(['ECANCELED', 'ENETUNREACH', 'ENETDOWN', 'ENODEV', 'EADDRNOTAVAIL'])

/**
 * Keeps refused messages until the state of the interface is known: its loss is only noticed at the next poll, and what is sent
 * until then must not be lost. It keeps at most what was in flight.
 */
class KeptMessages {
  #messages: KeptMessage[] = []
  #isLastTry = false
  #isRefused = false

  get count(): number {
    return this.#messages.length
  }

  /** Keeps a message if its error suggests that the interface disappears. Returns whether it is kept. */
  keep(message: KeptMessage, cause: Error): boolean {
    if (!GOING.has(errorCodeOf(cause))) return false
    this.#isRefused = true
    if (!this.#isLastTry) this.#messages.push(message)
    return !this.#isLastTry
  }

  /**
   * Returns the messages, to be sent again.
   *
   * @param isLastTry - Whether what is refused from now on is lost.
   */
  take(isLastTry: boolean): readonly KeptMessage[] {
    const messages = this.#messages
    this.#messages = []
    this.#isLastTry = isLastTry
    return messages
  }

  /**
   * Returns the messages after a poll that found the interface unchanged. Refused again they are lost, as is all that follows,
   * until a poll before which nothing was refused: the cause is a route then, and holding back would not help.
   */
  steady(): readonly KeptMessage[] {
    const isRefused = this.#isRefused
    this.#isRefused = false
    return this.take(isRefused)
  }
}
