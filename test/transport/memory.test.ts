// The memory network: chance by seed, virtual time, nothing lost without being counted.
import fc from 'fast-check'
import t from 'tap'
import { seededChance } from '../../src/transport/chance.js'
import { MemoryNetwork, type MemoryNetworkOptions } from '../../src/transport/memory.js'

interface Heard {
  readonly at: number
  readonly byte: number
  readonly channel: number
  readonly from: string
}

/** Sends `count` numbered datagrams, one a millisecond, and gives what another member hears. */
function run(options: MemoryNetworkOptions, count: number): { heard: Heard[]; network: MemoryNetwork } {
  const network = new MemoryNetwork(options)
  const heard: Heard[] = []
  const master = network.open('10.0.0.1', 4000)
  const backup = network.open('10.0.0.2')
  void master.start({})
  backup.listen({
    onDatagram: (bytes, from, channel) =>
      heard.push({ at: network.now, byte: bytes[0]! + 256 * bytes[1]!, channel, from: `${from.address}:${from.port}` })
  })
  for (let i = 0; i < count; i++) {
    master.send(i % master.channels, Uint8Array.of(i & 255, i >> 8))
    network.advance(network.now + 1)
  }
  for (let next = network.nextTimeout(); next !== undefined; next = network.nextTimeout()) network.advance(next)
  return { heard, network }
}

t.test('without faults every datagram arrives once, in order, at once, on its channel', async (t) => {
  const { heard, network } = run({ channels: 4 }, 8)
  t.strictSame(
    heard.map(({ at, byte, channel, from }) => [at, byte, channel, from]),
    [0, 1, 2, 3, 4, 5, 6, 7].map((i) => [1 + i, i, i % 4, '10.0.0.1:4000'])
  )
  t.strictSame(network.counters, { sent: 8, lost: 0, duplicated: 0, reordered: 0, delivered: 8 })
})

t.test('loss, duplication, delay and reordering happen about as often as asked', async (t) => {
  const { heard, network } = run(
    { seed: 3, loss: 0.2, duplication: 0.1, delayMs: [5, 5], reordering: 0.25, reorderMs: 40 },
    10_000
  )
  const { lost, duplicated, reordered, delivered } = network.counters
  t.ok(Math.abs(lost - 2000) < 200, `lost ${lost}`)
  t.ok(Math.abs(duplicated - 800) < 120, `duplicated ${duplicated}`)
  t.ok(Math.abs(reordered - 2200) < 250, `reordered ${reordered}`)
  t.equal(delivered, 10_000 - lost + duplicated)
  t.equal(heard.length, delivered)
  t.strictSame(
    [...new Set(heard.map(({ at, byte }) => at - 1 - byte))].sort((a, b) => a - b),
    [5, 45]
  )
})

t.test('any seed repeats itself, keeps time in order and accounts for every copy', async () => {
  const chance = fc.double({ min: 0, max: 1, noNaN: true })
  const options = fc.record({
    seed: fc.integer(),
    loss: chance,
    duplication: chance,
    reordering: chance,
    delayMs: fc.tuple(fc.nat(20), fc.nat(20)).map(([least, more]) => [least, least + more] as const)
  })
  fc.assert(
    fc.property(options, fc.nat(60), (options, count) => {
      const one = run(options, count)
      const other = run(options, count)
      const { sent, duplicated, lost, delivered } = one.network.counters
      return (
        JSON.stringify(one.heard) === JSON.stringify(other.heard) &&
        one.heard.every(({ at }, i) => i === 0 || at >= one.heard[i - 1]!.at) &&
        sent === count &&
        sent + duplicated === lost + delivered
      )
    }),
    { numRuns: 200 }
  )
})

t.test('different seeds give different luck, and numbers stay within 0 and 1', async (t) => {
  const one = seededChance(1)
  const two = seededChance(2)
  const numbers = Array.from({ length: 1000 }, () => [one(), two()] as const)
  t.ok(numbers.every(([a, b]) => a >= 0 && a < 1 && b >= 0 && b < 1 && a !== b))
})

t.test('every member but the sender gets its own copy', async (t) => {
  const network = new MemoryNetwork()
  const got: Uint8Array[] = []
  const members = ['10.0.0.1', '10.0.0.2', '10.0.0.3'].map((address) => network.open(address))
  for (const member of members) member.listen({ onDatagram: (bytes) => got.push(bytes) })
  const sent = Uint8Array.of(1)
  members[0]!.send(0, sent)
  sent[0] = 9
  network.advance(0)
  t.equal(network.now, 1, 'time does not go back')
  t.strictSame(got, [Uint8Array.of(1), Uint8Array.of(1)])
  t.not(got[0]!.buffer, got[1]!.buffer)
})

t.test('a member that left loses what was under way to it', async (t) => {
  const network = new MemoryNetwork({ delayMs: [10, 10] })
  const master = network.open('10.0.0.1')
  const backup = network.open('10.0.0.2')
  master.listen({})
  backup.listen({ onDatagram: () => t.fail('it had left') })
  master.send(0, Uint8Array.of(1))
  await backup.close()
  network.advance(100)
  t.strictSame(network.counters, { sent: 1, lost: 1, duplicated: 0, reordered: 0, delivered: 0 })
  t.equal(backup.writable(0), false)
})

t.test('a blocked channel refuses, and says when it is free', async (t) => {
  const freed: number[] = []
  const network = new MemoryNetwork({ channels: 2 })
  const master = network.open('10.0.0.1')
  await master.start({ onWritable: (channel) => freed.push(channel) })
  master.block(1)
  t.strictSame([master.writable(0), master.writable(1)], [true, false])
  t.throws(() => master.send(1, Uint8Array.of(1)), { code: 'ERR_USAGE' })
  master.block(1, false)
  master.block(1, false)
  t.strictSame(freed, [1])
  t.throws(() => master.send(2, Uint8Array.of(1)), { code: 'ERR_USAGE' })
  t.throws(() => master.send(-1, Uint8Array.of(1)), { code: 'ERR_USAGE' })
  master.send(1, Uint8Array.of(1))
  await master.flush()
  t.equal(master.receiveDrops(), 0)
  t.equal(master.description, 'memory network, 10.0.0.1:8848')
})

t.test('chances outside 0…1 and ranges turned round are refused', async (t) => {
  for (const name of ['loss', 'duplication', 'reordering']) {
    for (const value of [-0.1, 1.1, NaN]) {
      t.throws(() => new MemoryNetwork({ [name]: value }), { code: 'ERR_CONFIG', field: name })
    }
  }
  for (const delayMs of [
    [5, 4],
    [-1, 4],
    [NaN, 4]
  ] as const) {
    t.throws(() => new MemoryNetwork({ delayMs }), { code: 'ERR_CONFIG', field: 'delayMs' })
  }
})
