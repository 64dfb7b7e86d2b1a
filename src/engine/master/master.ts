/**
 * A master as a state machine without I/O: connections and time go in, messages and events come out.
 *
 * @module
 */
import { demandObject } from '../../demand.js'
import { IpvsSyncError } from '../../errors.js'
import { sysctlDefaults } from '../../sysctl/settings.js'
import { ConnectionTable } from '../../table/connection-table.js'
import type { Milliseconds, TimestampMs } from '../../units.js'
import { DEFAULT_MAXLEN_IPV4, FLAG } from '../../wire/constants.js'
import { MessageWriter } from '../../wire/message-writer.js'
import { createRows, PRESENT, ROW, type Rows } from '../../wire/rows.js'
import { ChangeReader, type ConnectionChange } from './connection-change.js'
import { Controllers } from './controllers.js'
import { decide, FIRST_SEND, RETRY, type SyncSubject } from '../decide-sync.js'
import { EventQueue, type EngineEvent } from '../events.js'
import {
  ANSWER,
  ANSWERS,
  isSent,
  summarize,
  type AnswerCode,
  type MasterAnswer,
  type MasterCounters
} from './counters.js'
import type { MasterEngineOptions, PacketDetails } from './options.js'
import { planMaster, type MasterPlan, type MasterSettings } from './settings.js'
import { blankSubject, hasDestination, timeoutIn, type MasterSubject } from './subject.js'
import { Outbox } from './outbox.js'
import type { Datagram } from './send-queue.js'

// Names of this module's own: V8 folds these constants, and reads those of another module anew at each use.
const { FAMILY: ROW_FAMILY, PRESENT: ROW_PRESENT } = ROW
const { ENGINE: PRESENT_ENGINE } = PRESENT
const { ONE_PACKET: FLAG_ONE_PACKET, TEMPLATE: FLAG_TEMPLATE } = FLAG
const {
  ANNOUNCED: ANSWER_ANNOUNCED,
  EXPIRED: ANSWER_EXPIRED,
  EXTENDED: ANSWER_EXTENDED,
  IPV6_IN_VERSION_0: ANSWER_IPV6_IN_VERSION_0,
  NOT_IN_TABLE: ANSWER_NOT_IN_TABLE,
  NO_REAL_SERVER: ANSWER_NO_REAL_SERVER,
  TABLE_FULL: ANSWER_TABLE_FULL
} = ANSWER

/** What an entry gets that controls others when its own time is over (`ip_vs_conn_expire`). */
const EXTENSION: Milliseconds = 60_000
/** Expired entries handled in one call of handleTimeout. */
const EXPIRY_BUDGET = 500

/**
 * Announces connections as a kernel's master does (`ip_vs_sync_conn`; docs/protocol.md sections 8 and 9).
 *
 * Drive it like this: after each call that takes a time, send what {@link MasterEngine.pollTransmit} gives until it
 * gives nothing; call {@link MasterEngine.handleTimeout} at {@link MasterEngine.nextTimeout}. Times are milliseconds of
 * one clock that starts above 0; one that goes back is held at the last value.
 */
export class MasterEngine {
  /** Where the connections live. */
  readonly table: ConnectionTable
  readonly #outbox: Outbox
  readonly #events: EventQueue
  readonly #controllers = new Controllers()
  readonly #answers = new Float64Array(ANSWERS.length)
  readonly #row: Rows = createRows(1)
  readonly #changes = new ChangeReader()
  readonly #subject: MasterSubject = blankSubject()
  readonly #endListening: () => void
  readonly #expires: boolean
  readonly #ports: number
  readonly #onExpired = (slot: number): boolean => this.#timeIsOver(slot)
  #plan: MasterPlan
  #now: TimestampMs = 0
  #closed = false
  #discarded = 0

  /**
   * @param options - What it is made of.
   * @throws IpvsSyncError `ERR_CONFIG`, whose `field` names the setting that is not accepted.
   */
  constructor(options: MasterEngineOptions) {
    demandObject('options', options)
    const { settings: given = {}, syncMaxlen = DEFAULT_MAXLEN_IPV4 } = options
    this.#plan = planMaster({ ...sysctlDefaults, ...given }, options.syncid, syncMaxlen)
    this.table = options.table ?? new ConnectionTable()
    this.#endListening = this.table.onRemove((slot) => this.#controllers.drop(slot))
    this.#expires = options.expires ?? true
    this.#events = new EventQueue(options.maxEvents)
    const { settings, limits } = this.#plan
    this.#ports = settings.syncPorts
    this.#outbox = new Outbox(this.#ports, options.createWriter ?? (() => new MessageWriter()), limits, (lost) =>
      this.#tellDropped(lost)
    )
  }

  /**
   * A packet of a connection, or its end, as values. Every packet is considered by section 8's rules.
   *
   * @returns What became of it.
   * @throws IpvsSyncError `ERR_ENCODE` or `ERR_USAGE` for a change that cannot be understood, and nothing has changed;
   *   `field` names what is wrong.
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
      return ANSWERS[slot === 0 ? this.#count(ANSWER_NOT_IN_TABLE) : this.expire(slot, now)]!
    }
    const details = {
      ...(change.packets !== undefined && { packets: change.packets }),
      ...(change.controlledBy && { controller: this.#findController() })
    }
    return ANSWERS[this.handleRow(rows, ChangeReader.CONNECTION, now, details)]!
  }

  /**
   * A packet of a connection that may be new: adds it, or brings it up to date, and considers announcing it.
   *
   * The row is as the caller knows the connection after the packet: flags, state and timeout (seconds, not 0) count.
   *
   * @returns What became of it: an index of {@link ANSWERS}.
   */
  handleRow(rows: Rows, index: number, now: TimestampMs, details: PacketDetails = {}): AnswerCode {
    this.#advance(now)
    const slot = this.#place(rows, index)
    if (slot === 0) return this.#count(ANSWER_TABLE_FULL)
    if (details.controller !== undefined) this.control(slot, details.controller)
    const packets = details.packets ?? this.table.packets(slot) + 1
    this.table.setPackets(slot, packets)
    return this.#considerChain(slot, packets)
  }

  /**
   * A packet of a connection that is in the table: the fast path, which makes no object.
   *
   * @param slot - From the table.
   * @param state - The state after the packet.
   * @param now - The time.
   * @param timeoutMs - The full timeout; by default that of a new state, else as it was.
   * @returns What became of it: an index of {@link ANSWERS}.
   */
  handlePacket(slot: number, state: number, now: TimestampMs, timeoutMs?: Milliseconds): AnswerCode {
    this.#advance(now)
    const { table } = this
    const subject = this.#subject
    table.describe(slot, subject)
    const packets = subject.packets + 1
    table.takePacket(slot, packets, state, timeoutMs ?? timeoutIn(subject, state), this.#now)
    return this.#considerChain(slot, packets)
  }

  /**
   * Puts an entry under another: a connection under its template. A template's timer restarts with each new connection.
   *
   * @throws IpvsSyncError `ERR_USAGE` if the controller is the entry itself or stands under it.
   */
  control(slot: number, controller: number): void {
    if (this.#controllers.of(slot) === controller) return
    if (!this.#controllers.link(slot, controller)) {
      throw new IpvsSyncError('ERR_USAGE', 'an entry cannot be controlled by itself, nor by one that it controls', {
        field: 'controlledBy'
      })
    }
    this.table.restart(controller, this.table.timeoutMs(controller), this.#now)
  }

  /**
   * A connection is over: removes it, unless it controls others, which gives it 60 s more and an announcement.
   *
   * @returns What became of it: an index of {@link ANSWERS}.
   */
  expire(slot: number, now: TimestampMs): AnswerCode {
    this.#advance(now)
    if (this.#timeIsOver(slot)) return ANSWER_EXTENDED
    this.table.remove(slot)
    return ANSWER_EXPIRED
  }

  /**
   * Announces connections without asking whether they are due: after a change of role, or for a backup that joined
   * late. ONE_PACKET connections are left out, as always. Pace it: what is too much for the queues is lost and counted.
   *
   * @param slots - From the table; by default all of it, templates first.
   * @param now - The time.
   * @returns How many were put into messages.
   */
  announce(slots: Iterable<number> | undefined, now: TimestampMs): number {
    this.#advance(now)
    let sent = 0
    for (const slot of slots ?? templatesFirst(this.table)) {
      const code = this.table.flags(slot) & FLAG_ONE_PACKET ? this.#count(0) : this.#send(slot, ANSWER_ANNOUNCED)
      if (isSent(code)) sent++
    }
    return sent
  }

  /** Time has passed: connections expire, messages become due. Does a bounded amount of work; mind `nextTimeout` after it. */
  handleTimeout(now: TimestampMs): void {
    this.#tick(now)
    if (this.#expires && !this.#closed) this.table.advance(this.#now, EXPIRY_BUDGET, this.#onExpired)
  }

  /**
   * The next message that may leave now, or nothing.
   *
   * @param channel - Only this channel's; by default all channels in turn.
   */
  pollTransmit(channel?: number): Datagram | undefined {
    return this.#outbox.poll(this.#now, channel)
  }

  /** The socket of a channel is full, or no longer: while it is, `pollTransmit` gives nothing of that channel and its queue may overflow. */
  hold(channel: number, held: boolean): void {
    this.#outbox.channel(channel).held = held
  }

  /** The oldest event that was not yet polled, or nothing. */
  pollEvent(): EngineEvent | undefined {
    return this.#events.shift()
  }

  /** When to call {@link MasterEngine.handleTimeout} next; Infinity if there is nothing to wait for. Not before the last time given. */
  nextTimeout(): TimestampMs {
    const deadline = this.#expires && !this.#closed ? this.table.nextDeadline() : Infinity
    return Math.max(this.#now, Math.min(this.#outbox.nextTimeout(), deadline))
  }

  /**
   * Takes new settings from the next input on, all at once; what is left out keeps its value. A new `sync_ports` waits for the next start, and an event says so.
   *
   * @throws IpvsSyncError `ERR_CONFIG`, and nothing has changed.
   */
  configure(changes: Partial<MasterSettings>): void {
    const before = this.#plan
    const settings = { ...before.settings, ...changes }
    this.#plan = planMaster(settings, before.limits.syncid, before.limits.maxlen)
    this.#outbox.configure(this.#plan.limits)
    if (settings.syncPorts === this.#ports) return
    const message = `sync_ports is read at the start only: still ${this.#ports}, ${settings.syncPorts} after a restart`
    this.#events.push({ type: 'notice', code: 'SYNC_PORTS_LATCHED', message })
  }

  /**
   * Ends it. What is held leaves at once through `pollTransmit`; no more input is taken.
   *
   * @param now - The time.
   * @param options - `discard`: give up what is held, as a kernel does.
   */
  close(now: TimestampMs, options: { readonly discard?: boolean } = {}): void {
    if (this.#closed) return
    this.#advance(now)
    this.#closed = true
    this.#endListening()
    if (options.discard) this.#discarded = this.#outbox.discard()
    else this.#outbox.flush()
  }

  /** What was counted until now: a copy. */
  counters(): MasterCounters {
    return summarize(this.#answers, this.#outbox.report(), {
      held: this.#outbox.held(),
      discarded: this.#discarded,
      eventsLost: this.#events.lost
    })
  }

  #advance(now: TimestampMs): void {
    if (this.#closed) throw new IpvsSyncError('ERR_USAGE', 'this master is closed: make a new one')
    this.#tick(now)
  }

  #tick(now: TimestampMs): void {
    if (now > this.#now) this.#now = now
  }

  #findController(): number {
    const slot = this.table.find(this.#changes.rows, ChangeReader.CONTROLLER)
    if (slot !== 0) return slot
    throw new IpvsSyncError('ERR_USAGE', 'controlledBy names no template of the table: give the template first', {
      field: 'controlledBy'
    })
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

  /** The connection, then what controls it, and so on up (version 0: only as long as something was sent). */
  #considerChain(slot: number, packets: number): AnswerCode {
    const first = this.#consider(slot, packets)
    let code = first
    let at = this.#controllers.of(slot)
    while (at !== 0 && this.#goesOn(code)) {
      code = this.#consider(at, this.#packetsOfController(at))
      at = this.#controllers.of(at)
    }
    return first
  }

  #goesOn(code: AnswerCode): boolean {
    return code !== ANSWER_NO_REAL_SERVER && (this.#plan.limits.version === 1 || isSent(code))
  }

  /** A template counts its connections' packets as its own; any other controller is held to be at the threshold. */
  #packetsOfController(slot: number): number {
    if (!(this.table.flags(slot) & FLAG_TEMPLATE)) return this.#plan.policy.threshold
    const packets = this.table.packets(slot) + 1
    this.table.setPackets(slot, packets)
    return packets
  }

  #consider(slot: number, packets: number): AnswerCode {
    const { table } = this
    if (this.#plan.limits.version === 0 && table.family(slot) === 6) return this.#count(ANSWER_IPV6_IN_VERSION_0)
    const subject = this.#describe(slot)
    const code = decide(subject, packets, this.#now, this.#plan.policy)
    if (code < FIRST_SEND) return this.#count(code)
    // Stored before the record is queued: one that is lost later is not tried again until the rules next say yes.
    const retries = code === RETRY ? subject.retriesUsed + 1 : 0
    table.setSynced(slot, subject.state, this.#now + subject.timeoutMs, retries)
    return this.#send(slot, code)
  }

  #describe(slot: number): SyncSubject {
    const subject = this.#subject
    this.table.describe(slot, subject)
    subject.underTemplate = this.#plan.policy.persistMode && this.#isUnderTemplate(slot)
    return subject
  }

  #isUnderTemplate(slot: number): boolean {
    for (let at = this.#controllers.of(slot); at !== 0; at = this.#controllers.of(at)) {
      if (this.table.flags(at) & FLAG_TEMPLATE) return true
    }
    return false
  }

  #send(slot: number, code: AnswerCode): AnswerCode {
    const { words } = this.#row
    this.table.readRow(slot, this.#row, 0)
    if (words[ROW_FAMILY] === 6 && this.#plan.limits.version === 0) return this.#count(ANSWER_IPV6_IN_VERSION_0)
    if (words[ROW_PRESENT]! & PRESENT_ENGINE && !hasDestination(words)) return this.#count(ANSWER_NO_REAL_SERVER)
    this.#outbox.add(this.#row, 0, this.#now)
    return this.#count(code)
  }

  /** The timer of an entry fired; true if it lives on. */
  #timeIsOver(slot: number): boolean {
    if (this.#controllers.count(slot) > 0) {
      this.table.restart(slot, EXTENSION, this.#now)
      this.#considerChain(slot, this.#plan.policy.threshold)
      this.#count(ANSWER_EXTENDED)
      return true
    }
    this.#count(ANSWER_EXPIRED)
    this.#tellExpired(slot)
    return false
  }

  #tellExpired(slot: number): void {
    if (this.#events.isFull) this.#events.lost++
    else this.#events.push({ type: 'connection', change: 'expired', connection: this.table.connection(slot) })
  }

  #tellDropped({ channel, connections }: Datagram): void {
    this.#events.push({ type: 'dropped', channel, messages: 1, connections })
  }

  #count(code: AnswerCode): AnswerCode {
    this.#answers[code]!++
    return code
  }
}

/** Yields the slots of a table: templates, then the connections that belong to them. */
function* templatesFirst(table: ConnectionTable): Generator<number> {
  for (const templates of [true, false]) for (const slice of table.walk({ templates })) yield* slice
}
