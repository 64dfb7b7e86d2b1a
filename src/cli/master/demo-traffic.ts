/**
 * Made-up traffic: clients that come, talk and go, so that a master has something to announce.
 *
 * @module
 */

import { seededChance, type Chance } from '../../transport/chance.js'
import type { Milliseconds, TimestampMs } from '../../units.js'
import type { ConnectionChange } from '../../engine/master/connection-change.js'
import type { Connection } from '../../wire/connection.js'

/** What one connection still has to do. */
interface Life {
  readonly connection: Connection
  readonly acts: Act[]
}

interface Act {
  readonly at: TimestampMs
  readonly state: string
  readonly packets: number
}

/** At fixed intervals one connection uses IPv6, one UDP, one is a client of the persistent service. */
const EVERY = { IPV6: 7, UDP: 5, PERSISTENT: 11 } as const
const TALK: readonly [least: Milliseconds, more: Milliseconds] = [2000, 18_000]
const CLOSING: Milliseconds = 1000

/** Makes the packets of all connections that are open. The same seed and times make the same traffic. */
export class DemoTraffic {
  readonly #chance: Chance
  #lives: Life[] = []
  #born = 0

  /** @param seed - Any number. */
  constructor(seed = 1) {
    this.#chance = seededChance(seed)
  }

  /**
   * What happens by a time.
   *
   * @param now - Not before the last one.
   * @param births - How many clients come.
   * @returns In the order in which a director would see it.
   */
  step(now: TimestampMs, births: number): ConnectionChange[] {
    const changes: ConnectionChange[] = []
    for (let i = 0; i < births; i++) changes.push(...this.#open(now))
    for (const { connection, acts } of this.#lives) {
      while (acts[0] !== undefined && acts[0].at <= now) {
        const { state, packets } = acts.shift()!
        changes.push({ ...connection, state, packets })
      }
    }
    this.#lives = this.#lives.filter(({ acts }) => acts.length > 0)
    return changes
  }

  /** A client of the persistent service brings its template, which stands before it. */
  #open(now: TimestampMs): ConnectionChange[] {
    const number = this.#born++
    const connection = number % EVERY.IPV6 === 0 ? overIpv6(number) : overIpv4(number)
    this.#lives.push({ connection, acts: this.#actsOf(connection, now) })
    if (number % EVERY.PERSISTENT !== 0 || connection.family === 'ipv6') return [connection]
    const { protocol, client, virtual } = connection
    const key = { protocol, client: { address: client.address, port: 0 }, virtual }
    const template = { ...connection, ...key, flags: ['TEMPLATE'], state: 'NONE', timeout: 360 }
    return [template, { ...connection, controlledBy: key }]
  }

  #actsOf({ protocol }: Connection, now: TimestampMs): Act[] {
    const end = now + TALK[0] + this.#chance() * TALK[1]
    if (protocol === 'UDP') return [act(now, 'UDP', 2), act(now + 100, 'UDP', 3), act(end, 'UDP', 53)]
    return [
      act(now, 'ESTABLISHED', 2),
      act(now + 50, 'ESTABLISHED', 3),
      act(end, 'FIN_WAIT', 53),
      act(end + CLOSING, 'TIME_WAIT', 54)
    ]
  }
}

function act(at: TimestampMs, state: string, packets: number): Act {
  return { at, state, packets }
}

function overIpv4(number: number): Connection {
  return {
    family: 'ipv4',
    client: { address: `198.51.100.${1 + (number % 254)}`, port: portOf(number) },
    virtual: { address: '203.0.113.80', port: number % EVERY.UDP === 0 ? 53 : 443 },
    destination: { address: `10.0.0.${11 + (number % 3)}`, port: number % EVERY.UDP === 0 ? 53 : 8443 },
    ...kindOf(number)
  }
}

function overIpv6(number: number): Connection {
  return {
    family: 'ipv6',
    client: { address: `2001:db8:1::${(1 + (number % 254)).toString(16)}`, port: portOf(number) },
    virtual: { address: '2001:db8::80', port: number % EVERY.UDP === 0 ? 53 : 443 },
    destination: { address: `fd00::${11 + (number % 3)}`, port: number % EVERY.UDP === 0 ? 53 : 8443 },
    ...kindOf(number)
  }
}

function kindOf(number: number): Pick<Connection, 'protocol' | 'forwarding' | 'flags' | 'state'> {
  const udp = number % EVERY.UDP === 0
  return { protocol: udp ? 'UDP' : 'TCP', forwarding: 'MASQ', flags: [], state: udp ? 'UDP' : 'SYN_RECV' }
}

/** 1024…65535, each in its turn. */
function portOf(number: number): number {
  return 1024 + ((number * 7919) % 64_512)
}
