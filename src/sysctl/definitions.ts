/**
 * What each variable of `net.ipv4.vs` is: name, default, what is accepted, unit, meaning. One table for parsing,
 * verifying, printing and `ipvs-sync sysctl` (`ip_vs_ctl.c`'s `vs_vars`; docs/protocol.md section 10).
 *
 * @module
 */

import type { SysctlKey } from './sysctls.js'

/** One variable. */
export interface SysctlDefinition {
  /** Its property in `Sysctls`. */
  readonly key: SysctlKey
  /** As an administrator types it. */
  readonly name: string
  /** Its value on a machine where nobody set it; one number, or the two of `sync_threshold`. */
  readonly default: number | readonly [number, number]
  /** Lowest number that is accepted. */
  readonly least: number
  /** Highest number that is accepted. */
  readonly most: number
  /** What is accepted, in words. */
  readonly accepted: string
  /** `s`, `bytes`, `packets`…; empty where it has none. */
  readonly unit: string
  /** What it does here. */
  readonly meaning: string
}

const INT_MIN = -(2 ** 31)
const INT_MAX = 2 ** 31 - 1
/**
 * A kernel keeps these in ticks of 1/HZ s, in an int. HZ is 100, 250 or 1000 by its build; what the slowest clock takes
 * is taken here.
 */
const MAX_TICK_SECONDS = Math.floor(INT_MAX / 100)
/** The kernel takes free buffer pages / 32; this is what it takes where 1 GiB is free. */
const QLEN_MAX = 8192

type Basics = Pick<SysctlDefinition, 'key' | 'default' | 'meaning'> & Partial<SysctlDefinition>

const integer = (given: Basics): SysctlDefinition => ({
  name: nameOf(given.key),
  least: INT_MIN,
  most: INT_MAX,
  accepted: `an integer, ${INT_MIN} to ${INT_MAX}`,
  unit: '',
  ...given
})

const toggle = (key: SysctlKey, value: 0 | 1, meaning: string): SysctlDefinition =>
  integer({ key, default: value, meaning, accepted: `an integer, ${INT_MIN} to ${INT_MAX}; 0 is off, any other on` })

const mode = (key: SysctlKey, meaning: string): SysctlDefinition =>
  integer({
    key,
    default: 0,
    least: 0,
    most: 3,
    accepted: '0 (off), 1 (automatic, now off), 2 (automatic, now on) or 3 (always)',
    meaning
  })

const expiration = (key: SysctlKey, scheduler: string): SysctlDefinition =>
  integer({
    key,
    default: 86_400,
    least: -MAX_TICK_SECONDS,
    most: MAX_TICK_SECONDS,
    accepted: `whole seconds, up to ${MAX_TICK_SECONDS}`,
    unit: 's',
    meaning: `how long ${scheduler} remembers a destination that nobody asks for`
  })

/** Every variable, those of synchronisation first. */
export const SYSCTL_DEFINITIONS: readonly SysctlDefinition[] = Object.freeze([
  integer({
    key: 'syncVersion',
    default: 1,
    least: 0,
    most: 1,
    accepted: '0 or 1',
    meaning: 'version of the messages that a master sends; a backup takes both'
  }),
  integer({
    key: 'syncThreshold',
    default: [3, 50] as const,
    least: 0,
    accepted: 'two integers: threshold ≥ 0 and period ≥ 0, the threshold below the period unless that is 0',
    unit: 'packets',
    meaning: 'announce a connection at this packet, and at the same packet of each further period'
  }),
  integer({
    key: 'syncRefreshPeriod',
    default: 0,
    least: 0,
    most: MAX_TICK_SECONDS,
    accepted: `whole seconds, 0 to ${MAX_TICK_SECONDS}; 0 is off`,
    unit: 's',
    meaning: 'announce an unchanged connection again when its end has moved by this much'
  }),
  integer({
    key: 'syncRetries',
    default: 0,
    least: 0,
    most: 3,
    accepted: '0, 1, 2 or 3',
    meaning: 'repeats of an announcement, sync_refresh_period / 8 apart'
  }),
  integer({
    key: 'syncPorts',
    default: 1,
    least: 1,
    accepted: 'a power of two, 1 or more; 64 at most are used',
    unit: 'ports',
    meaning: 'channels, each a UDP port of its own; read when a daemon starts'
  }),
  integer({
    key: 'syncQlenMax',
    default: QLEN_MAX,
    least: 0,
    most: Number.MAX_SAFE_INTEGER,
    accepted: 'an integer, 0 to 18446744073709551615',
    unit: 'messages',
    meaning: 'most messages that wait in a channel; further ones are lost (kernel default: free buffer pages / 32)'
  }),
  integer({
    key: 'syncSockSize',
    default: 0,
    unit: 'bytes',
    meaning: 'send buffer of a master, receive buffer of a backup; 0 keeps what the system gives'
  }),
  toggle('syncPersistMode', 0, 'leave the connections of a template to it; backups need sloppy_tcp and sloppy_sctp'),
  toggle('backupOnly', 0, 'no directing while the backup daemon runs'),
  toggle('sloppyTcp', 0, 'take up TCP connections in mid-stream'),
  toggle('sloppySctp', 0, 'take up SCTP associations in mid-stream'),
  integer({
    key: 'amDroprate',
    default: 10,
    unit: 'packets',
    meaning: 'with drop_packet 3, drop one packet in so many'
  }),
  integer({
    key: 'amemthresh',
    default: 1024,
    unit: 'pages',
    meaning: 'free memory below which the automatic modes defend'
  }),
  mode('dropEntry', 'drop connections at random when memory is short'),
  mode('dropPacket', 'drop packets when memory is short'),
  mode('secureTcp', 'use shorter TCP timeouts when memory is short'),
  integer({
    key: 'connReuseMode',
    default: 1,
    accepted: `an integer, ${INT_MIN} to ${INT_MAX}, taken as a bit mask`,
    meaning: 'what a new connection from a used client port does: 1 schedule it anew, 2 also while closing'
  }),
  toggle('conntrack', 0, 'keep connection tracking for directed connections'),
  toggle('cacheBypass', 0, 'send to the original destination when no cache server is left'),
  toggle('expireNodestConn', 0, 'end connections whose real server was removed'),
  toggle('expireQuiescentTemplate', 0, 'end templates whose real server has weight 0'),
  toggle('natIcmpSend', 0, 'send ICMP errors for real servers behind NAT'),
  toggle('ignoreTunneled', 0, 'leave tunnelled packets alone'),
  toggle('scheduleIcmp', 0, 'schedule ICMP packets'),
  toggle('snatReroute', 1, 'route replies again after their source was rewritten'),
  toggle('pmtuDisc', 1, 'do path-MTU discovery'),
  toggle('runEstimation', 1, 'keep rate estimates'),
  integer({ key: 'debugLevel', default: 0, meaning: 'how much the kernel logs; only with IP_VS_DEBUG' }),
  expiration('lblcExpiration', 'lblc'),
  expiration('lblcrExpiration', 'lblcr')
])

/** A definition by the variable's name, in the administrator's form: `sync_threshold`. */
export function findDefinition(name: string): SysctlDefinition | undefined {
  return BY_NAME.get(name)
}

/** `syncQlenMax` as `sync_qlen_max`. */
function nameOf(key: SysctlKey): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

const BY_NAME = new Map(SYSCTL_DEFINITIONS.map((definition) => [definition.name, definition]))
