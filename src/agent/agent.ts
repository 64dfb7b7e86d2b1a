/**
 * An agent, ready-made: one process for each director, so that one that comes back has the whole table before it takes over.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import { EventEmitter } from 'node:events'
import type { AgentEvent, AgentOutcome, TableSource } from './protocol/options.js'
import { AgentEngine, type AgentReport } from './protocol/agent-engine.js'
import type { IpvsSyncError } from '../errors.js'
import { verifySysctls, type Sysctls } from '../sysctl/settings.js'
import type { ConnectionTable } from '../table/connection-table.js'
import { nodeSystem } from '../transport/system.js'
import type { ReceivingTransport, SendingTransport } from '../transport/transport.js'
import type { Bytes, Milliseconds } from '../units.js'
import { Announcing } from './announcing.js'
import { AgentKernel, bringerOf, type MessageOptions } from './kernel.js'
import { AgentNotices } from './notices.js'
import type { AgentEvents, AgentOptions } from './options.js'
import { AgentReadyFile } from './agent-ready-file.js'
import { readReceiveCapacity } from './receive-capacity.js'
import { AgentRole } from './role.js'
import { AgentStore } from './store.js'
import type { Clock } from '../daemon/clock.js'
import { Lifecycle } from '../daemon/lifecycle.js'
import { Repeater } from '../daemon/repeater.js'
import { READY_FILE_PERIOD } from './ready-file.js'
import { Runner } from '../daemon/runner.js'
import type { AgentMetrics } from '../daemon/http/metrics.js'
import { createReceiver, createSealer, createSender, sealOverhead } from '../daemon/sealing.js'
import { readKeyFile } from '../trust/keys.js'
import { SyncBackup } from '../daemon/backup/sync-backup.js'
import type { SyncMaster } from '../daemon/master/sync-master.js'
import { clockOf, linkOf, tableOf, udpOptionsOf, pickSyncOptions } from '../daemon/sync-options.js'
import { tableMessages } from '../engine/full-table/bulk-messages.js'
import { masterSyncMaxlen } from '../transport/sync-maxlen.js'
import { TappedReceiver } from './tapped-receiver.js'

const KERNEL_INTERVAL: Milliseconds = 5000
const KERNEL_LIMIT: Milliseconds = 60_000
const OUTCOMES: readonly AgentOutcome[] = ['complete', 'incomplete', 'alone']
const ANNOUNCE_INTERVAL: Milliseconds = 1000
const STORE_INTERVAL: Milliseconds = 60_000

/**
 * Keeps a warm table, asks for a whole one when it comes up, gives its own to others, and says when it is ready.
 *
 * @example
 * ```ts
 * await using agent = new Agent({ mcastInterface: 'eth1', syncid: 51, store: '/var/lib/ipvs-sync/table' })
 * agent.on('status', (ready, text) => log(ready ? 'may take over:' : 'wait:', text))
 * await agent.start()
 * ```
 */
export class Agent extends EventEmitter<AgentEvents> {
  readonly #options: AgentOptions
  readonly #clock: Clock
  readonly #engine: AgentEngine
  readonly #runner: Runner<AgentEvent>
  readonly #receiver: ReceivingTransport
  readonly #sender: SendingTransport
  readonly #messages: MessageOptions
  readonly #life: Lifecycle
  readonly #notices = new AgentNotices((text) => this.#notice(text))
  readonly #readyFile: AgentReadyFile
  readonly #role: AgentRole | undefined
  readonly #repeater: Repeater
  readonly #store: AgentStore | undefined
  #sysctls: Sysctls
  #table: ConnectionTable
  #backup: SyncBackup | undefined
  #announcing: Announcing | undefined
  #kernel: AgentKernel | undefined

  /**
   * @param options - Options.
   * @throws IpvsSyncError `ERR_CONFIG`, `ERR_GROUP` or `ERR_INTERFACE`, whose `field` names the option.
   */
  constructor(options: AgentOptions) {
    super()
    this.#options = options
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
    this.#engine = new AgentEngine({
      ...options,
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
      transmit: () => this.#transmit(),
      event: (event) => this.#take(event)
    })
    this.#life = new Lifecycle({ open: () => this.#open(), close: () => this.#close(), signal: options.signal })
  }

  /** Its connections. Another table after the start, where one was stored. */
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

  /** What it is at, in a line for a person. */
  get status(): string {
    return this.#engine.statusText()
  }

  /** The settings now: frozen. */
  get sysctls(): Sysctls {
    return this.#sysctls
  }

  /** The backup's part of it, from the start on. */
  get backup(): SyncBackup | undefined {
    return this.#backup
  }

  /** The master's part of it, while keepalived says MASTER. */
  get master(): SyncMaster | undefined {
    return this.#announcing?.master
  }

  /** What it has done so far. */
  report(): AgentReport {
    return this.#engine.report()
  }

  /** Figures for Prometheus. */
  metrics(): AgentMetrics {
    const { outcome, agents, tablesSent, tablesReceived, rejected } = this.report()
    const age = this.#store?.age
    return {
      ready: this.ready,
      announcing: this.master !== undefined,
      outcome: Object.fromEntries(OUTCOMES.map((name) => [name, Number(name === outcome)])),
      peers: agents.length,
      tablesSent,
      tablesReceived,
      rejected,
      kernelConnections: this.#kernel?.connections,
      kernelReadSeconds: this.#kernel && this.#kernel.lastRead / 1000,
      storeAgeSeconds: age === undefined ? undefined : age / 1000
    }
  }

  /**
   * Takes new settings, all at once. sync_ports and sync_sock_size wait for the next start.
   *
   * @param sysctls - What is left out keeps its value.
   * @throws IpvsSyncError `ERR_CONFIG`, and nothing has changed.
   */
  configure(sysctls: Partial<Sysctls>): void {
    this.#sysctls = verifySysctls({ ...this.#sysctls, ...sysctls })
    this.#backup?.configure(this.#sysctls)
    this.master?.configure(this.#sysctls)
  }

  /**
   * Reads the stored table, opens the sockets and begins to ask.
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

  /** Ends it: what it holds as a master is sent, the table stored, the ready file removed. Calling it again waits for the first call. */
  async close(): Promise<void> {
    await this.#life.close({})
  }

  /** For `await using`: as {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #open(): Promise<void> {
    this.#readyFile.remove()
    this.#table = (await this.#store?.load()) ?? this.#table
    this.#announcing = this.#createAnnouncing()
    this.#backup = this.#createBackup()
    await this.#openSockets(this.#backup)
    await this.#beginKernel(this.#announcing)
    this.#repeater.add({ interval: () => READY_FILE_PERIOD, rest: 0, action: () => this.#readyFile.write(this) })
    this.#repeater.add({
      interval: () => this.#options.storeInterval ?? STORE_INTERVAL,
      rest: 9,
      action: () => this.#store?.save(this.#table)
    })
  }

  /** The table at the time of each answer: a stored one replaces the first one. */
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
    const backup = new SyncBackup({
      ...pickSyncOptions(this.#options),
      ...(syncid !== undefined && { syncid }),
      ...(accept !== undefined && { accept }),
      table: this.#table,
      transport: new TappedReceiver(this.#receiver, (bytes, from) => this.#hear(bytes, from))
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
      onNotice: (text) => this.#notice(text)
    })
  }

  async #openSockets(backup: SyncBackup): Promise<void> {
    await backup.start()
    try {
      await this.#sender.start({
        onWritable: () => this.#runner.settle(),
        onNotice: ({ code, message }) => this.#notice(message, code),
        onError: (error) => this.#fail(error)
      })
    } catch (error) {
      await backup.close()
      throw error
    }
  }

  async #beginKernel(announcing: Announcing): Promise<void> {
    if (this.#options.kernel === false) return
    this.#kernel = await AgentKernel.open({
      table: this.#table,
      clock: this.#clock,
      files: this.#options.kernelFiles ?? {},
      limit: this.#options.kernelLimit ?? KERNEL_LIMIT,
      announcing,
      bringer: bringerOf(this.#options, this.#sysctls),
      messages: this.#messages,
      onNotice: this.#notices.once
    })
    const kernel = this.#kernel
    if (kernel === undefined) return
    const { kernelInterval: usual = KERNEL_INTERVAL } = this.#options
    this.#repeater.add({
      interval: () => Math.max(this.master === undefined ? usual : Math.min(usual, ANNOUNCE_INTERVAL), kernel.pause),
      rest: 0,
      action: () => this.#look()
    })
  }

  async #close(): Promise<void> {
    this.#role?.close()
    this.#repeater.stop()
    this.#kernel?.end()
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

  /** Everything that comes in is received here first; what agents say is nothing for the backup. */
  #hear(bytes: Uint8Array, from: { readonly address: string; readonly port: number }): boolean {
    const isTheirs = this.#engine.handleDatagram(bytes, from, this.#clock.now())
    if (isTheirs) this.#runner.settle()
    return isTheirs
  }

  #transmit(): void {
    while (this.#sender.writable(0)) {
      const datagram = this.#engine.pollTransmit()
      if (datagram === undefined) return
      this.#sender.send(0, datagram.bytes)
    }
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

  /** Brings the table up to date before it is sent. */
  async #refresh(): Promise<void> {
    await this.#look()
    this.#engine.refreshed(this.#clock.now())
    this.#runner.settle()
  }

  /** Without a kernel's table there is nothing that could be complete. */
  async #verify(look: (kernel: AgentKernel) => Promise<number>): Promise<void> {
    const missing = this.#kernel === undefined ? this.#table.size : await look(this.#kernel)
    this.#engine.verified(missing, this.#clock.now())
    this.#runner.settle()
  }

  /** Looks at the kernel's table, if there is one; a failure is reported once. */
  #look(): Promise<number> {
    return this.#kernel?.look() ?? Promise.resolve(0)
  }

  #wallClock(): number {
    return (this.#options.wallClock ?? Date.now)()
  }

  #notice(message: string, code = 'AGENT'): void {
    this.emit('notice', Object.freeze({ type: 'notice', code, message }))
  }

  #fail(error: IpvsSyncError): void {
    if (this.listenerCount('error') > 0) this.emit('error', error)
  }
}

/** Returns the largest message of an answer where none is set: what the interface suggests to a master. */
function answerMaxlen(options: AgentOptions, sysctls: Sysctls): Bytes {
  if (options.sender !== undefined) return masterSyncMaxlen('ipv4', undefined).bytes
  const { family, mtu } = linkOf(options, sysctls)
  return masterSyncMaxlen(family, mtu).bytes
}
