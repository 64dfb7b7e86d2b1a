/**
 * Generated traffic: connections that arrive at random, with their packets in between.
 *
 * @module
 */
import { parseAddress } from '../../addresses.js'
import { packetFromValue, type Packet } from '../../director/packet.js'
import type { ServiceOptions } from '../../director/services.js'
import { IpvsSyncError } from '../../errors.js'
import { seededChance, type Chance } from '../../transport/chance.js'
import type { Milliseconds, TimestampMs } from '../../units.js'
import { readText } from '../options.js'

/** A number, or how it is distributed. */
export type Distribution =
  | number
  | { readonly exponential: number }
  | { readonly uniform: readonly [number, number] }
  | { readonly pareto: readonly [shape: number, least: number] }

/** One kind of connection. */
export interface Mix {
  /** `TCP` or `UDP`. */
  readonly protocol: string
  /** New connections a second. */
  readonly rate: number
  /** Packets of a client between opening and closing. */
  readonly packets: Distribution
  /** Seconds between two of them. */
  readonly spacing: Distribution
  /** Number of client addresses. */
  readonly clients?: number
}

/** A workload as its file has it. */
interface WorkloadFile {
  /** Seconds of traffic. */
  readonly seconds: number
  readonly seed?: number
  readonly mixes: readonly Mix[]
}

/** Traffic that can be generated again and again. */
export interface Workload {
  /** Services that fit, for a run without `--services`. */
  readonly services: readonly ServiceOptions[]
  /** Every packet in order of time. */
  readonly packets: (services: readonly ServiceOptions[]) => readonly TimedPacket[]
}

/** A packet and its time. */
export interface TimedPacket {
  readonly packet: Packet
  readonly timeMs: TimestampMs
}

/** Workloads that need no file. */
const READY: Readonly<Record<string, WorkloadFile>> = {
  web: {
    seconds: 120,
    mixes: [{ protocol: 'TCP', rate: 40, packets: { exponential: 12 }, spacing: { exponential: 0.15 }, clients: 2000 }]
  },
  dns: { seconds: 120, mixes: [{ protocol: 'UDP', rate: 80, packets: 1, spacing: 0, clients: 5000 }] },
  'long-lived': {
    seconds: 600,
    mixes: [{ protocol: 'TCP', rate: 1, packets: { pareto: [1.2, 20] }, spacing: { exponential: 8 }, clients: 500 }]
  }
}

const START: TimestampMs = 1_000_000
/** More packets than this are a mistake in the file. */
const MAX_PACKETS = 5_000_000
const ROUND_TRIP: Milliseconds = 20

/**
 * Reads a workload: a ready one by its name, or a JSON file.
 *
 * @throws IpvsSyncError `ERR_CONFIG` or `ERR_IO`.
 */
export async function readWorkload(name: string): Promise<Workload> {
  const file = Object.hasOwn(READY, name) ? READY[name]! : parseWorkload(await readText('--workload', name), name)
  return { services: DEFAULT_SERVICES, packets: (services) => generate(file, services) }
}

const SERVERS = [3, 2, 1].map((host) => ({ address: `10.2.0.${host}`, port: 8080, forwarding: 'MASQ' }))
const DEFAULT_SERVICES: readonly ServiceOptions[] = [
  { protocol: 'TCP', virtual: { address: '10.1.0.100', port: 80 }, scheduler: 'rr', servers: SERVERS },
  { protocol: 'UDP', virtual: { address: '10.1.0.100', port: 53 }, scheduler: 'rr', servers: SERVERS }
]

function parseWorkload(text: string, name: string): WorkloadFile {
  try {
    const file = JSON.parse(text) as Partial<WorkloadFile>
    const isSound =
      Number(file.seconds) > 0 &&
      Array.isArray(file.mixes) &&
      file.mixes.length > 0 &&
      file.mixes.every((mix: Partial<Mix>): boolean => {
        const isKnown = mix.protocol === 'TCP' || mix.protocol === 'UDP'
        return isKnown && Number(mix.rate) > 0 && isDistribution(mix.packets) && isDistribution(mix.spacing)
      })
    if (isSound) return file as WorkloadFile
  } catch {
    // Said below, with what is accepted.
  }
  const message = `--workload ${name}: expected {"seconds": N, "mixes": [{"protocol": "TCP"|"UDP", "rate": N, "packets": D, "spacing": D}]} with D a number or {"exponential": MEAN}, {"uniform": [A, B]}, {"pareto": [SHAPE, LEAST]}; or web, dns, long-lived`
  throw new IpvsSyncError('ERR_CONFIG', message, { field: 'workload' })
}

function isDistribution(value: unknown): boolean {
  if (typeof value === 'number') return value >= 0
  if (typeof value !== 'object' || value === null) return false
  return 'exponential' in value || 'uniform' in value || 'pareto' in value
}

function draw(distribution: Distribution, chance: Chance): number {
  if (typeof distribution === 'number') return distribution
  if ('exponential' in distribution) return -Math.log(1 - chance()) * distribution.exponential
  if ('uniform' in distribution) {
    const [least, most] = distribution.uniform
    return least + chance() * (most - least)
  }
  const [shape, least] = distribution.pareto
  return least / (1 - chance()) ** (1 / shape)
}

function generate({ seconds, seed = 1, mixes }: WorkloadFile, services: readonly ServiceOptions[]): TimedPacket[] {
  const chance = seededChance(seed)
  const all: TimedPacket[] = []
  for (const mix of mixes) {
    const service = services.find(({ protocol, virtual }) => protocol === mix.protocol && virtual !== undefined)
    if (service?.virtual === undefined)
      throw new IpvsSyncError(
        'ERR_CONFIG',
        `--services: expected a ${mix.protocol} service for the workload, got none`,
        {
          field: 'services'
        }
      )
    const client = clientsOf(service.virtual.address, mix.clients ?? 1000)
    const until = START + seconds * 1000
    for (let number = 0, at = START; ; number++) {
      at += draw({ exponential: 1000 / mix.rate }, chance)
      if (at >= until || all.length > MAX_PACKETS) break
      const source = { address: client(number), port: 1024 + (number % 64_000) }
      addConnection(all, mix, source, service, at, until, chance)
    }
  }
  return all.sort((one, other) => one.timeMs - other.timeMs)
}

interface Source {
  readonly address: string
  readonly port: number
}

function addConnection(
  all: TimedPacket[],
  { protocol, packets, spacing }: Mix,
  source: Source,
  { virtual, servers }: ServiceOptions,
  start: TimestampMs,
  until: TimestampMs,
  chance: Chance
): void {
  const destination = virtual!
  const isSeen = servers[0]?.forwarding === 'MASQ'
  let at = start
  const add = (flags: readonly ('SYN' | 'ACK' | 'FIN')[], isReply = false): void => {
    if (at >= until || (isReply && !isSeen)) return
    const ends = isReply ? { source: destination, destination: source } : { source, destination }
    const packet = packetFromValue({ protocol, ...ends, flags })
    packet.isTranslated = isReply
    all.push({ packet, timeMs: at })
  }
  const isTcp = protocol === 'TCP'
  if (isTcp) {
    add(['SYN'])
    at += ROUND_TRIP / 2
    add(['SYN', 'ACK'], true)
    at += ROUND_TRIP / 2
    add(['ACK'])
  }
  const count = Math.max(1, Math.round(draw(packets, chance)))
  for (let sent = 0; sent < count && at < until; sent++) {
    if (sent > 0 || isTcp) at += draw(spacing, chance) * 1000
    add(['ACK'])
    at += 1
    add(['ACK'], true)
  }
  if (!isTcp) return
  at += ROUND_TRIP
  add(['FIN', 'ACK'])
  at += ROUND_TRIP / 2
  add(['FIN', 'ACK'], true)
  at += ROUND_TRIP / 2
  add(['ACK'])
}

/** Client addresses of the service's family. */
function clientsOf(virtual: string, count: number): (number: number) => string {
  const isIpv4 = parseAddress(virtual, [0, 0, 0, 0]) === 4
  return (number) => {
    const host = (number % count) + 1
    return isIpv4 ? `10.9.${(host >>> 8) & 255}.${host & 255}` : `fd00:9::${host.toString(16)}`
  }
}
