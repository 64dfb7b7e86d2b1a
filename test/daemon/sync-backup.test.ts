// A ready-made backup, alone and together with a master, over the memory network and in time that a test moves.
import t from 'tap'
import type { ConnectionEvent, NoticeEvent, ProblemEvent } from '../../src/engine/events.js'
import { SyncBackup, type SyncBackupOptions } from '../../src/daemon/backup/sync-backup.js'
import { SyncMaster } from '../../src/daemon/master/sync-master.js'
import { viewOf } from '../../src/daemon/http/sync-view.js'
import { readLinkCounters } from '../../src/transport/link-counters.js'
import { MemoryNetwork } from '../../src/transport/memory.js'
import { PortsBeyond } from '../../src/transport/ports-beyond.js'
import { FakeSystem, settled, systemError } from '../fixtures/support/fake-network.js'
import { ManualClock } from '../fixtures/support/manual-clock.js'
import { tcpConnection } from '../fixtures/support/connections.js'

// One version 1 message by hand (docs/protocol.md section 4): syncid 5, TCP 10.1.0.2:5000 -> 10.2.0.1:80 at
// 10.3.0.1:8080, MASQ, ESTABLISHED, 900 s.
const MESSAGE = Uint8Array.from(
  [
    '00 05 00 2c 01 01 00 00',
    '00 06 00 24 00 00 00 00 00 01 13 88 00 50 1f 90 00 00 00 00 00 00 03 84',
    '0a 01 00 02 0a 02 00 01 0a 03 00 01'
  ]
    .join(' ')
    .split(' '),
  (byte) => parseInt(byte, 16)
)

async function setUp(options: SyncBackupOptions = {}) {
  const clock = new ManualClock()
  const network = new MemoryNetwork()
  const sender = network.open('10.9.0.1')
  sender.listen({})
  const backup = new SyncBackup({ clock, transport: network.open('10.9.0.2'), ...options })
  await backup.start()
  const send = (bytes: Uint8Array): void => {
    sender.send(0, bytes)
    network.advance(network.now)
  }
  return { backup, clock, network, send }
}

t.test('what a master announces is in the table, told as created, updated and expired', async (t) => {
  const { backup, clock, send } = await setUp()
  const told: string[] = []
  const note = ({ change, connection }: ConnectionEvent): void =>
    void told.push(`${change} ${connection.client.address}:${connection.client.port} ${connection.state}`)
  backup.on('connection', note)
  backup.on('expired', note)
  send(MESSAGE)
  send(MESSAGE)
  await settled()
  t.match([...backup.table], [{ virtual: { address: '10.2.0.1', port: 80 }, origin: 'SYNC', expires: 900, syncid: 5 }])
  clock.advance(902_000)
  t.strictSame(told, [
    'created 10.1.0.2:5000 ESTABLISHED',
    'updated 10.1.0.2:5000 ESTABLISHED',
    'expired 10.1.0.2:5000 ESTABLISHED'
  ])
  t.match(backup.senders(), [{ address: '10.9.0.1', syncid: 5, messages: 2, age: 902 }])
  t.match(backup.counters(), { applied: 2, created: 1, updated: 1, expired: 1, eventsLost: 0 })
  t.equal(backup.receiveDrops(), 0)
  await backup.close()
})

t.test('nobody listens for changes any more, and none is made', async (t) => {
  const { backup, send } = await setUp()
  const told: string[] = []
  const note = ({ change }: ConnectionEvent): void => void told.push(change)
  backup.once('expired', note)
  backup.on('connection', note)
  send(MESSAGE)
  backup.off('connection', note)
  backup.off('expired', note)
  t.strictSame(told, ['created'])
  for (let i = 0; i < 2000; i++) send(MESSAGE)
  t.match(backup.counters(), { applied: 2001, eventsLost: 0 })
  t.strictSame(told, ['created'])
  await backup.close()
})

t.test('problems and notices are events; garbage at full rate ends nothing and loses no event', async (t) => {
  const { backup, send } = await setUp()
  const problems: ProblemEvent[] = []
  backup.on('problem', (event) => problems.push(event))
  for (let i = 0; i < 5000; i++) send(Uint8Array.of(i & 255, 5, i >> 8))
  t.equal(problems.length, 5000)
  t.match(problems[0], { from: { address: '10.9.0.1' }, problem: { code: 'SHORT_MESSAGE' } })
  send(MESSAGE)
  t.match(backup.counters(), { dropped: { SHORT_MESSAGE: 5000 }, applied: 1, eventsLost: 0 })
  const notices: NoticeEvent[] = []
  backup.on('notice', (event) => notices.push(event))
  const large = new Uint8Array(1600)
  large.set([0, 5, 1600 >> 8, 1600 & 255, 0, 1, 0, 0])
  send(large)
  t.equal(notices.length, 1)
  await backup.close()
})

t.test('settings change while it runs; directing follows backup_only while the role is held', async (t) => {
  const { backup } = await setUp()
  t.equal(backup.directing, true)
  backup.configure({ backupOnly: 1 })
  t.equal(backup.directing, false)
  t.throws(() => backup.configure({ backupOnly: 0, syncRetries: 9 }), { code: 'ERR_CONFIG', field: 'sync_retries' })
  t.match([backup.directing, backup.sysctls.backupOnly], [false, 1])
  const notices: string[] = []
  backup.on('notice', ({ code, message }) => notices.push(`${code}: ${message}`))
  backup.configure({ syncPorts: 4, syncSockSize: 4096 })
  backup.configure({ syncPorts: 1, syncSockSize: 0 })
  t.strictSame(notices, [
    'SYNC_PORTS_LATCHED: sync_ports is read at the start only: still 1, 4 after a restart',
    'SYNC_SOCK_SIZE_LATCHED: sync_sock_size is read at the start only: still 0, 4096 after a restart'
  ])
  await backup.close()
  t.equal(backup.directing, true)
})

t.test('a change of role keeps the table: what was learned as backup is announced as master', async (t) => {
  const { backup, clock, network, send } = await setUp()
  send(MESSAGE)
  await backup.close()
  const other = new SyncBackup({ clock, transport: network.open('10.9.0.3') })
  await other.start()
  const master = new SyncMaster({ clock, transport: network.open('10.9.0.2'), table: backup.table, syncid: 7 })
  await master.start()
  t.equal(await master.announceTable(), 1)
  await master.close()
  network.advance(network.now)
  t.match([...other.table], [{ client: { port: 5000 }, syncid: 7, state: 'ESTABLISHED', timeout: 900 }])
  await other.close()
})

async function collect<T>(items: Iterable<T> | AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}

t.test('both roles in one process, on one table', async (t) => {
  const network = new MemoryNetwork()
  const clock = new ManualClock()
  const sender = network.open('10.9.0.1')
  const heard: Uint8Array[] = []
  sender.listen({ onDatagram: (bytes) => heard.push(bytes) })
  const master = new SyncMaster({ clock, transport: network.open('10.9.0.2'), syncid: 7, expires: false })
  const forgotten: number[] = []
  const backup = new SyncBackup({
    clock,
    table: master.table,
    transport: network.open('10.9.0.2'),
    syncid: 5
  })
  master.table.onRemove((slot) => forgotten.push(slot))
  await Promise.all([master.start(), backup.start()])
  sender.send(0, MESSAGE)
  network.advance(network.now)
  master.handleConnection(tcpConnection(1, { packets: 3 }))
  const view = viewOf({ master, backup }, () => ['header'])
  t.equal((await collect(view.connections())).length, 2, 'one table, shown once')
  t.strictSame(await collect(view.procLines()), ['header'])
  t.equal(view.ready(), true)
  t.strictSame(view.metrics(), {
    master: { sent: [0], queueLength: [0], queueDropped: [0], undelivered: [], sendErrors: {} },
    backup: {
      received: [[0, 1]],
      dropped: {},
      applied: 1,
      skipped: {},
      beyondPorts: 0,
      senders: 1,
      age: { '10.9.0.1': 0 },
      socketDrops: 0,
      directing: true
    },
    notices: {},
    tableLimit: 1_000_000,
    table: [
      { protocol: 'TCP', origin: 'LOCAL', connections: 1 },
      { protocol: 'TCP', origin: 'SYNC', connections: 1 }
    ]
  })
  await settled()
  clock.advance(905_000)
  await settled()
  t.equal(forgotten.length, 2)
  t.equal(master.table.size, 0)
  await Promise.all([master.close(), backup.close()])
  t.equal(view.ready(), false)
})

t.test('two tables are shown as one, their numbers added up; one role alone shows itself', async (t) => {
  const one = await setUp()
  const clock = new ManualClock()
  const master = new SyncMaster({ clock, transport: new MemoryNetwork().open('10.9.0.2') })
  one.send(MESSAGE)
  master.handleConnection({ ...tcpConnection(1), flags: ['SYNC'] })
  t.match(viewOf({ master, backup: one.backup }, () => []).metrics().table, [{ origin: 'SYNC', connections: 2 }])
  t.notOk('backup' in viewOf({ master }, () => []).metrics())
  t.notOk('master' in viewOf({ backup: one.backup }, () => []).metrics())
  await one.backup.close()
})

t.test('a signal closes it, and so does await using', async (t) => {
  const hands = new AbortController()
  const { backup } = await setUp({ signal: hands.signal })
  const closed = new Promise<void>((resolve) => backup.once('close', resolve))
  hands.abort()
  await closed
  t.equal(backup.listening, false)
  {
    await using inner = (await setUp()).backup
    t.equal(inner.listening, true)
  }
  const during = new SyncBackup({ transport: new MemoryNetwork().open('10.9.0.2') })
  const starting = during.start()
  await Promise.all([during.close(), starting])
  t.equal(during.listening, false)
})

t.test('over UDP: peers limit the senders, failures are events', async (t) => {
  const system = new FakeSystem()
  const backup = new SyncBackup({ peers: [{ address: '10.0.0.2' }, { address: '10.0.0.3' }], system, syncMaxlen: 2000 })
  await backup.start()
  const receive = (address: string): unknown => system.sockets[0]!.emit('message', MESSAGE, { address, port: 5 })
  receive('10.0.0.2')
  receive('10.0.0.4')
  t.match(backup.counters(), { applied: 1, dropped: { NOT_ACCEPTED: 1 } })
  system.sockets[0]!.emit('error', systemError('EIO'))
  const errors: string[] = []
  backup.on('error', (error) => errors.push(error.code))
  system.sockets[0]!.emit('error', systemError('EIO'))
  t.strictSame(errors, ['ERR_TRANSPORT'])
  await backup.close()

  const own = new SyncBackup({ peers: [{ address: '10.9.0.1' }], system })
  await own.start()
  system.open[0]!.emit('message', MESSAGE, { address: '10.0.0.4', port: 5 })
  t.match(own.counters(), { applied: 1 }, 'where it listens limits nobody')
  await own.close()

  const group = new SyncBackup({ mcastInterface: 'eth1', accept: ['10.9.0.0/24'], system })
  const notices: string[] = []
  group.on('notice', ({ code }) => notices.push(code))
  await group.start()
  t.strictSame(notices, ['BUFFER'])
  system.open[0]!.emit('message', MESSAGE, { address: '10.0.0.4', port: 5 })
  t.match(group.counters(), { applied: 0, dropped: { NOT_ACCEPTED: 1 } })
  t.match(group.ignored(), [{ address: '10.0.0.4', reason: 'NOT_ACCEPTED', channels: [0] }])
  await group.close()
  t.strictSame(system.open, [])
  await t.rejects(new SyncBackup({ mcastInterface: 'eth7', system }).start(), { code: 'ERR_INTERFACE' })
  t.throws(() => new SyncBackup({ mcastInterface: 'eth1', accept: ['all'] }), { code: 'ERR_CONFIG', field: 'accept' })
  for (const syncMaxlen of [0, 65_508, 1500.5])
    t.throws(() => new SyncBackup({ mcastInterface: 'eth1', syncMaxlen }), { code: 'ERR_CONFIG', field: 'sync_maxlen' })
  t.throws(() => new SyncBackup(undefined as never), { code: 'ERR_USAGE', field: 'options' })
})

t.test('a master with a larger sync_ports is reported, by sockets on the other ports', async (t) => {
  const system = new FakeSystem()
  const clock = new ManualClock()
  const sysctls = { syncPorts: 2 }
  const backup = new SyncBackup({ mcastInterface: 'eth1', syncid: 5, accept: ['10.9.0.0/24'], sysctls, system, clock })
  const codes: string[] = []
  backup.on('notice', ({ code }) => codes.push(code))
  await backup.start()
  t.equal(system.open.length, 64)
  const beyond = system.open.find(({ calls }) => calls[0] === 'bind 224.0.0.81 8851')!
  const receive = (bytes: Uint8Array, address: string): unknown => beyond.emit('message', bytes, { address, port: 9 })
  receive(MESSAGE, '10.9.0.3')
  receive(MESSAGE, '10.8.0.3')
  receive(MESSAGE.subarray(1), '10.9.0.3')
  beyond.emit('error', systemError('EIO'))
  t.match(backup.sendersBeyond(), [{ address: '10.9.0.3', messages: 1, channels: [3] }])
  t.equal(backup.counters().applied, 0)
  clock.advance(1000)
  t.strictSame(codes, ['BUFFER', 'PORTS_BEYOND'])
  await backup.close()
  t.strictSame(system.open, [])

  system.faults.set('bind', systemError('EADDRINUSE'))
  const beyondTaken = new PortsBeyond({ mcastInterface: 'eth1', mcastGroup: 'ff02::5', mcastPort: 65_530 }, system)
  await beyondTaken.open(() => t.fail('no socket is open'))
  await settled()
  t.strictSame(system.open, [], 'a port that another program holds alone is left out')
  system.faults.clear()
  const late = new PortsBeyond({ mcastInterface: 'eth1', mcastPort: 65_530 }, system)
  const opening = late.open(() => undefined)
  await late.close()
  await opening
  t.strictSame(system.open, [], 'closed while it opened')
  const peers = new PortsBeyond({ peers: [{ address: '10.9.0.1' }] }, system)
  await peers.open(() => undefined)
  t.strictSame(system.open, [], 'unicast has none')
})

t.test('counters of the link that cannot be read are unknown', async (t) => {
  const system = new FakeSystem()
  system.files.set('/sys/class/net/eth1/statistics/rx_dropped', '12\n')
  system.files.set('/proc/net/snmp', 'Ip: Forwarding ReasmFails\nIp: 1 4\n')
  t.strictSame(readLinkCounters(system, 'eth1'), {
    mtu: 1500,
    interfaceDrops: 12,
    reversePathDrops: undefined,
    reassemblyFailures: 4
  })
  t.match(readLinkCounters(system, undefined), { mtu: undefined, interfaceDrops: undefined })
  system.readText = () => {
    throw systemError('EMFILE')
  }
  t.match(readLinkCounters(system, '../eth1'), { mtu: undefined, reassemblyFailures: undefined })
})
