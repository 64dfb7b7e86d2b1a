/**
 * Which firewall mark a connection came with: the kernel's table shows it of templates alone.
 *
 * @module
 */

import { parseAddress } from '../addresses.js'
import type { ProcConnection } from './connection-line.js'
import type { Service } from './services.js'

/** What can be told of a connection's mark. */
export interface FoundMark {
  /** 0 where there is none, or where it cannot be told which. */
  readonly fwmark: number
  /** Whether it was concluded from the real server. */
  readonly isAssumed: boolean
}

/**
 * Concludes marks from the services. A receiver finds the real server of a record by its mark first
 * (`ip_vs_find_dest`): without it the connection would not count among those of the real server.
 */
export class FirewallMarks {
  readonly #services = new Set<string>()
  readonly #marks = new Map<string, Set<number>>()

  /** @param services - What the director is configured to do. */
  constructor(services: readonly Service[]) {
    for (const { protocol, virtual, fwmark, servers } of services) {
      if (virtual !== undefined) {
        this.#services.add(keyOf(protocol, virtual.address, virtual.port))
        continue
      }
      for (const { address, port } of servers) {
        const key = `${address} ${port}`
        this.#marks.set(key, new Set([...(this.#marks.get(key) ?? []), fwmark]))
      }
    }
  }

  /** A template's own; that of the only service by mark with its real server, where no service by address is its. */
  markOf(line: ProcConnection): FoundMark {
    const { protocol, virtual, destination } = line
    if (protocol === 'IP') return { fwmark: markOfTemplate(virtual.address), isAssumed: false }
    const hasService = [virtual.port, 0].some((port) => this.#services.has(keyOf(protocol, virtual.address, port)))
    const marks = hasService
      ? []
      : [destination.port, 0].flatMap((port) => [...(this.#marks.get(`${destination.address} ${port}`) ?? [])])
    const [first = 0, ...others] = new Set(marks)
    return { fwmark: others.length === 0 ? first : 0, isAssumed: marks.length > 0 }
  }
}

/** A template of a service by firewall mark has it in the first four bytes of its virtual address. */
function markOfTemplate(address: string): number {
  const words = new Int32Array(4)
  parseAddress(address, words)
  return words[0]! >>> 0
}

function keyOf(protocol: string, address: string, port: number): string {
  return `${protocol} ${address} ${port}`
}
