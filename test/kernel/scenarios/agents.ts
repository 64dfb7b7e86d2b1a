import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { encodeMessages } from 'ipvs-sync'
import { forge, KIND, shares, speakerOf, type Share } from '../harness/agent-wire.js'
import { COMMAND } from '../harness/command.js'
import { compareTables, type KernelRow } from '../harness/kernel-table.js'
import type { Lab } from '../harness/lab.js'
import type { Director } from '../harness/live-path.js'
import { population } from '../harness/population.js'
import { withoutSequences } from '../harness/record-differences.js'
import type { Scenario } from '../harness/scenario.js'
import { SyncSocket } from '../harness/sync-socket.js'

/** Copies of the made-up population, of 74 connections each. */
const COPIES = 20
/** Connections a second of an answer: more than a second for all of them, time enough to kill who sends it. */
const RATE = 1200
/** Seconds after which an agent that nobody answers is ready. */
const LIMIT = 3
/** Seconds that are enough for any of it. */
const PATIENCE = 40
/** Hostile requests a second, and how long they go on at least. */
const HOSTILE_RATE = 400
const STRANGER_MS = 1500
const HOSTILE_MS = 5000
/** What the gate lets through: four answers at once, then one each fifteen seconds. */
const [GATE_BURST, GATE_MS] = [4, 15_000]
const ADDRESS: Readonly<Record<string, Director>> = { '10.9.0.1': 'director', '10.9.0.3': 'ours' }
/** What a kernel says of links and daemons that come and go. */
const EXPECTED = /entered|topology|link becomes ready|promiscuous|sync thread started|stopping (backup|master) sync/
/** Not on the network that the agents accept. */
const STRANGER = '10.8.0.66'

export const scenario: Scenario = {
  title: 'agents beside kernels: nobody there, two asked at once, one killed in mid-answer, a hostile requester',
  timeLimit: 150,
  needsSpeed:
    'it asserts that one of two agents answers within their random delays, which an emulated processor exceeds',
  async run(lab) {
    const table = await fill(lab)
    lab.log.take()
    const wire = await lab.syncSocket()
    const notes: string[] = []
    const faults: string[] = []
    const step = async (name: string, what: () => Promise<Judgement>): Promise<void> => {
      const began = Date.now()
      const judged = await what()
      notes.push(`${name} (${((Date.now() - began) / 1000).toFixed(1)} s): ${judged.note}`)
      faults.push(...judged.faults.map((fault) => `${name}: ${fault}`))
    }
    await step('alone', () => alone(lab))
    const givers = new Map<Director, ChildProcess>()
    for (const director of ['director', 'ours'] as const) givers.set(director, agent(lab, director, ['--limit', '1']))
    for (const director of givers.keys()) await ready(lab, director)
    await step('two at once', () => twoAtOnce(lab, wire, table))
    await step('killed', () => killed(lab, wire, table, givers))
    await step('strangers', () => strangers(lab, wire))
    await step('hostile', () => hostile(lab, wire, table))
    await step('nobody left', () => nobodyLeft(lab, wire, table, [...givers.values()]))
    const left = compareTables(comparable(table), comparable(lab.table('director')))
    const log = lab.log.take().filter((line) => !EXPECTED.test(line))
    return {
      compared: 5 * table.length,
      disagreements: [
        ...faults,
        ...left.map((line) => `the director’s own table: ${line}`),
        ...log.map((line) => `the kernel logged: ${line}`)
      ],
      notes
    }
  }
}

interface Judgement {
  readonly note: string
  readonly faults: readonly string[]
}

/** The same table in the kernels of two directors, of which one is the master; the third has an empty one. */
async function fill(lab: Lab): Promise<KernelRow[]> {
  const connections = population(lab.random, 1, COPIES).map(withoutSequences)
  for (const director of ['director', 'ours'] as const) {
    lab.namespace(director)
    lab.sysctl(director, { 'net.ipv4.vs.sync_sock_size': 8 << 20 })
    lab.backup(director, { syncid: 9 })
  }
  for (const message of encodeMessages({ version: 1, syncid: 9, connections })) await lab.announce(message)
  for (const director of ['director', 'ours'] as const) {
    await lab.until(`${director} is full`, () => lab.table(director).length >= connections.length)
    lab.stop(director, 'backup')
  }
  lab.master('director')
  lab.backup('ours')
  lab.backup('backup')
  return lab.table('director')
}

/** `wait-ready` prints its progress in front of the result. */
const lastLine = (text: string): string => text.split('\n').at(-1) ?? ''

/** Nobody answers: not ready, then ready after the time limit; every way to ask says so. */
async function alone(lab: Lab): Promise<Judgement> {
  const child = agent(lab, 'backup', ['--limit', String(LIMIT), '--http', '9848'], 'alone')
  await lab.until('the agent asks', () => existsSync(readyFile(lab, 'backup')))
  const early = await waitReady(lab, 0)
  const late = await waitReady(lab, PATIENCE)
  await lab.until('systemd is notified', () => statuses(lab).some((line) => line.includes('alone')))
  await ended(child, 'SIGTERM')
  const wanted = `ready (alone): no agent answered within ${LIMIT} s`
  const said = [late.text, ...statuses(lab).filter((line) => line.includes(`--status=${wanted}`))]
  return {
    note: `wait-ready ended with ${early.code} (${early.text}), then with ${late.code} (${late.text})`,
    faults: [
      ...(early.code === 1 && early.text.startsWith('requesting a table')
        ? []
        : [`too early: ${JSON.stringify(early)}`]),
      ...(late.code === 0 && lastLine(late.text).startsWith(wanted) ? [] : [`too late: ${JSON.stringify(late)}`]),
      ...(said.length >= 2 ? [] : [`systemd was told ${JSON.stringify(statuses(lab))}`])
    ]
  }
}

/** Both offer; one sends. */
async function twoAtOnce(lab: Lab, wire: SyncSocket, table: readonly KernelRow[]): Promise<Judgement> {
  await reboot(lab)
  wire.take()
  const comer = agent(lab, 'backup', ['--verify-kernel'])
  const status = await ready(lab, 'backup')
  const copy = lab.table('backup')
  await ended(comer, 'SIGTERM')
  const all = shares(wire.take())
  const offers = all.reduce((sum, { words }) => sum + words[KIND.OFFER]!, 0)
  const sent = all.reduce((sum, { connections }) => sum + connections, 0)
  return {
    note: `${offers} offers, and ${tell(all)}; ${status}`,
    faults: [
      ...compareTables(comparable(table), comparable(copy)),
      ...(offers >= 2 ? [] : [`${offers} offers: nothing was to be chosen from`]),
      ...(sent === table.length ? [] : [`${sent} connections for a table of ${table.length}`])
    ]
  }
}

/** The one that sends is killed when a quarter has come; the other one completes it. */
async function killed(
  lab: Lab,
  wire: SyncSocket,
  table: readonly KernelRow[],
  givers: ReadonlyMap<Director, ChildProcess>
): Promise<Judgement> {
  await reboot(lab)
  wire.take()
  const comer = agent(lab, 'backup', ['--verify-kernel'])
  const sender = (): Share | undefined => shares(wire.heard).find(({ connections }) => connections > table.length / 4)
  await lab.until('a quarter has come', () => sender() !== undefined, PATIENCE)
  const victim = sender()!.address
  await ended(givers.get(ADDRESS[victim]!)!, 'SIGKILL')
  const status = await ready(lab, 'backup')
  const copy = lab.table('backup')
  await ended(comer, 'SIGTERM')
  const all = shares(wire.take())
  const [before, after] = [all.find(({ address }) => address === victim)!, all.filter((one) => one.address !== victim)]
  return {
    note: `${tell([before])} until it was killed, then ${tell(after)}; ${status}`,
    faults: [
      ...compareTables(comparable(table), comparable(copy)),
      ...(before.connections < table.length ? [] : ['it was killed too late: the whole table had come'])
    ]
  }
}

/** Requests from outside the accepted network, and with another syncid: nothing is sent, nobody is offered anything. */
async function strangers(lab: Lab, wire: SyncSocket): Promise<Judgement> {
  lab.sh('root', `ip addr add ${STRANGER}/32 dev sync0`)
  const outside = await SyncSocket.open(STRANGER)
  wire.take()
  const asked = await attack(lab, STRANGER_MS, (number) => {
    const forged = number % 2 === 0
    return [forged ? wire : outside, forged ? 8 : 7]
  })
  outside.close()
  const all = shares(wire.take()).filter(({ address }) => ADDRESS[address] !== undefined)
  const answers = all.filter(
    ({ words, datagrams }) => datagrams > 0 || words.some((count, kind) => kind > 1 && count > 0)
  )
  return {
    note: `${asked} requests from outside or with another syncid; sent: ${tell(all)}`,
    faults: answers.map((share) => `it answered: ${tell([share])}`)
  }
}

/** Requests from an accepted address. What agents send stays within the gate, and a director that comes up is served. */
async function hostile(lab: Lab, wire: SyncSocket, table: readonly KernelRow[]): Promise<Judgement> {
  await reboot(lab)
  wire.take()
  const began = Date.now()
  const attacking = attack(lab, HOSTILE_MS, () => [wire, 7])
  await lab.pause(1000)
  const comer = agent(lab, 'backup', ['--verify-kernel', '--store', storeFile(lab)])
  const status = await ready(lab, 'backup')
  const copy = lab.table('backup')
  const asked = await attacking
  const seconds = (Date.now() - began) / 1000
  const all = shares(wire.take()).filter(({ address }) => ADDRESS[address] !== undefined)
  await ended(comer, 'SIGTERM')
  const most = (GATE_BURST + (seconds * 1000) / GATE_MS) * table.length
  const [sent, bytes] = [sum(all, 'connections'), sum(all, 'bytes')]
  return {
    note: `${asked} requests in ${seconds.toFixed(1)} s; sent: ${tell(all)}, ${bytes} bytes; ${status}`,
    faults: [
      ...compareTables(comparable(table), comparable(copy)),
      ...(sent <= most ? [] : [`${sent} connections were sent, the gate allows ${most}`]),
      ...(bytes <= most * 60 + asked * 40 ? [] : [`${bytes} bytes were sent`])
    ]
  }
}

/** No other agent lives, and the kernel was restarted: it gets what the store kept, and nothing of that leaves the host. */
async function nobodyLeft(
  lab: Lab,
  wire: SyncSocket,
  table: readonly KernelRow[],
  givers: readonly ChildProcess[]
): Promise<Judgement> {
  for (const giver of givers) await ended(giver, 'SIGKILL')
  await reboot(lab)
  wire.take()
  const comer = agent(lab, 'backup', ['--limit', String(LIMIT), '--store', storeFile(lab)])
  const status = await ready(lab, 'backup')
  const copy = lab.table('backup')
  await ended(comer, 'SIGTERM')
  const sent = sum(shares(wire.take()), 'connections')
  return {
    note: `the kernel has ${copy.length} connections, ${sent} were seen outside; ${status}`,
    faults: [
      ...compareTables(comparable(table), comparable(copy)),
      ...(sent === 0 ? [] : [`${sent} connections left the host`])
    ]
  }
}

/** Every second request asks everybody, every second one chooses an agent that was heard. Returns how many were sent. */
async function attack(
  lab: Lab,
  milliseconds: number,
  choose: (number: number) => readonly [from: SyncSocket, syncid: number]
): Promise<number> {
  const wire = await lab.syncSocket()
  const began = Date.now()
  let known = 0n
  let sent = 0
  for (let passed = 0; passed < milliseconds; passed = Date.now() - began) {
    const giver = wire.heard.find(({ bytes, address }) => ADDRESS[address] !== undefined && bytes.length === 40)
    if (giver !== undefined) known = speakerOf(giver.bytes)
    for (; sent < (passed * HOSTILE_RATE) / 1000; sent++) {
      const [socket, syncid] = choose(sent >> 1)
      const from = BigInt(lab.random.word())
      await socket.send(
        forge({ syncid, kind: KIND.REQUEST, from, to: sent % 2 === 0 ? 0n : known, request: lab.random.word() })
      )
    }
    await lab.pause(20)
  }
  return sent
}

/** Nothing of the third director's kernel is left; its backup daemon starts again. */
async function reboot(lab: Lab): Promise<void> {
  await lab.remove('backup')
  rmSync(readyFile(lab, 'backup'), { force: true })
  lab.backup('backup')
}

/** Starts an agent; a program that stands in for systemd-notify writes down what systemd would be told. */
function agent(lab: Lab, director: Director, words: readonly string[], name: string = director): ChildProcess {
  const tool = join(lab.folder, 'systemd-notify')
  writeFileSync(tool, `#!/bin/sh\necho "$@" >>'${join(lab.folder, 'statuses')}'\n`)
  chmodSync(tool, 0o755)
  const all = [COMMAND, 'agent', '--mcast-interface', 'sync0', '--syncid', '7', '--accept', '10.9.0.0/24']
  const more = [
    '--hz',
    String(lab.kernel.hz),
    '--rate',
    String(RATE),
    '--ready-file',
    readyFile(lab, director),
    ...words
  ]
  const env = [`PATH=${lab.folder}:${process.env['PATH']}`, 'NOTIFY_SOCKET=/run/none']
  return lab.start(director, 'env', [...env, process.execPath, ...all, ...more], `agent-${name}`)
}

function statuses(lab: Lab): string[] {
  const file = join(lab.folder, 'statuses')
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n') : []
}

/** Waits for an agent; its status. */
async function ready(lab: Lab, director: Director): Promise<string> {
  const state = (): { readonly ready?: boolean; readonly status?: string } =>
    existsSync(readyFile(lab, director))
      ? (JSON.parse(readFileSync(readyFile(lab, director), 'utf8')) as { readonly ready: boolean })
      : {}
  await lab.until(`${director} is ready`, () => state().ready === true, PATIENCE)
  return String(state().status)
}

async function waitReady(lab: Lab, timeout: number): Promise<{ readonly code: number; readonly text: string }> {
  const name = `wait-ready-${timeout}`
  const words = [COMMAND, 'wait-ready', '--http', '9848', '--timeout', String(timeout)]
  const child = lab.start('backup', process.execPath, words, name)
  const [code] = (await once(child, 'exit')) as [number]
  return { code, text: readFileSync(join(lab.folder, `${name}.log`), 'utf8').trim() }
}

async function ended(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill(signal)
  await once(child, 'exit')
}

function readyFile(lab: Lab, director: Director): string {
  return join(lab.folder, `ready-${director}`)
}

function storeFile(lab: Lab): string {
  return join(lab.folder, 'store')
}

function sum(all: readonly Share[], what: 'connections' | 'bytes'): number {
  return all.reduce((total, share) => total + share[what], 0)
}

function tell(all: readonly Share[]): string {
  const one = ({ address, connections, datagrams, words }: Share): string =>
    `${connections} connections in ${datagrams} datagrams and ${words.reduce((a, b) => a + b)} words from ${address}`
  return all.map(one).join(', ')
}

/** Keys, real servers, states, engines; not how long they live nor where they come from. */
function comparable(rows: readonly KernelRow[]): KernelRow[] {
  return rows.map((row) => ({ ...row, origin: '', expires: 1000 }))
}
