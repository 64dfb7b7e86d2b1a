import fc from 'fast-check'
import t from 'tap'
import { IpvsSyncError } from '../../src/errors.js'
import { ConnectionTable } from '../../src/table/connection-table.js'
import { halfSipHash, KeyHash, tabulate } from '../../src/table/hash.js'
import { hasEngineData, hashRow, matches, sameBytes } from '../../src/table/key.js'
import { SlotIndex } from '../../src/table/slot-index.js'
import type { Connection } from '../../src/wire/connection.js'
import { connectionFromRow, rowFromConnection } from '../../src/wire/row-values.js'
import { createRows, PRESENT, ROW } from '../../src/wire/rows.js'
import { tcpConnection } from '../fixtures/support/connections.js'
import { OracleTable, type OracleEntry } from '../fixtures/support/oracle-table.js'

const rows = createRows(4)

/** A row of a connection, with its own timeout. */
function row(connection: Connection): typeof rows {
  rowFromConnection(connection, rows, 0)
  rows.count = 1
  return rows
}

function connection(rest: Partial<Connection> = {}): Connection {
  return { ...tcpConnection(0), fwmark: 0, timeout: 60, ...rest }
}

const SIP = { name: 'sip', data: '6162' }
const ipv6 = (rest: Partial<Connection> = {}): Connection =>
  connection({
    family: 'ipv6',
    client: { address: '2001:db8::1', port: 4000 },
    virtual: { address: '2001:db8::80', port: 80 },
    destination: { address: 'fd00::1', port: 8080 },
    ...rest
  })

t.test('what was added is found, read back whole, and gone when removed', async (t) => {
  const cases: Connection[] = [
    connection(),
    connection({ flags: ['INACTIVE', 'NFCT'], state: 'TIME_WAIT', forwarding: 'DROUTE', fwmark: 0xfffffffe }),
    ipv6(),
    ipv6({ protocol: 'SCTP', state: 'COOKIE', timeout: 0xffffffff }),
    connection({
      inSequence: { initial: 1, delta: 0xffffffff, previousDelta: 3 },
      outSequence: { initial: 4, delta: 5, previousDelta: 6 },
      flags: ['IN_SEQ']
    }),
    connection({ flags: ['TEMPLATE'], state: 'ASSURED', client: { address: '10.0.0.0', port: 0 }, engine: SIP })
  ]
  for (const each of cases) {
    const table = new ConnectionTable({ maxConnections: 4 })
    t.equal(table.find(row(each), 0), 0)
    const slot = table.add(rows, 0, 1000)
    t.ok(slot > 0)
    t.equal(table.find(row(each), 0), slot)
    t.strictSame(table.connection(slot), {
      ...each,
      origin: 'LOCAL',
      // What a kernel shows of the longest timeout: its column wraps.
      expires: each.timeout === 0xffffffff ? 4294966 : each.timeout,
      syncid: 0
    })
    t.equal(table.isUsed(slot), true)
    table.remove(slot)
    table.remove(slot)
    t.equal(table.find(row(each), 0), 0)
    t.equal(table.size, 0)
    t.equal(table.isUsed(slot), false)
    t.equal(table.nextDeadline(), Infinity)
  }
})

t.test('keys are a kernel’s: docs/protocol.md section 7', async (t) => {
  const finds = (have: Connection, wanted: Connection): boolean => {
    const table = new ConnectionTable({ maxConnections: 4 })
    table.add(row(have), 0, 1)
    return table.find(row(wanted), 0) > 0
  }
  const template = (rest: Partial<Connection> = {}): Connection =>
    connection({ flags: ['TEMPLATE'], state: 'NONE', client: { address: '10.0.0.0', port: 0 }, ...rest })
  const fwmark = (address: string): Connection =>
    ipv6({ protocol: 'IP', flags: ['TEMPLATE'], state: 'NONE', virtual: { address, port: 0 } })
  t.equal(
    finds(connection(), connection({ destination: { address: '9.9.9.9', port: 9 } })),
    true,
    'not the destination'
  )
  t.equal(finds(connection(), connection({ client: { address: '10.1.0.0', port: 1001 } })), false, 'the client’s port')
  t.equal(finds(connection(), connection({ virtual: { address: '10.2.0.1', port: 81 } })), false, 'the virtual port')
  t.equal(finds(connection(), connection({ virtual: { address: '10.2.0.2', port: 80 } })), false, 'the virtual address')
  t.equal(finds(connection(), connection({ protocol: 'UDP', state: 'UDP' })), false, 'the protocol')
  t.equal(finds(ipv6(), ipv6({ client: { address: '2001:db8::2', port: 4000 } })), false, 'an IPv6 tail')
  t.equal(finds(ipv6(), ipv6({ virtual: { address: '2001:db8::81', port: 80 } })), false, 'another IPv6 tail')
  t.equal(finds(template(), template()), true)
  t.equal(
    finds(connection(), { ...connection(), flags: ['TEMPLATE'], state: 'NONE' }),
    false,
    'a connection is no template'
  )
  t.equal(
    finds({ ...connection(), flags: ['TEMPLATE'], state: 'NONE' }, connection()),
    true,
    'nobody asks a connection'
  )
  t.equal(finds(template({ engine: SIP }), template({ engine: SIP, client: { address: '10.0.0.0', port: 7 } })), true)
  t.equal(finds(template({ engine: SIP }), template({ engine: { name: 'sip', data: '6163' } })), false)
  t.equal(finds(template({ engine: SIP }), template()), false, 'an engine’s template only by its data')
  t.equal(finds(template(), template({ engine: SIP })), false)
  t.equal(finds(template(), template({ engine: { name: 'sip', data: '' } })), true, 'a name alone is no data')
  t.equal(finds(connection(), connection({ engine: SIP })), false, 'searched among templates with the same data')
  const withPort = { flags: ['TEMPLATE'], state: 'NONE', engine: SIP }
  t.equal(finds(connection(withPort), connection({ engine: SIP })), true, 'a connection is taken for such a template')
  t.equal(finds(connection(withPort), connection({ engine: { name: 'sip', data: '6163' } })), false)
  t.equal(
    finds(connection(withPort), connection({ engine: SIP, client: { address: '10.1.0.0', port: 7 } })),
    false,
    'only with the client’s port'
  )
  t.equal(finds(connection(withPort), connection()), false, 'without data it is not')
  t.equal(finds(fwmark('0:7::'), fwmark('0:7::')), true)
  t.equal(finds(fwmark('0:7::1'), fwmark('0:7::2')), true, 'only the mark counts')
  t.equal(finds(fwmark('0:7::'), fwmark('0:8::')), false)
})

t.test('of a firewall mark’s template the other twelve bytes are kept as zero', async (t) => {
  const table = new ConnectionTable({ maxConnections: 4 })
  const slot = table.add(
    row(ipv6({ protocol: 'IP', flags: ['TEMPLATE'], state: 'NONE', virtual: { address: '0:7::1', port: 0 } })),
    0,
    1
  )
  t.equal(table.connection(slot).virtual.address, '0:7::')
})

t.test('an open client port is found by those that have none of their own', async (t) => {
  const open = connection({ flags: ['NO_CPORT'], client: { address: '10.1.0.0', port: 0 } })
  const table = new ConnectionTable({ maxConnections: 4 })
  t.equal(table.find(row(connection()), 0), 0)
  const slot = table.add(row(open), 0, 1)
  t.equal(table.find(row(connection()), 0), slot, 'the search is repeated with port 0')
  t.equal(table.find(row(open), 0), slot)
  t.equal(table.find(row({ ...open, flags: [] }), 0), slot, 'what is asked for is the entry’s flag')
  const odd = connection({ flags: ['NO_CPORT'] })
  const first = table.add(row(odd), 0, 1)
  t.equal(table.find(row({ ...odd, virtual: { address: '10.2.0.9', port: 80 } }), 0), 0)
  t.equal(table.find(row(odd), 0), slot, 'port and flag disagree: never its own entry')
  table.remove(first)
  table.remove(slot)
  t.equal(table.find(row(connection()), 0), 0)
})

t.test('of equal keys the newest is found, and the older again when that is gone', async (t) => {
  const table = new ConnectionTable({ maxConnections: 8 })
  const slots = [1, 2, 3].map((state) => table.add(row(connection({ state: String(state) })), 0, 1))
  t.equal(table.find(row(connection()), 0), slots[2])
  table.remove(slots[2]!)
  t.equal(table.find(row(connection()), 0), slots[1])
  table.remove(slots[0]!)
  t.equal(table.find(row(connection()), 0), slots[1])
})

t.test('a full table refuses and counts, and still knows what it has', async (t) => {
  const table = new ConnectionTable({ maxConnections: 3 })
  const slots = [0, 1, 2, 3, 4].map((i) => table.add(row(tcpConnection(i, { timeout: 60 })), 0, 1))
  t.strictSame(slots.slice(3), [0, 0])
  t.equal(table.refused, 2)
  t.equal(table.size, 3)
  t.equal(table.find(row(tcpConnection(2)), 0), slots[2])
  table.remove(slots[0]!)
  t.ok(table.add(row(tcpConnection(9, { timeout: 60 })), 0, 1) > 0)
})

t.test('a crowded place refuses too, without losing what stands there', async (t) => {
  const index = new SlotIndex(1000, 2000)
  const home = (): number => 7
  let added = 0
  while (index.add(7, added + 2, home)) added++
  t.equal(added, 512)
  t.equal(index.probe(7, 511), 2, 'the oldest is the last')
  t.equal(index.probe(7, 512), 0)
  index.remove(7, 999, home)
  index.remove(7, 2, home)
  t.ok(index.add(7, 600, home))
  index.remove(9000, 4, home)
})

t.test('a crowded place pushes nobody out of reach', async (t) => {
  const index = new SlotIndex(2000, 4000)
  const hashes = new Map<number, number>()
  const add = (hash: number, slot: number): boolean => {
    hashes.set(slot, hash)
    return index.add(hash, slot, (other) => hashes.get(other)!)
  }
  for (let i = 0; i < 512; i++) add(7, i + 2)
  for (let i = 0; i < 20; i++) t.ok(add(8 + i, 1000 + i), 'a neighbour')
  const newestFirst = Array.from({ length: 512 }, (_, step) => 513 - step)
  t.strictSame(
    newestFirst.map((_, step) => index.probe(7, step)),
    newestFirst
  )
})

t.test('every word of a key counts in its hash, whatever the seed', async (t) => {
  for (const seed of [0, 7, -1]) {
    const key = new KeyHash(seed)
    const hashes = new Set<number>()
    for (let i = 1; i <= 100; i++)
      for (const side of ['client', 'virtual'] as const)
        for (const address of [`2001:db8::${i}`, `2001:db8:0:0:${i}::`, `2001:db8:${i}::`, `${i}::1`])
          hashes.add(hashRow(key, row(ipv6({ [side]: { address, port: 80 } })), 0, 80, false))
    // One key comes up twice: the client and the virtual address that the others have beside them.
    t.equal(hashes.size, 799)
  }
})

t.test('a crowded place is a refusal of the table', async (t) => {
  const table = new ConnectionTable({ maxConnections: 1000 })
  let refused = 0
  // One key again and again, as records whose port and flag disagree add it: all have one hash.
  for (let i = 0; i < 520; i++) if (table.add(row(connection({ flags: ['NO_CPORT'] })), 0, 1) === 0) refused++
  t.equal(refused, 8)
  t.equal(table.refused, 8)
  t.equal(table.size, 512)
})

t.test('the ceiling is a whole number that fits', async (t) => {
  for (const maxConnections of [0, -1, 1.5, NaN, 0x1000000])
    t.throws(() => new ConnectionTable({ maxConnections }), { code: 'ERR_CONFIG', field: 'maxConnections' })
  t.equal(new ConnectionTable().maxConnections, 1_000_000)
})

t.test('time: nothing is found past its deadline, the wheel removes it, a refresh puts it off', async (t) => {
  const table = new ConnectionTable({ maxConnections: 100 })
  const expired: number[] = []
  const advance = (now: number, budget = 1000): boolean =>
    table.advance(now, budget, (slot) => {
      expired.push(slot)
      return false
    })
  t.equal(advance(500), true, 'an empty table has nothing to do')
  const a = table.add(row(tcpConnection(1, { timeout: 10 })), 0, 1000)
  const b = table.add(row(tcpConnection(2, { timeout: 900 })), 0, 1000)
  const far = table.add(row(tcpConnection(3, { timeout: 10_000 })), 0, 1000)
  t.equal(table.nextDeadline(), 2000)
  t.equal(table.deadlineMs(a), 11_000)
  table.restart(a, 20_000, 5000)
  advance(11_000)
  t.strictSame(expired, [], 'put off')
  table.restart(b, 5000, 11_000)
  advance(15_999)
  t.strictSame(expired, [])
  t.equal(table.find(row(tcpConnection(2)), 0), b)
  advance(16_000)
  t.strictSame(expired, [b], 'moved forward')
  table.setDeadlineMs(a, 16_500)
  t.equal(table.find(row(tcpConnection(1)), 0), a)
  advance(16_700)
  t.equal(table.find(row(tcpConnection(1)), 0), 0, 'over, though the wheel has not come round')
  t.strictSame(
    [...table].map(({ client }) => client.port),
    [1003]
  )
  t.equal(table.size, 2)
  advance(17_000)
  t.strictSame(expired, [b, a])
  t.equal(table.now, 17_000)
  advance(3000)
  t.equal(table.now, 17_000, 'time does not go back')
  advance(20_000_000)
  t.strictSame(expired, [b, a, far], 'further than the wheel is round')
  t.equal(table.size, 0)
})

t.test('expired connections can be restarted, and a budget cuts the work of one call', async (t) => {
  const table = new ConnectionTable({ maxConnections: 100 })
  for (let i = 0; i < 10; i++) table.add(row(tcpConnection(i, { timeout: 5 })), 0, 1000)
  let seen = 0
  const visit = (slot: number): boolean => {
    seen++
    if (seen === 1) table.restart(slot, 60_000, 6000)
    return seen === 1
  }
  t.equal(table.advance(6000, 4, visit), false)
  t.equal(seen, 4)
  t.equal(table.nextDeadline(), 6000, 'at once')
  t.equal(table.advance(6000, 100, visit), true)
  t.equal(seen, 10)
  t.equal(table.size, 1)
})

t.test('a packet sets counter, state and timer; a description has every field of a decision', async (t) => {
  const table = new ConnectionTable({ maxConnections: 10 })
  const slot = table.add(row(connection()), 0, 1_763_900_000_000)
  table.setSynced(slot, 1, 1_763_900_060_000, 2)
  table.takePacket(slot, 0xffffffff, 4, 120_500, 1_763_900_001_000)
  const found = {
    protocol: 0,
    template: true,
    onePacket: true,
    state: 0,
    lastSyncedState: 0,
    timeoutMs: 0,
    endTimeMs: 0,
    retriesUsed: 0,
    packets: 0
  }
  table.describe(slot, found)
  t.strictSame(found, {
    protocol: 6,
    template: false,
    onePacket: false,
    state: 4,
    lastSyncedState: 1,
    timeoutMs: 120_000,
    endTimeMs: 1_763_900_060_000,
    retriesUsed: 2,
    packets: 0xffffffff
  })
  t.equal(table.deadlineMs(slot), 1_763_900_121_500)
  t.strictSame([table.packets(slot), table.state(slot), table.timeoutMs(slot)], [0xffffffff, 4, 120_000])
})

t.test('fields', async (t) => {
  const table = new ConnectionTable({ maxConnections: 10 })
  const slot = table.add(row(connection()), 0, 1_763_900_000_000)
  t.equal(table.endTimeMs(slot), 1_763_900_000_000)
  t.equal(table.lastSyncedState(slot), 1)
  table.setSynced(slot, 5, 1_763_900_900_123, 3)
  t.strictSame(
    [table.lastSyncedState(slot), table.endTimeMs(slot), table.retriesUsed(slot), table.deadlineMs(slot)],
    [5, 1_763_900_900_123, 3, 1_763_900_060_000]
  )
  table.setPackets(slot, 0xffffffff)
  t.equal(table.packets(slot), 0xffffffff)
  table.setSyncid(slot, 255)
  table.setFlags(slot, 0x10120)
  t.equal(table.flags(slot), 0x10120)
  t.match(table.connection(slot), { origin: 'SYNC', syncid: 255, flags: ['SYNC', 'INACTIVE', 'NFCT'] })
  t.strictSame(table.counts(), [{ protocol: 6, origin: 'SYNC', connections: 1 }])
  table.setFlags(slot, 0)
  t.strictSame(table.counts(), [{ protocol: 6, origin: 'LOCAL', connections: 1 }])
  t.strictSame([table.family(slot), table.protocol(slot), table.timeoutMs(slot)], [4, 6, 60_000])
  table.refresh(slot, 0x20, 4, 3, 7, 120_000, 1_763_900_001_000)
  t.match(table.connection(slot), { state: 'FIN_WAIT', timeout: 120, expires: 120, syncid: 7 })
  t.equal(table.packets(slot), 3)
  t.equal(table.family(table.add(row(ipv6()), 0, 1_763_900_001_000)), 6)
})

t.test('update takes what a row says, but not another destination, and keeps the origin', async (t) => {
  const table = new ConnectionTable({ maxConnections: 10 })
  for (const make of [connection, ipv6]) {
    const slot = table.add(row(make({ flags: ['SYNC'] })), 0, 1000)
    const sequence = { initial: 1, delta: 2, previousDelta: 3 }
    t.equal(
      table.update(slot, row(make({ state: 'CLOSE', timeout: 10, fwmark: 9, inSequence: sequence })), 0, 2000),
      true
    )
    t.match(table.connection(slot), { state: 'CLOSE', expires: 10, fwmark: 9, origin: 'SYNC', inSequence: sequence })
    const { address } = make().destination
    t.equal(table.update(slot, row(make({ destination: { address, port: 1 } })), 0, 2000), false)
    const other = make === connection ? '10.3.0.2' : 'fd00::2'
    t.equal(table.update(slot, row(make({ destination: { address: other, port: 8080 } })), 0, 2000), false)
  }
})

t.test('slots tolerate removal and addition, and clear leaves nothing', async (t) => {
  const table = new ConnectionTable({ maxConnections: 100 })
  for (let i = 0; i < 20; i++) table.add(row(tcpConnection(i, { timeout: 60 })), 0, 1)
  let seen = 0
  for (const slot of table.slots()) {
    if (seen++ < 30) table.add(row(tcpConnection(100 + seen, { timeout: 60 })), 0, 1)
    table.remove(slot)
  }
  t.ok(seen >= 20)
  table.add(row(connection({ flags: ['TEMPLATE'], state: 'NONE', engine: SIP })), 0, 1)
  table.add(row(connection({ flags: ['NO_CPORT'], client: { address: '10.1.0.0', port: 0 }, timeout: 1 })), 0, 1)
  table.add(row(ipv6()), 0, 1500)
  table.clear()
  t.equal(table.size, 0, 'also what has expired and was not visited')
  t.strictSame([...table], [])
  t.strictSame(table.counts(), [])
  t.equal(table.find(row(connection()), 0), 0)
  const slot = table.add(row(connection({ timeout: 1 })), 0, 2000)
  t.notOk('engine' in table.connection(slot))
  const gone: number[] = []
  table.advance(100_000, 1000, (expired) => gone.push(expired) < 0)
  t.strictSame(gone, [slot], 'and it continues as a new one')
})

t.test('memory grows by chunks that are never copied: slots stay good', async (t) => {
  const table = new ConnectionTable({ maxConnections: 70_000 })
  const first = table.add(row(tcpConnection(0, { timeout: 60 })), 0, 1)
  for (let i = 1; i < 70_000; i++) table.add(row(tcpConnection(i, { timeout: 60 })), 0, 1)
  t.equal(table.size, 70_000)
  t.equal(table.find(row(tcpConnection(0)), 0), first)
  t.equal(table.connection(table.find(row(tcpConnection(69_999)), 0)).client.port, 1000 + 9_999)
})

// A handful of keys, so that random operations meet.
const few = fc.record({
  ipv6: fc.boolean(),
  protocol: fc.constantFrom('TCP', 'UDP', 'IP'),
  client: fc.integer({ min: 1, max: 2 }),
  port: fc.constantFrom(0, 4000),
  virtual: fc.integer({ min: 1, max: 2 }),
  flags: fc.constantFrom<readonly string[]>([], ['NO_CPORT'], ['TEMPLATE'], ['NO_CPORT', 'TEMPLATE']),
  engine: fc.constantFrom(undefined, '61', '6162'),
  destination: fc.integer({ min: 1, max: 2 })
})
type Few = typeof few extends fc.Arbitrary<infer T> ? T : never

function make(few: Few, timeout: number): Connection {
  const address = (net: number, host: number): string => (few.ipv6 ? `${net}:${host}::` : `${net}.0.0.${host}`)
  const engine = few.flags.includes('TEMPLATE') || few.engine === undefined ? few.engine : undefined
  return {
    family: few.ipv6 ? 'ipv6' : 'ipv4',
    protocol: few.protocol,
    client: { address: address(10, few.client), port: few.port },
    virtual: { address: address(20, few.virtual), port: 80 },
    destination: { address: address(30, few.destination), port: 8080 },
    forwarding: 'MASQ',
    flags: few.flags,
    state: '0',
    fwmark: 0,
    timeout,
    ...(engine !== undefined && { engine: { name: 'sip', data: engine } })
  }
}

const operations = fc.array(
  fc.oneof(
    fc.record({ do: fc.constant('put' as const), what: few, seconds: fc.integer({ min: 1, max: 5000 }) }),
    fc.record({ do: fc.constant('add' as const), what: few, seconds: fc.integer({ min: 1, max: 30 }) }),
    fc.record({ do: fc.constant('remove' as const), what: few, seconds: fc.constant(0) }),
    fc.record({ do: fc.constant('wait' as const), what: few, seconds: fc.integer({ min: 0, max: 6000 }) })
  ),
  { maxLength: 60 }
)

t.test('random operations leave the packed table and the plain one with the same contents', async (t) => {
  fc.assert(
    fc.property(operations, fc.integer(), (steps, seed) => {
      const ceiling = 12
      const table = new ConnectionTable({ maxConnections: ceiling, seed })
      const oracle = new OracleTable(ceiling)
      const slots = new Map<OracleEntry, number>()
      let now = 1000
      table.advance(now, 100, () => false)
      oracle.advance(now)
      for (const step of steps) {
        const wanted = make(step.what, step.seconds)
        if (step.do === 'wait') {
          now += step.seconds * 1000
          oracle.advance(now)
          table.advance(now, 1000, () => false)
        } else {
          const found = oracle.find(wanted)
          const slot = table.find(row(wanted), 0)
          if ((found === undefined ? 0 : slots.get(found)) !== slot) return false
          if (step.do === 'remove') {
            if (found !== undefined) oracle.remove(found)
            table.remove(slot)
          } else if (step.do === 'put' && found !== undefined) {
            found.deadline = now + step.seconds * 1000
            table.restart(slot, step.seconds * 1000, now)
          } else {
            const entry = oracle.add(wanted, step.seconds * 1000)
            const added = table.add(rows, 0, now)
            if ((entry === undefined) !== (added === 0)) return false
            if (entry !== undefined) slots.set(entry, added)
          }
        }
        if (table.size !== oracle.entries().length || table.refused !== oracle.refused) return false
        const expected = oracle.entries().map((entry) => `${slots.get(entry)} ${entry.deadline}`)
        const actual = [...table.slots()].map((slot) => `${slot} ${table.deadlineMs(slot)}`)
        if (expected.sort().join() !== actual.sort().join()) return false
      }
      return true
    }),
    { numRuns: Number(process.env['FUZZ_RUNS'] ?? 1500) }
  )
  t.pass('fast-check found no difference')
})

t.test('a row survives the way into the table and out again', async (t) => {
  const table = new ConnectionTable({ maxConnections: 10 })
  const each = connection({ inSequence: { initial: 1, delta: 2, previousDelta: 3 } })
  const slot = table.add(row(each), 0, 1)
  const out = createRows(1)
  table.readRow(slot, out, 0)
  t.equal(out.words[ROW.PRESENT], PRESENT.SEQUENCE)
  t.match(connectionFromRow(out, 0), each)
  t.ok(new IpvsSyncError('ERR_USAGE', 'x') instanceof Error)
})

/** A table whose entries can be looked at as the index does when two hashes agree. */
class OpenTable extends ConnectionTable {
  matches(slot: number, wanted: Connection): boolean {
    const { words } = row(wanted)
    const pool = this.pool(slot)
    const ipv6 = words[ROW.FAMILY] === 6
    return matches(
      pool.chunk(slot >>> 1),
      pool.base(slot >>> 1),
      words,
      0,
      ipv6,
      wanted.client.port,
      hasEngineData(rows, 0) && wanted.flags.includes('TEMPLATE')
    )
  }
}

t.test('an entry whose hash agrees is still compared in every part of its key', async (t) => {
  const table = new OpenTable({ maxConnections: 10 })
  for (const make of [connection, ipv6]) {
    const slot = table.add(row(make()), 0, 1)
    t.equal(table.matches(slot, make()), true)
    const { client, virtual } = make()
    const other = make === connection ? '10.9.9.9' : '2001:db8::9'
    const head = make === connection ? '10.9.9.9' : '2001:db9::1'
    const differences: Partial<Connection>[] = [
      { protocol: 'UDP', state: 'UDP' },
      { flags: ['TEMPLATE'], state: 'NONE' },
      { client: { ...client, port: 0 } },
      { client: { ...client, port: 1 } },
      { client: { ...client, address: other } },
      { client: { ...client, address: head } },
      { virtual: { ...virtual, port: 1 } },
      { virtual: { ...virtual, address: other } },
      { virtual: { ...virtual, address: head } },
      { flags: ['TEMPLATE'], state: 'NONE', engine: SIP }
    ]
    for (const difference of differences)
      t.equal(table.matches(slot, make(difference)), false, JSON.stringify(difference))
  }
  const template = table.add(row(connection({ flags: ['TEMPLATE'], state: 'NONE', engine: SIP })), 0, 1)
  t.equal(table.matches(template, connection({ flags: ['TEMPLATE'], state: 'NONE' })), false)
  t.equal(sameBytes(new Uint8Array([1, 2]), new Uint8Array([1, 3])), false)
})

t.test('HalfSipHash agrees with the vectors of its authors', async (t) => {
  // HalfSipHash-2-4, 4 bytes of output, key 00 01 … 07, input 00 01 … (vectors_hsip32 of the reference implementation).
  const hash = (count: number): number =>
    halfSipHash(Int32Array.of(0x03020100, 0x07060504), count, 0x03020100, 0x07060504, 2, 4) >>> 0
  t.strictSame([hash(0), hash(1), hash(2)], [0x5b9f35a9, 0x89466e2a, 0x8f84b8d0])
})

t.test('a seed makes the hash reproducible; without one no two tables hash alike', async (t) => {
  const hash = (key: KeyHash): number => tabulate(key.tables, 1, 2, 3, 6)
  t.equal(hash(new KeyHash(7)), hash(new KeyHash(7)))
  t.not(hash(new KeyHash(7)), hash(new KeyHash(8)))
  t.not(new KeyHash().tables.join(), new KeyHash().tables.join())
})

/** The longest probe and the most slots of one hash that a set of keys meets, as slot numbers in a table of their own. */
function crowding(keys: readonly Connection[], seed: number): { refused: number; collisions: number } {
  const table = new ConnectionTable({ maxConnections: 20_000, seed })
  const key = new KeyHash(seed)
  const hashes = new Set<number>()
  for (const each of keys) {
    hashes.add(hashRow(key, row(each), 0, each.client.port, false))
    table.add(rows, 0, 1)
  }
  return { refused: table.refused, collisions: keys.length - hashes.size }
}

t.test('keys that differ by chosen bits collide no more than random ones, whatever the seed', async (t) => {
  // The attack: bit 31 of one word of the key and bits 31 and 16 of the next, in any combination of the words.
  const flip = (words: readonly number[], bits: number): number[] => {
    const out = [...words]
    for (let i = 0; i < words.length - 1; i++)
      if ((bits >> i) & 1) {
        out[i]! ^= 0x80000000
        out[i + 1]! ^= 0x80010000
      }
    return out
  }
  const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, '0')
  const address6 = (words: readonly number[]): string =>
    words.map((w) => `${hex(w).slice(0, 4)}:${hex(w).slice(4)}`).join(':')
  const address4 = (word: number): string => [24, 16, 8, 0].map((shift) => (word >>> shift) & 255).join('.')
  const v6 = Array.from({ length: 256 }, (_, bits) => {
    const w = flip([0x20010db8, 1, 2, 3, 0x20010db8, 5, 6, 7, 8], bits)
    return ipv6({
      client: { address: address6(w.slice(0, 4)), port: 4000 },
      virtual: { address: address6(w.slice(4, 8)), port: 80 }
    })
  })
  const v4 = Array.from({ length: 4096 }, (_, i) => {
    const client = (0x0a000001 ^ ((i & 15) << 28) ^ ((i >> 8) << 20)) >>> 0
    const ports = (0x10000050 ^ ((i & 15) << 24) ^ (((i >> 4) & 15) << 28)) >>> 0
    return connection({ client: { address: address4(client), port: ports >>> 16 } })
  })
  for (const seed of [0, 1, 2, 3, 4, 5, 6, 7]) {
    t.strictSame(crowding(v6, seed), { refused: 0, collisions: 0 })
    const { refused, collisions } = crowding(v4, seed)
    t.equal(refused, 0)
    t.ok(collisions < 4, `${collisions} of 4096`)
  }
})

t.test('single and double bit differences: no collision in 4,096 keys of the hash', async (t) => {
  const base = [0x20010db8, 0, 0, 1, 0x20010db8, 0, 0, 0x80]
  const hashes = Array.from({ length: 64 }, (_, seed) => new KeyHash(seed))
  let collisions = 0
  const rows6 = createRows(1)
  const hashOf = (key: KeyHash, words: readonly number[]): number => {
    rows6.words.set(words.slice(0, 4), ROW.CLIENT)
    rows6.words.set(words.slice(4), ROW.VIRTUAL)
    return hashRow(key, rows6, 0, 4000, false)
  }
  rows6.words[ROW.FAMILY] = 6
  rows6.words[ROW.PROTOCOL] = 6
  for (const key of hashes) {
    const plain = hashOf(key, base)
    const plain4 = tabulate(key.tables, base[0]!, base[1]!, base[2]!, 6)
    for (let first = 0; first < 256; first += 3)
      for (const second of [first, (first + 33) % 256, (first + 32) % 256]) {
        const words = [...base]
        words[first >> 5]! ^= 1 << (first & 31)
        if (second !== first) words[second >> 5]! ^= 1 << (second & 31)
        if (hashOf(key, words) === plain) collisions++
        const isChanged4 = [0, 1, 2].some((i) => words[i] !== base[i])
        if (isChanged4 && tabulate(key.tables, words[0]!, words[1]!, words[2]!, 6) === plain4) collisions++
      }
  }
  t.equal(collisions, 0)
})

t.test('side arrays: one record a slot, zeros again when the connection has been removed', async (t) => {
  const table = new ConnectionTable({ maxConnections: 70_000 })
  for (const words of [0, 1.5, 65]) t.throws(() => table.createRecords(words), { code: 'ERR_USAGE', field: 'words' })
  const records = table.createRecords(3)
  const slots = Array.from({ length: 40_000 }, (_, i) => table.add(row(tcpConnection(i, { timeout: 60 })), 0, 1))
  const six = table.add(row(ipv6()), 0, 1)
  const last = slots.at(-1)!
  t.strictSame([records.words, records.get(last, 2)], [3, 0])
  for (const slot of [slots[0]!, last, six]) records.set(slot, 2, -slot)
  t.strictSame([records.get(slots[0]!, 2), records.get(last, 2), records.get(six, 2)], [-slots[0]!, -last, -six])
  t.equal(records.chunk(last)[records.base(last) + 2], -last)
  table.remove(last)
  table.remove(slots[5]!)
  t.equal(table.add(row(tcpConnection(50_000, { timeout: 60 })), 0, 1), slots[5])
  t.equal(table.add(row(tcpConnection(50_001, { timeout: 60 })), 0, 1), last, 'the slot is used again')
  t.equal(records.get(last, 2), 0)
  table.releaseRecords(records)
  table.remove(six)
  t.equal(records.get(six, 2), -six, 'released: left alone')
  const other = table.createRecords(1)
  other.set(slots[0]!, 0, 9)
  table.clear()
  t.equal(other.get(slots[0]!, 0), 0)
})

t.test('values: get, has, set and delete go by the key; what they return is a plain frozen object', async (t) => {
  const table = new ConnectionTable({ maxConnections: 4 })
  const each = connection({ inSequence: { initial: 1, delta: 2, previousDelta: 3 } })
  t.equal(table.set(each, 1000), true)
  const key = { protocol: 'TCP', client: each.client, virtual: each.virtual }
  const found = table.get(key)!
  const whole = {
    ...each,
    outSequence: { initial: 0, delta: 0, previousDelta: 0 },
    origin: 'LOCAL',
    expires: 60,
    syncid: 0
  }
  t.strictSame(structuredClone({ ...found }), whole as never)
  t.equal(Object.isFrozen(found), true)
  t.strictSame([...table], [found])
  t.equal(table.has({ ...key, protocol: 'UDP' }), false)
  t.equal(table.get({ ...key, virtual: { ...key.virtual, port: 81 } }), undefined)
  t.equal(
    table.set({ ...found, origin: 'SYNC', expires: 7, syncid: 9, destination: { address: '10.3.0.9', port: 1 } }),
    true
  )
  t.match(table.get(key), { origin: 'SYNC', expires: 7, syncid: 9, destination: { address: '10.3.0.9' } })
  t.equal(table.size, 1)
  t.equal(table.set(ipv6({ timeout: 0 }), 2000), true)
  t.match(table.get({ ...ipv6(), family: undefined as never }), { timeout: 900, expires: 900 }, 'the state’s timeout')
  const open = connection({ flags: ['NO_CPORT'], client: { address: '10.1.0.9', port: 0 } })
  const template = connection({ flags: ['TEMPLATE'], state: 'NONE', engine: SIP })
  t.ok(table.set(open) && table.set(template))
  t.equal(table.has({ ...open, flags: [], client: { address: '10.1.0.9', port: 5 } }), false, 'never another’s key')
  t.equal(table.has({ ...key, ...template }), true)
  t.equal(table.has({ ...template, flags: [] }), true, 'the connection beside the template')
  t.equal(table.set(connection({ client: { address: '10.9.9.9', port: 1 } })), false, 'full')
  t.equal(table.delete(key), true)
  t.equal(table.delete(key), false)
  t.equal(table.has({ ...template, flags: [] }), false)
  t.throws(() => table.get(undefined as never), { code: 'ERR_USAGE', field: 'key' })
  t.throws(() => table.get({} as never), { code: /ERR_/ })
  t.throws(() => table.set({ ...each, expires: NaN }), { code: 'ERR_USAGE', field: 'connection.expires' })
  t.throws(() => table.set({ ...each, syncid: 256 }), { code: 'ERR_USAGE', field: 'connection.syncid' })
})

t.test('upsert: created, updated, replaced, refused', async (t) => {
  const table = new ConnectionTable({ maxConnections: 1 })
  const removed: number[] = []
  const end = table.onRemove((slot) => removed.push(slot))
  const slot = table.upsert(row(connection()), 0, 1)
  t.equal(table.upserted, 'created')
  t.equal(table.upsert(row(connection({ state: 'CLOSE' })), 0, 1), slot)
  t.equal(table.upserted, 'updated')
  const other = connection({ destination: { address: '10.3.0.9', port: 1 } })
  t.ok(table.upsert(row(other), 0, 1) > 0)
  t.equal(table.upserted, 'replaced')
  t.strictSame(removed, [slot])
  t.equal(table.upsert(row(tcpConnection(9)), 0, 1), 0)
  t.equal(table.upserted, 'refused')
  end()
  table.clear()
  t.strictSame(removed, [slot])
})

t.test('listeners of removals: called before each, whatever removes; one that throws stops nothing', async (t) => {
  const table = new ConnectionTable({ maxConnections: 10 })
  const removed: string[] = []
  table.onRemove(() => {
    throw new Error('listener')
  })
  table.onRemove((slot) => removed.push(table.connection(slot).state))
  table.add(row(connection({ timeout: 5 })), 0, 1000)
  table.remove(table.add(row(connection({ state: 'CLOSE' })), 0, 1000))
  table.advance(9000, 100, () => false)
  table.add(row(connection({ state: 'FIN_WAIT' })), 0, 9000)
  table.add(row(ipv6({ state: 'TIME_WAIT' })), 0, 9000)
  table.clear()
  t.strictSame(removed, ['CLOSE', 'ESTABLISHED', 'FIN_WAIT', 'TIME_WAIT'])
  t.equal(table.listenerErrors, 4)
  t.match(table.listenerError, { message: 'listener' })
  t.equal(table.size, 0)
})

t.test('walk: bounded slices; what stays is visited once, what changes at most once', async (t) => {
  const table = new ConnectionTable({ maxConnections: 5000 })
  const slots = Array.from({ length: 2000 }, (_, i) =>
    table.add(
      row(
        i % 2 === 0
          ? ipv6({ client: { address: `2001:db8::${(i + 1).toString(16)}`, port: 1 } })
          : tcpConnection(i, { timeout: i === 1 ? 1 : 60 })
      ),
      0,
      1
    )
  )
  table.add(row(connection({ flags: ['TEMPLATE'], state: 'NONE', client: { address: '10.0.0.0', port: 0 } })), 0, 1)
  table.advance(2000, 0, () => false)
  const seen: number[] = []
  let removed = 0
  let slices = 0
  for (const slice of table.walk({ limit: 64, templates: false })) {
    t.ok(slice.length <= 64)
    seen.push(...slice)
    if (slices++ % 3 === 0) {
      table.remove(slots[1999 - removed++]!)
      table.add(row(tcpConnection(3000 + slices, { timeout: 60 })), 0, 2000)
    }
  }
  t.equal(new Set(seen).size, seen.length)
  const stayed = slots.slice(2, 2000 - removed)
  t.strictSame(
    stayed.filter((slot) => !seen.includes(slot)),
    []
  )
  t.notOk(seen.includes(slots[1]!), 'expired')
  t.equal([...table.walk({ templates: true })].flat().length, 1)
  t.equal([...table.walk()].flat().length, [...table].length)
})
