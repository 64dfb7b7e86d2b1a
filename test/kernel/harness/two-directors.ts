import { existsSync, readFileSync } from 'node:fs'
import { once } from 'node:events'
import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DirectorHost, OWN_COMMAND } from './director-host.js'
import type { Holding } from './echo.js'
import type { KernelRow } from './kernel-table.js'
import type { Lab } from './lab.js'
import { blocksOf, commandsOf } from './page.js'
import type { Outcome } from './scenario.js'

/** The virtual address of docs/keepalived.md. */
export const ADDRESS = '192.0.2.10'
const ECHO = fileURLToPath(new URL('echo.js', import.meta.url))
const CONNECTIONS = 50
/** Each speaks every two seconds: the kernel's master announces it at every 50th packet, too seldom to fill a table again. */
const BEAT_MS = 2000
/** What the agent's unit gets besides: a short wait where nobody answers, an answer that takes seconds. */
const FOR_THE_LABORATORY = ['--limit', '3', '--rate', '1000']
/** Seconds that are enough for any of it. */
const PATIENCE = 30

/** keepalived's configurations of the page, in order, with this command in the place of the installed one. */
export function configurations(): readonly string[] {
  return blocksOf('docs/keepalived.md', 'conf').map((text) => text.replaceAll('/usr/bin/ipvs-sync', OWN_COMMAND))
}

/** Two directors as docs/keepalived.md and examples/systemd have them: `a` with priority 150, `b` with 100. */
export class TwoDirectors {
  readonly a: DirectorHost
  readonly b: DirectorHost
  readonly notes: string[] = []
  readonly faults: string[] = []
  readonly #lab: Lab
  readonly #keepalived = new Map<DirectorHost, ChildProcess>()
  readonly #holding: string

  constructor(lab: Lab) {
    this.#lab = lab
    this.#holding = join(lab.folder, 'holding')
    DirectorHost.network(lab, ADDRESS)
    lab.start('server', process.execPath, [ECHO, 'serve', '80'], 'serve')
    const own = configurations()[0]!
    this.a = new DirectorHost(lab, 'a', 1, own)
    this.b = new DirectorHost(
      lab,
      'b',
      2,
      own.replace('director_a', 'director_b').replace('priority 150', 'priority 100')
    )
  }

  outcome(compared: number): Outcome {
    return { compared, disagreements: this.faults, notes: this.notes }
  }

  /** Starts the kernel's daemons as their unit does, or some of them. The guest's modules are loaded already. */
  kernelDaemons(host: DirectorHost, which = /backup|master/): void {
    for (const command of commandsOf('examples/systemd/ipvs-sync-kernel.service'))
      if (which.test(command)) host.sh(command)
  }

  startKeepalived(host: DirectorHost): void {
    const child = host.start('keepalived', ['keepalived', '--dont-fork', '--log-console', '--log-detail'])
    this.#keepalived.set(host, child)
  }

  /** SIGHUP; returns when it has read its configuration again. */
  async reloadKeepalived(host: DirectorHost): Promise<void> {
    this.#keepalived.get(host)!.kill('SIGHUP')
    await this.#lab.until('keepalived reloads', () => host.printed('keepalived').includes('Reload complete'))
  }

  async stopKeepalived(host: DirectorHost): Promise<void> {
    const child = this.#keepalived.get(host)!
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    await ended
  }

  /** Runs the command of the agent's unit, with the capabilities that the unit leaves. */
  agent(host: DirectorHost, change = (command: string): string => command): void {
    const [command = ''] = commandsOf('examples/systemd/ipvs-sync-agent.service')
    const words = change(command).replace('/usr/bin/env ipvs-sync', OWN_COMMAND).split(/\s+/)
    const bare = ['setpriv', '--bounding-set=-all,+net_raw', '--inh-caps=-all', '--no-new-privs']
    host.start('agent', [...bare, ...words, '--hz', String(this.#lab.kernel.hz), ...FOR_THE_LABORATORY])
  }

  /** Waits until one has the address, and the other has not. Returns the seconds. */
  async holds(host: DirectorHost, why: string): Promise<string> {
    const other = host === this.a ? this.b : this.a
    const [took] = await this.timed(() =>
      this.#lab.until(
        `${why}: ${host.name} has the address`,
        () => host.holds(ADDRESS) && !other.holds(ADDRESS),
        PATIENCE
      )
    )
    this.notes.push(`${why}: ${host.name} has the address after ${took} s`)
    return took
  }

  /** Who has the address now. */
  holders(): string {
    return [this.a, this.b]
      .filter((host) => host.holds(ADDRESS))
      .map(({ name }) => name)
      .join()
  }

  /** Waits until an agent has received its role. */
  async role(host: DirectorHost, role: 'MASTER' | 'BACKUP'): Promise<void> {
    await this.#lab.until(`agent ${host.name} is ${role}`, () => (rolesOf(host).at(-1) ?? 'BACKUP') === role)
  }

  /** Opens live connections through the address; resolves when a line of each has come back. */
  async openConnections(): Promise<void> {
    const words = [ADDRESS, '80', String(CONNECTIONS), '192.0.2.50', this.#holding, String(BEAT_MS)]
    this.#lab.start('client', process.execPath, [ECHO, 'hold', ...words], 'hold')
    const all = (): boolean => this.#echoes().every((count) => count > 0)
    await this.#lab.until('the connections live', () => existsSync(this.#holding) && all(), PATIENCE)
  }

  /** Waits until a director's kernel has all live connections, established. */
  async knows(host: DirectorHost): Promise<void> {
    const live = (): number =>
      host.table().filter(({ virtualPort, state }) => virtualPort === 80 && state === 'ESTABLISHED').length
    // Looked at seldom: reading a table takes the guest's one processor from those who fill it.
    for (let look = 0; live() !== CONNECTIONS; look++) {
      if (look === 4 * PATIENCE) throw new Error(`${host.name} has ${live()} of ${CONNECTIONS} live connections`)
      await this.#lab.pause(250)
    }
  }

  /** Every live connection speaks twice from now on, or it is a fault. */
  async goOn(how: string): Promise<void> {
    const before = this.#echoes()
    const went = (): number => this.#echoes().filter((count, index) => count >= before[index]! + 2).length
    const [took] = await this.timed(() =>
      this.#lab.until('they go on', () => went() === CONNECTIONS, PATIENCE).catch(() => undefined)
    )
    this.claim(
      `${went()} of ${CONNECTIONS} live connections went on ${how}, the last one after ${took} s`,
      went() === CONNECTIONS
    )
  }

  /** Notes what was seen; a fault unless it holds. */
  claim(what: string, holds: boolean): void {
    this.notes.push(what)
    if (!holds) this.faults.push(`not so: ${what}`)
  }

  /** Seconds that something took, and what it gave. */
  async timed<T>(what: () => Promise<T>): Promise<readonly [string, T]> {
    const began = Date.now()
    const result = await what()
    return [((Date.now() - began) / 1000).toFixed(1), result]
  }

  #echoes(): readonly number[] {
    return (JSON.parse(readFileSync(this.#holding, 'utf8')) as Holding).echoes
  }
}

/** Whether a director's agent has said that it is ready. */
export function isReady(host: DirectorHost): boolean {
  return host.printed('agent').includes('agent: ready')
}

/** What an agent has heard from keepalived since its start. */
export function rolesOf(host: DirectorHost): readonly string[] {
  return [...host.printed('agent').matchAll(/keepalived reports (\w+)/g)].map(([, role = '']) => role)
}

/** Keys, real servers and states; not how long they live nor where they come from. */
export function comparable(rows: readonly KernelRow[]): KernelRow[] {
  return rows.map((row) => ({ ...row, origin: '', expires: 1000 }))
}
