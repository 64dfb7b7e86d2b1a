/**
 * Every variable of `net.ipv4.vs`: name, default, range, unit and meaning. Parsing, verification, printing and
 * `ipvs-sync sysctl` read this one table (`ip_vs_ctl.c`'s `vs_vars`; docs/protocol.md section 10).
 *
 * @module
 */

/** Settings of `net.ipv4.vs` as one value, replaced as a whole so that no reader sees half a change. */
export interface Sysctls {
  /** `sync_version`: version of the messages that a master sends, 0 or 1. A backup accepts both. */
  readonly syncVersion: number
  /** `sync_threshold`: threshold and period in packets; threshold ≥ 0, and below the period unless that is 0. */
  readonly syncThreshold: readonly [number, number]
  /** `sync_refresh_period` in seconds, ≥ 0; 0 is off. */
  readonly syncRefreshPeriod: number
  /** `sync_retries`, 0…3. */
  readonly syncRetries: number
  /** `sync_ports`: number of channels, a power of two; at most 64 are used. Read when a daemon starts. */
  readonly syncPorts: number
  /** `sync_qlen_max`: maximum number of messages queued in a channel, 0…2⁵³ − 1 (a larger number becomes that). */
  readonly syncQlenMax: number
  /** `sync_sock_size` in bytes: SO_SNDBUF of a master, SO_RCVBUF of a backup; 0 keeps the system's default. */
  readonly syncSockSize: number
  /** `sync_persist_mode`: not 0 announces a template instead of its connections. */
  readonly syncPersistMode: number
  /** `backup_only`: not 0 stops a backup from directing packets. */
  readonly backupOnly: number
  /** `sloppy_tcp`: not 0 accepts a TCP connection in mid-stream. */
  readonly sloppyTcp: number
  /** `sloppy_sctp`: not 0 accepts an SCTP association in mid-stream. */
  readonly sloppySctp: number
  /** `am_droprate`: `drop_packet` 3 drops one packet in this many. */
  readonly amDroprate: number
  /** `amemthresh` in pages: free memory below which the automatic modes turn on. */
  readonly amemthresh: number
  /** `drop_entry`, 0…3. */
  readonly dropEntry: number
  /** `drop_packet`, 0…3. */
  readonly dropPacket: number
  /** `secure_tcp`, 0…3. */
  readonly secureTcp: number
  /** `conn_reuse_mode`: a bit mask. */
  readonly connReuseMode: number
  /** `conntrack`: not 0 keeps connection tracking for directed connections. */
  readonly conntrack: number
  /** `cache_bypass`: not 0 forwards to the original destination when no cache server is available. */
  readonly cacheBypass: number
  /** `expire_nodest_conn`: not 0 expires connections whose real server was removed. */
  readonly expireNodestConn: number
  /** `expire_quiescent_template`: not 0 ignores templates whose real server has weight 0. */
  readonly expireQuiescentTemplate: number
  /** `nat_icmp_send`: not 0 sends ICMP errors from real servers behind NAT. */
  readonly natIcmpSend: number
  /** `ignore_tunneled`: not 0 ignores tunnelled packets. */
  readonly ignoreTunneled: number
  /** `schedule_icmp`: not 0 schedules ICMP packets. */
  readonly scheduleIcmp: number
  /** `snat_reroute`: not 0 routes replies again after their source was rewritten. */
  readonly snatReroute: number
  /** `pmtu_disc`: not 0 does path-MTU discovery. */
  readonly pmtuDisc: number
  /** `run_estimation`: not 0 keeps rate estimates. */
  readonly runEstimation: number
  /** `debug_level`; only with IP_VS_DEBUG. */
  readonly debugLevel: number
  /** `lblc_expiration` in seconds; only with that scheduler. */
  readonly lblcExpiration: number
  /** `lblcr_expiration` in seconds; only with that scheduler. */
  readonly lblcrExpiration: number
  /** `est_cpulist`: CPUs that compute rate estimates, as a CPU list; empty is the kernel's default. Since Linux 6.2. */
  readonly estCpulist: string
  /** `est_nice`: scheduling priority of the rate estimates, -20…19. Since Linux 6.2. */
  readonly estNice: number
  /** `conn_lfactor`: load factor of the connection table, -8…8. Since Linux 7.1. */
  readonly connLfactor: number
  /** `svc_lfactor`: load factor of the service table, -8…8. Since Linux 7.1. */
  readonly svcLfactor: number
  /** `conn_max`: maximum number of connections, 0…2³⁰. Since Linux 7.2. */
  readonly connMax: number
}

/** Name of a property of {@link Sysctls}. */
export type SysctlKey = keyof Sysctls

/** Value of any variable. */
export type SysctlValue = number | string | readonly [number, number]

/** One variable. */
export interface SysctlDefinition {
  /** Its property in {@link Sysctls}. */
  readonly key: SysctlKey
  /** Its file name in `/proc/sys/net/ipv4/vs/`. */
  readonly name: string
  /** Value on a machine where it was never set. */
  readonly default: SysctlValue
  /** Form of the value: one integer, two integers, or a list of CPUs. */
  readonly form: 'integer' | 'pair' | 'cpulist'
  /** Lowest accepted number. */
  readonly least: number
  /** Highest accepted number; for a number of ticks, at the slowest clock (HZ 100). */
  readonly most: number
  /** Whether the kernel keeps the seconds in clock ticks: its limits depend on HZ. */
  readonly inTicks: boolean
  /** What is accepted, in words. */
  readonly accepted: string
  /** `s`, `bytes`, `packets`…; empty for a number without a unit. */
  readonly unit: string
  /** What it does. */
  readonly meaning: string
  /** First Linux release that has it; undefined for all that this version supports. */
  readonly since?: string
}

const INT_MIN = -(2 ** 31)
const INT_MAX = 2 ** 31 - 1

/** Lowest HZ that a kernel is built with: its limits in seconds are the widest. */
export const SLOWEST_HZ = 100

/** Returns the most seconds that a kernel can keep in ticks of 1/HZ s in an int. */
export function tickSeconds(hz: number): number {
  return Math.floor(INT_MAX / hz)
}

/** The kernel uses free buffer pages / 32; this is the value where 1 GiB is free. */
const QLEN_MAX = 8192

type Properties = Pick<SysctlDefinition, 'key' | 'default' | 'meaning'> & Partial<SysctlDefinition>

const integer = (properties: Properties): SysctlDefinition => ({
  // The kernel's name: `sync_qlen_max` for `syncQlenMax`.
  name: properties.key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
  form: 'integer',
  least: INT_MIN,
  most: INT_MAX,
  inTicks: false,
  accepted: `an integer ${properties.least ?? INT_MIN}…${properties.most ?? INT_MAX}`,
  unit: '',
  ...properties
})

const toggle = (key: SysctlKey, value: 0 | 1, meaning: string): SysctlDefinition =>
  integer({ key, default: value, meaning, accepted: `an integer ${INT_MIN}…${INT_MAX} (0 is off, any other is on)` })

const mode = (key: SysctlKey, meaning: string): SysctlDefinition =>
  integer({
    key,
    default: 0,
    least: 0,
    most: 3,
    accepted: '0 (off), 1 (automatic, now off), 2 (automatic, now on) or 3 (always on)',
    meaning
  })

const TICK_LIMITS = [100, 250, 1000].map((hz) => `${tickSeconds(hz)} at HZ ${hz}`).join(', ')

const expiration = (key: SysctlKey, scheduler: string): SysctlDefinition =>
  integer({
    key,
    default: 86_400,
    least: -tickSeconds(SLOWEST_HZ),
    most: tickSeconds(SLOWEST_HZ),
    inTicks: true,
    accepted: `seconds as an integer, at most ${TICK_LIMITS}`,
    unit: 's',
    meaning: `time after which the scheduler ${scheduler} forgets an unused destination`
  })

const loadFactor = (key: SysctlKey, value: number, table: string): SysctlDefinition =>
  integer({
    key,
    default: value,
    least: -8,
    most: 8,
    meaning: `load factor at which the table of ${table} grows, as a power of two`,
    since: '7.1'
  })

/** Every variable, those of synchronisation first. */
export const SYSCTL_DEFINITIONS: readonly SysctlDefinition[] = Object.freeze([
  integer({
    key: 'syncVersion',
    default: 1,
    least: 0,
    most: 1,
    accepted: '0 or 1',
    meaning: 'version of the messages that a master sends; a backup accepts both'
  }),
  integer({
    key: 'syncThreshold',
    default: [3, 50] as const,
    form: 'pair',
    least: 0,
    accepted: 'two integers: threshold ≥ 0 and period ≥ 0, the threshold below the period unless the period is 0',
    unit: 'packets',
    meaning: 'announce a connection at this packet, and at the same packet of each further period'
  }),
  integer({
    key: 'syncRefreshPeriod',
    default: 0,
    least: 0,
    most: tickSeconds(SLOWEST_HZ),
    inTicks: true,
    accepted: `seconds as an integer ≥ 0 (0 is off), at most ${TICK_LIMITS}`,
    unit: 's',
    meaning: 'announce an unchanged connection again when its expiry time has moved by this much'
  }),
  integer({
    key: 'syncRetries',
    default: 0,
    least: 0,
    most: 3,
    accepted: '0, 1, 2 or 3',
    meaning: 'repetitions of an announcement, sync_refresh_period / 8 apart'
  }),
  integer({
    key: 'syncPorts',
    default: 1,
    least: 1,
    accepted: 'a power of two ≥ 1 (at most 64 are used)',
    unit: 'ports',
    meaning: 'number of channels, each with its own UDP port; read when a daemon starts'
  }),
  integer({
    key: 'syncQlenMax',
    default: QLEN_MAX,
    least: 0,
    most: Number.MAX_SAFE_INTEGER,
    accepted: 'an integer 0…18446744073709551615',
    unit: 'messages',
    meaning: 'maximum number of messages queued in a channel; more are lost (kernel default: free buffer pages / 32)'
  }),
  integer({
    key: 'syncSockSize',
    default: 0,
    unit: 'bytes',
    meaning: 'send buffer of a master, receive buffer of a backup; 0 keeps the system default'
  }),
  toggle(
    'syncPersistMode',
    0,
    'announce a template instead of its connections; backups need sloppy_tcp and sloppy_sctp'
  ),
  toggle('backupOnly', 0, 'do not direct packets while the backup daemon runs'),
  toggle('sloppyTcp', 0, 'accept TCP connections in mid-stream'),
  toggle('sloppySctp', 0, 'accept SCTP associations in mid-stream'),
  integer({
    key: 'amDroprate',
    default: 10,
    unit: 'packets',
    meaning: 'with drop_packet 3, drop one packet in this many'
  }),
  integer({
    key: 'amemthresh',
    default: 1024,
    unit: 'pages',
    meaning: 'free memory below which the automatic modes turn on'
  }),
  mode('dropEntry', 'when memory is short, examine 1/32 of the table each second and drop entries by rules'),
  mode('dropPacket', 'when memory is short, drop packets that would open a connection'),
  mode('secureTcp', 'when memory is short, use a stricter TCP transition table; timeouts do not change'),
  integer({
    key: 'connReuseMode',
    default: 1,
    accepted: `an integer ${INT_MIN}…${INT_MAX} as a bit mask (0 is off, any other is on)`,
    meaning: 'schedule a new connection from a reused client port again; bit 0x2 also in FIN_WAIT without replies'
  }),
  toggle('conntrack', 0, 'keep connection tracking for directed connections'),
  toggle('cacheBypass', 0, 'send to the original destination when no cache server is available'),
  toggle('expireNodestConn', 0, 'expire connections whose real server was removed'),
  toggle('expireQuiescentTemplate', 0, 'when a template is looked up, ignore it if its real server has weight 0'),
  toggle('natIcmpSend', 0, 'send ICMP errors for real servers behind NAT'),
  toggle('ignoreTunneled', 0, 'ignore tunnelled packets'),
  toggle('scheduleIcmp', 0, 'schedule ICMP packets'),
  toggle('snatReroute', 1, 'route replies again after their source was rewritten'),
  toggle('pmtuDisc', 1, 'do path-MTU discovery'),
  toggle('runEstimation', 1, 'compute rate estimates'),
  integer({ key: 'debugLevel', default: 0, meaning: 'detail of the kernel log; only with IP_VS_DEBUG' }),
  expiration('lblcExpiration', 'lblc'),
  expiration('lblcrExpiration', 'lblcr'),
  integer({
    key: 'estCpulist',
    default: '',
    form: 'cpulist',
    accepted: 'a list of CPUs such as 0-3,6 (empty is the default: the housekeeping CPUs)',
    meaning: 'CPUs that compute rate estimates',
    since: '6.2'
  }),
  integer({
    key: 'estNice',
    default: 0,
    least: -20,
    most: 19,
    meaning: 'scheduling priority of the rate estimates',
    since: '6.2'
  }),
  loadFactor('connLfactor', -4, 'connections'),
  loadFactor('svcLfactor', -3, 'services'),
  integer({
    key: 'connMax',
    default: 2 ** 30,
    least: 0,
    most: 2 ** 30,
    unit: 'connections',
    meaning: 'maximum number of connections of the network namespace',
    since: '7.2'
  })
])

/** Returns the definition of a variable by its file name, such as `sync_threshold`. */
export function findDefinition(name: string): SysctlDefinition | undefined {
  return BY_NAME.get(name)
}

const BY_NAME = new Map(SYSCTL_DEFINITIONS.map((definition) => [definition.name, definition]))
