import type { ServiceOptions } from 'ipvs-sync/director'
import type { Random } from './random.js'

/** What a service is reached by, and how its packets look. One for each line of {@link SLOTS}. */
export interface Slot {
  readonly protocol: 'TCP' | 'UDP' | 'SCTP'
  readonly address: readonly number[]
  /** Port of its packets. A port-0 service has several. */
  readonly ports: readonly number[]
  readonly kind: 'plain' | 'any-port' | 'mark' | 'bypass' | 'one-packet' | 'sip' | 'local'
  readonly mark?: number
}

/** A server of a draft. */
export interface ServerDraft {
  readonly address: string
  readonly port: number
  readonly forwarding: 'MASQ' | 'DROUTE' | 'TUNNEL'
  readonly weight: number
  readonly upperThreshold: number
  readonly lowerThreshold: number
}

/** A service as drawn at random: for the kernel and for the model. */
export interface ServiceDraft {
  readonly slot: Slot
  readonly options: Omit<ServiceOptions, 'servers'>
  /** In the order in which they are added. */
  readonly servers: readonly ServerDraft[]
}

const V6_TAIL = new Array<number>(10).fill(0)
const VIRTUAL = [10, 1, 0, 100]
const SECOND = [10, 1, 0, 101]
const THIRD = [10, 1, 0, 102]
const VIRTUAL6 = [0xfd, 0, 0, 1, ...V6_TAIL, 1, 0]
const plain = (protocol: Slot['protocol'], port: number, address = VIRTUAL): Slot => ({
  protocol,
  address,
  ports: [port],
  kind: 'plain'
})

/** The services of a run. Each has its own ports, so that a port tells the service. */
export const SLOTS: readonly Slot[] = [
  plain('TCP', 80),
  plain('TCP', 81),
  plain('TCP', 82),
  plain('TCP', 83),
  plain('TCP', 84),
  plain('TCP', 85),
  plain('TCP', 86),
  plain('TCP', 90, VIRTUAL6),
  plain('TCP', 91, VIRTUAL6),
  plain('TCP', 21, THIRD),
  plain('UDP', 53),
  plain('UDP', 54),
  plain('UDP', 500),
  plain('UDP', 55, VIRTUAL6),
  plain('SCTP', 60),
  plain('SCTP', 61),
  plain('SCTP', 62, VIRTUAL6),
  { protocol: 'UDP', address: VIRTUAL, ports: [514], kind: 'one-packet' },
  { protocol: 'UDP', address: VIRTUAL, ports: [5060], kind: 'sip' },
  { protocol: 'UDP', address: VIRTUAL, ports: [58], kind: 'local' },
  { protocol: 'TCP', address: SECOND, ports: [1080, 1081], kind: 'any-port' },
  { protocol: 'TCP', address: VIRTUAL, ports: [9000], kind: 'mark', mark: 5 },
  { protocol: 'UDP', address: VIRTUAL, ports: [9001], kind: 'mark', mark: 6 },
  { protocol: 'TCP', address: VIRTUAL6, ports: [9003], kind: 'mark', mark: 8 },
  { protocol: 'TCP', address: [10, 2, 7, 7], ports: [9002], kind: 'bypass', mark: 7 }
]

const SCHEDULERS = ['rr', 'wrr', 'lc', 'wlc', 'sed', 'nq', 'sh', 'dh', 'fo', 'ovf', 'mh', 'lblc', 'lblcr'] as const
/** Schedulers that read the servers' counters. */
export const COUNTING: ReadonlySet<string> = new Set(['lc', 'wlc', 'sed', 'nq', 'ovf', 'lblc', 'lblcr'])
/** Modules that the schedulers, the tests and the marks need. */
export const MODULES: readonly string[] = SCHEDULERS.map((name) => `ip_vs_${name}`)

/** Draws a service for each slot. */
export function draftServices(random: Random): ServiceDraft[] {
  return SLOTS.map((slot, number) => draftService(slot, number, random))
}

function draftService(slot: Slot, number: number, random: Random): ServiceDraft {
  const isIpv6 = slot.address.length === 16
  const scheduler = random.pick(SCHEDULERS)
  const isPersistent = slot.kind === 'any-port' || slot.kind === 'sip' || (slot.kind !== 'bypass' && random.chance(30))
  const prefix = slot.kind === 'sip' ? undefined : random.pick(isIpv6 ? [128, 128, 120] : [32, 32, 24, 31])
  const flags = (scheduler === 'sh' || scheduler === 'mh') && random.chance(50)
  const count = slot.kind === 'bypass' ? 0 : slot.kind === 'local' ? 1 : 1 + random.below(4)
  const servers = Array.from({ length: count }, (_, at): ServerDraft => {
    const forwarding = slot.kind === 'local' ? 'MASQ' : random.pick(['MASQ', 'MASQ', 'DROUTE', 'TUNNEL'] as const)
    const isOpenPort = slot.kind === 'any-port' || slot.kind === 'mark'
    const upperThreshold = random.chance(10) ? 4 + random.below(12) : 0
    return {
      address: slot.kind === 'local' ? '10.1.0.1' : isIpv6 ? `fd00:2::${2 + at}` : `10.2.0.${2 + at}`,
      port: isOpenPort ? 0 : forwarding === 'MASQ' && random.chance(80) ? 8000 + number : slot.ports[0]!,
      forwarding,
      weight: random.pick([0, 1, 1, 1, 2, 3, 4]),
      upperThreshold,
      lowerThreshold: upperThreshold > 0 && random.chance(50) ? upperThreshold - 2 : 0
    }
  })
  const persistence = isPersistent
    ? {
        timeout: random.pick([300, 240, 120]),
        ...(prefix !== undefined && { prefix }),
        ...(slot.kind === 'sip' && { engine: 'sip' })
      }
    : undefined
  const isMark = slot.mark !== undefined
  return {
    slot,
    servers,
    options: {
      protocol: isMark ? 'FWM' : slot.protocol,
      virtual: isMark
        ? undefined
        : { address: addressOf(slot.address), port: slot.kind === 'any-port' ? 0 : slot.ports[0]! },
      ...(isMark && { fwmark: slot.mark, family: isIpv6 ? 'ipv6' : 'ipv4' }),
      scheduler,
      ...(flags && { schedulerFlags: [`${scheduler}-fallback`, `${scheduler}-port`] }),
      onePacket: slot.kind === 'one-packet',
      persistence
    }
  }
}

/** An address as text. */
export function addressOf(bytes: readonly number[]): string {
  if (bytes.length === 4) return bytes.join('.')
  const groups = Array.from({ length: 8 }, (_, at) => ((bytes[2 * at]! << 8) | bytes[2 * at + 1]!).toString(16))
  return groups.join(':')
}

/** ipvsadm's commands that make a service. */
export function commandsOf(draft: ServiceDraft): string[] {
  const { options, servers } = draft
  const { persistence } = options
  const isIpv6 = draft.slot.address.length === 16
  const mask = persistence?.prefix
  const words = [
    `-A ${nameOf(draft)} -s ${options.scheduler}`,
    options.schedulerFlags === undefined ? '' : `-b ${options.schedulerFlags.join(',')}`,
    persistence === undefined ? '' : `-p ${persistence.timeout}`,
    persistence === undefined || mask === undefined ? '' : `-M ${isIpv6 ? mask : maskText(mask)}`,
    persistence?.engine === undefined ? '' : `--pe ${persistence.engine}`,
    options.onePacket === true ? '-o' : ''
  ]
  return [words.filter((word) => word !== '').join(' '), ...servers.map((server) => addCommand(draft, server))]
}

/** ipvsadm's command that adds a server. */
export function addCommand(draft: ServiceDraft, server: ServerDraft, weight = server.weight): string {
  const { forwarding, upperThreshold, lowerThreshold } = server
  const limits = upperThreshold === 0 ? '' : ` -x ${upperThreshold} -y ${lowerThreshold}`
  return `-a ${serverName(draft, server)} ${METHODS[forwarding]} -w ${weight}${limits}`
}

/** Service and server as ipvsadm names them. */
export function serverName(draft: ServiceDraft, { address, port }: ServerDraft): string {
  return `${nameOf(draft)} -r ${address.includes(':') ? `[${address}]` : address}:${port}`
}

const METHODS = { MASQ: '-m', DROUTE: '-g', TUNNEL: '-i' } as const
const LETTERS = { TCP: '-t', UDP: '-u', SCTP: '--sctp-service' } as const

function nameOf({ slot, options }: ServiceDraft): string {
  if (slot.mark !== undefined) return `-f ${slot.mark}${slot.address.length === 16 ? ' -6' : ''}`
  const { address, port } = options.virtual!
  return `${LETTERS[slot.protocol]} ${address.includes(':') ? `[${address}]` : address}:${port}`
}

function maskText(prefix: number): string {
  const word = prefix === 0 ? 0 : (-1 << (32 - prefix)) >>> 0
  return [24, 16, 8, 0].map((shift) => (word >>> shift) & 255).join('.')
}

/** Shell that prepares the director's namespace: marks by port, routes for marked packets, replies from its own address. */
export const PREPARATION = `ip addr add 10.1.0.102/32 dev lo
ip rule add fwmark 7 lookup 100; ip route add local default dev lo table 100
sysctl -qw net.ipv4.conf.all.accept_local=1 net.ipv4.conf.clients.accept_local=1 net.ipv4.conf.servers.accept_local=1
tc qdisc add dev clients ingress
for rule in 'ip tcp 9000 5' 'ip udp 9001 6' 'ip tcp 9002 7' 'ipv6 tcp 9003 8'; do
  set -- $rule
  tc filter add dev clients parent ffff: protocol $1 prio $4 flower ip_proto $2 dst_port $3 action skbedit mark $4
done`
