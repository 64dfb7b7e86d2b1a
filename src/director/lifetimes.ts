/**
 * How connections begin and end: creation, control, timers (`ip_vs_conn_new`, `ip_vs_conn_expire`, `ip_vs_conn_del`).
 *
 * @module
 */
import type { Milliseconds, TimestampMs } from '../units.js'
import { FLAG } from '../wire/constants.js'
import type { Announcer } from './announcer.js'
import { ConnectionStore, TimerHeap, type Connection } from './connection.js'
import type { Server } from './services.js'

/** What an entry gets that controls others when its timer fires. */
const EXTENSION: Milliseconds = 60_000
/** Timeout of a connection before its first packet has moved it. */
const INITIAL_TIMEOUT: Milliseconds = 3000

/** Why an entry ended. */
export type EndCause = 'expired' | 'dropped' | 'replaced'

/** Called when an entry has left the table. */
export type OnEnd = (connection: Connection, cause: EndCause, now: TimestampMs) => void

/** The live entries of one director. */
export class Lifetimes {
  readonly store: ConnectionStore = new ConnectionStore()
  readonly timers: TimerHeap = new TimerHeap()
  /** Set where a master runs. */
  announcer: Announcer | undefined
  readonly #onEnd: OnEnd | undefined
  #created = 0

  constructor(onEnd: OnEnd | undefined) {
    this.#onEnd = onEnd
  }

  /** Adds an entry whose key, flags and timeout are set; its timer is the caller's to start. */
  add(connection: Connection, server: Server | undefined, now: TimestampMs): void {
    connection.id = ++this.#created
    connection.createdMs = now
    connection.endTimeMs = now
    connection.template = (connection.flags & FLAG.TEMPLATE) !== 0
    connection.onePacket = (connection.flags & FLAG.ONE_PACKET) !== 0
    if (connection.timeoutMs === 0) connection.timeoutMs = INITIAL_TIMEOUT
    if (server !== undefined) this.bind(connection, server)
    if (!connection.onePacket) this.store.add(connection)
  }

  /**
   * Adds an entry that synchronisation taught: it takes method and NOOUTPUT from its server, where that is known, and keeps
   * its own activity. Templates are always inactive.
   */
  adopt(entry: Connection, server: Server | undefined, now: TimestampMs): void {
    entry.flags |= FLAG.SYNC
    if (server !== undefined) {
      const kept = entry.flags & ~(FLAG.FORWARDING | FLAG.NOOUTPUT)
      entry.flags = kept | (server.flags & ~FLAG.INACTIVE) | ((kept & FLAG.TEMPLATE) === 0 ? 0 : FLAG.INACTIVE)
      entry.server = server
      server.bind((entry.flags & FLAG.TEMPLATE) !== 0, (entry.flags & FLAG.INACTIVE) !== 0)
    }
    this.add(entry, undefined, now)
  }

  /** Gives an entry its server, whose flags it takes. */
  bind(connection: Connection, server: Server): void {
    connection.server = server
    connection.flags |= server.flags
    server.bind(connection.template, (connection.flags & FLAG.INACTIVE) !== 0)
  }

  /** Puts an entry under a controller. */
  control(connection: Connection, controller: Connection): void {
    connection.controller = controller
    connection.underTemplate = controller.template || controller.underTemplate
    controller.controls++
  }

  /** Sets the client port of a connection that was opened without one (`ip_vs_conn_fill_cport`). */
  fillClientPort(connection: Connection, port: number): void {
    this.store.remove(connection)
    connection.clientPort = port
    connection.flags &= ~FLAG.NO_CPORT
    this.store.add(connection)
  }

  /** Lets an entry's timer run from now (`ip_vs_conn_put`). A one-packet connection ends at once. */
  restart(connection: Connection, now: TimestampMs): void {
    if (connection.onePacket) this.end(connection, 'expired', now)
    else this.timers.restart(connection, now + connection.timeoutMs)
  }

  /** Ends an entry at the next moment, unless its timer fires earlier (`ip_vs_conn_expire_now`). */
  expireNow(connection: Connection, now: TimestampMs): void {
    if (connection.heapIndex >= 0 && connection.deadlineMs > now) this.timers.restart(connection, now)
  }

  /** The timer of an entry has fired. */
  fire(connection: Connection, now: TimestampMs): void {
    if (connection.controls === 0) {
      this.end(connection, 'expired', now)
      return
    }
    connection.timeoutMs = EXTENSION
    this.announcer?.consider(connection, this.announcer.threshold, now)
    this.timers.restart(connection, now + EXTENSION)
  }

  /** Deletes an entry, and its controllers while they control nothing else and are not needed (`ip_vs_conn_del`). */
  drop(connection: Connection, now: TimestampMs): void {
    const { controller } = connection
    this.end(connection, 'dropped', now)
    if (controller === undefined || controller.controls > 0 || !controller.isHashed) return
    if (!controller.template || controller.state === 0) this.drop(controller, now)
  }

  /** Takes an entry out of everything. */
  end(connection: Connection, cause: EndCause, now: TimestampMs): void {
    const { controller, server } = connection
    this.timers.stop(connection)
    this.store.remove(connection)
    if (controller !== undefined) {
      controller.controls--
      connection.controller = undefined
    }
    if (server !== undefined) server.unbind(connection.template, (connection.flags & FLAG.INACTIVE) !== 0)
    this.#onEnd?.(connection, cause, now)
  }
}
