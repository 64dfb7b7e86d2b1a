// A backup on several threads: how channels are parted, what the two sides tell each other, what stands in the end; with
// threads in this process, and at last with real ones over UDP.
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises'
import type { Worker } from 'node:worker_threads'
import t from 'tap'
import { WorkerPool } from '../../src/daemon/workers/worker-pool.js'
import { REPORT_INTERVAL } from '../../src/daemon/workers/backup-worker.js'
import { serveHttp } from '../../src/daemon/http/http-server.js'
import { WALK_SLICE as PORTION } from '../../src/daemon/walk-table.js'
import type { SenderReport } from '../../src/engine/backup/senders.js'
import { mergeCounters, mergeCounts, mergeSenders, NO_COUNTERS } from '../../src/daemon/workers/merge-reports.js'
import { createKeyFilter, KeyClaims } from '../../src/daemon/workers/key-claims.js'
import {
  splitChannels,
  verifyWorkers,
  SyncBackup,
  type SyncBackupOptions
} from '../../src/daemon/backup/sync-backup.js'
import { SyncMaster } from '../../src/daemon/master/sync-master.js'
import { viewOf } from '../../src/daemon/http/sync-view.js'
import { packError, unpackError, type WorkerTask } from '../../src/daemon/workers/worker-messages.js'
import type { EngineEvent } from '../../src/engine/events.js'
import { IpvsSyncError } from '../../src/errors.js'
import { sysctlDefaults } from '../../src/sysctl/index.js'
import { ConnectionTable } from '../../src/table/connection-table.js'
import { MemoryNetwork } from '../../src/transport/memory.js'
import type { Connection } from '../../src/wire/connection.js'
import { rowFromConnection } from '../../src/wire/row-values.js'
import { createRows } from '../../src/wire/rows.js'
import { tcpConnection } from '../fixtures/support/connections.js'
import { freePorts } from '../fixtures/support/loopback.js'
import { ManualClock } from '../fixtures/support/manual-clock.js'
import { ThreadInProcess } from '../fixtures/support/thread-in-process.js'

// One version 1 message by hand (docs/protocol.md section 4): syncid 5, TCP 10.1.0.2:PORT -> 10.2.0.1:80 at
// 10.3.0.1:8080, MASQ, ESTABLISHED, 900 s.
function message(port: number, timeout = 900): Uint8Array {
  const hex = '0005002c01010000' + '00060024000000000001' + port.toString(16).padStart(4, '0') + '00501f90' + '00000000'
  return Uint8Array.from(Buffer.from(hex + timeout.toString(16).padStart(8, '0') + '0a0100020a0200010a030001', 'hex'))
}

const VIRTUAL = { address: '10.2.0.1', port: 80 }

const TASK: WorkerTask = {
  udp: { peers: [{ address: '127.0.0.1', port: 9000 }], channels: 1 },
  engine: { syncid: 0, settings: sysctlDefaults },
  maxConnections: 1000
}

interface PoolOfTwo {
  readonly pool: WorkerPool
  readonly threads: readonly ThreadInProcess[]
  readonly events: EngineEvent[]
  readonly errors: IpvsSyncError[]
  readonly lost: IpvsSyncError[]
  readonly clock: ManualClock
}

function poolOfTwo(task: WorkerTask = TASK, table = new ConnectionTable()): PoolOfTwo {
  const threads: ThreadInProcess[] = []
  const [events, errors, lost]: [EngineEvent[], IpvsSyncError[], IpvsSyncError[]] = [[], [], []]
  const clock = new ManualClock()
  const pool = new WorkerPool(
    [task, task],
    { tell: (event) => events.push(event), fail: (error) => errors.push(error), lost: (error) => lost.push(error) },
    { table, packets: 3 },
    {
      clock,
      spawn: (given) => {
        const thread = new ThreadInProcess(given)
        threads.push(thread)
        return thread
      }
    }
  )
  return { pool, threads, events, errors, lost, clock }
}

/** Lets messages between the two sides arrive. */
async function arrived(): Promise<void> {
  for (let i = 0; i < 6; i++) await turn()
}

/** As {@link arrived}, after each worker has told its counters. */
async function reported(threads: readonly ThreadInProcess[]): Promise<void> {
  for (const { clock } of threads) clock.advance(REPORT_INTERVAL)
  await arrived()
}

async function all<T>(portions: AsyncIterable<readonly T[]>): Promise<T[]> {
  const found: T[] = []
  for await (const portion of portions) found.push(...portion)
  return found
}

t.test('channels are parted in runs, as even as they go, and none is lost', async (t) => {
  const parts = (channels: number, workers: number): (number | undefined)[][] =>
    splitChannels({ mcastInterface: 'eth1', channels }, workers).map(({ mcastPort, channels }) => [mcastPort, channels])
  t.strictSame(parts(2, 2), [
    [8848, 1],
    [8849, 1]
  ])
  t.strictSame(parts(8, 3), [
    [8848, 2],
    [8850, 3],
    [8853, 3]
  ])
  for (let channels = 1; channels <= 64; channels++) {
    for (let workers = 1; workers <= channels; workers++) {
      const sizes = parts(channels, workers).map(([, size]) => size!)
      const sum = sizes.reduce((total, size) => total + size, 0)
      if (sum !== channels || Math.max(...sizes) - Math.min(...sizes) > 1) t.fail(`${channels} for ${workers}`)
    }
  }
  const peers = [{ address: '10.0.0.1' }, { address: '10.0.0.2', port: 7000 }]
  t.match(splitChannels({ peers, mcastPort: 9000, channels: 4 }, 2)[1], {
    peers: [{ port: 9002 }, { port: 7002 }],
    channels: 2
  })
})

t.test('a number of workers is verified: 0 and 1 are none', async (t) => {
  t.strictSame([verifyWorkers(0, 4), verifyWorkers(1, 4), verifyWorkers(4, 4)], [0, 0, 4])
  const cases: readonly [number, RegExp][] = [
    [-1, /whole number, 0…64/],
    [1.5, /whole number/],
    [65, /whole number/],
    [3, /workers is 3 and sync_ports 2: .*set sync_ports/]
  ]
  for (const [workers, message] of cases)
    t.throws(() => verifyWorkers(workers, 2), { code: 'ERR_CONFIG', field: 'workers', message })
})

t.test(
  'what cannot reach a thread is refused, and what a thread would refuse is refused before it begins',
  async (t) => {
    const base: SyncBackupOptions = { peers: [{ address: '127.0.0.1' }], workers: 2, sysctls: { syncPorts: 2 } }
    const cases: readonly [SyncBackupOptions, string][] = [
      [{ transport: new MemoryNetwork().open('10.9.0.1') }, 'transport'],
      [{ clock: new ManualClock() }, 'clock'],
      [{ syncid: 300 }, 'syncid'],
      [{ accept: ['all'] }, 'accept'],
      [{ maxConnections: 0 }, 'maxConnections'],
      [{ workers: 3 }, 'workers'],
      [{ mcastPort: 65_535 }, 'the last port']
    ]
    for (const [options, field] of cases)
      t.throws(() => new SyncBackup({ ...base, ...options }), { name: 'IpvsSyncError', field }, field)
  }
)

t.test('reports are added up: channels in order, senders by address and syncid, tables by kind', async (t) => {
  const one = { ...NO_COUNTERS, received: [[1, 2]] as const, dropped: { A: 1 }, applied: 3, eventsLost: 1 }
  const other = { ...NO_COUNTERS, received: [[0, 4]] as const, dropped: { A: 1, B: 2 }, skipped: { C: 1 }, applied: 5 }
  t.strictSame(
    mergeCounters([
      { counters: one, channels: 2 },
      { counters: other, channels: 2 }
    ]),
    {
      ...NO_COUNTERS,
      received: [
        [1, 2],
        [0, 0],
        [0, 4]
      ],
      dropped: { A: 2, B: 2 },
      skipped: { C: 1 },
      applied: 8,
      eventsLost: 1
    }
  )
  const sender: SenderReport = {
    address: '10.9.0.1',
    port: 1,
    syncid: 5,
    version: 1,
    channels: [0],
    largest: 100,
    messages: 2,
    connections: 3,
    age: 4
  }
  t.strictSame(
    mergeSenders([
      { senders: [sender, { ...sender, address: '10.9.0.2', age: 3.5 }], age: 0 },
      { senders: [{ ...sender, port: 2, age: 1 }], age: 500 },
      { senders: [{ ...sender, port: 3, channels: [2], largest: 300, age: 9 }], age: 0 }
    ]),
    [
      { ...sender, port: 2, channels: [0, 2], largest: 300, messages: 6, connections: 9, age: 1.5 },
      { ...sender, address: '10.9.0.2', age: 3.5 }
    ]
  )
  t.strictSame(
    mergeCounts([
      [{ protocol: 6, origin: 'SYNC', connections: 2 }],
      [
        { protocol: 6, origin: 'SYNC', connections: 3 },
        { protocol: 17, origin: 'SYNC', connections: 1 }
      ]
    ]),
    [
      { protocol: 6, origin: 'SYNC', connections: 5 },
      { protocol: 17, origin: 'SYNC', connections: 1 }
    ]
  )
})

t.test('an error crosses whole; a strange one is the worker’s own', async (t) => {
  const error = new IpvsSyncError('ERR_GROUP', 'no group', { field: 'mcastGroup' })
  t.match(unpackError(structuredClone(packError(error))), {
    code: 'ERR_GROUP',
    message: 'no group',
    field: 'mcastGroup'
  })
  t.match(unpackError(packError(new TypeError('odd'))), { code: 'ERR_WORKER', message: 'odd', field: undefined })
  t.match(unpackError(packError('text')), { code: 'ERR_WORKER', message: 'text' })
})

t.test('two workers are shown as one backup', async (t) => {
  const { pool, threads, clock } = poolOfTwo()
  pool.configure({ ...sysctlDefaults, syncThreshold: [9, 50] })
  t.equal(await pool.open(), '127.0.0.1:9000-9001 with 2 workers')
  threads[0]!.receive(message(1))
  threads[0]!.receive(message(2))
  threads[1]!.receive(message(3))
  t.equal(pool.counters().applied, 0, 'nothing is reported between two ticks')
  await reported(threads)
  t.match(pool.counters(), {
    received: [
      [0, 2],
      [0, 1]
    ],
    applied: 3
  })
  clock.advance(1000)
  t.match(pool.senders(), [{ address: '10.9.0.1', syncid: 5, messages: 3, age: 1.2 }])
  t.strictSame(pool.tableCounts(), [{ protocol: 6, origin: 'SYNC', connections: 3 }])
  t.strictSame([pool.size, pool.receiveDrops()], [3, 0])
  const found = await all(pool.portions())
  t.strictSame(
    found.map(({ client }) => client.port),
    [1, 2, 3]
  )
  t.equal(pool.table.size, 0, 'no copy yet')
  t.match(await pool.get({ protocol: 'TCP', client: { address: '10.1.0.2', port: 3 }, virtual: VIRTUAL }), {
    syncid: 5
  })
  t.equal(await pool.get({ protocol: 'TCP', client: { address: '10.1.0.2', port: 4 }, virtual: VIRTUAL }), undefined)
  await t.rejects(pool.get({ protocol: 'TPC', client: VIRTUAL, virtual: VIRTUAL }), { code: 'ERR_ENCODE' })
  const copy = await pool.copyTable()
  t.strictSame([copy.size, pool.table], [3, copy])
  threads[1]!.receive(message(4))
  pool.configure({ ...sysctlDefaults, backupOnly: 1 })
  t.equal(threads[1]!.heard.filter(({ type }) => type === 'configure').length, 2)
  await pool.close()
  t.equal(pool.counters().applied, 4, 'the counters stay')
  t.equal(threads[0]!.clock.armed, 0)
  const ports = (await all(pool.portions())).map(({ client }) => client.port)
  t.strictSame(ports.sort(), [1, 2, 3, 4], 'the table stays readable')
  t.strictSame([pool.size, pool.tableCounts()[0]?.connections, [...pool.table].length], [4, 4, 4])
  t.match(await pool.get({ protocol: 'TCP', client: { address: '10.1.0.2', port: 4 }, virtual: VIRTUAL }), {
    syncid: 5
  })
})

t.test('the given table is divided among the workers, and collected at the end', async (t) => {
  const given = new ConnectionTable({ seed: 1 })
  for (let i = 0; i < 3000; i++) given.set(tcpConnection(i), 1)
  const { pool, threads } = poolOfTwo({ ...TASK, maxConnections: 2000 }, given)
  t.equal((await all(pool.portions())).length, 3000, 'readable before the start')
  await pool.open()
  t.equal((await all(pool.portions())).length, 3000)
  await reported(threads)
  t.equal(pool.size, 3000)
  t.equal(pool.table, given)
  await pool.close()
  t.not(pool.table, given)
  t.equal(pool.table.size, 3000)
  t.strictSame(
    [...pool.table.slots()].filter((slot) => pool.table.packets(slot) !== 3),
    []
  )
})

t.test('a connection that moves to another worker is shown once, in its newest state', async (t) => {
  const { pool, threads, clock } = poolOfTwo()
  await pool.open()
  const [first, second] = threads
  const shown = async (): Promise<(number | undefined)[][]> => {
    await reported(threads)
    const found = await all(pool.portions())
    return found.map(({ client, timeout }) => [client.port, timeout])
  }
  const pass = (ms: number): void => [clock, first!.clock, second!.clock].forEach((each) => each.advance(ms))
  pass(1000)
  first!.receive(message(1))
  first!.receive(message(2))
  pass(1000)
  second!.receive(message(1, 120))
  t.strictSame(await shown(), [
    [2, 900],
    [1, 120]
  ])
  await reported(threads)
  t.equal(pool.size, 2)
  pass(1000)
  first!.receive(message(1, 60))
  t.strictSame((await shown()).sort(), [
    [1, 60],
    [2, 900]
  ])
  // Both in one turn: the one that was received later stays; of two in one millisecond that of the higher worker.
  pass(1000)
  second!.receive(message(3, 30))
  pass(1)
  first!.receive(message(3, 40))
  second!.receive(message(4, 50))
  first!.receive(message(4, 60))
  t.strictSame((await shown()).sort(), [
    [1, 60],
    [2, 900],
    [3, 40],
    [4, 50]
  ])
  // A claim arrives late: the entry was received again meanwhile, and is claimed back.
  pass(1000)
  second!.receive(message(2, 10))
  pass(1)
  first!.receive(message(2, 20))
  t.strictSame((await shown()).sort(), [
    [1, 60],
    [2, 20],
    [3, 40],
    [4, 50]
  ])
  await pool.close()
  t.equal(pool.table.size, 4)
})

t.test('more keys than a claim holds are all claimed, of every kind', async (t) => {
  const filter = createKeyFilter(2, 10_000)
  const tables = [new ConnectionTable(), new ConnectionTable()] as const
  let announced = 0
  const claims = tables.map((table, worker) => new KeyClaims(table, worker, 2, filter, () => announced++))
  const exchange = (): number => {
    for (let rounds = 1; ; rounds++) {
      const taken = claims.map((each) => each.take())
      for (const claim of taken) if (claim !== undefined) claims[1 - claim.worker]!.apply(claim)
      if (taken.every((claim) => claim === undefined)) return rounds
    }
  }
  const kinds = Array.from({ length: 5000 }, (_, i) => tcpConnection(i))
  const engine = { name: 'sip', data: 'aa' }
  const ipv6 = { ...tcpConnection(1), family: 'ipv6' as const }
  const special: Connection[] = [
    { ...tcpConnection(1), flags: ['NO_CPORT'], client: { address: '10.1.0.2', port: 0 } },
    { ...tcpConnection(1), flags: ['TEMPLATE'], client: { address: '10.1.0.2', port: 0 }, state: 'NONE' },
    { ...tcpConnection(1), flags: ['TEMPLATE'], client: { address: '10.1.0.2', port: 7 }, state: 'NONE', engine },
    {
      ...ipv6,
      client: { address: 'fd00::1', port: 1 },
      virtual: { address: 'fd00::2', port: 1 },
      destination: { address: 'fd00::3', port: 1 }
    }
  ]
  for (const connection of [...kinds, ...special]) tables[0].set(connection, 1000)
  t.strictSame([exchange(), announced], [1, 0], 'nothing is claimed while the other table is empty')
  for (const connection of [...kinds, ...special]) tables[1].set(connection, 2000)
  t.ok(exchange() > 4)
  t.strictSame([tables[0].size, tables[1].size], [0, 5004])
  for (const connection of [...kinds, ...special]) tables[0].set(connection, 3000)
  exchange()
  t.strictSame([tables[0].size, tables[1].size], [5004, 0])
  tables[0].clear()
})

t.test('every worker has its bit in the filter; a crowded bucket stays marked', async (t) => {
  for (const workers of [2, 33, 64]) {
    const filter = createKeyFilter(workers, 1)
    const tables = Array.from({ length: workers }, () => new ConnectionTable({ maxConnections: 1000 }))
    const claims = tables.map((table, worker) => new KeyClaims(table, worker, workers, filter))
    tables[0]!.set(tcpConnection(1), 1)
    t.equal(claims[0]!.take(), undefined)
    tables[workers - 1]!.set(tcpConnection(1), 2)
    t.match(claims[workers - 1]!.take(), { worker: workers - 1, rows: { count: 1 }, receivedAt: [2] })
    tables[workers - 1]!.delete(tcpConnection(1))
    tables[0]!.set({ ...tcpConnection(1), state: 'FIN_WAIT' }, 3)
    t.equal(claims[0]!.take(), undefined, 'the bit was cleared')
    const connection = tcpConnection(1)
    const rows = createRows(1)
    rowFromConnection(connection, rows, 0)
    // A table can hold several entries with one key, as a kernel's.
    for (let i = 0; i < 300; i++) tables[1]!.add(rows, 0, 4)
    claims[1]!.take()
    tables[1]!.clear()
    for (const slot of tables[1]!.slots()) tables[1]!.remove(slot)
    t.ok(filter.some((bits) => bits !== 0))
  }
})

t.test('a reading goes portion by portion, and one that is given up is forgotten', async (t) => {
  const { pool, threads } = poolOfTwo()
  await pool.open()
  for (let port = 1; port <= PORTION + 1; port++) threads[0]!.receive(message(port))
  const sizes: number[] = []
  for await (const portion of pool.portions()) sizes.push(portion.length)
  t.strictSame(sizes, [PORTION, 1])
  for await (const portion of pool.portions()) {
    t.equal(portion.length, PORTION)
    break
  }
  t.equal(threads[0]!.heard.filter(({ type }) => type === 'leave').length, 2)
  await pool.close()
})

t.test('events are reported as long as somebody listens, in batches of which one is on its way', async (t) => {
  const { pool, threads, events } = poolOfTwo()
  await pool.open()
  const [thread] = threads
  thread!.receive(message(1))
  thread!.receive(Uint8Array.of(0))
  await arrived()
  t.strictSame(events, [])
  pool.listen({ changes: true, problems: true })
  await arrived()
  thread!.receive(message(1))
  thread!.receive(Uint8Array.of(0))
  await arrived()
  t.match(events, [
    { type: 'connection', change: 'updated', connection: { client: { port: 1 } } },
    { type: 'problem', problem: { code: 'SHORT_MESSAGE' } }
  ])
  t.ok(events.every((event) => Object.isFrozen(event)))
  events.length = 0
  // More than wait at a time, in one turn: what is too much is counted.
  for (let i = 0; i < 10_000; i++) thread!.receive(Uint8Array.of(0))
  await turn()
  // The first batch is on its way, and made room.
  thread!.receive(Uint8Array.of(0))
  while (events.length < 8193) await turn()
  await reported(threads)
  t.strictSame([events.length, pool.counters().eventsLost], [8193, 10_000 - 8192])
  t.equal(thread!.heard.filter(({ type }) => type === 'taken').length, 1 + 9)
  events.length = 0
  thread!.receive(Uint8Array.of(0))
  await pool.close()
  t.equal(events.length, 1, 'what waited is reported before the end')
})

t.test('what several workers notice is reported once, with the highest count', async (t) => {
  const { pool, threads, events } = poolOfTwo({ ...TASK, engine: { ...TASK.engine, syncMaxlen: 40 } })
  await pool.open()
  for (const thread of threads) thread.receive(message(1))
  await arrived()
  t.match(events, [{ code: 'MESSAGE_OVER_MAXLEN' }])
  t.equal(events.length, 1)
  await pool.close()
})

t.test('a socket that fails is reported, and the workers go on', async (t) => {
  const network = new MemoryNetwork()
  const transport = network.open('10.9.0.2')
  let failing: ((error: IpvsSyncError) => void) | undefined
  const start = transport.start.bind(transport)
  transport.start = async (handlers) => {
    failing = handlers.onError
    await start(handlers)
  }
  const errors: IpvsSyncError[] = []
  const pool = new WorkerPool(
    [TASK],
    { tell: () => undefined, fail: (error) => errors.push(error), lost: () => t.fail('none is lost') },
    { table: new ConnectionTable(), packets: 3 },
    { spawn: (task) => new ThreadInProcess(task, transport) }
  )
  await pool.open()
  failing!(new IpvsSyncError('ERR_TRANSPORT', 'EIO'))
  await arrived()
  t.match(errors, [{ code: 'ERR_TRANSPORT', message: 'EIO' }])
  await pool.close()
})

t.test('where one cannot open, none stays open', async (t) => {
  const threads: ThreadInProcess[] = []
  const pool = new WorkerPool(
    [TASK, TASK],
    { tell: () => undefined, fail: () => undefined, lost: () => t.fail('none is lost') },
    { table: new ConnectionTable(), packets: 3 },
    {
      spawn: (task) => {
        const faulty = new MemoryNetwork().open('10.9.0.3')
        faulty.start = () => Promise.reject(new IpvsSyncError('ERR_ADDRESS_IN_USE', 'the port is taken'))
        threads.push(new ThreadInProcess(task, threads.length === 1 ? faulty : undefined))
        return threads.at(-1)!
      }
    }
  )
  await t.rejects(pool.open(), { code: 'ERR_ADDRESS_IN_USE', message: 'the port is taken' })
  t.match(threads[0]!.heard.at(-1), { type: 'close' })
  t.equal(threads[0]!.clock.armed, 0)
})

t.test('a worker that breaks down is reported, and nobody waits for it for ever', async (t) => {
  const { pool, threads, lost } = poolOfTwo()
  await pool.open()
  threads[0]!.receive(message(1))
  const reading = all(pool.portions())
  threads[0]!.crash(new Error('out of memory'))
  await t.rejects(reading, { code: 'ERR_WORKER' })
  t.match(lost, [
    {
      code: 'ERR_WORKER',
      message: /^worker 0 \(127\.0\.0\.1:9000\) ended unexpectedly \(out of memory\); its part/
    }
  ])
  await pool.close()
  t.equal(lost.length, 1)

  const early = poolOfTwo()
  const opening = early.pool.open()
  early.threads[1]!.crash()
  await t.rejects(opening, { code: 'ERR_WORKER', message: /worker 1 .*exit code 1/ })
  t.strictSame(early.lost, [])
})

t.test('a worker that hangs is ended five seconds after it was told to close', async (t) => {
  const { pool, threads, clock, lost } = poolOfTwo()
  await pool.open()
  threads[0]!.hangs = true
  let closed = false
  const closing = pool.close().then(() => (closed = true))
  await arrived()
  clock.advance(4999)
  await arrived()
  t.notOk(closed)
  clock.advance(1)
  await closing
  t.strictSame([lost, clock.armed], [[], 0])
})

t.test('unknown drops of one worker are unknown drops of all', async (t) => {
  const { pool, threads } = poolOfTwo()
  await pool.open()
  threads[1]!.emit('message', {
    type: 'report',
    report: { ...NO_COUNTERS, counters: NO_COUNTERS, senders: [], size: 0 }
  })
  t.equal(pool.receiveDrops(), undefined)
  await pool.close()
})

t.test('each worker counts its channels from 0: the pool shows those of the group, and who was ignored', async (t) => {
  const { pool, threads } = poolOfTwo()
  await pool.open()
  const sender: SenderReport = {
    address: '10.9.0.1',
    port: 1,
    syncid: 5,
    version: 1,
    channels: [0],
    messages: 1,
    connections: 1,
    largest: 80,
    age: 0
  }
  for (const [worker, thread] of threads.entries())
    thread.emit('message', {
      type: 'report',
      report: {
        counters: NO_COUNTERS,
        senders: [sender],
        ignored: worker === 0 ? [] : [{ ...sender, syncid: 6, reason: 'OTHER_SYNCID' }],
        receiveDrops: 0,
        tableCounts: [],
        size: 0
      }
    })
  const first = pool.senders()[0]!.channels
  t.equal(first.length, 2)
  t.equal(new Set(first).size, 2)
  t.match(pool.ignored(), [{ reason: 'OTHER_SYNCID', syncid: 6, channels: [first[1]] }])
  await pool.close()
})

t.test(
  'with real threads over UDP: two channels, one view of them, events, a change of role; one that ends by itself closes all',
  async (t) => {
    const port = await freePorts(2)
    const backup = new SyncBackup({
      peers: [{ address: '127.0.0.1', port }],
      workers: 2,
      sysctls: { syncPorts: 2, syncSockSize: 1 << 20 }
    })
    const created = new Set<number>()
    const problems: string[] = []
    backup.on('connection', ({ connection }) => created.add(connection.client.port))
    backup.on('problem', ({ problem }) => problems.push(problem.code))
    const threads: Worker[] = []
    const note = (thread: Worker): void => void threads.push(thread)
    process.on('worker', note)
    const listening = once(backup, 'listening')
    await backup.start()
    process.off('worker', note)
    t.strictSame(await listening, [`127.0.0.1:${port}-${port + 1} with 2 workers`])
    t.strictSame([backup.workers, backup.listening, backup.directing], [2, true, true])
    backup.configure({ backupOnly: 1 })
    t.equal(backup.directing, false)

    const master = new SyncMaster({ peers: [{ address: '127.0.0.1', port }], sysctls: { syncPorts: 2 }, syncid: 5 })
    await master.start()
    for (let i = 0; i < 500; i++) master.handleConnection(tcpConnection(i, { packets: 3 }))
    await master.close()
    const socket = createSocket('udp4')
    socket.send('?', port + 1, '127.0.0.1')
    while (backup.counters().applied < 500 || problems.length === 0 || created.size < 500) await wait(20)
    socket.close()
    t.equal(backup.counters().received.length, 2, 'both channels were heard')
    t.strictSame([backup.size, problems, backup.receiveDrops()], [500, ['SHORT_MESSAGE'], 0])
    t.match(backup.senders(), [{ address: '127.0.0.1', syncid: 5, connections: 500 }])

    const view = viewOf({ backup, master }, (connections) => ['header', ...Array.from(connections, () => 'line')])
    const server = await serveHttp({ port: 0 }, view)
    const get = async (path: string): Promise<string> => (await fetch(`${server.url}${path}`)).text()
    t.equal((await get('/connections')).split('\n').length - 1, 1000, 'those of the master’s table among them')
    t.equal((await get('/connections?format=proc')).split('\n').length - 1, 1001)
    t.match(await get('/metrics'), /ipvs_sync_table_connections\{protocol="TCP",origin="SYNC"\} 500/)
    await server.close()

    const table = await backup.copyTable()
    t.strictSame([table.size, backup.table], [500, table])
    t.match(await backup.get(tcpConnection(7)), { origin: 'SYNC', syncid: 5 })
    t.equal(await backup.has({ ...tcpConnection(7), client: VIRTUAL }), false)
    const pieces: Uint8Array[] = []
    for await (const piece of backup.snapshot()) pieces.push(piece)
    t.match(new ConnectionTable().restore(pieces, { now: 1, wallClock: Date.now() }), { loaded: 500, complete: true })
    const ports: number[] = []
    for await (const { client } of backup.connections()) ports.push(client.port)
    t.strictSame(ports.sort(), [...created].sort())

    const failed = new Promise((resolve) => backup.once('error', resolve))
    const closed = new Promise<void>((resolve) => backup.once('close', resolve))
    await threads[1]!.terminate()
    t.match(await failed, { code: 'ERR_WORKER', message: new RegExp(`worker 1 \\(127.0.0.1:${port + 1}\\)`) })
    await closed
    t.equal(backup.listening, false)
  }
)

t.test('without workers the same calls answer from this thread', async (t) => {
  const network = new MemoryNetwork()
  const sender = network.open('10.9.0.1')
  sender.listen({})
  const backup = new SyncBackup({ transport: network.open('10.9.0.2'), clock: new ManualClock(), workers: 1 })
  await backup.start()
  for (let port = 1; port <= PORTION + 1; port++) sender.send(0, message(port))
  network.advance(network.now)
  t.strictSame([backup.workers, backup.size], [0, PORTION + 1])
  t.strictSame(backup.tableCounts(), [{ protocol: 6, origin: 'SYNC', connections: PORTION + 1 }])
  let seen = 0
  for await (const { syncid } of backup.connections()) seen += syncid
  t.equal(seen, 5 * (PORTION + 1))
  t.equal(await backup.copyTable(), backup.table)
  const key = { protocol: 'TCP', client: { address: '10.1.0.2', port: 1 }, virtual: VIRTUAL }
  t.match(await backup.get(key), { syncid: 5 })
  t.strictSame([await backup.has(key), await backup.has({ ...key, client: VIRTUAL })], [true, false])
  const restored = new ConnectionTable()
  const pieces: Uint8Array[] = []
  for await (const piece of backup.snapshot(1)) pieces.push(piece)
  t.match(restored.restore(pieces, { now: 1, wallClock: 1 }), { loaded: PORTION + 1, complete: true })
  await backup.close()
})
