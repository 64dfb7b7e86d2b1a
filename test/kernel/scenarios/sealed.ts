import { ConnectionTable, type Connection } from 'ipvs-sync'
import { MasterEngine } from 'ipvs-sync/engine'
import { parseKeys, generateKey, SEAL_OVERHEAD, Sealer } from 'ipvs-sync/trust'
import { createRows, ROW, rowFromConnection, stateNumber, stateTimeout } from 'ipvs-sync/wire'
import { compareTables } from '../harness/kernel-table.js'
import type { Lab } from '../harness/lab.js'
import { asKernelRows } from '../harness/our-table.js'
import { population } from '../harness/population.js'
import type { Scenario } from '../harness/scenario.js'

const SETTINGS = {
  syncThreshold: [3, 50],
  syncRefreshPeriod: 0,
  syncRetries: 0,
  syncPersistMode: 0,
  syncPorts: 1,
  syncQlenMax: 100_000
} as const

export const scenario: Scenario = {
  title: 'sealed messages to a kernel backup: it applies them as if they had no trailer, in both versions',
  async run(lab) {
    lab.namespace('backup')
    lab.sysctl('backup', { 'net.ipv4.vs.sync_sock_size': 8 << 20 })
    lab.backup('backup')
    const sealer = new Sealer({ key: parseKeys(generateKey()).signing })
    const disagreements: string[] = []
    let [datagrams, compared] = [0, 0]
    for (const version of [0, 1] as const) {
      const connections = population(lab.random, version, version === 0 ? 20 : 10)
      const before = new Set(lab.table('backup').map(({ key }) => key))
      for (const message of messagesOf(connections, version)) {
        datagrams++
        await lab.announce(sealer.seal(message, 0))
      }
      await lab.pause(300)
      compared += connections.length
      disagreements.push(...differences(lab, connections, before).map((line) => `version ${version}: ${line}`))
    }
    return { datagrams, compared, disagreements }
  }
}

function differences(lab: Lab, connections: readonly Connection[], before: ReadonlySet<string>): string[] {
  const kernel = lab.table('backup', 'engine').filter(({ key }) => !before.has(key))
  const expected = connections.map((connection) => ({
    ...connection,
    origin: 'SYNC' as const,
    expires: timeoutOf(connection),
    syncid: 7
  }))
  return compareTables(kernel, asKernelRows(expected, 'engine'))
}

function messagesOf(connections: readonly Connection[], version: 0 | 1): Uint8Array[] {
  const table = new ConnectionTable({ maxConnections: 100_000 })
  const settings = { ...SETTINGS, syncVersion: version }
  const master = new MasterEngine({ syncid: 7, settings, table, syncMaxlen: 1472 - SEAL_OVERHEAD })
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

function timeoutOf({ protocol, state, flags, timeout }: Connection): number {
  if (timeout !== undefined) return timeout
  const numbers: Readonly<Record<string, number>> = { TCP: 6, UDP: 17, SCTP: 132, AH: 51, ESP: 50, IP: 0 }
  const number = numbers[protocol]!
  const template = flags.includes('TEMPLATE')
  return stateTimeout(number, template, stateNumber(number, template, state)!)
}
