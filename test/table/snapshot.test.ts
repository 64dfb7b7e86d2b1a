import t from 'tap'
import { ConnectionTable } from '../../src/table/connection-table.js'
import { SnapshotLoader, writeSnapshot } from '../../src/table/snapshot.js'
import { rowFromConnection } from '../../src/wire/row-values.js'
import { createRows } from '../../src/wire/rows.js'
import { tcpConnection } from '../fixtures/support/connections.js'

const rows = createRows(1)

function tableOf(count: number, now: number): ConnectionTable {
  const table = new ConnectionTable({ maxConnections: 10_000 })
  for (let i = 0; i < count; i++) {
    rowFromConnection(tcpConnection(i, { timeout: 60 + i, flags: i % 2 === 0 ? ['SYNC'] : [] }), rows, 0)
    table.setSyncid(table.add(rows, 0, now), i % 256)
  }
  return table
}

function load(table: ConnectionTable, text: string, now: number, wallClock: number): SnapshotLoader['report'] {
  const loader = new SnapshotLoader(table, now, wallClock)
  for (const line of text.split('\n')) loader.push(line)
  return loader.report
}

t.test('a table comes back as it was, older by the time that has passed', async (t) => {
  const before = tableOf(1300, 1000)
  const text = [...writeSnapshot(before, 1_000_000)].join('')
  const after = new ConnectionTable({ maxConnections: 10_000 })
  const report = load(after, text, 77, 1_005_000)
  t.match(report, { loaded: 1300, expired: 0, faulty: 0, refused: 0, ageMs: 5000, complete: true })
  const older = [...before].map((connection) => ({ ...connection, expires: connection.expires - 5 }))
  t.strictSame([...after], older)
  t.match(load(after, text, 77, 1_005_000), { loaded: 0, known: 1300 }, 'loading it twice adds nothing')
})

t.test('what has expired meanwhile is left out, and a clock that went back makes nothing younger', async (t) => {
  const text = [...writeSnapshot(tableOf(10, 1000), 1_000_000)].join('')
  t.match(load(new ConnectionTable({ maxConnections: 100 }), text, 1, 1_064_000), { loaded: 5, expired: 5 })
  t.match(load(new ConnectionTable({ maxConnections: 100 }), text, 1, 500_000), { loaded: 10, ageMs: 0 })
})

t.test('a connection beside one with an open port is another one', async (t) => {
  const before = new ConnectionTable({ maxConnections: 10 })
  const open = { ...tcpConnection(1, { timeout: 60, flags: ['NO_CPORT'] }) }
  for (const each of [{ ...open, client: { ...open.client, port: 0 } }, tcpConnection(1, { timeout: 60 })]) {
    rowFromConnection(each, rows, 0)
    before.add(rows, 0, 1)
  }
  const text = [...writeSnapshot(before, 1)].join('')
  const after = new ConnectionTable({ maxConnections: 10 })
  t.match(load(after, text, 1, 1), { loaded: 2, known: 0 })
  t.strictSame([...after], [...before])
  t.match(load(after, text, 1, 1), { loaded: 0, known: 2 })
})

t.test('a file that was cut off is known for one', async (t) => {
  const text = [...writeSnapshot(tableOf(5, 1000), 1000)].join('')
  const lines = text.trimEnd().split('\n')
  const complete = (some: string[]): boolean =>
    load(new ConnectionTable({ maxConnections: 100 }), some.join('\n'), 1, 1000).complete
  t.equal(complete(lines), true)
  t.equal(complete(lines.slice(0, -1)), false, 'without its end')
  t.equal(complete(lines.slice(1)), false, 'without its beginning')
  t.equal(complete([...lines.slice(0, 3), ...lines.slice(4)]), false, 'a line is missing')
})

t.test('lines that are no connection are reported by number, and the rest is read', async (t) => {
  const good = JSON.stringify({ ...tcpConnection(1), timeout: 60 })
  const table = new ConnectionTable({ maxConnections: 1 })
  const text = [
    '{"format":"ipvs-sync table","version":2}',
    'nonsense',
    good,
    '',
    'null',
    JSON.stringify({ ...tcpConnection(1), state: 'DANCING' }),
    JSON.stringify({ ...tcpConnection(1), expires: 'soon' }),
    JSON.stringify(tcpConnection(2)),
    JSON.stringify({ ...tcpConnection(3), expires: 5, syncid: 'x' }),
    JSON.stringify({ ...tcpConnection(4), expires: -1 }),
    JSON.stringify({ ...tcpConnection(4), expires: 4294967296 })
  ].join('\n')
  const report = load(table, text, 1, 1000)
  t.match(report, { loaded: 1, refused: 1, expired: 1, faulty: 7, complete: false })
  t.strictSame(
    report.faults.map(({ line }) => line),
    [1, 2, 5, 6, 7, 10, 11]
  )
  t.match(report.faults[3]?.message, /connection\.state/)
  t.match(load(new ConnectionTable(), 'x\n'.repeat(150), 1, 1), { faulty: 150, faults: { length: 100 } })
})

t.test('a syncid that is none is 0', async (t) => {
  const table = new ConnectionTable({ maxConnections: 4 })
  load(table, JSON.stringify({ ...tcpConnection(3), expires: 5, syncid: 'x', origin: 'SYNC' }), 1, 1000)
  t.match([...table], [{ syncid: 0, origin: 'SYNC', expires: 5 }])
})
