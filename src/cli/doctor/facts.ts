/**
 * What `doctor` collects about a host and a link. Collectors fill these facts in, judges turn them into checks; so every
 * verdict can be tested without privileges.
 *
 * @module
 */

import type { Network } from '../../addresses.js'
import type { Service } from '../../procfs/services.js'
import type { Sysctls } from '../../sysctl/settings.js'
import type { Seconds, TimestampMs } from '../../units.js'
import type { TrafficReport } from '../traffic/observer.js'
import type { Ruleset } from './firewall-rules.js'

/** A value, or why it could not be read. */
export type Reading<Value> = { readonly value: Value } | { readonly reason: string }

/** Returns the value, or undefined where it could not be read. */
export function valueOf<Value>(reading: Reading<Value>): Value | undefined {
  return 'value' in reading ? reading.value : undefined
}

/** What the user asked for. */
export interface Wanted {
  readonly interfaceName: string | undefined
  readonly syncid: number
  readonly group: string
  readonly port: number
  /** Channels that the backup listens on: sync_ports. */
  readonly channels: number
  readonly maxlen: number | undefined
  readonly peers: readonly string[]
  readonly accept: readonly Network[]
  /** How long the link was observed. */
  readonly seconds: Seconds
}

/** A network interface. */
export interface InterfaceFacts {
  readonly exists: boolean
  readonly up: boolean
  /** Undefined where the system does not report it: an interface that is down has none. */
  readonly carrier: boolean | undefined
  readonly multicast: boolean
  readonly mtu: number | undefined
  /** In CIDR form, of the group's family. */
  readonly addresses: readonly string[]
  /** Names of every interface of this host. */
  readonly names: readonly string[]
}

/** A UDP socket of this network namespace on one of the sync ports. */
export interface SocketFacts {
  readonly local: string
  readonly port: number
  /** Remote address of a connected socket: the group, for a master. */
  readonly remote: string
  readonly remotePort: number
  readonly uid: number
  readonly inode: number
  /** Program that holds it; undefined where it cannot be determined. */
  readonly program: string | undefined
  readonly drops: number
}

/** A kernel counter before and after the observation. */
export interface Growth {
  readonly before: number
  readonly after: number
}

/** A sync daemon of the kernel. */
export interface KernelDaemon {
  readonly role: 'master' | 'backup'
  readonly interfaceName: string
  readonly syncid: number
  readonly maxlen: number | undefined
  readonly group: string | undefined
  readonly port: number | undefined
  readonly ttl: number | undefined
}

/** What the kernel's IPVS shows. */
export interface IpvsFacts {
  readonly services: Reading<readonly Service[]>
  readonly sysctls: Reading<Sysctls>
  readonly daemons: Reading<readonly KernelDaemon[]>
  /** Of the connections received on the link, how many the kernel's table holds. */
  readonly held: Reading<number>
}

/** keepalived's configuration, where there is one. */
export interface KeepalivedFacts {
  readonly syncInterface: string | undefined
  readonly syncid: number | undefined
  readonly fifo: string | undefined
  readonly fifoState: 'fifo' | 'missing' | 'other' | undefined
}

/** Answers of a running daemon's `--http`. */
export interface DaemonFacts {
  readonly ready: boolean
  readonly status: string
  /** Sums of `/metrics` by name; labelled ones as `name{label="value"}` too. */
  readonly metrics: Readonly<Record<string, number>>
}

/** Packets on the interface, read by tcpdump before firewall and routing see them. */
export interface WireFacts {
  readonly traffic: TrafficReport
  /** Whether an IGMP or MLD query was seen. */
  readonly querier: boolean
}

/** Everything. */
export interface Facts {
  readonly wanted: Wanted
  /** End of the observation. */
  readonly now: TimestampMs
  readonly hz: Reading<number>
  readonly interface: InterfaceFacts | undefined
  /** Groups that the interface had joined before doctor joined. */
  readonly memberships: Reading<readonly string[]>
  readonly rpFilter: Reading<number>
  /** TcpExt IPReversePathFilter. */
  readonly rpDrops: Reading<Growth>
  /** Udp IgnoredMulti: multicast datagrams for a group of ours that no socket took. */
  readonly ignoredMulticast: Reading<Growth>
  /** Ip ReasmFails. */
  readonly reassemblyFailures: Reading<Growth>
  readonly firewall: Reading<readonly Ruleset[]>
  readonly sockets: Reading<readonly SocketFacts[]>
  /** Drop counters of those sockets, summed. */
  readonly drops: Reading<Growth>
  readonly rmemMax: Reading<number>
  readonly rmemDefault: Reading<number>
  /** Why some ports could not be bound, by port. */
  readonly bindFailures: Readonly<Record<string, string>>
  /** Whether the sync ports could be observed at all. */
  readonly observed: Reading<true>
  readonly traffic: TrafficReport
  readonly wire: Reading<WireFacts>
  readonly ipvs: Reading<IpvsFacts>
  readonly keepalived: Reading<KeepalivedFacts>
  readonly daemon: Reading<DaemonFacts> | undefined
}

/** Verdict of one check. */
export type Verdict = 'ok' | 'warning' | 'problem' | 'unchecked'

/** One line of the checklist. */
export interface Check {
  /** Stable: scripts and tests rely on it. */
  readonly code: string
  readonly verdict: Verdict
  /** What was seen. */
  readonly text: string
  /** What to do; for `unchecked` how to have it checked. */
  readonly advice?: string
}

/** Judges one family of facts. Pure. */
export type Judge = (facts: Facts) => readonly Check[]

/** Makes a check that passed. */
export function ok(code: string, text: string): Check {
  return { code, verdict: 'ok', text }
}

/** Makes a check that names a problem. */
export function problem(code: string, text: string, advice: string): Check {
  return { code, verdict: 'problem', text, advice }
}

/** Makes a check that names a risk. */
export function warning(code: string, text: string, advice: string): Check {
  return { code, verdict: 'warning', text, advice }
}

/** Makes a check that was not made. */
export function unchecked(code: string, reason: string): Check {
  return { code, verdict: 'unchecked', text: reason }
}
