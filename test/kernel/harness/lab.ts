import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { KernelLog } from './kernel-log.js'
import type { KernelFacts } from './kernel-facts.js'
import { parseKernelTable, type KernelRow } from './kernel-table.js'
import { Cannon } from './cannon.js'
import { random, type Random } from './random.js'
import { SyncSocket } from './sync-socket.js'

/** The namespaces. `root` is the guest's first one: the scenario runs there. */
export type Namespace = 'root' | 'director' | 'backup' | 'ours' | 'probe'

/** Where a program can run: a namespace of the laboratory, or one of a scenario's own. */
export type Place = Namespace | 'client' | 'server'

/** How a kernel sync daemon is started: ipvsadm's own words. */
export interface DaemonOptions {
  readonly syncid?: number
  readonly maxlen?: number
  readonly group?: string
  readonly port?: number
}

const SYNC_ADDRESS: Readonly<Record<Namespace, number>> = { root: 254, director: 1, backup: 2, ours: 3, probe: 253 }

/**
 * One guest with its namespaces on one sync network, `sync0` (10.9.0.0/24 and fd00:9::/64: director .1, backup .2, ours .3;
 * the scenario itself is .254 and hears and speaks like any other).
 *
 * The director has two more legs that are tunnels whose far end is the scenario: `clients` (10.1.0.0/16, fd00:1::/64) and
 * `servers` (10.2.0.0/16, fd00:2::/64). A packet written to the one comes in at the director as if a client had sent it.
 * Nothing else is on those networks, so a scenario decides about every packet that the director meets.
 */
export class Lab {
  readonly folder: string
  readonly random: Random
  readonly seed: number
  /** The part of a long scenario to run (`--only`); `undefined` is all of it. */
  readonly only = process.env['LAB_ONLY']
  /** Length of the random scenarios, a factor. */
  readonly scale: number
  readonly log = new KernelLog()
  readonly #holders = new Map<Namespace, ChildProcess>()
  readonly #children: ChildProcess[] = []
  #socket: SyncSocket | undefined
  #kernel: KernelFacts | undefined

  constructor(folder: string, seed: number, scale = 1) {
    this.folder = folder
    this.scale = scale
    this.seed = seed
    this.random = random(seed)
    this.sh('root', 'ip link add sync0 type bridge mcast_snooping 0; ip link set sync0 up')
    this.#address('root')
    // A log line that the kernel holds back for politeness would be a reason that we miss.
    this.sysctl('root', { 'net.core.message_cost': 0, 'net.core.rmem_max': 33554432, 'net.core.wmem_max': 33554432 })
  }

  /** The running kernel; known before a scenario begins. */
  get kernel(): KernelFacts {
    if (this.#kernel === undefined) throw new Error('the kernel was not asked yet')
    return this.#kernel
  }

  set kernel(facts: KernelFacts) {
    this.#kernel = facts
  }

  /** Runs POSIX shell in a namespace; throws with what it printed if it fails. */
  sh(namespace: Place, script: string): string {
    const shell = ['sh', '-e', '-c', script]
    const [program, ...words] = namespace === 'root' ? shell : ['ip', 'netns', 'exec', namespace, ...shell]
    return execFileSync(program!, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 28 })
  }

  /** Sets sysctls of a namespace, by full name. Throws if the kernel refuses one. */
  sysctl(namespace: Namespace, values: Readonly<Record<string, number | string>>): void {
    const words = Object.entries(values).map(([name, value]) => `sysctl -qw '${name}=${value}'`)
    this.sh(namespace, words.join('; '))
  }

  /** Whether a namespace exists. */
  has(name: Namespace): boolean {
    return this.#holders.has(name)
  }

  /** Makes a namespace on the sync network, once. */
  namespace(name: Namespace): void {
    if (name === 'root' || this.#holders.has(name)) return
    this.sh(
      'root',
      `ip netns add ${name}; ip -n ${name} link set lo up; ip link add v-${name} type veth peer name sync0 netns ${name}; ip link set v-${name} master sync0 up; ip -n ${name} link set sync0 up`
    )
    this.#address(name)
    this.#holders.set(name, spawn('ip', ['netns', 'exec', name, 'sleep', '1000000'], { stdio: 'ignore' }))
  }

  /**
   * Removes a namespace with its processes and all state of its kernel: connections, settings, daemons.
   * {@link namespace} creates it again, empty: a reboot.
   */
  async remove(name: Exclude<Namespace, 'root'>): Promise<void> {
    this.#holders.get(name)?.kill('SIGKILL')
    this.#holders.delete(name)
    // A process that is left over, such as an agent's tcpdump, would keep the namespace and its links.
    const processes = (): string => this.sh('root', `ip netns pids ${name}`).trim().split(/\s+/).join(' ')
    await this.until(`the processes of ${name} end`, () => {
      const left = processes()
      if (left !== '') this.sh('root', `kill -9 ${left} || true`)
      return left === ''
    })
    this.sh('root', `ip netns del ${name}`)
    await this.until(`the links of ${name} are removed`, () => !this.sh('root', 'ip -o link').includes(` v-${name}@`))
  }

  /** Starts a kernel backup daemon in a namespace. */
  backup(namespace: Namespace, options: DaemonOptions = {}): void {
    this.#daemon(namespace, 'backup', options)
  }

  /** Starts a kernel master daemon in a namespace. */
  master(namespace: Namespace, options: DaemonOptions = {}): void {
    this.#daemon(namespace, 'master', options)
  }

  /**
   * Gives the director its two legs and forwarding, and returns the far ends.
   *
   * @param setup - ipvsadm commands, a line each, without the program's name: `-A -t 10.1.0.100:80 -s rr`.
   */
  async director(setup: readonly string[], namespace: Namespace = 'director'): Promise<Cannon> {
    this.namespace(namespace)
    for (const [leg, id, net] of [
      ['clients', 1, 1],
      ['servers', 2, 2]
    ] as const) {
      this.sh(
        'root',
        `ip link add ${leg} type vxlan id ${id} dstport ${4788 + id} nolearning; bridge fdb append 00:00:00:00:00:00 dev ${leg} dst 127.0.0.1 port ${5788 + id}; ip link set ${leg} netns ${namespace}`
      )
      this.sh(
        namespace,
        `ip link set ${leg} address 02:00:00:00:00:0${id} arp off up; ip addr add 10.${net}.0.1/16 dev ${leg}; ip addr add fd00:${net}::1/64 dev ${leg} nodad`
      )
    }
    this.sh(
      namespace,
      'ip addr add 10.1.0.100/32 dev lo; ip addr add 10.1.0.101/32 dev lo; ip addr add fd00:1::100/128 dev lo nodad'
    )
    this.sysctl(namespace, {
      'net.ipv4.ip_forward': 1,
      'net.ipv6.conf.all.forwarding': 1,
      'net.ipv4.conf.all.rp_filter': 0,
      'net.ipv4.conf.all.send_redirects': 0
    })
    this.services(namespace, setup)
    return Cannon.open()
  }

  /** Feeds ipvsadm a list of commands, as `ipvsadm --restore` reads them. */
  services(namespace: Namespace, setup: readonly string[]): void {
    const file = join(this.folder, `services-${namespace}`)
    writeFileSync(file, setup.map((line) => `${line}\n`).join(''))
    if (setup.length > 0) this.sh(namespace, `ipvsadm --restore <'${file}'`)
  }

  /**
   * The connection table of a namespace, `/proc/net/ip_vs_conn_sync`.
   *
   * @param column - `engine` adds what only `/proc/net/ip_vs_conn` tells: a template's engine name and data.
   */
  table(namespace: Namespace, column?: 'engine'): KernelRow[] {
    const rows = parseKernelTable(this.proc(namespace, 'ip_vs_conn_sync'))
    if (column === undefined) return rows
    // One key can stand more than once (`sip`: by call); both files walk the same hash, so the order tells them apart.
    const engines = new Map<string, string[]>()
    for (const { key, engine } of parseKernelTable(this.proc(namespace, 'ip_vs_conn'))) {
      engines.set(key, [...(engines.get(key) ?? []), engine])
    }
    return rows.map((row) => ({ ...row, engine: engines.get(row.key)?.shift() ?? '' }))
  }

  /** A file of a namespace's `/proc/net`. */
  proc(namespace: Namespace, name: string): string {
    const pid = namespace === 'root' ? 'self' : String(this.#holders.get(namespace)!.pid)
    return readFileSync(`/proc/${pid}/net/${name}`, 'utf8')
  }

  /** The scenario's own socket on the sync network, opened at first use: hears the group, and sends to it. */
  async syncSocket(): Promise<SyncSocket> {
    this.#socket ??= await SyncSocket.open('10.9.0.254')
    return this.#socket
  }

  /** Sends one datagram to the group, as a master would. */
  async announce(bytes: Uint8Array, port = 8848): Promise<void> {
    const socket = await this.syncSocket()
    await socket.send(bytes, port)
  }

  /** Starts a program in a namespace; its output goes to a file of the scenario's folder. */
  start(namespace: Place, program: string, words: readonly string[], name = program): ChildProcess {
    const all = namespace === 'root' ? [program, ...words] : ['ip', 'netns', 'exec', namespace, program, ...words]
    const child = spawn(
      'sh',
      ['-c', 'out=$1; shift; exec "$@" >"$out" 2>&1', 'sh', join(this.folder, `${name}.log`), ...all],
      {
        stdio: ['pipe', 'ignore', 'ignore']
      }
    )
    this.#children.push(child)
    return child
  }

  /** Waits until `holds` does. Throws with `what` after `seconds`. */
  async until(what: string, holds: () => boolean, seconds = 20): Promise<void> {
    // The monotonic clock: a scenario may set the other one.
    const end = performance.now() + seconds * 1000
    while (!holds()) {
      if (performance.now() > end) throw new Error(`waited ${seconds} s without success: ${what}`)
      await sleep(20)
    }
  }

  /** Lets time pass. */
  async pause(milliseconds: number): Promise<void> {
    await sleep(milliseconds)
  }

  /** Ends whatever was started. */
  async close(): Promise<void> {
    for (const child of [...this.#children, ...this.#holders.values()]) child.kill('SIGKILL')
    this.#socket?.close()
    return Promise.resolve()
  }

  /** Stops a kernel sync daemon. */
  stop(namespace: Namespace, role: 'master' | 'backup'): void {
    this.sh(namespace, `ipvsadm --stop-daemon ${role}`)
  }

  #daemon(namespace: Namespace, role: 'master' | 'backup', { syncid = 7, maxlen, group, port }: DaemonOptions): void {
    this.namespace(namespace)
    const options = [
      `--mcast-interface sync0 --syncid ${syncid}`,
      maxlen === undefined ? '' : `--sync-maxlen ${maxlen}`,
      group === undefined ? '' : `--mcast-group ${group}`,
      port === undefined ? '' : `--mcast-port ${port}`
    ]
    this.sh(namespace, `ipvsadm --start-daemon ${role} ${options.join(' ')}`)
  }

  #address(namespace: Namespace): void {
    const host = SYNC_ADDRESS[namespace]
    this.sh(
      namespace,
      `ip addr add 10.9.0.${host}/24 dev sync0; ip addr add fd00:9::${host.toString(16)}/64 dev sync0 nodad; ip route add 224.0.0.0/4 dev sync0; ip link set sync0 txqueuelen 20000`
    )
  }
}
