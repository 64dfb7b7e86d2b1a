// A ready-made master over the memory network, in time that a test moves.
import { getEventListeners } from 'node:events'
import t from 'tap'
import type { DroppedEvent, NoticeEvent } from '../../src/engine/events.js'
import { SyncMaster, type SyncMasterOptions } from '../../src/daemon/master/sync-master.js'
import { ConnectionTable } from '../../src/table/connection-table.js'
import { SyncBackup } from '../../src/daemon/backup/sync-backup.js'
import { MemoryNetwork } from '../../src/transport/memory.js'
import { FakeSystem, settled, systemError } from '../fixtures/support/fake-network.js'
import { ManualClock } from '../fixtures/support/manual-clock.js'
import { tcpConnection } from '../fixtures/support/connections.js'

/** A master, what it puts on the network, and the hands on both. */
async function setUp(options: SyncMasterOptions = {}, channels = 1) {
  const clock = new ManualClock()
  const network = new MemoryNetwork({ channels })
  const transport = network.open('10.9.0.1')
  const sent: Uint8Array[] = []
  network.open('10.9.0.2').listen({ onDatagram: (bytes) => sent.push(bytes) })
  const master = new SyncMaster({ clock, transport, ...options })
  const told: NoticeEvent[] = []
  const dropped: DroppedEvent[] = []
  master.on('notice', (event) => told.push(event))
  master.on('dropped', (event) => dropped.push(event))
  const pass = (ms: number): void => {
    clock.advance(ms)
    network.advance(network.now + ms)
  }
  return { clock, network, transport, sent, master, told, dropped, pass }
}

/** nr_conns of version 1 messages. */
function connectionsIn(messages: readonly Uint8Array[]): number {
  return messages.reduce((sum, bytes) => sum + bytes[4]!, 0)
}

t.test('a connection whose third packet comes is announced within two seconds and a look', async (t) => {
  const { master, sent, told, pass } = await setUp({ syncid: 5 })
  const listening: string[] = []
  master.on('listening', (description) => listening.push(description))
  t.equal(master.listening, false)
  await master.start()
  t.equal(master.listening, true)
  t.strictSame(listening, ['memory network, 10.9.0.1:8848'])
  t.match(told, [{ code: 'SYNC_MAXLEN', message: "sync_maxlen is the kernel's default, 1472 bytes" }])
  const answers = [1, 2, 3, 4].map((i) => master.handleConnection(tcpConnection(1, { packets: i, state: 'SYN_RECV' })))
  t.strictSame(new Set(answers), new Set(['state-not-synced']))
  t.equal(master.handleConnection(tcpConnection(1, { packets: 53 })), 'packet-count')
  await settled()
  pass(1900)
  t.equal(sent.length, 0)
  pass(1200)
  t.equal(connectionsIn(sent), 1)
  t.strictSame([sent[0]![1], sent[0]![5]], [5, 1], 'its syncid, version 1')
  t.equal(master.counters().sent, 1)
  t.equal(master.table.size, 1)
  await master.close()
})

t.test('closing sends what is held, or gives it up where that is wanted', async (t) => {
  for (const discard of [false, true]) {
    const { master, sent, network } = await setUp()
    let closed = 0
    master.on('close', () => closed++)
    await master.start()
    for (let i = 0; i < 100; i++) master.handleConnection(tcpConnection(i, { packets: 3 }))
    await master.close({ discard })
    await master.close()
    network.advance(network.now)
    t.equal(connectionsIn(sent), discard ? 0 : 100)
    t.equal(master.counters().discarded, discard ? 100 : 0)
    t.equal(closed, 1)
    t.throws(() => master.handleConnection(tcpConnection(1)), { code: 'ERR_USAGE' })
  }
})

t.test('sync_qlen_max and a blocked transport: exactly the counted connections are missing', async (t) => {
  const { master, sent, dropped, network, transport, clock } = await setUp({ sysctls: { syncQlenMax: 8 } })
  const notices: NoticeEvent[] = []
  master.on('notice', (notice) => notices.push(notice))
  await master.start()
  transport.block(0)
  for (let i = 0; i < 1000; i++) master.handleConnection(tcpConnection(i, { packets: 3 }))
  const lost = master.counters().dropped
  t.ok(lost > 500, `${lost} lost`)
  const full = notices.filter(({ code }) => code === 'QUEUE_FULL')
  t.equal(full.length, 1, 'one line a minute')
  t.match(full[0]!.message, /queue of channel 0 is full: dropped 1 message with \d+ connections/)
  t.equal(
    dropped.reduce((sum, { connections }) => sum + connections, 0),
    lost
  )
  t.equal(master.counters().channels[0]!.queued, 8)
  transport.block(0, false)
  clock.advance(3000)
  network.advance(network.now)
  t.equal(connectionsIn(sent), 1000 - lost)
  await master.close()
})

t.test('a transport that stays blocked does not keep a close for ever', async (t) => {
  const { master, told, transport, clock } = await setUp()
  await master.start()
  transport.block(0)
  master.handleConnection(tcpConnection(1, { packets: 3 }))
  const closing = master.close()
  for (let i = 0; i < 500; i++) {
    clock.advance(5)
    await settled()
  }
  await closing
  t.match(told.at(-1), { code: 'NOT_SENT', message: '1 connection could not be sent before the end' })
})

t.test('a whole table is announced at its pace, templates first', async (t) => {
  const { master, sent, network, clock } = await setUp({ sysctls: { syncPorts: 4 } }, 4)
  await master.start()
  for (let i = 0; i < 1000; i++) master.handleConnection(tcpConnection(i, { packets: 1 }))
  master.handleConnection({
    ...tcpConnection(0),
    flags: ['TEMPLATE'],
    state: 'NONE',
    client: { address: '10.1.0.0', port: 0 }
  })
  const announcing = master.announceTable({ rate: 20_000 })
  t.equal(master.counters().answers.announced, 200, 'ten milliseconds of it')
  for (let i = 0; i < 10; i++) {
    clock.advance(10)
    await settled()
  }
  t.equal(await announcing, 1001, 'a template was sent by its own packet besides')
  await master.close()
  network.advance(network.now)
  t.equal(connectionsIn(sent), 1002)
  t.ok(
    sent.some((bytes) => (bytes[14]! & 0x10) !== 0),
    'the template begins a message'
  )
})

t.test('announcing waits for the queues, and ends with the signal or the master', async (t) => {
  const { master, transport, clock } = await setUp({ sysctls: { syncQlenMax: 16 } })
  await master.start()
  for (let i = 0; i < 2000; i++) master.handleConnection(tcpConnection(i, { packets: 1 }))
  transport.block(0)
  const hands = new AbortController()
  const announcing = master.announceTable({ rate: 1e6, signal: hands.signal })
  for (let i = 0; i < 10; i++) {
    clock.advance(10)
    await settled()
  }
  t.equal(master.counters().dropped, 0)
  t.ok(master.counters().channels[0]!.queued <= 16)
  hands.abort()
  clock.advance(10)
  t.ok((await announcing) < 1000)
  await t.rejects(master.announceTable({ rate: 0 }), { code: 'ERR_CONFIG', field: 'rate' })

  transport.block(0, false)
  master.configure({ syncQlenMax: 4 })
  const second = master.announceTable()
  const closing = master.close()
  clock.advance(10)
  await settled()
  await Promise.all([second, closing])
})

t.test('settings change while it runs, all or none; sync_ports waits', async (t) => {
  const { master, told } = await setUp()
  await master.start()
  t.equal(master.handleConnection(tcpConnection(1, { packets: 20 })), 'packet-count-not-met')
  master.configure({ syncThreshold: [0, 20] })
  t.equal(master.handleConnection(tcpConnection(1, { packets: 40 })), 'packet-count')
  t.throws(() => master.configure({ syncThreshold: [5, 3], syncVersion: 0 }), { code: 'ERR_CONFIG' })
  t.match(master.sysctls, { syncThreshold: [0, 20], syncVersion: 1 })
  master.configure({ syncPorts: 8 })
  t.match(told.at(-1), { code: 'SYNC_PORTS_LATCHED' })
  master.configure({ syncPorts: 1, syncSockSize: 4096 })
  t.match(told.at(-1), { code: 'SYNC_SOCK_SIZE_LATCHED' })
  await master.close()
})

t.test('its connections expire, and it says so', async (t) => {
  const { master, pass } = await setUp()
  const expired: string[] = []
  master.on('expired', ({ change, connection }) => expired.push(`${change} ${connection.client.port}`))
  await master.start()
  master.handleConnection(tcpConnection(7, { packets: 1, state: 'CLOSE', timeout: 10 }))
  await settled()
  pass(12_000)
  t.strictSame(expired, ['expired 1007'])
  t.equal(master.table.size, 0)
  await master.close()
})

t.test('a signal closes many: it has one listener, and so Node has nothing to warn of', async (t) => {
  const hands = new AbortController()
  const closed: number[] = []
  const masters: SyncMaster[] = []
  for (let i = 0; i < 12; i++) {
    const { master } = await setUp({ signal: hands.signal })
    master.on('close', () => closed.push(i))
    await master.start()
    masters.push(master)
  }
  await masters[5]!.close()
  t.equal(getEventListeners(hands.signal, 'abort').length, 1)
  t.strictSame(closed, [5])
  hands.abort()
  await Promise.all(masters.map((master) => master.close()))
  t.equal(closed.length, 12)
  t.notOk(masters.some((master) => master.listening))
})

t.test('a signal closes it, also before and during the start', async (t) => {
  const hands = new AbortController()
  const { master } = await setUp({ signal: hands.signal })
  await master.start()
  const closed = new Promise<void>((resolve) => master.once('close', resolve))
  hands.abort()
  await closed
  t.equal(master.listening, false)
  await t.rejects(master.start(), { code: 'ERR_USAGE' })

  const early = await setUp({ signal: AbortSignal.abort() })
  await t.rejects(early.master.start(), { code: 'ERR_USAGE', field: 'signal', cause: { name: 'AbortError' } })
  const during = await setUp()
  let listening = false
  during.master.on('listening', () => (listening = true))
  const starting = during.master.start()
  await Promise.all([during.master.close(), starting])
  t.equal(listening, false)
  await (await setUp()).master.close()
})

t.test('await using closes it', async (t) => {
  const { master } = await setUp()
  {
    await using inner = master
    await inner.start()
  }
  t.equal(master.listening, false)
})

t.test('over UDP: sync_maxlen is what the interface carries; failures are reported to those who listen', async (t) => {
  const system = new FakeSystem()
  system.files.set('/sys/class/net/eth1/mtu', '1450\n')
  const master = new SyncMaster({
    mcastInterface: 'eth1',
    mcastGroup: '224.0.0.82',
    mcastPort: 9000,
    mcastTtl: 2,
    system
  })
  const told: NoticeEvent[] = []
  master.on('notice', (event) => told.push(event))
  await master.start()
  t.match(told, [{ code: 'SYNC_MAXLEN', message: /1422 bytes/ }])
  t.ok(system.sockets[0]!.calls.includes('connect 224.0.0.82 9000'))
  system.sockets[0]!.emit('error', systemError('EIO'))
  const errors: string[] = []
  master.on('error', (error) => errors.push(error.code))
  system.sockets[0]!.emit('error', systemError('EIO'))
  t.strictSame(errors, ['ERR_TRANSPORT'])
  delete system.present['eth1']
  await system.tick()
  t.match(told.at(-1), { type: 'notice', code: 'INTERFACE_LOST' })
  await master.close()

  const refused = new SyncMaster({ mcastInterface: 'eth7', system })
  await t.rejects(refused.start(), { code: 'ERR_INTERFACE' })
  const racing = new SyncMaster({ mcastInterface: 'eth7', system })
  const starting = racing.start()
  await Promise.all([t.rejects(starting, { code: 'ERR_INTERFACE' }), racing.close()])
  t.match(new SyncMaster({ peers: [{ address: '10.0.0.2' }], syncMaxlen: 1000, maxConnections: 10 }).table, {
    maxConnections: 10
  })
})

t.test('options that cannot be are refused', async (t) => {
  const transport = new MemoryNetwork().open('10.9.0.1')
  t.throws(() => new SyncMaster({ transport, sysctls: { syncPorts: 4 } }), { code: 'ERR_CONFIG', field: 'transport' })
  t.throws(() => new SyncMaster({ transport, syncid: 256 }), { code: 'ERR_CONFIG', field: 'syncid' })
  t.throws(() => new SyncMaster({}), { code: 'ERR_INTERFACE' })
  t.throws(() => new SyncMaster(undefined as never), { code: 'ERR_USAGE', field: 'options' })
  const untyped: readonly [object, string][] = [
    [{ mcastInterface: 5 }, 'mcastInterface'],
    [{ mcastInterface: 'eth1', mcastGroup: ['224.0.0.81'] }, 'mcastGroup'],
    [{ mcastInterface: 'eth1', sysctls: { sync_ports: 4 } }, 'sync_ports'],
    [{ peers: '10.0.0.2' }, 'peers'],
    [{ peers: ['10.0.0.2'] }, 'peers'],
    [{ peers: [null] }, 'peers']
  ]
  for (const [options, field] of untyped) t.throws(() => new SyncMaster(options), { code: 'ERR_CONFIG', field }, field)
  t.throws(() => new SyncMaster({ mcastInterface: 'eth1', mcastGroup: 'ff02::81%eth1' }), {
    code: 'ERR_GROUP',
    message: /name the interface with mcastInterface$/
  })
  const table = new ConnectionTable({ maxConnections: 5 })
  t.equal(new SyncMaster({ transport, table, expires: false }).table, table)
})

t.test(
  'one connection is announced whatever the rules say, again with a new destination, and not if there is no room',
  async (t) => {
    const { master, sent, network } = await setUp({ maxConnections: 1 })
    await master.start()
    t.equal(master.announce(tcpConnection(1, { state: 'SYN_RECV' })), true)
    t.equal(master.announce(tcpConnection(1)), true)
    t.equal(master.announce({ ...tcpConnection(1), destination: { address: '10.3.0.2', port: 80 } }), true)
    t.match([...master.table], [{ destination: { address: '10.3.0.2' } }])
    t.equal(master.announce(tcpConnection(2)), false)
    t.throws(() => master.announce({ ...tcpConnection(3), state: 'ASLEEP' }), { code: 'ERR_ENCODE' })
    t.equal(master.pressure, 0)
    await master.close()
    network.advance(network.now)
    t.equal(connectionsIn(sent), 3)
  }
)

t.test('an option that is not one is refused by name, with the nearest name', async (t) => {
  const options = { transport: new MemoryNetwork().open('10.0.0.1'), synicd: 5 }
  t.throws(() => new SyncMaster(options), { code: 'ERR_CONFIG', field: 'synicd', message: /did you mean syncid\?/ })
  t.throws(() => new SyncBackup(options), { code: 'ERR_CONFIG', field: 'synicd', message: /did you mean syncid\?/ })
})
