/**
 * Numbers of the protocol that both readings share: docs/protocol.md sections 1 to 5.
 *
 * @module
 */

/** UDP port of the first channel (`IP_VS_SYNC_PORT`). */
export const SYNC_PORT = 8848
/** The group that daemons join unless told otherwise (`IP_VS_SYNC_GROUP`). */
export const SYNC_GROUP = '224.0.0.81'
/** No message holds more connections: its count is one byte. */
export const MAX_CONNECTIONS = 255
/** Channels that `sync_ports` may give (`IP_VS_SYNC_PORTS` are limited to it). */
export const MAX_CHANNELS = 64
/** Largest UDP payload over IPv4, in bytes; 20 less over IPv6. */
export const MAX_PAYLOAD = 65507
/** A kernel's `sync_maxlen` for a master: Ethernet's 1500 less the IPv4 and UDP headers, in bytes. */
export const DEFAULT_MAXLEN_IPV4 = 1472
/** The same less the IPv6 and UDP headers. */
export const DEFAULT_MAXLEN_IPV6 = 1452

/** Bits of a connection's flags (`IP_VS_CONN_F_*`). */
export const FLAG = {
  FORWARDING: 0x0007,
  SYNC: 0x0020,
  HASHED: 0x0040,
  NOOUTPUT: 0x0080,
  INACTIVE: 0x0100,
  OUT_SEQ: 0x0200,
  IN_SEQ: 0x0400,
  SEQUENCE: 0x0600,
  NO_CPORT: 0x0800,
  TEMPLATE: 0x1000,
  ONE_PACKET: 0x2000,
  NFCT: 0x10000
} as const

/** What a backup takes from the wire of a new connection (`IP_VS_CONN_F_BACKUP_MASK`). */
export const BACKUP_MASK =
  FLAG.FORWARDING | FLAG.NOOUTPUT | FLAG.INACTIVE | FLAG.SEQUENCE | FLAG.NO_CPORT | FLAG.TEMPLATE
/** What a backup takes from the wire for a connection that it has (`IP_VS_CONN_F_BACKUP_UPD_MASK`). */
export const BACKUP_UPDATE_MASK = FLAG.INACTIVE | FLAG.SEQUENCE

/** Types of version 1 parameters (`IPVS_OPT_*`). */
export const PARAMETER = {
  /** Sequence data, 24 bytes. */
  SEQUENCE: 1,
  /** Persistence-engine data, 1…255 bytes. */
  ENGINE_DATA: 2,
  /** Persistence-engine name, 1…16 bytes. */
  ENGINE_NAME: 3,
  /** Set in the type of a parameter that a receiver may pass over. */
  OPTIONAL: 0x40
} as const

/** Longest persistence-engine name on the wire, in bytes. */
export const MAX_ENGINE_NAME = 16
/** Longest persistence-engine data on the wire, in bytes. */
export const MAX_ENGINE_DATA = 255
/** Engines that every kernel with `ip_vs_pe_sip` knows. */
export const KNOWN_ENGINES: readonly string[] = ['sip']
/** Length of sequence data, in bytes. */
export const SEQUENCE_BYTES = 24

/**
 * Generations of receivers, newest first (docs/protocol.md section 4).
 *
 * - `strict` checks flags and template states
 * - `middle` checks template states, not flags
 * - `legacy` checks neither
 */
export const FLAG_CHECKS = ['strict', 'middle', 'legacy'] as const

/** Generation of a receiver: which flags and template states it refuses. */
export type FlagChecks = (typeof FLAG_CHECKS)[number]

/** Checks of a generation, as bits of the number that readers pass to their checks. */
export const CHECK = { FLAGS: 1, TEMPLATE_STATE: 2 } as const

/** Returns the checks of a generation, as bits of {@link CHECK}. */
export function checksOf(flagChecks: FlagChecks = 'strict'): number {
  if (flagChecks === 'legacy') return 0
  return flagChecks === 'middle' ? CHECK.TEMPLATE_STATE : CHECK.FLAGS | CHECK.TEMPLATE_STATE
}
