import type { Connection, SequenceAdjustment } from 'ipvs-sync'
import type { Random } from './random.js'

const TCP = [
  'NONE',
  'ESTABLISHED',
  'SYN_SENT',
  'SYN_RECV',
  'FIN_WAIT',
  'TIME_WAIT',
  'CLOSE',
  'CLOSE_WAIT',
  'LAST_ACK',
  'LISTEN',
  'SYNACK'
]
const SCTP = [
  'NONE',
  'INIT1',
  'INIT',
  'C-SENT',
  'C-REPLIED',
  'C-WAIT',
  'COOKIE',
  'C-ECHOED',
  'ESTABLISHED',
  'S-SENT',
  'S-RECEIVED',
  'S-ACK-SENT',
  'REJECTED',
  'CLOSED'
]
const STATES: readonly (readonly [string, readonly string[]])[] = [
  ['TCP', TCP],
  ['UDP', ['UDP']],
  ['SCTP', SCTP],
  ['AH', ['0']],
  ['ESP', ['0']]
]
const METHODS = ['MASQ', 'LOCALNODE', 'TUNNEL', 'DROUTE', 'BYPASS'] as const

/**
 * Connections of every kind and state that a kernel's backup accepts, each with its own client.
 *
 * @param version - 0 leaves out what its messages cannot say: IPv6, timeouts, firewall marks, engine data.
 * @param copies - How many of each kind.
 */
export function population(random: Random, version: 0 | 1, copies: number): Connection[] {
  const all: Connection[] = []
  for (let copy = 0; copy < copies; copy++) {
    for (const ipv6 of version === 0 ? [false] : [false, true]) {
      for (const [protocol, states] of STATES)
        for (const state of states) all.push(plain(random, all.length, ipv6, protocol, state))
      for (const protocol of ['TCP', 'UDP', 'SCTP', 'IP'])
        for (const state of ['NONE', 'ASSURED']) all.push(template(random, all.length, ipv6, protocol, state))
      if (version === 1) all.push(withEngine(all.length, ipv6))
    }
  }
  return version === 1 ? all : all.map(withoutNews)
}

function plain(random: Random, number: number, ipv6: boolean, protocol: string, state: string): Connection {
  const noPort = random.chance(6)
  const flags = [...(random.chance(30) ? ['NOOUTPUT'] : []), ...(state === 'ESTABLISHED' ? [] : ['INACTIVE'])]
  const sequence = random.chance(10)
  if (sequence) flags.push('OUT_SEQ', 'IN_SEQ')
  if (noPort) flags.push('NO_CPORT')
  return {
    ...common(random, number, ipv6),
    protocol,
    client: { address: client(number, ipv6), port: noPort ? 0 : 1 + random.below(65535) },
    forwarding: random.pick(METHODS),
    flags,
    state,
    ...(sequence && { inSequence: adjustment(random), outSequence: adjustment(random) })
  }
}

function template(random: Random, number: number, ipv6: boolean, protocol: string, state: string): Connection {
  const base = {
    ...common(random, number, ipv6),
    protocol,
    client: { address: client(number, ipv6), port: 0 },
    forwarding: random.pick(METHODS),
    flags: ['INACTIVE', 'TEMPLATE'],
    state
  }
  if (protocol !== 'IP') return base
  const mark = 1 + random.below(0xffff)
  return {
    ...base,
    fwmark: mark,
    virtual: { address: ipv6 ? `0:${mark.toString(16)}::` : `0.0.${mark >> 8}.${mark & 0xff}`, port: 0 }
  }
}

function withEngine(number: number, ipv6: boolean): Connection {
  const data = Buffer.from(`call-${number}@10.1.0.2`).toString('hex')
  return {
    ...common({ below: () => 0 }, number, ipv6),
    protocol: 'UDP',
    client: { address: client(number, ipv6), port: 0 },
    forwarding: 'MASQ',
    flags: ['INACTIVE', 'TEMPLATE'],
    state: 'NONE',
    engine: { name: 'sip', data }
  }
}

function common(
  { below }: Pick<Random, 'below'>,
  number: number,
  ipv6: boolean
): Pick<Connection, 'family' | 'virtual' | 'destination' | 'fwmark' | 'timeout'> {
  return {
    family: ipv6 ? 'ipv6' : 'ipv4',
    virtual: {
      address: ipv6 ? `fd00:1::${(number % 7).toString(16)}:100` : `10.1.${number % 7}.100`,
      port: 1 + below(65535)
    },
    destination: {
      address: ipv6 ? `fd00:2::${(2 + (number % 9)).toString(16)}` : `10.2.0.${2 + (number % 9)}`,
      port: below(65536)
    },
    fwmark: below(3),
    timeout: 200 + below(4_000_000)
  }
}

function client(number: number, ipv6: boolean): string {
  return ipv6
    ? `2001:db8::${number.toString(16)}`
    : `172.${16 + (number >> 16)}.${(number >> 8) & 0xff}.${number & 0xff}`
}

function adjustment(random: Random): SequenceAdjustment {
  return { initial: random.word(), delta: random.word(), previousDelta: random.word() }
}

function withoutNews(connection: Connection): Connection {
  return Object.fromEntries(
    Object.entries(connection).filter(([name]) => name !== 'fwmark' && name !== 'timeout')
  ) as unknown as Connection
}
