/**
 * The defences against too many connections: drop_packet, drop_entry, secure_tcp.
 *
 * @module
 */
import type { Sysctls } from '../sysctl/settings.js'
import type { TimestampMs } from '../units.js'
import { PROTOCOL } from '../wire/protocols.js'
import type { Connection } from './connection.js'
import { SCTP_STATE, TCP_STATE } from './transitions.js'

/** Mode of a defence: 0 off, 1 automatic (now off), 2 automatic (now on), 3 on. */
type Mode = number

/** An idle connection is younger than this when its timer has run for less. */
const IDLE_MS = 60_000
/** Connections with more packets than this are never dropped by rule R. */
const MAX_PACKETS = 8

/** The three defences of one director. */
export class Defences {
  dropEntry: Mode = 0
  dropPacket: Mode = 0
  secureTcp: Mode = 0
  #amemthresh = 0
  #droprate = 0
  /** Packets from one drop to the next; 0 drops none. */
  #rate = 0
  #counter = 0
  /** Rule R: how many candidates with k packets remain until one is dropped. */
  readonly #todrop = new Int32Array(MAX_PACKETS + 1)

  /** Whether the clock matters: some mode is not off. */
  get isActive(): boolean {
    return (this.dropEntry | this.dropPacket | this.secureTcp) !== 0
  }

  /** Whether new TCP states come from the secure table. */
  get isSecure(): boolean {
    return this.secureTcp >= 2
  }

  /** Takes settings; a mode that was changed is brought up to date at once, as a write to /proc does. */
  configure(settings: Sysctls, availablePages: number): void {
    this.#amemthresh = settings.amemthresh
    this.#droprate = settings.amDroprate
    this.dropEntry = settings.dropEntry
    this.dropPacket = settings.dropPacket
    this.secureTcp = settings.secureTcp
    this.update(availablePages)
  }

  /** Brings the modes up to date (`update_defense_level`). */
  update(availablePages: number): void {
    const threshold = Math.max(this.#amemthresh, 0)
    const isShort = availablePages < threshold
    this.dropEntry = nextMode(this.dropEntry, isShort)
    this.secureTcp = nextMode(this.secureTcp, isShort)
    const before = this.dropPacket
    this.dropPacket = nextMode(before, isShort)
    if (before === 3) this.#rate = this.#droprate
    else if (this.dropPacket === 2) {
      this.#rate = Math.floor(threshold / (threshold - availablePages))
      this.#counter = this.#rate
    } else this.#rate = 0
  }

  /** Whether this packet, which would open a connection, is dropped (`ip_vs_todrop`). */
  dropsPacket(): boolean {
    if (this.#rate === 0) return false
    if (--this.#counter > 0) return false
    this.#counter = this.#rate
    return true
  }

  /** Whether the scan drops an entry that it met (`ip_vs_random_dropentry`). */
  dropsEntry(connection: Connection, now: TimestampMs): boolean {
    if (connection.controls > 0) return false
    const { protocol, state } = connection
    if (connection.template) {
      if (connection.ofOnePacketService) return this.#rule(connection, now)
      return state === 0
    }
    if (protocol === PROTOCOL.TCP) {
      if (state === TCP_STATE.SYN_RECV || state === TCP_STATE.SYNACK) return true
      return state === TCP_STATE.ESTABLISHED && this.#rule(connection, now)
    }
    if (protocol === PROTOCOL.SCTP) {
      if (state === SCTP_STATE.INIT1 || state === SCTP_STATE.INIT) return true
      return state === SCTP_STATE.ESTABLISHED && this.#rule(connection, now)
    }
    return this.#rule(connection, now)
  }

  /** Rule R: idle for a minute, with few packets, and its turn (`todrop_entry`). */
  #rule({ deadlineMs, timeoutMs, packets }: Connection, now: TimestampMs): boolean {
    if (timeoutMs - (deadlineMs - now) < IDLE_MS) return false
    if (packets === 0 || packets > MAX_PACKETS) return false
    if (--this.#todrop[packets]! > 0) return false
    this.#todrop[packets] = packets
    return true
  }
}

function nextMode(mode: Mode, isShort: boolean): Mode {
  if (mode === 1 && isShort) return 2
  return mode === 2 && !isShort ? 1 : mode
}

/**
 * Which of the table's buckets one scan visits: a thirty-second of them, each drawn at random.
 *
 * @param bits - `conn_tab_bits`.
 */
export function drawBuckets(bits: number, random: () => number): Set<number> {
  const size = 2 ** bits
  return new Set(Array.from({ length: size / 32 }, () => Math.floor(random() * size)))
}
