/**
 * A director as a state machine without I/O: packets and time go in, what a kernel would do comes out.
 *
 * @module
 */
import { DIRECTOR_OPTIONS, type DirectorOptions } from './director-options.js'
import { parseNetwork, networkHolds, formatIpv4, formatIpv6, type Network } from '../addresses.js'
import { demandObject, misuse, demandKnownOptions } from '../demand.js'
import { verifySysctls, type Sysctls } from '../sysctl/settings.js'
import type { Milliseconds, TimestampMs } from '../units.js'
import type { TableConnection } from '../wire/connection.js'
import { FLAG } from '../wire/constants.js'
import { PROTOCOL } from '../wire/protocols.js'
import { Announcer } from './announcer.js'
import { connectionValue, entryFromConnection, type Connection } from './connection.js'
import { Defences, drawBuckets } from './defences.js'
import { activeData, openFtpData, passiveData } from './ftp.js'
import { IcmpHandler } from './icmp.js'
import { Lifetimes } from './lifetimes.js'
import { move } from './move.js'
import { Opener } from './opener.js'
import { isNewExpected, isOpening, isTracked } from './reuse.js'
import { blankOutcome, type OpenOutcome, type Outcome, type Rescheduled } from './outcome.js'
import { Packet, packetFromValue, type PacketValue } from './packet.js'
import { Service, Services, type Server, type ServerOptions, type ServiceOptions } from './services.js'
import type { Moment } from './schedulers.js'
import { callIdOf } from './sip.js'
import { CHUNK, StateTimeouts, TCP_FLAG, type Timeouts } from './transitions.js'

const { TCP, UDP, SCTP, AH, ESP, ICMP, ICMPV6 } = PROTOCOL
const SECOND: Milliseconds = 1000
/** Port of IKE: AH and ESP belong to the UDP connection between these ports. */
const ISAKMP = 500
const IPIP_HEADER = 20
const TUNNEL = 2

/**
 * A model of the kernel's director (`ip_vs_in`, `ip_vs_out`).
 *
 * Drive it like an engine: {@link Director.handlePacket} for every packet in order, {@link Director.handleTimeout} at
 * {@link Director.nextTimeout}. Times are milliseconds of one clock that starts above 0 and does not go back. With a
 * `master`, call its `pollTransmit` for the messages.
 *
 * @example
 * ```ts
 * const director = new Director({ services: [{ protocol: 'TCP', virtual: { address: '10.0.0.1', port: 80 },
 *   scheduler: 'rr', servers: [{ address: '10.0.0.11', port: 80, forwarding: 'MASQ' }] }] })
 * const { verdict, connection } = director.handlePacket({ protocol: 'TCP', flags: ['SYN'],
 *   source: { address: '10.9.0.5', port: 1234 }, destination: { address: '10.0.0.1', port: 80 } }, 1000)
 * ```
 */
export class Director {
  readonly #services = new Services()
  readonly #timeouts = new StateTimeouts()
  readonly #defences = new Defences()
  readonly #lifetimes: Lifetimes
  readonly #opener: Opener
  readonly #icmp: IcmpHandler
  readonly #announcer: Announcer | undefined
  readonly #hasBackup: boolean
  readonly #local: readonly Network[]
  readonly #availablePages: (now: TimestampMs) => number
  readonly #tableBits: number
  readonly #mtu: number
  readonly #hasFtp: boolean
  readonly #random: () => number
  readonly #moment: { -readonly [Key in keyof Moment]: Moment[Key] }
  readonly #out: OpenOutcome = blankOutcome()
  #settings: Sysctls
  #now: TimestampMs = 0
  #nextTick: TimestampMs
  /** When connections of removed servers are flushed. */
  #flushAt: TimestampMs = Infinity

  /** @throws IpvsSyncError `ERR_CONFIG` or `ERR_USAGE`, whose `field` names what is not accepted. */
  constructor(options: DirectorOptions) {
    demandKnownOptions(options, DIRECTOR_OPTIONS)
    demandObject('options', options)
    const settings = verifySysctls(options.settings ?? {})
    const { availablePages = Infinity } = options
    this.#settings = settings
    this.#random = randomFrom(options.seed ?? 1)
    this.#moment = { now: 0, random: this.#random, lblcMs: 0, lblcrMs: 0 }
    this.#availablePages = typeof availablePages === 'number' ? () => availablePages : availablePages
    this.#tableBits = options.tableBits ?? 12
    this.#mtu = options.mtu ?? 1500
    this.#hasFtp = options.ftp ?? false
    this.#hasBackup = options.hasBackup ?? false
    this.#local = (options.local ?? []).map((text) => {
      const network = parseNetwork(text)
      if (network === undefined) throw misuse('options.local', 'an IP address', text)
      return network
    })
    this.#nextTick = (options.clockPhaseMs ?? 0) + SECOND
    this.#lifetimes = new Lifetimes(options.onEnd)
    if (options.master !== undefined) this.#announcer = new Announcer(options.master, settings, options.onAnnounce)
    this.#lifetimes.announcer = this.#announcer
    this.#opener = new Opener(settings, {
      services: this.#services,
      lifetimes: this.#lifetimes,
      defences: this.#defences,
      moment: this.#moment,
      hasFtp: this.#hasFtp,
      isLocal: (packet) => {
        // A kernel asks this of IPv4 addresses only (`ip_vs_leave`).
        const { family, destination } = packet
        if (family === 6) return false
        const text = formatIpv4(destination)
        return this.#local.some((network) => networkHolds(network, text))
      }
    })
    this.#icmp = new IcmpHandler(this.#lifetimes, this.#opener, () => this.#isStandby())
    this.#timeouts.set(options.timeouts ?? {})
    for (const service of options.services) this.addService(service)
    this.#apply(settings)
  }

  /** Entries of the table, templates included. */
  get size(): number {
    return this.#lifetimes.store.size
  }

  /** The services and their servers with their counters. Read only. */
  get services(): readonly Service[] {
    return this.#services.all
  }

  /** The variables in effect; the automatic modes of the defences as they stand now. */
  get settings(): Sysctls {
    const { dropEntry, dropPacket, secureTcp } = this.#defences
    return { ...this.#settings, dropEntry, dropPacket, secureTcp }
  }

  /** Every entry as a value, as `/proc/net/ip_vs_conn` shows it. */
  *connections(): Generator<TableConnection> {
    for (const connection of this.#lifetimes.store) yield connectionValue(connection, this.#now)
  }

  /** Adds a virtual service. */
  addService(options: ServiceOptions): Service {
    const service = new Service(options)
    this.#services.add(service)
    return service
  }

  /** Removes a service; its servers are removed first. */
  removeService(service: Service, now: TimestampMs): void {
    for (const server of service.servers) this.removeServer(server, now)
    this.#services.remove(service)
  }

  /** Adds a real server, at the head of the list. One that was removed and still has connections comes back. */
  addServer(service: Service, options: ServerOptions): Server {
    return this.#services.addServer(service, options)
  }

  /** Changes a server's weight. */
  setWeight(server: Server, weight: number): void {
    server.weight = weight
    server.service.scheduler.changed()
  }

  /** Removes a real server. Its connections stay, unless `expire_nodest_conn` ends them a moment later. */
  removeServer(server: Server, now: TimestampMs): void {
    this.handleTimeout(now)
    this.#services.removeServer(server)
    if (this.#settings.expireNodestConn !== 0) this.#flushAt = Math.min(this.#flushAt, this.#now)
  }

  /** Changes variables, as writes to `/proc/sys/net/ipv4/vs` do. */
  configure(changes: Partial<Sysctls>, now: TimestampMs): void {
    this.handleTimeout(now)
    this.#apply(verifySysctls({ ...this.settings, ...changes }))
  }

  /** Changes timeouts; connections take them at their next packet. */
  setTimeouts(timeouts: Timeouts): void {
    this.#timeouts.set(timeouts)
  }

  /**
   * Takes over a connection that a backup learned, as a new master does: its origin is SYNC, its packet counter stands
   * at the threshold.
   */
  adopt(connection: TableConnection, now: TimestampMs): void {
    this.handleTimeout(now)
    const entry = entryFromConnection(connection)
    entry.packets = this.#settings.syncThreshold[0]
    const server = this.#serverOf(entry)
    this.#lifetimes.adopt(entry, server, this.#now)
    this.#lifetimes.timers.restart(entry, this.#now + connection.expires * 1000)
  }

  /**
   * Handles one packet, as all hooks of a kernel together do.
   *
   * @param packet - Packed (fast), or a value.
   * @returns What happened; the same object each time.
   * @throws IpvsSyncError `ERR_USAGE` for a value that is no packet.
   */
  handlePacket(packet: Packet | PacketValue, now: TimestampMs): Outcome {
    const packed = packet instanceof Packet ? packet : packetFromValue(packet)
    this.handleTimeout(now)
    const out = this.#out
    out.verdict = 'accept'
    out.reason = 'no-service'
    out.direction = undefined
    out.connection = undefined
    out.isNew = false
    out.rescheduled = undefined
    out.stateBefore = 0
    out.stateAfter = 0
    out.decision = undefined
    out.controllerDecision = undefined
    const { protocol } = packed
    if (protocol === ICMP || protocol === ICMPV6) this.#icmp.handle(packed, out, this.#now)
    else if (!this.#handleReply(packed, out)) this.#handleRequest(packed, out)
    return out
  }

  /** Whether a packet goes to a virtual service, or belongs to a connection of one. */
  isForService(packet: Packet): boolean {
    const { protocol, sourcePort, destinationPort } = packet
    if (this.#services.find(packet) !== undefined) return true
    return this.#lifetimes.store.find(packet, protocol, sourcePort, destinationPort, false) !== undefined
  }

  /** Whether a packet's source is an address of the director, as far as they are known. */
  isFromItself({ family, source, sourceWords }: Packet): boolean {
    const text = family === 4 ? formatIpv4(source) : formatIpv6(sourceWords)
    return this.#local.some((network) => networkHolds(network, text))
  }

  /** The connection of a packet from the virtual address to the client: a reply as the client receives it. */
  findTranslated(packet: Packet): Connection | undefined {
    const { protocol, sourcePort, destinationPort } = packet
    return this.#lifetimes.store.find(packet, protocol, sourcePort, destinationPort, true)
  }

  /** Lets time pass: timers fire, the defences' clock ticks. */
  handleTimeout(now: TimestampMs): void {
    const { store, timers } = this.#lifetimes
    // Without connections only the last tick matters: a clock can begin far from 0, and captures have gaps.
    const missed = now - this.#nextTick
    if (store.size === 0 && missed >= SECOND) this.#nextTick += Math.floor(missed / SECOND) * SECOND
    for (;;) {
      const tick = this.#defences.isActive ? this.#nextTick : Infinity
      const next = Math.min(timers.earliest, tick, this.#flushAt)
      if (next > now) break
      this.#now = Math.max(this.#now, next)
      if (next === this.#flushAt) {
        // Connections of removed servers go, and then what controlled them (`ip_vs_expire_nodest_conn_flush`).
        this.#flushAt = Infinity
        for (const connection of [...this.#lifetimes.store]) {
          if (!connection.isHashed || connection.server?.isAvailable !== false || connection.controls > 0) continue
          const { controller } = connection
          this.#lifetimes.drop(connection, this.#now)
          if (controller?.isHashed === true && controller.controls === 0) this.#lifetimes.drop(controller, this.#now)
        }
      } else if (next === tick) {
        this.#nextTick += SECOND
        this.#defences.update(this.#availablePages(this.#now))
        if (this.#defences.dropEntry >= 2) {
          const buckets = drawBuckets(this.#tableBits, this.#random)
          const mask = 2 ** this.#tableBits - 1
          for (const connection of [...this.#lifetimes.store]) {
            if (!buckets.has(connection.hash & mask) || !connection.isHashed) continue
            if (this.#defences.dropsEntry(connection, this.#now)) this.#lifetimes.drop(connection, this.#now)
          }
        }
      } else {
        const due = timers.due(next)
        if (due !== undefined) this.#lifetimes.fire(due, this.#now)
      }
    }
    if (now > this.#now) this.#now = now
    if (this.#nextTick <= this.#now) this.#nextTick += Math.ceil((this.#now - this.#nextTick + 1) / SECOND) * SECOND
    this.#moment.now = this.#now
  }

  /** When {@link Director.handleTimeout} is next worth a call; Infinity if never. */
  nextTimeout(): TimestampMs {
    const tick = this.#defences.isActive ? this.#nextTick : Infinity
    return Math.min(this.#lifetimes.timers.earliest, tick, this.#flushAt)
  }

  #apply(settings: Sysctls): void {
    this.#settings = settings
    this.#opener.settings = settings
    this.#opener.connMax = settings.connMax
    this.#moment.lblcMs = settings.lblcExpiration * 1000
    this.#moment.lblcrMs = settings.lblcrExpiration * 1000
    this.#defences.configure(settings, this.#availablePages(this.#now))
    this.#announcer?.configure(settings)
  }

  /** Packets from the real server (`ip_vs_out`); true if that was its end. */
  #handleReply(packet: Packet, out: OpenOutcome): boolean {
    const isIpsec = packet.protocol === AH || packet.protocol === ESP
    const protocol = isIpsec ? UDP : packet.protocol
    if (protocol !== TCP && protocol !== UDP && protocol !== SCTP) return false
    const from = isIpsec ? ISAKMP : packet.sourcePort
    const to = isIpsec ? ISAKMP : packet.destinationPort
    const { store } = this.#lifetimes
    const connection = packet.isTranslated
      ? store.find(packet, protocol, from, to, true)
      : store.findReply(packet, protocol, from, to)
    if (connection === undefined) {
      // A packet of a NAT server without a connection: the `sip` engine's, or refused by `nat_icmp_send`.
      const { natIcmpSend } = this.#settings
      const isUdp = packet.protocol === UDP
      if (natIcmpSend === 0 && !isUdp) return false
      const server = this.#services.serverBySource(packet)
      if (server === undefined) return false
      if (isUdp && server.service.engine !== undefined && server.service.fwmark === 0) {
        // A server begins (`ip_vs_new_conn_out`): a connection, and a template, as if the client had.
        const { service } = server
        if (packet.sourcePort === 0 || packet.destinationPort === 0) return false
        if (service.persistenceMs > 0 && callIdOf(packet.payload) === undefined) return false
        const request = new Packet()
        request.family = packet.family
        request.protocol = packet.protocol
        request.source = packet.destination
        request.sourceWords.set(packet.destinationWords)
        request.destination = service.address
        request.destinationWords.set(service.words)
        request.sourcePort = packet.destinationPort
        request.destinationPort = service.port === 0 ? packet.sourcePort : service.port
        request.payload = packet.payload
        const connection = this.#opener.openFor(request, server, this.#now)
        out.isNew = true
        this.#answer(connection, packet, out)
        return true
      }
      if (natIcmpSend === 0) return false
      if (packet.protocol === TCP && (packet.signal & TCP_FLAG.RST) !== 0) return false
      if (packet.protocol === SCTP && (packet.signal & 0xff) === CHUNK.ABORT) return false
      out.verdict = 'reject'
      out.reason = 'nat-icmp'
      return true
    }
    this.#answer(connection, packet, out)
    return true
  }

  #answer(connection: Connection, packet: Packet, out: OpenOutcome): void {
    out.verdict = 'forward'
    out.reason = 'reply'
    out.direction = 'out'
    out.connection = connection
    if (!packet.isTranslated) connection.isServerSideSeen = true
    out.stateBefore = connection.state
    if (this.#hasFtp) openFtpData(connection, passiveData(packet.payload), this.#lifetimes, this.#timeouts, this.#now)
    move(connection, packet, true, this.#defences.isSecure, this.#timeouts)
    out.stateAfter = connection.state
    this.#lifetimes.restart(connection, this.#now)
  }

  /** Packets from the client (`ip_vs_in`). */
  #handleRequest(packet: Packet, out: OpenOutcome): void {
    const { protocol } = packet
    const settings = this.#settings
    if (this.#isStandby()) {
      out.reason = 'backup-only'
      return
    }
    const isIpsec = protocol === AH || protocol === ESP
    if (!isIpsec && protocol !== TCP && protocol !== UDP && protocol !== SCTP) {
      out.reason = settings.ignoreTunneled !== 0 ? 'tunneled' : 'other-protocol'
      return
    }
    let connection = this.#lifetimes.store.find(
      packet,
      isIpsec ? UDP : protocol,
      isIpsec ? ISAKMP : packet.sourcePort,
      isIpsec ? ISAKMP : packet.destinationPort,
      false
    )
    if (connection !== undefined && isOpening(packet)) {
      const cause = this.#reuse(connection)
      if (cause !== undefined) {
        if (this.#makeRoom(connection, cause, out)) return
        connection = undefined
      }
    }
    if (connection?.server?.isAvailable === false) {
      out.connection = connection
      if (settings.expireNodestConn === 0) {
        refuse(out, 'server-removed')
        return
      }
      this.#lifetimes.expireNow(connection, this.#now)
      if (isTracked(connection)) {
        refuse(out, 'old-conntrack')
        return
      }
      out.rescheduled = 'server-removed'
      out.connection = undefined
      connection = undefined
    }
    if (connection === undefined) {
      connection = this.#opener.open(packet, false, out, this.#now)
      if (connection === undefined) return
      out.isNew = true
    }
    this.#forward(connection, packet, out)
  }

  /** Steps 9 to 14 of a packet's path: state, transmission, counter, decision, timer. */
  #forward(connection: Connection, packet: Packet, out: OpenOutcome): void {
    const isBypass = out.reason === 'bypass'
    out.verdict = 'forward'
    if (!isBypass) out.reason = out.isNew ? 'created' : 'existing'
    out.direction = 'in'
    out.connection = connection
    out.stateBefore = connection.state
    move(connection, packet, false, this.#defences.isSecure, this.#timeouts)
    out.stateAfter = connection.state
    if ((connection.flags & (FLAG.NO_CPORT | FLAG.FORWARDING)) === FLAG.NO_CPORT)
      this.#lifetimes.fillClientPort(connection, packet.sourcePort)
    if (this.#isTooBig(connection, packet)) {
      // A packet that cannot be sent has moved the state, and counts.
      out.verdict = 'reject'
      out.reason = 'icmp-path-mtu'
    }
    if (this.#hasFtp && !out.isNew)
      openFtpData(connection, activeData(packet.payload), this.#lifetimes, this.#timeouts, this.#now)
    const announcer = this.#announcer
    const packets = connection.onePacket ? (announcer?.threshold ?? 0) : ++connection.packets
    if (announcer !== undefined && !isBypass) {
      announcer.consider(connection, packets, this.#now)
      out.decision = announcer.decision
      out.controllerDecision = announcer.controllerDecision
    } else if (announcer === undefined && connection.onePacket && connection.controller !== undefined)
      connection.controller.packets++
    this.#lifetimes.restart(connection, this.#now)
  }

  /** Why a SYN or INIT on this connection opens a new one; undefined where it does not. */
  #reuse(connection: Connection): Rescheduled | undefined {
    const { expireNodestConn, connReuseMode } = this.#settings
    if (expireNodestConn !== 0 && connection.server?.weight === 0) return 'weight-zero'
    if (connReuseMode === 0 || !isNewExpected(connection, connReuseMode)) return undefined
    return connection.controls === 0 || !isTracked(connection) ? 'port-reuse' : undefined
  }

  /** Ends the old connection of a reused port; true where this packet is dropped for it. */
  #makeRoom(connection: Connection, cause: Rescheduled, out: OpenOutcome): boolean {
    const isOld = isTracked(connection)
    if (!isOld) connection.flags &= ~FLAG.NFCT
    if (connection.controls === 0) this.#lifetimes.expireNow(connection, this.#now)
    out.rescheduled = cause
    if (!isOld) return false
    out.connection = connection
    refuse(out, 'old-conntrack')
    return true
  }

  /** Whether a tunnel refuses a packet: `pmtu_disc`. */
  #isTooBig(connection: Connection, { family, length, dontFragment }: Packet): boolean {
    if (this.#settings.pmtuDisc === 0 || family !== 4 || !dontFragment) return false
    return (connection.flags & FLAG.FORWARDING) === TUNNEL && length > this.#mtu - IPIP_HEADER
  }

  /** Whether `backup_only` keeps it from directing. */
  #isStandby(): boolean {
    return this.#settings.backupOnly !== 0 && this.#hasBackup
  }

  #serverOf(entry: Connection): Server | undefined {
    for (const service of this.#services.all) {
      const isService =
        service.fwmark !== 0
          ? service.fwmark === entry.fwmark
          : service.protocol === entry.protocol &&
            service.address === entry.virtual &&
            (service.port === entry.virtualPort || service.port === 0)
      const server = isService
        ? service.servers.find(
            ({ address, port }) => address === entry.destination && (port === entry.destinationPort || port === 0)
          )
        : undefined
      if (server !== undefined) return server
    }
    return undefined
  }
}

function refuse(out: OpenOutcome, reason: 'server-removed' | 'old-conntrack'): void {
  out.verdict = 'drop'
  out.reason = reason
}

/**
 * Returns a generator of numbers from 0 up to, not including, 1 (mulberry32).
 *
 * @param seed - The same seed gives the same numbers.
 */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x100000000
  }
}
