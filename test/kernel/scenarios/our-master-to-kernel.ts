import { ConnectionTable, type Connection } from 'ipvs-sync'
import { MasterEngine } from 'ipvs-sync/engine'
import { createRows, ROW, rowFromConnection, stateNumber, stateTimeout } from 'ipvs-sync/wire'
import { compareTables } from '../harness/kernel-table.js'
import type { Lab } from '../harness/lab.js'
import { asKernelRows } from '../harness/our-table.js'
import { population } from '../harness/population.js'
import type { Scenario } from '../harness/scenario.js'

const COPIES = 30
const SETTINGS = {
  syncThreshold: [3, 50],
  syncRefreshPeriod: 0,
  syncRetries: 0,
  syncPersistMode: 0,
  syncPorts: 1,
  syncQlenMax: 100_000
} as const

export const scenario: Scenario = {
  title: 'our master to a kernel backup: every kind and state of connection, both versions, full messages',
  async run(lab) {
    lab.namespace('backup')
    lab.sysctl('backup', { 'net.ipv4.vs.sync_sock_size': 8 << 20 })
    lab.backup('backup')
    // Version 0 first: it cannot give a timeout, and the kernel's own for some states are seconds.
    const outcomes = [await announce(lab, 0, 2 * COPIES), await announce(lab, 1, COPIES)]
    return {
      datagrams: outcomes.reduce((sum, { datagrams }) => sum + datagrams, 0),
      compared: outcomes.reduce((sum, { compared }) => sum + compared, 0),
      disagreements: outcomes.flatMap(({ disagreements }) => disagreements),
      notes: outcomes.flatMap(({ notes }) => notes)
    }
  }
}

async function announce(
  lab: Lab,
  version: 0 | 1,
  copies: number
): Promise<{ datagrams: number; compared: number; disagreements: string[]; notes: string[] }> {
  const connections = population(lab.random, version, copies)
  const messages = encode(connections, version)
  const before = new Set(lab.table('backup').map(({ key }) => key))
  for (const message of messages) await lab.announce(message)
  await lab.pause(300)
  const kernel = lab.table('backup', 'engine').filter(({ key }) => !before.has(key))
  const expected = asKernelRows(
    connections.map((connection) => ({ ...connection, origin: 'SYNC', expires: timeoutOf(connection), syncid: 7 })),
    'engine'
  )
  const largest = Math.max(...messages.map(({ length }) => length))
  const disagreements = compareTables(kernel, expected).map((line) => `version ${version}: ${line}`)
  if (largest < 1400) disagreements.push(`version ${version}: the largest message has ${largest} bytes: none was full`)
  return {
    datagrams: messages.length,
    compared: connections.length,
    disagreements,
    notes: [
      `version ${version}: ${connections.length} connections in ${messages.length} messages of up to ${largest} bytes; the kernel holds ${kernel.length}`
    ]
  }
}

function encode(connections: readonly Connection[], version: 0 | 1): Uint8Array[] {
  const table = new ConnectionTable({ maxConnections: 100_000 })
  const master = new MasterEngine({ syncid: 7, settings: { ...SETTINGS, syncVersion: version }, table })
  const rows = createRows(1)
  for (const connection of connections) {
    rowFromConnection(connection, rows, 0)
    if (rows.words[ROW.TIMEOUT] === 0) rows.words[ROW.TIMEOUT] = timeoutOf(connection)
    table.add(rows, 0, 1)
  }
  for (const templates of [true, false])
    for (const slots of master.table.walk({ templates })) master.announceSlots(slots, 1)
  master.close(1)
  const messages: Uint8Array[] = []
  for (let message = master.pollTransmit(); message !== undefined; message = master.pollTransmit())
    messages.push(message.bytes)
  return messages
}

/** What the message says; in version 0 the state's own timeout, which the kernel falls back to. */
function timeoutOf({ protocol, state, flags, timeout }: Connection): number {
  if (timeout !== undefined) return timeout
  const numbers: Readonly<Record<string, number>> = { TCP: 6, UDP: 17, SCTP: 132, AH: 51, ESP: 50, IP: 0 }
  const number = numbers[protocol]!
  const template = flags.includes('TEMPLATE')
  return stateTimeout(number, template, stateNumber(number, template, state)!)
}
