import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { encodeMessages } from 'ipvs-sync'
import { COMMAND } from './command.js'
import type { Lab } from './lab.js'
import type { LivePath } from './live-path.js'
import { population } from './population.js'
import { withoutSequences } from './record-differences.js'

/** Connections of the table beside the live ones: copies of the made-up population, of 74 each; 20,000 in all. */
const COPIES = 270
/** Connections a second of an agent's answer: slow enough that a failure can hit it. */
const RATE = 4000
/** Seconds an agent waits for an answer, and milliseconds a director without agent waits before it takes the address. */
const [LIMIT, BOOT_MS] = [15, 4000]
/** Milliseconds in which a kernel's sync buffers are sent: two seconds, and some. */
export const SETTLE_MS = 3000

/** The two directors of a drill. */
export type DrillDirector = 'director' | 'backup'

/** How the directors are set up. */
export interface SetUp {
  readonly name: string
  readonly agents: boolean
  /** Whether a director runs only the sync daemon of its role, as keepalived's `lvs_sync_daemon` has it. */
  readonly oneDaemon: boolean
  readonly sysctls: Readonly<Record<string, string | number>>
}

/** Two directors under one set-up, the first of which has the address. */
export class Drill {
  readonly lab: Lab
  readonly path: LivePath
  readonly setUp: SetUp
  readonly #agents = new Map<DrillDirector, ChildProcess>()
  #active: DrillDirector = 'director'

  constructor(lab: Lab, path: LivePath, setUp: SetUp) {
    this.lab = lab
    this.path = path
    this.setUp = setUp
  }

  /** Starts both; the first one has 20,000 connections afterwards. */
  async begin(): Promise<void> {
    if (this.setUp.agents)
      for (const director of ['director', 'backup'] as const)
        this.lab.sh('root', `mkdir -p ${storeOf(director)}; mount -t tmpfs -o size=16m store ${storeOf(director)}`)
    this.start('director')
    this.start('backup')
    this.path.switchTo('director')
    if (this.setUp.agents) await Promise.all([this.ready('director'), this.ready('backup')])
    await this.#fill()
  }

  /** Starts a director: its links, services, settings, sync daemons and agent. */
  start(director: DrillDirector): void {
    const { lab, setUp } = this
    this.path.attach(director)
    lab.sysctl(director, { 'net.ipv4.vs.sync_sock_size': 8 << 20, ...setUp.sysctls })
    const isActive = director === this.#active
    if (isActive || !setUp.oneDaemon) lab.master(director)
    if (!isActive || !setUp.oneDaemon) lab.backup(director)
    if (setUp.agents) this.startAgent(director)
  }

  startAgent(director: DrillDirector): void {
    rmSync(readyFileOf(director), { force: true })
    const words = ['--mcast-interface', 'sync0', '--syncid', '7', '--hz', String(this.lab.kernel.hz)]
    words.push('--limit', String(LIMIT), '--rate', String(RATE), '--verify-kernel')
    words.push('--ready-file', readyFileOf(director), '--store', `${storeOf(director)}/table`, '--store-interval', '1')
    const child = this.lab.start(director, process.execPath, [COMMAND, 'agent', ...words], `agent-${director}`)
    this.#agents.set(director, child)
  }

  /** Ends a director's agent, if it runs. */
  async stopAgent(director: DrillDirector, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#agents.get(director)
    this.#agents.delete(director)
    if (child?.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill(signal)
    await ended
  }

  /** Waits until a director may take the address: its agent is ready; without one, a fixed time. */
  async ready(director: DrillDirector): Promise<void> {
    if (!this.setUp.agents) return this.lab.pause(BOOT_MS)
    const file = readyFileOf(director)
    const isReady = (): boolean => existsSync(file) && readFileSync(file, 'utf8').includes('"ready":true')
    await this.lab.until(`the agent of ${director} is ready`, isReady, 60)
  }

  /** Powers a director off: its links first, so that nothing can be sent at the end. */
  async powerOff(director: DrillDirector): Promise<void> {
    this.cutLinks(director)
    await this.stopAgent(director, 'SIGKILL')
    await this.lab.remove(director)
  }

  cutLinks(director: DrillDirector): void {
    for (const link of ['sync0', 'client', 'server']) this.lab.sh(director, `ip link set ${link} down`)
  }

  async reboot(director: DrillDirector): Promise<void> {
    await this.powerOff(director)
    this.start(director)
    await this.ready(director)
    await this.lab.pause(SETTLE_MS)
  }

  /** Moves the address. */
  switchTo(director: DrillDirector): void {
    const old = this.#active
    this.#active = director
    this.path.switchTo(director)
    if (!this.setUp.oneDaemon || old === director) return
    this.lab.stop(director, 'backup')
    this.lab.master(director)
    if (!this.lab.has(old)) return
    this.lab.stop(old, 'master')
    this.lab.backup(old)
  }

  /** Number of connections in a director's kernel. */
  size(director: DrillDirector): number {
    return this.lab.proc(director, 'ip_vs_conn').split('\n').length - 2
  }

  /** Removes everything, so that the next drill begins anew. */
  async end(): Promise<void> {
    this.path.release()
    for (const director of ['director', 'backup'] as const) {
      await this.stopAgent(director, 'SIGKILL')
      if (this.lab.has(director)) await this.lab.remove(director)
      if (this.setUp.agents) this.lab.sh('root', `umount ${storeOf(director)} || true`)
    }
  }

  /** Fills the first director's table through a backup daemon of another syncid, which the second director ignores. */
  async #fill(): Promise<void> {
    const { lab } = this
    const connections = population(lab.random, 1, COPIES).map(withoutSequences)
    if (!this.setUp.oneDaemon) lab.stop('director', 'backup')
    lab.backup('director', { syncid: 9 })
    for (const [index, message] of encodeMessages({ version: 1, syncid: 9, connections }).entries()) {
      await lab.announce(message)
      if (index % 50 === 0) await lab.pause(5)
    }
    // Reading the table takes the guest's one processor from the thread that fills it, so it is read seldom.
    await lab.pause(1000)
    for (let read = 0; this.size('director') < connections.length; read++) {
      if (read === 60) throw new Error(`the first director has ${this.size('director')} of ${connections.length}`)
      await lab.pause(1000)
    }
    lab.stop('director', 'backup')
    if (!this.setUp.oneDaemon) lab.backup('director')
  }
}

/** The folder of an agent's `--store`: a file system that survives a reboot and can be full. */
export function storeOf(director: DrillDirector): string {
  return `/run/store-${director}`
}

function readyFileOf(director: DrillDirector): string {
  return `/run/ready-${director}`
}
