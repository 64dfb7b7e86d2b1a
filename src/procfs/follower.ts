/**
 * What to announce of a kernel's table that is looked at again and again: it shows states, not packets, so the rules of
 * docs/protocol.md section 8 that count packets cannot be followed.
 *
 * @module
 */

import type { Milliseconds, Seconds, TimestampMs } from '../units.js'
import type { Connection } from '../wire/connection.js'

/** Why a connection is announced. */
export type FollowReason = 'new' | 'state' | 'refresh'

interface Known {
  state: string
  destination: string
  /** undefined until it was in a state that is announced. */
  announcedAt: TimestampMs | undefined
  look: number
}

/** States in which a master announces (`ip_vs_sync_conn_needed`); other protocols, and templates, have no bad state. */
const SENDABLE: Readonly<Record<string, readonly string[]>> = {
  TCP: ['ESTABLISHED', 'FIN_WAIT', 'CLOSE', 'CLOSE_WAIT', 'TIME_WAIT'],
  SCTP: ['ESTABLISHED', 'S-SENT', 'S-RECEIVED', 'S-ACK-SENT', 'CLOSED']
}

/** Compares each look at the table with the one before. No I/O: a look is begun, fed line by line, and ended. */
export class KernelFollower {
  /** `sync_refresh_period`: an unchanged connection is announced again after so long; 0 is never. May be changed. */
  refreshPeriod: Seconds
  readonly #known = new Map<string, Known>()
  #look = 0

  /** @param refreshPeriod - Seconds. */
  constructor(refreshPeriod: Seconds) {
    this.refreshPeriod = refreshPeriod
  }

  /** Connections that the last look showed. */
  get size(): number {
    return this.#known.size
  }

  /** Begins a look at the whole table. */
  begin(): void {
    this.#look++
  }

  /**
   * Takes one connection of the table.
   *
   * @param connection - Completed: see `Completer`.
   * @param now - Never goes back.
   * @returns Why it is to be announced; undefined if it is not.
   */
  see(connection: Connection, now: TimestampMs): FollowReason | undefined {
    const key = keyOf(connection)
    const destination = `${connection.destination.address} ${connection.destination.port}`
    const known = this.#known.get(key)
    const fresh = known?.destination === destination ? known : this.#remember(key, connection.state, destination)
    const reason = isSendable(connection) ? this.#reasonFor(fresh, connection.state, now) : undefined
    fresh.look = this.#look
    fresh.state = connection.state
    if (reason !== undefined) fresh.announcedAt = now
    return reason
  }

  /** Ends a look: what it did not show is forgotten. */
  end(): void {
    for (const [key, { look }] of this.#known) if (look !== this.#look) this.#known.delete(key)
  }

  #remember(key: string, state: string, destination: string): Known {
    const known: Known = { state, destination, announcedAt: undefined, look: this.#look }
    this.#known.set(key, known)
    return known
  }

  #reasonFor({ state, announcedAt }: Known, newState: string, now: TimestampMs): FollowReason | undefined {
    if (announcedAt === undefined) return 'new'
    if (state !== newState) return 'state'
    const period: Milliseconds = this.refreshPeriod * 1000
    return period > 0 && now - announcedAt >= period ? 'refresh' : undefined
  }
}

function isSendable({ protocol, flags, state }: Connection): boolean {
  const states = SENDABLE[protocol]
  return states === undefined || flags.includes('TEMPLATE') || states.includes(state)
}

function keyOf({ protocol, client, virtual, flags, engine }: Connection): string {
  const kind = flags.includes('TEMPLATE') ? 'T' : ''
  return `${kind}${protocol} ${client.address} ${client.port} ${virtual.address} ${virtual.port} ${engine?.data ?? ''}`
}
