/**
 * An agent with sockets, files and the kernel: one process on each director, so that a director that returns has the full
 * table before it takes over.
 *
 * @module
 */

import { demandKnownOptions } from '../demand.js'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import type { AgentEvent, AgentOutcome, TableSource } from './protocol/options.js'
import { AgentEngine, type AgentReport } from './protocol/agent-engine.js'
import { IpvsSyncError } from '../errors.js'
import { CONNECTIONS_FILE } from '../procfs/kernel-table.js'
import { verifySysctls, type Sysctls } from '../sysctl/settings.js'
import type { ConnectionTable } from '../table/connection-table.js'
import { nodeSystem } from '../transport/system.js'
import type { ReceivingTransport, SendingTransport, TransportHandlers } from '../transport/transport.js'
import { SYNC_GROUP, SYNC_PORT } from '../wire/constants.js'
import type { Bytes, Milliseconds } from '../units.js'
import { Announcing } from './announcing.js'
import { AgentRole } from './keepalived.js'
import { AgentKernel, kernelSender, type MessageOptions } from './kernel.js'
import { AgentNotices } from './notices.js'
import { AGENT_OPTIONS, type AgentEvents, type AgentOptions } from './options.js'
import { readReceiveCapacity } from './receive-capacity.js'
import { AgentStore } from './store.js'
import type { Clock } from '../daemon/clock.js'
import { Lifecycle } from '../daemon/lifecycle.js'
import { Repeater } from '../daemon/repeater.js'
import { captureSource, interfaceSource, OwnMaster } from './own/own-master.js'
import { AgentReadyFile, READY_FILE_PERIOD, type TransferState } from './ready-file.js'
import { ContainedEmitter, Runner } from '../daemon/runner.js'
import type { AgentMetrics } from '../daemon/http/metrics.js'
import { createReceiver, createSealer, createSender, sealOverhead } from '../daemon/sealing.js'
import { readKeyFile } from '../trust/keys.js'
import { SyncBackup } from '../daemon/backup/sync-backup.js'
import type { SyncMaster } from '../daemon/master/sync-master.js'
import { clockOf, linkOf, tableOf, udpOptionsOf, pickSyncOptions } from '../daemon/sync-options.js'
import { tableMessages } from '../engine/full-table/bulk-messages.js'
import { masterSyncMaxlen } from '../transport/sync-maxlen.js'

/** Interval of reads of the kernel's table: by itself, and beside what its master announces. Both are less than the timeouts. */
const KERNEL_INTERVAL: Milliseconds = 5000
const KERNEL_INTERVAL_OWN: Milliseconds = 300_000
/** Interval at which a due read is noticed. */
const KERNEL_TICK: Milliseconds = 1000
const TRANSFER_TICK: Milliseconds = 1000
const KERNEL_LIMIT: Milliseconds = 60_000
const OUTCOMES: readonly AgentOutcome[] = ['complete', 'incomplete', 'alone']
const ANNOUNCE_INTERVAL: Milliseconds = 1000
const STORE_INTERVAL: Milliseconds = 60_000

/** Source from which an agent learns the connections of its host's kernel. */
export type OwnSourceName = 'capture' | 'interface' | 'table'
const OWN_SOURCES: readonly OwnSourceName[] = ['capture', 'interface', 'table']

/** The source of the own kernel's announcements. */
interface OwnKernel {
  readonly name: OwnSourceName
  readonly where: string
  readonly master: OwnMaster
}

/**
 * Keeps a warm table, requests a full one when its director starts, sends its own to others, and reports when it is ready.
 *
 * @example
 * ```ts
 * await using agent = new Agent({ mcastInterface: 'eth1', syncid: 51, store: '/var/lib/ipvs-sync/table' })
 * agent.on('status', (ready, text) => log(ready ? 'may take over:' : 'wait:', text))
 * await agent.start()
 * ```
 */
export class Agent extends ContainedEmitter<AgentEvents> {
  readonly #options: AgentOptions
  readonly #clock: Clock
  readonly #engine: AgentEngine
  readonly #runner: Runner<AgentEvent>
  readonly #receiver: ReceivingTransport
  readonly #sender: SendingTransport
  readonly #messages: MessageOptions
  readonly #life: Lifecycle
  readonly #notices = new AgentNotices((code, text) => this.#notice(code, text))
  readonly #readyFile: AgentReadyFile
  readonly #role: AgentRole | undefined
  readonly #repeater: Repeater
  readonly #store: AgentStore | undefined
  #sysctls: Sysctls
  #table: ConnectionTable
  #backup: SyncBackup | undefined
  #announcing: Announcing | undefined
  #kernel: AgentKernel | undefined
  #own: OwnKernel | undefined

  /**
   * @param options - Options.
   * @throws IpvsSyncError `ERR_CONFIG`, `ERR_GROUP` or `ERR_INTERFACE`, whose `field` names the option.
   */
  constructor(options: AgentOptions) {
    super()
    demandKnownOptions(options, AGENT_OPTIONS)
    this.#options = options
    if (options.own === 'capture' && options.mcastInterface === undefined)
      throw new IpvsSyncError('ERR_CONFIG', 'own: expected mcastInterface beside "capture", got undefined', {
        field: 'own'
      })
    const sysctls = verifySysctls(options.sysctls ?? {})
    this.#sysctls = sysctls
    this.#clock = clockOf(options)
    this.#table = tableOf(options)
    this.#repeater = new Repeater(this.#clock)
    this.#readyFile = new AgentReadyFile(options.readyFile, () => this.#wallClock(), this.#notices)
    this.#role = this.#createRole()
    this.#store = this.#createStore()
    const udp = udpOptionsOf(options, sysctls)
    const { syncid = 0, system, clock, wallClock, keyFile } = options
    // One sealer for both, so that its receiver responds to challenges of what its sender sends.
    const sealer = keyFile === undefined ? undefined : createSealer(readKeyFile(keyFile), wallClock)
    const parts = { syncid, system, clock, wallClock, sealer }
    this.#receiver = options.receiver ?? createReceiver(options, { ...parts, udp })
    // One channel, so one source port: a requester recognises the answer by it. Every receiver listens on the first.
    // Lost messages of an answer are requested by the agent protocol, so the sender keeps none for repair.
    this.#sender = options.sender ?? createSender(options, { ...parts, udp: { ...udp, channels: 1 } }, false)
    this.#messages = {
      syncid,
      maxLength: (options.syncMaxlen ?? answerMaxlen(options, sysctls)) - sealOverhead(options),
      rate: options.rate
    }
    const { rate, answers = true, accept = [], times = {} } = options
    this.#engine = new AgentEngine({
      ...(rate !== undefined && { rate }),
      ...{ answers, accept, times },
      id: options.id ?? randomBytes(8).toString('hex'),
      syncid: this.#messages.syncid,
      capacity: readReceiveCapacity(system ?? nodeSystem, sysctls),
      chance: () => randomBytes(4).readUInt32BE() / 2 ** 32,
      table: this.#source(),
      maxLength: this.#messages.maxLength,
      verifies: options.verifyKernel === true,
      restores: options.kernel !== false && options.restore !== false
    })
    this.#runner = new Runner(this.#engine, this.#clock, {
      transmit: () => {
        while (this.#sender.writable(0)) {
          const datagram = this.#engine.pollTransmit()
          if (datagram === undefined) return
          this.#sender.send(0, datagram.bytes)
        }
      },
      event: (event) => this.#take(event)
    })
    this.#life = new Lifecycle({ open: () => this.#open(), close: () => this.#close(), signal: options.signal })
  }

  /** The connections. A table that was stored replaces this one at the start. */
  get table(): ConnectionTable {
    return this.#table
  }

  /** Whether the sockets are open. */
  get listening(): boolean {
    return this.#life.isOpen
  }

  /** Whether this director may take over. */
  get ready(): boolean {
    return this.listening && this.#engine.ready
  }

  /** Why this director may take over; undefined while it may not. */
  get outcome(): AgentOutcome | undefined {
    return this.listening ? this.#engine.report().outcome : undefined
  }

  /** The state in one line. */
  get status(): string {
    const source = this.ownSource
    const ownText =
      source === undefined
        ? ''
        : source === 'table'
          ? '; own kernel: its table alone'
          : `; own kernel: ${source} ${this.#own!.where} (misses connections that were never announced)`
    return `${this.#engine.statusText()}${ownText}`
  }

  /** The table that is being received; undefined if none is. */
  get transfer(): TransferState | undefined {
    if (!this.listening || !this.#engine.isReceiving) return undefined
    const { received, expected, rate, remainingMs } = this.#engine.report()
    return { received, expected, rate, remainingMs }
  }

  /** The current source of the kernel's connections; undefined without a kernel's table. */
  get ownSource(): OwnSourceName | undefined {
    if (this.#own?.master.report().isCovering === true) return this.#own.name
    return this.#kernel === undefined ? undefined : 'table'
  }

  /** The current settings: frozen. */
  get sysctls(): Sysctls {
    return this.#sysctls
  }

  /** The backup; undefined before the start. */
  get backup(): SyncBackup | undefined {
    return this.#backup
  }

  /** The master, while keepalived reports MASTER. */
  get master(): SyncMaster | undefined {
    return this.#announcing?.master
  }

  /** Returns the state and the counters. */
  report(): AgentReport {
    return this.#engine.report()
  }

  /** Returns figures for Prometheus. */
  metrics(): AgentMetrics {
    const { outcome, agents, tablesSent, tablesReceived, rejected } = this.report()
    const age = this.#store?.age
    const { transfer, ownSource } = this
    const kernel = this.#kernel
    const own = this.#own?.master.report()
    const lag = kernel === undefined || kernel.succeededAt === 0 ? undefined : this.#clock.now() - kernel.succeededAt
    return {
      ready: this.ready,
      announcing: this.master !== undefined,
      outcome: Object.fromEntries(OUTCOMES.map((name) => [name, Number(name === outcome)])),
      peers: agents.length,
      tablesSent,
      tablesReceived,
      rejected,
      kernelConnections: kernel?.connections,
      kernelReadSeconds: kernel && kernel.lastRead.total / 1000,
      kernelReadSystemSeconds: kernel && kernel.lastRead.kernel / 1000,
      kernelReadAgeSeconds: lag === undefined ? undefined : lag / 1000,
      kernelReadSuccess: lag === undefined ? undefined : (this.#wallClock() - lag) / 1000,
      ownSource: ownSource && Object.fromEntries(OWN_SOURCES.map((name) => [name, Number(name === ownSource)])),
      ownMessages: own?.messages,
      ownConnections: own?.connections,
      ownGaps: own?.gaps,
      ownDrops: own?.drops,
      transferReceived: transfer?.received,
      transferExpected: transfer?.expected,
      transferRate: transfer?.rate,
      transferRemainingSeconds: transfer?.remainingMs === undefined ? undefined : transfer.remainingMs / 1000,
      storeAgeSeconds: age === undefined ? undefined : age / 1000
    }
  }

  /**
   * Changes settings, all at once. sync_ports and sync_sock_size take effect at the next start.
   *
   * @param sysctls - Settings that are omitted keep their value.
   * @throws IpvsSyncError `ERR_CONFIG`, and nothing has changed.
   */
  configure(sysctls: Partial<Sysctls>): void {
    this.#sysctls = verifySysctls({ ...this.#sysctls, ...sysctls })
    this.#backup?.configure(this.#sysctls)
    this.master?.configure(this.#sysctls)
  }

  /**
   * Loads the stored table, opens the sockets and requests a table.
   *
   * @throws IpvsSyncError `ERR_IO` for a stored table that cannot be read, and what opening sockets throws.
   */
  async start(): Promise<void> {
    if (!(await this.#life.open())) return
    this.emit('listening', this.#receiver.description)
    this.#engine.start(this.#clock.now())
    this.#runner.settle()
    this.#role?.start()
  }

  /** Sends what the master holds, saves the table and removes the ready file. A second call waits for the first. */
  async close(): Promise<void> {
    await this.#life.close({})
  }

  /** Closes the agent: for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #open(): Promise<void> {
    this.#readyFile.remove()
    this.#table = (await this.#store?.load()) ?? this.#table
    this.#announcing = this.#createAnnouncing()
    this.#backup = this.#createBackup()
    const backup = this.#backup
    await backup.start()
    try {
      await this.#sender.start({
        onWritable: () => this.#runner.settle(),
        onNotice: ({ code, message }) => this.#notice(code, message),
        onError: (error) => this.#fail(error)
      })
    } catch (error) {
      await backup.close()
      throw error
    }
    // The source is open before the table is read, so that no connection falls between the two.
    this.#own = this.#createOwn()
    await this.#own?.master.start()
    await this.#startKernel(this.#announcing)
    const period = (): Milliseconds => (this.transfer === undefined ? READY_FILE_PERIOD : TRANSFER_TICK)
    this.#repeater.add({ interval: period, rest: 0, action: () => this.#readyFile.write(this) })
    this.#repeater.add({
      interval: () => this.#options.storeInterval ?? STORE_INTERVAL,
      rest: 9,
      action: () => this.#store?.save(this.#table)
    })
  }

  /** Returns the table at the time of each answer: a stored one replaces the first one. */
  #source(): TableSource {
    const current = (): ConnectionTable => this.#table
    const { syncid, maxLength } = this.#messages
    return {
      get size() {
        return current().size
      },
      messages: () => tableMessages(current(), { version: 1, syncid, maxLength, channels: 1 })[Symbol.iterator]()
    }
  }

  #createStore(): AgentStore | undefined {
    const { store: path } = this.#options
    if (path === undefined) return undefined
    return new AgentStore({
      path,
      clock: this.#clock,
      wallClock: () => this.#wallClock(),
      empty: () => tableOf(this.#options),
      notices: this.#notices
    })
  }

  #createRole(): AgentRole | undefined {
    const { notifyFifo: path, instance } = this.#options
    if (path === undefined) return undefined
    return new AgentRole({
      path,
      instance,
      clock: this.#clock,
      notices: this.#notices,
      onRole: (isMaster) => {
        this.emit('role', isMaster)
        if (this.#options.announce !== false) this.#announcing!.want(isMaster)
      }
    })
  }

  #createBackup(): SyncBackup {
    const { syncid, accept } = this.#options
    // Passes datagrams to the engine first; messages between agents are not for the backup.
    const receiver = this.#receiver
    const withoutAgentMessages = {
      channels: receiver.channels,
      description: receiver.description,
      start: (handlers: TransportHandlers) =>
        receiver.start({
          ...handlers,
          onDatagram: (bytes, from, channel) => {
            if (this.#engine.handleDatagram(bytes, from, this.#clock.now())) this.#runner.settle()
            else handlers.onDatagram?.(bytes, from, channel)
          }
        }),
      close: () => receiver.close(),
      receiveDrops: () => receiver.receiveDrops(),
      sealReport: () => receiver.sealReport?.()
    }
    const backup = new SyncBackup({
      ...pickSyncOptions(this.#options),
      ...(syncid !== undefined && { syncid }),
      ...(accept !== undefined && { accept }),
      table: this.#table,
      transport: withoutAgentMessages
    })
    backup.on('notice', (event) => this.emit('notice', event))
    backup.on('error', (error) => this.#fail(error))
    return backup
  }

  #createAnnouncing(): Announcing {
    const { announcer, rate } = this.#options
    return new Announcing({
      options: () => ({
        ...pickSyncOptions(this.#options),
        ...(this.#options.syncid !== undefined && { syncid: this.#options.syncid }),
        sysctls: this.#sysctls,
        table: this.#table,
        ...(announcer !== undefined && { transport: announcer })
      }),
      clock: this.#clock,
      rate,
      look: () => this.#look(),
      notify: this.#notices.notify
    })
  }

  /** Creates the source of the own kernel's announcements; undefined if only the kernel's table is read. */
  #createOwn(): OwnKernel | undefined {
    const { own = 'auto', mcastInterface, mcastGroup = SYNC_GROUP, mcastPort = SYNC_PORT } = this.#options
    const { kernel, kernelFiles, system, captureProgram: program } = this.#options
    if (own === 'table') return undefined
    if (own === 'auto') {
      const hasTable = kernel !== false && existsSync(kernelFiles?.connections ?? CONNECTIONS_FILE)
      if (!hasTable || mcastInterface === undefined) return undefined
    }
    const isCapture = own === 'auto' || own === 'capture'
    const where = isCapture ? mcastInterface! : own
    const udp = { ...udpOptionsOf(this.#options, this.#sysctls), mcastInterface: where, peers: [] }
    const master = new OwnMaster({
      open: isCapture
        ? captureSource({ mcastInterface: where, mcastGroup, mcastPort, program })
        : interfaceSource(udp, system),
      description: isCapture ? `capture on ${where}` : `interface ${where}`,
      table: this.#table,
      clock: this.#clock,
      id: this.#engine.id,
      syncid: this.#messages.syncid,
      isAnnouncing: () => this.master !== undefined,
      notify: this.#notices.once,
      onGap: () => this.#kernel?.markStale()
    })
    return { name: isCapture ? 'capture' : 'interface', where, master }
  }

  async #startKernel(announcing: Announcing): Promise<void> {
    if (this.#options.kernel === false) return
    this.#kernel = await AgentKernel.open({
      table: this.#table,
      clock: this.#clock,
      files: this.#options.kernelFiles ?? {},
      limit: this.#options.kernelLimit ?? KERNEL_LIMIT,
      announcing,
      openSender: kernelSender(this.#options, this.#sysctls),
      messages: this.#messages,
      notify: this.#notices.once
    })
    const kernel = this.#kernel
    if (kernel === undefined) return
    const due = (): Milliseconds => {
      const isCovered = this.ownSource !== 'table'
      const { kernelInterval: usual = isCovered ? KERNEL_INTERVAL_OWN : KERNEL_INTERVAL } = this.#options
      return kernel.dueIn(this.master === undefined ? usual : Math.min(usual, ANNOUNCE_INTERVAL))
    }
    // A gap makes a read due at once, and a source that ended makes it due sooner.
    const read = (): unknown => (due() > 0 ? undefined : this.#look())
    this.#repeater.add({ interval: () => Math.min(Math.max(due(), 1), KERNEL_TICK), rest: 0, action: read })
  }

  async #close(): Promise<void> {
    this.#role?.close()
    this.#repeater.stop()
    this.#kernel?.end()
    await this.#own?.master.close()
    await this.#announcing!.close()
    this.#engine.close()
    this.#runner.stop()
    await this.#sender.flush()
    await this.#backup!.close()
    await this.#sender.close()
    await this.#store?.saveLast(this.#table)
    this.#readyFile.remove()
    this.emit('close')
  }

  #take(event: AgentEvent): void {
    switch (event.type) {
      case 'refresh':
        void this.#refresh()
        break
      case 'verify':
        void this.#verify((kernel) => kernel.complete())
        break
      case 'restore':
        void this.#verify((kernel) => kernel.restore())
        break
      case 'status':
        this.#readyFile.write(this)
        this.emit('status', event.ready, event.text)
        break
      case 'notice':
        this.emit('notice', event)
    }
  }

  /** Brings the table up to date before it is sent: one that is kept up to date is not read again too soon. */
  async #refresh(): Promise<void> {
    if (this.ownSource === 'table' || this.#kernel?.mayLook === true) await this.#look()
    this.#engine.refreshed(this.#clock.now())
    this.#runner.settle()
  }

  /** Without a kernel's table everything is missing there. */
  async #verify(look: (kernel: AgentKernel) => Promise<number>): Promise<void> {
    const missing = this.#kernel === undefined ? this.#table.size : await look(this.#kernel)
    this.#engine.verified(missing, this.#clock.now())
    this.#runner.settle()
  }

  /** Reads the kernel's table, if there is one; a failure is reported once. */
  #look(): Promise<number> {
    return this.#kernel?.look() ?? Promise.resolve(0)
  }

  #wallClock(): number {
    return (this.#options.wallClock ?? Date.now)()
  }

  #notice(code: string, message: string): void {
    this.emit('notice', Object.freeze({ type: 'notice', code, message }))
  }

  #fail(error: IpvsSyncError): void {
    if (this.listenerCount('error') > 0) this.emit('error', error)
  }
}

/** Returns the default length of the largest message of an answer: what the interface suggests to a master. */
function answerMaxlen(options: AgentOptions, sysctls: Sysctls): Bytes {
  if (options.sender !== undefined) return masterSyncMaxlen('ipv4', undefined).bytes
  const { family, mtu } = linkOf(options, sysctls)
  return masterSyncMaxlen(family, mtu).bytes
}
