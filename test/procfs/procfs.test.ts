// The kernel's own tables, from the recorded runs of test/fixtures/captures, and what is made of them.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readCapture } from '../../src/capture/index.js'
import {
  connSyncLine,
  connSyncLines,
  describeReport,
  FOLLOW_REASON,
  KernelFollower,
  LookPlan,
  readConnectionCount,
  readKernelTable,
  readLines,
  readLiveSysctls,
  type KernelTableReading
} from '../../src/procfs/index.js'
import { sysctlDefaults } from '../../src/sysctl/index.js'
import { ConnectionTable } from '../../src/table/connection-table.js'
import { decodeMessage } from '../../src/wire/decode-message.js'
import type { Connection } from '../../src/wire/connection.js'
import { connectionFromRow, rowFromConnection } from '../../src/wire/row-values.js'
import { createRows } from '../../src/wire/rows.js'
import { readTableOracle } from '../fixtures/support/table-oracle.js'

const captures = new URL('../fixtures/captures/', import.meta.url)
const folders = readdirSync(captures, { withFileTypes: true }).flatMap((each) =>
  each.isDirectory() ? [each.name] : []
)
const pathOf = (folder: string, name: string): string => new URL(`${folder}/${name}`, captures).pathname
const HEADER = 'Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData'

async function* given<Item>(...items: Item[]): AsyncGenerator<Item, void, undefined> {
  yield* items
}

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = []
  for await (const item of items) found.push(item)
  return found
}

async function connectionsOf(reading: KernelTableReading): Promise<Connection[]> {
  const found: Connection[] = []
  for await (const rows of reading) for (let i = 0; i < rows.count; i++) found.push(connectionFromRow(rows, i))
  return found
}

function keyOf({ protocol, client, virtual, engine, flags }: Connection): string {
  const template = flags.includes('TEMPLATE')
  return [template, protocol, client.address, client.port, virtual.address, virtual.port, engine?.data].join(' ')
}

/** The last record of each connection on the wire. */
async function sentBy(folder: string): Promise<Map<string, Connection>> {
  const sent = new Map<string, Connection>()
  for await (const item of readCapture(readFileSync(pathOf(folder, 'sync.pcap')), { ports: [[1, 65535]] })) {
    if (item.kind !== 'datagram') continue
    for (const connection of decodeMessage(item.payload).connections) sent.set(keyOf(connection), connection)
  }
  return sent
}

t.test('every line of every recorded table is written back to the same text', async (t) => {
  for (const folder of folders) {
    const text = readFileSync(pathOf(folder, 'backup.ip_vs_conn_sync'), 'latin1')
    const { lines, unreadable } = readTableOracle(text)!
    const fields = lines.map((each) => ({ origin: 'LOCAL' as const, ...each, state: each.state ?? '9' }))
    t.equal([...connSyncLines(fields)].join(''), text, folder)
    t.strictSame(unreadable, [])
  }
})

t.test('what is completed is what the kernel itself sent', async (t) => {
  let compared = 0
  for (const folder of folders) {
    const sent = await sentBy(folder)
    const files = { connections: pathOf(folder, 'director.ip_vs_conn'), services: pathOf(folder, 'director.ip_vs') }
    for (const connection of await connectionsOf(readKernelTable(files))) {
      const wire = sent.get(keyOf(connection))
      if (wire?.state !== connection.state) continue
      compared++
      const flags = wire.flags.filter((flag) => !['NFCT', 'IN_SEQ', 'OUT_SEQ', 'SYNC'].includes(flag))
      t.strictSame(
        [connection.destination, connection.forwarding, connection.flags, connection.timeout, connection.engine],
        [wire.destination, wire.forwarding, flags, wire.timeout ?? connection.timeout, wire.engine],
        `${folder}: ${keyOf(connection)}`
      )
    }
  }
  t.ok(compared > 100, `${compared} connections compared`)
})

t.test('the full timeouts are those of ipvsadm --set where they are given', async (t) => {
  const end = '0A010002 0001 0A010001 0050 0A020002 0050'
  const lines = [`TCP ${end} ESTABLISHED 310`, `TCP ${end} FIN_WAIT 10`, `UDP ${end} UDP 12`, `TCP ${end} CLOSE 3`]
  const folder = t.testdir({ conn: [HEADER, ...lines, ''].join('\n') })
  const timeouts = { tcp: 7200, tcpFin: 30, udp: 600 }
  const files = { connections: join(folder, 'conn'), services: '/no/such/file' }
  t.strictSame(
    (await connectionsOf(readKernelTable({ ...files, timeouts }))).map(({ timeout }) => timeout),
    [7200, 30, 600, 10]
  )
  t.strictSame(
    (await connectionsOf(readKernelTable(files))).map(({ timeout }) => timeout),
    [900, 120, 300, 10]
  )
})

t.test('what was assumed and omitted is described with its count, unreadable lines by number and text', async (t) => {
  const folder = t.testdir({
    conn: [
      HEADER,
      'TCP 0A010002 0001 0A010001 0050 0A020002 0050 ESTABLISHED 1000',
      'IP  0A010002 0000 00000009 0000 0A020003 0000 ERR! 300',
      'TCP 0A010002 0000 0A010001 FFFF 0A020002 FFFF NONE 5',
      'TCP 0A010002 0000 0A010001 0050 0A020002 FFFF NONE 5',
      'TCP 0A010002 0001 0A010001 0050 fd00:0001:0000:0000:0000:0000:0000:0001 0050 NONE 5',
      ...Array.from({ length: 4 }, (_, i) => `nonsense ${i}\u0007`),
      'SCTP 0A010002 0001 0A010001 0050 0A020004 0050 ESTABLISHED 5',
      ''
    ].join('\n'),
    services: 'FWM 00000007 rr\n  -> 0A020004:0000 Masq 1 0 0\n'
  })
  const reading = readKernelTable({ connections: join(folder, 'conn'), services: join(folder, 'services') })
  t.equal((await connectionsOf(reading)).length, 3)
  t.equal(reading.lines, 10)
  t.match(reading.report, {
    assumed: { forwarding: 2, fwmark: 1, state: 1, timeout: 1 },
    unsendable: { invalidated: 2, 'other-family': 1 },
    unreadable: { count: 4, first: [{ number: 7, text: 'nonsense 0?' }, { number: 8 }, { number: 9 }] }
  })
  const described = describeReport(reading.report)
  t.equal(described.length, 7)
  t.match(described.at(-1), /^4 unreadable lines .*line 7 "nonsense 0\?", line 8 .*, …$/)
  t.strictSame(
    described.map((text) => Number(/^\d+/.exec(text)?.[0])),
    [2, 1, 1, 1, 2, 1, 4]
  )
})

t.test('files: missing, unreadable; the default paths', async (t) => {
  await t.rejects(all(readKernelTable({ connections: '/no/such/file', services: '/no/such/file' })), {
    code: 'ERR_NO_IPVS',
    message: /modprobe ip_vs/
  })
  await t.rejects(all(readKernelTable({ services: t.testdir() })), { code: 'ERR_IO' })
  await t.rejects(all(readKernelTable({ connections: t.testdir() })), { code: 'ERR_IO' })
  // Without a kernel that has IPVS the default paths are not there; with one they are.
  await all(readKernelTable()).catch((error: unknown) => t.match(error, { code: 'ERR_NO_IPVS' }))
  await readConnectionCount()
})

t.test('lines of a stream', async (t) => {
  await t.rejects(all(readLines(given(new Uint8Array(70_000)))), { code: 'ERR_IO', message: /longer than 65536/ })
  t.strictSame(await all(readLines(given(Buffer.from('a\nb'), Buffer.from('c\n\nd')))), ['a', 'bc', '', 'd'])
  t.strictSame(await all(readLines(given(Buffer.from('a\n')))), ['a'])
  const [mark, half] = [Buffer.from('\ufeff'), Buffer.from('\ufeff').subarray(0, 2)]
  t.strictSame(await all(readLines(given(mark, Buffer.from('a\n'), mark, Buffer.from('\n')))), ['a', mark.toString('latin1')]) // prettier-ignore
  t.strictSame(await all(readLines(given(mark, Buffer.from('a')))), ['a'])
  t.strictSame(await all(readLines(given(half, mark.subarray(2), Buffer.from('a\nb')))), ['a', 'b'])
  const long = Array.from({ length: 10 }, () => Buffer.alloc(70_000, 'x'))
  const [first, ...others] = await all(readLines(given(...long, Buffer.from('\nb\n')), 'cut'))
  t.strictSame([first!.length, others], [65_537, ['b']], 'its beginning alone is kept')
})

t.test('AH and states without a name are written as the kernel does', async (t) => {
  const end = { address: '10.0.0.1', port: 0 }
  const ends = { client: end, virtual: end, destination: end }
  const line = connSyncLine({ protocol: 'AH', ...ends, state: '0', origin: 'SYNC', expires: 7 })
  t.equal(line, 'IP_51 0A000001 0000 0A000001 0000 0A000001 0000 ERR!        SYNC         7\n')
})

t.test('live settings: what is read; what this version does not know or would not accept is named', async (t) => {
  const folder = t.testdir({
    sync_threshold: '1\t20\n',
    sync_refresh_period: '-5\n',
    no_such_variable: '0\n',
    sync_ports: '4\n'
  })
  t.strictSame(readLiveSysctls(folder), {
    settings: { ...sysctlDefaults, syncThreshold: [1, 20], syncPorts: 4 },
    read: ['sync_ports', 'sync_threshold'],
    unknown: ['no_such_variable', 'sync_refresh_period']
  })
  t.throws(() => readLiveSysctls('/no/such/folder'), { code: 'ERR_NO_IPVS' })
})

const { NONE, NEW, STATE, REFRESH } = FOLLOW_REASON
const end = { address: '10.0.0.1', port: 1 }
const make = (protocol: string, state: string, more: Partial<Connection> = {}): Connection => ({
  family: 'ipv4',
  protocol,
  ...{ client: end, virtual: end, destination: end },
  forwarding: 'MASQ',
  flags: [],
  timeout: 900,
  state,
  ...more
})

function followed(maxConnections = 100) {
  const table = new ConnectionTable({ maxConnections })
  const follower = new KernelFollower(table, 10)
  const take = (now: number, ...connections: Connection[]): number[] => {
    const rows = createRows()
    for (const connection of connections) rowFromConnection(connection, rows, rows.count++)
    follower.take(rows, now)
    return [...follower.reasons.subarray(0, connections.length)]
  }
  const look = (now: number, ...connections: Connection[]): number[] => {
    follower.begin()
    return take(now, ...connections)
  }
  return { table, follower, look, take }
}

t.test(
  'the follower reports what is new in an announced state, what changed state, and what is due again',
  async (t) => {
    const { table, follower, look } = followed()
    const template = make('TCP', 'NONE', { flags: ['TEMPLATE'], client: { address: '10.0.0.1', port: 0 } })
    const odd = make('99', '300')
    t.strictSame(look(1000, make('TCP', 'SYN_RECV'), make('UDP', 'UDP'), template, odd), [NONE, NEW, NEW, NEW])
    t.equal(follower.size, 4)
    t.strictSame(look(2000, make('TCP', 'ESTABLISHED'), make('UDP', 'UDP'), template), [NEW, NONE, NONE])
    const slot = [...table.slots()].find((each) => table.connection(each).protocol === '99')!
    t.strictSame([follower.size, follower.isShown(slot), table.size], [3, false, 4], 'what is not shown stays')
    t.strictSame(look(3000, make('TCP', 'FIN_WAIT'), make('UDP', 'UDP')), [STATE, NONE])
    t.strictSame(look(10_900, make('TCP', 'LAST_ACK'), make('UDP', 'UDP')), [NONE, NONE])
    t.strictSame(look(11_000, make('TCP', 'TIME_WAIT'), make('UDP', 'UDP'), template), [STATE, REFRESH, REFRESH])
    const moved = make('UDP', 'UDP', { destination: { address: '10.0.0.2', port: 1 } })
    t.strictSame(look(11_001, moved, moved), [NEW, NONE], 'another real server is another connection')
    t.equal(follower.size, 1)
    follower.refreshPeriod = 0
    t.strictSame(look(800_000, moved), [NONE])
    table.advance(2_000_000, 1000, () => false)
    t.strictSame(look(2_000_000, moved), [NEW], 'it had expired')
  }
)

t.test('a full table announces nothing more; a new role announces everything anew, from now on', async (t) => {
  const { look, take, follower } = followed(1)
  t.strictSame(look(1000, make('TCP', 'ESTABLISHED'), make('UDP', 'UDP')), [NEW, NONE])
  t.equal(follower.slots[1], 0)
  follower.forgetAnnouncements(1000)
  t.strictSame(take(1000, make('TCP', 'ESTABLISHED')), [NEW])
  t.strictSame(take(1050, make('TCP', 'ESTABLISHED')), [NONE])
})

t.test('looks cost at most 2 % of a processor, and come no sooner than the interval', async (t) => {
  const plan = new LookPlan(5000)
  t.equal(plan.nextLook, 0)
  t.equal(plan.ended({ begin: 1000, end: 1010, lines: 5 }), 'complete')
  t.strictSame([plan.nextLook, plan.lastDuration], [6000, 10])
  t.equal(plan.ended({ begin: 6000, end: 8000, lines: 5 }), 'complete')
  t.equal(plan.nextLook, 106_000)
  plan.failed(106_000, 107_000)
  t.equal(plan.nextLook, 156_000)
})

t.test('a dump that shows too few connections is read again, three times at most', async (t) => {
  const plan = new LookPlan(5000)
  const look = (lines: number, before: number | undefined, after: number | undefined): string =>
    plan.ended({ begin: 0, end: 1, lines, before, after })
  t.strictSame(
    [look(9, 1000, 1000), look(9, 1000, 1000), look(9, 1000, 1000), look(9, 1000, 1000)],
    ['again', 'again', 'again', 'incomplete']
  )
  t.strictSame([look(9, 1000, 1000), look(984, 1000, 1000), look(9, 1000, 1000)], ['again', 'complete', 'again'])
  t.equal(look(0, 16, 90), 'complete', 'a table that fills while it is read')
  t.equal(look(99_000, 100_000, 200_000), 'complete')
  t.equal(look(98_999, 100_000, 200_000), 'again')
  t.equal(look(0, undefined, 1000), 'complete', 'nothing to compare with')
  const folder = t.testdir({ status: 'Conns:\t1234\nConn buckets:\t4096 (12 bits, lfactor -4)\n', other: 'x\n' })
  t.equal(await readConnectionCount(join(folder, 'status')), 1234)
  t.equal(await readConnectionCount(join(folder, 'other')), undefined)
  t.equal(await readConnectionCount(join(folder, 'none')), undefined)
})

t.test('an empty folder of variables is reported as a kernel without IPVS', (t) => {
  t.throws(() => readLiveSysctls(t.testdir()), { code: 'ERR_NO_IPVS', message: /got an empty folder/ })
  t.end()
})
