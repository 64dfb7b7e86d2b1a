// The kernel's own tables, from the recorded runs of test/fixtures/captures.
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { readCapture } from '../../src/capture/index.js'
import {
  Completer,
  completeLines,
  connectionParser,
  connSyncLine,
  connSyncLines,
  createNotes,
  explainNotes,
  isConnectionHeader,
  KernelFollower,
  readConnections,
  readKernelTable,
  readLines,
  readLiveSysctls,
  readProcLines,
  parseServices,
  type FollowReason,
  type ProcConnection
} from '../../src/procfs/index.js'
import { sysctlDefaults } from '../../src/sysctl/index.js'
import { decodeMessage } from '../../src/wire/decode-message.js'
import type { Connection } from '../../src/wire/connection.js'

const captures = new URL('../fixtures/captures/', import.meta.url)
const folders = readdirSync(captures, { withFileTypes: true }).flatMap((each) =>
  each.isDirectory() ? [each.name] : []
)
const pathOf = (folder: string, name: string): string => new URL(`${folder}/${name}`, captures).pathname
const HEADER = 'Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData'
const IPV6 = 'fd00:0001:0000:0000:0000:0000:0000:00'

async function* given<Item>(...items: Item[]): AsyncGenerator<Item, void, undefined> {
  yield* items
}

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = []
  for await (const item of items) found.push(item)
  return found
}

function keyOf({ protocol, client, virtual, engine }: Connection, template: boolean): string {
  return [template, protocol, client.address, client.port, virtual.address, virtual.port, engine?.data].join(' ')
}

/** The last record of each connection on the wire. */
async function sentBy(folder: string): Promise<Map<string, Connection>> {
  const sent = new Map<string, Connection>()
  for await (const item of readCapture(readFileSync(pathOf(folder, 'sync.pcap')), { ports: [[1, 65535]] })) {
    if (item.kind !== 'datagram') continue
    for (const connection of decodeMessage(item.payload).connections)
      sent.set(keyOf(connection, connection.flags.includes('TEMPLATE')), connection)
  }
  return sent
}

t.test('every line of every recorded table is read, and written back to the same text', async (t) => {
  for (const folder of folders) {
    const text = readFileSync(pathOf(folder, 'backup.ip_vs_conn_sync'), 'latin1')
    const damaged: number[] = []
    const connections = await all(
      readConnections(readProcLines(pathOf(folder, 'backup.ip_vs_conn_sync')), (line) => damaged.push(line))
    )
    const fields = connections.map((each) => ({ origin: 'LOCAL' as const, ...each, state: each.state ?? '9' }))
    t.equal([...connSyncLines(fields)].join(''), text, folder)
    t.strictSame(damaged, [])
  }
})

t.test('what is completed is what the kernel itself sent', async (t) => {
  let compared = 0
  for (const folder of folders) {
    const sent = await sentBy(folder)
    const table = readKernelTable({
      connections: pathOf(folder, 'director.ip_vs_conn'),
      services: pathOf(folder, 'director.ip_vs')
    })
    for (const connection of await all(table)) {
      const wire = sent.get(keyOf(connection, connection.flags.includes('TEMPLATE')))
      if (wire?.state !== connection.state) continue
      compared++
      const flags = wire.flags.filter((flag) => !['NFCT', 'IN_SEQ', 'OUT_SEQ', 'SYNC'].includes(flag))
      t.strictSame(
        [connection.destination, connection.forwarding, connection.flags, connection.timeout, connection.engine],
        [wire.destination, wire.forwarding, flags, wire.timeout ?? connection.timeout, wire.engine],
        `${folder}: ${keyOf(connection, false)}`
      )
    }
  }
  t.ok(compared > 100, `${compared} connections compared`)
})

t.test('columns are found by name: vendors add some, and leave some out', async (t) => {
  const vendor = 'Pro FromIP   FPrt ToIP     TPrt LocalIP  LPrt DestIP   DPrt State       Expires Extra'
  const connection = connectionParser(vendor)(
    'TCP 0A010002 985A 0A010001 0050 0A0200FE 1388 0A020002 0051 TIME_WAIT 114 x'
  )
  t.match(connection, {
    client: { address: '10.1.0.2', port: 0x985a },
    destination: { address: '10.2.0.2', port: 81 },
    state: 'TIME_WAIT',
    expires: 114
  })
  t.equal(connection?.engine, undefined)
  t.notOk(isConnectionHeader('Pro FromIP'))
  t.throws(() => connectionParser('hello'), { code: 'ERR_IO', message: /its first line lacks Pro FromIP/ })
})

t.test('a line, field by field', async (t) => {
  const parse = connectionParser(HEADER)
  const start = '0A010002 0000 0A010001 0050 0A020002 0050'
  const rows: [string, Partial<ProcConnection> | undefined][] = [
    [`TCP ${start} ESTABLISHED     9`, { template: false, state: 'ESTABLISHED', family: 'ipv4' }],
    [`TCP ${start} ASSURED         9`, { template: true, state: 'ASSURED' }],
    [`UDP ${start} ERR!            9`, { template: false, state: undefined }],
    [`IP  0A010002 0000 00000005 0000 0A020002 0000 ERR!  9`, { template: true, state: undefined, protocol: 'IP' }],
    [`IP_51 ${start} ERR!          9`, { protocol: 'AH', state: '0' }],
    [`IP_50 ${start} ERR!          9`, { protocol: 'ESP', state: '0' }],
    [`IP_99 ${start} ERR!          9`, { protocol: '99', state: undefined }],
    [`UDP ${start} ASSURED 9 sip a b\xff `, { engine: { name: 'sip', data: '612062ff20' } }],
    [
      `TCP ${IPV6}01 0001 ${IPV6}02 0002 0A020002 0003 NONE 9`,
      { family: 'ipv6', destination: { address: '10.2.0.2', port: 3 } }
    ],
    [`TCP ${start} SLEEPING        9`, undefined],
    [`IP_999 ${start} NONE         9`, undefined],
    [`TCP ${start} NONE            x`, undefined],
    [`TCP ${start.replace('0050', '50')} NONE 9`, undefined],
    [`TCP ${start.replace('0A010002', '0A0102')} NONE 9`, undefined],
    [`TCP ${start.replace('0A010001', 'fd00:1::1')} NONE 9`, undefined],
    [`TCP ${start.replace('0A020002', '-')} NONE 9`, undefined],
    ['TCP 0A010002', undefined]
  ]
  for (const [line, expected] of rows) {
    const found = parse(line)
    if (expected === undefined) t.equal(found, undefined, line)
    else t.match(found, expected, line)
    if (expected !== undefined && 'state' in expected) t.equal(found?.state, expected.state)
  }
})

t.test('what cannot be known is assumed and counted; what cannot be sent is left out and counted', async (t) => {
  const lines = [
    HEADER,
    '',
    'TCP 0A010002 0001 0A010001 0050 0A020002 0050 ESTABLISHED 1000',
    'TCP 0A010002 0000 0A010001 0050 0A020003 0050 ERR! 5',
    'IP  0A010002 0000 00000009 0000 0A020003 0000 ERR! 300',
    'TCP 0A010002 0000 0A010001 FFFF 0A020002 FFFF NONE 5',
    `TCP 0A010002 0001 0A010001 0050 ${IPV6}01 0050 NONE 5`,
    'nonsense',
    'SCTP 0A010002 0001 0A010001 0050 0A020004 0050 ESTABLISHED 5'
  ]
  const { services } = parseServices(
    [
      'IP Virtual Server version 1.2.1 (size=4096)',
      '  -> 0A020009:0050 Masq 1 0 0',
      'TCP  0A010001:0050 rr',
      '  -> 0A020002:0050      Route   2      3          4',
      '  -> 0A0200:0050      Route   1      0          0',
      '  -> 0A020008:0050      Pigeon   1      0          0',
      '  -> 0A020008-0050      Masq   1      0          0',
      'UDP  0A010001:0050 rr',
      '  -> 0A020004:0050      Tunnel   1      0          0',
      'UDP  0A010001:0051 rr',
      '  -> 0A020004:0050      Local   1      0          0',
      'nonsense'
    ].join('\n')
  )
  t.strictSame(services[0], {
    family: 'ipv4',
    protocol: 'TCP',
    virtual: { address: '10.1.0.1', port: 80 },
    fwmark: 0,
    scheduler: 'rr',
    schedulerFlags: [],
    onePacket: false,
    persistence: undefined,
    servers: [
      {
        address: '10.2.0.2',
        port: 80,
        forwarding: 'DROUTE',
        weight: 2,
        upperThreshold: 0,
        lowerThreshold: 0,
        activeConnections: 3,
        inactiveConnections: 4
      }
    ]
  })
  const notes = createNotes()
  const found = await all(completeLines(given(...lines), new Completer(services), notes))
  t.strictSame(
    found.map(({ protocol, forwarding, flags, state, timeout, fwmark }) => [
      protocol,
      forwarding,
      flags,
      state,
      timeout,
      fwmark
    ]),
    [
      ['TCP', 'DROUTE', ['NOOUTPUT'], 'ESTABLISHED', 1000, 0],
      ['TCP', 'MASQ', ['INACTIVE', 'NO_CPORT'], '0', 5, 0],
      ['IP', 'MASQ', ['INACTIVE', 'TEMPLATE'], 'ASSURED', 300, 9],
      ['SCTP', 'MASQ', [], 'ESTABLISHED', 900, 0]
    ]
  )
  t.strictSame(notes, {
    assumed: { forwarding: 3, fwmark: 0, state: 2, timeout: 1 },
    unsendable: { invalidated: 1, 'other-family': 1 },
    damaged: 1
  })
  t.equal(explainNotes(notes).length, 6)
  t.strictSame(explainNotes(createNotes()), [])
})

t.test('a mark is concluded from the real server where one service alone can be meant', async (t) => {
  const { services } = parseServices(
    [
      'TCP  0A010001:0050 rr',
      '  -> 0A020002:0050      Masq   1      0          0',
      'UDP  0A010001:0000 rr persistent 75000',
      '  -> 0A020003:0000      Masq   1      0          0',
      'FWM  00000005 rr',
      '  -> 0A020002:0000      Masq   1      0          0',
      '  -> 0A020003:0000      Route   1      0          0',
      'FWM  00000006 rr',
      '  -> 0A020003:0051      Route   1      0          0',
      'FWM  00000007 rr',
      '  -> [fd00:0002:0000:0000:0000:0000:0000:0002]:0000      Masq   1      0          0'
    ].join('\n')
  )
  const completer = new Completer(services)
  const parse = connectionParser(HEADER)
  const rows: [string, number, boolean][] = [
    ['TCP 0A010009 0001 0A010001 0050 0A020002 0050 ESTABLISHED 9', 0, false],
    ['TCP 0A010009 0001 0A010001 0051 0A020002 0051 ESTABLISHED 9', 5, true],
    ['UDP 0A010009 0001 0A010001 0051 0A020003 0051 UDP 9', 0, false],
    ['UDP 0A010009 0001 0A010002 0051 0A020003 0051 UDP 9', 0, true],
    ['UDP 0A010009 0001 0A010002 0052 0A020003 0052 UDP 9', 5, true],
    ['UDP 0A010009 0001 0A010002 0052 0A020004 0052 UDP 9', 0, false],
    ['IP  0A010009 0000 00000006 0000 0A020003 0000 ASSURED 9', 6, false],
    [`TCP ${IPV6}01 0001 ${IPV6}01 0050 fd00:0002:0000:0000:0000:0000:0000:0002 0050 NONE 9`, 7, true]
  ]
  for (const [line, fwmark, isAssumed] of rows) {
    const { connection, ...rest } = completer.complete(parse(line)!)
    t.equal(connection?.fwmark, fwmark, line)
    t.equal('assumptions' in rest && rest.assumptions.includes('fwmark'), isAssumed, line)
  }
})

t.test('files: missing, unreadable, without services, no text', async (t) => {
  await t.rejects(all(readKernelTable({ connections: '/no/such/file', services: '/no/such/file' })), {
    code: 'ERR_NO_IPVS',
    message: /modprobe ip_vs/
  })
  await t.rejects(all(readKernelTable({ services: tmpdir() })), { code: 'ERR_IO' })
  await t.rejects(all(readProcLines(tmpdir())), { code: 'ERR_IO', message: /EISDIR/ })
  await t.rejects(all(readLines(given(new Uint8Array(70_000)))), { code: 'ERR_IO', message: /this is no table/ })
  const folder = mkdtempSync(join(t.testdir(), 'x'))
  writeFileSync(join(folder, 'long'), 'x'.repeat(70_000))
  await t.rejects(all(readProcLines(join(folder, 'long'))), { code: 'ERR_IO' })
  t.strictSame(await all(readLines(given(Buffer.from('a\nb'), Buffer.from('c\n\nd')))), ['a', 'bc', '', 'd'])
  t.strictSame(await all(readLines(given(Buffer.from('a\n')))), ['a'])
  const [mark, half] = [Buffer.from('\ufeff'), Buffer.from('\ufeff').subarray(0, 2)]
  t.strictSame(await all(readLines(given(mark, Buffer.from('a\n'), mark, Buffer.from('\n')))), [
    'a',
    mark.toString('latin1')
  ])
  t.strictSame(await all(readLines(given(mark, Buffer.from('a')))), ['a'])
  t.strictSame(await all(readLines(given(half, mark.subarray(2), Buffer.from('a\nb')))), ['a', 'b'])
  const long = Array.from({ length: 10 }, () => Buffer.alloc(70_000, 'x'))
  const [first, ...others] = await all(readLines(given(...long, Buffer.from('\nb\n')), 'cut'))
  t.strictSame([first!.length, others], [65_537, ['b']], 'its beginning alone is kept')
  // Without a kernel that has IPVS the default paths are not there either; with one they are.
  await all(readKernelTable()).catch((error: unknown) => t.match(error, { code: 'ERR_NO_IPVS' }))
})

t.test('AH and states without a name are written as the kernel does', async (t) => {
  const end = { address: '10.0.0.1', port: 0 }
  const line = connSyncLine({
    protocol: 'AH',
    client: end,
    virtual: end,
    destination: end,
    state: '0',
    origin: 'SYNC',
    expires: 7
  })
  t.equal(line, 'IP_51 0A000001 0000 0A000001 0000 0A000001 0000 ERR!        SYNC         7\n')
})

t.test('live settings: all that the kernel has; what we do not know or would not take is named', async (t) => {
  const folder = t.testdir({
    sync_threshold: '1\t20\n',
    sync_refresh_period: '-5\n',
    est_nice: '0\n',
    sync_ports: '4\n'
  })
  t.strictSame(readLiveSysctls(folder), {
    settings: { ...sysctlDefaults, syncThreshold: [1, 20], syncPorts: 4 },
    read: ['sync_ports', 'sync_threshold'],
    unknown: ['est_nice', 'sync_refresh_period']
  })
  t.throws(() => readLiveSysctls('/no/such/folder'), { code: 'ERR_NO_IPVS' })
})

t.test(
  'the follower announces what is new in a sendable state, what changed state, and what is due again',
  async (t) => {
    const end = { address: '10.0.0.1', port: 1 }
    const make = (protocol: string, state: string, more: Partial<Connection> = {}): Connection => ({
      family: 'ipv4',
      protocol,
      client: end,
      virtual: end,
      destination: end,
      forwarding: 'MASQ',
      flags: [],
      state,
      ...more
    })
    const follower = new KernelFollower(10)
    const look = (now: number, ...connections: Connection[]): (FollowReason | undefined)[] => {
      follower.begin()
      const reasons = connections.map((connection) => follower.see(connection, now))
      follower.end()
      return reasons
    }
    const template = make('TCP', 'NONE', { flags: ['TEMPLATE'] })
    t.strictSame(look(1000, make('TCP', 'SYN_RECV'), make('UDP', 'UDP'), template), [undefined, 'new', 'new'])
    t.equal(follower.size, 3)
    t.strictSame(look(2000, make('TCP', 'ESTABLISHED'), make('UDP', 'UDP'), template), ['new', undefined, undefined])
    t.strictSame(look(3000, make('TCP', 'FIN_WAIT'), make('UDP', 'UDP')), ['state', undefined])
    t.equal(follower.size, 2, 'the template is gone, and forgotten')
    t.strictSame(look(10_999, make('TCP', 'LAST_ACK'), make('UDP', 'UDP')), [undefined, undefined])
    t.strictSame(look(11_000, make('TCP', 'TIME_WAIT'), make('UDP', 'UDP'), template), ['state', 'refresh', 'new'])
    const moved = make('UDP', 'UDP', { destination: { address: '10.0.0.2', port: 1 }, engine: { name: '', data: '' } })
    t.strictSame(look(11_001, moved), ['new'], 'another real server is another connection')
    follower.refreshPeriod = 0
    t.strictSame(look(99_000_000, moved), [undefined])
  }
)
