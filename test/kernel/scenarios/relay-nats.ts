import type { ChildProcess } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compareTables } from '../harness/kernel-table.js'
import type { Lab } from '../harness/lab.js'
import { RelaySite } from '../harness/relay-site.js'
import type { Scenario } from '../harness/scenario.js'
import { comparable } from '../harness/two-directors.js'

const DIRECTORS = ['director', 'backup', 'ours'] as const
const LATE = 'probe'
const SENDER = fileURLToPath(new URL('../harness/datagrams.js', import.meta.url))
const BROKER = '10.9.0.254:4222'
const SERVICE = '10.8.0.100'
/** Every connection of a scenario must outlive it. */
const TIMEOUT = 900
const AWAY_MS = 3000
const PARTITION_MS = 20_000
/** A fault counts as repaired within this time; what it took is noted. */
const PATIENCE = 30

export const scenario: Scenario = {
  title:
    'three kernel directors over NATS, a fourth that joins late, a killed server and a partition of 20 s: one table',
  timeLimit: 240,
  needs: { 'nats-server': 'nats-server' },
  needsSpeed: 'NATS clients and servers give each other up after seconds',
  async run(lab) {
    const fleet = new Fleet(lab)
    let server = broker(lab)
    for (const name of DIRECTORS) await fleet.join(name)
    for (const name of DIRECTORS) fleet.create(name, 60)
    await fleet.complete('three sites')

    await fleet.join(LATE)
    await fleet.complete('a site that joins late')
    fleet.create(LATE, 20)
    await fleet.complete('the connections of the late site')

    server.kill('SIGKILL')
    await new Promise((resolve) => server.once('close', resolve))
    await lab.pause(1000)
    for (const name of fleet.names) fleet.create(name, 20)
    await lab.pause(AWAY_MS)
    server = broker(lab)
    await fleet.complete('a server killed by SIGKILL')

    lab.sh('root', 'ip link set v-ours down')
    await lab.pause(2000)
    for (const name of fleet.names) fleet.create(name, 20)
    await lab.pause(PARTITION_MS - 2000)
    lab.sh('root', 'ip link set v-ours up')
    await fleet.complete('a partition of 20 s')
    return fleet
  }
}

/** The sites, and what each of their kernels must hold. */
class Fleet {
  readonly disagreements: string[] = []
  readonly notes: string[] = []
  compared = 0
  readonly #lab: Lab
  readonly #sites = new Map<RelaySite['name'], RelaySite>()
  #created = 0

  constructor(lab: Lab) {
    this.#lab = lab
  }

  get names(): RelaySite['name'][] {
    return [...this.#sites.keys()]
  }

  /** Adds a director with its own service, daemons and relay. */
  async join(name: RelaySite['name']): Promise<void> {
    const lab = this.#lab
    const number = this.#sites.size + 1
    lab.namespace(name)
    lab.sh(name, `ip addr add ${SERVICE}/32 dev lo; ip addr add 10.8.${number}.1/32 dev lo`)
    lab.sysctl(name, { 'net.ipv4.vs.sync_threshold': '0 1' })
    lab.sh(name, `ipvsadm --set ${TIMEOUT} ${TIMEOUT} ${TIMEOUT}`)
    lab.services(name, [`-A -u ${SERVICE}:53 -s rr`, `-a -u ${SERVICE}:53 -r 10.9.0.254:53 -g`])
    const site = new RelaySite(lab, name, { words: ['--link', `nats://${BROKER}`, '--fleet', 'lab'] })
    this.#sites.set(name, site)
    await site.listening()
    await lab.until(`the relay of ${name} is connected`, () => site.printed.includes('connected;'), 60)
  }

  /** Creates connections at a site: clients on the director itself, whose packets the kernel balances as any others. */
  create(name: RelaySite['name'], count: number): void {
    const number = 1 + this.names.indexOf(name)
    const words = [SERVICE, '53', `10.8.${number}.1`, String(20_000 + this.#created), String(count)]
    this.#lab.sh(name, `'${process.execPath}' '${SENDER}' ${words.join(' ')}`)
    this.#created += count
  }

  /** Waits until every kernel has every connection of all sites. */
  async complete(what: string): Promise<void> {
    const lab = this.#lab
    const began = Date.now()
    const tables = () => this.names.map((name) => comparable(lab.table(name)))
    const isComplete = (): boolean => tables().every(({ length }) => length === this.#created)
    for (let look = 0; look < 4 * PATIENCE && !isComplete(); look++) await lab.pause(250)
    const seconds = ((Date.now() - began) / 1000).toFixed(1)
    const [first = [], ...others] = tables()
    const sizes = [first, ...others].map(({ length }) => length)
    this.notes.push(`${what}: ${sizes.join(', ')} of ${this.#created} connections after ${seconds} s`)
    this.compared += sizes.reduce((sum, size) => sum + size, 0)
    if (first.length !== this.#created)
      this.disagreements.push(`${what}: ${first.length} of ${this.#created} connections`)
    for (const [index, other] of others.entries())
      this.disagreements.push(
        ...compareTables(first, other).map((line) => `${what}, ${this.names[index + 1]}: ${line}`)
      )
  }
}

/** Starts the server, with JetStream in memory. */
function broker(lab: Lab): ChildProcess {
  const file = join(lab.folder, 'nats-server.conf')
  const store = `jetstream { store_dir: "${join(lab.folder, 'store')}", max_memory_store: 64M, max_file_store: 1M }`
  writeFileSync(file, `listen: "${BROKER}"\n${store}\n`)
  return lab.start('root', 'nats-server', ['-c', file], 'nats-server')
}
