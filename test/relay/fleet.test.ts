// A fleet of 64 sites on one broker, in virtual time: every site delivers every message of the others once and in order.
import t from 'tap'
import { RelayEngine } from '../../src/relay/relay-engine.js'
import { seededChance } from '../../src/transport/chance.js'

const SITES = 64
const MESSAGES = 20
const SIZE = 200

t.test('64 sites: bytes and messages grow with the sites, and nothing is lost, repeated or reordered', async (t) => {
  const chance = seededChance(64)
  const engines = Array.from({ length: SITES }, (_, index) => {
    return new RelayEngine({ origin: { site: `s${index}`, id: BigInt(index + 1) }, links: [{ maxFrame: 45_000 }] })
  })
  const delivered = engines.map(() => new Map<number, number>())
  let wire: { due: number; from: number; bytes: Uint8Array }[] = []
  let [frames, bytes, reordered] = [0, 0, 0]
  for (let now = 1; now <= 400; now++) {
    for (const [index, engine] of engines.entries()) {
      if (now % 10 === 0 && now <= MESSAGES * 10) {
        const message = new Uint8Array(SIZE)
        message.set([index, now / 10])
        engine.handleLocal(message, 0, now)
      }
      if ((engine.nextTimeout() ?? Infinity) <= now) engine.handleTimeout(now)
      for (let next = engine.pollTransmit(); next !== undefined; next = engine.pollTransmit()) {
        if (next.to !== 'local') {
          frames++
          bytes += next.bytes.length
          wire.push({ due: now + 1 + Math.floor(chance() * 5), from: index, bytes: next.bytes })
        } else {
          const [from = 0, number = 0] = next.bytes
          const last = delivered[index]!.get(from) ?? 0
          if (number !== last + 1) reordered++
          delivered[index]!.set(from, number)
        }
      }
    }
    for (const { from, bytes: frame } of wire.filter(({ due }) => due <= now))
      for (const [index, engine] of engines.entries()) if (index !== from) engine.handleFrame(0, frame, now)
    wire = wire.filter(({ due }) => due > now)
  }
  t.equal(reordered, 0)
  t.ok(delivered.every((sites) => sites.size === SITES - 1 && [...sites.values()].every((last) => last === MESSAGES)))
  t.equal(
    engines.reduce((sum, engine) => sum + engine.counters().delivered, 0),
    SITES * (SITES - 1) * MESSAGES
  )
  t.ok(frames <= SITES * MESSAGES, `${frames} frames published`)
  t.ok(bytes < SITES * MESSAGES * (SIZE + 40), `${bytes} bytes published`)
})
