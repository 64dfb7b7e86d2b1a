/**
 * Firewall rules as far as a sync datagram meets them: read from `nft -j list ruleset` and `iptables-save -c`, and
 * evaluated for one packet. A rule with a condition that is not understood is skipped, so a drop is reported only where
 * it is certain.
 *
 * @module
 */

import { networkHolds, parseNetwork } from '../../addresses.js'

/** The packet that rules are evaluated for. */
export interface Packet {
  readonly interfaceName: string | undefined
  readonly source: string | undefined
  readonly group: string
  readonly port: number
}

/** A condition: true or false for a packet, undefined where it cannot be decided. */
type Condition = (packet: Packet) => boolean | undefined

/** What a rule does with a packet that meets its conditions. */
type Action =
  | { readonly kind: 'accept' | 'drop' | 'return' | 'continue'; readonly chain?: undefined }
  | { readonly kind: 'jump' | 'goto'; readonly chain: string }

interface Rule {
  readonly conditions: readonly Condition[]
  readonly action: Action
  /** Packets counted; undefined for a rule without a counter. */
  readonly packets: number | undefined
  readonly text: string
}

interface Chain {
  readonly rules: Rule[]
  /** Whether the kernel calls it for received packets. */
  readonly isInput: boolean
  readonly priority: number
  readonly policy: 'accept' | 'drop'
}

/** The chains of one table. */
export interface Ruleset {
  /** `nft inet filter`, `iptables filter`. */
  readonly name: string
  readonly chains: ReadonlyMap<string, Chain>
}

/** The rule or policy that drops a packet. */
export interface Blocker {
  readonly where: string
  readonly packets: number | undefined
}

/** Returns the first rule or policy that drops the packet; undefined where all rulesets let it pass. */
export function findBlocker(rulesets: readonly Ruleset[], packet: Packet): Blocker | undefined {
  for (const { name, chains } of rulesets) {
    const inputs = [...chains].filter(([, chain]) => chain.isInput).sort(([, a], [, b]) => a.priority - b.priority)
    for (const [chainName, chain] of inputs) {
      const verdict = walk(chains, chainName, packet, 0)
      if (verdict !== 'accept' && verdict !== undefined)
        return { ...verdict, where: `${name} ${chainName}: ${verdict.where}` }
      if (verdict === undefined && chain.policy === 'drop')
        return {
          where: `${name} ${chainName}: policy drop, and no rule accepts UDP port ${packet.port}`,
          packets: undefined
        }
    }
  }
  return undefined
}

type Walk = 'accept' | Blocker | undefined

function walk(chains: ReadonlyMap<string, Chain>, name: string, packet: Packet, depth: number): Walk {
  if (depth > 16) return undefined
  for (const { conditions, action, packets, text } of chains.get(name)?.rules ?? []) {
    if (!conditions.every((condition) => condition(packet) === true)) continue
    if (action.kind === 'accept') return 'accept'
    if (action.kind === 'drop') return { where: text, packets }
    if (action.kind === 'return') return undefined
    if (action.kind === 'continue') continue
    const inner = walk(chains, action.chain ?? '', packet, depth + 1)
    if (inner !== undefined || action.kind === 'goto') return inner
  }
  return undefined
}

// --- nftables ---

type Json = null | boolean | number | string | readonly Json[] | JsonObject
type JsonObject = { readonly [Key in string]: Json | undefined }

/** Reads `nft -j list ruleset`; undefined for text that is not such a list. */
export function parseNft(text: string): readonly Ruleset[] | undefined {
  let ruleset: Json | undefined
  try {
    ruleset = JSON.parse(text) as Json
  } catch {
    return undefined
  }
  const items = member(ruleset, 'nftables')
  if (!Array.isArray(items)) return undefined
  const tables = new Map<string, Map<string, Chain>>()
  const chainsOf = (entry: Json | undefined): Map<string, Chain> => {
    const name = `nft ${textOf(member(entry, 'family'))} ${textOf(member(entry, 'table'))}`
    const found = tables.get(name)
    if (found !== undefined) return found
    const made = new Map<string, Chain>()
    tables.set(name, made)
    return made
  }
  for (const item of items as readonly Json[]) {
    const chain = member(item, 'chain')
    const rule = member(item, 'rule')
    if (chain !== undefined) {
      const hook = member(chain, 'hook')
      chainsOf(chain).set(textOf(member(chain, 'name')), {
        rules: [],
        isInput: hook === 'input' || hook === 'prerouting' || hook === 'ingress',
        priority: Number(member(chain, 'prio') ?? 0),
        policy: member(chain, 'policy') === 'drop' ? 'drop' : 'accept'
      })
    }
    if (rule !== undefined)
      chainsOf(rule)
        .get(textOf(member(rule, 'chain')))
        ?.rules.push(nftRule(rule))
  }
  return Array.from(tables, ([name, chains]) => ({ name, chains }))
}

function nftRule(rule: Json): Rule {
  const conditions: Condition[] = []
  let action: Action = { kind: 'continue' }
  let packets: number | undefined
  const expressions = member(rule, 'expr')
  for (const expression of Array.isArray(expressions) ? (expressions as readonly Json[]) : []) {
    const [kind = ''] = Object.keys((expression ?? {}) as object)
    const body = member(expression, kind)
    if (kind === 'match') conditions.push(nftCondition(body))
    else if (kind === 'counter') packets = Number(member(body, 'packets') ?? 0)
    else if (kind === 'accept' || kind === 'return') action = { kind }
    else if (kind === 'drop' || kind === 'reject') action = { kind: 'drop' }
    else if (kind === 'jump' || kind === 'goto') action = { kind, chain: textOf(member(body, 'target')) }
    else if (kind !== 'log' && kind !== 'comment') conditions.push(() => undefined)
  }
  return { conditions, action, packets, text: `rule with handle ${textOf(member(rule, 'handle'))}` }
}

function nftCondition(match: Json | undefined): Condition {
  const left = member(match, 'left')
  const field = `${textOf(member(member(left, 'payload'), 'protocol'))} ${textOf(member(member(left, 'payload'), 'field'))}`
  const key = textOf(member(member(left, 'meta'), 'key'))
  const right = member(match, 'right')
  const operator = member(match, 'op')
  const holds: Condition = (packet) => {
    if (field === 'udp dport' || field === 'th dport') return contains(right, packet.port)
    if (field === 'tcp dport' || field === 'tcp sport') return false
    if (field === 'ip daddr' || field === 'ip6 daddr') return containsAddress(right, packet.group)
    if (field === 'ip saddr' || field === 'ip6 saddr') return containsAddress(right, packet.source)
    if (field === 'ip protocol' || field === 'ip6 nexthdr' || key === 'l4proto') return contains(right, 'udp', 17)
    if (key === 'iifname' || key === 'iif') return contains(right, packet.interfaceName)
    if (key === 'pkttype') return contains(right, 'multicast')
    return undefined
  }
  if (operator !== '!=') return operator === '==' || operator === 'in' ? holds : () => undefined
  return (packet) => {
    const held = holds(packet)
    return held === undefined ? undefined : !held
  }
}

function contains(right: Json | undefined, ...wanted: readonly (string | number | undefined)[]): boolean | undefined {
  const range = member(right, 'range')
  const set = member(right, 'set')
  if (Array.isArray(range))
    return wanted.some((one) => Number(range[0]) <= Number(one) && Number(one) <= Number(range[1]))
  if (Array.isArray(set)) return set.some((one: Json) => contains(one, ...wanted) === true)
  if (typeof right === 'string' || typeof right === 'number') return wanted.some((one) => one === right)
  return undefined
}

function containsAddress(right: Json | undefined, address: string | undefined): boolean | undefined {
  if (address === undefined) return undefined
  const prefix = member(right, 'prefix')
  const set = member(right, 'set')
  if (Array.isArray(set)) return set.some((one: Json) => containsAddress(one, address) === true)
  const text =
    prefix === undefined ? textOf(right) : `${textOf(member(prefix, 'addr'))}/${textOf(member(prefix, 'len'))}`
  const network = parseNetwork(text)
  return network === undefined ? undefined : networkHolds(network, address)
}

function member(value: Json | undefined, key: string): Json | undefined {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return undefined
  return (value as JsonObject)[key]
}

function textOf(value: Json | undefined): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : ''
}

// --- iptables ---

/** Reads `iptables-save -c` or `ip6tables-save -c`. */
export function parseIptables(text: string, program = 'iptables'): readonly Ruleset[] {
  const rulesets: { name: string; chains: Map<string, Chain> }[] = []
  for (const line of text.split('\n')) {
    const table = /^\*(\w+)/.exec(line)?.[1]
    const [, chain, policy] = /^:(\S+) (\S+)/.exec(line) ?? []
    const [, packets, owner, rest] = /^(?:\[(\d+):\d+\] )?-A (\S+)(.*)$/.exec(line) ?? []
    if (table !== undefined) rulesets.push({ name: `${program} ${table}`, chains: new Map() })
    const chains = rulesets.at(-1)?.chains
    if (chain !== undefined)
      chains?.set(chain, {
        rules: [],
        isInput: chain === 'INPUT' || chain === 'PREROUTING',
        priority: chain === 'INPUT' ? 0 : -300,
        policy: policy === 'DROP' ? 'drop' : 'accept'
      })
    if (owner !== undefined)
      chains?.get(owner)?.rules.push(iptablesRule(rest!.trim(), packets === undefined ? undefined : Number(packets)))
  }
  return rulesets
}

const TARGETS: Readonly<Record<string, Action>> = {
  ACCEPT: { kind: 'accept' },
  DROP: { kind: 'drop' },
  REJECT: { kind: 'drop' },
  RETURN: { kind: 'return' },
  LOG: { kind: 'continue' }
}

function iptablesRule(text: string, packets: number | undefined): Rule {
  const words = text.split(/\s+/)
  const conditions: Condition[] = []
  let action: Action = { kind: 'continue' }
  for (let at = 0; at < words.length; at += 2) {
    const isNegated = words[at] === '!'
    if (isNegated) at++
    const [option, value = ''] = [words[at], words[at + 1]]
    if (option === '-j' || option === '-g') {
      action = TARGETS[value] ?? { kind: option === '-j' ? 'jump' : 'goto', chain: value }
      // What follows are the target's own options.
      break
    }
    if (option === '-m' && ['udp', 'tcp', 'multiport', 'comment'].includes(value)) continue
    const condition = iptablesCondition(option!, value)
    conditions.push((packet) => {
      const held = condition(packet)
      return isNegated && held !== undefined ? !held : held
    })
  }
  return { conditions, action, packets, text: `rule "${text}"` }
}

function iptablesCondition(option: string, value: string): Condition {
  const network = parseNetwork(value)
  switch (option) {
    case '-p':
      return () => value === 'udp' || value === '17' || value === 'all'
    case '-i':
      return ({ interfaceName }) =>
        value.endsWith('+') ? interfaceName?.startsWith(value.slice(0, -1)) : interfaceName === value
    case '-d':
      return ({ group }) => (network === undefined ? undefined : networkHolds(network, group))
    case '-s':
      return ({ source }) => (network === undefined || source === undefined ? undefined : networkHolds(network, source))
    case '--dport':
    case '--dports':
      return ({ port }) =>
        value.split(',').some((part) => {
          const [first, last = first] = part.split(':').map(Number)
          return first! <= port && port <= last!
        })
    default:
      return () => undefined
  }
}
