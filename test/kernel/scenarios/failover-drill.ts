import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { encodeMessages } from 'ipvs-sync'
import { COMMAND } from '../harness/command.js'
import { compareTables, type KernelRow } from '../harness/kernel-table.js'
import type { Lab } from '../harness/lab.js'
import { LivePath, type Director } from '../harness/live-path.js'
import { population } from '../harness/population.js'
import { withoutSequences } from '../harness/record-differences.js'
import type { Scenario } from '../harness/scenario.js'

const CONNECTIONS = 50
/** Each speaks every two seconds: a kernel master with default settings announces it at every 50th packet, so each minute. */
const BEAT_MS = 2000
/** How long live connections are watched after the address moved. */
const WATCH_MS = 9000
const [WITHOUT, WITH] = [7000, 7001]
/** Copies of the made-up population that stands beside the live connections, of 74 each. */
const COPIES = 40
/** Connections a second of the answer: slow, so that there is something to wait for. */
const RATE = 1000
/** Seconds that are enough for any of it. */
const PATIENCE = 60

export const scenario: Scenario = {
  title:
    'failover drill: a director reboots and takes over; without agents live connections die, with agents none does',
  timeLimit: 240,
  async run(lab) {
    const path = new LivePath(lab, [WITHOUT, WITH])
    path.attach('director')
    path.attach('backup')
    path.switchTo('director')
    lab.master('director')
    lab.backup('backup')
    const without = await drillWithout(lab, path)
    path.switchTo('director')
    const drill = await drillWith(lab, path)
    return {
      compared: 2 * CONNECTIONS + drill.table,
      disagreements: [
        ...(without === 0 ? [] : [`without agents ${without} of ${CONNECTIONS} went on: the drill shows nothing`]),
        ...(drill.went === CONNECTIONS ? [] : [`with agents ${drill.went} of ${CONNECTIONS} went on`]),
        ...drill.disagreements
      ],
      notes: [
        `without agents: ${without} of ${CONNECTIONS} live connections went on`,
        `with agents: ${drill.went} of ${CONNECTIONS} live connections went on`,
        ...drill.notes
      ]
    }
  }
}

/** Kernels alone: both in step, then the second reboots and gets the address. */
async function drillWithout(lab: Lab, path: LivePath): Promise<number> {
  const look = await path.hold({ port: WITHOUT, connections: CONNECTIONS, beat: BEAT_MS })
  await lab.until('the backup has them', () => live(lab, 'backup', WITHOUT) === CONNECTIONS, PATIENCE)
  await reboot(lab, path)
  await lab.pause(3000)
  return move(lab, path, look)
}

interface Drill {
  readonly went: number
  readonly table: number
  readonly disagreements: readonly string[]
  readonly notes: readonly string[]
}

/** The same with an agent beside each kernel. */
async function drillWith(lab: Lab, path: LivePath): Promise<Drill> {
  await crowd(lab)
  const look = await path.hold({ port: WITH, connections: CONNECTIONS, beat: BEAT_MS })
  const first = agent(lab, 'director', ['--rate', String(RATE), '--limit', '2'])
  await waitReady(lab, 'director')
  await reboot(lab, path)
  const second = agent(lab, 'backup', ['--verify-kernel', '--limit', String(PATIENCE)])
  const filling = await watchFilling(lab, waitReady(lab, 'backup'))
  const [there, here] = [lab.table('director'), lab.table('backup')]
  const disagreements = compareTables(comparable(there), comparable(here))
  if (filling.code !== 0) disagreements.push(`wait-ready ended with ${filling.code}: ${filling.text}`)
  const went = await move(lab, path, look)
  for (const child of [first, second]) child.kill('SIGTERM')
  return {
    went,
    table: there.length,
    disagreements,
    notes: [
      `seconds after the agent's start: ${filling.begin} the first connection, ${filling.whole} the last one, ${filling.ready} wait-ready ended`,
      `the kernel's table then had ${here.length} connections of the other director's ${there.length}`,
      `wait-ready said: ${filling.text}`
    ]
  }
}

interface Filling extends Waited {
  /** Seconds from the beginning until the kernel's table had a connection, had as many as at the end, and wait-ready ended. */
  readonly begin: string
  readonly whole: string
  readonly ready: string
}

/** Watches the second director's table fill until wait-ready ends. */
async function watchFilling(lab: Lab, waiting: Promise<Waited>): Promise<Filling> {
  const began = Date.now()
  const sizes: [number, string][] = []
  const state = { ended: false }
  void waiting.then(() => (state.ended = true))
  while (!state.ended) {
    sizes.push([lab.table('backup').length, ((Date.now() - began) / 1000).toFixed(1)])
    await lab.pause(100)
  }
  const last = sizes.at(-1)!
  return {
    ...(await waiting),
    begin: sizes.find(([size]) => size > 0)?.[1] ?? 'never',
    whole: sizes.find(([size]) => size === last[0])![1],
    ready: last[1]
  }
}

/** Nothing of the second director's kernel is left; its kernel's backup daemon starts again. */
async function reboot(lab: Lab, path: LivePath): Promise<void> {
  await lab.remove('backup')
  path.attach('backup')
  lab.backup('backup')
  if (lab.table('backup').length > 0) throw new Error('a rebooted director knew connections')
}

/** The second director gets the address. Returns how many live connections went on. */
async function move(lab: Lab, path: LivePath, look: () => { readonly echoes: readonly number[] }): Promise<number> {
  path.switchTo('backup')
  await lab.pause(1000)
  const before = look().echoes
  await lab.pause(WATCH_MS)
  return look().echoes.filter((count, index) => count >= before[index]! + 3).length
}

/** Fills the first director's table through a separate backup daemon. */
async function crowd(lab: Lab): Promise<void> {
  const connections = population(lab.random, 1, COPIES).map(withoutSequences)
  lab.sysctl('director', { 'net.ipv4.vs.sync_sock_size': 8 << 20 })
  // Another syncid: the second director's kernel passes over it.
  lab.backup('director', { syncid: 9 })
  for (const message of encodeMessages({ version: 1, syncid: 9, connections })) await lab.announce(message)
  await lab.until('the first director is full', () => lab.table('director').length >= connections.length)
  lab.stop('director', 'backup')
}

function agent(lab: Lab, director: Director, words: readonly string[]): ChildProcess {
  const all = [
    'agent',
    '--mcast-interface',
    'sync0',
    '--syncid',
    '7',
    '--hz',
    String(lab.kernel.hz),
    '--ready-file',
    readyFile(lab, director)
  ]
  return lab.start(director, process.execPath, [COMMAND, ...all, ...words], `agent-${director}`)
}

interface Waited {
  readonly code: number
  readonly text: string
}

async function waitReady(lab: Lab, director: Director): Promise<Waited> {
  const words = ['wait-ready', '--ready-file', readyFile(lab, director), '--timeout', String(PATIENCE)]
  const name = `wait-ready-${director}`
  const child = lab.start(director, process.execPath, [COMMAND, ...words], name)
  const [code] = (await once(child, 'exit')) as [number]
  return { code, text: readFileSync(join(lab.folder, `${name}.log`), 'utf8').trim() }
}

function readyFile(lab: Lab, director: Director): string {
  return join(lab.folder, `ready-${director}`)
}

function live(lab: Lab, director: Director, port: number): number {
  return lab.table(director).filter(({ virtualPort, state }) => virtualPort === port && state === 'ESTABLISHED').length
}

/** Keys, real servers and states. Connections to the other drill's port are dying. */
function comparable(rows: readonly KernelRow[]): KernelRow[] {
  return rows.filter(({ virtualPort }) => virtualPort !== WITHOUT).map((row) => ({ ...row, origin: '', expires: 1000 }))
}
