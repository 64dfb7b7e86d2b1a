// A master from its inputs to its messages: what is considered, in which order, what is reported and counted.
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { channelOf } from '../../src/engine/channel-of.js'
import type { ConnectionChange } from '../../src/engine/master/connection-change.js'
import { Controllers, MasterEngine } from '../../src/engine/master/master.js'
import { ANSWER, ANSWERS, type MasterAnswer } from '../../src/engine/master/counters.js'
import type { MasterSettings } from '../../src/engine/master/options.js'
import type { MasterEngineOptions, PacketDetails } from '../../src/engine/master/options.js'
import type { EngineEvent } from '../../src/engine/events.js'
import { ConnectionTable } from '../../src/table/connection-table.js'
import { decodeMessage } from '../../src/wire/decode-message.js'
import { createRows, PRESENT, ROW } from '../../src/wire/rows.js'
import { tcpConnection } from '../fixtures/support/connections.js'
import { PlainTable } from '../fixtures/support/plain-table.js'
import { flagsOf, marks } from '../fixtures/support/plain-writer.js'

const TEMPLATE = 0x1000
const T0 = 100_000

const usual: MasterSettings = {
  syncThreshold: [3, 50],
  syncRefreshPeriod: 0,
  syncRetries: 0,
  syncPersistMode: 0,
  syncVersion: 1,
  syncPorts: 1,
  syncQlenMax: 100
}

interface Shape {
  client: number
  family?: number
  protocol?: number
  flags?: number
  state?: number
  destination?: number
  timeout?: number
  present?: number
}

/** A row with the client's address as its mark. */
function rowOf(shape: Shape): ReturnType<typeof createRows> {
  const rows = createRows(1)
  rows.count = 1
  const { words } = rows
  words[ROW.FAMILY] = shape.family ?? 4
  words[ROW.PROTOCOL] = shape.protocol ?? 6
  words[ROW.FLAGS] = shape.flags ?? 0
  words[ROW.STATE] = shape.state ?? 1
  // A connection has a client's port; without one it would need NO_CPORT to be found again.
  words[ROW.CLIENT_PORT] = (shape.flags ?? 0) & TEMPLATE ? 0 : 40_000
  words[ROW.CLIENT] = shape.client
  words[ROW.DESTINATION] = shape.destination ?? 0x0a020002
  words[ROW.TIMEOUT] = shape.timeout ?? 900
  words[ROW.PRESENT] = shape.present ?? 0
  return rows
}

class Bench {
  readonly table: PlainTable
  readonly engine: MasterEngine

  constructor(
    settings: Partial<MasterSettings> = {},
    options: Partial<MasterEngineOptions> = {},
    table = new PlainTable()
  ) {
    this.table = table
    this.engine = new MasterEngine({
      syncid: 7,
      settings: { ...usual, ...settings },
      ...options,
      table: this.table.asTable()
    })
  }

  packet(shape: Shape, now = T0, details: PacketDetails = {}): MasterAnswer {
    return ANSWERS[this.engine.handleRow(rowOf(shape), 0, now, details)]!
  }

  slot(shape: Shape): number {
    return this.table.find(rowOf(shape), 0)
  }

  /** The marks of everything that leaves, one list a message. */
  sent(): number[][] {
    const out: number[][] = []
    for (let next = this.engine.pollTransmit(); next; next = this.engine.pollTransmit()) out.push(marks(next))
    return out
  }

  /** All marks that leave once it is closed. */
  flushed(now = T0): number[] {
    this.engine.close(now)
    return this.sent().flat()
  }

  events(): EngineEvent[] {
    const out: EngineEvent[] = []
    for (let next = this.engine.pollEvent(); next; next = this.engine.pollEvent()) out.push(next)
    return out
  }
}

t.test('every packet from the client is considered: the third is announced', async (t) => {
  const bench = new Bench()
  t.strictSame(
    [1, 2, 3, 4].map((i) => bench.packet({ client: 1 }, T0 + i)),
    ['packet-count-not-met', 'packet-count-not-met', 'packet-count', 'packet-count-not-met']
  )
  t.strictSame(
    [bench.packet({ client: 1, state: 4 }), bench.packet({ client: 1, state: 4 })],
    ['state-changed', 'packet-count-not-met']
  )
  t.equal(bench.packet({ client: 1 }, T0, { packets: 53 }), 'packet-count', 'the counter can be given')
  t.equal(bench.packet({ client: 2, flags: 0x2000 }, T0, { packets: 3 }), 'one-packet')
  const counters = bench.engine.counters()
  t.strictSame([counters.sent, counters.suppressed, counters.held, counters.dropped], [3, 5, 3, 0])
  t.equal(counters.answers['packet-count-not-met'], 4)
  t.strictSame(bench.flushed(), [1, 1, 1])
  t.equal(bench.engine.counters().channels[0]?.messagesSent, 1)
})

t.test('the fast path by slot: a new state takes its own timeout, unless one is given', async (t) => {
  const bench = new Bench()
  bench.packet({ client: 1, timeout: 77 })
  const slot = bench.slot({ client: 1 })
  t.equal(bench.engine.handlePacket(slot, 1, T0), 5)
  t.equal(bench.table.timeoutMs(slot), 77_000)
  t.equal(ANSWERS[bench.engine.handlePacket(slot, 4, T0)], 'state-changed')
  t.equal(bench.table.timeoutMs(slot), 120_000)
  t.equal(ANSWERS[bench.engine.handlePacket(slot, 5, T0, 9_000)], 'state-changed')
  t.equal(bench.table.timeoutMs(slot), 9_000)
  t.strictSame(
    [bench.table.lastSyncedState(slot), bench.table.endTimeMs(slot), bench.table.packets(slot)],
    [5, T0 + 9_000, 4]
  )
})

t.test('retries are counted, and a send that is none begins anew', async (t) => {
  const bench = new Bench({ syncThreshold: [3, 0], syncRefreshPeriod: 10, syncRetries: 2 })
  const at = [0, 500, 1_250, 2_000, 3_000, 10_000, 20_000]
  t.strictSame(
    at.map((after) => bench.packet({ client: 1 }, T0 + after)),
    ['refresh', 'retry-too-early', 'retry', 'retry-too-early', 'retry', 'fresh', 'refresh']
  )
})

function persistent(settings: Partial<MasterSettings> = {}): Bench & { controller: number } {
  const bench = new Bench(settings)
  bench.packet({ client: 100, flags: TEMPLATE, timeout: 300 })
  return Object.assign(bench, { controller: bench.slot({ client: 100, flags: TEMPLATE }) })
}

t.test('version 1: after each packet of a connection its template is considered, and counts the packet', async (t) => {
  const bench = persistent()
  const { controller } = bench
  t.equal(bench.packet({ client: 1 }, T0, { controller }), 'packet-count-not-met')
  t.equal(bench.packet({ client: 1 }, T0, { packets: 3, controller }), 'packet-count')
  t.equal(bench.packet({ client: 1, flags: 0x2000 }, T0), 'one-packet', 'also after one that is never announced')
  t.equal(bench.table.packets(controller), 4)
  t.strictSame(bench.flushed(), [100, 100, 1, 100, 100], 'the template behind its connection')
})

t.test('version 0: the template only when its connection was just sent', async (t) => {
  const bench = persistent({ syncVersion: 0 })
  const { controller } = bench
  bench.packet({ client: 1 }, T0, { controller })
  bench.packet({ client: 1 }, T0, { packets: 3 })
  t.strictSame(bench.flushed(), [100, 1, 100])
})

t.test('version 0 leaves IPv6 out, also when announcing', async (t) => {
  const bench = new Bench({ syncVersion: 0 })
  t.equal(bench.packet({ client: 1, family: 6 }, T0, { packets: 3 }), 'ipv6-in-version-0')
  t.equal(bench.engine.announceSlots(bench.table.entries.keys(), T0), 0)
  t.strictSame([bench.engine.counters().suppressed, bench.flushed()], [2, []])
})

t.test('sync_persist_mode leaves connections to their template, over any number of steps', async (t) => {
  const bench = persistent({ syncPersistMode: 1 })
  const { controller } = bench
  t.equal(bench.packet({ client: 1 }, T0, { packets: 3, controller }), 'under-template')
  const between = bench.slot({ client: 1 })
  t.equal(bench.packet({ client: 2 }, T0, { packets: 3, controller: between }), 'under-template')
  t.equal(bench.packet({ client: 3 }, T0, { packets: 3 }), 'packet-count')
  t.equal(bench.packet({ client: 4 }, T0, { packets: 3, controller: bench.slot({ client: 3 }) }), 'packet-count')
  t.equal(
    bench.engine.counters().answers['packet-count'],
    3,
    'a controller that is no template is held to be at the threshold'
  )
  t.strictSame(bench.flushed(), [100, 100, 100, 3, 4, 3])
})

t.test("a template's timer restarts with each new connection, not with each packet", async (t) => {
  const bench = persistent()
  const { controller } = bench
  bench.packet({ client: 1 }, T0 + 1_000, { controller })
  t.equal(bench.table.entries.get(controller)?.deadline, T0 + 301_000)
  bench.packet({ client: 1 }, T0 + 2_000, { controller })
  t.equal(bench.table.entries.get(controller)?.deadline, T0 + 301_000)
  bench.packet({ client: 2 }, T0 + 3_000, { controller })
  t.equal(bench.table.entries.get(controller)?.deadline, T0 + 303_000)
})

t.test(
  'an entry whose timeout has ended lives 60 s more if it controls others, and is considered for that',
  async (t) => {
    const bench = persistent()
    const { controller } = bench
    bench.packet({ client: 1, timeout: 900 }, T0, { controller })
    const before = bench.engine.counters().sent
    bench.engine.handleTimeout(T0 + 300_000)
    t.equal(bench.table.entries.get(controller)?.deadline, T0 + 360_000)
    t.equal(bench.table.timeoutMs(controller), 60_000)
    t.equal(bench.engine.counters().sent, before + 1)
    t.equal(bench.engine.nextTimeout(), T0 + 300_000, 'what is 300 s old in the open message is due')
    t.strictSame(bench.sent().flat(), [100, 100, 100])
    t.equal(bench.engine.nextTimeout(), T0 + 360_000)
    bench.engine.handleTimeout(T0 + 900_000)
    bench.engine.handleTimeout(T0 + 960_000)
    t.equal(bench.table.entries.size, 0)
    t.strictSame(
      bench.events().map((event) => event.type === 'connection' && event.change),
      ['expired', 'expired']
    )
    t.strictSame([bench.engine.counters().answers.expired, bench.engine.counters().answers.extended], [2, 2])
  }
)

t.test('an end told by the caller removes, or extends', async (t) => {
  const bench = persistent()
  bench.packet({ client: 1 }, T0, { controller: bench.controller })
  t.equal(ANSWERS[bench.engine.expire(bench.controller, T0)], 'extended')
  t.equal(ANSWERS[bench.engine.expire(bench.slot({ client: 1 }), T0)], 'expired')
  t.equal(ANSWERS[bench.engine.expire(bench.controller, T0)], 'expired')
  t.equal(bench.table.entries.size, 0)
})

t.test('another destination is another connection; what it controlled is free', async (t) => {
  const bench = persistent()
  bench.packet({ client: 1 }, T0, { packets: 10, controller: bench.controller })
  bench.packet({ client: 100, flags: TEMPLATE, destination: 5 }, T0)
  const sent = bench.engine.counters().sent
  t.equal(bench.packet({ client: 1 }, T0, { packets: 11 }), 'packet-count-not-met')
  t.equal(bench.engine.counters().sent, sent, 'no template is considered')
  bench.packet({ client: 1, destination: 5 }, T0)
  t.equal(bench.table.packets(bench.slot({ client: 1 })), 1)
  t.equal(bench.table.entries.size, 2)
})

t.test("a persistence engine's data without a real server is not sent, and the chain stops there", async (t) => {
  const bench = persistent()
  const sip = { client: 9, flags: TEMPLATE, present: PRESENT.ENGINE }
  t.equal(bench.packet({ ...sip, destination: 0 }, T0, { controller: bench.controller }), 'no-real-server')
  t.equal(bench.packet({ ...sip, client: 10 }, T0), 'template')
  t.equal(bench.packet({ ...sip, client: 11, family: 6, destination: 0 }), 'no-real-server')
  t.equal(bench.packet({ ...sip, client: 12, family: 6 }), 'template')
  t.strictSame(bench.flushed(), [100, 10, 12])
})

t.test('a full table refuses, and says so', async (t) => {
  const bench = new Bench({}, {}, new PlainTable(1))
  bench.packet({ client: 1 })
  t.equal(bench.packet({ client: 2 }), 'table-full')
  t.equal(bench.engine.counters().answers['table-full'], 1)
})

t.test('a table is announced without asking: templates first, learned ones with SYNC, without HASHED', async (t) => {
  const table = new PlainTable()
  const learned = [
    { client: 1, flags: 0x60 },
    { client: 2, flags: 0x2000 },
    { client: 3, flags: TEMPLATE | 0x20 }
  ]
  for (const shape of learned) table.add(rowOf(shape), 0, T0)
  const bench = new Bench({}, { syncMaxlen: 8 + 36 }, table)
  bench.engine.announceTable(T0, { rate: 1000 })
  bench.engine.handleTimeout(T0)
  t.equal(bench.engine.announceSlots([bench.slot({ client: 1 })], T0), 1)
  bench.engine.close(T0)
  const messages = [bench.engine.pollTransmit(), bench.engine.pollTransmit(), bench.engine.pollTransmit()]
  t.strictSame(
    messages.map((message) => message && [marks(message), flagsOf(message)]),
    [
      [[3], 0x1020],
      [[1], 0x20],
      [[1], 0x20]
    ]
  )
  t.equal(bench.engine.counters().answers.announced, 3)
})

t.test('links: no entry stands under itself; a new controller takes over; what is gone frees both sides', async (t) => {
  const bench = persistent()
  bench.packet({ client: 1 }, T0, { controller: bench.controller })
  const slot = bench.slot({ client: 1 })
  t.throws(() => bench.engine.control(slot, slot), { code: 'ERR_USAGE', field: 'controlledBy' })
  t.throws(() => bench.engine.control(bench.controller, slot), { code: 'ERR_USAGE' })
  bench.table.remove(bench.controller)
  const links = new Controllers()
  t.strictSame([links.link(1, 3), links.link(2, 3), links.count(3)], [true, true, 2])
  t.ok(links.link(1, 4))
  t.strictSame([links.of(1), links.count(3), links.count(4)], [4, 1, 1])
  links.drop(3)
  t.strictSame([links.of(2), links.count(3), links.of(1)], [0, 0, 4])
  links.unlink(2)
  t.equal(links.of(1), 4)
})

t.test('full queues: drops are reported and counted exactly, and the rest arrives', async (t) => {
  const bench = new Bench({ syncQlenMax: 8 }, { syncMaxlen: 8 + 36, maxEvents: 5 })
  bench.engine.hold(0, true)
  for (let client = 1; client <= 30; client++) bench.packet({ client }, T0, { packets: 3 })
  t.strictSame(bench.sent(), [])
  const counters = bench.engine.counters()
  t.strictSame([counters.sent, counters.dropped, counters.held, counters.eventsLost], [30, 21, 9, 16])
  t.strictSame(bench.events()[0], { type: 'dropped', channel: 0, messages: 1, connections: 1 })
  bench.engine.hold(0, false)
  t.strictSame(bench.flushed(), [1, 2, 3, 4, 5, 6, 7, 8, 30])
})

function spread(t: Test, ports: number): void {
  const bench = new Bench({ syncPorts: ports }, {})
  const count = Math.min(ports, 64)
  for (let client = 1; client <= 3_200; client++)
    bench.packet({ client: client * 256, family: client % 2 ? 4 : 6 }, T0, { packets: 3 })
  bench.engine.close(T0)
  const byChannel = new Map<number, number>()
  for (let next = bench.engine.pollTransmit(); next; next = bench.engine.pollTransmit()) {
    byChannel.set(next.channel, (byChannel.get(next.channel) ?? 0) + next.connections)
  }
  t.equal(byChannel.size, count)
  const most = Math.max(...byChannel.values())
  t.ok(most < (2 * 3_200) / count, `${String(ports)} ports: spread evenly`, { most })
}

t.test('a connection keeps its channel, and connections are spread over all of them', async (t) => {
  for (const ports of [1, 4, 64, 128]) spread(t, ports)
  const rows = rowOf({ client: 5 })
  const channel = channelOf(rows, 0, 63)
  rows.words[ROW.STATE] = 4
  rows.words[ROW.FLAGS] = 0x100
  rows.words[ROW.DESTINATION] = 1
  t.equal(channelOf(rows, 0, 63), channel)
})

t.test('channels are polled in turn, or one by its number', async (t) => {
  const bench = new Bench({ syncPorts: 2 }, { syncMaxlen: 44 })
  for (let client = 1; client <= 8; client++) bench.packet({ client: client * 7 }, T0, { packets: 3 })
  bench.engine.close(T0)
  t.strictSame(
    [bench.engine.pollTransmit(), bench.engine.pollTransmit()].map((datagram) => datagram?.channel),
    [0, 1]
  )
  t.equal(bench.engine.pollTransmit(1)?.channel, 1)
  t.throws(() => bench.engine.pollTransmit(2), { code: 'ERR_USAGE', field: 'channel' })
})

t.test(
  'settings are taken whole or not at all; sync_ports waits for the next start, and an event says so',
  async (t) => {
    const bench = new Bench()
    bench.engine.configure({ ...usual, syncQlenMax: 5 })
    t.strictSame(bench.events(), [], 'nothing to say')
    bench.engine.configure({ ...usual, syncThreshold: [1, 2], syncPorts: 4, syncVersion: 0 })
    t.strictSame(
      bench.events().map((event) => event.type === 'notice' && event.code),
      ['SYNC_PORTS_LATCHED']
    )
    t.equal(bench.packet({ client: 1 }), 'packet-count')
    t.throws(() => bench.engine.configure({ ...usual, syncThreshold: [3, 2], syncVersion: 1 }), { code: 'ERR_CONFIG' })
    bench.packet({ client: 1 })
    t.equal(bench.packet({ client: 1 }), 'packet-count')
    bench.engine.configure({ ...usual, syncPorts: 4, syncVersion: 0 })
    t.equal(bench.events().length, 1, 'still not what runs')
    t.strictSame(bench.flushed(), [1, 1])
  }
)

t.test('what a kernel would refuse is refused, by the name that its user knows', async (t) => {
  const wrong: readonly [Partial<MasterSettings>, Partial<MasterEngineOptions>, string][] = [
    [{ syncVersion: 2 }, {}, 'sync_version'],
    [{ syncPorts: 3 }, {}, 'sync_ports'],
    [{ syncPorts: 0 }, {}, 'sync_ports'],
    [{ syncQlenMax: -1 }, {}, 'sync_qlen_max'],
    [{}, { syncid: 256 }, 'syncid'],
    [{}, { syncMaxlen: 65_508 }, 'sync_maxlen']
  ]
  for (const [settings, options, field] of wrong)
    t.throws(() => new Bench(settings, options), { code: 'ERR_CONFIG', field })
  t.throws(() => new MasterEngine(undefined as never), { code: 'ERR_USAGE', field: 'options' })
})

t.test('settings and a table that are not given are the defaults', async (t) => {
  const engine = new MasterEngine({ syncid: 7, settings: { syncThreshold: [1, 50] } })
  t.equal(engine.handleConnection(web, T0), 'packet-count')
  t.strictSame([engine.table.size, engine.counters().channels.length], [1, 1])
  engine.configure({ syncThreshold: [2, 50] })
  t.equal(engine.handleConnection(web, T0), 'packet-count', 'what else was set stays')
  t.throws(() => engine.configure({ syncVersion: 3 }), { code: 'ERR_CONFIG', field: 'sync_version' })
})

t.test('closing sends what is held, or gives it up and counts it; after it nothing goes in', async (t) => {
  const bench = new Bench({}, { syncMaxlen: 44 })
  for (let client = 1; client <= 3; client++) bench.packet({ client }, T0, { packets: 3 })
  t.equal(bench.engine.nextTimeout(), T0 + 20)
  bench.engine.close(T0, { discard: true })
  bench.engine.close(T0)
  t.strictSame([bench.sent(), bench.engine.counters().discarded, bench.engine.nextTimeout()], [[], 3, Infinity])
  t.throws(() => bench.packet({ client: 1 }), { code: 'ERR_USAGE' })
  bench.engine.handleTimeout(T0 + 2_000_000)
  t.equal(bench.table.entries.size, 3, 'a timer that was still armed does no harm')
})

t.test('a clock that goes back is held', async (t) => {
  const bench = new Bench()
  bench.packet({ client: 1 }, T0)
  bench.packet({ client: 1 }, T0 - 50_000)
  t.equal(bench.table.entries.get(1)?.deadline, T0 + 900_000)
})

t.test('expiry can be left to another engine; events that nobody polls cost a fixed amount', async (t) => {
  const other = new Bench({}, { expires: false })
  other.packet({ client: 1, timeout: 1 })
  other.engine.handleTimeout(T0 + 5_000)
  t.strictSame([other.table.entries.size, other.engine.nextTimeout()], [1, Infinity])
  const bench = new Bench({}, { maxEvents: 1 })
  for (const client of [1, 2]) bench.packet({ client, timeout: 1 })
  bench.engine.handleTimeout(T0 + 5_000)
  t.strictSame([bench.events().length, bench.engine.counters().eventsLost], [1, 1])
  t.equal(ANSWERS[ANSWER.NOT_IN_TABLE], 'not-in-table')
})

const web: ConnectionChange = {
  family: 'ipv4',
  protocol: 'TCP',
  client: { address: '10.1.0.2', port: 38988 },
  virtual: { address: '10.1.0.1', port: 80 },
  destination: { address: '10.2.0.2', port: 80 },
  forwarding: 'MASQ',
  flags: [],
  state: 'ESTABLISHED'
}
const template: ConnectionChange = {
  ...web,
  client: { address: '10.1.0.0', port: 0 },
  flags: ['TEMPLATE'],
  state: 'ASSURED',
  timeout: 300
}

t.test('connections as values: bytes worked by hand', async (t) => {
  const bench = new Bench()
  t.equal(bench.engine.handleConnection({ ...web, packets: 3, fwmark: 5 }, T0), 'packet-count')
  t.equal(bench.engine.handleConnection({ ...web, state: 'FIN_WAIT', fwmark: 5, timeout: 99 }, T0), 'state-changed')
  bench.engine.close(T0)
  const record = (state: string, timeout: string): string =>
    `00060024 00000000 ${state} 984c 0050 0050 00000005 ${timeout} 0a010002 0a010001 0a020002`
  t.equal(
    Buffer.from(bench.engine.pollTransmit()?.bytes ?? []).toString('hex'),
    `0007005002010000 ${record('0001', '00000384')} ${record('0004', '00000063')}`.replaceAll(' ', ''),
    "a timeout that is not given is the state's own"
  )
})

t.test('templates as values, by their key; the end of a connection', async (t) => {
  const bench = new Bench()
  const controlledBy = { protocol: 'TCP', client: template.client, virtual: template.virtual }
  t.throws(() => bench.engine.handleConnection({ ...web, controlledBy }, T0), {
    code: 'ERR_USAGE',
    field: 'controlledBy'
  })
  t.equal(bench.table.entries.size, 0, 'nothing has changed')
  t.equal(bench.engine.handleConnection({ ...template, timeout: 0 }, T0), 'template')
  t.equal(bench.table.timeoutMs(1), 180_000)
  t.equal(bench.engine.handleConnection({ ...web, controlledBy }, T0), 'packet-count-not-met')
  t.equal(bench.engine.handleConnection({ ...template, event: 'expire' }, T0), 'extended')
  t.equal(bench.engine.handleConnection({ ...web, event: 'expire' }, T0), 'expired')
  t.equal(bench.engine.handleConnection({ ...web, event: 'expire' }, T0), 'not-in-table')
  t.equal(bench.engine.counters().answers.template, 3)
})

t.test('a change that cannot be understood names its field', async (t) => {
  const bench = new Bench()
  const wrong: readonly [object, string][] = [
    [{ event: 'gone' }, 'event'],
    [{ packets: -1 }, 'packets'],
    [{ packets: '3' }, 'packets'],
    [{ packets: 3n }, 'packets'],
    [{ state: 'UP' }, 'connection.state'],
    [{ controlledBy: { ...template, protocol: 'X' } }, 'controlledBy.protocol']
  ]
  for (const [change, field] of wrong) {
    t.throws(() => bench.engine.handleConnection({ ...web, ...change }, T0), { name: 'IpvsSyncError', field })
  }
  t.throws(() => bench.engine.handleConnection(null as never, T0), { code: 'ERR_USAGE', field: 'connection' })
  t.equal(bench.table.entries.size, 0)
})

t.test('over the packed table the same answers and the same bytes as over a plain one', async (t) => {
  const settings = { ...usual, syncThreshold: [1, 3] as const, syncRefreshPeriod: 20, syncRetries: 1, syncPorts: 4 }
  const step = fc.record({
    client: fc.integer({ min: 1, max: 12 }),
    state: fc.constantFrom(1, 3, 4, 5),
    destination: fc.constantFrom(5, 5, 5, 6),
    family: fc.constantFrom(4, 6),
    wait: fc.integer({ min: 0, max: 9_000 }),
    timeout: fc.constantFrom(2, 60, 900),
    controlled: fc.boolean()
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const run = (table: ConnectionTable): unknown[] => {
        const engine = new MasterEngine({ syncid: 7, settings, table })
        const out: unknown[] = []
        let now = T0
        for (const { client, state, destination, family, wait, timeout, controlled } of steps) {
          engine.handleTimeout((now += wait))
          const shared = { family, timeout: 30_000 }
          engine.handleRow(rowOf({ ...shared, client: 100, flags: TEMPLATE }), 0, now)
          const controller = table.find(rowOf({ ...shared, client: 100, flags: TEMPLATE }), 0)
          const row = rowOf({ client, state, destination, family, timeout })
          out.push(engine.handleRow(row, 0, now, controlled ? { controller } : {}))
          for (let next = engine.pollTransmit(); next; next = engine.pollTransmit()) {
            out.push([next.channel, Buffer.from(next.bytes).toString('hex')])
          }
        }
        engine.announceTable(now)
        for (let i = 0; i < 10; i++) engine.handleTimeout(++now)
        return [...out, engine.counters().answers.announced]
      }
      const [packed, plain] = [
        run(new ConnectionTable({ maxConnections: 1_000 })),
        run(new PlainTable().asTable())
      ].map((out) => JSON.stringify(out))
      if (packed !== plain) throw new Error(`${String(packed)} is not ${String(plain)}`)
    }),
    { numRuns: 200, ...(process.env['FUZZ_SEED'] === undefined ? {} : { seed: Number(process.env['FUZZ_SEED']) }) }
  )
  t.pass('200 runs')
})

t.test('announce: one connection, whatever the rules say, and no packet is counted', async (t) => {
  const engine = new MasterEngine({ syncid: 7, settings: usual })
  const connection = tcpConnection(1, { timeout: 0 })
  t.equal(engine.announce(connection, T0), 'announced')
  t.equal(engine.announce(connection, T0), 'announced', 'again, whenever it is asked')
  const [slot = 0] = engine.table.slots()
  t.strictSame([engine.table.packets(slot), engine.table.timeoutMs(slot)], [0, 900_000])
  t.equal(engine.announce({ ...connection, flags: ['ONE_PACKET'] }, T0), 'one-packet')
  engine.configure({ syncVersion: 0 })
  t.equal(
    engine.announce(
      {
        ...tcpConnection(2),
        family: 'ipv6',
        client: { address: '::1', port: 1 },
        virtual: { address: '::2', port: 1 },
        destination: { address: '::3', port: 1 }
      },
      T0
    ),
    'ipv6-in-version-0'
  )
  const full = new MasterEngine({ syncid: 7, table: new ConnectionTable({ maxConnections: 1 }) })
  full.announce(connection, T0)
  t.equal(full.announce(tcpConnection(2), T0), 'table-full')
  t.throws(() => engine.announce(undefined as never, T0), { code: 'ERR_USAGE', field: 'connection' })
  t.throws(() => new MasterEngine({ syncid: 7, synkid: 1 } as never), { code: 'ERR_CONFIG', field: 'synkid' })
})

t.test(
  'a table announced in virtual time: templates first, paced, within the queues, and stopped by a close',
  async (t) => {
    const engine = new MasterEngine({ syncid: 7, settings: { ...usual, syncQlenMax: 16 } })
    for (let i = 0; i < 3000; i++) engine.table.set(tcpConnection(i, { timeout: 60 }), T0)
    const template = {
      ...tcpConnection(0),
      flags: ['TEMPLATE'],
      state: 'NONE',
      client: { address: '10.1.0.0', port: 0 }
    }
    engine.table.set(template, T0)
    for (const rate of [0, -1, NaN])
      t.throws(() => engine.announceTable(T0, { rate }), { code: 'ERR_CONFIG', field: 'rate' })
    engine.hold(0, true)
    const announcement = engine.announceTable(T0, { rate: 20_000 })
    let now = T0
    for (let i = 0; i < 100; i++) engine.handleTimeout((now = Math.max(now, engine.nextTimeout())))
    t.equal(engine.counters().dropped, 0, 'full queues are waited for')
    t.ok(announcement.announced < 1000 && !announcement.finished)
    engine.hold(0, false)
    const seen: boolean[] = []
    for (let i = 0; i < 2000 && !announcement.finished; i++) {
      for (let next = engine.pollTransmit(); next; next = engine.pollTransmit())
        seen.push(...decodeMessage(next.bytes).connections.map(({ flags }) => flags.includes('TEMPLATE')))
      engine.handleTimeout((now = Math.max(now, engine.nextTimeout())))
    }
    t.equal(announcement.announced, 3001)
    t.equal(seen.indexOf(true), 0)
    const second = engine.announceTable(now, { rate: 100 })
    engine.table.remove([...engine.table.slots()].at(-1)!)
    engine.close(now)
    t.equal(second.finished, true)
    t.equal(engine.nextTimeout() >= now, true)
    const idle = new MasterEngine({ syncid: 7 })
    t.equal(idle.announceTable(T0).finished, true, 'an empty table')
  }
)

t.test('a listener of removals that throws is a notice, and the engine continues', async (t) => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          client: fc.integer({ min: 1, max: 6 }),
          destination: fc.integer({ min: 1, max: 2 }),
          wait: fc.integer({ min: 0, max: 5000 })
        }),
        { maxLength: 40 }
      ),
      fc.infiniteStream(fc.boolean()),
      (steps, chance) => {
        const table = new ConnectionTable({ maxConnections: 100, seed: 1 })
        const plain = new ConnectionTable({ maxConnections: 100, seed: 1 })
        let failed = 0
        table.onRemove(() => {
          if (!chance.next().value) return
          failed++
          throw new Error('listener')
        })
        const engines = [table, plain].map(
          (each) => new MasterEngine({ syncid: 7, settings: { ...usual, syncThreshold: [1, 2] }, table: each })
        )
        let now = T0
        let notices = 0
        for (const { client, destination, wait } of steps) {
          now += wait
          const [first, second] = engines.map((engine) => {
            engine.handleTimeout(now)
            engine.handleRow(rowOf({ client, destination, timeout: 3 }), 0, now)
            const sent: string[] = []
            for (let next = engine.pollTransmit(); next; next = engine.pollTransmit())
              sent.push(Buffer.from(next.bytes).toString('hex'))
            for (let event = engine.pollEvent(); event; event = engine.pollEvent())
              if (event.type === 'notice' && event.code === 'LISTENER_FAILED') notices++
            return JSON.stringify([sent, engine.nextTimeout(), engine.counters().answers])
          })
          if (first !== second) throw new Error(`${String(first)} is not ${String(second)}`)
        }
        if (table.listenerErrors !== failed || failed > 0 !== notices > 0)
          throw new Error(`${failed} failed, ${notices} notices`)
      }
    ),
    { numRuns: 200 }
  )
  t.pass('200 runs')
})
