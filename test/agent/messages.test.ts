// Messages between agents byte by byte, and the small parts of the state machine.
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { AnswerLimiter } from '../../src/agent/protocol/responder.js'
import {
  allowedPieces,
  ArrivalProof,
  costOf,
  messageSum,
  missingIn,
  requestable
} from '../../src/agent/protocol/arrival-proof.js'
import {
  decodeAgentMessage,
  encodeAgentMessage,
  type AgentMessage,
  type OfferMessage
} from '../../src/agent/protocol/messages.js'
import { Offers } from '../../src/agent/protocol/requester.js'
import { paceOf, receiveBufferOf } from '../../src/agent/protocol/pace.js'
import { tableMessages } from '../../src/engine/full-table/bulk-messages.js'
import { ConnectionTable } from '../../src/table/connection-table.js'
import type { Datagram } from '../../src/engine/engine.js'
import { createRows } from '../../src/wire/rows.js'
import { rowFromConnection } from '../../src/wire/row-values.js'
import { TableSender } from '../../src/agent/protocol/table-sender.js'
import { Timers } from '../../src/agent/protocol/timers.js'
import { BackupEngine } from '../../src/engine/backup/backup.js'
import { isAgentMessage } from '../../src/wire/agent-mark.js'
import { messageOf } from '../fixtures/support/agent-world.js'
import { tcpConnection } from '../fixtures/support/connections.js'

/** An offer of 70,000 connections, worked by hand from the layout in messages.ts. */
const OFFER =
  '0005002800010000' +
  '49565341' +
  '01' +
  '03' +
  '0001' +
  '0123456789abcdef' +
  'fedcba9876543210' +
  'deadbeef' +
  '00011170'

const offer: OfferMessage = {
  kind: 'offer',
  from: '0123456789abcdef',
  to: 'fedcba9876543210',
  request: 0xdeadbeef,
  ready: true,
  connections: 70_000
}

function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'hex'))
}

/** The offer's bytes with another kind, figure and words. */
function variant(kind: string, figure: string, words = ''): Uint8Array {
  const size = (40 + words.length / 2).toString(16).padStart(4, '0')
  return hex(OFFER.replace('00050028', `0005${size}`).replace('0103', `01${kind}`).replace('00011170', figure) + words)
}

t.test('every kind is the bytes of its layout, in both directions', (t) => {
  const { connections } = offer
  const { from, to, request, ready } = offer
  const envelope = { from, to, request, ready }
  const cases: [AgentMessage, Uint8Array][] = [
    [offer, hex(OFFER)],
    [{ ...envelope, kind: 'hello', connections, origin: undefined }, variant('01', '00011170')],
    [
      { ...envelope, kind: 'hello', connections, origin: '00c0ffee00000001' },
      variant('01', '00011170', '00c0ffee00000001')
    ],
    [
      {
        ...envelope,
        kind: 'hello',
        connections,
        origin: undefined,
        capacity: { syncSockSize: 1, rmemDefault: 2, rmemMax: 3 }
      },
      variant('01', '00011170', `${'0'.repeat(16)}000000010000000200000003`)
    ],
    [{ ...envelope, kind: 'request', capacity: undefined }, variant('02', '00000000')],
    [
      { ...envelope, kind: 'request', capacity: { syncSockSize: 1, rmemDefault: 212_992, rmemMax: 4_194_304 } },
      variant('02', '00000000', '000000010003400000400000')
    ],
    [{ ...envelope, kind: 'begin', connections }, variant('04', '00011170')],
    [{ ...envelope, kind: 'progress', connections }, variant('05', '00011170')],
    [
      { ...envelope, kind: 'done', connections, messages: 123, round: 2 },
      variant('06', '00011170', '0000007b00000002')
    ],
    [{ ...envelope, kind: 'cancel' }, variant('07', '00000000')],
    [{ ...envelope, kind: 'list', portion: 3, sums: [0x811c9dc5, 7] }, variant('08', '00000003', '811c9dc500000007')],
    [
      { ...envelope, kind: 'repeat', round: 2, pieces: [{ portion: 1, early: 0x80000001, late: 2 }] },
      variant('09', '00000002', '000000018000000100000002')
    ]
  ]
  for (const [message, bytes] of cases) {
    t.strictSame(encodeAgentMessage(message, 5), bytes, message.kind)
    t.strictSame(decodeAgentMessage(bytes), message, message.kind)
  }
  const longer = hex(OFFER.replace('00050028', '0005002b') + '010203')
  t.strictSame(decodeAgentMessage(longer), offer, 'later versions may append')
  t.match(decodeAgentMessage(variant('06', '00000001')), { messages: 0, round: 0 }, 'missing words are 0')
  t.end()
})

t.test('anything but a whole message of a known version and kind decodes to undefined', (t) => {
  const cases: [string, string, boolean][] = [
    ['truncated', `0005001000010000${OFFER.slice(16, 32)}`, true],
    ['empty', '', false],
    ['another magic', OFFER.replace('49565341', '49565342'), false],
    ['another size', OFFER.replace('00050028', '00050029'), false],
    ['with connections', OFFER.replace('00010000', '01010000'), false],
    ['spare not 0', OFFER.replace('00010000', '00010001'), false],
    ['version 0', OFFER.replace(/^00/, '01'), false],
    ['version 2 of the agent protocol', OFFER.replace('4956534101', '4956534102'), true],
    ['kind 0', OFFER.replace('495653410103', '495653410100'), true],
    ['kind 10', OFFER.replace('495653410103', '49565341010a'), true]
  ]
  for (const [name, text, isOurs] of cases) {
    t.equal(decodeAgentMessage(hex(text)), undefined, name)
    t.equal(isAgentMessage(hex(text)), isOurs, `${name}: mark`)
  }
  t.end()
})

t.test('encoding and decoding are inverse', (t) => {
  const id = fc.bigInt(0n, 2n ** 64n - 1n).map((n) => n.toString(16).padStart(16, '0'))
  const number = fc.integer({ min: 0, max: 0xffffffff })
  const envelope = { from: id, to: id, request: number, ready: fc.boolean() }
  const options = { noNullPrototype: true }
  const capacity = fc.option(fc.record({ syncSockSize: number, rmemDefault: number, rmemMax: number }, options), {
    nil: undefined
  })
  const piece = fc.record({ portion: number, early: number, late: number }, options)
  const message: fc.Arbitrary<AgentMessage> = fc.oneof(
    fc.record(
      {
        kind: fc.constant('hello' as const),
        ...envelope,
        connections: number,
        origin: fc.option(
          id.filter((name) => name !== '0000000000000000'),
          { nil: undefined }
        )
      },
      options
    ),
    fc.record({ kind: fc.constant('request' as const), ...envelope, capacity }, options),
    fc.record(
      {
        kind: fc.constantFrom('offer' as const, 'begin' as const, 'progress' as const),
        ...envelope,
        connections: number
      },
      options
    ),
    fc.record(
      { kind: fc.constant('done' as const), ...envelope, connections: number, messages: number, round: number },
      options
    ),
    fc.record({ kind: fc.constant('cancel' as const), ...envelope }, options),
    fc.record(
      { kind: fc.constant('list' as const), ...envelope, portion: number, sums: fc.array(number, { maxLength: 64 }) },
      options
    ),
    fc.record(
      { kind: fc.constant('repeat' as const), ...envelope, round: number, pieces: fc.array(piece, { maxLength: 60 }) },
      options
    )
  )
  fc.assert(
    fc.property(message, fc.integer({ min: 0, max: 255 }), (value, syncid) =>
      isDeepStrictEqual(decodeAgentMessage(encodeAgentMessage(value, syncid)), value)
    ),
    { numRuns: 500, seed: 11 }
  )
  t.end()
})

t.test('a backup ignores messages between agents, and reports other bytes', (t) => {
  const backup = new BackupEngine({ syncid: 5 })
  backup.handleDatagram(hex(OFFER), { address: '10.9.0.1', port: 1 }, 1)
  t.strictSame(backup.counters().warnings, {})
  backup.handleDatagram(hex(OFFER.replace('49565341', '49565342')), { address: '10.9.0.1', port: 1 }, 1)
  t.strictSame(backup.counters().warnings, { LEFTOVER_BYTES: 1 })
  t.end()
})

t.test('arrival is proved message by message', (t) => {
  t.strictSame(
    ['', 'a', 'foobar'].map((text) => messageSum(Buffer.from(text))),
    [0x811c9dc5, 0xe40c292c, 0xbf9cf968],
    'the test vectors of FNV-1a'
  )
  const messages = Array.from({ length: 130 }, (_, number) => messageOf(40, number))
  const sumsOf = (portion: number): number[] => messages.slice(portion * 64, portion * 64 + 64).map(messageSum)
  const proof = new ArrivalProof()
  for (const bytes of messages) proof.handleMessage(bytes, 40)
  for (const bytes of messages.slice(0, 5)) proof.handleMessage(bytes, 40)
  t.equal(proof.connections, 5200, 'duplicates count once')
  const lists = [0, 1, 2].map((portion) => ({ portion, early: 0, late: 0 }))
  t.strictSame(proof.missing(130, 5200), lists, 'the lists are missing')
  t.strictSame([missingIn(lists[0]!), costOf(lists[0]!)], [64, 1])
  for (const portion of [0, 1, 2, 1e9]) proof.handleList(portion, sumsOf(portion))
  t.strictSame(proof.missing(130, 5200), [])
  t.strictSame(proof.missing(131, 5240), lists.slice(2), 'a list that is too short')
  const other = new ArrivalProof()
  for (const portion of [0, 1, 2]) other.handleList(portion, sumsOf(portion))
  for (const [number, bytes] of messages.entries())
    if (![0, 31, 32, 127].includes(number)) other.handleMessage(bytes, 40)
  const pieces = [
    { portion: 0, early: 0x80000001, late: 1 },
    { portion: 1, early: 0, late: 0x80000000 }
  ]
  t.strictSame(other.missing(130, 5200), pieces)
  t.strictSame(
    [pieces.map(missingIn), pieces.map(costOf)],
    [
      [3, 1],
      [3, 1]
    ]
  )
  t.strictSame(allowedPieces(pieces, 130, 4), pieces)
  t.strictSame(allowedPieces(pieces, 130, 3), pieces.slice(0, 1), 'as many as the budget allows')
  const beyond = [...pieces, { portion: 2, early: 4, late: 0 }, { portion: 3, early: 0, late: 0 }]
  t.strictSame(allowedPieces(beyond, 130, 100), pieces, 'beyond the table')
  t.strictSame(allowedPieces(lists.slice(2), 130, 1), lists.slice(2))
  t.equal(requestable(Array.from({ length: 200 }, () => pieces[0]!)).length, 60)
  t.end()
})

t.test('a lost message is requested although another one has its checksum', (t) => {
  // Two messages with equal FNV-1a, found by search.
  const [one, two] = twins()
  t.equal(messageSum(one), messageSum(two))
  const third = messageOf(3, 7)
  const proof = new ArrivalProof()
  proof.handleMessage(one, 10)
  proof.handleMessage(third, 3)
  proof.handleList(0, [one, third, two].map(messageSum))
  t.strictSame(proof.missing(3, 23), [{ portion: 0, early: 0b101, late: 0 }])
  t.strictSame(proof.missing(3, 23), [], 'once')
  proof.handleMessage(two, 10)
  t.equal(proof.connections, 23)
  t.end()
})

function twins(): [Uint8Array, Uint8Array] {
  const seen = new Map<number, Uint8Array>()
  for (let number = 0; ; number++) {
    const bytes = messageOf(10, Math.imul(number, 0x9e3779b1))
    const twin = seen.get(messageSum(bytes))
    if (twin !== undefined) return [twin, bytes]
    seen.set(messageSum(bytes), bytes)
  }
}

t.test('the limiter allows a burst, then one answer an interval, and takes refunds', (t) => {
  const limiter = new AnswerLimiter(1000, 1)
  t.strictSame(
    [limiter.take('a', 1), limiter.take('a', 1), limiter.take('b', 1), limiter.take('c', 1)],
    [true, false, true, false]
  )
  t.strictSame([limiter.isOpen('c', 501), limiter.isOpen('a', 501), limiter.isOpen('a', 1001)], [true, false, true])
  limiter.refund('a', 1, 501)
  t.ok(limiter.isOpen('a', 501))
  limiter.refund('unknown', 1, 501)
  t.end()
})

t.test('timers: the earliest first, each once', (t) => {
  const timers = new Timers<'a' | 'b' | 'c'>()
  t.strictSame([timers.next(), timers.take(1e9)], [Infinity, undefined])
  timers.set('a', 30)
  timers.set('b', 10)
  timers.set('c', 20)
  timers.setOnce('c', 5)
  t.equal(timers.next(), 10)
  t.strictSame(
    [timers.take(9), timers.take(30), timers.take(30), timers.take(30), timers.take(30)],
    [undefined, 'b', 'c', 'a', undefined]
  )
  timers.set('a', 1)
  timers.set('a', Infinity)
  timers.set('b', 10)
  timers.set('c', 10)
  t.equal(timers.take(10), 'b', 'equal deadlines in the order in which they were set')
  timers.clear()
  t.equal(timers.next(), Infinity)
  t.end()
})

t.test('offers are spread over addresses, and failed addresses come last', (t) => {
  const offers = new Offers()
  const add = (id: string, address: string, connections: number, ready = true): void =>
    offers.add({ id, source: { address, port: 1 }, connections, ready })
  t.equal(offers.best(), undefined)
  for (let i = 0; i < 40; i++) add(`f${i}`, '10.9.0.66', 4e9)
  add('good', '10.9.0.1', 5)
  t.equal(offers.size, 16, 'the flood made room')
  t.match(offers.best(), { source: { address: '10.9.0.66' } })
  offers.addFailure({ address: '10.9.0.66', port: 1 })
  t.equal(offers.best()!.id, 'good')
  add('small', '10.9.0.2', 4)
  add('large', '10.9.0.3', 9, false)
  t.equal(offers.best()!.id, 'good', 'ready before large')
  add('equal', '10.9.0.4', 5)
  t.equal(offers.best()!.id, 'equal', 'the lowest name')
  for (let i = 0; i < 100; i++) offers.addFailure({ address: `10.8.0.${i}`, port: 1 })
  offers.clear()
  t.equal(offers.size, 0)
  for (let i = 0; i < 16; i++) add(`a${i}`, `10.7.0.${i}`, 1)
  add('late', '10.7.0.99', 1)
  t.equal(offers.size, 16, 'full, and each address has one')
  t.end()
})

t.test('the pace follows the smallest receive buffer', (t) => {
  const capacity = (syncSockSize: number, rmemDefault: number, rmemMax: number) => ({
    syncSockSize,
    rmemDefault,
    rmemMax
  })
  t.strictSame(
    [capacity(0, 0, 0), capacity(0, 4e6, 1), capacity(1e6, 1, 5e5), capacity(1e6, 1, 0)].map(receiveBufferOf),
    [212_992, 4e6, 1e6, 2e6]
  )
  t.match(paceOf(1472, undefined, [undefined]), { rate: 460 })
  t.match(paceOf(1472, undefined, []), { rate: 460 }, 'Linux’s default')
  const large = capacity(4 << 20, 212_992, 4 << 20)
  t.match(paceOf(1472, undefined, [large]), { rate: 4000 })
  t.match(paceOf(1472, undefined, [large, undefined]), { rate: 460 })
  t.match(paceOf(1472, undefined, [capacity(0, 1, 1)]), { rate: 10, burst: 1 })
  t.match(paceOf(1472, 1000, [large]), { rate: 1000, burst: 20 })
  t.ok(paceOf(1472, 1e9, []).burst < 2000)
  t.end()
})

t.test('a table is sent at its pace, each portion with its list, and again in parts', (t) => {
  const table = new ConnectionTable({ maxConnections: 3000 })
  const rows = createRows(1)
  for (let i = 0; i < 3000; i++) {
    rowFromConnection(tcpConnection(i, { timeout: 900 }), rows, 0)
    table.upsert(rows, 0, 1)
  }
  const source = (): Iterator<Datagram | undefined, void> =>
    tableMessages(table, { version: 1, syncid: 5, maxLength: 1472, channels: 1 })[Symbol.iterator]() as Iterator<
      Datagram | undefined,
      void
    >
  const pace = { rate: 1000, burst: 10, costOf: () => 1 }
  const sender = new TableSender(source(), pace, (portion) => Uint8Array.of(portion), 1)
  const drain = (): number[] => {
    const counts: number[] = []
    for (let next = sender.poll(); next !== undefined; next = sender.poll()) counts.push(next.connections)
    return counts
  }
  let now = 1
  while (sender.nextTimeout() === now + 1) sender.handleTimeout(++now)
  t.ok(now > 2, 'reading takes several steps')
  t.strictSame([sender.messages, sender.connections, sender.isDone], [75, 3000, false])
  t.equal(sender.nextTimeout(), Infinity, 'a message waits to be polled')
  t.equal(drain().length, 10)
  t.equal(sender.nextTimeout(), now + 1)
  sender.slowDown({ ...pace, rate: 2000 }, now)
  sender.slowDown({ ...pace, rate: 100, burst: 1 }, now)
  t.equal(drain().length, 1)
  t.equal(sender.nextTimeout(), now + 1)
  const rest: number[] = []
  while (!sender.isDone) {
    sender.handleTimeout(++now)
    rest.push(...drain())
  }
  t.ok(now > 600, '64 messages at 100 a second')
  t.equal(rest.filter((count) => count === 0).length, 2, 'two lists')
  t.equal(sender.sent, 3000)
  t.equal(sender.nextTimeout(), Infinity)
  sender.repeat(
    [
      { portion: 1, early: 0, late: 0 },
      { portion: 0, early: 5, late: 0 }
    ],
    now + 10_000
  )
  t.equal(drain().length, 2, 'a list, and the message that the burst allows')
  sender.handleTimeout(now + 20_000)
  t.equal(drain().length, 2)
  t.equal(sender.sent, 80)
  const byConnection = new TableSender(
    source(),
    { rate: 400, burst: 40, costOf: ({ connections }: { connections: number }) => connections },
    () => new Uint8Array(1),
    1
  )
  for (let step = 2; byConnection.messages < 75; step++) byConnection.handleTimeout(step)
  byConnection.handleTimeout(100)
  t.ok(byConnection.poll())
  t.equal(byConnection.poll(), undefined)
  t.end()
})
