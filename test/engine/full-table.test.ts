// A whole table as paced messages, in virtual time.
import t from 'tap'
import type { Datagram } from '../../src/engine/engine.js'
import { BulkMessages, tableMessages, type BulkCounts } from '../../src/engine/full-table/bulk-messages.js'
import { FullTableSender } from '../../src/engine/full-table/full-table-sender.js'
import { paceFor, receiveBufferHolds, safeMessageRate } from '../../src/engine/full-table/pacer.js'
import { ConnectionTable } from '../../src/table/connection-table.js'
import type { Connection } from '../../src/wire/connection.js'
import { decodeMessage } from '../../src/wire/decode-message.js'
import { tcpConnection } from '../fixtures/support/connections.js'

const OPTIONS = { version: 1, syncid: 7, maxLength: 1472, channels: 1 } as const
const template: Connection = {
  ...tcpConnection(0, { timeout: 60 }),
  flags: ['TEMPLATE'],
  state: 'NONE',
  client: { address: '10.9.0.0', port: 0 }
}

function tableOf(connections: number, templates = 0): ConnectionTable {
  const table = new ConnectionTable({ maxConnections: 10_000 })
  for (let i = 0; i < connections; i++) table.set(tcpConnection(i, { timeout: 60 }), 1000)
  for (let i = 0; i < templates; i++) table.set({ ...template, client: { address: `10.9.${i}.0`, port: 0 } }, 1000)
  return table
}

const datagrams = (count: number, channel = 0): Datagram[] =>
  Array.from({ length: count }, () => ({ channel, bytes: new Uint8Array(1472), connections: 40 }))

/** Drives a sender to its end; the times at which messages were sent. */
function drive(sender: FullTableSender, begin: number): number[] {
  const times: number[] = []
  let now = begin
  while (!sender.isFinished()) {
    sender.handleTimeout(now)
    while (sender.pollTransmit() !== undefined) times.push(now)
    if (!sender.isFinished()) now = Math.max(now, sender.nextTimeout())
  }
  return times
}

t.test('messages of a table: all connections, templates first, slice by slice', async (t) => {
  const counts: BulkCounts = { connections: 0, templates: 0, ipv6: 0, refused: 0 }
  const items = [...tableMessages(tableOf(1000, 3), OPTIONS, counts)]
  const messages = items.filter((item) => item !== undefined)
  t.equal(items.length - messages.length, 8, 'slices of 256 entries, once for templates and once for the rest')
  const connections = messages.flatMap(({ bytes }) => decodeMessage(bytes).connections)
  t.equal(new Set(connections.map(({ client }) => `${client.address} ${client.port}`)).size, 1003)
  t.strictSame(
    connections.map(({ flags }) => flags.includes('TEMPLATE')),
    connections.map((_, i) => i < 3)
  )
  t.equal(decodeMessage(messages[0]!.bytes).connections.length, 3, 'a message of their own')
  t.strictSame(counts, { connections: 1003, templates: 3, ipv6: 0, refused: 0 })
})

t.test('version 1 carries sequence data exactly where a flag says so, as a kernel’s master writes it', async (t) => {
  const sequence = { initial: 1, delta: 2, previousDelta: 3 }
  const zeros = { initial: 0, delta: 0, previousDelta: 0 }
  for (const version of [0, 1] as const) {
    const bulk = new BulkMessages({ ...OPTIONS, version })
    bulk.add(tcpConnection(1, { flags: ['IN_SEQ'] }))
    bulk.add({ ...tcpConnection(2, { flags: ['OUT_SEQ'] }), inSequence: sequence })
    bulk.add({ ...tcpConnection(3), inSequence: sequence })
    const { connections, problems } = decodeMessage(bulk.finish()[0]!.bytes)
    t.strictSame(problems, [])
    t.strictSame(
      connections.map(({ inSequence, outSequence }) => [inSequence, outSequence]),
      [
        [zeros, zeros],
        [sequence, zeros],
        [undefined, undefined]
      ]
    )
  }
})

t.test('the sender keeps its pace, repeats the whole, and reports its progress', async (t) => {
  const sender = new FullTableSender(datagrams(100), { pace: paceFor(1472), times: 2, now: 5000 })
  const times = drive(sender, 5000)
  t.strictSame([times.length, sender.sent, sender.isFinished()], [200, { messages: 200, connections: 8000 }, true])
  t.equal(sender.nextTimeout(), Infinity)
  t.equal(sender.pollTransmit(), undefined)
  const inWindow = times.map((from) => times.filter((at) => at >= from && at < from + 100).length)
  t.ok(Math.max(...inWindow) <= 46 + 9)
  const seconds = (times.at(-1)! - 5000) / 1000
  t.ok(seconds > 0.4 && seconds < 0.5, `${seconds} s for 200 messages at 460 a second`)
})

t.test('the sender makes messages while it sends: a table of 5,000 is never held as messages', async (t) => {
  const table = tableOf(5000)
  const sender = new FullTableSender(tableMessages(table, OPTIONS), { pace: paceFor(1472, 1e9), now: 1 })
  let most = 0
  let empty = 0
  while (!sender.isFinished()) {
    let polled = 0
    while (sender.pollTransmit() !== undefined) polled++
    most = Math.max(most, polled)
    if (!sender.isFinished()) empty++
    t.ok(sender.isFinished() || sender.nextTimeout() === empty, 'more to do at once')
    sender.handleTimeout(1 + empty)
  }
  t.equal(sender.sent.connections, 5000)
  t.ok(most < 10 && empty >= 20)
})

t.test('a full socket holds its channel; others’ messages wait behind it; stop ends it', async (t) => {
  const sender = new FullTableSender([...datagrams(1), ...datagrams(1, 3)], { pace: paceFor(1472), now: 1 })
  sender.hold(0, true)
  t.equal(sender.nextTimeout(), Infinity)
  t.equal(sender.pollTransmit(), undefined)
  sender.hold(0, false)
  t.equal(sender.nextTimeout(), 1)
  t.equal(sender.pollTransmit()?.channel, 0)
  sender.hold(3, true)
  t.equal(sender.pollTransmit(), undefined)
  sender.stop()
  t.strictSame([sender.isFinished(), sender.sent], [true, { messages: 1, connections: 40 }])
  t.equal(new FullTableSender([], { pace: paceFor(1472), times: 3, now: 1 }).isFinished(), true)
})

t.test('a receiver’s buffer sets the pace', async (t) => {
  t.equal(receiveBufferHolds(1472, 4 * 1024 * 1024), 1820)
  t.equal(safeMessageRate(1472, 4 * 1024 * 1024), 9100)
  t.match(paceFor(1472, undefined, 4 * 1024 * 1024), { rate: 9100, burst: 8 })
  t.ok(paceFor(1472, 1e9, 4 * 1024 * 1024).burst > paceFor(1472, 1e9).burst)
})
