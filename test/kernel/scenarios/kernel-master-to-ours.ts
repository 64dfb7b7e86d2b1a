import { ConnectionTable, SyncBackup } from 'ipvs-sync'
import type { Cannon } from '../harness/cannon.js'
import { compareTables } from '../harness/kernel-table.js'
import type { Lab } from '../harness/lab.js'
import { asKernelRows } from '../harness/our-table.js'
import type { Scenario } from '../harness/scenario.js'
import { unseenKinds } from '../harness/traffic-seen.js'
import { FURTHER_KINDS, FURTHER_SERVICES, KINDS, MARKS, Player, SERVICES } from '../harness/traffic.js'

interface Phase {
  readonly name: string
  readonly version?: 0 | 1
  readonly ports?: number
  readonly maxlen?: number
  readonly group?: string
}

const PHASES: readonly Phase[] = [
  { name: 'version 1' },
  { name: 'version 0', version: 0 },
  { name: 'sync_ports 4', ports: 4 },
  { name: 'messages of 200 bytes', maxlen: 200 },
  { name: 'an IPv6 group', group: 'ff02::81' }
]
const TWINS = 4
/** Longer than a kernel's open buffer lives. */
const FLUSH_MS = 3400

export const scenario: Scenario = {
  title: 'a kernel master to our backup, beside a kernel backup on the same wire',
  timeLimit: 150,
  async run(lab) {
    const cannon = await lab.director([...SERVICES, ...FURTHER_SERVICES])
    lab.sh('director', MARKS)
    lab.namespace('backup')
    lab.sysctl('backup', { 'net.ipv4.vs.sync_sock_size': 8 << 20 })
    lab.sysctl('director', { 'net.ipv4.vs.sync_threshold': '0 1' })
    const table = new ConnectionTable({ maxConnections: 100_000 })
    const disagreements: string[] = []
    const notes: string[] = []
    let [datagrams, compared] = [0, 0]
    for (const [index, phase] of PHASES.entries()) {
      const { messages, differences, rows } = await runPhase(lab, cannon, phase, index, table)
      disagreements.push(...differences.map((line) => `${phase.name}: ${line}`))
      notes.push(`${phase.name}: ${messages} messages; ${rows} connections in both tables`)
      datagrams += messages
      compared += rows
    }
    return { datagrams, compared, disagreements, notes }
  }
}

async function runPhase(
  lab: Lab,
  cannon: Cannon,
  phase: Phase,
  index: number,
  table: ConnectionTable
): Promise<{ messages: number; differences: string[]; rows: number }> {
  const { version = 1, ports = 1, maxlen, group } = phase
  for (const namespace of ['director', 'backup'] as const)
    lab.sysctl(namespace, { 'net.ipv4.vs.sync_ports': ports, 'net.ipv4.vs.sync_version': version })
  const words = { ...(maxlen !== undefined && { maxlen }), ...(group !== undefined && { group }) }
  lab.backup('backup', group === undefined ? {} : { group })
  await using ours = new SyncBackup({
    syncid: 7,
    mcastInterface: 'sync0',
    flagChecks: lab.kernel.generation,
    table,
    sysctls: { syncPorts: ports, syncSockSize: 8 << 20 },
    ...(group !== undefined && { mcastGroup: group })
  })
  await ours.start()
  lab.master('director', words)
  const players = await play(lab, cannon, index)
  await lab.pause(FLUSH_MS)
  // Seconds left are relative to the last time that the table was updated; the ready-made backup's clock is monotonic.
  table.advance(Math.floor(performance.now()) + 1, 0, () => false)
  const kernel = lab.table('backup', 'engine')
  const differences = compareTables(kernel, asKernelRows(table, 'engine'))
  differences.push(...unseenKinds(kernel, players, version), ...unlikePhase(ours.counters().received, phase))
  const messages = ours
    .counters()
    .received.flat()
    .reduce((sum, count) => sum + count, 0)
  lab.stop('director', 'master')
  lab.stop('backup', 'backup')
  return { messages, differences, rows: kernel.length }
}

/** A phase that did not happen as it is called: a channel that stayed silent, or messages of the other version. */
function unlikePhase(received: readonly (readonly [number, number])[], { version = 1, ports = 1 }: Phase): string[] {
  const silent = Array.from({ length: ports }, (_, channel) => channel).filter(
    (channel) => (received[channel]?.[version] ?? 0) === 0
  )
  const other = received.reduce((sum, counts) => sum + counts[1 - version]!, 0)
  return [
    ...silent.map((channel) => `nothing was heard on channel ${channel}`),
    ...(other === 0 ? [] : [`${other} messages of version ${1 - version}`])
  ]
}

/** One of each kind is played to its end; of the others half end, and half stay open. */
async function play(lab: Lab, cannon: Cannon, index: number): Promise<readonly Player[]> {
  const kinds = [...KINDS, ...FURTHER_KINDS]
  const players = kinds.flatMap((kind, number) =>
    Array.from(
      { length: TWINS },
      (_, twin) =>
        new Player(
          lab,
          cannon,
          kind,
          0x200 + 32 * index + number,
          2000 + 256 * index + 8 * number + twin,
          3 + lab.random.below(8)
        )
    )
  )
  for (let left = players; left.length > 0; left = left.filter(({ more }) => more)) {
    const one = lab.random.pick(left)
    await one.play()
    // Our backup lives in this process: it must get its turn at the socket.
    await lab.pause(0)
    if (players.indexOf(one) % TWINS !== 0 && lab.random.chance(6)) left = left.filter((other) => other !== one)
  }
  return players
}
