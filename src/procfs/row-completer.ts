/**
 * Makes rows of a kernel's table into connections that a message can carry: what the table does not show is filled in
 * from the services, and what was assumed is counted.
 *
 * @module
 */

import { formatIpv4, formatIpv6 } from '../addresses.js'
import { FLAG } from '../wire/constants.js'
import { forwardingNumber } from '../wire/flags.js'
import { PROTOCOL, protocolName, stateNumber, stateTimeout } from '../wire/protocols.js'
import { ROW, ROW_WORDS, type Rows } from '../wire/rows.js'
import type { Service, ServiceTimeouts } from './services.js'
import { MARK, TABLE_ROW } from './table-reader.js'
import type { Forwarding } from '../wire/connection.js'

/**
 * What was assumed of a connection.
 *
 * - `fwmark` no service by address, but services by mark have this real server: the mark if there is one, 0 if several
 * - `forwarding` no service has this real server, or several with different methods: MASQ
 * - `state` the kernel printed `ERR!`: the protocol's first state, ASSURED for a template
 * - `timeout` a template of an unknown service: 180 s, or what remains if that is more
 */
export type Assumption = 'forwarding' | 'fwmark' | 'state' | 'timeout'

/** Why a connection cannot be sent. */
export type Unsendable = 'invalidated' | 'other-family'

/** What became of the rows. Counts only grow. */
export interface CompletionCounts {
  /** Connections of which something was assumed, by what. */
  readonly assumed: Record<Assumption, number>
  /** Connections that no message can carry, by reason. */
  readonly unsendable: Record<Unsendable, number>
}

/** What a director is known to do. */
export interface CompletionSource {
  readonly services: readonly Service[]
  /** The kernel's HZ; 250 in Debian's kernels. */
  readonly ticksPerSecond?: number
  /** `ipvsadm --set`; left out, the kernel's defaults. */
  readonly timeouts?: ServiceTimeouts
}

/** The template of a service that was made invalid shows this port (`ip_vs_check_template`, `ip_vs_conn_drop_conntrack`). */
const INVALIDATED_PORT = 0xffff
const STATES = 16
const ASSURED = 1

const isActive = new Uint8Array(256 * STATES)
for (const state of ['ESTABLISHED', 'SYN_SENT', 'SYN_RECV', 'SYNACK'])
  isActive[PROTOCOL.TCP * STATES + stateNumber(PROTOCOL.TCP, false, state)!] = 1
isActive[PROTOCOL.SCTP * STATES + stateNumber(PROTOCOL.SCTP, false, 'ESTABLISHED')!] = 1

/** Words of a cell in the memory of facts: its key, and what is known. */
const KEY = { HEAD: 0, PORTS: 1, VIRTUAL: 2, DESTINATION: 6 } as const
const FACT = { METHOD: 10, FWMARK: 11, ASSUMED: 12, PERSISTENCE: 13 } as const
const FACT_WORDS = 14
const FIRST_CELLS = 1024
/** A table with more services and servers than this makes the memory start anew: it never grows without bound. */
const MOST_CELLS = 1 << 17
const UNKNOWN = -1
const ASSUMED_METHOD = 1
const ASSUMED_MARK = 2

/** Completes rows in place. */
export class RowCompleter {
  readonly #counts: CompletionCounts
  readonly #index: ServiceIndex
  readonly #timeouts = new Uint32Array(256 * STATES)
  /** Facts by their key, open addressing: a cell is free while its first word is 0. */
  #facts = new Int32Array(FIRST_CELLS * FACT_WORDS)
  #mask = FIRST_CELLS - 1
  #known = 0

  /**
   * @param source - What the director is known to do.
   * @param counts - Grow with each row of which something is assumed, or that no message can carry.
   */
  constructor({ services, ticksPerSecond = 250, timeouts }: CompletionSource, counts: CompletionCounts) {
    this.#counts = counts
    this.#index = new ServiceIndex(services, ticksPerSecond)
    for (let i = 0; i < this.#timeouts.length; i++)
      this.#timeouts[i] = stateTimeout(Math.floor(i / STATES), false, i % STATES)
    if (timeouts === undefined) return
    // `ip_vs_set_timeout` changes these three.
    this.#timeouts[PROTOCOL.TCP * STATES + stateNumber(PROTOCOL.TCP, false, 'ESTABLISHED')!] = timeouts.tcp
    this.#timeouts[PROTOCOL.TCP * STATES + stateNumber(PROTOCOL.TCP, false, 'FIN_WAIT')!] = timeouts.tcpFin
    this.#timeouts[PROTOCOL.UDP * STATES] = timeouts.udp
  }

  /** Completes rows of `TableReader`; those that no message can carry are removed. */
  complete(rows: Rows): void {
    const { words, count } = rows
    let kept = 0
    for (let i = 0; i < count; i++) {
      const from = i * ROW_WORDS
      if (!this.#isSendable(words, from)) continue
      if (kept < i) {
        words.copyWithin(kept * ROW_WORDS, from, from + ROW_WORDS)
        rows.engines[kept] = rows.engines[i]
      }
      const row = kept * ROW_WORDS
      const { assumed } = this.#counts
      const fact = this.#factOf(words, row)
      const facts = this.#facts
      const isTemplate = (words[row + ROW.FLAGS]! & FLAG.TEMPLATE) !== 0
      const protocol = words[row + ROW.PROTOCOL]!
      const method = facts[fact + FACT.METHOD]!
      const assumptions = facts[fact + FACT.ASSUMED]!
      if ((assumptions & ASSUMED_METHOD) !== 0) assumed.forwarding++
      if ((assumptions & ASSUMED_MARK) !== 0) assumed.fwmark++
      if ((words[row + TABLE_ROW.MARKS]! & MARK.STATE_UNKNOWN) !== 0) {
        assumed.state++
        words[row + ROW.STATE] = isTemplate ? ASSURED : 0
      }
      const state = words[row + ROW.STATE]!
      const place = protocol * STATES + Math.min(state, STATES - 1)
      let timeout = this.#timeouts[place]!
      if (isTemplate) {
        const persistence = facts[fact + FACT.PERSISTENCE]!
        if (persistence === UNKNOWN) assumed.timeout++
        timeout = persistence === UNKNOWN ? stateTimeout(protocol, true, state) : persistence >>> 0
      }
      words[row + ROW.TIMEOUT] = Math.max(timeout, words[row + TABLE_ROW.EXPIRES]! >>> 0) | 0
      words[row + ROW.FWMARK] = facts[fact + FACT.FWMARK]!
      words[row + ROW.FLAGS] = flagsOf(words, row, isTemplate, isActive[place] === 1, method)
      words[row + TABLE_ROW.MARKS] = 0
      kept++
    }
    rows.count = kept
  }

  #isSendable(words: Int32Array, row: number): boolean {
    const { unsendable } = this.#counts
    const isTemplate = (words[row + ROW.FLAGS]! & FLAG.TEMPLATE) !== 0
    if (isTemplate && words[row + ROW.DESTINATION_PORT] === INVALIDATED_PORT) unsendable.invalidated++
    else if ((words[row + TABLE_ROW.MARKS]! & MARK.OTHER_FAMILY) !== 0) unsendable['other-family']++
    else return true
    return false
  }

  /** Where the facts about a row's service and real server stand. */
  #factOf(words: Int32Array, row: number): number {
    const isIpv6 = words[row + ROW.FAMILY] === 6
    const head = (words[row + ROW.PROTOCOL]! << 4) | (isIpv6 ? 6 : 4)
    const ports = (words[row + ROW.VIRTUAL_PORT]! << 16) | words[row + ROW.DESTINATION_PORT]!
    let hash = mix(mix(mix(head, ports), words[row + ROW.VIRTUAL]!), words[row + ROW.DESTINATION]!)
    if (isIpv6)
      for (let i = 1; i < 4; i++)
        hash = mix(mix(hash, words[row + ROW.VIRTUAL + i]!), words[row + ROW.DESTINATION + i]!)
    const facts = this.#facts
    let cell = (hash >>> 8) & this.#mask
    for (; facts[cell * FACT_WORDS + KEY.HEAD] !== 0; cell = (cell + 1) & this.#mask) {
      const at = cell * FACT_WORDS
      if (facts[at + KEY.HEAD] === head && facts[at + KEY.PORTS] === ports && isSame(facts, at, words, row, isIpv6))
        return at
    }
    return this.#learn(words, row, head, ports, cell)
  }

  #learn(words: Int32Array, row: number, head: number, ports: number, cell: number): number {
    if (2 * this.#known > this.#mask) {
      // Twice as many cells; the facts themselves are found again when they are needed.
      const cells = this.#mask + 1 < MOST_CELLS ? 2 * (this.#mask + 1) : FIRST_CELLS
      this.#facts = new Int32Array(cells * FACT_WORDS)
      this.#mask = cells - 1
      this.#known = 0
      return this.#factOf(words, row)
    }
    this.#known++
    const facts = this.#facts
    const at = cell * FACT_WORDS
    facts[at + KEY.HEAD] = head
    facts[at + KEY.PORTS] = ports
    for (let i = 0; i < 4; i++) {
      facts[at + KEY.VIRTUAL + i] = words[row + ROW.VIRTUAL + i]!
      facts[at + KEY.DESTINATION + i] = words[row + ROW.DESTINATION + i]!
    }
    const isIpv6 = words[row + ROW.FAMILY] === 6
    const { forwarding, fwmark, isMarkAssumed, persistence } = this.#index.find({
      protocol: protocolName(words[row + ROW.PROTOCOL]!),
      virtualAddress: addressOf(words, row + ROW.VIRTUAL, isIpv6),
      virtualPort: words[row + ROW.VIRTUAL_PORT]!,
      destinationAddress: addressOf(words, row + ROW.DESTINATION, isIpv6),
      destinationPort: words[row + ROW.DESTINATION_PORT]!,
      templateMark: words[row + ROW.VIRTUAL]! >>> 0
    })
    facts[at + FACT.METHOD] = forwardingNumber(forwarding ?? 'MASQ')!
    facts[at + FACT.FWMARK] = fwmark
    facts[at + FACT.ASSUMED] = (forwarding === undefined ? ASSUMED_METHOD : 0) | (isMarkAssumed ? ASSUMED_MARK : 0)
    facts[at + FACT.PERSISTENCE] = persistence ?? UNKNOWN
    return at
  }
}

function mix(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, 0x9e3779b1)
  return mixed ^ (mixed >>> 15)
}

function isSame(facts: Int32Array, at: number, words: Int32Array, row: number, isIpv6: boolean): boolean {
  if (facts[at + KEY.VIRTUAL] !== words[row + ROW.VIRTUAL]) return false
  if (facts[at + KEY.DESTINATION] !== words[row + ROW.DESTINATION]) return false
  if (!isIpv6) return true
  for (let i = 1; i < 4; i++) {
    if (facts[at + KEY.VIRTUAL + i] !== words[row + ROW.VIRTUAL + i]) return false
    if (facts[at + KEY.DESTINATION + i] !== words[row + ROW.DESTINATION + i]) return false
  }
  return true
}

function addressOf(words: Int32Array, at: number, isIpv6: boolean): string {
  return isIpv6 ? formatIpv6(words, at) : formatIpv4(words[at]!)
}

function flagsOf(words: Int32Array, row: number, isTemplate: boolean, isActive: boolean, method: number): number {
  let flags = method
  if (method !== 0) flags |= FLAG.NOOUTPUT
  if (isTemplate || !isActive) flags |= FLAG.INACTIVE
  if (isTemplate) flags |= FLAG.TEMPLATE
  else if (words[row + ROW.CLIENT_PORT] === 0) flags |= FLAG.NO_CPORT
  return flags
}

/** A virtual service and a real server as a line of the table names them. */
interface ServiceKey {
  readonly protocol: string
  readonly virtualAddress: string
  readonly virtualPort: number
  readonly destinationAddress: string
  readonly destinationPort: number
  /** The mark in a template's virtual address: for protocol `IP` alone. */
  readonly templateMark: number
}

/** What is known of a connection. */
interface ServiceFacts {
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
class ServiceIndex {
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
