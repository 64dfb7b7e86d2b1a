// Agents with keys on loopback: a table is received from an agent with the same key, and from no other one.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Agent } from '../../src/agent/agent.js'
import { kernelSender } from '../../src/agent/kernel.js'
import type { AgentOptions } from '../../src/agent/options.js'
import { createReceiver } from '../../src/daemon/sealing.js'
import { udpOptionsOf } from '../../src/daemon/sync-options.js'
import { saveTable } from '../../src/daemon/table-store.js'
import { verifySysctls } from '../../src/sysctl/settings.js'
import { generateKey } from '../../src/trust/keys.js'
import { ConnectionTable } from '../../src/table/connection-table.js'
import { encodeMessage } from '../../src/wire/encode-message.js'
import { rowFromConnection } from '../../src/wire/row-values.js'
import { createRows } from '../../src/wire/rows.js'
import { tcpConnection } from '../fixtures/support/connections.js'
import { freePorts, noMulticast } from '../fixtures/support/loopback.js'

const CONNECTIONS = 300

async function saveConnections(path: string): Promise<void> {
  const table = new ConnectionTable({ maxConnections: 1000 })
  const rows = createRows(1)
  for (let number = 0; number < CONNECTIONS; number++) {
    rowFromConnection(tcpConnection(number, { timeout: 900 }), rows, 0)
    table.add(rows, 0, 1)
  }
  await saveTable(table, path, Date.now())
}

async function startAgent(t: Test, options: AgentOptions): Promise<{ agent: Agent; codes: string[] }> {
  const agent = new Agent({ mcastInterface: 'lo', syncid: 7, kernel: false, accept: ['127.0.0.0/8'], ...options })
  const codes: string[] = []
  agent.on('notice', ({ code }) => codes.push(code))
  t.teardown(() => agent.close())
  await agent.start()
  return { agent, codes }
}

async function untilReady(agent: Agent): Promise<void> {
  while (!agent.ready) await sleep(5)
}

t.test('a table is received under the same key only', { skip: await noMulticast() }, async (t) => {
  const folder = t.testdir()
  const [keyFile, otherKey, store] = ['key', 'other', 'table'].map((name) => join(folder, name)) as [
    string,
    string,
    string
  ]
  for (const path of [keyFile, otherKey]) writeFileSync(path, generateKey(), { mode: 0o600 })
  await saveConnections(store)
  const mcastPort = await freePorts(1)
  const requireKey = true
  const short = { mcastPort, requireKey, times: { limit: 1500 } }
  const responder = await startAgent(t, { ...short, keyFile, store, times: { limit: 100 } })
  await untilReady(responder.agent)
  const stranger = await startAgent(t, { ...short, keyFile: otherKey })
  await untilReady(stranger.agent)
  t.match(stranger.agent.report(), { outcome: 'alone', agents: [] })
  t.equal(stranger.agent.table.size, 0)
  t.equal(responder.agent.report().given, 0, 'a request under another key is not answered')
  t.ok(responder.codes.length > 0 && stranger.codes.length > 0, 'both sides report what they drop')
  const requester = await startAgent(t, { ...short, keyFile, times: { limit: 20_000 } })
  await untilReady(requester.agent)
  t.match(requester.agent.report(), { outcome: 'complete', received: CONNECTIONS })
  t.equal(requester.agent.table.size, CONNECTIONS)
  t.equal(stranger.agent.table.size, 0, 'the answer goes to the group, and the other key does not verify it')
})

t.test('keys of an agent are checked when it is created', (t) => {
  const keyFile = join(t.testdir(), 'key')
  const options = { mcastInterface: 'lo', syncid: 7, kernel: false } as const
  t.throws(() => new Agent({ ...options, requireKey: true }), { code: 'ERR_CONFIG', field: 'keyFile' })
  t.throws(() => new Agent({ ...options, keyFile }), { code: 'ERR_CONFIG', field: 'keyFile' })
  t.end()
})

t.test('messages of an agent to its own kernel are sealed', { skip: await noMulticast() }, async (t) => {
  const keyFile = join(t.testdir(), 'key')
  writeFileSync(keyFile, generateKey(), { mode: 0o600 })
  const options = { mcastInterface: 'lo', mcastPort: await freePorts(1), syncid: 7, keyFile, requireKey: true }
  const receiver = createReceiver(options, { udp: udpOptionsOf(options, verifySysctls({})), syncid: 7 })
  const received: Uint8Array[] = []
  await receiver.start({ onDatagram: (bytes) => received.push(bytes) })
  const bringer = kernelSender(options, verifySysctls({}))!()
  await bringer.start({})
  const message = encodeMessage({ version: 1, syncid: 7, connections: [] })
  bringer.send(0, message)
  while (received.length === 0) await sleep(5)
  t.same(
    received.map((bytes) => Uint8Array.from(bytes)),
    [message]
  )
  t.match(receiver.sealReport?.(), { verdicts: { VALID: 1, UNSIGNED: 0 } })
  await bringer.close()
  await receiver.close()
})

t.test('an agent whose clock is wrong by a day receives a table', { skip: await noMulticast() }, async (t) => {
  const folder = t.testdir()
  const [keyFile, store] = [join(folder, 'key'), join(folder, 'table')]
  writeFileSync(keyFile, generateKey(), { mode: 0o600 })
  await saveConnections(store)
  const common = { mcastPort: await freePorts(1), requireKey: true, keyFile }
  const responder = await startAgent(t, { ...common, store, times: { limit: 100 } })
  await untilReady(responder.agent)
  const requester = await startAgent(t, {
    ...common,
    wallClock: () => Date.now() - 86_400_000,
    times: { limit: 20_000 }
  })
  await untilReady(requester.agent)
  t.match(requester.agent.report(), { outcome: 'complete', received: CONNECTIONS })
  t.ok(requester.codes.includes('SEAL_STALE'))
})
