// What forged messages between agents do under --require-key: nothing. Each kind, by each way of forging, in virtual time.
import t from 'tap'
import { AgentEngine, type AgentReport } from '../../src/agent/protocol/agent-engine.js'
import {
  decodeAgentMessage,
  EVERY_AGENT,
  encodeAgentMessage,
  type AgentMessage
} from '../../src/agent/protocol/messages.js'
import { MemoryNetwork } from '../../src/transport/memory.js'
import { Key, KeyRing } from '../../src/trust/keys.js'
import { SealedReceiver } from '../../src/trust/sealed-receiver.js'
import { Sealer } from '../../src/trust/sealer.js'
import { Verifier } from '../../src/trust/verifier.js'

const RING = new KeyRing([new Key(new Uint8Array(32).fill(7))])
const WALL = 1_700_000_000_000
const [OWN, PEER] = ['00000000000000aa', '00000000000000bb'] as const
type Kind = AgentMessage['kind']
type Forgery = (message: Uint8Array) => Uint8Array

function sealerOf(fill: number, wall = WALL, sender?: bigint): Sealer {
  return new Sealer({
    key: new Key(new Uint8Array(32).fill(fill)),
    wallClock: () => wall,
    ...(sender !== undefined && { sender })
  })
}

/** Ways to make a message without the key, or with recordings of those that have it. */
const FORGERIES: Readonly<Record<string, () => Forgery>> = {
  unsealed: () => (message) => message,
  'sealed with another key': () => {
    const sealer = sealerOf(8)
    return (message) => sealer.seal(message, 0)
  },
  altered: () => {
    const sealer = sealerOf(7, WALL, 5n)
    return (message) => {
      const bytes = sealer.seal(message, 0)
      bytes[bytes.length - 60]! ^= 1
      return bytes
    }
  },
  'recorded on another channel': () => {
    const sealer = sealerOf(7, WALL, 6n)
    return (message) => sealer.seal(message, 3)
  },
  'recorded a minute ago': () => {
    const sealer = sealerOf(7, WALL - 60_000, 7n)
    return (message) => sealer.seal(message, 0)
  }
}

/** A request that a responder with the key answers, but for the messages of one kind, which a forger sends. */
async function transfer(forged: Kind | undefined, forge: Forgery): Promise<{ report: AgentReport; peers: number }> {
  const network = new MemoryNetwork()
  const clock = { now: () => Math.max(1, network.now), after: () => () => undefined }
  const engine = new AgentEngine({
    id: OWN,
    syncid: 5,
    chance: () => 0.5,
    table: { size: 0, messages: () => [][Symbol.iterator]() },
    times: { limit: 5000 }
  })
  const receiver = new SealedReceiver(network.open('10.0.0.1'), {
    verifier: new Verifier({ keys: RING, wallClock: () => WALL }),
    requireKey: true,
    syncid: 5,
    clock
  })
  await receiver.start({ onDatagram: (bytes, from) => void engine.handleDatagram(bytes, from, clock.now()) })
  const peer = network.open('10.0.0.2')
  peer.listen({})
  const sealer = sealerOf(7, WALL, 1n)
  const say = (message: AgentMessage): void => {
    const bytes = encodeAgentMessage(message, 5)
    peer.send(0, message.kind === forged ? forge(bytes) : sealer.seal(bytes, 0))
    network.advance(network.now)
  }
  const common = { from: PEER, to: OWN, ready: true } as const
  let [report, peers] = [engine.report(), 0]
  engine.start(1)
  for (let now = 1; now < 8000; now += 10) {
    network.advance(now)
    engine.handleTimeout(now)
    for (let next = engine.pollTransmit(); next !== undefined; next = engine.pollTransmit()) {
      const message = decodeAgentMessage(next.bytes)
      if (message?.kind !== 'request') continue
      const { request, to } = message
      if (to === EVERY_AGENT) {
        say({ ...common, kind: 'hello', to: EVERY_AGENT, request: 0, connections: 0, origin: undefined })
        // An offer announces its sender, too.
        if (forged !== 'hello') say({ ...common, kind: 'offer', request, connections: 0 })
      } else {
        say({ ...common, kind: 'begin', request, connections: 0 })
        say({ ...common, kind: 'done', request, connections: 0, messages: 0, round: 0 })
      }
    }
    report = engine.report()
    peers = Math.max(peers, report.agents.length)
  }
  await receiver.close()
  return { report, peers }
}

t.test('a responder with the key completes a requester', async (t) => {
  const { report, peers } = await transfer(undefined, (message) => message)
  t.match(report, { outcome: 'complete', answerer: PEER, answers: 1 })
  t.equal(peers, 1)
})

t.test('a hello, an offer, a begin and a done without the key have no effect', async (t) => {
  for (const [name, create] of Object.entries(FORGERIES)) {
    t.equal((await transfer('hello', create())).peers, 0, `hello ${name}`)
    t.match((await transfer('offer', create())).report, { outcome: 'alone', answerer: undefined }, `offer ${name}`)
    t.match((await transfer('begin', create())).report, { outcome: 'complete', answers: 0 }, `begin ${name}`)
    t.not((await transfer('done', create())).report.outcome, 'complete', `done ${name}`)
  }
})
