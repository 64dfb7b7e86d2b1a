import {
  connectionValue,
  Director,
  FrameReader,
  type Connection,
  type DirectorOptions,
  type EndCause
} from 'ipvs-sync/director'
import { latenessOf, readPacket, SLACK_MS } from './director-recording.js'
import { addressOf, COUNTING, type ServiceDraft } from './director-services.js'
import { addressBytes } from './our-table.js'
import { icmpError, ip, sctp, tcp, udp, type Path } from './packet.js'
import type { Random } from './random.js'

/** A packet that was drawn. */
export interface Drawn {
  readonly bytes: Uint8Array
  readonly from: 'client' | 'server'
  readonly mark: number
}

/** SYN, ACK, FIN, RST in every combination that a state machine could take for another one. */
const TCP_FLAGS = [2, 2, 2, 2, 16, 16, 16, 16, 16, 17, 17, 17, 4, 20, 18, 18, 0, 6, 3, 1, 5, 24] as const
const CHUNKS = [0, 0, 1, 1, 1, 2, 2, 3, 4, 6, 7, 8, 9, 10, 10, 11, 11, 14, 64] as const
const CALLS = ['a', 'b', 'c', 'd', 'e'] as const
const ESP = 50
const AH = 51
const CLIENTS = 5
const PORTS = 7

/**
 * Draws packets for a director at random. A separate model knows which connections live: replies belong to them, and no
 * packet is drawn for one that the kernel's timers may or may not have ended yet.
 */
export class DirectorTraffic {
  readonly #random: Random
  readonly #drafts: readonly ServiceDraft[]
  readonly #model: Director
  readonly #reader = new FrameReader()
  /** Live connections of each service, templates apart. */
  readonly #live: Set<Connection>[]
  /** Until when the kernel's timers leave it open whether a connection, or a service's counters, are as the model has them. */
  readonly #doubtfulKeys = new Map<string, number>()
  readonly #doubtfulServices: number[]
  /** Connections that gave way to a new one: the kernel ends them at the next tick. */
  readonly #replaced = new Set<Connection>()

  constructor(random: Random, drafts: readonly ServiceDraft[], options: DirectorOptions) {
    this.#random = random
    this.#drafts = drafts
    this.#live = drafts.map(() => new Set())
    this.#doubtfulServices = drafts.map(() => 0)
    this.#model = new Director({ ...options, onEnd: (connection, cause, now) => this.#ended(connection, cause, now) })
  }

  /** The model: changes of servers go to it too. */
  get model(): Director {
    return this.#model
  }

  /** A packet, or undefined where the one that was drawn would prove nothing. */
  draw(now: number): Drawn | undefined {
    const random = this.#random
    this.#model.handleTimeout(now)
    const number = random.below(this.#drafts.length)
    const draft = this.#drafts[number]!
    const isCounting = COUNTING.has(draft.options.scheduler) || draft.servers.some((one) => one.upperThreshold > 0)
    if (this.#doubtfulServices[number]! > now) return undefined
    if (isCounting && this.#model.nextTimeout() < now + SLACK_MS) return undefined
    const live = [...this.#live[number]!]
    const isReply = live.length > 0 && random.chance(35)
    return isReply ? this.#reply(random.pick(live), draft, now) : this.#request(draft, number, now)
  }

  /** The packet was sent. */
  sent({ bytes, mark }: Drawn, now: number): void {
    if (!readPacket(this.#reader, bytes, mark)) return
    const { packet } = this.#reader
    const number = this.#drafts.findIndex(({ slot }) => slot.ports.includes(packet.destinationPort))
    const before = number < 0 ? undefined : this.#find(number, packet.source, packet.sourcePort)
    const outcome = this.#model.handlePacket(packet, now)
    const { connection, isNew, rescheduled } = outcome
    if (rescheduled !== undefined && before !== undefined) {
      this.#replaced.add(before)
      // Without a successor the next packet may still find it: it ends at the kernel's next tick.
      if (connection === undefined) this.#doubtfulKeys.set(keyOf(before), now + SLACK_MS)
    }
    if (!isNew || connection === undefined || number < 0) return
    connection.note = number
    if (connection.controller !== undefined) connection.controller.note ??= number
    if (!connection.onePacket) this.#live[number]!.add(connection)
  }

  #find(number: number, client: number, clientPort: number): Connection | undefined {
    for (const connection of this.#live[number]!)
      if (connection.client === client && connection.clientPort === clientPort) return connection
    return undefined
  }

  #ended(connection: Connection, cause: EndCause, now: number): void {
    const number = connection.note as number | undefined
    if (number === undefined) return
    this.#live[number]!.delete(connection)
    const draft = this.#drafts[number]!
    const isCounting = COUNTING.has(draft.options.scheduler) || draft.servers.some((one) => one.upperThreshold > 0)
    const wasReplaced = this.#replaced.delete(connection) || cause !== 'expired'
    const until = now + (wasReplaced ? SLACK_MS : latenessOf(connection.timeoutMs))
    if (!wasReplaced) this.#doubtfulKeys.set(keyOf(connection), until)
    if (connection.template || isCounting)
      this.#doubtfulServices[number] = Math.max(this.#doubtfulServices[number]!, until)
  }

  /** Whether a connection is about to expire. */
  #isEnding(connection: Connection | undefined, now: number): boolean {
    if (connection === undefined) return false
    const template = connection.controller
    return connection.deadlineMs < now + SLACK_MS || (template !== undefined && template.deadlineMs < now + SLACK_MS)
  }

  #request(draft: ServiceDraft, number: number, now: number): Drawn | undefined {
    const random = this.#random
    const { slot } = draft
    const isIpv6 = slot.address.length === 16
    const host = 1 + random.below(CLIENTS)
    const from = isIpv6
      ? [0xfd, 0, 0, 1, ...new Array<number>(10).fill(0), 0x20 + (host % 3), host]
      : [10, 1, 20 + (host % 3), host]
    const isIpsec = slot.ports[0] === 500 && random.chance(40)
    const fromPort =
      slot.ports[0] === 500 ? 500 : slot.kind === 'sip' ? 5060 + random.below(9) : 2000 + random.below(PORTS)
    const path: Path = {
      from,
      to: slot.address,
      fromPort: random.chance(1) ? 20 : fromPort,
      toPort: random.pick(slot.ports)
    }
    const client = wordOf(from)
    if ((this.#doubtfulKeys.get(`${slot.protocol} ${client} ${path.fromPort} ${path.toPort}`) ?? 0) > now)
      return undefined
    if (this.#isEnding(this.#find(number, client, path.fromPort), now)) return undefined
    if (this.#templatesEnding(number, now)) return undefined
    const mark = slot.mark ?? 0
    if (isIpsec) return { bytes: ip(path, random.pick([AH, ESP]), new Uint8Array(24)), from: 'client', mark }
    if (!isIpv6 && mark === 0 && random.chance(3)) {
      // An error about a reply of the virtual address to the client.
      const about = this.#packet(draft, { from: path.to, fromPort: path.toPort, to: path.from, toPort: path.fromPort })
      return { bytes: icmpError({ from, to: slot.address }, about), from: 'client', mark: 0 }
    }
    return { bytes: this.#packet(draft, path), from: 'client', mark }
  }

  #templatesEnding(number: number, now: number): boolean {
    for (const connection of this.#live[number]!)
      if (connection.controller !== undefined && connection.controller.deadlineMs < now + SLACK_MS) return true
    return false
  }

  #reply(connection: Connection, draft: ServiceDraft, now: number): Drawn | undefined {
    if (this.#isEnding(connection, now) || (connection.flags & 7) === 4) return undefined
    const value = connectionValue(connection, now)
    const isMasq = value.forwarding === 'MASQ'
    const source = isMasq ? value.destination : value.virtual
    if (value.virtual.address.endsWith('10.1.0.1')) return undefined
    const path: Path = {
      from: [...addressBytes(source.address)],
      fromPort: source.port,
      to: [...addressBytes(value.client.address)],
      toPort: value.client.port
    }
    if (draft.slot.kind === 'local') return undefined
    if (draft.slot.ports[0] === 500 && this.#random.chance(30))
      return { bytes: ip(path, this.#random.pick([AH, ESP]), new Uint8Array(24)), from: 'server', mark: 0 }
    if (path.from.length === 4 && isMasq && this.#random.chance(4)) {
      // An error of the server about what the director sent to it.
      const about = this.#packet(draft, { from: path.to, fromPort: path.toPort, to: path.from, toPort: path.fromPort })
      return { bytes: icmpError(path, about), from: 'server', mark: 0 }
    }
    // Some replies belong to no connection: their port is another one.
    const toPort = this.#random.chance(3) ? path.toPort + 1000 : path.toPort
    return { bytes: this.#packet(draft, { ...path, toPort }), from: 'server', mark: 0 }
  }

  #packet({ slot }: ServiceDraft, path: Path): Uint8Array {
    const random = this.#random
    if (random.chance(1)) return ip(path, NUMBERS[slot.protocol], ports(path))
    if (slot.protocol === 'TCP') return tcp(path, random.pick(TCP_FLAGS))
    if (slot.protocol === 'SCTP')
      return sctp(path, random.pick(CHUNKS), random.chance(15) ? random.pick([6, 0]) : undefined)
    if (slot.kind !== 'sip') return udp(path)
    const call = random.chance(10) ? 'Via: x' : `Call-ID: ${random.pick(CALLS)}@${addressOf(path.from)}`
    return udp(path, new TextEncoder().encode(`OPTIONS sip:x SIP/2.0\r\n${call}\r\n\r\n`))
  }
}

const NUMBERS = { TCP: 6, UDP: 17, SCTP: 132 } as const

/** A transport header of four bytes: the ports, and nothing else. */
function ports({ fromPort, toPort }: Path): Uint8Array {
  return Uint8Array.of(fromPort >> 8, fromPort & 255, toPort >> 8, toPort & 255)
}

function keyOf(connection: Connection): string {
  const { protocol, client, clientPort, virtualPort } = connection
  return `${protocol === 6 ? 'TCP' : protocol === 17 ? 'UDP' : 'SCTP'} ${client} ${clientPort} ${virtualPort}`
}

/** An address as the model keeps it: the word of IPv4, the fold of IPv6. */
function wordOf(bytes: readonly number[]): number {
  let word = 0
  for (let at = 0; at < bytes.length; at += 4)
    word ^= (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
  return word
}
