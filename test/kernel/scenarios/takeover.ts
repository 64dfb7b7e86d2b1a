import { ConnectionTable, SyncBackup, SyncMaster } from 'ipvs-sync'
import type { Holding } from '../harness/echo.js'
import type { Lab } from '../harness/lab.js'
import { LivePath, type Director } from '../harness/live-path.js'
import type { Outcome, Scenario } from '../harness/scenario.js'

const CONNECTIONS = 20
/** Connections to this port are announced; those to the other one are the control. */
const [KEPT, CONTROL] = [7000, 7001]
const BEAT_MS = 100
/** The third is the first one again after a reboot: a kernel's tables, settings and daemons are those of a namespace. */
const DIRECTORS = ['director', 'backup', 'ours'] as const

export const scenario: Scenario = {
  title:
    'takeover: a kernel director dies, we tell what we learned to one that was rebooted, live connections go on, and back',
  timeLimit: 120,
  async run(lab) {
    const path = new LivePath(lab, [KEPT, CONTROL])
    for (const director of DIRECTORS) path.attach(director)
    for (const director of DIRECTORS) lab.sysctl(director, { 'net.ipv4.vs.sync_threshold': '1 2' })
    path.switchTo('director')
    const table = new ConnectionTable({ maxConnections: 10_000 })
    lab.master('director')
    const holders = await learn(lab, path, table)
    lab.stop('director', 'master')
    lab.backup('backup')
    const there = await takeOver(lab, path, table, 'backup', holders)
    // And back: the first director was rebooted, the second has been the master meanwhile.
    lab.stop('backup', 'backup')
    const again = new ConnectionTable({ maxConnections: 10_000 })
    lab.master('backup')
    await relearn(lab, again)
    lab.stop('backup', 'master')
    lab.backup('ours')
    const back = await takeOver(lab, path, again, 'ours', [holders[0]!])
    return summarise([there, back], 3 * CONNECTIONS)
  }
}

/** One switch: what the holders of connections saw. */
interface Switch {
  readonly to: Director
  readonly known: number
  readonly kept: Holding
  readonly went: number
  readonly control: Holding | undefined
}

/** What the holder of connections writes down, read now. */
type Look = () => Holding

/** Opens connections to each port and waits until our backup knows them all. */
async function learn(lab: Lab, path: LivePath, table: ConnectionTable): Promise<Look[]> {
  await using backup = new SyncBackup({ syncid: 7, mcastInterface: 'sync0', flagChecks: lab.kernel.generation, table })
  await backup.start()
  const holders = await Promise.all(
    [KEPT, CONTROL].map((port) => path.hold({ port, connections: CONNECTIONS, beat: BEAT_MS }))
  )
  await lab.until('our backup knows the connections', () => established(table) >= 2 * CONNECTIONS, 30)
  return holders
}

async function relearn(lab: Lab, table: ConnectionTable): Promise<void> {
  await using backup = new SyncBackup({ syncid: 7, mcastInterface: 'sync0', flagChecks: lab.kernel.generation, table })
  await backup.start()
  await lab.until('our backup knows the connections again', () => established(table) >= CONNECTIONS, 30)
}

/** We announce what we know to a director that knows nothing, then it gets the traffic. */
async function takeOver(
  lab: Lab,
  path: LivePath,
  table: ConnectionTable,
  to: Director,
  [look, control]: readonly Look[]
): Promise<Switch> {
  for (const slot of [...table.slots()]) if (table.connection(slot).virtual.port !== KEPT) table.remove(slot)
  {
    await using master = new SyncMaster({ syncid: 7, mcastInterface: 'sync0', table })
    await master.start()
    await master.announceTable()
  }
  await lab.until('the kernel holds what we announced', () => lab.table(to).length >= CONNECTIONS, 10)
  const known = lab.table(to).length
  const before = look!()
  path.switchTo(to)
  await lab.pause(4000)
  const kept = look!()
  const went = kept.echoes.filter((count, index) => count > before.echoes[index]! + 5).length
  return { to, known, kept, went, control: control?.() }
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
