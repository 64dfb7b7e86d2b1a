// A table on disk: packed, and as earlier versions wrote it.
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import t from 'tap'
import { loadTable, saveTable } from '../../src/daemon/table-store.js'
import { ConnectionTable } from '../../src/table/connection-table.js'
import { writeSnapshot } from '../../src/table/snapshot.js'
import { tcpConnection } from '../fixtures/support/connections.js'

/** A table of connections with 900 s each, the first with `first`. */
function tableOf(count: number, first = 900): ConnectionTable {
  const table = new ConnectionTable({ maxConnections: 10_000 })
  for (let i = 0; i < count; i++) table.set(tcpConnection(i, { timeout: i === 0 ? first : 900 }), 1000)
  return table
}
const empty = (): ConnectionTable => tableOf(0)

/** As version 0.1.0 wrote it: JSON Lines, and the sum of all that stands before the last line. */
function jsonStore(table: ConnectionTable, savedAt: number): string {
  const text = [...writeSnapshot(table, savedAt)].join('')
  const last = text.lastIndexOf('\n', text.length - 2) + 1
  return text.slice(0, last) + text.slice(last).replace(/}\n$/, `,"crc32":${crc32(text.slice(0, last))}}\n`)
}

t.test('a stored table is read back whole, without what has expired', async (t) => {
  const path = join(t.testdir(), 'table')
  await saveTable(tableOf(2000, 60), path, 1_000_000)
  t.strictSame(readdirSync(dirname(path)), ['table'])
  t.equal(statSync(path).mode & 0o777, 0o600)
  const times = { now: 5, wallClock: 1_060_000 }
  const { table, state, report } = await loadTable(path, empty, times)
  t.equal(state, 'good')
  t.match(report, { loaded: 1999, expired: 1, faulty: 0, ageMs: 60_000, complete: true })
  t.equal([...table][0]!.expires, 840)
  t.equal((await loadTable(`${path}s`, empty, times)).state, 'absent')
})

t.test('a store of an earlier version is read; one without a sum too', async (t) => {
  const path = join(t.testdir(), 'table')
  const times = { now: 5, wallClock: 1_060_000 }
  const text = jsonStore(tableOf(2000, 60), 1_000_000)
  for (const each of [text, text.replace(/,"crc32":\d+/, '')]) {
    writeFileSync(path, each)
    const { state, report } = await loadTable(path, empty, times)
    t.equal(state, 'good')
    t.match(report, { loaded: 1999, expired: 1, faulty: 0, ageMs: 60_000, complete: true })
  }
})

t.test('a file that was truncated or changed anywhere is set aside, and nothing of it is used', async (t) => {
  const path = join(t.testdir(), 'table')
  await saveTable(tableOf(600), path, 1000)
  const packed = readFileSync(path)
  const json = Buffer.from(jsonStore(tableOf(600), 1000))
  const flipped = Buffer.from(packed)
  flipped[20_000]! ^= 1
  const damaged: [string, Buffer][] = [
    ['empty', Buffer.alloc(0)],
    ['a bit flipped', flipped],
    ['truncated', packed.subarray(0, packed.length >> 1)],
    ['truncated in its end', packed.subarray(0, packed.length - 1)],
    ['continued', Buffer.concat([packed, packed])],
    ['JSON truncated in a line', json.subarray(0, json.length >> 1)],
    ['JSON truncated between lines', json.subarray(0, json.indexOf('\n', 5000) + 1)],
    ['JSON truncated in its last line', json.subarray(0, json.length - 10)],
    ['JSON with a digit changed', Buffer.from(json.toString().replace('"port":1003', '"port":1004'))],
    ['JSON continued', Buffer.concat([json, Buffer.from('{}\n')])],
    ['something else', Buffer.alloc(200_000, 'x')]
  ]
  for (const [name, bytes] of damaged) {
    writeFileSync(path, bytes)
    const { table, state } = await loadTable(path, empty, { now: 1, wallClock: 2000 })
    t.strictSame([state, table.size], ['damaged', 0], name)
    t.ok(readFileSync(`${path}.damaged`).equals(bytes), 'and kept')
    t.notOk(existsSync(path))
  }
})

t.test('a table that cannot be written leaves the old file; one that cannot be read is an error', async (t) => {
  const folder = t.testdir({ table: {} })
  await t.rejects(saveTable(tableOf(1), join(folder, 'table'), 1), { code: 'ERR_IO', message: /saving the table/ })
  await t.rejects(saveTable(tableOf(1), join(folder, 'none', 'table'), 1), { code: 'ERR_IO' })
  const loading = loadTable(join(folder, 'table'), empty, { now: 1, wallClock: 1 })
  await t.rejects(loading, { code: 'ERR_IO', message: /reading the stored table/ })
  t.strictSame(readdirSync(folder), ['table'], 'no temporary file is left')
})

t.test('a damaged file that cannot be renamed is reported and not loaded', async (t) => {
  const path = join(t.testdir({ table: 'x'.repeat(100) }), 'table')
  mkdirSync(join(`${path}.damaged`, 'busy'), { recursive: true })
  const { table, state, renameFault } = await loadTable(path, empty, { now: 1, wallClock: 2000 })
  t.strictSame([state, table.size], ['damaged', 0])
  t.match(renameFault, /rename/)
})
