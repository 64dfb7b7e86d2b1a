/**
 * Opening connections: which packets may, to which server they go, and under which template (`ip_vs_schedule`,
 * `ip_vs_sched_persist`, `ip_vs_leave`).
 *
 * @module
 */
import type { Sysctls } from '../sysctl/settings.js'
import type { TimestampMs } from '../units.js'
import { FLAG } from '../wire/constants.js'
import { PROTOCOL } from '../wire/protocols.js'
import { Connection, WORDS } from './connection.js'
import type { Defences } from './defences.js'
import type { Lifetimes } from './lifetimes.js'
import type { OpenOutcome, Reason, Verdict } from './outcome.js'
import { foldWords, type Packet } from './packet.js'
import type { Moment } from './schedulers.js'
import type { Server, Service, Services } from './services.js'
import { callIdOf } from './sip.js'
import { CHUNK, TCP_FLAG } from './transitions.js'

const FTP_PORT = 21
const FTP_DATA_PORT = 20
/** The port of a template that was made invalid. */
const INVALID_PORT = 0xffff

/** What an opener works with. */
export interface OpenerParts {
  readonly services: Services
  readonly lifetimes: Lifetimes
  readonly defences: Defences
  readonly moment: Moment
  /** Whether the FTP helper is loaded: its control connections through NAT are tracked by netfilter. */
  readonly hasFtp: boolean
  /** Whether an address belongs to the director. */
  readonly isLocal: (packet: Packet) => boolean
}

/** Decides about packets that belong to no connection. */
export class Opener {
  settings: Sysctls
  /** `conn_max`: Infinity without a limit. */
  connMax = Infinity
  readonly #parts: OpenerParts
  /** The key of a template that is looked for. */
  readonly #key = new Connection()

  constructor(settings: Sysctls, parts: OpenerParts) {
    this.settings = settings
    this.#parts = parts
  }

  /**
   * Opens a connection for a packet, or says in the outcome why not.
   *
   * @param isIcmp - An ICMP error opens it, and the packet is the one that the error is about: its source is the service.
   */
  open(packet: Packet, isIcmp: boolean, out: OpenOutcome, now: TimestampMs): Connection | undefined {
    const refused = isIcmp ? undefined : this.#refusal(packet)
    if (refused !== undefined) return finish(out, refused === 'truncated' ? 'drop' : 'accept', refused)
    const { services, defences, lifetimes } = this.#parts
    const service = services.find(packet, isIcmp)
    if (service === undefined) return finish(out, 'accept', 'no-service')
    if (defences.dropsPacket()) return finish(out, 'drop', 'drop-packet')
    const port = isIcmp ? packet.sourcePort : packet.destinationPort
    if ((isIcmp ? packet.destinationPort : packet.sourcePort) === FTP_DATA_PORT)
      return finish(out, 'accept', 'ftp-data-port')
    if (packet.isLoopback && this.#isLocalReply(packet)) return finish(out, 'accept', 'local-reply')
    if (service.persistenceMs > 0) return this.#openPersistent(packet, service, port, isIcmp, out, now)
    if (service.fwmark === 0 && port !== service.port) return this.#leave(packet, service, port, isIcmp, out, now)
    const server = service.scheduler.choose(packet, this.#parts.moment, isIcmp)
    if (server === undefined) return this.#leave(packet, service, port, isIcmp, out, now)
    if (lifetimes.store.size >= this.connMax) return finish(out, 'drop', 'conn-max')
    return this.#connect(packet, service, server, server.port === 0 ? port : server.port, port, isIcmp, now)
  }

  /** Why a packet may not open a connection. */
  #refusal({ protocol, signal, isComplete, isLaterFragment }: Packet): Reason | undefined {
    if (isLaterFragment) return 'later-fragment'
    if (protocol === PROTOCOL.AH || protocol === PROTOCOL.ESP) return 'not-opening'
    if (!isComplete) return 'truncated'
    if (protocol === PROTOCOL.TCP) {
      if ((signal & TCP_FLAG.RST) !== 0) return 'tcp-reset'
      return (signal & TCP_FLAG.SYN) === 0 && this.settings.sloppyTcp === 0 ? 'tcp-not-opening' : undefined
    }
    if (protocol !== PROTOCOL.SCTP) return undefined
    if (signal < 0) return 'truncated'
    if ((signal & 0xff) === CHUNK.ABORT) return 'sctp-abort'
    return (signal & 0xff) !== CHUNK.INIT && this.settings.sloppySctp === 0 ? 'sctp-not-opening' : undefined
  }

  #isLocalReply(packet: Packet): boolean {
    const { protocol, sourcePort, destinationPort } = packet
    return this.#parts.lifetimes.store.find(packet, protocol, sourcePort, destinationPort, true) !== undefined
  }

  /** No server: the original destination, a refusal, or the local stack (`ip_vs_leave`). */
  #leave(
    packet: Packet,
    service: Service,
    port: number,
    isIcmp: boolean,
    out: OpenOutcome,
    now: TimestampMs
  ): Connection | undefined {
    const bypasses = this.settings.cacheBypass !== 0 && service.fwmark !== 0 && !isIcmp && !this.#parts.isLocal(packet)
    if (bypasses) {
      out.reason = 'bypass'
      const connection = newConnection(packet, false)
      connection.flags = FORWARDING_BYPASS | this.#flagsOf(packet, service)
      connection.words?.fill(0, WORDS.DESTINATION)
      this.#parts.lifetimes.add(connection, undefined, now)
      return connection
    }
    if (service.port === FTP_PORT && port !== FTP_PORT) return finish(out, 'accept', 'ftp-no-server')
    return finish(out, isIcmp ? 'drop' : 'reject', 'no-server')
  }

  #openPersistent(
    packet: Packet,
    service: Service,
    port: number,
    isIcmp: boolean,
    out: OpenOutcome,
    now: TimestampMs
  ): Connection | undefined {
    const { lifetimes, moment } = this.#parts
    const key = this.#key
    if (!this.#fillKey(packet, service, port, isIcmp)) return finish(out, 'drop', 'no-call-id')
    const isOwnPort = port === service.port && service.port !== FTP_PORT
    let template = lifetimes.store.findTemplate(key)
    if (template !== undefined && !this.#isUsable(template)) {
      // No look-up finds the old template any more; its timer keeps running (`ip_vs_check_template`).
      const { store } = lifetimes
      store.remove(template)
      template.clientPort = 0
      template.virtualPort = INVALID_PORT
      template.destinationPort = INVALID_PORT
      store.add(template)
      template = undefined
    }
    if (template === undefined) {
      const server = service.scheduler.choose(packet, moment, isIcmp)
      if (server === undefined) return this.#leave(packet, service, port, isIcmp, out, now)
      if (lifetimes.store.size >= this.connMax) return finish(out, 'drop', 'conn-max')
      template = this.#addTemplate(service, server, isOwnPort && service.fwmark === 0 ? server.port : 0, now)
    }
    // The look-up found it usable, so it has a server.
    const server = template.server!
    const destinationPort = port === service.port && server.port !== 0 ? server.port : port
    if (lifetimes.store.size >= this.connMax) return finish(out, 'drop', 'conn-max')
    const connection = this.#connect(packet, service, server, destinationPort, port, isIcmp, now)
    lifetimes.control(connection, template)
    lifetimes.restart(template, now)
    return connection
  }

  /** Opens a connection that a server began, under its template (`ip_vs_new_conn_out`). The packet is the client's. */
  openFor(packet: Packet, server: Server, now: TimestampMs): Connection {
    const { lifetimes } = this.#parts
    const { service } = server
    const port = packet.destinationPort
    let template: Connection | undefined
    if (service.persistenceMs > 0) {
      // The caller has seen that the engine finds its data.
      this.#fillKey(packet, service, port, false)
      template = lifetimes.store.findTemplate(this.#key) ?? this.#addTemplate(service, server, server.port, now)
    }
    const connection = this.#connect(packet, service, server, server.port, port, false, now)
    if (template === undefined) return connection
    lifetimes.control(connection, template)
    lifetimes.restart(template, now)
    return connection
  }

  /** Fills the key of the template that a packet needs; false where its engine finds no data. */
  #fillKey(packet: Packet, service: Service, port: number, isIcmp: boolean): boolean {
    const key = this.#key
    const { mask } = service
    key.family = packet.family
    key.clientPort = 0
    key.protocol = service.fwmark === 0 ? packet.protocol : PROTOCOL.IP
    key.fwmark = packet.mark
    key.virtualPort = port === service.port && service.port !== FTP_PORT && service.fwmark === 0 ? port : 0
    if (packet.family === 4) {
      key.words = undefined
      key.client = (isIcmp ? packet.destination : packet.source) & mask[0]!
      key.virtual = service.fwmark === 0 ? (isIcmp ? packet.source : packet.destination) : service.fwmark | 0
    } else {
      const client = isIcmp ? packet.destinationWords : packet.sourceWords
      const virtual = isIcmp ? packet.sourceWords : packet.destinationWords
      const words = new Int32Array(12)
      for (let i = 0; i < 4; i++) words[i] = client[i]! & mask[i]!
      if (service.fwmark === 0) words.set(virtual, WORDS.VIRTUAL)
      else words[WORDS.VIRTUAL] = service.fwmark
      key.words = words
      key.client = foldWords(words, WORDS.CLIENT)
      key.virtual = foldWords(words, WORDS.VIRTUAL)
    }
    key.engineData = undefined
    if (service.engine === undefined || packet.protocol !== PROTOCOL.UDP) return true
    // The engine reads the client's packet, which an ICMP error is not.
    if (isIcmp) return false
    key.engineData = callIdOf(packet.payload)
    return key.engineData !== undefined
  }

  #isUsable({ server }: Connection): boolean {
    if (server?.isAvailable !== true) return false
    return this.settings.expireQuiescentTemplate === 0 || server.weight !== 0
  }

  #addTemplate(service: Service, server: Server, port: number, now: TimestampMs): Connection {
    const key = this.#key
    const template = new Connection()
    template.family = key.family
    template.protocol = key.protocol
    template.client = key.client
    template.virtual = key.virtual
    template.virtualPort = key.virtualPort
    template.words = key.words
    template.fwmark = key.fwmark
    template.engineData = key.engineData
    template.flags = FLAG.TEMPLATE | this.#conntrackFlag()
    template.timeoutMs = service.persistenceMs
    template.ofOnePacketService = service.onePacket
    setDestination(template, server, port)
    this.#parts.lifetimes.add(template, server, now)
    return template
  }

  #connect(
    packet: Packet,
    service: Service,
    server: Server,
    destinationPort: number,
    port: number,
    isIcmp: boolean,
    now: TimestampMs
  ): Connection {
    const connection = newConnection(packet, isIcmp)
    connection.virtualPort = port
    connection.flags = this.#flagsOf(packet, service)
    if (this.#parts.hasFtp && service.port === FTP_PORT && (server.flags & FLAG.FORWARDING) === 0)
      connection.flags |= FLAG.NFCT
    setDestination(connection, server, destinationPort)
    this.#parts.lifetimes.add(connection, server, now)
    return connection
  }

  #flagsOf(packet: Packet, service: Service): number {
    const onePacket = service.onePacket && packet.protocol === PROTOCOL.UDP ? FLAG.ONE_PACKET : 0
    return onePacket | this.#conntrackFlag()
  }

  #conntrackFlag(): number {
    return this.settings.conntrack === 0 ? 0 : FLAG.NFCT
  }
}

/** BYPASS as the forwarding method of a connection's flags. */
const FORWARDING_BYPASS = 4

function finish(out: OpenOutcome, verdict: Verdict, reason: Reason): Connection | undefined {
  out.verdict = verdict
  out.reason = reason
  return undefined
}

/** A connection with the key of a packet from the client, or of the reply that an ICMP error is about. */
export function newConnection(packet: Packet, isReversed: boolean): Connection {
  const connection = new Connection()
  connection.family = packet.family
  connection.protocol = packet.protocol
  connection.fwmark = packet.mark
  connection.client = isReversed ? packet.destination : packet.source
  connection.virtual = isReversed ? packet.source : packet.destination
  connection.clientPort = isReversed ? packet.destinationPort : packet.sourcePort
  connection.virtualPort = isReversed ? packet.sourcePort : packet.destinationPort
  if (packet.family === 6) {
    const words = new Int32Array(12)
    words.set(isReversed ? packet.destinationWords : packet.sourceWords, WORDS.CLIENT)
    words.set(isReversed ? packet.sourceWords : packet.destinationWords, WORDS.VIRTUAL)
    connection.words = words
  }
  return connection
}

/** Sends a connection to a server's address. */
export function setDestination(connection: Connection, server: Server, port: number): void {
  connection.destination = server.address
  connection.destinationPort = port
  connection.words?.set(server.words, WORDS.DESTINATION)
}
