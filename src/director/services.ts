/**
 * Virtual services and their real servers, as a director is configured.
 *
 * @module
 */
import { parseAddress } from '../addresses.js'
import { misuse, demandKnownOptions, type OptionNames } from '../demand.js'
import type { Endpoint, Forwarding } from '../wire/connection.js'
import { FLAG } from '../wire/constants.js'
import { forwardingNumber } from '../wire/flags.js'
import { PROTOCOL, protocolNumber } from '../wire/protocols.js'
import { foldWords, type Packet } from './packet.js'
import { createScheduler, type Scheduler } from './schedulers.js'

/** A real server, as configured. */
export interface ServerOptions extends Endpoint {
  readonly forwarding: Forwarding
  /** 1 unless given; 0 takes no new connections. */
  readonly weight?: number
  /** Connections at which it counts as overloaded; 0 is no limit. */
  readonly upperThreshold?: number
  /** Connections below which it recovers; 0 is three quarters of the upper threshold. */
  readonly lowerThreshold?: number
}

/** A virtual service, as configured. */
export interface ServiceOptions {
  /** `TCP`, `UDP`, `SCTP`; `FWM` for a service by firewall mark. */
  readonly protocol: string
  /** Where it is reached; undefined for a service by firewall mark. Port 0 stands for every port. */
  readonly virtual?: Endpoint | undefined
  /** Only for `FWM`. */
  readonly fwmark?: number
  /** Only needed for `FWM`: else the address tells. */
  readonly family?: 'ipv4' | 'ipv6'
  /** `rr`, `wrr`, `lc`, `wlc`, `sed`, `nq`, `sh`, `dh`, `fo`, `ovf`, `twos`, `mh`, `lblc`, `lblcr`; `none`. */
  readonly scheduler: string
  /** `sh-fallback`, `sh-port`, `mh-fallback`, `mh-port`; `flag-1` and `flag-2` are the same. */
  readonly schedulerFlags?: readonly string[]
  readonly onePacket?: boolean
  /** Timeout of templates in seconds, prefix length of the clients that count as one, engine (`sip`). */
  readonly persistence?: { readonly timeout: number; readonly prefix?: number; readonly engine?: string } | undefined
  /** In the kernel's order: a server that was added later stands before the others. */
  readonly servers: readonly ServerOptions[]
}

/** Names of the options. */
const SERVER_OPTIONS: OptionNames<ServerOptions> = {
  address: true,
  port: true,
  forwarding: true,
  weight: true,
  upperThreshold: true,
  lowerThreshold: true
}
/** A server that was read from a kernel's table has counters, too; they are ignored. */
const ACCEPTED_OF_SERVER = { ...SERVER_OPTIONS, activeConnections: true, inactiveConnections: true }

/** A real server of the model. */
export class Server {
  service: Service
  readonly family: 4 | 6
  readonly address: number
  readonly words: Int32Array
  readonly addressText: string
  readonly port: number
  /** Flags that its connections take: method, NOOUTPUT unless MASQ, INACTIVE. */
  flags = 0
  weight = 1
  upperThreshold = 0
  lowerThreshold = 0
  /** Active connections. */
  active = 0
  /** Inactive connections. */
  inactive = 0
  /** Templates. */
  persistent = 0
  /** False once it was removed. */
  isAvailable = true
  isOverloaded = false

  constructor(service: Service, options: ServerOptions) {
    demandKnownOptions(options, ACCEPTED_OF_SERVER, 'ERR_USAGE')
    const words = [0, 0, 0, 0]
    const family = parseAddress(options.address, words)
    if (family === 0) throw misuse('servers.address', 'an IP address', options.address)
    this.service = service
    this.family = family
    this.address = family === 4 ? words[0]! : foldWords(words)
    this.words = Int32Array.from(words)
    this.addressText = options.address
    this.port = options.port
    this.configure(options)
  }

  /** Sets method, weight and thresholds (`__ip_vs_update_dest`). */
  configure({ forwarding, weight = 1, upperThreshold = 0, lowerThreshold = 0 }: ServerOptions): void {
    const method = forwardingNumber(forwarding)
    if (method === undefined || method > 4) throw misuse('servers.forwarding', 'a forwarding method', forwarding)
    this.flags = method | (method === 0 ? 0 : FLAG.NOOUTPUT) | FLAG.INACTIVE
    this.weight = weight
    if (upperThreshold === 0 || upperThreshold > this.upperThreshold) this.isOverloaded = false
    this.upperThreshold = upperThreshold
    this.lowerThreshold = lowerThreshold
  }

  /** Whether a scheduler may choose it. */
  get takesConnections(): boolean {
    return this.weight > 0 && !this.isOverloaded
  }

  /** Counts a new entry (`ip_vs_bind_dest`). */
  bind(isTemplate: boolean, isInactive: boolean): void {
    if (isTemplate) this.persistent++
    else if (isInactive) this.inactive++
    else this.active++
    if (this.upperThreshold !== 0 && this.active + this.inactive >= this.upperThreshold) this.isOverloaded = true
  }

  /** Discounts an entry that ended (`ip_vs_unbind_dest`). */
  unbind(isTemplate: boolean, isInactive: boolean): void {
    if (isTemplate) this.persistent--
    else if (isInactive) this.inactive--
    else this.active--
    const total = this.active + this.inactive
    if (this.lowerThreshold !== 0) {
      if (total < this.lowerThreshold) this.isOverloaded = false
    } else if (this.upperThreshold !== 0) {
      if (total * 4 < this.upperThreshold * 3) this.isOverloaded = false
    } else this.isOverloaded = false
  }
}

/** Names of the options. */
const SERVICE_OPTIONS: OptionNames<ServiceOptions> = {
  protocol: true,
  virtual: true,
  fwmark: true,
  family: true,
  scheduler: true,
  schedulerFlags: true,
  onePacket: true,
  persistence: true,
  servers: true
}

/** A virtual service of the model. */
export class Service {
  readonly options: ServiceOptions
  /** IPPROTO number; 0 for a service by firewall mark. */
  readonly protocol: number
  readonly family: 4 | 6
  readonly address: number
  readonly words: Int32Array
  readonly port: number
  readonly fwmark: number
  readonly onePacket: boolean
  /** Timeout of its templates; 0 where it is not persistent. */
  readonly persistenceMs: number
  /** Masks of the client's address, a word each. */
  readonly mask: Int32Array
  readonly engine: string | undefined
  servers: Server[] = []
  readonly scheduler: Scheduler

  constructor(options: ServiceOptions) {
    demandKnownOptions(options, SERVICE_OPTIONS, 'ERR_USAGE')
    const words = [0, 0, 0, 0]
    const isMark = options.protocol === 'FWM'
    const protocol = isMark ? 0 : protocolNumber(options.protocol)
    const family = isMark ? familyOfMark(options) : parseAddress(options.virtual?.address ?? '', words)
    if (family === 0) throw misuse('services.virtual.address', 'an IP address', options.virtual?.address)
    if (protocol === undefined || (!isMark && !BALANCED.has(protocol)))
      throw misuse('services.protocol', 'TCP, UDP, SCTP or FWM', options.protocol)
    this.options = options
    this.protocol = protocol
    this.family = family
    this.address = family === 4 ? words[0]! : foldWords(words)
    this.words = Int32Array.from(words)
    this.port = options.virtual?.port ?? 0
    this.fwmark = isMark ? (options.fwmark ?? 0) : 0
    this.onePacket = options.onePacket ?? false
    const { timeout = 0, prefix = family === 4 ? 32 : 128, engine } = options.persistence ?? {}
    this.persistenceMs = timeout * 1000
    this.mask = Int32Array.from([0, 1, 2, 3], (word) => {
      const bits = prefix - 32 * word
      return bits >= 32 ? -1 : bits <= 0 ? 0 : -1 << (32 - bits)
    })
    this.engine = engine
    this.scheduler = createScheduler(this)
    // One after the other, as an administrator adds them: `wrr` starts from where the additions leave it.
    for (const server of [...options.servers].reverse()) this.insert(new Server(this, server))
  }

  /** Puts a server at the head of the list. */
  insert(server: Server): void {
    this.servers = [server, ...this.servers]
    this.scheduler.changed()
  }

  /** Takes a server out of the list; its connections keep it. */
  take(server: Server): void {
    this.scheduler.removed(server)
    this.servers = this.servers.filter((other) => other !== server)
    this.scheduler.changed()
  }
}

const BALANCED: ReadonlySet<number> = new Set([PROTOCOL.TCP, PROTOCOL.UDP, PROTOCOL.SCTP])

function familyOfMark({ family, servers }: ServiceOptions): 4 | 6 {
  if (family !== undefined) return family === 'ipv6' ? 6 : 4
  return servers[0]?.address.includes(':') === true ? 6 : 4
}

const FTP_PORT = 21
const FTP_DATA_PORT = 20
const FIRST_UNPRIVILEGED_PORT = 1024

/** The services of a director, found as `ip_vs_service_find` does. */
export class Services {
  readonly all: Service[] = []
  readonly #byMark = new Map<number, Service[]>()
  readonly #byEndpoint = new Map<number, Service[]>()
  /** Servers that were removed while connections refer to them. */
  #trash: Server[] = []
  #ftp = 0
  #anyPort = 0

  /** Adds a server. One that was removed from such a service, and still has connections, comes back (`ip_vs_trash_get_dest`). */
  addServer(service: Service, options: ServerOptions): Server {
    const fresh = new Server(service, options)
    const at = this.#trash.findIndex((server) => {
      const [own, others] = [server.service, fresh.service]
      const isSameService =
        own.fwmark === others.fwmark &&
        own.protocol === others.protocol &&
        own.port === others.port &&
        own.words.every((word, at) => word === others.words[at])
      return isSameService && server.port === fresh.port && server.words.every((word, at) => word === fresh.words[at])
    })
    const server = at < 0 ? fresh : this.#trash.splice(at, 1)[0]!
    server.service = service
    server.isAvailable = true
    server.configure(options)
    service.insert(server)
    return server
  }

  /** Removes a server; its connections keep it. */
  removeServer(server: Server): void {
    server.isAvailable = false
    server.service.take(server)
    this.#trash = [...this.#trash, server].filter(
      ({ active, inactive, persistent }: Server): boolean => active + inactive + persistent > 0
    )
  }

  add(service: Service): void {
    this.all.push(service)
    this.#count(service, 1)
    if (service.fwmark !== 0) listOf(this.#byMark, service.fwmark).push(service)
    else listOf(this.#byEndpoint, keyOf(service.protocol, service.address, service.port)).push(service)
  }

  remove(service: Service): void {
    this.all.splice(this.all.indexOf(service), 1)
    this.#count(service, -1)
    const list =
      service.fwmark !== 0
        ? listOf(this.#byMark, service.fwmark)
        : listOf(this.#byEndpoint, keyOf(service.protocol, service.address, service.port))
    list.splice(list.indexOf(service), 1)
  }

  /** The service of a packet; `isReversed` looks with its ends exchanged. */
  find(packet: Packet, isReversed = false): Service | undefined {
    const { family, protocol } = packet
    if (packet.mark !== 0) {
      const marked = this.#byMark.get(packet.mark)?.find((service) => service.family === family)
      if (marked !== undefined) return marked
    }
    const port = isReversed ? packet.sourcePort : packet.destinationPort
    const exact = this.#at(packet, port, isReversed)
    if (exact !== undefined) return exact
    if (protocol === PROTOCOL.TCP && this.#ftp > 0 && (port === FTP_DATA_PORT || port >= FIRST_UNPRIVILEGED_PORT)) {
      const ftp = this.#at(packet, FTP_PORT, isReversed)
      if (ftp !== undefined) return ftp
    }
    return this.#anyPort > 0 ? this.#at(packet, 0, isReversed) : undefined
  }

  /** The MASQ server that a packet comes from, or undefined. */
  serverBySource(packet: Packet): Server | undefined {
    for (const service of this.all) {
      if (service.fwmark === 0 && service.protocol !== packet.protocol) continue
      for (const server of service.servers) {
        const isSource =
          (server.flags & FLAG.FORWARDING) === 0 &&
          server.family === packet.family &&
          server.address === packet.source &&
          server.port === packet.sourcePort &&
          (packet.family === 4 || server.words.every((word, at) => word === packet.sourceWords[at]))
        if (isSource) return server
      }
    }
    return undefined
  }

  #at(packet: Packet, port: number, isReversed: boolean): Service | undefined {
    const address = isReversed ? packet.source : packet.destination
    const list = this.#byEndpoint.get(keyOf(packet.protocol, address, port))
    if (list === undefined) return undefined
    const words = isReversed ? packet.sourceWords : packet.destinationWords
    for (const service of list) {
      if (service.family !== packet.family || service.address !== address || service.port !== port) continue
      if (packet.family === 4 || service.words.every((word, at) => word === words[at])) return service
    }
    return undefined
  }

  #count({ protocol, port, fwmark }: Service, by: 1 | -1): void {
    if (protocol === PROTOCOL.TCP && port === FTP_PORT) this.#ftp += by
    if (port === 0 && fwmark === 0) this.#anyPort += by
  }
}

function keyOf(protocol: number, address: number, port: number): number {
  return (Math.imul(address, 0x9e3779b1) ^ (port << 8) ^ protocol) | 0
}

function listOf(map: Map<number, Service[]>, key: number): Service[] {
  const list = map.get(key) ?? []
  map.set(key, list)
  return list
}
