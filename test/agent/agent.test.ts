// Agents with their files and transports, in virtual time: everything but clocks, UDP and keepalived is real.
import { execFileSync } from 'node:child_process'
import { appendFileSync, chmodSync, existsSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Agent } from '../../src/agent/agent.js'
import { loadRole, NotifyFifo, parseRoleChange, VrrpRole } from '../../src/agent/keepalived.js'
import { KernelMirror, kernelSender } from '../../src/agent/kernel.js'
import type { AgentOptions } from '../../src/agent/options.js'
import { Announcing } from '../../src/agent/announcing.js'
import { readReadyFile, removeReadyFile, writeReadyFile } from '../../src/agent/ready-file.js'
import { Repeater } from '../../src/daemon/repeater.js'
import { loadTable, saveTable } from '../../src/daemon/table-store.js'
import { IpvsSyncError } from '../../src/errors.js'
import { ConnectionTable } from '../../src/table/connection-table.js'
import { KernelFollower } from '../../src/procfs/follower.js'
import { CONN_SYNC_HEADER, connSyncLine } from '../../src/procfs/write-connections.js'
import { verifySysctls } from '../../src/sysctl/settings.js'
import { MemoryNetwork } from '../../src/transport/memory.js'
import type { SendingTransport, TransportHandlers } from '../../src/transport/transport.js'
import type { Connection } from '../../src/wire/connection.js'
import { decodeMessage } from '../../src/wire/decode-message.js'
import { encodeMessage } from '../../src/wire/encode-message.js'
import { rowFromConnection } from '../../src/wire/row-values.js'
import { createRows } from '../../src/wire/rows.js'
import { tcpConnection } from '../fixtures/support/connections.js'
import { ManualClock } from '../fixtures/support/manual-clock.js'
import { FakeSystem } from '../fixtures/support/fake-network.js'

const HEADER = 'Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n'
const NO_FILES = { connections: '/nowhere/ip_vs_conn', services: '/nowhere/ip_vs' }

/** A table of so many connections, the first of which has the given timeout. */
function tableOf(count: number, timeout = 900): ConnectionTable {
  const table = new ConnectionTable({ maxConnections: 100_000 })
  const rows = createRows(1)
  for (let i = 0; i < count; i++) {
    rowFromConnection(tcpConnection(i, { timeout: i === 0 ? timeout : 900 }), rows, 0)
    table.add(rows, 0, 1)
  }
  return table
}

/** The kernel's text for connections of one client, by port. */
function procText(...ports: number[]): string {
  return (
    HEADER +
    ports
      .map(
        (port) =>
          `TCP 0A010002 ${port.toString(16).padStart(4, '0').toUpperCase()} 0A010001 0050 0A020002 0050 ESTABLISHED     899\n`
      )
      .join('')
  )
}

/** A memory network and agents on it. Their time moves a millisecond with each turn of the event loop that a test waits. */
function world(t: Test, options: { readonly loss?: number } = {}) {
  const network = new MemoryNetwork({ delayMs: [0, 1], ...options })
  const clock = new ManualClock()
  const step = async (): Promise<void> => {
    clock.advance(1)
    network.advance(network.now + 1)
    await turn()
  }
  /** Waits until something holds; never longer than the runner's own limit. */
  const until = async (holds: () => boolean): Promise<void> => {
    while (!holds()) await step()
  }
  /** Lets virtual milliseconds pass. */
  const pass = async (milliseconds: number): Promise<void> => {
    for (let i = 0; i < milliseconds; i++) await step()
  }
  /** Waits for what needs time to pass meanwhile. */
  const during = async <T>(promise: Promise<T>): Promise<T> => {
    let isPending = true
    const settle = (): void => void (isPending = false)
    promise.then(settle, settle)
    await until(() => !isPending)
    return promise
  }
  let number = 0
  const add = (agentOptions: Partial<AgentOptions> = {}) => {
    const address = `10.9.0.${++number}`
    const agent = new Agent({
      peers: [{ address: '10.9.0.99' }],
      accept: ['10.9.0.0/24'],
      syncid: 5,
      rate: 100_000,
      kernel: false,
      maxConnections: 10_000,
      receiver: network.open(address),
      sender: network.open(address, 40_000),
      announcer: network.open(address, 50_000),
      clock,
      ...agentOptions,
      times: { limit: 150, choice: 20, offerDelay: 10, ...agentOptions.times }
    })
    const told: string[] = []
    const codes: string[] = []
    agent.on('notice', ({ code, message }) => {
      codes.push(code)
      told.push(message)
    })
    agent.on('status', (_, text) => told.push(text))
    t.teardown(() => during(agent.close()))
    return { agent, told, codes }
  }
  return { network, clock, add, until, pass, during }
}

t.test('a ready file counts while its agent writes it', (t) => {
  const path = join(t.testdir(), 'ready')
  t.match(readReadyFile(path, 1), { ready: false, status: /no agent has written/ })
  writeReadyFile(path, { ready: true, status: 'well', writtenAt: 100_000 })
  t.strictSame(readReadyFile(path, 120_000), { ready: true, status: 'well' })
  t.match(readReadyFile(path, 120_001), { ready: false, status: /no longer runs/ })
  writeFileSync(path, 'hello')
  t.match(readReadyFile(path, 1), { ready: false, status: `${path} is not the ready file of an agent` })
  t.match(readReadyFile(dirname(path), 1), { ready: false, status: `${dirname(path)}: EISDIR` })
  writeFileSync(path, '{}')
  t.match(readReadyFile(path, 1), { ready: false, status: /no longer runs/ })
  removeReadyFile(path)
  removeReadyFile(path)
  t.notOk(existsSync(path))
  t.end()
})

t.test('keepalived’s lines', (t) => {
  t.strictSame(parseRoleChange('INSTANCE "VI_1" MASTER 100'), {
    kind: 'INSTANCE',
    name: 'VI_1',
    state: 'MASTER',
    priority: 100
  })
  t.match(parseRoleChange('GROUP "G 1" BACKUP 0'), { kind: 'GROUP', name: 'G 1', state: 'BACKUP', priority: 0 })
  t.match(parseRoleChange('INSTANCE "VI_1" DELETED'), { state: 'DELETED', priority: 0 })
  for (const line of ['', 'VS [10.0.0.1]:tcp:80 UP', 'INSTANCE VI_1 MASTER 100', 'INSTANCE "VI_1" master 100'])
    t.equal(parseRoleChange(line), undefined, line)
  t.end()
})

t.test('a director is master as long as any instance that counts is', (t) => {
  const change = (name: string, state: string, kind: 'INSTANCE' | 'GROUP' = 'INSTANCE') => ({
    kind,
    name,
    state,
    priority: 1
  })
  const any = new VrrpRole(undefined)
  t.strictSame(
    [
      any.update(change('G', 'MASTER', 'GROUP')),
      any.update(change('A', 'BACKUP')),
      any.update(change('A', 'MASTER')),
      any.update(change('A', 'MASTER_RX_LOWER_PRI')),
      any.update(change('B', 'MASTER')),
      any.update(change('A', 'FAULT')),
      any.update(change('B', 'STOP'))
    ],
    [false, false, true, false, false, false, true]
  )
  const one = new VrrpRole('A')
  t.strictSame(
    [one.update(change('B', 'MASTER')), one.update(change('A', 'MASTER')), one.isMaster],
    [false, true, true]
  )
  for (let i = 0; i < 300; i++) any.update(change(`I${i}`, 'MASTER'))
  for (let i = 0; i < 256; i++) any.update(change(`I${i}`, 'BACKUP'))
  t.equal(any.isMaster, false, 'no more than 256 are remembered')
  t.end()
})

t.test('a FIFO is followed when it comes, goes, and is replaced; an invalid word is reported once', (t) => {
  const path = join(t.testdir(), 'fifo')
  const clock = new ManualClock()
  const states: string[] = []
  const told: string[] = []
  const fifo = new NotifyFifo({
    path,
    clock,
    onChange: ({ state }) => states.push(state),
    onNotice: (text) => told.push(text)
  })
  fifo.start()
  clock.advance(500)
  t.strictSame([states, told], [[], []])
  execFileSync('mkfifo', [path])
  clock.advance(100)
  appendFileSync(path, 'INSTANCE "VI_1" BACKUP 100\nINSTANCE "VI_1" MAS')
  clock.advance(100)
  appendFileSync(path, 'TER 100\nVS [10.0.0.1]:tcp:80 UP\n')
  clock.advance(100)
  t.strictSame(states, ['BACKUP', 'MASTER'])
  appendFileSync(path, 'INSTANCE "VI_1" FAULT 100\n')
  rmSync(path)
  execFileSync('mkfifo', [path])
  clock.advance(100)
  appendFileSync(path, `${'x'.repeat(5000)}\nINSTANCE "VI_1" STOP 100\n`)
  clock.advance(100)
  t.strictSame(states, ['BACKUP', 'MASTER', 'FAULT', 'STOP'])
  appendFileSync(path, 'x'.repeat(5000))
  clock.advance(100)
  appendFileSync(path, 'INSTANCE "VI_1" MASTER 100\n')
  clock.advance(100)
  t.equal(states.length, 5, 'what has no end is thrown away')
  rmSync(path)
  clock.advance(100)
  writeFileSync(path, 'INSTANCE "VI_1" MASTER 100\n')
  clock.advance(300)
  t.match(told, [/is not a FIFO/])
  t.equal(told.length, 1)
  fifo.close()
  t.equal(clock.armed, 0)
  new NotifyFifo({ path, clock, onChange: () => undefined, onNotice: () => undefined }).close()
  t.end()
})

t.test('a FIFO that cannot be read is reported, and tried again', (t) => {
  const path = join(t.testdir(), 'fifo')
  execFileSync('mkfifo', [path])
  const clock = new ManualClock()
  const told: string[] = []
  const fifo = new NotifyFifo({
    path,
    clock,
    onChange: () => {
      throw new Error('not now')
    },
    onNotice: (text) => told.push(text)
  })
  fifo.start()
  appendFileSync(path, 'INSTANCE "VI_1" STOP 100\n')
  clock.advance(100)
  t.strictSame(told, ['not now'])
  fifo.close()
  t.end()
})

t.test('what is repeated leaves time for others', async (t) => {
  const clock = new ManualClock()
  const repeater = new Repeater(clock)
  let release = (): void => undefined
  const at: number[] = []
  repeater.add({
    interval: () => 100,
    rest: 3,
    action: () => {
      at.push(clock.now())
      return new Promise<void>((resolve) => (release = resolve))
    }
  })
  for (const took of [50, 10, 0]) {
    clock.advance(150)
    clock.advance(took)
    release()
    await turn()
  }
  t.strictSame(at, [101, 501], 'the first took 100 ms, until 201: the second comes 300 later')
  repeater.stop()
  t.equal(clock.armed, 0)
  repeater.add({ interval: () => 1, rest: 0, action: () => undefined })
  t.equal(clock.armed, 0)
})

t.test('the kernel’s table is mirrored: what it does not show stays', async (t) => {
  const files = { connections: join(t.testdir(), 'conn'), services: '/nowhere/ip_vs' }
  const table = tableOf(3)
  for (const slot of table.slots()) table.setFlags(slot, table.flags(slot) | 0x20)
  const removed: number[] = []
  const phases: string[] = []
  const counts: number[] = []
  const mirror = new KernelMirror({
    table,
    clock: new ManualClock(),
    limit: 60_000,
    files,
    onLook: () => phases.push('begin'),
    onRows: (_, count) => {
      counts.push(count)
      return Promise.resolve()
    }
  })
  table.onRemove((slot) => removed.push(slot))
  writeFileSync(files.connections, procText(...Array.from({ length: 2500 }, (_, i) => 1000 + i)))
  t.strictSame(await Promise.all([mirror.look(), mirror.look()]), [2500, 2500])
  t.strictSame([phases, counts.reduce((sum, each) => sum + each)], [['begin'], 2500], 'two looks at once are one')
  t.equal(table.size, 2503)
  t.match(mirror.notes, [
    { code: 'KERNEL_TABLE_ASSUMED', text: /2500 connections to a real server of no known service/ }
  ])
  writeFileSync(files.connections, procText(1000).replace('0A020002', '0A020003'))
  t.equal(await mirror.look(), 1)
  t.strictSame([table.size, removed.length], [2503, 1], 'what a dump does not show stays')
  t.equal(
    [...table].at(-1)!.destination.address === '10.2.0.3' ||
      [...table].some((c) => c.destination.address === '10.2.0.3'),
    true
  )
  const small = new ConnectionTable({ maxConnections: 1 })
  writeFileSync(files.connections, procText(1, 2))
  const parts = {
    limit: 60_000,
    clock: new ManualClock(),
    files,
    onRows: () => Promise.resolve(),
    onLook: () => undefined
  }
  t.equal(await new KernelMirror({ ...parts, table: small }).look(), 1)
  t.equal(small.refused, 1)
  await t.rejects(new KernelMirror({ ...parts, table, files: NO_FILES }).look(), { code: 'ERR_NO_IPVS' })
})

t.test('a director that comes up gets the table, tells its ready file, and stores what it has', async (t) => {
  const folder = t.testdir()
  const store = join(folder, 'table')
  const readyFile = join(folder, 'ready')
  const { add, until, during } = world(t)
  await saveTable(tableOf(3000), store, Date.now())
  const giver = add({ store })
  const comer = add({ readyFile, store: join(folder, 'other'), times: { limit: 60_000 } })
  const where: string[] = []
  comer.agent.on('listening', (text) => where.push(text))
  t.strictSame([comer.agent.ready, comer.agent.status, comer.agent.backup], [false, 'not started', undefined])
  await during(giver.agent.start())
  await until(() => giver.agent.ready)
  t.match(giver.told, [/loaded 3000 connections/, 'requesting a table', /^ready \(alone\)/])
  await during(comer.agent.start())
  t.match(where, [/memory network/])
  t.equal(readReadyFile(readyFile, Date.now()).ready, false)
  await until(() => comer.agent.ready)
  t.match(readReadyFile(readyFile, Date.now()), {
    ready: true,
    status: /^ready \(complete\): received 3000 connections/
  })
  const { mtimeMs } = statSync(readyFile)
  await until(() => statSync(readyFile).mtimeMs > mtimeMs)
  t.equal(comer.agent.table.size, 3000)
  t.match(comer.agent.report(), { outcome: 'complete', received: 3000 })
  await until(() => giver.told.some((text) => /^table sent to .*: 3000 connections in/.test(text)))
  t.equal(giver.agent.report().given, 1)
  await during(comer.agent.close())
  t.notOk(existsSync(readyFile))
  t.equal(
    (await loadTable(join(folder, 'other'), () => tableOf(0), { now: 1, wallClock: Date.now() })).report.loaded,
    3000
  )
  await during(giver.agent.close())
})

t.test('over a network that loses, what is lost is given again, and nothing else', async (t) => {
  const { add, until, pass, during } = world(t, { loss: 0.08 })
  const store = join(t.testdir(), 'table')
  await saveTable(tableOf(5000), store, Date.now())
  const giver = add({ store, syncMaxlen: 400, times: { memory: 300 } })
  await during(giver.agent.start())
  await until(() => giver.agent.ready)
  const comer = add({ times: { limit: 60_000, retry: 100, stragglers: 60 } })
  await during(comer.agent.start())
  await until(() => comer.agent.ready)
  t.match(comer.agent.report(), { outcome: 'complete', received: 5000, answers: 1 })
  t.equal(comer.agent.table.size, 5000)
  t.ok(giver.told.some((text) => text.includes(': 5000 connections after retransmission')))
  await pass(400)
  await during(Promise.all([giver.agent.close(), comer.agent.close()]))
})

t.test('a damaged store is reported, and so is one that cannot be written; neither stops an agent', async (t) => {
  const folder = t.testdir()
  const store = join(folder, 'table')
  const { add, until, during } = world(t)
  await saveTable(tableOf(100), store, Date.now())
  truncateSync(store, 5000)
  const { agent, told } = add({ store, readyFile: join(folder, 'none', 'ready'), storeInterval: 20 })
  await during(agent.start())
  t.match(told, [/is damaged: not loaded, renamed/])
  t.equal(agent.table.size, 0)
  rmSync(folder, { recursive: true })
  await until(() => agent.ready && told.some((text) => text.startsWith('saving the table')))
  t.equal(told.filter((text) => text.startsWith('saving the table')).length, 1, 'once')
  t.ok(told.some((text) => /^the ready file .*none\/ready cannot be written: ENOENT/.test(text)))
  const stays = { code: 'ERR_IO', field: 'readyFile', message: /cannot be removed/ }
  await t.rejects(during(add({ readyFile: t.testdir() }).agent.start()), stays)
  await during(agent.close())
})

t.test('a stored table that others can write is refused and reported', async (t) => {
  const store = join(t.testdir(), 'table')
  await saveTable(tableOf(100), store, Date.now())
  chmodSync(store, 0o606)
  const { add, during } = world(t)
  const { agent, codes } = add({ store })
  await during(agent.start())
  t.equal(codes[0], 'STORE_REFUSED')
  t.equal(agent.table.size, 0)
  await during(agent.close())
})

t.test('with a kernel: its table is given away, and an answer counts when the kernel has it', async (t) => {
  const folder = t.testdir({ giver: procText(1, 2, 3), comer: HEADER })
  const files = (name: string) => ({ connections: join(folder, name), services: '/nowhere/ip_vs' })
  const { add, until, during } = world(t)
  const giver = add({ kernel: true, kernelFiles: files('giver'), kernelInterval: 20 })
  await during(giver.agent.start())
  await until(() => giver.agent.ready)
  const comer = add({
    kernel: true,
    kernelFiles: files('comer'),
    kernelInterval: 20,
    verifyKernel: true,
    times: { limit: 60_000, stragglers: 100 }
  })
  await during(comer.agent.start())
  // Its kernel's own backup daemon takes the answer as well.
  writeFileSync(join(folder, 'comer'), procText(1, 2, 3))
  await until(() => comer.agent.ready)
  t.match(comer.agent.report(), { outcome: 'complete', received: 3 })
  t.match(comer.agent.metrics(), {
    ready: true,
    announcing: false,
    outcome: { complete: 1, incomplete: 0, alone: 0 },
    peers: 1,
    tablesReceived: 1,
    kernelConnections: 3,
    kernelReadSeconds: Number,
    storeAgeSeconds: undefined
  })
  t.match(giver.agent.metrics(), { tablesSent: 1, outcome: { alone: 1 } })
  t.ok(giver.told.some((text) => text.startsWith('3 connections to a real server')))
  writeFileSync(join(folder, 'giver'), 'nonsense\n')
  await until(() => giver.told.some((text) => text.includes('expected a header')))
  writeFileSync(join(folder, 'giver'), procText(1, 2, 4))
  await until(() => giver.agent.table.size === 4)
  await during(Promise.all([giver.agent.close(), comer.agent.close()]))
})

/** A kernel whose backup daemon takes each message the second time that it comes at the latest, and shows what it has. */
class FakeKernel implements SendingTransport {
  readonly channels = 1
  readonly description = 'a kernel'
  readonly connections = new Map<string, Connection>()
  heard = 0
  loses = (): boolean => false
  readonly #file: string

  constructor(file: string) {
    this.#file = file
    this.show()
  }

  start(handlers: TransportHandlers): Promise<void> {
    handlers.onError?.(new IpvsSyncError('ERR_TRANSPORT', 'one was lost'))
    return Promise.resolve()
  }

  writable(): boolean {
    return true
  }

  send(_: number, bytes: Uint8Array): void {
    this.heard++
    if (!this.loses()) this.take(decodeMessage(bytes).connections)
  }

  take(connections: readonly Connection[]): void {
    for (const connection of connections) this.connections.set(JSON.stringify(connection.client), connection)
    this.show()
  }

  show(): void {
    const lines = Array.from(
      this.connections.values(),
      ({ protocol, client, virtual, destination, state, timeout = 0 }) =>
        connSyncLine({ protocol, client, virtual, destination, state, origin: 'SYNC', expires: timeout })
    )
    writeFileSync(this.#file, CONN_SYNC_HEADER + lines.join(''))
  }

  flush(): Promise<void> {
    return Promise.resolve()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

t.test('a kernel that was restarted has what the store kept before its agent is ready alone', async (t) => {
  const folder = t.testdir()
  const store = join(folder, 'table')
  await saveTable(tableOf(500, 5), store, Date.now())
  const kernel = new FakeKernel(join(folder, 'conn'))
  kernel.loses = () => kernel.heard < 3
  const options = {
    kernel: true,
    kernelFiles: { connections: join(folder, 'conn'), services: '/nowhere/ip_vs' },
    store,
    bringer: kernel
  }
  const { add, until, during } = world(t)
  const first = add(options)
  await during(first.agent.start())
  await until(() => first.agent.ready)
  t.match(first.agent.status, /^ready \(alone\)/)
  t.equal(kernel.connections.size, 499, 'what is almost over is not brought')
  t.ok(first.agent.metrics().storeAgeSeconds! >= 0)
  t.ok(first.told.includes("499 connections sent to this host's kernel") && first.told.includes('one was lost'))
  await during(first.agent.close())
  const heard = kernel.heard
  kernel.connections.delete([...kernel.connections.keys()][0]!)
  kernel.show()
  const second = add(options)
  await during(second.agent.start())
  await until(() => second.agent.ready)
  t.equal(kernel.heard, heard, 'a kernel that was not restarted knows better what has expired')
  await during(second.agent.close())
  kernel.connections.clear()
  kernel.show()
  const third = add({ ...options, restore: false })
  await during(third.agent.start())
  await until(() => third.agent.ready)
  t.equal(kernel.heard, heard)
  await during(third.agent.close())
})

t.test('an answer that the kernel’s buffer lost is brought to it; what cannot be brought is reported', async (t) => {
  const folder = t.testdir()
  const store = join(folder, 'table')
  await saveTable(tableOf(2000), store, Date.now())
  const { add, until, during } = world(t)
  await during(add({ store }).agent.start())
  for (const name of ['works', 'fails', 'ends']) {
    const kernel = new FakeKernel(join(folder, name))
    kernel.take([1, 2].map((port) => tcpConnection(port, { timeout: 900 }) as Connection))
    if (name === 'fails') kernel.start = () => Promise.reject(new Error('no such network'))
    const comer = add({
      kernel: true,
      kernelFiles: { connections: join(folder, name), services: '/nowhere/ip_vs' },
      bringer: kernel,
      verifyKernel: true,
      answers: false,
      rate: name === 'ends' ? 500 : 100_000,
      times: { limit: 60_000, answerInterval: 1 }
    })
    await during(comer.agent.start())
    await until(() => comer.agent.ready || (name === 'ends' && kernel.heard > 0))
    await during(comer.agent.close())
    if (name === 'works') t.equal(kernel.connections.size, 2000)
    if (name === 'works') t.equal(comer.agent.report().outcome, 'complete')
    if (name !== 'fails') continue
    t.equal(comer.agent.report().outcome, 'incomplete')
    t.ok(comer.told.includes("this host's kernel cannot be reached: no such network"))
    t.ok(comer.told.some((text) => /lacks 1998 connections .*backup daemon runs with syncid 5/.test(text)))
  }
})

t.test('this host’s kernel is reached in the group, by nobody else, and not among peers', async (t) => {
  const system = new FakeSystem()
  const sender = kernelSender({ mcastInterface: 'eth1', mcastTtl: 3, system }, verifySysctls({}))!()
  await sender.start({})
  const { calls } = system.sockets.at(-1)!
  for (const call of ['setMulticastTTL 0', 'setMulticastLoopback true']) t.ok(calls.includes(call), calls.join())
  await sender.close()
  t.equal(kernelSender({ peers: [{ address: '10.9.0.1' }] }, verifySysctls({})), undefined)
  t.equal(kernelSender({ mcastInterface: 'eth1', peers: [{ address: '10.9.0.1' }] }, verifySysctls({})), undefined)
})

t.test('what a kernel’s table cannot show is not missed there', async (t) => {
  const file = join(t.testdir({ conn: HEADER }), 'conn')
  const table = tableOf(20_000)
  const rows = createRows(1)
  const open = { client: { address: '10.9.9.9', port: 0 }, flags: ['NO_CPORT'], state: 'NONE', timeout: 900 }
  for (const connection of [tcpConnection(70_000, { timeout: 9 }), tcpConnection(70_001, open)]) {
    rowFromConnection(connection, rows, 0)
    table.add(rows, 0, 1)
  }
  const mirror = new KernelMirror({
    table,
    clock: new ManualClock(),
    limit: 60_000,
    files: { connections: file, services: '/nowhere/ip_vs' },
    onRows: () => Promise.resolve(),
    onLook: () => undefined
  })
  t.equal((await mirror.absent(false)).length, table.size - 2)
  t.equal((await mirror.absent(true)).length, table.size - 1)
})

t.test('without a kernel’s table, or with a strange one, what was received is all there is', async (t) => {
  const { add, until, during } = world(t)
  const folder = t.testdir({ conn: 'nonsense\n' })
  const store = join(folder, 'table')
  await saveTable(tableOf(10), store, Date.now())
  const without = add({ kernel: true, kernelFiles: NO_FILES, store, verifyKernel: true })
  const strange = add({ answers: false, kernel: true, kernelFiles: { connections: join(folder, 'conn') } })
  await during(Promise.all([without.agent.start(), strange.agent.start()]))
  t.ok(without.told.some((text) => text.startsWith('this kernel has no IPVS table')))
  t.match(strange.told, [/expected a header/])
  await until(() => without.agent.ready)
  t.match(without.agent.status, /alone/, 'nothing can be brought')
  await during(Promise.all([without.agent.close(), strange.agent.close()]))
})

t.test('keepalived’s role is followed: a master announces, a backup does not, and the table stays', async (t) => {
  const folder = t.testdir({ conn: procText(1, 2) })
  const notifyFifo = join(folder, 'fifo')
  execFileSync('mkfifo', [notifyFifo])
  const { network, add, until, during } = world(t)
  const heard: number[] = []
  network.open('10.9.0.50').listen({ onDatagram: (bytes, from) => from.port === 50_000 && heard.push(bytes[4]!) })
  const roles: boolean[] = []
  const { agent, told } = add({
    kernel: true,
    kernelFiles: { connections: join(folder, 'conn'), services: '/nowhere/ip_vs' },
    kernelInterval: 20,
    notifyFifo,
    instance: 'VI_1'
  })
  agent.on('role', (master) => roles.push(master))
  await during(agent.start())
  appendFileSync(notifyFifo, 'INSTANCE "VI_2" MASTER 100\nINSTANCE "VI_1" MASTER 100\n')
  await until(() => agent.master !== undefined)
  agent.configure({ syncRefreshPeriod: 10 })
  t.strictSame([agent.sysctls.syncRefreshPeriod, agent.master!.sysctls.syncRefreshPeriod], [10, 10])
  writeFileSync(join(folder, 'conn'), procText(1, 2, 3))
  await until(() => heard.reduce((sum, count) => sum + count, 0) >= 3)
  appendFileSync(notifyFifo, 'INSTANCE "VI_1" BACKUP 100\n')
  await until(() => agent.master === undefined)
  t.strictSame(roles, [true, false])
  t.equal(agent.table.size, 3)
  t.throws(() => agent.configure({ syncPorts: 3 }), { code: 'ERR_CONFIG' })
  const talker = network.open('10.9.0.60')
  talker.listen({})
  for (const address of ['10.3.0.1', '10.3.0.2']) {
    const connection = tcpConnection(1, { destination: { address, port: 80 } })
    talker.send(0, encodeMessage({ version: 1, syncid: 5, connections: [connection] }))
  }
  await until(() => agent.backup!.counters().replaced === 1)
  rmSync(notifyFifo)
  writeFileSync(notifyFifo, '')
  await until(() => told.some((text) => text.includes('is not a FIFO')))
  await during(agent.close())
})

t.test(
  'a role that is only followed announces nothing; a master without a kernel announces what it heard',
  async (t) => {
    const folder = t.testdir()
    const notifyFifo = join(folder, 'fifo')
    const store = join(folder, 'table')
    execFileSync('mkfifo', [notifyFifo])
    const { network, add, until, pass, during } = world(t)
    let heard = 0
    network.open('10.9.0.50').listen({ onDatagram: (bytes, from) => from.port === 50_000 && (heard += bytes[4]!) })
    await saveTable(tableOf(500), store, Date.now())
    const silent = add({ notifyFifo, announce: false })
    await during(silent.agent.start())
    appendFileSync(notifyFifo, 'INSTANCE "VI_1" MASTER 100\n')
    await during(new Promise((resolve) => silent.agent.once('role', resolve)))
    t.equal(silent.agent.master, undefined)
    await during(silent.agent.close())
    const loud = add({ notifyFifo, store })
    await during(loud.agent.start())
    appendFileSync(notifyFifo, 'INSTANCE "VI_1" MASTER 100\n')
    await until(() => loud.told.some((text) => text.startsWith('announced 500 connections of the table')))
    await during(loud.agent.close())
    await pass(20)
    t.equal(heard, 500)
    t.strictSame(loadRole(notifyFifo), [{ kind: 'INSTANCE', name: 'VI_1', state: 'MASTER', priority: 0 }])
    const again = add({ notifyFifo, store })
    await during(again.agent.start())
    await until(() => again.told.some((text) => text.startsWith('announced 500 connections of the table')))
    appendFileSync(notifyFifo, 'INSTANCE "VI_1" BACKUP 100\n')
    await until(() => again.agent.master === undefined)
    t.strictSame(loadRole(notifyFifo), [], 'keepalived tells changes only: what it said is kept')
    await during(again.agent.close())
  }
)

t.test('a master that cannot open its sockets is reported; one that has much to announce takes breath', async (t) => {
  const told: string[] = []
  const { clock, until } = world(t)
  const parts = { clock, rate: 1000, notify: (_: string, text: string) => told.push(text) }
  const failing = new Announcing({
    ...parts,
    options: () => ({ mcastInterface: 'eth7', system: new FakeSystem() }),
    look: () => Promise.resolve(1)
  })
  failing.want(true)
  await until(() => told.length > 0)
  await failing.close()
  t.match(told, [/announcing failed: .*eth7/])
  const transport = new MemoryNetwork().open('10.9.0.1')
  const announcing: Announcing = new Announcing({
    ...parts,
    options: () => ({ transport, table: tableOf(0), sysctls: { syncQlenMax: 20 } }),
    look: async () => {
      const follower = new KernelFollower(kernel, 0)
      follower.begin()
      announcing.beginLook(follower)
      transport.block(0)
      setTimeout(() => transport.block(0, false), 30)
      for (let from = 0; from < 1000; from += 100) {
        const rows = createRows(100)
        for (; rows.count < 100; rows.count++)
          rowFromConnection(tcpConnection(from + rows.count, { timeout: 900 }), rows, rows.count)
        follower.take(rows, clock.now())
        await announcing.take(follower, rows.count)
      }
      return 1000
    }
  })
  const kernel = new ConnectionTable()
  await announcing.take(new KernelFollower(kernel, 0), 0)
  announcing.want(true)
  await until(() => announcing.master?.counters().sent === 1000)
  announcing.want(true)
  t.equal(announcing.master!.counters().dropped, 0)
  await announcing.close()
  told.length = 0
  const warm = new Announcing({
    ...parts,
    rate: undefined,
    options: () => ({ transport: new MemoryNetwork().open('10.9.0.1'), table: tableOf(7) }),
    look: () => Promise.resolve(0)
  })
  warm.want(true)
  await until(() => told.includes('announced 7 connections of the table'))
  await warm.close()
})

t.test('an answer is stopped when its requester closes, and ends with its agent', async (t) => {
  const { add, until, pass, during } = world(t)
  const store = join(t.testdir(), 'table')
  await saveTable(tableOf(3000), store, Date.now())
  const slow = add({ store, rate: 100 })
  await during(slow.agent.start())
  await until(() => slow.agent.ready)
  const comer = add({ times: { limit: 60_000 } })
  await during(comer.agent.start())
  await until(() => comer.agent.report().received > 0)
  await during(comer.agent.close())
  await pass(100)
  t.equal(slow.agent.report().given, 1)
  await during(slow.agent.close())
  t.notOk(slow.told.some((text) => text.startsWith('table sent')))
})

t.test('sockets that cannot be opened, or fail later, are reported', async (t) => {
  const system = new FakeSystem()
  const failing = new Agent({ mcastInterface: 'eth1', system, kernel: false })
  system.faults.set('setMulticastTTL', new Error('no'))
  await t.rejects(failing.start(), { code: 'ERR_TRANSPORT' })
  t.equal(system.open.length, 0)
  system.faults.clear()
  const working = new Agent({ mcastInterface: 'eth1', system, kernel: false, syncMaxlen: 1000 })
  await working.start()
  system.sockets.at(-1)!.emit('error', new Error('lost'))
  const errors: string[] = []
  working.on('error', ({ message }) => errors.push(message))
  system.sockets.at(-1)!.emit('error', new Error('lost'))
  system.open[0]!.emit('error', new Error('deaf'))
  t.match(errors, [/lost/, /deaf/])
  const told: string[] = []
  working.on('notice', ({ code }) => told.push(code))
  const { eth1 } = system.present
  delete system.present['eth1']
  await system.tick()
  system.present = { ...system.present, eth1: eth1! }
  for (let i = 0; i < 4; i++) await system.tick()
  t.strictSame(told, ['INTERFACE_LOST', 'INTERFACE_LOST', 'INTERFACE_BACK', 'INTERFACE_BACK'])
  t.equal(working.backup!.receiveDrops(), undefined)
  await working.close()
  await t.rejects(working.start(), { code: 'ERR_USAGE' })
  const racing = new Agent({ mcastInterface: 'eth1', system: new FakeSystem() })
  await Promise.all([racing.start(), racing.close()])
  t.notOk(racing.listening)
  await new Agent({ mcastInterface: 'eth1', system: new FakeSystem(), kernel: false })[Symbol.asyncDispose]()
})
