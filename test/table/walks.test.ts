// Everything that visits a whole table does it in steps. At 1,000,000 connections no step takes more than 50 ms of the
// processor: the processor's time, not the clock's, so that a busy machine makes no difference.
import { crc32 } from 'node:zlib'
import t from 'tap'
import { tableMessages } from '../../src/engine/full-table/bulk-messages.js'
import { ConnectionTable } from '../../src/table/connection-table.js'
import { packTable, PackedSnapshotLoader } from '../../src/table/packed-snapshot.js'
import { filledTable } from '../fixtures/support/filled-table.js'

const CONNECTIONS = 1_000_000
const LIMIT_MS = 50

const table = filledTable(CONNECTIONS, 1000)
const copy = new ConnectionTable({ maxConnections: CONNECTIONS })
const loader = new PackedSnapshotLoader(copy, { now: 1000, wallClock: 1 }, crc32)
let connections = 0

const walks: readonly (readonly [string, Iterable<unknown>, (item: never) => void])[] = [
  [
    'connections as JSON',
    table.walk({ limit: 256 }),
    (slots: readonly number[]) => {
      for (const slot of slots) if (JSON.stringify(table.connection(slot)).length > 0) connections++
    }
  ],
  ['a snapshot, written and read', packTable(table, 1, crc32), (block: Uint8Array) => loader.push(block)],
  [
    'messages of the whole table',
    tableMessages(table, { version: 1, syncid: 1, maxLength: 1472, channels: 1 }),
    (message: { readonly connections: number } | undefined) => (connections += message?.connections ?? 0)
  ]
]

for (const [name, steps, take] of walks)
  t.test(`${name}: no step is long`, async (t) => {
    let longest = 0
    let before = process.cpuUsage()
    for (const step of steps) {
      take(step as never)
      const { user, system } = process.cpuUsage(before)
      longest = Math.max(longest, (user + system) / 1000)
      before = process.cpuUsage()
    }
    t.ok(longest < LIMIT_MS, `${longest} ms`)
  })

t.test('and all of them visit everything', async (t) => {
  t.strictSame([connections, copy.size, loader.report.complete], [2 * CONNECTIONS, CONNECTIONS, true])
})
