/**
 * Announcing connections to backups: the decision for a connection and for what controls it.
 *
 * @module
 */
import { createPolicy, decide, DECISION, FIRST_SEND, REASONS, type Policy } from '../engine/decide-sync.js'
import { presentSequence } from '../engine/announced-row.js'
import type { MasterAnswer } from '../engine/master/counters.js'
import type { MasterEngine } from '../engine/master/master.js'
import type { Sysctls } from '../sysctl/settings.js'
import type { TimestampMs } from '../units.js'
import { FLAG } from '../wire/constants.js'
import { createRows, PRESENT, ROW, type Rows } from '../wire/rows.js'
import { WORDS, type Connection } from './connection.js'

const ENGINE_NAME = Uint8Array.from('sip', (letter) => letter.charCodeAt(0))

/** Called for each announcement. */
export type OnAnnounce = (connection: Connection, now: TimestampMs) => void

/** Decides for a director's connections, and hands those that are due to its master. */
export class Announcer {
  /** The decisions of the last {@link Announcer.consider}: of the connection and of its controller. */
  decision: MasterAnswer | undefined
  controllerDecision: MasterAnswer | undefined
  readonly #master: MasterEngine
  readonly #onAnnounce: OnAnnounce | undefined
  readonly #rows: Rows = createRows(1)
  #policy: Policy
  #version: number

  constructor(master: MasterEngine, settings: Sysctls, onAnnounce: OnAnnounce | undefined) {
    this.#master = master
    this.#onAnnounce = onAnnounce
    this.#policy = createPolicy(settings)
    this.#version = settings.syncVersion
  }

  /** The first number of `sync_threshold`. */
  get threshold(): number {
    return this.#policy.threshold
  }

  configure(settings: Sysctls): void {
    this.#policy = createPolicy(settings)
    this.#version = settings.syncVersion
    this.#master.configure(settings)
  }

  /** Considers a connection, then its controllers upwards (`ip_vs_sync_conn`). */
  consider(connection: Connection, packets: number, now: TimestampMs): void {
    const first = this.#decide(connection, packets, now)
    this.decision = first
    this.controllerDecision = undefined
    let answer = first
    let at = connection.controller
    // Version 0 continues only from what was sent; version 1 always, unless an engine's template lacks its server.
    while (
      at !== undefined &&
      answer !== 'no-real-server' &&
      (this.#version === 1 || (!connection.onePacket && SENT.has(answer)))
    ) {
      const count = at.template ? ++at.packets : this.#policy.threshold
      answer = this.#decide(at, count, now)
      this.controllerDecision ??= answer
      at = at.controller
    }
  }

  #decide(connection: Connection, packets: number, now: TimestampMs): MasterAnswer {
    if (this.#version === 0 && connection.family === 6) return 'ipv6-in-version-0'
    const code = decide(connection, packets, now, this.#policy)
    if (code < FIRST_SEND) return REASONS[code]!
    connection.retriesUsed = code === DECISION.RETRY ? connection.retriesUsed + 1 : 0
    connection.lastSyncedState = connection.state
    connection.endTimeMs = now + connection.timeoutMs
    if (connection.engineData !== undefined && connection.server === undefined) return 'no-real-server'
    const { words: row, engines } = this.#rows
    const { words } = connection
    row[ROW.FAMILY] = connection.family
    row[ROW.PROTOCOL] = connection.protocol
    row[ROW.FLAGS] = connection.flags & ~(FLAG.HASHED | FLAG.ONE_PACKET)
    row[ROW.STATE] = connection.state
    row[ROW.CLIENT_PORT] = connection.clientPort
    row[ROW.VIRTUAL_PORT] = connection.virtualPort
    row[ROW.DESTINATION_PORT] = connection.destinationPort
    row[ROW.FWMARK] = connection.fwmark
    row[ROW.TIMEOUT] = Math.floor(connection.timeoutMs / 1000)
    row[ROW.PRESENT] = 0
    if (words === undefined) {
      row[ROW.CLIENT] = connection.client
      row[ROW.VIRTUAL] = connection.virtual
      row[ROW.DESTINATION] = connection.destination
    } else {
      for (let i = 0; i < 4; i++) {
        row[ROW.CLIENT + i] = words[WORDS.CLIENT + i]!
        row[ROW.VIRTUAL + i] = words[WORDS.VIRTUAL + i]!
        row[ROW.DESTINATION + i] = words[WORDS.DESTINATION + i]!
      }
    }
    if (connection.engineData !== undefined) {
      row[ROW.PRESENT] = PRESENT.ENGINE
      engines[0] = { name: ENGINE_NAME, data: connection.engineData }
    }
    presentSequence(this.#rows.words, 0)
    this.#master.announceRow(this.#rows, 0, now)
    this.#onAnnounce?.(connection, now)
    return REASONS[code]!
  }
}

/** Decisions that put a record into a message. */
const SENT: ReadonlySet<MasterAnswer> = new Set<MasterAnswer>(REASONS.slice(FIRST_SEND))
