/**
 * `/proc/net/ip_vs`: the services and their real servers (`ip_vs_info_seq_show`).
 *
 * @module
 */

import { formatIpv4, formatIpv6 } from '../addresses.js'
import type { Endpoint, Forwarding } from '../wire/connection.js'
import { parseHexAddress } from './connection-line.js'

/** The services, of the process's own network namespace. */
export const SERVICES_FILE = '/proc/net/ip_vs'

/** A real server of a service. */
export interface ProcDestination extends Endpoint {
  readonly forwarding: Forwarding
  readonly weight: number
  readonly activeConnections: number
  readonly inactiveConnections: number
}

/** A virtual service. */
export interface ProcService {
  /** `TCP`, `UDP`, `SCTP`; `FWM` for a service by firewall mark. */
  readonly protocol: string
  /** Undefined for a service by firewall mark. */
  readonly virtual: Endpoint | undefined
  /** 0 for a service by address. */
  readonly fwmark: number
  readonly scheduler: string
  /** Its persistence timeout in the kernel's ticks; undefined where it is not persistent. */
  readonly persistentTicks: number | undefined
  readonly destinations: readonly ProcDestination[]
}

const METHODS: Readonly<Record<string, Forwarding>> = {
  Masq: 'MASQ',
  Local: 'LOCALNODE',
  Tunnel: 'TUNNEL',
  Route: 'DROUTE',
  Bypass: 'BYPASS'
}

/** Reads the services; lines that cannot be read (headers among them) are passed over. */
export async function readServices(lines: AsyncIterable<string>): Promise<ProcService[]> {
  const services: (ProcService & { readonly destinations: ProcDestination[] })[] = []
  for await (const line of lines) {
    const [first = '', ...fields] = line.trim().split(/\s+/)
    if (first === '->') {
      const destination = parseDestination(fields)
      if (destination !== undefined) services.at(-1)?.destinations.push(destination)
      continue
    }
    const service = parseService(first, fields)
    if (service !== undefined) services.push({ ...service, destinations: [] })
  }
  return services
}

function parseService(protocol: string, fields: readonly string[]): ProcService | undefined {
  const [where = '', scheduler = ''] = fields
  const persistent = fields.indexOf('persistent')
  const rest = {
    protocol,
    scheduler,
    persistentTicks: persistent < 0 ? undefined : Number(fields[persistent + 1]),
    destinations: []
  }
  if (protocol === 'FWM') return { ...rest, virtual: undefined, fwmark: parseInt(where, 16) }
  const virtual = parseHexEndpoint(where)
  return virtual === undefined ? undefined : { ...rest, virtual, fwmark: 0 }
}

function parseDestination([where = '', method = '', weight, active, inactive]: readonly string[]):
  ProcDestination | undefined {
  const endpoint = parseHexEndpoint(where)
  const forwarding = METHODS[method]
  if (endpoint === undefined || forwarding === undefined) return undefined
  return {
    ...endpoint,
    forwarding,
    weight: Number(weight),
    activeConnections: Number(active),
    inactiveConnections: Number(inactive)
  }
}

/** `0A000164:0035` or `[fd00:…:0001]:0035`. */
function parseHexEndpoint(text: string): Endpoint | undefined {
  const words = parseHexAddress(text.slice(0, -5))
  if (words === undefined || !/:[\dA-F]{4}$/i.test(text)) return undefined
  const address = words.length === 1 ? formatIpv4(words[0]!) : formatIpv6(words)
  return { address, port: parseInt(text.slice(-4), 16) }
}
