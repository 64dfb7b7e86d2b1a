// Packed snapshots: what is written comes back, and nothing damaged does.
import { crc32 as zlibCrc32 } from 'node:zlib'
import fc from 'fast-check'
import t from 'tap'
import { ConnectionTable } from '../../src/table/connection-table.js'
import { crc32, isPackedSnapshot, PackedSnapshotLoader, packTable } from '../../src/table/packed-snapshot.js'
import type { Connection } from '../../src/wire/connection.js'
import { tcpConnection } from '../fixtures/support/connections.js'

const SEQUENCE = { initial: 1, delta: 0xffffffff, previousDelta: 3 }
const KINDS: readonly ((i: number) => Connection)[] = [
  (i) => tcpConnection(i, { timeout: 60 + i }),
  (i) => tcpConnection(i, { timeout: 0xffffffff, flags: ['SYNC', 'INACTIVE', 'IN_SEQ', 'NFCT'], inSequence: SEQUENCE }),
  (i) => ({
    ...tcpConnection(i, { timeout: 60, fwmark: 0xfffffffe }),
    protocol: 'UDP',
    state: 'UDP',
    family: 'ipv6',
    client: { address: `2001:db8::${i.toString(16)}`, port: 65_535 },
    virtual: { address: '2001:db8::80', port: 80 },
    destination: { address: 'fd00::1', port: 8080 },
    flags: i % 3 === 0 ? ['OUT_SEQ'] : [],
    ...(i % 3 === 0 && { outSequence: SEQUENCE })
  }),
  (i) => ({
    ...tcpConnection(0, { timeout: 300 }),
    client: { address: `10.9.${i >> 8}.${i & 255}`, port: 0 },
    flags: ['TEMPLATE'],
    state: 'ASSURED',
    engine: { name: 'sip', data: 'ab'.repeat(1 + (i % 255)) }
  })
]

function tableOf(count: number, kinds = KINDS): ConnectionTable {
  const table = new ConnectionTable({ maxConnections: 20_000 })
  for (let i = 0; i < count; i++) {
    const each = kinds[i % kinds.length]!(i)
    table.set({ ...each, origin: i % 2 === 0 ? 'SYNC' : 'LOCAL', syncid: i % 256, expires: i + 1 }, 1000)
  }
  return table
}
const flat = (table: ConnectionTable): string[] => [...table].map((each) => JSON.stringify(each)).sort()
const join = (pieces: Iterable<Uint8Array>): Uint8Array => Buffer.concat([...pieces])
const TIMES = { now: 7, wallClock: 5000 }

t.test('the checksum is zlib’s', (t) => {
  fc.assert(fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => crc32(b, crc32(a)) === zlibCrc32(b, zlibCrc32(a))))
  t.end()
})

t.test('the layout, byte by byte', (t) => {
  const table = new ConnectionTable({ maxConnections: 4 })
  table.set(
    { ...tcpConnection(0, { timeout: 0x0102, flags: ['NFCT'], state: 'CLOSE' }), expires: 9, syncid: 200 },
    1000
  )
  const [header, block, end] = [...packTable(table, 1)].map((bytes) => Buffer.from(bytes))
  t.equal(
    header!.subarray(0, 20).toString('hex'),
    Buffer.from('ipvs-tbl').toString('hex') + '02000000' + '000000000000f03f'
  )
  t.equal(header!.readUInt32LE(20), zlibCrc32(header!.subarray(0, 20)))
  const { client, virtual, destination } = [...table][0]!
  const address = ({ address }: { address: string }): Buffer => Buffer.from(address.split('.').map(Number)).reverse()
  const port = (number: number): string => Buffer.of(number & 255, number >> 8).toString('hex')
  t.equal(
    block!.subarray(16).toString('hex'),
    [
      '00000100',
      'c8060600',
      port(virtual.port) + port(client.port),
      '0000' + port(destination.port),
      '00000000',
      '02010000',
      '09000000'
    ].join('') + Buffer.concat([client, virtual, destination].map(address)).toString('hex')
  )
  t.strictSame([block!.toString('latin1', 0, 4), block!.readUInt32LE(4), block!.readUInt32LE(8)], ['blok', 40, 1])
  t.equal(block!.readUInt32LE(12), zlibCrc32(Buffer.concat([block!.subarray(0, 12), block!.subarray(16)])))
  t.strictSame([end!.toString('latin1', 0, 4), end!.readUInt32LE(16)], ['end ', 1])
  t.end()
})

t.test('every kind of connection comes back, in pieces of any length, with any checksum function', (t) => {
  const before = tableOf(5000)
  const bytes = join(before.snapshot(5000))
  t.same(join(packTable(before, 5000, zlibCrc32)), bytes)
  t.equal(isPackedSnapshot(bytes), true)
  t.equal(isPackedSnapshot(bytes.subarray(0, 4)), false)
  const want = flat(before)
  for (const size of [bytes.length, 65_536, 1000]) {
    const after = new ConnectionTable({ maxConnections: 20_000 })
    const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
      bytes.subarray(i * size, (i + 1) * size)
    )
    const report = after.restore(pieces, TIMES)
    t.match(report, { loaded: before.size, expired: 0, known: 0, refused: 0, complete: true, ageMs: 0 })
    t.strictSame(flat(after), want)
    t.match(after.restore(pieces, TIMES), { loaded: 0, known: before.size, complete: true })
  }
  t.end()
})

t.test('the age is subtracted; a full table refuses; an empty one is a snapshot too', (t) => {
  const bytes = join(tableOf(100, [KINDS[0]!]).snapshot(5000))
  const older = new ConnectionTable({ maxConnections: 200 })
  t.match(older.restore([bytes], { now: 1, wallClock: 55_000 }), { loaded: 50, expired: 50, ageMs: 50_000 })
  t.equal(Math.min(...[...older].map(({ expires }) => expires)), 1)
  const full = new ConnectionTable({ maxConnections: 10 })
  t.match(full.restore([bytes], TIMES), { loaded: 10, refused: 90, expired: 0, complete: true })
  t.match(new ConnectionTable().restore(new ConnectionTable().snapshot(1), TIMES), { loaded: 0, complete: true })
  t.end()
})

t.test('a table that changes between two blocks: what stays is in the snapshot once', (t) => {
  const table = tableOf(4000, [KINDS[0]!])
  const slots = [...table.slots()]
  const blocks: Uint8Array[] = []
  for (const block of packTable(table, 5000)) {
    blocks.push(block)
    for (let i = 0; i < 100; i++) table.remove(slots.pop()!)
    table.set(tcpConnection(9000 + blocks.length, { timeout: 60 }), 1000)
  }
  const after = new ConnectionTable({ maxConnections: 20_000 })
  t.match(after.restore(blocks, TIMES), { complete: true, known: 0 })
  const loaded = new Set([...after].map(({ client }) => `${client.address} ${client.port}`))
  const stayed = slots.map((slot) => table.connection(slot).client)
  t.ok(stayed.length > 3000 && stayed.every(({ address, port }) => loaded.has(`${address} ${port}`)))
  t.end()
})

t.test('damage anywhere is noticed', (t) => {
  const bytes = join(tableOf(12).snapshot(5000))
  const table = new ConnectionTable({ maxConnections: 1000 })
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const damaged = Uint8Array.from(bytes)
      damaged[at]! ^= flip
      return !table.restore([damaged], TIMES).complete
    }),
    { numRuns: 1000 }
  )
  for (let length = 0; length < bytes.length; length++) {
    const loader = new PackedSnapshotLoader(table, TIMES)
    loader.push(bytes.subarray(0, length))
    if (loader.report.complete) t.fail(`complete after ${length} of ${bytes.length} bytes`)
  }
  const loader = new PackedSnapshotLoader(new ConnectionTable({ maxConnections: 1000 }), TIMES)
  t.strictSame([loader.push(bytes), loader.push(bytes), loader.push(bytes)], [true, false, false])
  t.equal(loader.report.complete, false)
  t.end()
})

t.test('lengths that lie are refused, with a right checksum too', (t) => {
  const [header, , end] = [...tableOf(4, [KINDS[0]!]).snapshot(1)]
  const block = (records: number, payload: number, kind = 'blok'): Uint8Array => {
    const bytes = Buffer.alloc(16 + payload)
    bytes.write(kind, 'latin1')
    bytes.writeUInt32LE(payload, 4)
    bytes.writeUInt32LE(records, 8)
    bytes.writeUInt32LE(zlibCrc32(bytes.subarray(16), zlibCrc32(bytes.subarray(0, 12))), 12)
    return bytes
  }
  const table = new ConnectionTable({ maxConnections: 1000 })
  const cases: readonly [number, number, string?][] = [
    [1, 27],
    [1, 36],
    [1, 44],
    [2, 40],
    [1025, 100_000],
    [1, 400],
    [0, 12, 'end '],
    [0, 8, 'end '],
    [1, 40, 'what']
  ]
  for (const each of cases) {
    const loader = new PackedSnapshotLoader(table, TIMES)
    const isLoaded = loader.push(header!) && loader.push(block(...each)) && loader.push(end!)
    t.strictSame([isLoaded, loader.report.complete], [false, false], String(each))
  }
  t.end()
})
