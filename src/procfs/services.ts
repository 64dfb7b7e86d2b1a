/**
 * The services of a director and their real servers, in the three forms in which they are found: `/proc/net/ip_vs`
 * (`ip_vs_info_seq_show`), `ipvsadm -Ln` and `ipvsadm -S -n`.
 *
 * @module
 */

import { readFile } from 'node:fs/promises'
import { formatIpv4, formatIpv6, parseAddress } from '../addresses.js'
import { IpvsSyncError } from '../errors.js'
import type { Endpoint, Forwarding } from '../wire/connection.js'
import { fileFault } from './file-fault.js'
import { noteUnreadable, noUnreadableLines, type UnreadableLines } from './unreadable.js'

/** The services of the process's own network namespace. */
export const SERVICES_FILE = '/proc/net/ip_vs'

/** A real server of a service. */
export interface RealServer extends Endpoint {
  readonly forwarding: Forwarding
  readonly weight: number
  /** Connections at which the server counts as overloaded; 0 is no limit. Only `ipvsadm -S` can carry it. */
  readonly upperThreshold: number
  /** Connections at which it counts as available again; 0 is three quarters of the upper threshold. */
  readonly lowerThreshold: number
  readonly activeConnections: number
  readonly inactiveConnections: number
}

/** How long a service keeps a client at one real server. */
export interface Persistence {
  /** Timeout of a template, in `unit`. */
  readonly timeout: number
  /** `/proc/net/ip_vs` shows ticks of the kernel's clock (HZ), ipvsadm seconds. */
  readonly unit: 'ticks' | 'seconds'
  /** Prefix length of the clients that count as one: 32 or 128 is every client by itself. */
  readonly prefix: number
  /** Persistence engine: `sip`. `/proc/net/ip_vs` does not show it. */
  readonly engine?: string
}

/** A virtual service. */
export interface Service {
  readonly family: 'ipv4' | 'ipv6'
  /** `TCP`, `UDP`, `SCTP`; `FWM` for a service by firewall mark. */
  readonly protocol: string
  /** Undefined for a service by firewall mark. */
  readonly virtual: Endpoint | undefined
  /** 0 for a service by address. */
  readonly fwmark: number
  readonly scheduler: string
  /** `flag-1`, `sh-port`: only ipvsadm shows them. */
  readonly schedulerFlags: readonly string[]
  /** One-packet scheduling (`ops`). */
  readonly onePacket: boolean
  /** Undefined where the service is not persistent. */
  readonly persistence: Persistence | undefined
  readonly servers: readonly RealServer[]
}

/** `ipvsadm -L --timeout`: seconds of an idle TCP connection, of one after a FIN, and of UDP. */
export interface ServiceTimeouts {
  readonly tcp: number
  readonly tcpFin: number
  readonly udp: number
}

/** What a text says of a director's services. */
export interface ServiceList {
  readonly services: readonly Service[]
  /** From a line `Timeout (tcp tcpfin udp)`, where there is one. */
  readonly timeouts: ServiceTimeouts | undefined
  /** Lines that are neither headings nor services nor real servers. */
  readonly unreadable: UnreadableLines
}

type Mutable<Value> = { -readonly [Key in keyof Value]: Value[Key] }
type OpenService = Mutable<Omit<Service, 'servers'>> & { readonly servers: RealServer[] }

const METHODS: Readonly<Record<string, Forwarding>> = {
  Masq: 'MASQ',
  Local: 'LOCALNODE',
  Tunnel: 'TUNNEL',
  Route: 'DROUTE',
  Bypass: 'BYPASS'
}
const HEADING = /^(?:IP Virtual Server version|Prot LocalAddress|-> RemoteAddress|#)/
const TIMEOUTS = /^Timeout \(tcp tcpfin udp\): (\d+) (\d+) (\d+)$/
/** Only ipvsadm writes addresses so. `/proc` shows marks as eight hex digits, ipvsadm as decimal numbers. */
const DECIMAL_ADDRESS = /\d\.\d+\.\d+\.\d+:\d|\[[^\]]*::|^FWM +\d{1,7} /m
/** What ipvsadm takes for `-p` without a number, in seconds. */
const DEFAULT_PERSISTENCE = 300

/**
 * Parses a list of services. The format is recognised line by line; nothing throws.
 *
 * @example
 * parseServices('TCP  10.0.0.1:80 wlc\n  -> 10.0.0.11:80 Masq 1 0 0\n').services[0]?.servers.length // 1
 */
export function parseServices(text: string): ServiceList {
  const services: OpenService[] = []
  const unreadable = noUnreadableLines()
  let timeouts: ServiceTimeouts | undefined
  let open: OpenService | undefined
  const areMarksHex = !DECIMAL_ADDRESS.test(text)
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim()
    const times = TIMEOUTS.exec(line)
    if (line === '' || HEADING.test(line)) continue
    if (times !== null) timeouts = { tcp: Number(times[1]), tcpFin: Number(times[2]), udp: Number(times[3]) }
    else if (!line.startsWith('->') && !RULE.test(line)) {
      open = parseService(line, areMarksHex)
      if (open === undefined) noteUnreadable(unreadable, index + 1, line)
      else services.push(open)
    } else if (!addServer(line, open, services)) noteUnreadable(unreadable, index + 1, line)
  }
  return { services, timeouts, unreadable }
}

/**
 * Reads the services that a user names.
 *
 * @param path - A file in any of the three forms.
 * @throws IpvsSyncError `ERR_IO` where it cannot be read, or has no service.
 */
export async function readServices(path: string): Promise<ServiceList> {
  const text = await readFile(path, 'latin1').catch((cause: unknown) => {
    throw new IpvsSyncError('ERR_IO', `${path}: ${fileFault(cause)}`, { cause })
  })
  const list = parseServices(text)
  if (list.services.length > 0) return list
  const forms = 'services as /proc/net/ip_vs, ipvsadm -Ln or ipvsadm -S -n prints them'
  const [first] = list.unreadable.first
  const got = first === undefined ? 'none' : `line ${first.number}: ${JSON.stringify(first.text)}`
  throw new IpvsSyncError('ERR_IO', `${path}: expected ${forms}, got ${got}`)
}

/**
 * Reads the running kernel's services; an empty list where ip_vs is not loaded.
 *
 * @throws IpvsSyncError `ERR_IO` where the file cannot be read.
 */
export async function readKernelServices(path: string = SERVICES_FILE): Promise<ServiceList> {
  const text = await readFile(path, 'latin1').catch((cause: unknown) => {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw new IpvsSyncError('ERR_IO', `${path}: ${fileFault(cause)}`, { cause })
  })
  return parseServices(text)
}

const RULE = /^(?:ipvsadm\s+)?(?:-a|--add-server)\s/

/** A listing's server belongs to the service above it; a rule names its own service. */
function addServer(line: string, open: OpenService | undefined, services: readonly OpenService[]): boolean {
  if (line.startsWith('->')) {
    const server = parseServer(line.slice(2).trim().split(/\s+/))
    if (server !== undefined && open !== undefined) adopt(open, server)
    return server !== undefined && open !== undefined
  }
  const rule = readRule(line)
  const service =
    rule &&
    services.find((each) => {
      const identity = identityOfRule(rule)
      return (
        identity?.protocol === each.protocol &&
        identity.fwmark === each.fwmark &&
        identity.family === each.family &&
        identity.virtual?.address === each.virtual?.address &&
        identity.virtual?.port === each.virtual?.port
      )
    })
  const server = rule && serverOfRule(rule)
  if (service === undefined || server === undefined) return false
  adopt(service, server)
  return true
}

/** `/proc/net/ip_vs` does not show the family of a service by mark: its first real server tells. */
function adopt(service: OpenService, server: RealServer): void {
  if (service.virtual === undefined && service.servers.length === 0 && server.address.includes(':'))
    service.family = 'ipv6'
  service.servers.push(server)
}

function parseService(line: string, areMarksHex: boolean): OpenService | undefined {
  if (/^(?:ipvsadm\s+)?(?:-A|--add-service)\s/.test(line)) {
    const rule = readRule(line)
    const identity = rule && identityOfRule(rule)
    if (identity === undefined) return undefined
    const timeout = rule!.get('-p')
    const engine = rule!.get('--pe')
    return {
      ...identity,
      scheduler: rule!.get('-s') ?? 'wlc',
      schedulerFlags: rule!.get('-b')?.split(',') ?? [],
      onePacket: rule!.has('-o'),
      persistence:
        timeout === undefined
          ? undefined
          : {
              timeout: Number(timeout),
              unit: 'seconds',
              prefix: prefixOf(rule!.get('-M'), identity.family),
              ...(engine !== undefined && { engine })
            },
      servers: []
    }
  }
  const [protocol = '', where = '', ...rest] = line.split(/\s+/)
  const words = protocol === 'FWM' && rest[0] === 'IPv6' ? rest.slice(1) : rest
  const identity =
    protocol === 'FWM'
      ? identityOfMark(areMarksHex ? `0x${where}` : where, rest[0] === 'IPv6')
      : identityOfAddress(protocol, where)
  const [scheduler] = words
  if (identity === undefined || scheduler === undefined) return undefined
  const value = (word: string): string | undefined => words[words.indexOf(word) + 1]
  const timeout = words.includes('persistent') ? Number(value('persistent')) : undefined
  if (Number.isNaN(timeout)) return undefined
  const hex = /^[\dA-F]{8}$/.exec(words[words.indexOf('persistent') + 2] ?? '')?.[0]
  const mask = words.includes('mask') ? value('mask') : undefined
  return {
    ...identity,
    scheduler,
    schedulerFlags: /^\((.*)\)$/.exec(words[1] ?? '')?.[1]!.split(',') ?? [],
    onePacket: words.includes('ops'),
    persistence:
      timeout === undefined
        ? undefined
        : {
            timeout,
            unit: hex === undefined ? 'seconds' : 'ticks',
            prefix: hex === undefined ? prefixOf(mask, identity.family) : prefixOfHex(hex),
            ...(words.includes('pe') && { engine: value('pe')! })
          },
    servers: []
  }
}

type Identity = Pick<Service, 'family' | 'protocol' | 'virtual' | 'fwmark'>

/** @param text - A decimal number, or `0x` and eight digits. */
function identityOfMark(text: string, isIpv6: boolean): Identity | undefined {
  const fwmark = /^(?:0x[\dA-F]{8}|\d{1,10})$/.test(text) ? Number(text) : NaN
  if (!(fwmark <= 0xffffffff)) return undefined
  return { family: isIpv6 ? 'ipv6' : 'ipv4', protocol: 'FWM', virtual: undefined, fwmark }
}

function identityOfAddress(protocol: string, where: string): Identity | undefined {
  const virtual = ['TCP', 'UDP', 'SCTP'].includes(protocol) ? parseEndpoint(where) : undefined
  if (virtual === undefined) return undefined
  return { family: virtual.address.includes(':') ? 'ipv6' : 'ipv4', protocol, virtual, fwmark: 0 }
}

/** A netmask as ipvsadm prints it: dotted for IPv4, a length for IPv6, left out where every client counts. */
function prefixOf(mask: string | undefined, family: 'ipv4' | 'ipv6'): number {
  if (mask === undefined) return family === 'ipv4' ? 32 : 128
  if (!mask.includes('.')) return Number(mask)
  return mask.split('.').reduce((bits, octet) => bits + onesOf(Number(octet)), 0)
}

/** The kernel keeps an IPv4 netmask or an IPv6 prefix length, and prints either as the bytes of an IPv4 address. */
function prefixOfHex(hex: string): number {
  const value = parseInt(hex, 16)
  // A length of at most 128 in the first byte (little-endian kernels) or in the last (big-endian ones).
  if (value <= 128) return value
  return (value & 0xffffff) === 0 && value >>> 24 <= 128 ? value >>> 24 : onesOf(value)
}

function onesOf(value: number): number {
  let ones = 0
  for (let rest = value; rest !== 0; rest >>>= 1) ones += rest & 1
  return ones
}

function parseServer([where = '', method = '', ...numbers]: readonly string[]): RealServer | undefined {
  const endpoint = parseEndpoint(where)
  const forwarding = METHODS[method]
  // `ipvsadm -L` of a kernel with tunnel types has a column more: "-" where the method is not a tunnel.
  const [weight = NaN, active = NaN, inactive = NaN] = numbers.slice(-3).map(Number)
  if (endpoint === undefined || forwarding === undefined || numbers.length > 4) return undefined
  if (![weight, active, inactive].every(Number.isInteger)) return undefined
  return {
    ...endpoint,
    forwarding,
    weight,
    upperThreshold: 0,
    lowerThreshold: 0,
    activeConnections: active,
    inactiveConnections: inactive
  }
}

/** `0A000164:0035`, `[fd00:…:0001]:0035`, `10.0.1.100:53` or `[fd00::1]:53`. */
function parseEndpoint(text: string): Endpoint | undefined {
  const [, host = '', port = ''] = /^(.*):([^:]*)$/.exec(text) ?? []
  const words = /^[\dA-F]{4}$/.test(port) ? parseHexAddress(host) : undefined
  if (words !== undefined)
    return { address: words.length === 1 ? formatIpv4(words[0]!) : formatIpv6(words), port: parseInt(port, 16) }
  const found = [0, 0, 0, 0]
  const isBracketed = host.startsWith('[')
  const family = parseAddress(isBracketed ? host.slice(1, -1) : host, found)
  if (family === 0 || (family === 6) !== isBracketed || !/^\d{1,5}$/.test(port) || Number(port) > 65_535)
    return undefined
  return { address: family === 4 ? formatIpv4(found[0]!) : formatIpv6(found), port: Number(port) }
}

/** A rule of `ipvsadm -S` or of a restore file: each option with its value. */
type Rule = ReadonlyMap<string, string>

const LONG_OPTIONS: Readonly<Record<string, string>> = {
  '--add-service': '-A',
  '--add-server': '-a',
  '--tcp-service': '-t',
  '--udp-service': '-u',
  '--fwmark-service': '-f',
  '--ipv6': '-6',
  '--scheduler': '-s',
  '--persistent': '-p',
  '--netmask': '-M',
  '--ops': '-o',
  '--sched-flags': '-b',
  '--real-server': '-r',
  '--gatewaying': '-g',
  '--ipip': '-i',
  '--masquerading': '-m',
  '--weight': '-w',
  '--u-threshold': '-x',
  '--l-threshold': '-y'
}
const VALUE_OPTIONS = ['-t', '-u', '--sctp-service', '-f', '-s', '-M', '--pe', '-b', '-r', '-w', '-x', '-y']
const IGNORED_OPTIONS = ['--tun-type', '--tun-port']
const FLAG_OPTIONS = ['-A', '-a', '-6', '-o', '-g', '-i', '-m', '--tun-nocsum', '--tun-csum', '--tun-remcsum']

/** Undefined where a word is not an option of a rule, or lacks its value. */
function readRule(line: string): Rule | undefined {
  const words = line.split(/\s+/).filter((word, index) => index > 0 || word !== 'ipvsadm')
  const rule = new Map<string, string>()
  for (let i = 0; i < words.length; i++) {
    const name = LONG_OPTIONS[words[i]!] ?? words[i]!
    const next = words[i + 1]
    if (name === '-p') {
      const hasValue = next !== undefined && /^\d+$/.test(next)
      rule.set('-p', hasValue ? next : String(DEFAULT_PERSISTENCE))
      if (hasValue) i++
    } else if (FLAG_OPTIONS.includes(name)) rule.set(name, '')
    else if (next !== undefined && [...VALUE_OPTIONS, ...IGNORED_OPTIONS].includes(name)) {
      rule.set(name, next)
      i++
    } else return undefined
  }
  return rule
}

function identityOfRule(rule: Rule): Identity | undefined {
  const mark = rule.get('-f')
  if (mark !== undefined) return identityOfMark(mark, rule.has('-6'))
  for (const [option, protocol] of [
    ['-t', 'TCP'],
    ['-u', 'UDP'],
    ['--sctp-service', 'SCTP']
  ] as const)
    // prettier-ignore
    if (rule.has(option)) return identityOfAddress(protocol, rule.get(option)!)
  return undefined
}

function serverOfRule(rule: Rule): RealServer | undefined {
  const endpoint = parseEndpoint(rule.get('-r') ?? '')
  const number = (option: string, otherwise: number): number => Number(rule.get(option) ?? otherwise)
  const [weight, upper, lower] = [number('-w', 1), number('-x', 0), number('-y', 0)]
  if (endpoint === undefined || ![weight, upper, lower].every(Number.isInteger)) return undefined
  return {
    ...endpoint,
    // A saved rule always has its method; ipvsadm takes routing where one is left out.
    forwarding: rule.has('-m') ? 'MASQ' : rule.has('-i') ? 'TUNNEL' : 'DROUTE',
    weight,
    upperThreshold: upper,
    lowerThreshold: lower,
    activeConnections: 0,
    inactiveConnections: 0
  }
}

/** The words of an address as the kernel prints it: 8 hex digits, or 8 groups of 4 in square brackets. */
function parseHexAddress(text: string): number[] | undefined {
  if (/^[\dA-F]{8}$/i.test(text)) return [parseInt(text, 16) | 0]
  const groups = text.replace(/^\[|\]$/g, '').split(':')
  if (groups.length !== 8 || !groups.every((group) => /^[\da-f]{4}$/i.test(group))) return undefined
  return [0, 2, 4, 6].map((i) => parseInt(groups[i]! + groups[i + 1]!, 16) | 0)
}
