/**
 * A backup, ready-made: the engine, UDP and the real clock.
 *
 * @module
 */

import { EventEmitter } from 'node:events'
import type { IpvsSyncError } from '../errors.js'
import { BackupEngine } from '../engine/backup.js'
import type { BackupEngineOptions } from '../engine/backup-options.js'
import type { BackupCounters } from '../engine/backup-counters.js'
import type { SenderReport } from '../engine/backup-senders.js'
import type { ConnectionEvent, EngineEvent, NoticeEvent, ProblemEvent } from '../engine/events.js'
import { verifySysctls, type Sysctls } from '../sysctl/settings.js'
import type { ConnectionTable } from '../table/connection-table.js'
import { backupSyncMaxlen } from '../transport/sync-maxlen.js'
import { ownAddresses } from '../transport/interfaces.js'
import { nodeSystem } from '../transport/system.js'
import type { ReceivingTransport } from '../transport/transport.js'
import { UdpReceiver } from '../transport/udp-receiver.js'
import type { FlagChecks } from '../wire/constants.js'
import type { Clock } from './clock.js'
import { Lifecycle } from './lifecycle.js'
import { Runner } from './runner.js'
import { clockOf, demandChannels, linkOf, tableOf, udpOptionsOf, type SyncOptions } from './sync-options.js'

/** What a {@link SyncBackup} is told. */
export interface SyncBackupOptions extends SyncOptions {
  /** 0…255. Messages with another one are ignored; 0, the default, accepts every one. */
  readonly syncid?: number
  /**
   * Networks (`10.9.0.0/24`, `fd00::1`) whose messages are accepted. By default all; with peers, those of them that are not
   * this host. Whoever can send to the group can make connections: this list is what limits it.
   */
  readonly accept?: readonly string[]
  /** Which generation of kernel judges flags and template states. `strict`, the newest, by default. */
  readonly flagChecks?: FlagChecks
  /** Hears of each slot before it is removed, where the table is shared: a master's `forget`. */
  readonly onRemove?: (slot: number) => void
  /** Brings the messages instead of UDP. */
  readonly transport?: ReceivingTransport
}

/** What a {@link SyncBackup} tells. */
export interface SyncBackupEvents {
  /** The sockets are open. The argument says where, for a person. */
  listening: [description: string]
  /** A connection was created, updated or replaced. Made only where somebody listens for it: each costs an object. */
  connection: [event: ConnectionEvent]
  /** A connection's time was over. Made only where somebody listens for it. */
  expired: [event: ConnectionEvent]
  /** Something is wrong with a message. */
  problem: [event: ProblemEvent]
  /** Something that a person should know, and that stops nothing. */
  notice: [event: NoticeEvent]
  /** A socket failed after the start. Where nobody listens for this, it passes. */
  error: [error: IpvsSyncError]
  /** Everything is closed. */
  close: []
}

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
export class SyncBackup extends EventEmitter<SyncBackupEvents> {
  /** Its connections. Pass it to a master to announce them after a change of role. */
  readonly table: ConnectionTable
  readonly #engine: BackupEngine
  readonly #transport: ReceivingTransport
  readonly #clock: Clock
  readonly #runner: Runner
  readonly #life: Lifecycle
  #sysctls: Sysctls

  /**
   * @param options - What it is told.
   * @throws IpvsSyncError `ERR_CONFIG`, `ERR_GROUP` or `ERR_INTERFACE`, whose `field` names the option.
   */
  constructor(options: SyncBackupOptions) {
    super()
    this.#sysctls = verifySysctls(options.sysctls ?? {})
    this.#clock = clockOf(options)
    this.table = tableOf(options)
    this.#transport = options.transport ?? new UdpReceiver(udpOptionsOf(options, this.#sysctls), options.system)
    demandChannels(this.#transport, this.#sysctls)
    this.#engine = new BackupEngine({
      ...engineOptionsOf(options),
      table: this.table,
      settings: this.#sysctls
    })
    this.#followListeners()
    this.#runner = new Runner(this.#engine, this.#clock, { event: (event) => this.#tell(event) })
    this.#life = new Lifecycle({
      open: () => this.#open(),
      close: () => this.#close(),
      signal: options.signal
    })
  }

  /** Whether the sockets are open. */
  get listening(): boolean {
    return this.#life.isOpen
  }

  /** Whether this director may hand out packets: not while it is a running backup with `backup_only` set. */
  get directing(): boolean {
    return !this.listening || this.#engine.directing
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
    this.emit('listening', this.#transport.description)
    this.#runner.settle()
  }

  /**
   * Takes new settings, all at once, from the next message on. sync_ports and sync_sock_size wait for the next start.
   *
   * @param sysctls - What is left out keeps its value.
   * @throws IpvsSyncError `ERR_CONFIG`, and nothing has changed.
   */
  configure(sysctls: Partial<Sysctls>): void {
    const settings = verifySysctls({ ...this.#sysctls, ...sysctls })
    this.#engine.configure(settings)
    this.#sysctls = settings
  }

  /** What was counted until now: a copy. */
  counters(): BackupCounters {
    return this.#engine.counters()
  }

  /** Who sent, last heard first; at most 1024 are remembered. */
  senders(): SenderReport[] {
    this.#engine.handleTimeout(this.#clock.now())
    return this.#engine.senders()
  }

  /** Messages that the receive buffers had no room for; undefined where the system does not tell. */
  receiveDrops(): number | undefined {
    return this.#transport.receiveDrops()
  }

  /** Closes the sockets. The table stays as it is. Calling it again waits for the first call. */
  async close(): Promise<void> {
    await this.#life.close({})
  }

  /** For `await using`: as {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #open(): Promise<void> {
    const engine = this.#engine
    const clock = this.#clock
    const runner = this.#runner
    await this.#transport.start({
      onDatagram: (bytes, from, channel) => {
        engine.handleDatagram(bytes, from, clock.now(), channel)
        runner.drain()
        runner.soon()
      },
      onNotice: ({ code, message }) => this.emit('notice', Object.freeze({ type: 'notice', code, message })),
      onError: (error) => this.#fail(error)
    })
  }

  async #close(): Promise<void> {
    await this.#transport.close()
    this.#engine.close()
    this.#runner.stop()
    this.emit('close')
  }

  /** Events of changes cost an object each: the engine makes them as long as somebody listens for them. */
  #followListeners(): void {
    const update = (added?: string | symbol): void => {
      const wanted = this.listenerCount('connection') + this.listenerCount('expired') > 0
      this.#engine.tellChanges(wanted || added === 'connection' || added === 'expired')
    }
    // Node's own two events are not in the map of ours.
    const plain = this as unknown as EventEmitter
    plain.on('newListener', update)
    plain.on('removeListener', () => update())
  }

  #tell(event: EngineEvent): void {
    if (event.type === 'connection') this.emit(event.change === 'expired' ? 'expired' : 'connection', event)
    else if (event.type === 'problem') this.emit('problem', event)
    else if (event.type === 'notice') this.emit('notice', event)
  }

  #fail(error: IpvsSyncError): void {
    if (this.listenerCount('error') > 0) this.emit('error', error)
  }
}

function engineOptionsOf(options: SyncBackupOptions): BackupEngineOptions {
  const { syncid = 0, expires = true, flagChecks = 'strict', onRemove } = options
  return {
    syncid,
    expires,
    flagChecks,
    accept: options.accept ?? remotePeers(options),
    syncMaxlen: options.syncMaxlen ?? defaultMaxlen(options),
    ...(onRemove !== undefined && { onRemove })
  }
}

/** Those whom a unicast backup listens to: an own address is where it listens, and limits nobody. */
function remotePeers({ peers = [], system = nodeSystem }: SyncBackupOptions): string[] {
  const own = ownAddresses(system)
  const remote = peers.map(({ address }) => address.replace(/%.*$/, '')).filter((address) => !own.has(address))
  return remote.length === peers.length ? remote : []
}

function defaultMaxlen(options: SyncBackupOptions): number {
  if (options.transport !== undefined) return backupSyncMaxlen('ipv4', undefined).bytes
  const { family, mtu } = linkOf(options, verifySysctls(options.sysctls ?? {}))
  return backupSyncMaxlen(family, mtu).bytes
}
