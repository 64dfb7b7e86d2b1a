import type { ChildProcess } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { COMMAND } from './command.js'
import type { Lab, Namespace } from './lab.js'

/** Syncid of the kernels' daemons and of the relays. */
export const RELAY_SYNCID = 9

/** The private pair of docs/fleet.md: the kernel's daemons use one end, the relay the other. */
const PAIR = [
  'ip link add ivs0 type veth peer name ivs1',
  'ip addr add 10.255.0.1/30 dev ivs0; ip addr add 10.255.0.2/30 dev ivs1',
  'ip link set ivs0 up; ip link set ivs1 up',
  'sysctl -qw net.ipv4.conf.ivs0.accept_local=1 net.ipv4.conf.ivs1.accept_local=1',
  'sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.ivs0.rp_filter=0 net.ipv4.conf.ivs1.rp_filter=0'
].join('; ')

/** What a site's relay is started with. */
export interface SiteOptions {
  /** Words of the command: links and their keys or credentials. */
  readonly words: readonly string[]
}

/** Both sync daemons of a kernel on a private pair, and a relay at the pair's other end. The site has the namespace's name. */
export class RelaySite {
  readonly name: Namespace
  readonly relay: ChildProcess
  readonly #lab: Lab

  constructor(lab: Lab, name: Namespace, { words }: SiteOptions) {
    this.#lab = lab
    this.name = name
    lab.namespace(name)
    lab.sh(name, PAIR)
    const daemon = `--mcast-interface ivs0 --syncid ${RELAY_SYNCID}`
    for (const role of ['backup', 'master']) lab.sh(name, `ipvsadm --start-daemon ${role} ${daemon}`)
    const place = ['--mcast-interface', 'ivs1', '--syncid', String(RELAY_SYNCID), '--site', name]
    this.relay = lab.start(name, process.execPath, [COMMAND, 'relay', ...place, ...words], `relay-${name}`)
  }

  /** What the relay has printed so far. */
  get printed(): string {
    const file = join(this.#lab.folder, `relay-${this.name}.log`)
    return existsSync(file) ? readFileSync(file, 'utf8') : ''
  }

  /** Resolves when the relay has opened its sockets and links. */
  async listening(): Promise<void> {
    await this.#lab.until(`the relay of ${this.name} is up`, () => this.printed.includes('relaying between'), 60)
  }
}
