import { encodeMessages, type Connection } from 'ipvs-sync'
import { commandLine } from '../harness/command.js'
import { compareTables, type KernelRow } from '../harness/kernel-table.js'
import type { Lab } from '../harness/lab.js'
import { readRecords, type WireRecord } from '../harness/message.js'
import { TCP } from '../harness/packet.js'
import { population } from '../harness/population.js'
import { pairRecords, recordDifferences, withoutSequences } from '../harness/record-differences.js'
import type { Scenario } from '../harness/scenario.js'
import { FURTHER_KINDS, FURTHER_SERVICES, KINDS, MARKS, Player, SERVICES } from '../harness/traffic.js'

/** Connections of each kind by real packets. */
const PLAYED = 120
/** Copies of the made-up population, of 74 connections each. */
const COPIES = 20
/** What the director must hold at least. */
const LEAST = 3000
/** Longer than a kernel's open buffer lives. */
const FLUSH_MS = 3400
const RESYNC = 'resync --source kernel --mcast-interface sync0 --syncid 7'

export const scenario: Scenario = {
  title: 'late joiner: a kernel backup that starts empty has the whole table of a director after one resync',
  timeLimit: 150,
  async run(lab) {
    const command = `${RESYNC} --hz ${lab.kernel.hz}`
    const announced = await fill(lab)
    const services = [...SERVICES, ...FURTHER_SERVICES]
    lab.namespace('backup')
    lab.services('backup', services)
    lab.backup('backup')
    const before = lab.table('director', 'engine')
    const empty = lab.table('backup').length
    const first = await resync(lab, command)
    const after = lab.table('director', 'engine')
    const copy = lab.table('backup', 'engine')
    const again = await resync(lab, `${command} --repeat 2`)
    const copyAgain = lab.table('backup', 'engine')
    const disagreements = [
      ...(empty === 0 ? [] : [`the backup began with ${empty} connections`]),
      ...(copy.length >= LEAST ? [] : [`the backup has ${copy.length} connections, of ${LEAST} at least`]),
      ...tableDifferences(before, after, copy),
      ...tableDifferences(copy, copyAgain, copyAgain).map((line) => `repeated: ${line}`),
      ...recordDifferences(announced.played, first.records, 'played').faults,
      ...counterDifferences(lab)
    ]
    return {
      datagrams: first.datagrams + again.datagrams,
      compared: before.length + copy.length,
      disagreements,
      notes: [
        `director ${before.length}: ${census(before)}`,
        `backup after one resync: ${copy.length}; after --repeat 2: ${copyAgain.length}`,
        ...first.output,
        ...again.output.map((line) => `--repeat 2: ${line}`),
        ...recordDifferences(announced.played, first.records, 'played').notes,
        ...recordDifferences(announced.madeUp, first.records, 'made up').notes
      ]
    }
  }
}

/** What was announced of the director's connections by those who knew everything of them. */
interface Announced {
  /** By the director's own kernel. */
  readonly played: ReadonlyMap<string, WireRecord>
  readonly madeUp: ReadonlyMap<string, WireRecord>
}

/** Fills the director's table: by real packets, and through its own backup daemon. */
async function fill(lab: Lab): Promise<Announced> {
  const cannon = await lab.director([...SERVICES, ...FURTHER_SERVICES])
  lab.sh('director', MARKS)
  lab.sysctl('director', { 'net.ipv4.vs.sync_threshold': '0 1', 'net.ipv4.vs.sync_sock_size': 8 << 20 })
  const socket = await lab.syncSocket()
  lab.master('director')
  const kinds = [...KINDS, ...FURTHER_KINDS].filter(({ onePacket }) => onePacket === undefined)
  for (const [number, kind] of kinds.entries())
    for (let twin = 0; twin < PLAYED; twin++) {
      // Every second one stays open, and whatever a reset would end: that is gone in 10 s.
      const open = twin % 2 === 0 || kind.closing.some(([, what]) => kind.protocol === 'TCP' && what === TCP.RST)
      const player = new Player(
        lab,
        cannon,
        open ? { ...kind, closing: [] } : kind,
        0x200 + number * PLAYED + twin,
        2000 + twin,
        2
      )
      await player.rush()
    }
  await lab.pause(FLUSH_MS)
  lab.stop('director', 'master')
  const played = socket.take().flatMap(({ bytes }) => readRecords(bytes))
  const messages = encodeMessages({
    version: 1,
    syncid: 7,
    connections: population(lab.random, 1, COPIES).map(withoutSequences).map(ofNoService)
  })
  lab.backup('director')
  for (const message of messages) await lab.announce(message)
  await lab.pause(500)
  lab.stop('director', 'backup')
  return { played: pairRecords(played), madeUp: pairRecords(messages.flatMap((bytes) => readRecords(bytes))) }
}

/** To a real server that no service has: else it would be taken for a connection of that service. */
function ofNoService(connection: Connection): Connection {
  const { address, port } = connection.destination
  const other = address.replace(/^10\.2\.0\./, '10.2.1.').replace(/^fd00:2::/, 'fd00:2::1:')
  return { ...connection, destination: { address: other, port } }
}

interface Resynced {
  readonly output: readonly string[]
  readonly datagrams: number
  readonly records: ReadonlyMap<string, WireRecord>
}

async function resync(lab: Lab, words: string): Promise<Resynced> {
  const socket = await lab.syncSocket()
  socket.take()
  const output = lab.sh('director', commandLine(words)).trim().split('\n')
  await lab.pause(500)
  const heard = socket.take()
  return {
    output,
    datagrams: heard.length,
    records: pairRecords(heard.flatMap(({ bytes }) => readRecords(bytes)))
  }
}

/** Keys, destinations, states, engines; not how long they live nor where they come from. */
function tableDifferences(
  before: readonly KernelRow[],
  after: readonly KernelRow[],
  copy: readonly KernelRow[]
): string[] {
  // What ended while it was copied may be in the copy or not.
  const still = new Set(after.map(({ key }) => key))
  const ended = new Set(before.map(({ key }) => key).filter((key) => !still.has(key)))
  const comparable = (rows: readonly KernelRow[]): KernelRow[] =>
    rows.filter(({ key }) => !ended.has(key)).map((row) => ({ ...row, origin: '', expires: 1000 }))
  return compareTables(comparable(after), comparable(copy))
}

function census(rows: readonly KernelRow[]): string {
  const count = (what: (row: KernelRow) => boolean): number => rows.filter(what).length
  const protocols = [...new Set(rows.map(({ protocol }) => protocol))].sort()
  const states = new Set(rows.map(({ protocol, state }) => `${protocol} ${state}`)).size
  return [
    ...protocols.map((name) => `${name} ${count(({ protocol }) => protocol === name)}`),
    `IPv6 ${count(({ client }) => client.includes(':'))}`,
    `templates ${count((row) => row.clientPort === 0 && /^(NONE|ASSURED)$/.test(row.state))}`,
    `of firewall marks ${count(({ protocol }) => protocol === 'IP')}`,
    `sip ${count(({ engine }) => engine.startsWith('sip'))}`,
    `LOCAL ${count(({ origin }) => origin === 'LOCAL')}`,
    `${states} pairs of protocol and state`
  ].join(', ')
}

/** Active and inactive connections of the services' real servers: they count what is bound to them, by its flags. */
function counterDifferences(lab: Lab): string[] {
  const [director, backup] = [serverCounters(lab, 'director'), serverCounters(lab, 'backup')]
  return [...director].flatMap(([server, counters]) =>
    counters === backup.get(server)
      ? []
      : [`active and inactive connections of ${server}: director ${counters}, backup ${backup.get(server)}`]
  )
}

function serverCounters(lab: Lab, namespace: 'director' | 'backup'): Map<string, string> {
  const counters = new Map<string, string>()
  let service = ''
  for (const line of lab.proc(namespace, 'ip_vs').split('\n')) {
    const words = line.trim().split(/\s+/)
    if (words[0] !== '->') service = words.slice(0, 2).join(' ')
    else counters.set(`${service} ${words[1]}`, words.slice(4).join(' '))
  }
  return counters
}
