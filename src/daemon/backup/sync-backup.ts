/**
 * A backup, ready-made: the engine, UDP and the real clock.
 *
 * @module
 */

import type { EventEmitter } from 'node:events'
import { networkHolds, type Network } from '../../addresses.js'
import { setImmediate as turn } from 'node:timers/promises'
import { demandKnownOptions, type OptionNames } from '../../demand.js'
import { IpvsSyncError } from '../../errors.js'
import { BackupEngine } from '../../engine/backup/backup.js'
import { DEFAULT_MAX_CONNECTIONS, parseAccepted, type BackupEngineOptions } from '../../engine/backup/options.js'
import type { BackupCounters } from '../../engine/backup/counters.js'
import { SenderBook, type IgnoredSender, type SenderReport } from '../../engine/backup/senders.js'
import type { ConnectionEvent, NoticeEvent, ProblemEvent } from '../../engine/events.js'
import { verifySysctls, type Sysctls } from '../../sysctl/settings.js'
import type { ConnectionKey, ConnectionTable, TableCount } from '../../table/connection-table.js'
import { backupSyncMaxlen, heldSyncMaxlen } from '../../transport/sync-maxlen.js'
import { ownAddresses } from '../../transport/interfaces.js'
import { readLinkCounters } from '../../transport/link-counters.js'
import { PortsBeyond } from '../../transport/ports-beyond.js'
import { nodeSystem } from '../../transport/system.js'
import type { ReceivingTransport, SealReport } from '../../transport/transport.js'
import type { Milliseconds, TimestampMs } from '../../units.js'
import type { TableConnection } from '../../wire/connection.js'
import { readKeyFile } from '../../trust/keys.js'
import { SYNC_PORT, type FlagChecks, MAX_CHANNELS } from '../../wire/constants.js'
import { MessageView } from '../../wire/message-view.js'
import { WorkerPool, type PoolOutlets } from '../workers/worker-pool.js'
import type { Clock } from '../clock.js'
import { BackupMonitor } from './backup-monitor.js'
import { latchedSettings } from '../latched-settings.js'
import { Lifecycle } from '../lifecycle.js'
import { ContainedEmitter } from '../runner.js'
import { LocalBackup, type BackupWork } from './local-backup.js'
import { createReceiver, sealOverhead } from '../sealing.js'
import {
  clockOf,
  demandChannels,
  linkOf,
  tableOf,
  SYNC_OPTIONS,
  udpOptionsOf,
  type SyncOptions
} from '../sync-options.js'
import { planUdp, type UdpOptions } from '../../transport/udp-options.js'

/** Options of a {@link SyncBackup}. */
export interface SyncBackupOptions extends SyncOptions {
  /** 0…255. Messages with another one are ignored; 0, the default, accepts every one. */
  readonly syncid?: number
  /**
   * Networks (`10.9.0.0/24`, `fd00::1`) whose messages are accepted. By default all; with peers, those of them that are not
   * this host. Anyone who can send to the group can create connections; this list restricts senders.
   */
  readonly accept?: readonly string[]
  /** Which generation of kernel judges flags and template states. `strict`, the newest, by default. */
  readonly flagChecks?: FlagChecks
  /** Brings the messages instead of UDP. */
  readonly transport?: ReceivingTransport
  /**
   * Number of worker threads that the channels are spread over, at most one for each of sync_ports: for when one core is not
   * enough. 0, the default, and 1 do all the work in the calling thread.
   *
   * Each worker has sockets, an engine and its own table (`maxConnections` is the limit of each), so `transport`, `clock` and
   * `system` are refused. A connection that a master announces on another channel moves to that channel's worker.
   * {@link SyncBackup.table} is a copy then. Counters are up to 200 ms old, and events come in batches; events that listeners
   * are too slow for are omitted and counted in `eventsLost`.
   */
  readonly workers?: number
}

const OPTIONS: OptionNames<SyncBackupOptions> = {
  ...SYNC_OPTIONS,
  syncid: true,
  accept: true,
  flagChecks: true,
  transport: true,
  workers: true
}

/** Events of a {@link SyncBackup}. */
export interface SyncBackupEvents {
  /** The sockets are open. The argument describes them, for a person. */
  listening: [description: string]
  /** A connection was created, updated or replaced. The event is made only if it has a listener: each costs an object. */
  connection: [event: ConnectionEvent]
  /** A connection expired. The event is made only if it has a listener. */
  expired: [event: ConnectionEvent]
  /** A message has a problem. */
  problem: [event: ProblemEvent]
  /** Information for a person; the backup continues. */
  notice: [event: NoticeEvent]
  /**
   * A socket failed after the start; where nobody listens for this, it passes. With `ERR_WORKER` a worker ended by itself, and
   * the backup closes: where nobody listens, that is thrown.
   */
  error: [error: IpvsSyncError]
  /** Everything is closed. */
  close: []
}

/** Interval between two checks of the figures. */
const MONITOR_INTERVAL: Milliseconds = 1000
/** Senders on ports beyond sync_ports that are remembered. */
const MAX_BEYOND = 16

/**
 * Keeps the connections that masters announce.
 *
 * @example
 * ```ts
 * await using backup = new SyncBackup({ mcastInterface: 'eth1', accept: ['10.9.0.0/24'] })
 * backup.on('connection', ({ change, connection }) => log(change, connection.client.address))
 * await backup.start()
 * ```
 */
export class SyncBackup extends ContainedEmitter<SyncBackupEvents> {
  /** Number of worker threads; 0 if all the work is done in this one. */
  readonly workers: number
  readonly #options: SyncBackupOptions
  readonly #work: BackupWork
  readonly #clock: Clock
  readonly #life: Lifecycle
  readonly #started: Sysctls
  readonly #monitor: BackupMonitor
  readonly #accepted: readonly Network[]
  readonly #view = new MessageView()
  readonly #beyond = new SenderBook(MAX_BEYOND)
  #portsBeyond: PortsBeyond | undefined
  #unwatch: () => void = () => undefined
  #sysctls: Sysctls
  #description = ''

  /**
   * @param options - Options.
   * @throws IpvsSyncError `ERR_CONFIG`, `ERR_GROUP` or `ERR_INTERFACE`, whose `field` names the option.
   */
  constructor(options: SyncBackupOptions) {
    super()
    demandKnownOptions(options, OPTIONS)
    this.#options = options
    this.#sysctls = verifySysctls(options.sysctls ?? {})
    this.#started = this.#sysctls
    this.#clock = clockOf(options)
    this.workers = verifyWorkers(options.workers ?? 0, this.#sysctls.syncPorts)
    const outlets: PoolOutlets = {
      tell: (event) => {
        if (event.type === 'connection') this.emit(event.change === 'expired' ? 'expired' : 'connection', event)
        else if (event.type === 'problem') this.emit('problem', event)
        else if (event.type === 'notice') this.emit('notice', event)
      },
      fail: (error) => {
        if (this.listenerCount('error') > 0) this.emit('error', error)
      },
      lost: (error) => {
        void this.close()
        // Unlike a socket's failure it ends the work: without a listener it is thrown, as Node does with an emitter's errors.
        this.emit('error', error)
      }
    }
    if (this.workers > 0) {
      this.#work = this.#pool(outlets)
    } else {
      const options = this.#options
      const { syncid = 0, system, clock } = options
      const transport =
        options.transport ??
        createReceiver(options, { udp: udpOptionsOf(options, this.#sysctls), syncid, system, clock })
      demandChannels(transport, this.#sysctls)
      const engine = { ...engineOptionsOf(options, this.#sysctls), table: tableOf(options) }
      this.#work = new LocalBackup({ engine, transport, clock: this.#clock }, outlets)
    }
    this.#accepted = parseAccepted(options.accept ?? [])
    this.#monitor = new BackupMonitor({
      syncid: options.syncid ?? 0,
      port: options.mcastPort ?? SYNC_PORT,
      channels: this.#sysctls.syncPorts,
      maxConnections: this.maxConnections,
      description: () => this.#description
    })
    // Events of changes cost an object each: the engine makes them while they have a listener.
    const update = (added?: string | symbol): void => {
      const has = (name: keyof SyncBackupEvents): boolean => name === added || this.listenerCount(name) > 0
      this.#work.listen({ changes: has('connection') || has('expired'), problems: has('problem') })
    }
    // Node's own two events are not in the map of ours.
    const plain = this as unknown as EventEmitter
    plain.on('newListener', update)
    plain.on('removeListener', () => update())
    this.#life = new Lifecycle({
      open: () => this.#open(),
      close: () => this.#close(),
      signal: options.signal
    })
  }

  /**
   * Its connections. Pass it to a master to announce them after a change of role.
   *
   * With workers it is a copy in this thread, as of the last {@link SyncBackup.copyTable} or, once closed, of the close; before
   * the start it is the table of the options. {@link SyncBackup.get} and {@link SyncBackup.connections} read the workers'.
   */
  get table(): ConnectionTable {
    return this.#work.table
  }

  /** Number of connections. */
  get size(): number {
    return this.#work.size
  }

  /** Maximum number of connections: of all workers where there are some. */
  get maxConnections(): number {
    const { table, maxConnections = DEFAULT_MAX_CONNECTIONS } = this.#options
    return table?.maxConnections ?? maxConnections * Math.max(this.workers, 1)
  }

  /** Whether the sockets are open. */
  get listening(): boolean {
    return this.#life.isOpen
  }

  /** Whether there is something to take over: a valid message was received, or the table holds connections. */
  get ready(): boolean {
    return this.listening && (this.size > 0 || this.senders().length > 0)
  }

  /** Whether this director may hand out packets: not while it is a running backup with `backup_only` set. */
  get directing(): boolean {
    return !this.listening || this.#sysctls.backupOnly === 0
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
    if (await this.#life.open()) this.emit('listening', this.#description)
  }

  /**
   * Takes new settings, all at once, from the next message on. sync_ports and sync_sock_size wait for the next start,
   * and notices say so.
   *
   * @param sysctls - What is left out keeps its value.
   * @throws IpvsSyncError `ERR_CONFIG`, and nothing has changed.
   */
  configure(sysctls: Partial<Sysctls>): void {
    const settings = verifySysctls({ ...this.#sysctls, ...sysctls })
    this.#work.configure(settings)
    this.#sysctls = settings
    const latched = latchedSettings(this.#started, settings, ['SYNC_PORTS_LATCHED', 'SYNC_SOCK_SIZE_LATCHED'])
    for (const notice of latched) this.emit('notice', notice)
  }

  /** Returns the counters: a copy. */
  counters(): BackupCounters {
    return this.#work.counters()
  }

  /** Returns the senders, the most recent first; at most 1024 are remembered. */
  senders(): SenderReport[] {
    return this.#work.senders()
  }

  /** Senders whose messages were dropped because of their syncid or address, the latest first; at most 64 of each reason. */
  ignored(): IgnoredSender[] {
    return this.#work.ignored()
  }

  /** Senders of messages of ours to ports beyond sync_ports, which are not received: a master with a larger sync_ports. */
  sendersBeyond(): SenderReport[] {
    return this.#beyond.report(this.#clock.now())
  }

  /** Returns the number of messages that the receive buffers had no room for; undefined if the system does not report it. */
  receiveDrops(): number | undefined {
    return this.#work.receiveDrops()
  }

  /** Returns verdicts, sequences and repairs of sealed messages; undefined without keys. */
  sealReport(): SealReport | undefined {
    return this.#work.sealReport()
  }

  /** Returns the number of connections by protocol and origin; zero counts are omitted. */
  tableCounts(): TableCount[] {
    return this.#work.tableCounts()
  }

  /**
   * Returns the connection with a key, with and without workers.
   *
   * @throws IpvsSyncError `ERR_ENCODE` or `ERR_USAGE` for a key that cannot be read; `ERR_WORKER` if a worker ends unexpectedly.
   */
  async get(key: ConnectionKey): Promise<TableConnection | undefined> {
    return this.#work.get(key)
  }

  /** Returns whether there is a connection with a key. Throws as {@link SyncBackup.get}. */
  async has(key: ConnectionKey): Promise<boolean> {
    return (await this.get(key)) !== undefined
  }

  /**
   * Yields every connection, with and without workers. Other work continues between two portions, and the table may change: a
   * connection that moves to another worker during the walk may be missed or yielded in both states.
   *
   * @throws IpvsSyncError `ERR_USAGE` if workers are closed during the walk, `ERR_WORKER` if one ends unexpectedly.
   */
  async *connections(): AsyncGenerator<TableConnection> {
    for await (const portion of this.#work.portions()) yield* portion
  }

  /**
   * Yields a packed snapshot of the table, with and without workers; `ConnectionTable.restore` loads it, and the `table` option
   * gives it to another backup. Throws as {@link SyncBackup.connections}.
   *
   * @param savedAt - Milliseconds since 1970.
   */
  async *snapshot(savedAt: TimestampMs = Date.now()): AsyncGenerator<Uint8Array> {
    for (const block of (await this.copyTable()).snapshot(savedAt)) {
      yield block
      await turn()
    }
  }

  /**
   * Returns a table with all connections, for a master after a change of role: {@link SyncBackup.table}, which with workers is
   * copied from them first. The packet counter of a copied connection is the first number of sync_threshold.
   *
   * @throws IpvsSyncError `ERR_WORKER` if a worker ends unexpectedly.
   */
  copyTable(): Promise<ConnectionTable> {
    return this.#work.copyTable()
  }

  /** Closes the sockets; the table stays, those of workers as a copy. Calling it again waits for the first call. */
  async close(): Promise<void> {
    await this.#life.close({})
  }

  /** For `await using`: as {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #open(): Promise<void> {
    this.#description = await this.#work.open()
    if (this.#options.mcastInterface !== undefined) {
      this.#portsBeyond = new PortsBeyond(udpOptionsOf(this.#options, this.#started), this.#options.system)
      await this.#portsBeyond.open((bytes, from, channel) => {
        // Counts what the channels that we do not receive would have brought.
        const { syncid = 0 } = this.#options
        const view = this.#view
        const isOurs = view.reset(bytes) && view.count > 0 && (syncid === 0 || view.syncid === syncid)
        const { address } = from
        if (!isOurs || (this.#accepted.length > 0 && !this.#accepted.some((network) => networkHolds(network, address))))
          return
        this.#beyond.record(from, view.syncid, view.version, bytes.length, channel, this.#clock.now())
      })
    }
    this.#watch()
  }

  /** Compares the figures every second, and reports what changed. */
  #watch(): void {
    const { mcastInterface, system = nodeSystem } = this.#options
    const figures = {
      counters: this.counters(),
      senders: this.senders(),
      ignored: this.ignored(),
      beyond: this.sendersBeyond(),
      receiveDrops: this.receiveDrops(),
      link: readLinkCounters(system, mcastInterface)
    }
    for (const notice of this.#monitor.check(figures, this.#clock.now())) this.emit('notice', notice)
    this.#unwatch = this.#clock.after(MONITOR_INTERVAL, () => this.#watch())
  }

  async #close(): Promise<void> {
    this.#unwatch()
    await this.#portsBeyond?.close()
    await this.#work.close()
    this.emit('close')
  }

  #pool(outlets: PoolOutlets): WorkerPool {
    const options = this.#options
    // Functions do not leave their thread.
    const field = (['transport', 'clock', 'system'] as const).find((name) => options[name] !== undefined)
    if (field !== undefined) {
      const message = `${field}: expected undefined with workers, whose threads it cannot reach`
      throw new IpvsSyncError('ERR_CONFIG', message, { field })
    }
    const engine = engineOptionsOf(options, this.#sysctls)
    const { table, keyFile, requireKey = false } = options
    const { maxConnections = table?.maxConnections ?? DEFAULT_MAX_CONNECTIONS } = options
    if (sealOverhead(options) > 0) readKeyFile(keyFile!)
    // A worker could only report a wrong option as its own failure.
    new BackupEngine({ ...engine, table: tableOf(options) })
    const tasks = splitChannels(udpOptionsOf(options, this.#sysctls), this.workers).map((udp) => ({
      udp,
      engine,
      maxConnections,
      ...(keyFile !== undefined && {
        sealing: { keyFile, requireKey, firstChannel: udp.mcastPort! - (options.mcastPort ?? SYNC_PORT) }
      })
    }))
    const copy = { table: tableOf({ maxConnections, ...options }), packets: this.#sysctls.syncThreshold[0] }
    return new WorkerPool(tasks, outlets, copy)
  }
}

function engineOptionsOf(options: SyncBackupOptions, settings: Sysctls): BackupEngineOptions {
  const { syncid = 0, expires = true, flagChecks = 'strict', peers = [], system = nodeSystem, syncMaxlen } = options
  // A unicast backup accepts its peers. One that is an own address is where it listens, and limits nobody.
  const own = ownAddresses(system)
  const remote = peers.map(({ address }) => address.replace(/%.*$/, '')).filter((address) => !own.has(address))
  const { family, mtu } =
    options.transport === undefined ? linkOf(options, settings) : { family: 'ipv4' as const, mtu: undefined }
  return {
    syncid,
    expires,
    flagChecks,
    accept: options.accept ?? (remote.length === peers.length ? remote : []),
    syncMaxlen: syncMaxlen === undefined ? backupSyncMaxlen(family, mtu).bytes : heldSyncMaxlen(syncMaxlen),
    settings
  }
}

/**
 * Verifies a number of workers.
 *
 * @returns 0 where the work is done in the calling thread: for 0, which is the default, and for 1.
 * @throws IpvsSyncError `ERR_CONFIG` for what is no number of workers, or for more than there are channels.
 */
export function verifyWorkers(workers: number, channels: number): number {
  if (!Number.isInteger(workers) || workers < 0 || workers > MAX_CHANNELS) {
    throw new IpvsSyncError('ERR_CONFIG', `workers is ${workers}: it takes a whole number, 0…${MAX_CHANNELS}`, {
      field: 'workers'
    })
  }
  if (workers > channels) {
    const message =
      `workers is ${workers} and sync_ports ${channels}: a channel is one worker's, ` +
      'so set sync_ports to at least as many (here and at the master), or ask for fewer workers'
    throw new IpvsSyncError('ERR_CONFIG', message, { field: 'workers' })
  }
  return workers < 2 ? 0 : workers
}

/**
 * Parts channels into runs of ports, as even as they go: 8 channels for 3 workers are 2, 3 and 3.
 *
 * @param udp - Where all of them listen.
 * @param workers - 1…channels.
 * @throws IpvsSyncError `ERR_CONFIG`, `ERR_GROUP`, `ERR_INTERFACE`: see `planUdp`.
 */
export function splitChannels(udp: UdpOptions, workers: number): UdpOptions[] {
  const { channels, port, peers } = planUdp(udp)
  return Array.from({ length: workers }, (_, worker) => {
    const first = Math.floor((worker * channels) / workers)
    const next = Math.floor(((worker + 1) * channels) / workers)
    return {
      ...udp,
      mcastPort: port + first,
      peers: peers.map((peer) => ({ address: peer.address, port: peer.port + first })),
      channels: next - first
    }
  })
}
