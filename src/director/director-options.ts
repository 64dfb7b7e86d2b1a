/**
 * Options of a director.
 *
 * @module
 */
import type { OptionNames } from '../demand.js'
import type { Timeouts } from './transitions.js'
import type { MasterEngine } from '../engine/master/master.js'
import type { OnAnnounce } from './announcer.js'
import type { OnEnd } from './lifetimes.js'
import type { ServiceOptions } from './services.js'
import type { Sysctls } from '../sysctl/settings.js'
import type { TimestampMs } from '../units.js'

/** How a director is made. */
export interface DirectorOptions {
  readonly services: readonly ServiceOptions[]
  /** Variables of `net.ipv4.vs`; those left out have their defaults. */
  readonly settings?: Partial<Sysctls>
  /** As `ipvsadm --set`. */
  readonly timeouts?: Timeouts
  /** Of what a kernel draws at random: drop_entry's buckets, the `twos` scheduler. 1 unless given. */
  readonly seed?: number
  /** A master daemon: it gets every announcement. Without it nothing is announced. */
  readonly master?: MasterEngine
  /** Whether a backup daemon runs: only then `backup_only` acts. */
  readonly hasBackup?: boolean
  /** Addresses of the director itself. */
  readonly local?: readonly string[]
  /** Free pages of the machine, at a time: the automatic defences read it. Infinity unless given. */
  readonly availablePages?: number | ((now: TimestampMs) => number)
  /** `conn_tab_bits`: 12 unless given. drop_entry's scan depends on it. */
  readonly tableBits?: number
  /** MTU of the routes to the real servers; 1500 unless given. Read by `pmtu_disc`. */
  readonly mtu?: number
  /** Whether the FTP helper (`ip_vs_ftp`) is loaded. */
  readonly ftp?: boolean
  /** A moment at which the once-a-second clock ticks. 0 unless given. */
  readonly clockPhaseMs?: TimestampMs
  /** Called for each announcement, templates included. */
  readonly onAnnounce?: OnAnnounce
  /** Called when an entry has left the table. */
  readonly onEnd?: OnEnd
}

/** Names of the options. */
export const DIRECTOR_OPTIONS: OptionNames<DirectorOptions> = {
  services: true,
  settings: true,
  timeouts: true,
  seed: true,
  master: true,
  hasBackup: true,
  local: true,
  availablePages: true,
  tableBits: true,
  mtu: true,
  ftp: true,
  clockPhaseMs: true,
  onAnnounce: true,
  onEnd: true
}
