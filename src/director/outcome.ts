/**
 * What the director did with a packet, and why.
 *
 * @module
 */
import type { MasterAnswer } from '../engine/master/counters.js'
import type { Connection } from './connection.js'

/**
 * What became of the packet itself: `forward` to the other side · `accept` by the local stack, untouched by IPVS ·
 * `drop` · `reject` with an ICMP error.
 */
export type Verdict = 'forward' | 'accept' | 'drop' | 'reject'

/** What a reason means: for people, and the variable that would change it. */
export interface ReasonText {
  readonly text: string
  /** The variable of `net.ipv4.vs` that decides it. */
  readonly sysctl?: string
}

/** Every reason by its code; codes are stable. */
export const REASONS = {
  existing: { text: 'belongs to a connection' },
  created: { text: 'opened a connection' },
  bypass: { text: 'no server available: sent to the original destination', sysctl: 'cache_bypass' },
  reply: { text: 'reply of the real server' },
  'icmp-error': { text: 'ICMP error about a connection' },
  'other-protocol': { text: 'protocol that IPVS does not balance' },
  tunneled: { text: 'protocol that IPVS does not balance; later hooks ignore it too', sysctl: 'ignore_tunneled' },
  'later-fragment': { text: 'not the first fragment' },
  truncated: { text: 'transport header incomplete' },
  'backup-only': { text: 'no directing while the backup daemon runs', sysctl: 'backup_only' },
  'tcp-not-opening': { text: 'no connection, and not a SYN', sysctl: 'sloppy_tcp' },
  'tcp-reset': { text: 'no connection, and RST opens none' },
  'sctp-not-opening': { text: 'no connection, and not an INIT', sysctl: 'sloppy_sctp' },
  'sctp-abort': { text: 'no connection, and ABORT opens none' },
  'not-opening': { text: 'no connection, and the protocol opens none' },
  'no-service': { text: 'no virtual service' },
  'drop-packet': { text: 'dropped by the packet defence', sysctl: 'drop_packet' },
  'ftp-data-port': { text: 'source port 20 is not scheduled' },
  'local-reply': { text: 'reply of a local server' },
  'no-call-id': { text: 'no Call-ID for the sip engine' },
  'no-server': { text: 'no server available' },
  'ftp-no-server': { text: 'no server available for FTP data: left to the local stack' },
  'conn-max': { text: 'the connection limit is reached', sysctl: 'conn_max' },
  'server-removed': { text: 'its real server was removed', sysctl: 'expire_nodest_conn' },
  'old-conntrack': {
    text: 'netfilter still tracks the old connection: the retransmission opens a new one',
    sysctl: 'conntrack'
  },
  'nat-icmp': { text: 'packet of a NAT server without a connection: port unreachable', sysctl: 'nat_icmp_send' },
  'icmp-not-error': { text: 'not an ICMP error' },
  'icmp-unknown': { text: 'ICMP error about no connection', sysctl: 'schedule_icmp' },
  'icmp-path-mtu': { text: 'too big for the tunnel: fragmentation needed', sysctl: 'pmtu_disc' }
} as const satisfies Readonly<Record<string, ReasonText>>

/** A key of {@link REASONS}. */
export type Reason = keyof typeof REASONS

/** The text of a reason. */
export function reasonText(reason: Reason): ReasonText {
  return REASONS[reason]
}

/** Why an existing connection made room for a new one. */
export type Rescheduled = 'port-reuse' | 'weight-zero' | 'server-removed'

/** What happened to one packet. The director reuses the object: copy what you keep. */
export interface Outcome {
  readonly verdict: Verdict
  readonly reason: Reason
  /** `in` from the client, `out` from the real server; undefined where IPVS had no part in it. */
  readonly direction: 'in' | 'out' | undefined
  readonly connection: Connection | undefined
  /** Whether the packet made the connection. */
  readonly isNew: boolean
  /** Why an old connection of this key ended first. */
  readonly rescheduled: Rescheduled | undefined
  /** State numbers; equal where nothing changed. */
  readonly stateBefore: number
  readonly stateAfter: number
  /** The decision to announce the connection; undefined where none was made. */
  readonly decision: MasterAnswer | undefined
  /** The decision about its controller (a template), which follows. */
  readonly controllerDecision: MasterAnswer | undefined
}

/** An outcome while it is made. */
export type OpenOutcome = { -readonly [Key in keyof Outcome]: Outcome[Key] }

/** An outcome of nothing. */
export function blankOutcome(): OpenOutcome {
  return {
    verdict: 'accept',
    reason: 'no-service',
    direction: undefined,
    connection: undefined,
    isNew: false,
    rescheduled: undefined,
    stateBefore: 0,
    stateAfter: 0,
    decision: undefined,
    controllerDecision: undefined
  }
}
