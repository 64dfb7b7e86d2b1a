/**
 * A master as a state machine without I/O: connections and time go in, messages and events come out.
 *
 * @module
 */

import { demandObject } from '../../demand.js'
import { IpvsSyncError } from '../../errors.js'
import { ConnectionTable } from '../../table/connection-table.js'
import type { EntryDescription } from '../../table/entry-fields.js'
import type { Milliseconds, TimestampMs } from '../../units.js'
import type { Connection } from '../../wire/connection.js'
import { FLAG } from '../../wire/constants.js'
import { MessageWriter } from '../../wire/message-writer.js'
import { stateTimeout } from '../../wire/protocols.js'
import { createRows, PRESENT, ROW, ROW_WORDS, type Rows } from '../../wire/rows.js'
import { presentSequence } from '../announced-row.js'
import { DECISION, decide, FIRST_SEND, type SyncSubject } from '../decide-sync.js'
import type { Datagram, Engine } from '../engine.js'
import { EventQueue, listenerNotice, type EngineEvent } from '../events.js'
import { safeMessageRate } from '../full-table/pacer.js'
import { ChangeReader, type ConnectionChange } from './connection-change.js'
import {
  ANSWER,
  ANSWERS,
  isSent,
  summarize,
  type AnswerCode,
  type MasterAnswer,
  type MasterCounters
} from './counters.js'
import {
  changePlan,
  planOf,
  type MasterEngineOptions,
  type MasterPlan,
  type MasterSettings,
  type PacketDetails
} from './options.js'
import { Outbox } from './outbox.js'
import { TableAnnouncement } from './table-announcement.js'

/** Extra time of an entry that controls others when its own timer fires (`ip_vs_conn_expire`). */
const EXTENSION: Milliseconds = 60_000
/** Expired entries handled in one call of handleTimeout. */
const EXPIRY_BUDGET = 500
/** Smallest record of version 1, in bytes. */
const RECORD = 36

/** The fields of a decision; one object is reused for all. */
type Subject = { -readonly [Field in keyof SyncSubject]: SyncSubject[Field] } & EntryDescription

/**
 * Announces connections as a kernel's master does (`ip_vs_sync_conn`; docs/protocol.md sections 8 and 9).
 *
 * Input: {@link MasterEngine.handleConnection}, {@link MasterEngine.handleRow} and {@link MasterEngine.handlePacket} count a
 * packet and decide; {@link MasterEngine.announce} and {@link MasterEngine.announceTable} announce without a decision. Output
 * and time: see `Engine`.
 */
export class MasterEngine implements Engine<EngineEvent> {
  /** The connections. */
  readonly table: ConnectionTable
  readonly #outbox: Outbox
  readonly #events: EventQueue
  readonly #controllers = new Controllers()
  readonly #answers = new Float64Array(ANSWERS.length)
  readonly #row: Rows = createRows(1)
  readonly #changes = new ChangeReader()
  readonly #subject: Subject = {
    protocol: 0,
    template: false,
    onePacket: false,
    underTemplate: false,
    state: 0,
    lastSyncedState: 0,
    timeoutMs: 0,
    endTimeMs: 0,
    retriesUsed: 0,
    packets: 0
  }
  readonly #expires: boolean
  readonly #ports: number
  readonly #announcements = new Set<TableAnnouncement>()
  readonly #onExpired = (slot: number): boolean => this.#expire(slot)
  readonly #endListening: () => void
  #listenerErrors: number
  #plan: MasterPlan
  #now: TimestampMs = 0
  #closed = false
  #discarded = 0

  /**
   * @param options - Syncid, settings and table.
   * @throws IpvsSyncError `ERR_CONFIG`, whose `field` names the setting that is not accepted.
   */
  constructor(options: MasterEngineOptions) {
    this.#plan = planOf(options)
    this.table = options.table ?? new ConnectionTable()
    this.#listenerErrors = this.table.listenerErrors
    this.#endListening = this.table.onRemove((slot) => this.#controllers.drop(slot))
    this.#expires = options.expires ?? true
    this.#events = new EventQueue(options.maxEvents)
    const { settings, limits } = this.#plan
    this.#ports = settings.syncPorts
    const createWriter = options.createWriter ?? (() => new MessageWriter())
    this.#outbox = new Outbox(this.#ports, createWriter, limits, ({ channel, connections }) =>
      this.#events.push({ type: 'dropped', channel, messages: 1, connections })
    )
  }

  /**
   * Takes a packet of a connection, or its end, as a value. Every packet is decided by the rules of section 8.
   *
   * @returns The outcome.
   * @throws IpvsSyncError `ERR_ENCODE` or `ERR_USAGE` for a change that cannot be read, and nothing has changed; `field` names
   *   what is wrong.
   *
   * @example
   * ```ts
   * engine.handleConnection({ ...connection, state: 'FIN_WAIT', timeout: 120 }, Date.now()) // 'state-changed'
   * ```
   */
  handleConnection(change: ConnectionChange, now: TimestampMs): MasterAnswer {
    const { rows } = this.#changes
    this.#changes.read(change)
    if (change.event === 'expire') {
      const slot = this.table.find(rows, ChangeReader.CONNECTION)
      return ANSWERS[slot === 0 ? this.#count(ANSWER.NOT_IN_TABLE) : this.expire(slot, now)]!
    }
    const details = {
      ...(change.packets !== undefined && { packets: change.packets }),
      ...(change.controlledBy && { controller: this.#findController() })
    }
    return ANSWERS[this.handleRow(rows, ChangeReader.CONNECTION, now, details)]!
  }

  /**
   * Takes a packet of a connection that may be new: adds it, or brings it up to date, and decides whether to announce it.
   *
   * @param rows - The connection after the packet: flags, state and timeout (seconds, not 0) count.
   * @returns The outcome: an index of {@link ANSWERS}.
   */
  handleRow(rows: Rows, index: number, now: TimestampMs, details: PacketDetails = {}): AnswerCode {
    this.#advance(now)
    const slot = this.#place(rows, index)
    if (slot === 0) return this.#count(ANSWER.TABLE_FULL)
    if (details.controller !== undefined) this.control(slot, details.controller)
    const packets = details.packets ?? this.table.packets(slot) + 1
    this.table.setPackets(slot, packets)
    return this.#considerChain(slot, packets)
  }

  /**
   * Takes a packet of a connection in the table: the fast path, which makes no object.
   *
   * @param slot - From the table.
   * @param state - The state after the packet.
   * @param now - The time.
   * @param timeoutMs - The full timeout; by default that of a new state, else unchanged.
   * @returns The outcome: an index of {@link ANSWERS}.
   */
  handlePacket(slot: number, state: number, now: TimestampMs, timeoutMs?: Milliseconds): AnswerCode {
    this.#advance(now)
    const { table } = this
    const subject = this.#subject
    table.describe(slot, subject)
    const packets = subject.packets + 1
    const { protocol, template } = subject
    const usual = subject.state === state ? subject.timeoutMs : stateTimeout(protocol, template, state) * 1000
    table.takePacket(slot, packets, state, timeoutMs ?? usual, this.#now)
    return this.#considerChain(slot, packets)
  }

  /**
   * Puts an entry under another: a connection under its template. A template's timer restarts with each new connection.
   *
   * @throws IpvsSyncError `ERR_USAGE` if the controller is the entry itself or is controlled by it.
   */
  control(slot: number, controller: number): void {
    if (this.#controllers.of(slot) === controller) return
    if (!this.#controllers.link(slot, controller)) {
      const message = 'controlledBy: expected another entry, got the entry itself or one that it controls'
      throw new IpvsSyncError('ERR_USAGE', message, { field: 'controlledBy' })
    }
    this.table.restart(controller, this.table.timeoutMs(controller), this.#now)
  }

  /**
   * Ends a connection: removes it, unless it controls others, which extends it by 60 s and announces it.
   *
   * @returns The outcome: an index of {@link ANSWERS}.
   */
  expire(slot: number, now: TimestampMs): AnswerCode {
    this.#advance(now)
    if (this.#expire(slot)) return ANSWER.EXTENDED
    this.table.remove(slot)
    return ANSWER.EXPIRED
  }

  /**
   * Announces one connection without a decision: for sources that have connections, not packets. It is put into the table, or
   * brought up to date there. No packet is counted.
   *
   * @param connection - A timeout of 0 or none becomes that of its state.
   * @returns `announced`, or why not: `one-packet`, `table-full`, `no-real-server`, `ipv6-in-version-0`.
   * @throws IpvsSyncError `ERR_ENCODE` or `ERR_USAGE`, whose `field` names what cannot be read.
   */
  announce(connection: Connection, now: TimestampMs): MasterAnswer {
    demandObject('connection', connection)
    this.#changes.read(connection)
    this.#advance(now)
    const slot = this.#place(this.#changes.rows, ChangeReader.CONNECTION)
    return ANSWERS[slot === 0 ? this.#count(ANSWER.TABLE_FULL) : this.#announceSlot(slot)]!
  }

  /**
   * Announces connections of the table immediately, without a decision and without a pace: what does not fit into the queues
   * is lost and counted. ONE_PACKET connections are never announced.
   *
   * @param slots - From the table.
   * @param now - The time.
   * @returns The number of connections that were put into messages.
   */
  announceSlots(slots: Iterable<number>, now: TimestampMs): number {
    this.#advance(now)
    let sent = 0
    for (const slot of slots) if (isSent(this.#announceSlot(slot))) sent++
    return sent
  }

  /**
   * Begins to announce the whole table, templates first, without decisions: after a change of role, or for a backup that
   * joined late. The pace holds for all of `handleTimeout`; queues that are full are waited for.
   *
   * @param now - The time.
   * @param options - `rate`: connections a second, > 0; by default what a receiver with a default buffer takes without loss.
   * @returns Its progress.
   * @throws IpvsSyncError `ERR_CONFIG` for a rate that is not above 0.
   */
  announceTable(now: TimestampMs, { rate }: { readonly rate?: number | undefined } = {}): TableAnnouncement {
    this.#advance(now)
    const { maxlen } = this.#plan.limits
    const pace = rate ?? safeMessageRate(maxlen) * Math.max(Math.floor(maxlen / RECORD), 1)
    if (!(pace > 0)) {
      const message = `rate: expected connections a second, above 0, got ${String(rate)}`
      throw new IpvsSyncError('ERR_CONFIG', message, { field: 'rate' })
    }
    const outlets = {
      announce: (slot: number) => isSent(this.#announceSlot(slot)),
      longestQueue: () => this.#outbox.longestQueue(),
      qlenMax: () => this.#plan.limits.qlenMax
    }
    const announcement = new TableAnnouncement(this.table, outlets, pace, this.#now)
    announcement.advance(this.#now)
    if (!announcement.finished) this.#announcements.add(announcement)
    return announcement
  }

  /**
   * Puts one connection into a message without a decision and without keeping it in the table: for callers that decide and
   * keep connections themselves, as `ipvs-sync/director` does.
   *
   * @param rows - Holds the connection as it is to be sent.
   * @param index - The row's number.
   * @returns An index of {@link ANSWERS}: `announced` or `ipv6-in-version-0`.
   */
  announceRow(rows: Rows, index: number, now: TimestampMs): AnswerCode {
    this.#advance(now)
    const isIpv6 = rows.words[index * ROW_WORDS + ROW.FAMILY] === 6
    if (isIpv6 && this.#plan.limits.version === 0) return this.#count(ANSWER.IPV6_IN_VERSION_0)
    this.#outbox.add(rows, index, this.#now)
    return this.#count(ANSWER.ANNOUNCED)
  }

  /** Takes the time: connections expire, messages become due. */
  handleTimeout(now: TimestampMs): void {
    this.#tick(now)
    if (this.#closed) return
    if (this.#expires) this.table.advance(this.#now, EXPIRY_BUDGET, this.#onExpired)
    for (const announcement of this.#announcements) {
      announcement.advance(this.#now)
      if (announcement.finished) this.#announcements.delete(announcement)
    }
  }

  /**
   * Returns the next message that may be sent now.
   *
   * @param channel - Only this channel's; by default all channels in turn.
   */
  pollTransmit(channel?: number): Datagram | undefined {
    return this.#outbox.poll(this.#now, channel)
  }

  /** Holds a channel whose socket is full, or releases it. While it is held its queue may overflow. */
  hold(channel: number, held: boolean): void {
    this.#outbox.channel(channel).held = held
  }

  /** Returns the oldest event. */
  pollEvent(): EngineEvent | undefined {
    const { listenerErrors } = this.table
    if (listenerErrors === this.#listenerErrors) return this.#events.shift()
    this.#listenerErrors = listenerErrors
    return listenerNotice(this.table)
  }

  /** Returns when to call {@link MasterEngine.handleTimeout} next; not before the latest time given, Infinity for never. */
  nextTimeout(): TimestampMs {
    if (this.#closed) return Math.max(this.#now, this.#outbox.nextTimeout())
    let next = this.#expires ? this.table.nextDeadline() : Infinity
    for (const announcement of this.#announcements) next = Math.min(next, announcement.nextTimeout(this.#now))
    return Math.max(this.#now, Math.min(this.#outbox.nextTimeout(), next))
  }

  /**
   * Changes settings from the next input on, all at once; an omitted one keeps its value. A new `sync_ports` needs a restart,
   * which a notice says.
   *
   * @throws IpvsSyncError `ERR_CONFIG`, and nothing has changed.
   */
  configure(changes: Partial<MasterSettings>): void {
    this.#plan = changePlan(this.#plan, changes)
    const { settings, limits } = this.#plan
    this.#outbox.configure(limits)
    if (settings.syncPorts === this.#ports) return
    const message = `sync_ports takes effect at a start only: ${this.#ports} until then, ${settings.syncPorts} after it`
    this.#events.push({ type: 'notice', code: 'SYNC_PORTS_LATCHED', message })
  }

  /**
   * Ends it. Held messages become due immediately; no more input is accepted.
   *
   * @param now - The time.
   * @param options - `discard`: discard the held messages, as a kernel does.
   */
  close(now: TimestampMs, options: { readonly discard?: boolean } = {}): void {
    if (this.#closed) return
    this.#tick(now)
    this.#closed = true
    this.#endListening()
    for (const announcement of this.#announcements) announcement.stop()
    this.#announcements.clear()
    if (options.discard) this.#discarded = this.#outbox.discard()
    else this.#outbox.flush()
  }

  /** Returns a copy of the counters. */
  counters(): MasterCounters {
    return summarize(this.#answers, this.#outbox.report(), {
      held: this.#outbox.held(),
      discarded: this.#discarded,
      eventsLost: this.#events.lost
    })
  }

  #advance(now: TimestampMs): void {
    if (this.#closed) throw new IpvsSyncError('ERR_USAGE', 'the master is closed; create a new one')
    this.#tick(now)
  }

  #tick(now: TimestampMs): void {
    if (now > this.#now) this.#now = now
  }

  #findController(): number {
    const slot = this.table.find(this.#changes.rows, ChangeReader.CONTROLLER)
    if (slot !== 0) return slot
    const message = 'controlledBy: expected a template of the table, got an unknown key; announce the template first'
    throw new IpvsSyncError('ERR_USAGE', message, { field: 'controlledBy' })
  }

  /** Brings the row's connection up to date, or adds it as one that was never announced. */
  #place(rows: Rows, index: number): number {
    const { table } = this
    const slot = table.upsert(rows, index, this.#now)
    if (slot === 0 || table.upserted === 'updated') return slot
    table.setPackets(slot, 0)
    table.setSynced(slot, 0, this.#now, 0)
    return slot
  }

  /** Decides for the connection, then for its controller, and so on up (version 0: only while something was sent). */
  #considerChain(slot: number, packets: number): AnswerCode {
    const first = this.#consider(slot, packets)
    let code = first
    let at = this.#controllers.of(slot)
    while (at !== 0 && code !== ANSWER.NO_REAL_SERVER && (this.#plan.limits.version === 1 || isSent(code))) {
      code = this.#consider(at, this.#packetsOfController(at))
      at = this.#controllers.of(at)
    }
    return first
  }

  /** A template counts its connections' packets as its own; any other controller counts as being at the threshold. */
  #packetsOfController(slot: number): number {
    if (!this.table.isTemplate(slot)) return this.#plan.policy.threshold
    const packets = this.table.packets(slot) + 1
    this.table.setPackets(slot, packets)
    return packets
  }

  #consider(slot: number, packets: number): AnswerCode {
    const { table } = this
    const { limits, policy } = this.#plan
    if (limits.version === 0 && table.family(slot) === 6) return this.#count(ANSWER.IPV6_IN_VERSION_0)
    const subject = this.#subject
    table.describe(slot, subject)
    subject.underTemplate = policy.persistMode && this.#isUnderTemplate(slot)
    const code = decide(subject, packets, this.#now, policy)
    if (code < FIRST_SEND) return this.#count(code)
    // Stored before the record is queued: one that is lost later is not repeated until the rules allow it.
    const retries = code === DECISION.RETRY ? subject.retriesUsed + 1 : 0
    table.setSynced(slot, subject.state, this.#now + subject.timeoutMs, retries)
    return this.#send(slot, code)
  }

  #isUnderTemplate(slot: number): boolean {
    for (let at = this.#controllers.of(slot); at !== 0; at = this.#controllers.of(at))
      if (this.table.isTemplate(at)) return true
    return false
  }

  #announceSlot(slot: number): AnswerCode {
    if (this.table.flags(slot) & FLAG.ONE_PACKET) return this.#count(DECISION.ONE_PACKET)
    return this.#send(slot, ANSWER.ANNOUNCED)
  }

  #send(slot: number, code: AnswerCode): AnswerCode {
    const { words } = this.#row
    this.table.readRow(slot, this.#row, 0)
    if (words[ROW.FAMILY] === 6 && this.#plan.limits.version === 0) return this.#count(ANSWER.IPV6_IN_VERSION_0)
    if (words[ROW.PRESENT]! & PRESENT.ENGINE && !hasDestination(words)) return this.#count(ANSWER.NO_REAL_SERVER)
    presentSequence(words, 0)
    this.#outbox.add(this.#row, 0, this.#now)
    return this.#count(code)
  }

  /** Handles the end of an entry's time; returns true if it is extended. */
  #expire(slot: number): boolean {
    if (this.#controllers.count(slot) > 0) {
      this.table.restart(slot, EXTENSION, this.#now)
      this.#considerChain(slot, this.#plan.policy.threshold)
      this.#count(ANSWER.EXTENDED)
      return true
    }
    this.#count(ANSWER.EXPIRED)
    if (this.#events.isFull) this.#events.lost++
    else this.#events.push({ type: 'connection', change: 'expired', connection: this.table.connection(slot) })
    return false
  }

  #count(code: AnswerCode): AnswerCode {
    this.#answers[code]!++
    return code
  }
}

/** Returns whether the address of a row's real server is not the unspecified one. */
function hasDestination(words: Int32Array): boolean {
  const end = ROW.DESTINATION + (words[ROW.FAMILY] === 6 ? 4 : 1)
  for (let at = ROW.DESTINATION; at < end; at++) if (words[at] !== 0) return true
  return false
}

/**
 * Links from entries to the entries that control them (`ip_vs_control_add`): a persistent connection belongs to its template,
 * an FTP data connection to its control connection. Slots are numbers above 0. Entries without a link cost nothing.
 */
export class Controllers {
  readonly #controllerOf = new Map<number, number>()
  readonly #controlled = new Map<number, number>()

  /** Returns the slot that controls this one, or 0. */
  of(slot: number): number {
    return this.#controllerOf.size === 0 ? 0 : (this.#controllerOf.get(slot) ?? 0)
  }

  /** Returns how many entries this one controls. */
  count(slot: number): number {
    return this.#controlled.get(slot) ?? 0
  }

  /**
   * Puts a slot under a controller, instead of the one it had.
   *
   * @returns false, and nothing changed, if the controller is the slot itself or is controlled by it.
   */
  link(slot: number, controller: number): boolean {
    for (let up = controller; up !== 0; up = this.of(up)) if (up === slot) return false
    this.unlink(slot)
    this.#controllerOf.set(slot, controller)
    this.#controlled.set(controller, this.count(controller) + 1)
    return true
  }

  /** Removes a slot's link to its controller. */
  unlink(slot: number): void {
    const controller = this.of(slot)
    if (controller === 0) return
    this.#controllerOf.delete(slot)
    const left = this.count(controller) - 1
    if (left === 0) this.#controlled.delete(controller)
    else this.#controlled.set(controller, left)
  }

  /** Removes all links of a slot that is removed: what it controlled is free. */
  drop(slot: number): void {
    this.unlink(slot)
    if (!this.#controlled.delete(slot)) return
    // Rare: an entry that controls others is not removed by its own timer.
    for (const [below, controller] of this.#controllerOf) if (controller === slot) this.#controllerOf.delete(below)
  }
}
