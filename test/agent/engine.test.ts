// The behaviour of agents in virtual time, over networks that lose, delay, repeat and reorder.
import fc from 'fast-check'
import t from 'tap'
import { AgentEngine } from '../../src/agent/protocol/agent-engine.js'
import {
  decodeAgentMessage,
  encodeAgentMessage,
  EVERY_AGENT,
  type AgentMessage,
  type AgentStatement
} from '../../src/agent/protocol/messages.js'
import type { AgentEngineOptions, AgentEvent } from '../../src/agent/protocol/options.js'
import { AgentWorld, messageOf } from '../fixtures/support/agent-world.js'

const ONE = '0000000000000001'
const STRANGER = 'feedfacefeedface'
const FROM = { address: '10.9.0.9', port: 4 }

type Partly<Message> = Message extends { readonly kind: infer Kind }
  ? Partial<Message> & { readonly kind: Kind }
  : never

/** A message of a stranger. */
function say(fields: Partly<AgentMessage>, syncid = 5): Uint8Array {
  const defaults = {
    from: STRANGER,
    to: EVERY_AGENT,
    request: 1,
    ready: false,
    connections: 0,
    origin: undefined,
    capacity: undefined,
    messages: 0,
    round: 0,
    portion: 0,
    sums: [],
    pieces: []
  }
  return encodeAgentMessage({ ...defaults, ...fields }, syncid)
}

/** An engine alone, with a table of a fixed size. */
function engineOf(size: number, options: Partial<AgentEngineOptions> = {}): AgentEngine {
  const table = {
    size,
    *messages() {
      for (let number = 0; number * 40 < size; number++)
        yield { channel: 0, bytes: messageOf(40, number), connections: 40 }
    }
  }
  return new AgentEngine({ id: ONE, syncid: 5, chance: () => 0, table, rate: 4000, ...options })
}

function eventsOf(engine: AgentEngine): AgentEvent[] {
  const events: AgentEvent[] = []
  for (let event = engine.pollEvent(); event !== undefined; event = engine.pollEvent()) events.push(event)
  return events
}

/** The agent messages that an engine has to send; messages of a table are counted. */
function sentBy(engine: AgentEngine): { messages: AgentMessage[]; table: number } {
  const messages: AgentMessage[] = []
  let table = 0
  for (let next = engine.pollTransmit(); next !== undefined; next = engine.pollTransmit()) {
    const message = decodeAgentMessage(next.bytes)
    if (message === undefined) table++
    else messages.push(message)
  }
  return { messages, table }
}

function kindsOf(engine: AgentEngine): AgentStatement['kind'][] {
  return sentBy(engine).messages.map(({ kind }) => kind)
}

t.test('a requester gets the table of the agent that has most, once, and is ready', (t) => {
  const world = new AgentWorld()
  const small = world.add(3000, { times: { limit: 500 } }).start()
  const large = world.add(5000, { times: { limit: 500 } }).start()
  world.pass(60_000)
  const before = [small.sent, large.sent]
  const requester = world.add(0).start()
  t.notOk(requester.engine.ready)
  const took = world.pass(30_000, () => requester.engine.ready)
  t.ok(took < 5000, `${took} ms, of which 1250 are the sending`)
  t.equal(requester.statuses.length, 3)
  t.match(requester.statuses, [
    'requesting a table',
    `receiving 5000 connections from agent ${large.engine.id} at 10.9.0.2`,
    `ready (complete): received 5000 connections from agent ${large.engine.id} at 10.9.0.2`
  ])
  world.pass(60_000)
  t.strictSame([small.sent, large.sent], [before[0], before[1]! + 5000], 'one answer’s worth of traffic')
  t.match(requester.engine.report(), {
    outcome: 'complete',
    received: 5000,
    expected: 5000,
    answers: 1,
    tablesReceived: 1
  })
  t.match(large.engine.report(), { given: 2, tablesSent: 2, refused: 0 })
  t.strictSame(
    requester.engine
      .report()
      .agents.map(({ id }) => id)
      .sort(),
    [small.engine.id, large.engine.id]
  )
  t.ok(requester.codes.filter((code) => code === 'AGENT_JOINED').length === 2)
  t.ok(large.codes.includes('TABLE_SENDING') && large.codes.includes('TABLE_SENT'))
  t.end()
})

t.test('a report has rate and remaining time while a table arrives', (t) => {
  const world = new AgentWorld()
  const responder = world.add(8000, { times: { limit: 100 } }).start()
  world.pass(1000)
  const requester = world.add(0).start()
  t.match(requester.engine.report(), { rate: undefined, remainingMs: undefined })
  world.pass(30_000, () => requester.engine.report().received >= 4000)
  t.ok(responder.engine.isTransferring && requester.engine.isTransferring)
  const { rate, remainingMs } = requester.engine.report()
  t.ok(rate! > 3000 && rate! < 5000, `${rate}`)
  t.ok(remainingMs! > 500 && remainingMs! < 1500, `${remainingMs}`)
  t.match(requester.engine.statusText(), /4000 received, \d+ a second, \d+\.\d s remaining/)
  t.end()
})

t.test('a requester whose event loop is held gets one table, however long and at whatever moment', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 1, max: 20_000 }), (after, length) => {
      const world = new AgentWorld()
      const responders = [world.add(1480, { times: { limit: 100 } }), world.add(1480, { times: { limit: 100 } })]
      for (const responder of responders) responder.start()
      world.pass(60_000)
      const before = responders.map(({ sent }) => sent)
      const requester = world.add(0).start()
      world.pass(after)
      requester.hold()
      world.pass(length)
      requester.release()
      world.pass(60_000, () => requester.engine.ready)
      t.equal(requester.engine.report().outcome, 'complete')
      const sent = responders.reduce((sum, responder, i) => sum + responder.sent - before[i]!, 0)
      return sent === 1480
    }),
    { seed: 13, numRuns: 200 }
  )
  t.end()
})

t.test('a request for retransmission that is lost is repeated although a late message arrives', (t) => {
  const engine = engineOf(0)
  const list = say({ kind: 'list', request: 7, portion: 0, sums: [1, 2] })
  engine.start(1)
  for (const message of [
    say({ kind: 'hello', connections: 80 }),
    say({ kind: 'begin', to: 'f'.repeat(16), request: 7, connections: 80 }),
    say({ kind: 'done', request: 7, connections: 80, messages: 2, round: 0 })
  ])
    engine.handleDatagram(message, FROM, 2)
  const repeats = (): number => sentBy(engine).messages.filter(({ kind }) => kind === 'repeat').length
  engine.handleTimeout(302)
  t.equal(repeats(), 1)
  // The list was under way; nothing follows it.
  engine.handleDatagram(list, FROM, 310)
  engine.handleTimeout(1310)
  t.equal(repeats(), 1)
  t.end()
})

t.test('two requesters share one answer', (t) => {
  const world = new AgentWorld()
  const responder = world.add(4000, { times: { limit: 100 } }).start()
  world.pass(60_000)
  const requesters = [world.add(0).start(), world.add(0).start()]
  world.pass(60_000, () => requesters.every((one) => one.engine.ready))
  for (const { engine } of requesters) t.match(engine.report(), { outcome: 'complete', received: 4000 })
  world.pass(60_000)
  t.equal(responder.sent, 4000)
  t.end()
})

t.test('without other agents it is ready after the limit; when one appears it requests a table', (t) => {
  const world = new AgentWorld()
  const requester = world.add(0, { times: { limit: 10_000 } }).start()
  t.equal(
    world.pass(60_000, () => requester.engine.ready),
    10_000
  )
  t.equal(requester.engine.statusText(), 'ready (alone): no agent answered within 10 s')
  const late = world.add(400, { times: { limit: 1000 } }).start()
  world.pass(60_000, () => requester.engine.report().outcome === 'complete')
  t.ok(requester.statuses.includes('ready (alone); requesting a table'), 'it stays ready meanwhile')
  t.equal(late.sent, 400)
  t.end()
})

t.test('an agent that was alone is complete when another one has a copy of its table', (t) => {
  const world = new AgentWorld()
  const first = world.add(3000, { times: { limit: 1000 } }).start()
  world.pass(2000)
  t.equal(first.engine.report().outcome, 'alone')
  const second = world.add(0).start()
  world.pass(30_000, () => second.engine.ready)
  second.size = 3000
  world.pass(30_000)
  t.match(first.engine.report(), { outcome: 'complete', ready: true })
  t.match(first.engine.statusText(), /another agent has a copy/)
  t.strictSame([first.sent, second.sent], [3000, 0], 'one reboot, one transfer')
  second.kill()
  world.pass(60_000)
  t.ok(first.codes.includes('AGENT_LEFT'))
  t.strictSame(first.engine.report().agents, [])
  t.end()
})

t.test('an agent without a table offers none, and one that must not answer never does', (t) => {
  const world = new AgentWorld()
  world.add(0).start()
  const silent = world.add(1000, { answers: false, times: { limit: 100 } }).start()
  world.pass(1000)
  const requester = world.add(0, { times: { limit: 5000 } }).start()
  world.pass(20_000)
  t.equal(requester.engine.report().outcome, 'alone')
  t.match(requester.engine.statusText(), /2 agents present now/)
  t.equal(silent.sent, 0)
  t.end()
})

t.test('a responder that is killed is replaced by another', (t) => {
  const world = new AgentWorld()
  const first = world.add(8000, { times: { limit: 100 } }).start()
  const second = world.add(7000, { times: { limit: 100 } }).start()
  world.pass(60_000)
  const requester = world.add(0).start()
  world.pass(30_000, () => first.sent > 2000)
  first.kill()
  t.ok(world.pass(30_000, () => requester.engine.ready) < 8000, '3 s of silence, 2 s of sending, and what is between')
  t.match(requester.engine.report(), { outcome: 'complete', answerer: second.engine.id, received: 7000 })
  t.ok(first.sent < 2100)
  t.end()
})

t.test('a responder that was paused is asked again if there is no other', (t) => {
  const world = new AgentWorld()
  const responder = world.add(20_000, { times: { limit: 100 } }).start()
  world.pass(60_000)
  const requester = world.add(0).start()
  world.pass(30_000, () => responder.sent > 2000)
  t.ok(responder.sent < 2100)
  responder.alive = false
  world.pass(4000)
  responder.alive = true
  world.pass(40_000, () => requester.engine.ready)
  t.match(requester.engine.report(), { outcome: 'complete', received: 20_000 })
  t.end()
})

t.test('lost messages are retransmitted one by one until the table is whole', (t) => {
  const world = new AgentWorld({ loss: 0.05, seed: 11 })
  const responder = world.add(8000, { times: { limit: 100 } }).start()
  world.pass(60_000)
  const requester = world.add(0).start()
  world.pass(60_000, () => requester.engine.ready)
  t.match(requester.engine.report(), { outcome: 'complete', received: 8000, answers: 1 })
  t.ok(responder.sent > 8000 && responder.sent < 9000, `${responder.sent}: 40 a message`)
  world.pass(60_000)
  t.match(responder.engine.report(), { given: 1, tablesSent: 1 })
  t.end()
})

t.test('retransmission is limited: then the whole once more, and it is ready with what it has', (t) => {
  const world = new AgentWorld({ loss: 0.4, seed: 3 })
  const responder = world.add(20_000, { times: { limit: 100, silence: 20_000 } }).start()
  world.pass(1000)
  const requester = world.add(0, { times: { silence: 20_000 } }).start()
  world.pass(200_000, () => requester.engine.ready)
  t.match(requester.engine.report(), { outcome: 'incomplete' })
  t.match(requester.engine.statusText(), /^ready \(incomplete\): received \d+ of 20000 connections/)
  const { given } = responder.engine.report()
  t.ok(responder.sent <= given * 1.25 * 20_000, `${responder.sent} in ${given} answers`)
  t.end()
})

t.test('an agent that joined another one’s answer can request what it lacks as well', (t) => {
  const world = new AgentWorld()
  const responder = world.add(8000, { times: { limit: 100 } }).start()
  world.pass(1000)
  const [first, second] = [world.add(0).start(), world.add(0).start()]
  world.pass(30_000, () => responder.sent > 4000)
  second.alive = false
  world.pass(300)
  second.alive = true
  world.pass(30_000, () => first.engine.ready && second.engine.ready)
  t.match(first.engine.report(), { received: 8000 })
  t.match(second.engine.report(), { received: 8000, outcome: 'complete' })
  t.equal(responder.engine.report().given, 1)
  t.ok(responder.sent < 9300)
  t.end()
})

t.test('a stored table goes to the kernel before the agent is ready alone', (t) => {
  const world = new AgentWorld()
  const restoring = world.add(1000, { restores: true, times: { limit: 1000, transferLimit: 9000 } }).start()
  world.pass(3000)
  t.match([restoring.events.at(-1), restoring.engine.ready], [{ type: 'restore' }, false])
  restoring.engine.verified(0, world.network.now)
  restoring.settle()
  t.match(restoring.engine.report(), { outcome: 'alone', ready: true })
  restoring.kill()
  world.pass(60_000)
  const empty = world.add(0, { answers: false, restores: true, times: { limit: 1000 } }).start()
  t.equal(
    world.pass(30_000, () => empty.engine.ready),
    1000,
    'nothing to restore'
  )
  const stuck = world.add(10, { restores: true, times: { limit: 1000, transferLimit: 9000 } }).start()
  t.equal(
    world.pass(30_000, () => stuck.engine.ready),
    9000,
    'ready all the same if nobody restores it'
  )
  t.end()
})

t.test('over networks that lose, delay, repeat and reorder every requester is complete', (t) => {
  let complete = 0
  for (let seed = 1; seed <= 100; seed++) {
    const world = new AgentWorld({
      seed,
      loss: 0.002 * (seed % 10),
      delayMs: [1, 40],
      reordering: 0.02,
      duplication: 0.01
    })
    for (const size of [3000, 3000, 0]) world.add(size, { times: { limit: 200 } }).start()
    world.pass(30_000)
    const requester = world.add(0).start()
    t.ok(world.pass(60_000, () => requester.engine.ready) < 60_000, `seed ${seed}`)
    if (requester.engine.report().outcome === 'complete') complete++
  }
  t.equal(complete, 100, `${complete} of 100`)
  t.end()
})

t.test('a hostile requester gets two answers, then one in 30 s; many addresses get four, then one in 15 s', (t) => {
  for (const [many, most] of [
    [false, 2 + 3],
    [true, 4 + 6]
  ] as const) {
    const engine = engineOf(1000, { rate: 1e6, times: { limit: 1 } })
    engine.start(1)
    let answers = 0
    let sent = 0
    for (let now = 100; now < 90_100; now += 20) {
      const from = { address: many ? `10.9.${now % 251}.${now % 241}` : '10.9.0.66', port: 4 }
      const id = now.toString(16).padStart(16, '0')
      engine.handleDatagram(say({ kind: 'request', from: id, request: now }), from, now)
      engine.handleDatagram(say({ kind: 'request', from: id, to: ONE, request: now }), from, now)
      engine.handleTimeout(now)
      for (const event of eventsOf(engine)) {
        if (event.type !== 'refresh') continue
        answers++
        engine.refreshed(now)
      }
      sent += sentBy(engine).messages.length
    }
    t.ok(answers >= most - 1 && answers <= most, `${answers} answers in 90 s to ${many ? 'many addresses' : 'one'}`)
    t.equal(engine.report().given, answers)
    t.ok(engine.report().refused > 4000)
    t.ok(sent < 5000, `${sent} messages, each of 40 bytes, to 9000`)
  }
  t.end()
})

t.test('requests that are cancelled at once starve nobody', (t) => {
  const engine = engineOf(1000, { times: { limit: 1 } })
  engine.start(1)
  engine.handleTimeout(2)
  for (let now = 100; now < 40_100; now += 100) {
    for (let i = 1; i <= 4; i++) {
      const source = { address: `10.9.0.${i}`, port: 4 }
      engine.handleDatagram(say({ kind: 'request', to: ONE, request: now + i }), source, now)
      engine.handleDatagram(say({ kind: 'cancel', to: ONE, request: now + i }), source, now)
    }
    engine.handleTimeout(now)
    sentBy(engine)
    eventsOf(engine)
  }
  engine.handleDatagram(say({ kind: 'request', from: 'a'.repeat(16), request: 7 }), FROM, 40_200)
  engine.handleTimeout(40_200)
  t.ok(kindsOf(engine).includes('offer'), 'the next requester gets an offer')
  t.end()
})

t.test('a cancel stops an answer that nobody else waits for, and costs what was sent of it', (t) => {
  const engine = engineOf(8000, { times: { limit: 1 } })
  engine.start(1)
  engine.handleTimeout(2)
  eventsOf(engine)
  sentBy(engine)
  engine.handleDatagram(say({ kind: 'request', to: ONE, request: 9 }), FROM, 10)
  t.match(eventsOf(engine), [{ type: 'refresh', to: STRANGER, address: '10.9.0.9' }])
  engine.handleDatagram(say({ kind: 'request', to: ONE, request: 10 }), FROM, 11)
  engine.handleDatagram(say({ kind: 'request', request: 10 }), FROM, 11)
  t.strictSame(eventsOf(engine), [], 'one answer at a time')
  t.equal(engine.report().rejected.BUSY, 2)
  engine.handleDatagram(say({ kind: 'cancel', to: ONE, request: 8 }), FROM, 12)
  engine.handleDatagram(say({ kind: 'cancel', to: ONE, from: 'feedfacefeedfacf', request: 9 }), FROM, 12)
  engine.refreshed(12)
  engine.refreshed(12)
  sentBy(engine)
  engine.handleTimeout(1100)
  t.ok(kindsOf(engine).includes('progress'))
  engine.handleDatagram(say({ kind: 'cancel', to: ONE, request: 9 }), FROM, 1200)
  engine.handleTimeout(5000)
  t.equal(sentBy(engine).table, 0)
  t.equal(engine.isTransferring, false)
  // Another agent asks while the table is being sent: the cancel of the first has no effect.
  engine.handleDatagram(say({ kind: 'request', to: ONE, request: 20 }), FROM, 6000)
  engine.refreshed(6000)
  engine.handleDatagram(say({ kind: 'request', from: 'b'.repeat(16), request: 1 }), FROM, 6001)
  engine.handleDatagram(say({ kind: 'cancel', to: ONE, request: 20 }), FROM, 6002)
  let table = 0
  for (let now = 6003; now < 9000; now += 5) {
    engine.handleTimeout(now)
    table += sentBy(engine).table
  }
  t.equal(table, 200)
  t.end()
})

t.test('retransmission: while the end is sent nothing is, later within the budget, then nothing', (t) => {
  const engine = engineOf(1000, { times: { limit: 1 } })
  engine.start(1)
  engine.handleTimeout(2)
  engine.handleDatagram(say({ kind: 'request', to: ONE, request: 11 }), FROM, 14)
  engine.refreshed(14)
  let now = 14
  for (; engine.isTransferring; now += 10) {
    engine.handleTimeout(now)
    sentBy(engine)
  }
  engine.handleDatagram(say({ kind: 'request', to: ONE, request: 11 }), FROM, now)
  t.notOk(engine.isTransferring, 'a request that arrives twice is answered once')
  const repeat = say({ kind: 'repeat', to: ONE, request: 11, pieces: [{ portion: 0, early: 3, late: 0 }] })
  engine.handleDatagram(repeat, FROM, now)
  t.notOk(engine.isTransferring, 'the end is still being sent')
  for (let i = 0; i < 4; i++) engine.handleTimeout((now += 100))
  t.ok(kindsOf(engine).filter((kind) => kind === 'done').length >= 2)
  for (let i = 0; i < 4; i++) engine.handleTimeout((now += 100))
  engine.handleDatagram(say({ kind: 'repeat', to: ONE, request: 12 }), FROM, now)
  engine.handleDatagram(repeat, FROM, now)
  t.ok(engine.isTransferring)
  t.match(sentBy(engine), { table: 2, messages: [{ kind: 'list' }] })
  for (let i = 0; i < 4; i++) engine.handleTimeout((now += 100))
  t.match(sentBy(engine).messages[0], { kind: 'done', round: 1, connections: 1000, messages: 25 })
  engine.handleDatagram(repeat, FROM, now)
  t.ok(engine.isTransferring)
  engine.handleDatagram(say({ kind: 'cancel', to: ONE, request: 11 }), FROM, now)
  t.notOk(engine.isTransferring, 'a retransmission can be cancelled')
  engine.handleTimeout(now + 10_001)
  engine.handleDatagram(repeat, FROM, now + 10_001)
  t.notOk(engine.isTransferring, 'forgotten')
  engine.handleDatagram(say({ kind: 'request', to: ONE, request: 11 }), FROM, now + 10_001)
  t.notOk(engine.isTransferring, 'but still answered')
  t.end()
})

t.test('only accepted addresses, the own syncid and the known version count; each rejection has a reason', (t) => {
  const engine = engineOf(1000, { accept: ['10.9.0.0/24'], times: { limit: 1 } })
  engine.start(1)
  sentBy(engine)
  eventsOf(engine)
  const strangers: [string, Uint8Array, string][] = [
    ['NOT_ACCEPTED', say({ kind: 'request' }), '10.8.0.1'],
    ['OTHER_SYNCID', say({ kind: 'request' }, 6), '10.9.0.1'],
    ['OTHER_VERSION', say({ kind: 'request' }).map((byte, at) => (at === 12 ? 2 : byte)), '10.9.0.1'],
    ['MALFORMED', say({ kind: 'request' }).map((byte, at) => (at === 13 ? 99 : byte)), '10.9.0.1'],
    ['', say({ kind: 'request', from: ONE }), '10.9.0.1']
  ]
  for (const [name, bytes, address] of strangers) {
    for (let i = 0; i < 3; i++) t.equal(engine.handleDatagram(bytes, { address, port: 1 }, 10), true)
    engine.handleTimeout(10)
    t.strictSame(sentBy(engine).messages, [], name)
  }
  t.strictSame(engine.report().rejected, { NOT_ACCEPTED: 3, OTHER_SYNCID: 3, OTHER_VERSION: 3, MALFORMED: 3 })
  t.strictSame(
    eventsOf(engine).flatMap((event) => (event.type === 'notice' ? [event.code] : [])),
    ['AGENT_OTHER_SYNCID', 'AGENT_OTHER_VERSION'],
    'reported once'
  )
  engine.handleDatagram(say({ kind: 'request' }), { address: '10.9.0.1', port: 1 }, 20)
  engine.handleTimeout(20)
  t.match(sentBy(engine).messages, [{ kind: 'offer', to: STRANGER, connections: 1000 }])
  engine.handleDatagram(say({ kind: 'request', request: 2 }), { address: '10.9.0.1', port: 1 }, 2000)
  engine.handleTimeout(2000)
  t.ok(kindsOf(engine).includes('hello'), 'a request makes the agent announce itself')
  t.throws(() => engineOf(0, { syncid: 256 }), { code: 'ERR_CONFIG', field: 'syncid' })
  t.end()
})

t.test('agents whose tables differ by more than a factor of two are reported', (t) => {
  const engine = engineOf(1000, { times: { limit: 1 } })
  engine.start(1)
  engine.handleTimeout(2)
  eventsOf(engine)
  const hello = (id: string, connections: number): void =>
    void engine.handleDatagram(
      say({ kind: 'hello', from: id.repeat(16), ready: true, connections, origin: ONE }),
      FROM,
      10
    )
  for (const [id, connections] of [
    ['a', 600],
    ['b', 400],
    ['c', 5000],
    ['d', 0],
    ['b', 400]
  ] as const)
    hello(id, connections)
  const codes = eventsOf(engine).flatMap((event) => (event.type === 'notice' ? [event.code] : []))
  t.equal(codes.filter((code) => code === 'AGENT_TABLE_DIFFERS').length, 2)
  t.equal(codes.filter((code) => code === 'AGENT_JOINED').length, 4)
  t.end()
})

t.test('an answer counts as complete when the kernel has it too', (t) => {
  for (const [missing, outcome] of [
    [0, 'complete'],
    [53, 'incomplete']
  ] as const) {
    const world = new AgentWorld()
    world.add(1000, { times: { limit: 100 } }).start()
    world.pass(1000)
    const requester = world.add(0, { verifies: true }).start()
    requester.engine.verified(5, world.network.now)
    let looks = 0
    world.pass(30_000, () => {
      if (requester.events.at(-1)?.type === 'verify') {
        requester.events.push({ type: 'restore' })
        looks++
        requester.engine.verified(missing, world.network.now)
        requester.settle()
      }
      return requester.engine.ready
    })
    t.match(requester.engine.report(), { outcome, kernelLacks: missing })
    t.equal(looks, outcome === 'complete' ? 1 : 2, 'the whole is requested once more')
    if (missing > 0)
      t.match(requester.engine.statusText(), /received 1000 of 1000 connections; this host's kernel lacks 53/)
  }
  const world = new AgentWorld()
  world.add(1000, { times: { limit: 100 } }).start()
  world.pass(1000)
  const requester = world.add(0, { verifies: true, times: { limit: 5000, transferLimit: 20_000 } }).start()
  world.pass(60_000, () => requester.engine.ready)
  t.equal(requester.engine.report().outcome, 'incomplete', 'nobody compares: ready in the end all the same')
  t.end()
})

t.test('a comparison that takes longer than the silence timeout costs no second answer', (t) => {
  const world = new AgentWorld()
  const responder = world.add(1000, { times: { limit: 100 } }).start()
  world.pass(1000)
  const requester = world.add(0, { verifies: true, times: { silence: 2000 } }).start()
  const isVerifying = (): boolean => requester.events.some(({ type }) => type === 'verify')
  world.pass(30_000, isVerifying)
  world.pass(10_000)
  t.equal(requester.events.filter(({ type }) => type === 'verify').length, 1)
  requester.engine.verified(0, world.network.now)
  requester.settle()
  t.equal(requester.engine.report().outcome, 'complete')
  t.equal(responder.engine.report().given, 1)
  t.end()
})

t.test('a slow refresh is bridged by progress reports; one that never ends by the stall timeout', (t) => {
  const world = new AgentWorld()
  const slow = world.add(1000, { times: { limit: 100 } }).start()
  slow.refreshes = false
  world.pass(1000)
  const requester = world.add(0, { times: { stall: 20_000, limit: 5000 } }).start()
  world.pass(15_000)
  t.match(requester.engine.report(), { outcome: undefined, answers: 1, received: 0 })
  slow.engine.refreshed(world.network.now)
  slow.settle()
  world.pass(5000)
  t.equal(requester.engine.report().outcome, 'complete')
  const other = world.add(0, { times: { stall: 20_000, limit: 5000 } }).start()
  requester.kill()
  t.ok(world.pass(100_000, () => other.engine.ready) < 40_000)
  t.equal(other.engine.report().outcome, 'incomplete')
  t.end()
})

t.test('close withdraws the request; a second start requests once', (t) => {
  const world = new AgentWorld()
  const responder = world.add(8000, { times: { limit: 100 } }).start()
  world.pass(1000)
  const requester = world.add(0)
  t.equal(requester.engine.statusText(), 'not started')
  requester.start().start()
  t.equal(requester.engine.statusText(), 'requesting a table')
  world.pass(30_000, () => responder.sent > 1000)
  requester.engine.close()
  requester.settle()
  world.pass(20_000)
  t.ok(responder.sent < 1200)
  t.equal(requester.engine.statusText(), 'closed before a table was received')
  t.end()
})

t.test('connections of other messages are not counted', (t) => {
  const world = new AgentWorld()
  world.add(2000, { times: { limit: 100 } }).start()
  world.pass(1000)
  const requester = world.add(0).start()
  world.pass(30_000, () => requester.engine.report().received > 0)
  const before = requester.engine.report().received
  const { now } = world.network
  requester.engine.handleDatagram(messageOf(9), { address: '10.9.0.1', port: 8848 }, now)
  requester.engine.handleDatagram(messageOf(9), { address: '10.9.0.9', port: 40_001 }, now)
  const version0 = Uint8Array.of(9, 5, 0, 12, 9, 9, 9, 9, 9, 9, 9, 9)
  requester.engine.handleDatagram(version0, { address: '10.9.0.1', port: 40_001 }, now)
  t.equal(requester.engine.report().received, before)
  t.end()
})

t.test('an answer is joined only if its sender has announced itself, and only from its own address', (t) => {
  const engine = engineOf(0)
  const begin = say({ kind: 'begin', to: 'f'.repeat(16), request: 7, ready: true, connections: 100 })
  engine.start(1)
  engine.handleDatagram(begin, FROM, 2)
  t.match(engine.report(), { answers: 0, rejected: { UNKNOWN_RESPONDER: 1 } })
  engine.handleDatagram(say({ kind: 'hello', ready: true, connections: 100 }), FROM, 3)
  engine.handleDatagram(begin, { address: '10.9.0.8', port: 4 }, 3)
  t.equal(engine.report().answers, 0)
  engine.handleDatagram(begin, FROM, 4)
  t.equal(engine.report().answers, 1)
  engine.handleDatagram(say({ kind: 'done', request: 7, ready: true }), { address: '10.9.0.8', port: 4 }, 5)
  engine.handleTimeout(400)
  t.notOk(engine.ready, 'an end from another address')
  engine.handleDatagram(say({ kind: 'done', request: 7, ready: true }), FROM, 500)
  engine.handleTimeout(801)
  t.notOk(engine.ready, 'no connections, though the agent has announced 100')
  t.end()
})

t.test('a table with fewer than half of the connections of the fullest ready agent is not complete', (t) => {
  const world = new AgentWorld()
  const full = world.add(9000, { times: { limit: 100 } }).start()
  const small = world.add(100, { times: { limit: 100 } }).start()
  small.size = 100
  world.pass(30_000)
  const requester = world.add(0, { times: { limit: 20_000 } })
  // The fuller one makes no offers, since it is busy with a requester that never reads.
  full.refreshes = false
  full.engine.handleDatagram(say({ kind: 'request', to: full.engine.id, request: 3 }), FROM, world.network.now)
  full.settle()
  requester.start()
  world.pass(15_000)
  t.notOk(requester.engine.ready)
  world.pass(60_000, () => requester.engine.ready)
  t.equal(requester.engine.report().outcome, 'incomplete')
  t.match(requester.engine.statusText(), new RegExp(`agent ${full.engine.id} at 10.9.0.1 has 9000`))
  t.end()
})

t.test('repeated and late messages change nothing', (t) => {
  const engine = engineOf(0, { chance: () => 0.5 })
  const begin = say({ kind: 'begin', to: 'f'.repeat(16), request: 7, connections: 100 })
  const list = (portion: number) => say({ kind: 'list', request: 7, portion, sums: [1] })
  const done = (round: number, messages = 1) => say({ kind: 'done', request: 7, connections: 100, messages, round })
  const rounds = (): number[] =>
    sentBy(engine).messages.flatMap((message) => (message.kind === 'repeat' ? [message.round] : []))
  const receive = (now: number, ...messages: Uint8Array[]): void => {
    for (const bytes of messages) engine.handleDatagram(bytes, FROM, now)
  }
  engine.start(1)
  receive(2, say({ kind: 'hello', connections: 100 }), list(0), begin, begin, done(0, 2 ** 21))
  t.match(engine.report(), { answers: 1, expected: 100 })
  receive(3, done(0), done(0))
  engine.handleTimeout(303)
  t.strictSame(rounds(), [1])
  receive(304, done(0))
  engine.handleTimeout(1303)
  t.strictSame(rounds(), [1], 'requested again, since nobody answered')
  receive(1304, list(0), done(1))
  engine.handleTimeout(1604)
  t.strictSame(rounds(), [2], 'the list arrived: one message is missing instead of perhaps 64')
  receive(1605, messageOf(40))
  engine.handleTimeout(2600)
  t.strictSame(rounds(), [], 'the responder is at it')
  for (const [index, round] of [3, 4].entries()) {
    receive(2701 + 1000 * index, done(round - 1))
    engine.handleTimeout(3001 + 1000 * index)
    t.strictSame(rounds(), [round], 'it may have been lost again')
  }
  receive(4701, done(4))
  engine.handleTimeout(5001)
  t.strictSame(rounds(), [], 'three requests without effect: the whole is requested')
  t.notOk(engine.ready)
  receive(5002, say({ kind: 'progress', request: 6 }))
  t.end()
})

t.test('offers, messages that nobody polls, and an answer without an end are bounded', (t) => {
  const engine = engineOf(0, { id: 'a'.repeat(16), times: { limit: 1000, transferLimit: 9000 } })
  engine.start(1)
  const request = sentBy(engine).messages.find(({ kind }) => kind === 'request')!.request
  const numbers = Array.from({ length: 40 }, (_, i) => 1 + ((i * 7) % 40))
  for (const number of numbers) {
    const id = number.toString(16).padStart(16, '0')
    engine.handleDatagram(say({ kind: 'offer', from: id, to: engine.id, request, connections: 7 }), FROM, 2)
  }
  engine.handleTimeout(302)
  const choice = sentBy(engine).messages.at(-1)!
  t.match(choice, {
    kind: 'request',
    to: Math.min(...numbers.slice(0, 16))
      .toString(16)
      .padStart(16, '0')
  })
  for (let now = 400; now < 9001; now += 100) {
    const progress = say({ kind: 'progress', from: choice.to, to: engine.id, request: choice.request })
    engine.handleDatagram(progress, FROM, now)
    engine.handleTimeout(now)
    t.notOk(engine.ready)
  }
  engine.handleTimeout(9001)
  t.ok(engine.ready)
  for (let now = 10_000; now < 2_000_000; now += 10_000) engine.handleTimeout(now)
  t.equal(sentBy(engine).messages.length, 64)
  t.end()
})

t.test('a chosen responder that begins for another requester is joined', (t) => {
  const engine = engineOf(0, { id: 'a'.repeat(16) })
  engine.start(1)
  const request = sentBy(engine).messages.find(({ kind }) => kind === 'request')!.request
  engine.handleDatagram(say({ kind: 'offer', to: engine.id, request, connections: 7 }), FROM, 2)
  engine.handleTimeout(302)
  t.match(sentBy(engine).messages.at(-1), { kind: 'request', to: STRANGER })
  engine.handleTimeout(1302)
  t.match(sentBy(engine).messages.at(-1), { kind: 'request', to: STRANGER, request }, 'the choice can be lost')
  engine.handleDatagram(say({ kind: 'begin', to: 'f'.repeat(16), request: 77, connections: 7 }), FROM, 1400)
  t.match(engine.report(), { answers: 1, answerer: STRANGER, answererAddress: '10.9.0.9' })
  engine.close()
  t.notOk(kindsOf(engine).includes('cancel'), 'another requester’s answer is not cancelled')
  t.end()
})

t.test('no datagram makes an engine throw or grow', (t) => {
  const engine = engineOf(10, { chance: () => 0.5, syncid: 0 })
  engine.start(1)
  const kinds = ['hello', 'request', 'offer', 'begin', 'progress', 'done', 'cancel', 'list', 'repeat'] as const
  const number = fc.integer({ min: 0, max: 0xffffffff })
  const message = fc
    .record({
      kind: fc.constantFrom(...kinds),
      from: fc.constantFrom('b'.repeat(16), 'c'.repeat(16), ONE),
      to: fc.constantFrom(ONE, EVERY_AGENT),
      request: fc.integer({ min: 0, max: 3 }),
      ready: fc.boolean(),
      connections: number,
      messages: fc.integer({ min: 0, max: 70 }),
      round: fc.integer({ min: 0, max: 3 }),
      portion: fc.integer({ min: 0, max: 3 }),
      sums: fc.array(number, { maxLength: 64 }),
      pieces: fc.array(fc.record({ portion: fc.integer({ min: 0, max: 3 }), early: number, late: number }), {
        maxLength: 5
      })
    })
    .map((fields) => say(fields as Partly<AgentMessage>))
  const mutated = fc
    .tuple(message, fc.integer({ min: 0, max: 43 }), fc.integer({ min: 0, max: 255 }))
    .map(([bytes, at, byte]) => {
      bytes[at % bytes.length] = byte
      return bytes.subarray(0, at > 40 ? at - 40 : bytes.length)
    })
  let now = 1
  fc.assert(
    fc.property(
      fc.oneof(fc.uint8Array({ maxLength: 60 }), message, mutated),
      fc.integer({ min: 0, max: 3000 }),
      fc.integer({ min: 1, max: 5 }),
      (bytes, step, host) => {
        now += step
        engine.handleDatagram(bytes, { address: `10.9.0.${host}`, port: 1 }, now)
        engine.handleTimeout(now)
        for (const event of eventsOf(engine)) {
          if (event.type === 'refresh') engine.refreshed(now)
          if (event.type === 'verify') engine.verified(0, now)
        }
        sentBy(engine)
      }
    ),
    { numRuns: 5000, seed: 12 }
  )
  t.ok(engine.report().agents.length <= 64)
  t.end()
})
