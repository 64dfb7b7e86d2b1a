import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { COMMAND } from './command.js'
import { parseKernelTable, type KernelRow } from './kernel-table.js'
import type { Lab } from './lab.js'

/** What stands in for `/usr/bin/ipvs-sync`: on a file system of the guest's own, where only root writes. */
export const OWN_COMMAND = '/etc/keepalived/ipvs-sync'
/** The bridge that directors, client and server share; the sync network is the laboratory's. */
const LAN = 'lan0'

/**
 * A director as a host: network namespace with `eth0` (192.0.2.0/24, shared with client and server) and `eth1` (the sync
 * network, 10.9.0.0/24), and its own file systems where programs expect theirs: `/run`, which a reboot empties, `/var/lib`, which it
 * does not, and `/etc/keepalived`. So two keepaliveds run from one configuration, unchanged.
 */
export class DirectorHost {
  readonly name: string
  readonly #lab: Lab
  readonly #number: number
  readonly #configuration: string
  #holder: ChildProcess | undefined

  /**
   * @param number - 1 or 2: the last byte of its addresses, on `eth0` behind 192.0.2.100.
   * @param configuration - keepalived's.
   */
  constructor(lab: Lab, name: string, number: number, configuration: string) {
    this.name = name
    this.#lab = lab
    this.#number = number
    this.#configuration = configuration
    mkdirSync(this.#var, { recursive: true })
  }

  /** Makes the network that all of them share, with a client (192.0.2.50) and a server (192.0.2.81 and, silent, `address`). */
  static network(lab: Lab, address: string): void {
    lab.sh('root', `ip link add ${LAN} type bridge mcast_snooping 0; ip link set ${LAN} up`)
    for (const [end, own] of [
      ['client', '192.0.2.50'],
      ['server', '192.0.2.81']
    ] as const) {
      lab.sh('root', `ip netns add ${end}; ip -n ${end} link set lo up`)
      lab.sh(
        'root',
        `ip link add l-${end} type veth peer name eth0 netns ${end}; ip link set l-${end} master ${LAN} up`
      )
      lab.sh(end, `ip addr add ${own}/24 dev eth0; ip link set eth0 up`)
    }
    lab.sh('server', 'sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2')
    lab.sh('server', `ip addr add ${address}/32 dev lo`)
  }

  /** Powers it on: nothing runs on it yet. */
  async up(): Promise<void> {
    const [name, lab] = [this.name, this.#lab]
    rmSync(this.#upFile, { force: true })
    lab.sh('root', `ip netns add ${name}; ip -n ${name} link set lo up`)
    for (const [port, bridge, own] of [
      ['eth0', LAN, `192.0.2.${100 + this.#number}/24`],
      ['eth1', 'sync0', `10.9.0.${this.#number}/24`]
    ] as const) {
      const end = `${port}-${name}`
      lab.sh(
        'root',
        `ip link add ${end} type veth peer name ${port} netns ${name}; ip link set ${end} master ${bridge} up`
      )
      lab.sh('root', `ip -n ${name} addr add ${own} dev ${port}; ip -n ${name} link set ${port} up`)
    }
    lab.sh(
      'root',
      `ip -n ${name} route add 224.0.0.0/4 dev eth1; ip netns exec ${name} sysctl -qw net.ipv4.vs.sync_sock_size=8388608`
    )
    writeFileSync(join(lab.folder, `keepalived-${name}.conf`), this.#configuration)
    this.#holder = spawn('ip', ['netns', 'exec', name, 'sh', '-e', '-c', this.#mounts()], { stdio: 'ignore' })
    await lab.until(`${name} has its file systems`, () => existsSync(this.#upFile))
  }

  /** The power fails: the links go first, so nobody says farewell; then all that ran, its kernel's tables, and `/run`. */
  async off(): Promise<void> {
    const [name, lab] = [this.name, this.#lab]
    this.#holder = undefined
    lab.sh('root', `ip link del eth0-${name}; ip link del eth1-${name}`)
    // One that has just ended by itself cannot be killed; one that it started meanwhile is, at the next look.
    const kill = `ip netns pids ${name} | xargs -r kill -9 || true`
    await lab.until(`nothing runs on ${name}`, () => lab.sh('root', `${kill}; ip netns pids ${name}`) === '')
    lab.sh('root', `ip netns del ${name}`)
  }

  /** Runs POSIX shell on it. */
  sh(script: string): string {
    return this.#lab.sh('root', [...this.#enter, 'sh', '-e', '-c', quoted(script)].join(' '))
  }

  /** Starts a program on it; its output goes to `NAME-HOST.log` of the scenario's folder, each time anew. */
  start(name: string, words: readonly string[]): ChildProcess {
    const [program, ...rest] = [...this.#enter, ...words]
    rmSync(this.#log(name), { force: true })
    return this.#lab.start('root', program!, rest, `${name}-${this.name}`)
  }

  /** What a program that was started there has printed. */
  printed(name: string): string {
    return existsSync(this.#log(name)) ? readFileSync(this.#log(name), 'utf8') : ''
  }

  /** A file of its `/proc/net`. */
  proc(name: string): string {
    return readFileSync(`/proc/${this.#pid}/net/${name}`, 'utf8')
  }

  /** Its kernel's connection table. */
  table(): KernelRow[] {
    return parseKernelTable(this.proc('ip_vs_conn_sync'))
  }

  /** Whether an IPv4 address is its own. Starts no program, so that it can be asked often. */
  holds(address: string): boolean {
    return this.#holder !== undefined && new RegExp(`-- ${address}\\n +/32 host LOCAL`).test(this.proc('fib_trie'))
  }

  #log(name: string): string {
    return join(this.#lab.folder, `${name}-${this.name}.log`)
  }

  get #pid(): number {
    return this.#holder!.pid!
  }

  get #enter(): readonly string[] {
    return ['nsenter', '-t', String(this.#pid), '-m', '-n', '--']
  }

  get #var(): string {
    return join(this.#lab.folder, `var-${this.name}`)
  }

  get #upFile(): string {
    return join(this.#lab.folder, `up-${this.name}`)
  }

  #mounts(): string {
    const configuration = join(this.#lab.folder, `keepalived-${this.name}.conf`)
    const command = `#!/bin/sh\nexec "${process.execPath}" "${COMMAND}" "$@"\n`
    return `mount --make-rprivate /
mount -t tmpfs -o mode=755 tmp /run; mkdir /run/ipvs-sync
mount -t tmpfs -o mode=755 tmp /etc/keepalived
cp ${quoted(configuration)} /etc/keepalived/keepalived.conf
printf %s ${quoted(command)} >${OWN_COMMAND}; chmod 755 ${OWN_COMMAND}
mount --bind ${quoted(this.#var)} /var/lib; mkdir -p /var/lib/ipvs-sync
touch ${quoted(this.#upFile)}
exec sleep 1000000`
  }
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
