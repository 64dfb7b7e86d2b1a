/**
 * A master, ready-made: the engine, UDP and the real clock.
 *
 * @module
 */

import { counted } from '../../text.js'
import { demandKnownOptions, type OptionNames } from '../../demand.js'
import type { IpvsSyncError } from '../../errors.js'
import type { ConnectionChange } from '../../engine/master/connection-change.js'
import type { ConnectionEvent, DroppedEvent, NoticeEvent } from '../../engine/events.js'
import type { MasterAnswer, MasterCounters } from '../../engine/master/counters.js'
import { MasterEngine } from '../../engine/master/master.js'
import { verifySysctls, type Sysctls } from '../../sysctl/settings.js'
import type { ConnectionTable } from '../../table/connection-table.js'
import { masterSyncMaxlen, packetHeaders, type DefaultSyncMaxlen } from '../../transport/sync-maxlen.js'
import type { SendingTransport, SendReport } from '../../transport/transport.js'
import type { Milliseconds, TimestampMs } from '../../units.js'
import type { Connection } from '../../wire/connection.js'
import { announceTable, type AnnounceOptions } from './announcer.js'
import type { Clock } from '../clock.js'
import { latchedSettings } from '../latched-settings.js'
import { Lifecycle, type CloseOptions } from '../lifecycle.js'
import { ContainedEmitter, Runner } from '../runner.js'
import { createSender, sealOverhead } from '../sealing.js'
import {
  clockOf,
  demandChannels,
  linkOf,
  tableOf,
  SYNC_OPTIONS,
  udpOptionsOf,
  type SyncOptions
} from '../sync-options.js'

/** Options of a {@link SyncMaster}. */
export interface SyncMasterOptions extends SyncOptions {
  /** 0…255, of every message. 0 by default. */
  readonly syncid?: number
  /** Carries the messages instead of UDP; the options about network and interface then only matter for sync_maxlen. */
  readonly transport?: SendingTransport
}

const OPTIONS: OptionNames<SyncMasterOptions> = { ...SYNC_OPTIONS, syncid: true, transport: true }

/** Events of a {@link SyncMaster}. */
export interface SyncMasterEvents {
  /** The sockets are open. The argument says where messages go, for a person. */
  listening: [description: string]
  /** A connection's time was over. */
  expired: [event: ConnectionEvent]
  /** A message was lost because its queue was full (`sync_qlen_max`). */
  dropped: [event: DroppedEvent]
  /** Something that a person should know, and that stops nothing. */
  notice: [event: NoticeEvent]
  /** A socket failed after the start; a message may be lost. Where nobody listens for this, it passes. */
  error: [error: IpvsSyncError]
  /** Everything is closed. */
  close: []
}

/** Inputs between two lookings after messages: eight messages are what wakes a sender (docs/protocol.md section 9). */
const INPUTS_A_LOOK = 8
/** How long a close waits for a socket that takes nothing. */
const GRACE: Milliseconds = 2000
const CLOSE_LOOK: Milliseconds = 5
/** Reports of a full queue are at least this far apart. */
const QUEUE_INTERVAL: Milliseconds = 60_000

/**
 * Announces connections to backups.
 *
 * @example
 * ```ts
 * await using master = new SyncMaster({ mcastInterface: 'eth1', syncid: 5 })
 * await master.start()
 * master.handleConnection({ family: 'ipv4', protocol: 'TCP', client: { address: '10.0.0.2', port: 5000 },
 *   virtual: { address: '10.0.0.1', port: 80 }, destination: { address: '10.1.0.1', port: 80 },
 *   forwarding: 'MASQ', flags: [], state: 'ESTABLISHED', packets: 3 })
 * ```
 */
export class SyncMaster extends ContainedEmitter<SyncMasterEvents> {
  /** Its connections. Pass it to a backup to keep them over a change of role. */
  readonly table: ConnectionTable
  readonly #options: SyncMasterOptions
  readonly #engine: MasterEngine
  readonly #transport: SendingTransport
  readonly #clock: Clock
  readonly #runner: Runner
  readonly #life: Lifecycle
  readonly #startNotice: string
  readonly #started: Sysctls
  #sysctls: Sysctls
  #inputs = 0
  /** Losses to full queues since the last report. */
  readonly #lost = { messages: 0, connections: 0 }
  #lossReportedAt: TimestampMs = -Infinity

  /**
   * @param options - Options.
   * @throws IpvsSyncError `ERR_CONFIG`, `ERR_GROUP` or `ERR_INTERFACE`, whose `field` names the option.
   */
  constructor(options: SyncMasterOptions) {
    super()
    demandKnownOptions(options, OPTIONS)
    const { syncid = 0, expires = true } = options
    this.#sysctls = verifySysctls(options.sysctls ?? {})
    this.#started = this.#sysctls
    this.#options = options
    this.#clock = clockOf(options)
    this.table = tableOf(options)
    this.#transport = options.transport ?? this.#sockets(syncid)
    const maxlen = maxlenOf(options, this.#sysctls)
    const overhead = sealOverhead(options)
    this.#startNotice = `sync_maxlen is ${maxlen.reason}${overhead > 0 ? `, ${overhead} of them for the seal` : ''}`
    demandChannels(this.#transport, this.#sysctls)
    this.#engine = new MasterEngine({
      syncid,
      settings: this.#sysctls,
      syncMaxlen: maxlen.bytes - overhead,
      table: this.table,
      expires
    })
    this.#runner = new Runner(this.#engine, this.#clock, {
      transmit: () => {
        // Carries all that may leave now.
        // @param source - Gives messages; is notified of each full channel, and keeps its messages.
        // @param transport - Takes messages as long as it is writable.
        const source = this.#engine
        const transport = this.#transport
        for (let channel = 0; channel < transport.channels; channel++) {
          source.hold(channel, !transport.writable(channel))
          // A channel that is held gives nothing.
          for (let next = source.pollTransmit(channel); next !== undefined; next = source.pollTransmit(channel)) {
            transport.send(channel, next.bytes)
            source.hold(channel, !transport.writable(channel))
          }
        }
      },
      event: (event) => {
        if (event.type === 'connection') this.emit('expired', event)
        else if (event.type === 'dropped') {
          this.emit('dropped', event)
          // A full queue loses many messages in a row: the first is reported, and a minute later the sum of the others.
          const { channel, messages, connections } = event
          this.#lost.messages += messages
          this.#lost.connections += connections
          const now = this.#clock.now()
          if (now - this.#lossReportedAt >= QUEUE_INTERVAL) {
            const { messages: lost, connections: inThem } = this.#lost
            const text = `the queue of channel ${channel} is full: dropped ${counted(lost, 'message')} with ${counted(inThem, 'connection')}; raise sync_qlen_max, or check what keeps the interface from sending`
            this.#notice('QUEUE_FULL', text)
            Object.assign(this.#lost, { messages: 0, connections: 0 })
            this.#lossReportedAt = now
          }
        } else if (event.type === 'notice') this.emit('notice', event)
      }
    })
    this.#life = new Lifecycle({
      open: () => this.#open(),
      close: (how) => this.#close(how),
      signal: options.signal
    })
  }

  /** Whether the sockets are open. */
  get listening(): boolean {
    return this.#life.isOpen
  }

  /** The settings now: frozen. */
  get sysctls(): Sysctls {
    return this.#sysctls
  }

  /**
   * Opens the sockets.
   *
   * @throws IpvsSyncError `ERR_INTERFACE`, `ERR_ADDRESS_IN_USE`, `ERR_GROUP` or `ERR_TRANSPORT` from the sockets;
   * `ERR_USAGE` for a second start, or one after the close.
   */
  async start(): Promise<void> {
    if (!(await this.#life.open())) return
    this.#notice('SYNC_MAXLEN', this.#startNotice)
    this.emit('listening', this.#transport.description)
    this.#runner.settle()
  }

  /**
   * A packet of a connection, or its end: considered by the kernel's rules, announced if they say so.
   *
   * @param change - The connection as it is after the packet; counts as one packet from the client.
   * @returns What became of it.
   * @throws IpvsSyncError `ERR_ENCODE` or `ERR_USAGE`, whose `field` names what cannot be understood.
   */
  handleConnection(change: ConnectionChange): MasterAnswer {
    const answer = this.#engine.handleConnection(change, this.#clock.now())
    this.#settle()
    return answer
  }

  /**
   * Announces one connection whatever the rules say: for sources that show connections, not packets.
   *
   * @param connection - As it is now; it is put into the table, or brought up to date there.
   * @returns Whether it was put into a message: not where the table is full, or no message can carry it.
   * @throws IpvsSyncError `ERR_ENCODE`, whose `field` names what cannot be understood.
   */
  announce(connection: Connection): boolean {
    const announced = this.#engine.announce(connection, this.#clock.now()) === 'announced'
    this.#settle()
    return announced
  }

  /** How full the fullest queue is: messages that wait, as a part of sync_qlen_max. Hold back before it is 1. */
  get pressure(): number {
    const longest = Math.max(...this.#engine.counters().channels.map(({ queued }) => queued))
    return longest / Math.max(this.#sysctls.syncQlenMax, 1)
  }

  /**
   * Announces the whole table without asking whether it is due: after a change of role, or for a backup that joined late.
   *
   * @param options - Its pace.
   * @returns How many connections were put into messages.
   */
  async announceTable(options: AnnounceOptions = {}): Promise<number> {
    demandKnownOptions(options, { rate: true, signal: true })
    const parts = {
      engine: this.#engine,
      clock: this.#clock,
      settle: () => this.#runner.settle(),
      active: () => this.listening
    }
    return announceTable(parts, options)
  }

  /**
   * Takes new settings, all at once, from the next input on. sync_ports and sync_sock_size wait for the next start,
   * and notices say so.
   *
   * @param sysctls - What is left out keeps its value.
   * @throws IpvsSyncError `ERR_CONFIG`, and nothing has changed.
   */
  configure(sysctls: Partial<Sysctls>): void {
    const settings = verifySysctls({ ...this.#sysctls, ...sysctls })
    this.#engine.configure(settings)
    this.#sysctls = settings
    // Of sync_ports the engine tells.
    for (const { code, message } of latchedSettings(this.#started, settings, ['SYNC_SOCK_SIZE_LATCHED']))
      this.#notice(code, message)
    if (this.listening) this.#runner.settle()
  }

  /** What was counted until now: a copy. A message that no peer took is not sent: see {@link SyncMaster.sendReport}. */
  counters(): MasterCounters {
    const counters = this.#engine.counters()
    const { undelivered } = this.sendReport()
    return {
      ...counters,
      channels: counters.channels.map((channel, i) => ({
        ...channel,
        messagesSent: Math.max(channel.messagesSent - (undelivered[i]?.messages ?? 0), 0)
      }))
    }
  }

  /** Failed sends until now, by peer: a copy. */
  sendReport(): SendReport {
    return this.#transport.sendReport?.() ?? { errors: {}, undelivered: [], isUnreachable: false }
  }

  /** Sends what it holds (or gives it up, if told to), then closes. Calling it again waits for the first call. */
  async close(options: CloseOptions = {}): Promise<void> {
    demandKnownOptions(options, { discard: true })
    await this.#life.close(options)
  }

  /** For `await using`: as {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #open(): Promise<void> {
    await this.#transport.start({
      onWritable: () => this.#runner.settle(),
      onNotice: ({ code, message }) => this.#notice(code, message),
      onError: (error) => {
        if (this.listenerCount('error') > 0) this.emit('error', error)
      }
    })
  }

  async #close({ discard = false }: CloseOptions): Promise<void> {
    this.#engine.close(this.#clock.now(), { discard })
    await this.#drain()
    this.#runner.stop()
    await this.#transport.close()
    this.emit('close')
  }

  /** Until nothing is held, or nothing has moved for the whole of the grace. */
  async #drain(): Promise<void> {
    let held = Infinity
    let movedAt = this.#clock.now()
    for (;;) {
      this.#runner.settle()
      const now = this.#clock.now()
      const { held: left } = this.#engine.counters()
      if (left === 0) break
      if (left < held) movedAt = now
      held = left
      if (now - movedAt >= GRACE) {
        this.#notice('NOT_SENT', `${counted(left, 'connection')} could not be sent before the end`)
        return
      }
      await new Promise<void>((resolve) => void this.#clock.after(CLOSE_LOOK, resolve))
    }
    await this.#transport.flush()
  }

  #sockets(syncid: number): SendingTransport {
    const { system, clock } = this.#options
    return createSender(this.#options, { udp: udpOptionsOf(this.#options, this.#sysctls), syncid, system, clock }, true)
  }

  /** Before the start nothing leaves, and no timer keeps the process. */
  #settle(): void {
    if (!this.listening) return
    if (++this.#inputs % INPUTS_A_LOOK === 0) this.#runner.settle()
    else this.#runner.soon()
  }

  #notice(code: string, message: string): void {
    this.emit('notice', Object.freeze({ type: 'notice', code, message }))
  }
}

/** The largest message: as set, or what the interface carries; a given transport has no interface that matters. */
function maxlenOf(options: SyncMasterOptions, sysctls: Sysctls): DefaultSyncMaxlen {
  const { syncMaxlen: bytes, transport } = options
  const { family, mtu } =
    transport === undefined ? linkOf(options, sysctls) : { family: 'ipv4' as const, mtu: undefined }
  const carried = masterSyncMaxlen(family, mtu)
  if (bytes === undefined) return carried
  const fits = mtu === undefined || bytes <= mtu - packetHeaders(family)
  const fate = fits ? '' : `; an MTU of ${mtu} bytes carries it in fragments, and one lost fragment loses the message`
  return { bytes, reason: `${bytes} bytes, as set${fate}` }
}
