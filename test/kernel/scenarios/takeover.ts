import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ConnectionTable, SyncBackup, SyncMaster } from 'ipvs-sync'
import type { Holding } from '../harness/echo.js'
import type { Lab, Namespace } from '../harness/lab.js'
import type { Outcome, Scenario } from '../harness/scenario.js'

const CONNECTIONS = 20
/** Connections to this port are announced; those to the other one are the control. */
const [KEPT, CONTROL] = [7000, 7001]
const SERVICES = [KEPT, CONTROL].flatMap((port) => [
  `-A -t 10.1.0.100:${port} -s rr`,
  `-a -t 10.1.0.100:${port} -r 10.2.9.9:${port} -m`
])
/** The third is the first one again after a reboot: a kernel's tables, settings and daemons are those of a namespace. */
const DIRECTORS = ['director', 'backup', 'ours'] as const

export const scenario: Scenario = {
  title:
    'takeover: a kernel director dies, we tell what we learned to one that was rebooted, live connections go on, and back',
  timeLimit: 120,
  async run(lab) {
    build(lab)
    for (const director of DIRECTORS) lab.sysctl(director, { 'net.ipv4.vs.sync_threshold': '1 2' })
    switchTo(lab, 'director')
    const table = new ConnectionTable({ maxConnections: 10_000 })
    lab.master('director')
    const holders = await learn(lab, table, [KEPT, CONTROL])
    lab.stop('director', 'master')
    lab.backup('backup')
    const there = await takeOver(lab, table, 'backup', holders)
    // And back: the first director was rebooted, the second has been the master meanwhile.
    lab.stop('backup', 'backup')
    const again = new ConnectionTable({ maxConnections: 10_000 })
    lab.master('backup')
    await relearn(lab, again)
    lab.stop('backup', 'master')
    lab.backup('ours')
    const back = await takeOver(lab, again, 'ours', [holders[0]!])
    return summarise([there, back], 3 * CONNECTIONS)
  }
}

/** One switch: what the holders of connections saw. */
interface Switch {
  readonly to: Namespace
  readonly known: number
  readonly kept: Holding
  readonly went: number
  readonly control: Holding | undefined
}

/** A client and a real server, each with a link to both directors; routes say which director is in use. */
function build(lab: Lab): void {
  for (const name of ['client', 'server']) lab.sh('root', `ip netns add ${name}; ip -n ${name} link set lo up`)
  lab.sh('client', 'ip addr add 10.1.9.9/32 dev lo')
  lab.sh('server', 'ip addr add 10.2.9.9/32 dev lo')
  for (const [index, director] of DIRECTORS.entries()) {
    lab.namespace(director)
    for (const [net, end] of [
      [1, 'client'],
      [2, 'server']
    ] as const) {
      const link = `10.${net}.${index + 1}`
      lab.sh('root', `ip link add ${end} netns ${director} type veth peer name d${index} netns ${end}`)
      lab.sh(director, `ip addr add ${link}.1/24 dev ${end}; ip link set ${end} up`)
      lab.sh(end, `ip addr add ${link}.2/24 dev d${index}; ip link set d${index} up`)
      lab.sh(director, `ip route add 10.${net}.9.9/32 via ${link}.2`)
    }
    lab.sh(director, 'ip addr add 10.1.0.100/32 dev lo')
    lab.sysctl(director, { 'net.ipv4.ip_forward': 1, 'net.ipv4.conf.all.rp_filter': 0 })
    lab.services(director, SERVICES)
  }
  lab.start('server', process.execPath, [echo(), 'serve', String(KEPT), String(CONTROL)], 'serve')
}

/** Both the client's way to the address and the server's way back lead through one director from now on. */
function switchTo(lab: Lab, director: Namespace): void {
  const link = 1 + DIRECTORS.findIndex((name) => name === director)
  lab.sh('client', `ip route replace 10.1.0.100/32 via 10.1.${link}.1 src 10.1.9.9`)
  lab.sh('server', `ip route replace 10.1.9.9/32 via 10.2.${link}.1 src 10.2.9.9`)
}

/** Opens connections to each port and waits until our backup knows them all. Returns where their holders write. */
async function learn(lab: Lab, table: ConnectionTable, ports: readonly number[]): Promise<string[]> {
  await using backup = new SyncBackup({ syncid: 7, mcastInterface: 'sync0', flagChecks: 'legacy', table })
  await backup.start()
  const files = ports.map((port) => join(lab.folder, `holding-${port}`))
  ports.forEach((port, index) =>
    lab.start(
      'client',
      process.execPath,
      [echo(), 'hold', '10.1.0.100', String(port), String(CONNECTIONS), '10.1.9.9', files[index]!],
      `hold-${port}`
    )
  )
  await lab.until('our backup knows the connections', () => established(table) >= ports.length * CONNECTIONS, 30)
  return files
}

async function relearn(lab: Lab, table: ConnectionTable): Promise<void> {
  await using backup = new SyncBackup({ syncid: 7, mcastInterface: 'sync0', flagChecks: 'legacy', table })
  await backup.start()
  await lab.until('our backup knows the connections again', () => established(table) >= CONNECTIONS, 30)
}

/** We announce what we know to a director that knows nothing, then it gets the traffic. */
async function takeOver(lab: Lab, table: ConnectionTable, to: Namespace, files: readonly string[]): Promise<Switch> {
  for (const slot of [...table.slots()]) if (table.connection(slot).virtual.port !== KEPT) table.remove(slot)
  {
    await using master = new SyncMaster({ syncid: 7, mcastInterface: 'sync0', table })
    await master.start()
    await master.announceTable()
  }
  await lab.until('the kernel holds what we announced', () => lab.table(to).length >= CONNECTIONS, 10)
  const known = lab.table(to).length
  const before = read(files[0]!)
  switchTo(lab, to)
  await lab.pause(4000)
  const kept = read(files[0]!)
  const went = kept.echoes.filter((count, index) => count > before.echoes[index]! + 5).length
  return { to, known, kept, went, control: files[1] === undefined ? undefined : read(files[1]) }
}

function established(table: ConnectionTable): number {
  let count = 0
  for (const { state } of table) if (state === 'ESTABLISHED') count++
  return count
}

function summarise(switches: readonly Switch[], compared: number): Outcome {
  const disagreements = switches.flatMap(({ to, went, kept }) =>
    went === CONNECTIONS && kept.dead === 0
      ? []
      : [`to ${to}: ${went} of ${CONNECTIONS} connections went on, ${kept.dead} died`]
  )
  if (switches[0]?.control?.alive !== 0)
    disagreements.push(`control: ${switches[0]?.control?.alive} connections that nobody announced went on all the same`)
  const notes = switches.map(
    ({ to, known, went, control }) =>
      `to ${to}: the kernel held ${known}; ${went} of ${CONNECTIONS} live connections went on${control === undefined ? '' : `; of ${CONNECTIONS} that were not announced ${control.alive} did`}`
  )
  return { compared, disagreements, notes }
}

function read(file: string): Holding {
  if (!existsSync(file)) throw new Error(`nobody wrote ${file}`)
  return JSON.parse(readFileSync(file, 'utf8')) as Holding
}

function echo(): string {
  return fileURLToPath(new URL('../harness/echo.js', import.meta.url))
}
