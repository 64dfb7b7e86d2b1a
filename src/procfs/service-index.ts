/**
 * What a director's services say of a connection: what the kernel's table leaves out.
 *
 * @module
 */

import type { Forwarding } from '../wire/connection.js'
import type { Service } from './services.js'

/** A virtual service and a real server as a line of the table names them. */
export interface ServiceKey {
  readonly protocol: string
  readonly virtualAddress: string
  readonly virtualPort: number
  readonly destinationAddress: string
  readonly destinationPort: number
  /** The mark in a template's virtual address: for protocol `IP` alone. */
  readonly templateMark: number
}

/** What is known of a connection. */
export interface ServiceFacts {
  /** Undefined where no service has this real server, or several have it with different methods. */
  readonly forwarding: Forwarding | undefined
  /** 0 where there is none, or where several are possible. */
  readonly fwmark: number
  /** Whether the mark was concluded from the real server. */
  readonly isMarkAssumed: boolean
  /** A template's timeout in seconds; undefined where the service is unknown or not persistent. */
  readonly persistence: number | undefined
}

/** The services of a director by their keys. */
export class ServiceIndex {
  readonly #methods = new Map<string, Forwarding | 'several'>()
  readonly #persistence = new Map<string, number>()
  readonly #addressed = new Set<string>()
  readonly #marks = new Map<string, Set<number>>()

  /**
   * @param services - What the director is configured to do.
   * @param ticksPerSecond - The kernel's HZ, in which `/proc/net/ip_vs` shows persistence timeouts.
   */
  constructor(services: readonly Service[], ticksPerSecond: number) {
    for (const service of services) this.#add(service, ticksPerSecond)
  }

  /** Finds what is known. */
  find(key: ServiceKey): ServiceFacts {
    const { fwmark, isMarkAssumed } = this.#markOf(key)
    const { protocol, virtualAddress, virtualPort } = key
    const service = protocol === 'IP' ? `IP ${fwmark}` : at(protocol, virtualAddress, virtualPort)
    return { forwarding: this.#forwardingOf(key), fwmark, isMarkAssumed, persistence: this.#persistence.get(service) }
  }

  #add({ protocol, virtual, fwmark, persistence, servers }: Service, ticksPerSecond: number): void {
    const service = virtual === undefined ? `IP ${fwmark}` : at(protocol, virtual.address, virtual.port)
    if (virtual !== undefined) this.#addressed.add(service)
    if (persistence !== undefined) {
      const { timeout, unit } = persistence
      this.#persistence.set(service, unit === 'ticks' ? Math.round(timeout / ticksPerSecond) : timeout)
    }
    for (const { address, port, forwarding } of servers) {
      this.#methods.set(`${service} ${address}`, forwarding)
      this.#addMethod(`${address} ${port}`, forwarding)
      this.#addMethod(address, forwarding)
      if (virtual === undefined) {
        const key = `${address} ${port}`
        const marks = this.#marks.get(key)
        if (marks === undefined) this.#marks.set(key, new Set([fwmark]))
        else marks.add(fwmark)
      }
    }
  }

  #addMethod(key: string, forwarding: Forwarding): void {
    const known = this.#methods.get(key)
    this.#methods.set(key, known === undefined || known === forwarding ? forwarding : 'several')
  }

  /** The service's own method first; for services by mark, or of all ports, that of the real server elsewhere. */
  #forwardingOf(key: ServiceKey): Forwarding | undefined {
    const { protocol, virtualAddress, virtualPort, destinationAddress, destinationPort } = key
    const method =
      this.#methods.get(`${at(protocol, virtualAddress, virtualPort)} ${destinationAddress}`) ??
      this.#methods.get(`${at(protocol, virtualAddress, 0)} ${destinationAddress}`) ??
      this.#methods.get(`${destinationAddress} ${destinationPort}`) ??
      this.#methods.get(destinationAddress)
    return method === 'several' ? undefined : method
  }

  /**
   * A template's own mark; that of the only service by mark with this real server, where no service by address is the
   * connection's. A receiver finds the real server of a record by its mark first (`ip_vs_find_dest`): without it the
   * connection would not count among those of the real server.
   */
  #markOf(key: ServiceKey): Pick<ServiceFacts, 'fwmark' | 'isMarkAssumed'> {
    const { protocol, virtualAddress, virtualPort, destinationAddress, destinationPort, templateMark } = key
    if (protocol === 'IP') return { fwmark: templateMark, isMarkAssumed: false }
    const isAddressed = [virtualPort, 0].some((port) => this.#addressed.has(at(protocol, virtualAddress, port)))
    if (isAddressed) return { fwmark: 0, isMarkAssumed: false }
    const ports = destinationPort === 0 ? [0] : [destinationPort, 0]
    const marks = new Set(ports.flatMap((port) => [...(this.#marks.get(`${destinationAddress} ${port}`) ?? [])]))
    const [first = 0] = marks
    return { fwmark: marks.size === 1 ? first : 0, isMarkAssumed: marks.size > 0 }
  }
}

function at(protocol: string, address: string, port: number): string {
  return `${protocol} ${address} ${port}`
}
