// One channel: what it puts into which message, when messages leave, and that nothing is lost uncounted or sent twice.
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import t from 'tap'
import { Channel, SendQueue, type ChannelLimits } from '../../src/engine/master/channel.js'
import type { Datagram } from '../../src/engine/engine.js'
import { createRows, ROW } from '../../src/wire/rows.js'
import { marks, PlainWriter } from '../fixtures/support/plain-writer.js'

const rows = createRows(1)
rows.words[ROW.FAMILY] = 4

class Bench {
  readonly dropped: Datagram[] = []
  readonly channel: Channel
  #next = 0

  constructor(limits: Partial<ChannelLimits> = {}) {
    this.channel = new Channel(3, new PlainWriter(), { ...usual, ...limits }, (datagram) => this.dropped.push(datagram))
  }

  add(count: number, now: number): void {
    for (let i = 0; i < count; i++) {
      rows.words[ROW.CLIENT] = this.#next++
      this.channel.add(rows, 0, now)
    }
  }

  drain(now: number): number[][] {
    const out: number[][] = []
    for (let next = this.channel.poll(now); next !== undefined; next = this.channel.poll(now)) out.push(marks(next))
    return out
  }
}

const usual: ChannelLimits = { version: 1, syncid: 7, maxlen: 8 + 2 * 36, qlenMax: 100 }

t.test('an open message leaves at the first look at which it is 2 s old; looks come every second', async (t) => {
  const bench = new Bench()
  t.equal(bench.channel.nextTimeout(), Infinity)
  t.strictSame(bench.drain(10_000), [], 'falls asleep at 10,000')
  bench.add(1, 10_300)
  t.equal(bench.channel.nextTimeout(), 10_300 + 2_700)
  t.strictSame(bench.drain(12_999), [])
  const datagram = bench.channel.poll(13_000)
  t.equal(datagram?.channel, 3)
  t.equal(datagram?.connections, 1)
  t.equal(
    Buffer.from(datagram?.bytes ?? []).toString('hex'),
    `0007002c01010000${'00'.repeat(36)}`,
    'version 1 header worked by hand'
  )
  t.strictSame(bench.drain(13_000), [])
  t.equal(bench.channel.nextTimeout(), Infinity)
})

t.test('a closed message leaves 20 ms after it was queued on an empty queue', async (t) => {
  const bench = new Bench()
  bench.drain(1_000)
  bench.add(3, 1_100)
  t.equal(bench.channel.queued, 1)
  t.equal(bench.channel.nextTimeout(), 1_120)
  bench.add(2, 1_110)
  t.strictSame(bench.drain(1_119), [])
  t.strictSame(bench.drain(1_120), [
    [0, 1],
    [2, 3]
  ])
  t.equal(bench.channel.open, 1)
  bench.add(2, 1_130)
  t.equal(bench.channel.nextTimeout(), 1_150, 'a new wait begins once the queue was empty')
})

t.test('eight queued messages leave at once', async (t) => {
  const bench = new Bench()
  bench.drain(1_000)
  bench.add(16, 1_000)
  t.strictSame([bench.channel.queued, bench.drain(1_000).length], [7, 0])
  bench.add(1, 1_000)
  t.equal(bench.channel.nextTimeout(), 0)
  t.equal(bench.drain(1_000).length, 8)
})

t.test('past sync_qlen_max messages are dropped, told and counted', async (t) => {
  const bench = new Bench({ qlenMax: 3 })
  bench.channel.held = true
  bench.add(20, 1_000)
  t.equal(bench.channel.nextTimeout(), Infinity, 'nothing to wait for but the socket')
  t.strictSame(bench.drain(9_000), [])
  t.strictSame(bench.dropped.map(marks), [
    [6, 7],
    [8, 9],
    [10, 11],
    [12, 13],
    [14, 15],
    [16, 17]
  ])
  t.equal(bench.channel.counters.messagesDropped, 6)
  t.equal(bench.channel.counters.connectionsDropped, 12)
  t.ok(bench.channel.held)
  bench.channel.held = false
  t.strictSame(bench.drain(9_000), [
    [0, 1],
    [2, 3],
    [4, 5],
    [18, 19]
  ])
  t.strictSame(
    [bench.channel.counters.messagesSent, bench.channel.counters.connectionsSent, bench.channel.counters.bytesSent],
    [4, 8, 4 * 80]
  )
})

t.test('a change of version closes the open message', async (t) => {
  const bench = new Bench()
  bench.add(1, 1_000)
  bench.channel.configure({ ...usual, version: 0 })
  bench.add(2, 1_000)
  t.equal(bench.channel.queued, 1)
  bench.channel.flush()
  const first = bench.channel.poll(1_000)
  const second = bench.channel.poll(1_000)
  t.equal(Buffer.from(first?.bytes.subarray(0, 8) ?? []).toString('hex'), '0007002c01010000')
  t.equal(Buffer.from(second?.bytes.subarray(0, 4) ?? []).toString('hex'), '02070034')
})

t.test('a record longer than sync_maxlen gets its own message', async (t) => {
  const bench = new Bench({ maxlen: 20 })
  bench.add(3, 1_000)
  bench.channel.flush()
  t.strictSame(bench.drain(1_000), [[0], [1], [2]])
})

t.test('a message is closed at 255 connections', async (t) => {
  const bench = new Bench({ maxlen: 65_507 })
  bench.add(600, 1_000)
  bench.channel.flush()
  t.strictSame(
    bench.drain(1_000).map(({ length }) => length),
    [255, 255, 90]
  )
})

t.test('what is given up is counted', async (t) => {
  const bench = new Bench()
  bench.add(5, 1_000)
  t.equal(bench.channel.discard(), 5)
  t.strictSame([bench.channel.open, bench.channel.queued, bench.drain(99_000)], [0, 0, []])
  bench.channel.flush()
  t.strictSame(bench.drain(99_000), [], 'nothing is left to flush')
})

t.test('the queue keeps order over many thousands, and lets go of what has left', async (t) => {
  const queue = new SendQueue()
  const bytes = new Uint8Array()
  let next = 0
  for (let i = 0; i < 10_000; i++) {
    queue.push({ channel: 0, bytes, connections: i })
    if (i % 3 !== 0) {
      if (queue.shift()?.connections !== next++) t.fail('out of order')
    }
  }
  t.equal(queue.length, 10_000 - next)
  while (queue.length > 0) if (queue.shift()?.connections !== next++) t.fail('out of order')
  t.equal(queue.shift(), undefined)
  t.equal(next, 10_000)
})

t.test('whatever happens, in order, nothing twice, nothing too long, and each loss counted', async (t) => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: fc.constant('add' as const), count: fc.integer({ min: 1, max: 40 }) }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('wait' as const), count: fc.integer({ min: 1, max: 1500 }) }) },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constantFrom('hold' as const, 'release' as const, 'version' as const),
        count: fc.constant(0)
      })
    }
  )
  const limits = fc.record({ maxlen: fc.integer({ min: 1, max: 400 }), qlenMax: fc.integer({ min: 0, max: 6 }) })
  fc.assert(
    fc.property(limits, fc.array(step, { maxLength: 60 }), (limit, steps) => {
      const bench = new Bench(limit)
      const sent: number[] = []
      let [now, added, version]: [number, number, 0 | 1] = [1_000, 0, 1]
      const drain = (): void => {
        for (let next = bench.channel.poll(now); next !== undefined; next = bench.channel.poll(now)) {
          if (next.bytes.length > limit.maxlen && next.connections > 1) throw new Error('too long')
          sent.push(...marks(next))
        }
      }
      for (const { do: action, count } of steps) {
        if (action === 'add') {
          bench.add(count, now)
          added += count
        } else if (action === 'wait') now += count
        else if (action === 'version')
          bench.channel.configure({ ...usual, ...limit, version: (version = version === 1 ? 0 : 1) })
        else bench.channel.held = action === 'hold'
        drain()
        if (!bench.channel.held && bench.channel.nextTimeout() <= now) throw new Error('due, and not sent')
      }
      bench.channel.held = false
      bench.channel.flush()
      drain()
      const lost = bench.dropped.flatMap(marks)
      const all = [...sent, ...lost].sort((a, b) => a - b)
      if (all.length !== added || all.some((mark, i) => mark !== i)) throw new Error('lost or repeated')
      if (sent.some((mark, i) => i > 0 && mark <= sent[i - 1]!)) throw new Error('out of order')
      if (bench.channel.counters.connectionsDropped !== lost.length) throw new Error('drops miscounted')
      if (bench.channel.counters.connectionsSent !== sent.length) throw new Error('sends miscounted')
    }),
    { numRuns: 1000, ...(process.env['FUZZ_SEED'] === undefined ? {} : { seed: Number(process.env['FUZZ_SEED']) }) }
  )
  t.pass('1,000 runs')
})

/** UDP payloads of an Ethernet capture without IP options, by destination port, in order. */
function payloads(name: string): Map<number, Buffer[]> {
  const file = readFileSync(new URL(`../fixtures/captures/${name}/sync.pcap`, import.meta.url))
  const found = new Map<number, Buffer[]>()
  for (let at = 24; at < file.length; at += 16 + file.readUInt32LE(at + 8)) {
    const port = file.readUInt16BE(at + 16 + 36)
    const payload = file.subarray(at + 16 + 42, at + 16 + file.readUInt32LE(at + 8))
    found.set(port, [...(found.get(port) ?? []), payload])
  }
  return found
}

/** Lengths of a version 1 message's records, each with the padding before the next. */
function recordLengths(message: Buffer): number[] {
  const lengths: number[] = []
  for (let at = 8; lengths.length < message.readUInt8(4); at += lengths.at(-1)!) {
    lengths.push(((message.readUInt16BE(at + 2) & 0xfff) + 3) & ~3)
  }
  return lengths
}

t.test("records as long as a kernel's are put into messages as the kernel put them", async (t) => {
  const captures = [
    ['burst-maxlen200', 200, 1, 20],
    ['burst-ports4', 1472, 4, 16]
  ] as const
  for (const [name, maxlen, ports, messages] of captures) {
    const channels = payloads(name)
    t.equal(channels.size, ports)
    t.equal([...channels.values()].flat().length, messages)
    for (const [port, sent] of channels) {
      const channel = new Channel(port - 8848, new PlainWriter(), { ...usual, maxlen }, () => t.fail('dropped'))
      for (const length of sent.flatMap(recordLengths)) {
        rows.words[ROW.TIMEOUT] = length - 36
        channel.add(rows, 0, 1_000)
      }
      rows.words[ROW.TIMEOUT] = 0
      channel.flush()
      const ours: string[] = []
      for (let next = channel.poll(1_000); next !== undefined; next = channel.poll(1_000)) {
        ours.push(Buffer.from(next.bytes.subarray(0, 8)).toString('hex'))
      }
      t.strictSame(
        ours,
        sent.map((message) => message.toString('hex', 0, 8)),
        `${name}, port ${String(port)}: the headers`
      )
    }
  }
})
