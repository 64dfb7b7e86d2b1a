/**
 * A line of the kernel's table made into a connection that can be sent: what the table does not show is filled in from
 * what is known, and what was assumed is said.
 *
 * @module
 */

import type { Connection, Forwarding } from '../wire/connection.js'
import { protocolNumber, stateNumber, stateTimeout } from '../wire/protocols.js'
import type { ProcConnection } from './connection-line.js'
import { FirewallMarks } from './firewall-marks.js'
import type { Service } from './services.js'

/**
 * What was assumed of a connection.
 *
 * - `fwmark` no service by address, but services by mark have this real server: the mark if there is one, 0 if several
 * - `forwarding` no service has this real server, or several with different methods: MASQ
 * - `state` the kernel printed `ERR!`: the protocol's first state, ASSURED for a template
 * - `timeout` a template of a service that was not found, or whose clock is not known: 180 s or what is left of it, if more
 */
export type Assumption = 'forwarding' | 'fwmark' | 'state' | 'timeout'

/** Why a connection cannot be sent. */
export type Unsendable = 'invalidated' | 'other-family'

/** What came of a line. */
export type Completed =
  | { readonly connection: Connection; readonly assumptions: readonly Assumption[] }
  | { readonly connection: undefined; readonly reason: Unsendable }

/** States of TCP that a director counts as active (`tcp_state_active_table`). */
const ACTIVE_TCP = ['ESTABLISHED', 'SYN_SENT', 'SYN_RECV', 'SYNACK']

/** Fills in what the kernel's table leaves out. */
export class Completer {
  readonly #methods = new Map<string, Forwarding | 'several'>()
  readonly #persistence = new Map<string, number>()
  readonly #marks: FirewallMarks
  readonly #ticksPerSecond: number

  /**
   * @param services - What the director is configured to do.
   * @param ticksPerSecond - The kernel's HZ, in which it prints persistence timeouts; 250 in Debian's kernels.
   */
  constructor(services: readonly Service[], ticksPerSecond = 250) {
    this.#ticksPerSecond = ticksPerSecond
    this.#marks = new FirewallMarks(services)
    for (const service of services) this.#learn(service)
  }

  /** Completes one connection. */
  complete(line: ProcConnection): Completed {
    const { family, destination, virtual, template } = line
    if (template && virtual.port === 0xffff && destination.port === 0xffff) return unsendable('invalidated')
    if (destination.address.includes(':') !== (family === 'ipv6')) return unsendable('other-family')
    const assumptions: Assumption[] = []
    const forwarding = this.#forwardingOf(line)
    if (forwarding === undefined) assumptions.push('forwarding')
    if (line.state === undefined) assumptions.push('state')
    const state = line.state ?? (template ? 'ASSURED' : '0')
    const persistence = template ? this.#persistenceOf(line) : undefined
    if (template && persistence === undefined) assumptions.push('timeout')
    const { fwmark, isAssumed } = this.#marks.markOf(line)
    if (isAssumed) assumptions.push('fwmark')
    const connection: Connection = {
      family,
      protocol: line.protocol,
      client: line.client,
      virtual,
      destination,
      forwarding: forwarding ?? 'MASQ',
      flags: flagsOf(line, state, forwarding ?? 'MASQ'),
      state,
      fwmark,
      timeout: Math.max(persistence ?? tableTimeout(line, state), line.expires),
      ...(line.engine !== undefined && { engine: line.engine })
    }
    return { connection, assumptions }
  }

  #learn(service: Service): void {
    const key =
      service.virtual === undefined
        ? `IP ${service.fwmark}`
        : at(service.protocol, service.virtual.address, service.virtual.port)
    if (service.persistence !== undefined) {
      const { timeout, unit } = service.persistence
      this.#persistence.set(key, unit === 'ticks' ? timeout / this.#ticksPerSecond : timeout)
    }
    for (const { address, port, forwarding } of service.servers) {
      this.#methods.set(`${key} ${address}`, forwarding)
      this.#note(`${address} ${port}`, forwarding)
      this.#note(address, forwarding)
    }
  }

  #note(key: string, forwarding: Forwarding): void {
    const known = this.#methods.get(key)
    this.#methods.set(key, known === undefined || known === forwarding ? forwarding : 'several')
  }

  /** The service's own word first; for services by mark, or of all ports, what is said of the real server elsewhere. */
  #forwardingOf({ protocol, virtual, destination }: ProcConnection): Forwarding | undefined {
    const keys = [
      `${at(protocol, virtual.address, virtual.port)} ${destination.address}`,
      `${at(protocol, virtual.address, 0)} ${destination.address}`,
      `${destination.address} ${destination.port}`,
      destination.address
    ]
    const method = keys.map((key) => this.#methods.get(key)).find((found) => found !== undefined)
    return method === 'several' ? undefined : method
  }

  /** Seconds. */
  #persistenceOf(line: ProcConnection): number | undefined {
    const { protocol, virtual } = line
    const key =
      protocol === 'IP' ? `IP ${this.#marks.markOf(line).fwmark}` : at(protocol, virtual.address, virtual.port)
    const seconds = this.#persistence.get(key)
    return seconds === undefined ? undefined : Math.round(seconds)
  }
}

function unsendable(reason: Unsendable): Completed {
  return { connection: undefined, reason }
}

function at(protocol: string, address: string, port: number): string {
  return `${protocol} ${address} ${port}`
}

/**
 * Every entry begins INACTIVE; TCP and SCTP clear it while a connection is active, templates keep it. Replies pass the
 * director only where it rewrites addresses: else NOOUTPUT (`__ip_vs_update_dest`).
 */
function flagsOf({ protocol, template, client }: ProcConnection, state: string, forwarding: Forwarding): string[] {
  const active = protocol === 'TCP' ? ACTIVE_TCP.includes(state) : protocol === 'SCTP' && state === 'ESTABLISHED'
  const given: [boolean, string][] = [
    [forwarding !== 'MASQ', 'NOOUTPUT'],
    [template || !active, 'INACTIVE'],
    [!template && client.port === 0, 'NO_CPORT'],
    [template, 'TEMPLATE']
  ]
  return given.flatMap(([isSet, name]) => (isSet ? [name] : []))
}

function tableTimeout({ protocol, template }: ProcConnection, state: string): number {
  const number = protocolNumber(protocol)!
  return stateTimeout(number, template, stateNumber(number, template, state)!)
}
