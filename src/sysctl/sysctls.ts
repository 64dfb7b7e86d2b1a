/**
 * `net.ipv4.vs` as one typed, frozen value: replaced whole, so that nobody ever sees half a change.
 *
 * @module
 */

/** Every variable of `/proc/sys/net/ipv4/vs/` (docs/protocol.md section 10). All are integers. */
export interface Sysctls {
  /** `sync_version`: version of the messages that a master sends, 0 or 1. A backup takes both. */
  readonly syncVersion: number
  /** `sync_threshold`: threshold and period in packets; threshold ≥ 0, and below the period unless that is 0. */
  readonly syncThreshold: readonly [number, number]
  /** `sync_refresh_period` in seconds, ≥ 0; 0 is off. */
  readonly syncRefreshPeriod: number
  /** `sync_retries`, 0…3. */
  readonly syncRetries: number
  /** `sync_ports`: channels, a power of two; 64 at most are used. Read when a daemon starts. */
  readonly syncPorts: number
  /** `sync_qlen_max`: the most messages that wait in one channel, 0…2⁵³ − 1 (a larger number is cut to that). */
  readonly syncQlenMax: number
  /** `sync_sock_size` in bytes: SO_SNDBUF of a master, SO_RCVBUF of a backup; 0 keeps the system's. */
  readonly syncSockSize: number
  /** `sync_persist_mode`: not 0 leaves the connections of a template to that template. */
  readonly syncPersistMode: number
  /** `backup_only`: not 0 keeps a backup from directing. */
  readonly backupOnly: number
  /** `sloppy_tcp`: not 0 takes up a TCP connection in mid-stream. */
  readonly sloppyTcp: number
  /** `sloppy_sctp`: not 0 takes up an SCTP association in mid-stream. */
  readonly sloppySctp: number
  /** `am_droprate`: `drop_packet` 3 drops one packet in so many. */
  readonly amDroprate: number
  /** `amemthresh` in pages: below it the automatic modes defend. */
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
  /** `cache_bypass`: not 0 forwards to the original destination when no cache server is left. */
  readonly cacheBypass: number
  /** `expire_nodest_conn`: not 0 ends connections whose real server is gone. */
  readonly expireNodestConn: number
  /** `expire_quiescent_template`: not 0 ends templates whose real server has weight 0. */
  readonly expireQuiescentTemplate: number
  /** `nat_icmp_send`: not 0 sends ICMP errors from real servers behind NAT. */
  readonly natIcmpSend: number
  /** `ignore_tunneled`: not 0 leaves tunnelled packets alone. */
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
}

/** A property of {@link Sysctls}. */
export type SysctlKey = keyof Sysctls
