/**
 * Schedulers: which real server a new connection goes to.
 *
 * @module
 */
import { misuse } from '../demand.js'
import type { TimestampMs } from '../units.js'
import type { Packet } from './packet.js'
import type { Server, Service } from './services.js'

/** What a scheduler reads of the moment. */
export interface Moment {
  readonly now: TimestampMs
  /** A number from 0 up to, not including, 1. */
  readonly random: () => number
  /** `lblc_expiration` and `lblcr_expiration`, in milliseconds. */
  readonly lblcMs: number
  readonly lblcrMs: number
}

/** Chooses servers for one service. */
export interface Scheduler {
  /**
   * The server for a packet that opens a connection; undefined where none is available. `isReversed`: the packet is one
   * of the service to the client, which an ICMP error is about.
   */
  readonly choose: (packet: Packet, moment: Moment, isReversed?: boolean) => Server | undefined
  /** The list of servers or a weight has changed. */
  readonly changed: () => void
  /** A server is about to leave the list. */
  readonly removed: (server: Server) => void
}

type Choose = Scheduler['choose']

/**
 * Makes a service's scheduler.
 *
 * @throws IpvsSyncError `ERR_USAGE` for a name that no kernel has.
 */
export function createScheduler(service: Service): Scheduler {
  const make = FACTORIES[service.options.scheduler]
  if (make === undefined)
    throw misuse('services.scheduler', Object.keys(FACTORIES).join(', '), service.options.scheduler)
  return make(service)
}

const FACTORIES: Readonly<Record<string, (service: Service) => Scheduler>> = {
  rr: roundRobin,
  wrr: weightedRoundRobin,
  lc: (service) => stateless(() => leastBy(service.servers, loadOf, () => 1)),
  wlc: (service) => stateless(() => leastBy(service.servers, loadOf, weightOf)),
  sed: (service) => stateless(() => leastBy(service.servers, expectedDelay, weightOf)),
  nq: (service) => stateless(() => idle(service) ?? leastBy(service.servers, expectedDelay, weightOf)),
  fo: (service) => stateless(() => heaviest(service.servers.filter(isOpen))),
  ovf: (service) =>
    stateless(() => heaviest(service.servers.filter((server) => isOpen(server) && server.active <= server.weight))),
  twos: (service) =>
    stateless((_, moment) => {
      const { servers } = service
      const { random } = moment
      const open = servers.filter(isOpen)
      const total = open.reduce((sum, { weight }) => sum + weight, 0)
      const draw = (): Server | undefined => {
        let rest = Math.floor(random() * total)
        return open.find((server) => (rest -= server.weight) < 0)
      }
      const [one, other] = [draw(), draw()]
      return one === undefined || other === undefined
        ? undefined
        : loadOf(other) * one.weight < loadOf(one) * other.weight
          ? other
          : one
    }),
  sh: (service) => hashed(service, 'source'),
  dh: (service) => hashed(service, 'destination'),
  mh: maglev,
  lblc: localityBased,
  lblcr: localityBasedReplicated,
  none: () => stateless(() => undefined)
}

const isOpen = (server: Server): boolean => server.takesConnections
const weightOf = (server: Server): number => server.weight
const loadOf = (server: Server): number => server.active * 256 + server.inactive
const expectedDelay = (server: Server): number => server.active + 1

function stateless(choose: Choose): Scheduler {
  return { choose, changed: () => undefined, removed: () => undefined }
}

/** The server with the least cost per weight; the first of equals. */
function leastBy(
  servers: readonly Server[],
  cost: (server: Server) => number,
  weight: (server: Server) => number
): Server | undefined {
  let least: Server | undefined
  let leastCost = 0
  for (const server of servers) {
    if (!server.takesConnections) continue
    const own = cost(server)
    if (least !== undefined && leastCost * weight(server) <= own * weight(least)) continue
    least = server
    leastCost = own
  }
  return least
}

function idle({ servers }: Service): Server | undefined {
  return servers.find((server) => server.takesConnections && server.active === 0)
}

function heaviest(servers: readonly Server[]): Server | undefined {
  return servers.reduce<Server | undefined>(
    (best, server) => (best === undefined || server.weight > best.weight ? server : best),
    undefined
  )
}

function roundRobin(service: Service): Scheduler {
  /** The last chosen one; undefined is the head of the list. */
  let last: Server | undefined
  return {
    choose() {
      const { servers } = service
      const from = last === undefined ? -1 : servers.indexOf(last)
      for (let step = 1; step <= servers.length; step++) {
        const server = servers[(from + step) % servers.length]!
        if (!server.takesConnections) continue
        last = server
        return server
      }
      return undefined
    },
    changed: () => undefined,
    removed(server) {
      if (last === server) last = service.servers[service.servers.indexOf(server) - 1]
    }
  }
}

function weightedRoundRobin(service: Service): Scheduler {
  let at = -1
  let [highest, step, current] = [0, 1, 0]
  const measure = (): void => {
    step = service.servers.reduce((gcd, { weight }) => (weight > 0 ? greatestDivisor(weight, gcd) : gcd), 0) || 1
    highest = service.servers.reduce((most, { weight }) => Math.max(most, weight), 0) - (step - 1)
  }
  measure()
  current = highest
  return {
    choose() {
      const { servers } = service
      // As many rounds as there are levels of weight: more would only repeat.
      const rounds = Math.floor(Math.max(highest, 0) / step) + 2
      for (let visited = 0; visited <= rounds * (servers.length + 1); visited++) {
        at++
        if (at >= servers.length) {
          at = -1
          current -= step
          if (current <= 0) current = highest
          if (current <= 0) return undefined
          continue
        }
        const server = servers[at]!
        if (!server.isOverloaded && server.weight >= current && server.weight > 0) return server
      }
      return undefined
    },
    changed() {
      at = -1
      measure()
      if (current > highest || current === 0) current = highest
      else if (step > 1) current = Math.floor(current / step) * step + 1
    },
    removed: () => undefined
  }
}

function greatestDivisor(one: number, other: number): number {
  return other === 0 ? one : greatestDivisor(other, one % other)
}

const BUCKETS = 256
/** `GOLDEN_RATIO_32`: the multiplier of the kernel's `hash_32`. */
const GOLDEN_RATIO = 0x61c88647

function hasFlag({ options }: Service, ...names: readonly string[]): boolean {
  return options.schedulerFlags?.some((flag) => names.includes(flag)) ?? false
}

function hashed(service: Service, by: 'source' | 'destination'): Scheduler {
  const hasFallback = by === 'source' && hasFlag(service, 'sh-fallback', 'flag-1')
  const usesPort = by === 'source' && hasFlag(service, 'sh-port', 'flag-2')
  let buckets: Server[] = []
  const fill = (): void => {
    const { servers } = service
    buckets = []
    let [at, filled] = [0, 0]
    for (let bucket = 0; bucket < BUCKETS && servers.length > 0; bucket++) {
      const server = servers[at % servers.length]!
      buckets.push(server)
      if (by === 'destination' || ++filled >= server.weight) [at, filled] = [at + 1, 0]
    }
  }
  fill()
  return {
    choose(packet, _, isReversed = false) {
      const address = by === 'source' && !isReversed ? packet.source : packet.destination
      const port = usesPort ? (isReversed ? packet.destinationPort : packet.sourcePort) : 0
      const first = Math.imul((address + port) | 0, GOLDEN_RATIO) >>> 24
      const server = buckets[first]
      if (server === undefined || server.takesConnections) return server
      if (!hasFallback) return undefined
      for (let offset = 0; offset < BUCKETS; offset++) {
        const next = buckets[(2 * first + offset) % BUCKETS]!
        if (next.takesConnections) return next
      }
      return undefined
    },
    changed: fill,
    removed: () => undefined
  }
}

function maglev(service: Service): Scheduler {
  const hasFallback = hasFlag(service, 'mh-fallback', 'flag-1')
  const usesPort = hasFlag(service, 'mh-port', 'flag-2')
  let table: readonly Server[] | undefined
  return {
    choose(packet, _, isReversed = false) {
      table ??= maglevTable(service.servers)
      if (table.length === 0) return undefined
      const address = isReversed ? packet.destination : packet.source
      const port = usesPort ? (isReversed ? packet.destinationPort : packet.sourcePort) : 0
      const first = maglevHash(address + port) % table.length
      const server = table[first]!
      if (server.takesConnections) return server
      if (!hasFallback) return undefined
      for (let offset = 0; offset < table.length; offset++) {
        const next = table[maglevHash(address + port + ((offset + first) % table.length)) % table.length]!
        if (next.takesConnections) return next
      }
      return undefined
    },
    changed: () => void (table = undefined),
    removed: () => undefined
  }
}

/** Whether a server has too much to do while another has too little. */
function isPressed(server: Server, servers: readonly Server[]): boolean {
  return server.active > server.weight && servers.some(({ active, weight }) => active * 2 < weight)
}

/** Destination addresses remembered at most by a locality-based scheduler, as the kernel's limit (256 buckets of 16). */
const MAX_REMEMBERED = 4096

function localityBased(service: Service): Scheduler {
  const remembered = new Map<string, { server: Server; usedMs: TimestampMs }>()
  return {
    choose(packet, { now, lblcMs }) {
      const key = destinationKey(packet)
      const known = remembered.get(key)
      if (known !== undefined && now - known.usedMs <= lblcMs) {
        known.usedMs = now
        const { server } = known
        if (server.isAvailable && server.weight > 0 && !isPressed(server, service.servers)) return server
      }
      const server = leastBy(service.servers, loadOf, weightOf)
      if (server !== undefined) remember(remembered, key, { server, usedMs: now })
      return server
    },
    changed: () => undefined,
    removed: () => undefined
  }
}

function localityBasedReplicated(service: Service): Scheduler {
  const remembered = new Map<string, { servers: Server[]; usedMs: TimestampMs; changedMs: TimestampMs }>()
  return {
    choose(packet, { now, lblcrMs }) {
      const key = destinationKey(packet)
      const known = remembered.get(key)
      if (known === undefined || now - known.usedMs > lblcrMs) {
        const server = leastBy(service.servers, loadOf, weightOf)
        if (server !== undefined) remember(remembered, key, { servers: [server], usedMs: now, changedMs: now })
        return server
      }
      known.usedMs = now
      const best = leastBy(
        known.servers.filter(({ isAvailable }) => isAvailable),
        loadOf,
        weightOf
      )
      if (known.servers.length > 1 && now - known.changedMs > lblcrMs) {
        const busiest = known.servers.reduce((most, server) => (loadOf(server) > loadOf(most) ? server : most))
        known.servers = known.servers.filter((server) => server !== busiest)
        known.changedMs = now
      }
      if (best !== undefined && !isPressed(best, service.servers)) return best
      const server = leastBy(service.servers, loadOf, weightOf)
      if (server !== undefined && !known.servers.includes(server)) {
        known.servers.unshift(server)
        known.changedMs = now
      }
      return server
    },
    changed: () => undefined,
    removed: () => undefined
  }
}

function destinationKey({ family, destination, destinationWords }: Packet): string {
  return family === 4 ? String(destination) : destinationWords.join()
}

/** Keeps what was remembered last; the oldest entry makes room. */
function remember<Value>(map: Map<string, Value>, key: string, value: Value): void {
  map.delete(key)
  if (map.size >= MAX_REMEMBERED)
    for (const oldest of map.keys()) {
      map.delete(oldest)
      break
    }
  map.set(key, value)
}

/** Places of the table, a prime: the kernel's default. */
const MAGLEV_PLACES = 4093
const TABLE_BITS = 12

/** The word of both halves of each fixed key. */
const FIRST_KEY = 2654435761n
const SECOND_KEY = 2654446892n
const MASK = (1n << 64n) - 1n

/** SipHash-1-3 of four bytes, cut to 32 bits: `hsiphash` of a 64-bit kernel. */
function sipHash(word: number, key: bigint): number {
  let v0 = 0x736f6d6570736575n ^ key
  let v1 = 0x646f72616e646f6dn ^ key
  let v2 = 0x6c7967656e657261n ^ key
  let v3 = 0x7465646279746573n ^ key
  const rotate = (value: bigint, by: bigint): bigint => ((value << by) | (value >> (64n - by))) & MASK
  const round = (): void => {
    v0 = (v0 + v1) & MASK
    v1 = rotate(v1, 13n) ^ v0
    v0 = rotate(v0, 32n)
    v2 = (v2 + v3) & MASK
    v3 = rotate(v3, 16n) ^ v2
    v0 = (v0 + v3) & MASK
    v3 = rotate(v3, 21n) ^ v0
    v2 = (v2 + v1) & MASK
    v1 = rotate(v1, 17n) ^ v2
    v2 = rotate(v2, 32n)
  }
  const block = (4n << 56n) | BigInt(word >>> 0)
  v3 ^= block
  round()
  v0 ^= block
  v2 ^= 0xffn
  for (let last = 0; last < 3; last++) round()
  return Number((v0 ^ v1 ^ v2 ^ v3) & 0xffffffffn)
}

/** The hash of a client: its address plus port plus offset. */
function maglevHash(word: number): number {
  return sipHash(word, FIRST_KEY)
}

/** The server of each place; empty where no server has a weight. */
function maglevTable(servers: readonly Server[]): Server[] {
  const weighted = servers.filter(({ weight }) => weight > 0)
  if (weighted.length === 0) return []
  const divisor = weighted.reduce((gcd, { weight }) => commonDivisor(weight, gcd), 0)
  const most = Math.max(...weighted.map(({ weight }) => weight)) / divisor
  const shift = Math.max(0, 32 - Math.clz32(most) - TABLE_BITS / 2)
  const walks = weighted.map((server) => ({
    server,
    at: sipHash(server.address + server.port, FIRST_KEY) % MAGLEV_PLACES,
    skip: (sipHash(server.address + server.port, SECOND_KEY) % (MAGLEV_PLACES - 1)) + 1,
    turns: (server.weight / divisor) >> shift || 1
  }))
  const table = new Array<Server | undefined>(MAGLEV_PLACES).fill(undefined)
  for (let filled = 0; ;) {
    for (const walk of walks) {
      for (let turn = 0; turn < walk.turns; turn++) {
        while (table[walk.at] !== undefined) walk.at = (walk.at + walk.skip) % MAGLEV_PLACES
        table[walk.at] = walk.server
        if (++filled === MAGLEV_PLACES) return table as Server[]
      }
    }
  }
}

function commonDivisor(one: number, other: number): number {
  return other === 0 ? one : commonDivisor(other, one % other)
}
