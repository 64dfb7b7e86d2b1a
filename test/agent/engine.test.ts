// Agents among themselves: their messages byte by byte, and their behaviour in virtual time over a network that loses.
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { isAgentMessage } from '../../src/wire/agent-mark.js'
import {
  decodeAgentMessage,
  encodeAgentMessage,
  EVERYBODY,
  type AgentMessage,
  type AgentMessageKind
} from '../../src/agent/protocol/messages.js'
import { AgentEngine } from '../../src/agent/protocol/agent-engine.js'
import { AnswerGate } from '../../src/agent/protocol/answer-gate.js'
import {
  ArrivalProof,
  costOf,
  messageSum,
  missingIn,
  piecesOf,
  wordsOf
} from '../../src/agent/protocol/arrival-proof.js'
import { BackupEngine } from '../../src/engine/backup/backup.js'
import { AgentWorld, messageOf } from '../fixtures/support/agent-world.js'

const ONE = '0000000000000001'
const STRANGER = 'feedfacefeedface'

/** An offer of 70,000 connections, worked by hand from the layout in agent-message.ts. */
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

function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'hex'))
}

function say(fields: Partial<AgentMessage>): Uint8Array {
  const message = {
    kind: 'request',
    from: STRANGER,
    to: EVERYBODY,
    request: 1,
    connections: 0,
    ready: false,
    words: []
  } as const
  return encodeAgentMessage({ ...message, ...fields }, 5)
}

t.test('a message is the bytes of its layout, in both directions', (t) => {
  const offer: AgentMessage = {
    kind: 'offer',
    from: '0123456789abcdef',
    to: 'fedcba9876543210',
    request: 0xdeadbeef,
    connections: 70_000,
    ready: true,
    words: []
  }
  t.strictSame(encodeAgentMessage(offer, 5), hex(OFFER))
  t.strictSame(decodeAgentMessage(hex(OFFER)), offer)
  const longer = hex(OFFER.replace('00050028', '0005002b') + '010203')
  t.strictSame(decodeAgentMessage(longer), offer, 'later versions may say more')
  const more = hex(
    OFFER.replace('00050028', '00050030').replace('4956534101', '4956534101').replace('0103', '0106') +
      '0000007b00000002'
  )
  t.match(decodeAgentMessage(more), { kind: 'done', connections: 70_000, words: [123, 2] })
  t.strictSame(encodeAgentMessage({ ...offer, kind: 'done', words: [123, 2] }, 5), more)
  t.end()
})

t.test('what is no such message, or one of a later version, is nothing', (t) => {
  const faults: [string, string, boolean][] = [
    ['cut off', `0005001000010000${OFFER.slice(16, 32)}`, true],
    ['empty', '', false],
    ['another magic', OFFER.replace('49565341', '49565342'), false],
    ['another size', OFFER.replace('00050028', '00050029'), false],
    ['counts connections', OFFER.replace('00010000', '01010000'), false],
    ['spare not 0', OFFER.replace('00010000', '00010001'), false],
    ['version 0', OFFER.replace(/^00/, '01'), false],
    ['version 2 of ours', OFFER.replace('4956534101', '4956534102'), true],
    ['kind 0', OFFER.replace('495653410103', '495653410100'), true],
    ['kind 10', OFFER.replace('495653410103', '49565341010a'), true]
  ]
  for (const [name, text, ours] of faults) {
    t.equal(decodeAgentMessage(hex(text)), undefined, name)
    t.equal(isAgentMessage(hex(text)), ours, `${name}: recognised or not`)
  }
  t.end()
})

t.test('what is written is read, and any bytes are read without harm', (t) => {
  const id = fc.bigInt(0n, 2n ** 64n - 1n).map((n) => n.toString(16).padStart(16, '0'))
  const number = fc.integer({ min: 0, max: 0xffffffff })
  const kind = fc.constantFrom<AgentMessageKind>(
    'hello',
    'request',
    'offer',
    'begin',
    'progress',
    'done',
    'cancel',
    'list',
    'repeat'
  )
  const words = fc.array(number, { maxLength: 100 })
  const message = fc.record(
    { kind, from: id, to: id, request: number, connections: number, ready: fc.boolean(), words },
    { noNullPrototype: true }
  )
  fc.assert(
    fc.property(message, fc.integer({ min: 0, max: 255 }), (value, syncid) => {
      return isDeepStrictEqual(decodeAgentMessage(encodeAgentMessage(value, syncid)), value)
    }),
    { numRuns: 200 }
  )
  const agent = new AgentEngine({ id: ONE, syncid: 0, chance: () => 0.5, tableSize: () => 10 })
  agent.start(1)
  const mutated = fc
    .tuple(message, fc.integer({ min: 0, max: 43 }), fc.integer({ min: 0, max: 255 }))
    .map(([m, at, byte]) => {
      const bytes = encodeAgentMessage(m, 5)
      bytes[at % bytes.length] = byte
      return bytes.subarray(0, at > 40 ? at - 40 : 40)
    })
  fc.assert(
    fc.property(
      fc.oneof(fc.uint8Array({ maxLength: 60 }), mutated),
      fc.integer({ min: 1, max: 60_000 }),
      (bytes, now) => {
        agent.handleDatagram(bytes, { address: '10.9.0.7', port: 1 }, now)
        agent.handleTimeout(now)
        for (let i = 0; i < 5; i++) agent.pollTransmit()
      }
    ),
    { numRuns: 2000 }
  )
  t.ok(agent.report().agents.length <= 64)
  t.end()
})

t.test('a backup takes no notice of agents, and warns of other bytes', (t) => {
  const backup = new BackupEngine({ syncid: 5 })
  backup.handleDatagram(hex(OFFER), { address: '10.9.0.1', port: 1 }, 1)
  t.strictSame(backup.counters().warnings, {})
  backup.handleDatagram(hex(OFFER.replace('49565341', '49565342')), { address: '10.9.0.1', port: 1 }, 1)
  t.strictSame(backup.counters().warnings, { LEFTOVER_BYTES: 1 })
  t.end()
})

t.test('one who comes up gets the table of the one who has most, once, and is ready', (t) => {
  const world = new AgentWorld()
  const small = world.add(100, { times: { limit: 500 } }).start()
  const large = world.add(5000, { times: { limit: 500 } }).start()
  world.pass(60_000)
  const before = [small.sent, large.sent]
  const comer = world.add(0).start()
  t.notOk(comer.engine.ready)
  const took = world.pass(30_000, () => comer.engine.ready)
  t.ok(took < 5000, `${took} ms, of which 1250 are the sending`)
  t.match(comer.statuses, [
    'asking for a table',
    `receiving a table of 5000 connections from agent ${large.engine.id}`,
    `ready: a table of 5000 connections came from agent ${large.engine.id}`
  ])
  world.pass(60_000)
  t.strictSame([small.sent, large.sent], [before[0], before[1]! + 5000], 'one answer’s worth of traffic')
  t.match(comer.engine.report(), { outcome: 'complete', received: 5000, expected: 5000, answers: 1 })
  t.match(large.engine.report(), { given: 2, refused: 0 })
  t.strictSame(
    comer.engine
      .report()
      .agents.map(({ id }) => id)
      .sort(),
    [small.engine.id, large.engine.id]
  )
  t.end()
})

t.test('two who come up together share one answer', (t) => {
  const world = new AgentWorld()
  const giver = world.add(4000, { times: { limit: 100 } }).start()
  world.pass(60_000)
  const comers = [world.add(0).start(), world.add(0).start()]
  world.pass(60_000, () => comers.every((comer) => comer.engine.ready))
  t.strictSame(
    comers.map((comer) => comer.engine.report().outcome),
    ['complete', 'complete']
  )
  t.strictSame(
    comers.map((comer) => comer.engine.report().received),
    [4000, 4000]
  )
  world.pass(60_000)
  t.equal(giver.sent, 4000)
  t.end()
})

t.test('with nobody there it is ready after the limit, and says so; when somebody turns up it asks again', (t) => {
  const world = new AgentWorld()
  const comer = world.add(0, { times: { limit: 10_000 } }).start()
  t.equal(
    world.pass(60_000, () => comer.engine.ready),
    10_000
  )
  t.equal(comer.engine.statusText(), 'ready, alone: no agent answered within 10 s')
  const late = world.add(400, { times: { limit: 1000 } }).start()
  world.pass(60_000, () => comer.engine.report().outcome === 'complete')
  t.ok(comer.statuses.includes('ready; asking for a table'), 'it stays ready meanwhile')
  t.equal(late.sent, 400)
  t.end()
})

t.test('one with an empty table that is not ready offers nothing; one who must not answer never does', (t) => {
  const world = new AgentWorld()
  world.add(0).start()
  const silent = world.add(1000, { answers: false, times: { limit: 100 } }).start()
  world.pass(1000)
  const comer = world.add(0, { times: { limit: 5000 } }).start()
  world.pass(20_000)
  t.equal(comer.engine.report().outcome, 'alone')
  t.equal(silent.sent, 0)
  t.end()
})

t.test('one who is killed while it answers is replaced by another', (t) => {
  const world = new AgentWorld()
  const first = world.add(8000, { times: { limit: 100 } }).start()
  const second = world.add(7000, { times: { limit: 100 } }).start()
  world.pass(60_000)
  const comer = world.add(0).start()
  world.pass(30_000, () => first.sent > 2000)
  first.kill()
  t.ok(world.pass(30_000, () => comer.engine.ready) < 8000, '3 s of silence, 2 s of sending, and what is between')
  t.match(comer.engine.report(), { outcome: 'complete', answerer: second.engine.id, received: 7000 })
  t.ok(first.sent < 2100)
  t.end()
})

t.test('one who only lost its voice is told to stop, and is asked again if there is no other', (t) => {
  const world = new AgentWorld()
  const giver = world.add(20_000, { times: { limit: 100 } }).start()
  world.pass(60_000)
  const comer = world.add(0).start()
  world.pass(30_000, () => giver.sent > 2000)
  const sentBefore = giver.sent
  giver.alive = false
  world.pass(4000)
  giver.alive = true
  world.pass(40_000, () => comer.engine.ready)
  t.ok(sentBefore < 2100)
  t.match(comer.engine.report(), { outcome: 'complete', received: 20_000 })
  t.end()
})

t.test('what is lost is sent again, message by message, until all is there', (t) => {
  const world = new AgentWorld({ loss: 0.05, seed: 11 })
  const giver = world.add(8000, { times: { limit: 100 } }).start()
  world.pass(60_000)
  const comer = world.add(0).start()
  world.pass(60_000, () => comer.engine.ready)
  t.match(comer.engine.report(), { outcome: 'complete', received: 8000, answers: 1 })
  t.ok(giver.sent > 8000 && giver.sent < 9000, `${giver.sent}: 40 a message`)
  world.pass(60_000)
  t.ok(giver.events.some(({ type }) => type === 'forget'))
  t.equal(giver.engine.report().given, 1)
  t.end()
})

t.test('what may be sent again is limited: then once more the whole, and it is ready with what there is', (t) => {
  const world = new AgentWorld({ loss: 0.4, seed: 3 })
  const giver = world.add(20_000, { times: { limit: 100, silence: 20_000 } }).start()
  world.pass(1000)
  const comer = world.add(0, { times: { silence: 20_000 } }).start()
  world.pass(200_000, () => comer.engine.ready)
  t.match(comer.engine.report(), { outcome: 'incomplete' })
  t.match(comer.engine.statusText(), /^ready, incomplete: \d+ of 20000 connections came/)
  const { given } = giver.engine.report()
  t.ok(giver.sent <= given * 1.25 * 20_000, `${giver.sent} in ${given} answers`)
  t.end()
})

t.test('one who only listened to an answer may ask for what it lacks as well', (t) => {
  const world = new AgentWorld()
  const giver = world.add(8000, { times: { limit: 100 } }).start()
  world.pass(1000)
  const [first, second] = [world.add(0).start(), world.add(0).start()]
  world.pass(30_000, () => giver.sent > 4000)
  second.alive = false
  world.pass(300)
  second.alive = true
  world.pass(30_000, () => first.engine.ready && second.engine.ready)
  t.match(
    [first.engine.report(), second.engine.report()],
    [{ received: 8000 }, { received: 8000, outcome: 'complete' }]
  )
  t.equal(giver.engine.report().given, 1)
  t.ok(giver.sent < 9300)
  t.end()
})

t.test('arrival is proved by what came, not by how much', (t) => {
  t.strictSame(
    ['', 'a', 'foobar'].map((text) => messageSum(Buffer.from(text))),
    [0x811c9dc5, 0xe40c292c, 0xbf9cf968],
    'the test vectors of FNV-1a'
  )
  const messages = Array.from({ length: 130 }, (_, number) => messageOf(40, number))
  const list = (portion: number) => ({
    connections: portion,
    words: messages.slice(portion * 64, portion * 64 + 64).map(messageSum)
  })
  const proof = new ArrivalProof()
  for (const bytes of messages) proof.arrive(bytes, 40)
  for (const bytes of messages.slice(0, 5)) proof.arrive(bytes, 40)
  t.equal(proof.connections, 5200, 'what comes twice counts once')
  const lists = [0, 1, 2].map((portion) => ({ portion, early: 0, late: 0 }))
  t.strictSame(proof.missing(130), lists, 'as long as the lists are not known they are what is missing')
  t.strictSame([missingIn(lists[0]!), costOf(lists[0]!)], [64, 1])
  for (const portion of [0, 1, 2, 1e9]) proof.learn(list(portion))
  t.strictSame(proof.missing(130), [])
  t.strictSame(proof.missing(131), lists.slice(2), 'a list that is too short')
  const other = new ArrivalProof()
  for (const portion of [0, 1, 2]) other.learn(list(portion))
  for (const [number, bytes] of messages.entries()) if (![0, 31, 32, 127].includes(number)) other.arrive(bytes, 40)
  const pieces = [
    { portion: 0, early: 0x80000001, late: 1 },
    { portion: 1, early: 0, late: 0x80000000 }
  ]
  t.strictSame(other.missing(130), pieces)
  t.strictSame(
    [pieces.map(missingIn), pieces.map(costOf)],
    [
      [3, 1],
      [3, 1]
    ]
  )
  t.strictSame(piecesOf(wordsOf(pieces), 130, 4), pieces)
  t.strictSame(piecesOf(wordsOf(pieces), 130, 3), pieces.slice(0, 1), 'as many as may be sent')
  t.strictSame(piecesOf([...wordsOf(pieces), 2, 4, 0, 3, 0, 0, 9, 9], 130, 100), pieces, 'beyond the table, or cut off')
  t.strictSame(piecesOf([2, 0, 0], 130, 1), lists.slice(2))
  t.equal(wordsOf(Array.from({ length: 200 }, () => pieces[0]!)).length, 180)
  t.end()
})

t.test('a table that came from oneself is not asked for', (t) => {
  const world = new AgentWorld()
  const old = world.add(3000, { times: { limit: 1000 } }).start()
  world.pass(2000)
  t.equal(old.engine.report().outcome, 'alone')
  const comer = world.add(0).start()
  world.pass(30_000, () => comer.engine.ready)
  comer.size = 3000
  world.pass(60_000)
  t.strictSame([old.sent, comer.sent], [3000, 0], 'one table for one reboot')
  const other = world.add(5000, { times: { limit: 100 } }).start()
  world.pass(60_000)
  t.strictSame([old.engine.report().outcome, other.engine.report().given > 0], ['complete', true], 'it has more')
  t.end()
})

t.test('what a restart left is brought to the kernel before an agent is ready alone', (t) => {
  const world = new AgentWorld()
  const restoring = world.add(1000, { restores: true, times: { limit: 1000, transferLimit: 9000 } }).start()
  world.pass(3000)
  t.match([restoring.events.at(-1), restoring.engine.ready], [{ type: 'restore' }, false])
  restoring.engine.verified(0, world.network.now)
  restoring.settle()
  t.match(restoring.engine.report(), { outcome: 'alone', ready: true })
  const empty = world.add(0, { answers: false, restores: true, times: { limit: 1000 } })
  restoring.kill()
  empty.start()
  t.equal(
    world.pass(30_000, () => empty.engine.ready),
    1000,
    'nothing to bring'
  )
  const stuck = world.add(10, { restores: true, times: { limit: 1000, transferLimit: 9000 } }).start()
  stuck.engine.handleTimeout(world.network.now + 1000)
  stuck.engine.handleTimeout(world.network.now + 1001)
  t.equal(
    world.pass(30_000, () => stuck.engine.ready),
    9000,
    'ready all the same if nobody brings it'
  )
  t.end()
})

t.test('over networks that lose, delay and repeat everybody is ready in the end, and complete', (t) => {
  let complete = 0
  for (let seed = 1; seed <= 40; seed++) {
    const world = new AgentWorld({
      seed,
      loss: 0.002 * (seed % 10),
      delayMs: [1, 40],
      reordering: 0.02,
      duplication: 0.01
    })
    for (const size of [3000, 3000, 0]) world.add(size, { times: { limit: 200 } }).start()
    world.pass(60_000)
    const comer = world.add(0).start()
    t.ok(world.pass(60_000, () => comer.engine.ready) < 60_000, `seed ${seed}`)
    t.not(comer.engine.report().outcome, 'alone')
    if (comer.engine.report().outcome === 'complete') complete++
  }
  t.equal(complete, 40, `${complete} of 40`)
  t.end()
})

t.test(
  'a hostile requester gets two answers, then one in thirty seconds; from many addresses four, then one in fifteen',
  (t) => {
    for (const [many, most] of [
      [false, 2 + 3],
      [true, 4 + 6]
    ] as const) {
      const giver = new AgentEngine({ id: ONE, syncid: 5, chance: () => 0, tableSize: () => 1000, times: { limit: 1 } })
      giver.start(1)
      let answers = 0
      let said = 0
      for (let now = 100; now < 90_100; now += 20) {
        const from = { address: many ? `10.9.${now % 251}.${now % 241}` : '10.9.0.66', port: 4 }
        giver.handleDatagram(say({ from: now.toString(16).padStart(16, '0'), request: now }), from, now)
        giver.handleDatagram(say({ from: now.toString(16).padStart(16, '0'), to: ONE, request: now }), from, now)
        giver.handleTimeout(now)
        for (let event = giver.pollEvent(); event !== undefined; event = giver.pollEvent()) {
          if (event.type !== 'answer') continue
          answers++
          giver.answerDone(1000, 25, now)
        }
        while (giver.pollTransmit() !== undefined) said++
      }
      t.ok(answers >= most - 1 && answers <= most, `${answers} answers in 90 s to ${many ? 'many addresses' : 'one'}`)
      t.equal(giver.report().given, answers)
      t.ok(giver.report().refused > 4000)
      t.ok(said < 5000, `${said} messages, each of 40 bytes, to 9000`)
    }
    t.end()
  }
)

t.test('only accepted addresses and the own syncid are heard; nobody is made to listen to itself', (t) => {
  const agent = new AgentEngine({
    id: ONE,
    syncid: 5,
    chance: () => 0,
    tableSize: () => 1000,
    accept: ['10.9.0.0/24'],
    times: { limit: 1 }
  })
  agent.start(1)
  const questions: [string, Uint8Array, string][] = [
    ['a stranger', say({}), '10.8.0.1'],
    ['another syncid', encodeAgentMessage({ ...decodeAgentMessage(say({}))!, kind: 'request' }, 6), '10.9.0.1'],
    ['itself', say({ from: ONE }), '10.9.0.1']
  ]
  while (agent.pollTransmit() !== undefined);
  for (const [name, bytes, address] of questions) {
    t.equal(agent.handleDatagram(bytes, { address, port: 1 }, 10), true)
    agent.handleTimeout(10)
    t.equal(agent.pollTransmit(), undefined, name)
  }
  agent.handleDatagram(say({}), { address: '10.9.0.1', port: 1 }, 20)
  agent.handleTimeout(20)
  t.match(decodeAgentMessage(agent.pollTransmit()!), { kind: 'offer', to: STRANGER, connections: 1000 })
  t.throws(() => new AgentEngine({ id: ONE, syncid: 256, chance: () => 0, tableSize: () => 0 }), {
    code: 'ERR_CONFIG',
    field: 'syncid'
  })
  t.end()
})

t.test('a giver hears the end of the wish, and minds nobody else’s', (t) => {
  const giver = new AgentEngine({ id: ONE, syncid: 0, chance: () => 0, tableSize: () => 1000, times: { limit: 1 } })
  const from = { address: '10.9.0.1', port: 1 }
  giver.start(1)
  giver.handleTimeout(2)
  const events = (): string[] => {
    const types: string[] = []
    for (let event = giver.pollEvent(); event !== undefined; event = giver.pollEvent()) types.push(event.type)
    return types
  }
  events()
  giver.answerDone(5, 1, 2)
  giver.answerProgress(5)
  giver.answerPortion(0, [1])
  giver.handleDatagram(say({ kind: 'repeat', to: ONE, request: 9 }), from, 3)
  giver.handleDatagram(say({ to: ONE, request: 9 }), from, 10)
  t.strictSame(events(), ['answer'])
  giver.handleDatagram(say({ to: ONE, request: 10 }), from, 11)
  giver.handleDatagram(say({ request: 10 }), from, 11)
  t.strictSame(events(), [], 'one answer at a time')
  giver.handleDatagram(say({ kind: 'cancel', to: ONE, request: 8 }), from, 12)
  giver.handleDatagram(say({ kind: 'cancel', to: 'feedfacefeedfacf', request: 9 }), from, 12)
  t.strictSame(events(), [])
  giver.handleDatagram(say({ kind: 'cancel', to: ONE, request: 9 }), from, 13)
  t.strictSame(events(), ['stop'])
  giver.handleDatagram(say({ to: ONE, request: 11 }), from, 14)
  giver.answerDone(1000, 25, 20)
  giver.handleDatagram(say({ to: ONE, request: 11 }), from, 21)
  t.strictSame(events(), ['answer'], 'a question that comes twice is answered once')
  const lacking = say({ kind: 'repeat', to: ONE, request: 11, words: [0, 3, 0] })
  giver.handleDatagram(lacking, from, 22)
  t.strictSame(events(), [], 'the end is still being said')
  for (const now of [120, 220]) giver.handleTimeout(now)
  giver.handleDatagram(lacking, from, 320)
  giver.handleDatagram(lacking, from, 320)
  t.strictSame(events(), ['repeat'])
  giver.answerDone(1000, 25, 330)
  for (const now of [430, 530, 10_319, 10_320, 10_321]) giver.handleTimeout(now)
  t.strictSame(events(), ['forget'])
  giver.handleDatagram(lacking, from, 10_400)
  t.match(giver.pollEvent(), { type: 'repeat', pieces: [] }, 'nothing is sent, and the end said again')
  t.end()
})

t.test('with a look at the kernel’s table, an answer counts when the kernel has it', (t) => {
  for (const [missing, outcome] of [
    [0, 'complete'],
    [1, 'incomplete']
  ] as const) {
    const world = new AgentWorld()
    world.add(1000, { times: { limit: 100 } }).start()
    world.pass(1000)
    const comer = world.add(0, { verifies: true }).start()
    comer.engine.verified(5, world.network.now)
    let looks = 0
    world.pass(30_000, () => {
      const last = comer.events.at(-1)
      if (last?.type === 'verify') {
        comer.events.push({ type: 'stop' })
        looks++
        comer.engine.verified(missing, world.network.now)
        comer.settle()
      }
      return comer.engine.ready
    })
    t.equal(comer.engine.report().outcome, outcome)
    t.equal(looks, outcome === 'complete' ? 1 : 2, 'what is missing is asked for once more')
  }
  const world = new AgentWorld()
  world.add(1000, { times: { limit: 100 } }).start()
  world.pass(1000)
  const comer = world.add(0, { verifies: true, times: { limit: 5000, transferLimit: 20_000 } }).start()
  world.pass(60_000, () => comer.engine.ready)
  t.equal(comer.engine.report().outcome, 'incomplete', 'nobody looks: ready in the end all the same')
  t.end()
})

t.test(
  'a look at the kernel’s table that takes longer than silence may is waited for, and costs no second answer',
  (t) => {
    const world = new AgentWorld()
    const giver = world.add(1000, { times: { limit: 100 } }).start()
    world.pass(1000)
    const comer = world.add(0, { verifies: true, times: { silence: 2000 } }).start()
    const looks = (): boolean => comer.events.at(-1)?.type === 'verify'
    world.pass(30_000, looks)
    t.ok(looks())
    world.pass(10_000)
    t.ok(looks(), 'nothing else happened meanwhile')
    comer.engine.verified(0, world.network.now)
    comer.settle()
    t.equal(comer.engine.report().outcome, 'complete')
    t.equal(giver.engine.report().given, 1)
    t.end()
  }
)

t.test('stopping takes the question back; starting twice asks once', (t) => {
  const world = new AgentWorld()
  const giver = world.add(8000, { times: { limit: 100 } }).start()
  world.pass(1000)
  const comer = world.add(0).start()
  comer.start()
  t.equal(comer.engine.statusText(), 'asking for a table')
  world.pass(30_000, () => giver.sent > 1000)
  comer.engine.close()
  comer.settle()
  world.pass(20_000)
  t.ok(giver.sent < 1200)
  t.equal(comer.engine.statusText(), 'ended before a table was there')
  t.equal(comer.engine.nextTimeout(), Infinity)
  t.end()
})

t.test('the gate: so many at once, then one an interval', (t) => {
  const gate = new AnswerGate(1000, 1)
  t.strictSame([gate.take('a', 1), gate.take('a', 1), gate.take('b', 1), gate.take('c', 1)], [true, false, true, false])
  t.strictSame([gate.isOpen('c', 501), gate.isOpen('a', 501), gate.isOpen('a', 1001)], [true, false, true])
  t.end()
})

t.test('connections of other messages are not counted', (t) => {
  const world = new AgentWorld()
  world.add(2000, { times: { limit: 100 } }).start()
  world.pass(1000)
  const comer = world.add(0).start()
  world.pass(30_000, () => comer.engine.report().received > 0)
  const before = comer.engine.report().received
  const { now } = world.network
  comer.engine.handleDatagram(messageOf(9), { address: '10.9.0.1', port: 8848 }, now)
  comer.engine.handleDatagram(messageOf(9), { address: '10.9.0.9', port: 40_001 }, now)
  comer.engine.handleDatagram(
    Uint8Array.of(9, 5, 0, 12, 9, 9, 9, 9, 9, 9, 9, 9),
    { address: '10.9.0.1', port: 40_001 },
    now
  )
  t.equal(comer.engine.report().received, before)
  t.end()
})

t.test('what is said twice, or comes late, changes nothing', (t) => {
  const comer = new AgentEngine({ id: ONE, syncid: 5, chance: () => 0.5, tableSize: () => 0 })
  const from = { address: '10.9.0.9', port: 4 }
  const begin = say({ kind: 'begin', to: 'f'.repeat(16), request: 7, connections: 100 })
  const list = (portion: number) => say({ kind: 'list', request: 7, connections: portion, words: [1] })
  const done = (round: number, messages = 1) =>
    say({ kind: 'done', request: 7, connections: 100, words: [messages, round] })
  const asked = (): number[] => {
    const rounds: number[] = []
    for (let bytes = comer.pollTransmit(); bytes !== undefined; bytes = comer.pollTransmit()) {
      const { kind, connections } = decodeAgentMessage(bytes)!
      if (kind === 'repeat') rounds.push(connections)
    }
    return rounds
  }
  const hear = (now: number, ...messages: Uint8Array[]): void => {
    for (const bytes of messages) comer.handleDatagram(bytes, from, now)
  }
  comer.start(1)
  hear(2, list(0), begin, begin, done(0, 2 ** 21))
  t.match(comer.report(), { answers: 1, expected: 100 })
  hear(3, done(0), done(0))
  comer.handleTimeout(303)
  t.strictSame(asked(), [1])
  hear(304, done(0))
  comer.handleTimeout(1303)
  t.strictSame(asked(), [1], 'the question is said again, since nobody answered it')
  hear(1304, list(0), done(1))
  comer.handleTimeout(1604)
  t.strictSame(asked(), [2], 'the list came: one message is missing instead of perhaps 64')
  hear(1605, messageOf(40))
  comer.handleTimeout(2700)
  t.strictSame(asked(), [], 'it is being answered')
  for (const [index, round] of [3, 4].entries()) {
    hear(2701 + 1000 * index, done(round - 1))
    comer.handleTimeout(3001 + 1000 * index)
    t.strictSame(asked(), [round], 'it may have been lost again')
  }
  hear(4701, done(4))
  comer.handleTimeout(5001)
  t.strictSame(asked(), [], 'three times in vain: the whole is asked for')
  t.notOk(comer.ready)
  t.end()
})

t.test('a crowd of offers, messages that nobody takes, and an answer without an end are bounded', (t) => {
  const agent = new AgentEngine({
    id: 'a'.repeat(16),
    syncid: 5,
    chance: () => 0,
    tableSize: () => 0,
    times: { limit: 1000, transferLimit: 9000 }
  })
  agent.start(1)
  const { kind, request } = decodeAgentMessage(agent.pollTransmit()!)!
  t.equal(kind, 'request')
  t.match(decodeAgentMessage(agent.pollTransmit()!), { kind: 'hello', connections: 0 })
  const from = { address: '10.9.0.1', port: 1 }
  const numbers = Array.from({ length: 40 }, (_, i) => 1 + ((i * 7) % 40))
  for (const number of numbers) {
    const id = number.toString(16).padStart(16, '0')
    agent.handleDatagram(say({ kind: 'offer', from: id, to: agent.id, request, connections: 7 }), from, 2)
  }
  agent.handleTimeout(302)
  const choice = decodeAgentMessage(agent.pollTransmit()!)!
  t.match(
    choice,
    {
      kind: 'request',
      to: Math.min(...numbers.slice(0, 16))
        .toString(16)
        .padStart(16, '0')
    },
    'sixteen are remembered; the lowest is taken'
  )
  for (let now = 400; now < 9001; now += 100) {
    agent.handleDatagram(say({ kind: 'progress', from: choice.to, to: agent.id, request: choice.request }), from, now)
    agent.handleTimeout(now)
    t.notOk(agent.ready)
  }
  agent.handleTimeout(9001)
  t.ok(agent.ready)
  for (let now = 10_000; now < 2_000_000; now += 10_000) agent.handleTimeout(now)
  let waiting = 0
  while (agent.pollTransmit() !== undefined) waiting++
  t.equal(waiting, 64)
  t.end()
})
