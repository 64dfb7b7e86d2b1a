// The relay's frames and state machine: vectors by hand, and simulations of lossy meshes in virtual time.
import fc from 'fast-check'
import t from 'tap'
import { decodeFrame, encodeFrame, frameOverhead, ITEM_OVERHEAD, MAX_PIECES } from '../../src/relay/frame.js'
import {
  HOLD_BACK,
  IDLE_REPEAT,
  MAX_BATCH_DELAY,
  MAX_HOPS,
  PIECE_WAIT,
  RelayEngine
} from '../../src/relay/relay-engine.js'
import { seededChance } from '../../src/transport/chance.js'

const ORIGIN = { site: 'a', id: 0x1122334455667788n }

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString()
}

function words(...values: string[]): Uint8Array[] {
  return values.map((value) => Uint8Array.from(Buffer.from(value)))
}

/** Everything an engine wants sent. */
function drain(engine: RelayEngine): { to: 'local' | number; channel: number; bytes: Uint8Array }[] {
  const all = []
  for (let next = engine.pollTransmit(); next !== undefined; next = engine.pollTransmit()) all.push(next)
  return all
}

t.test('a frame, byte by byte', async (t) => {
  const [bytes] = words('xyz')
  const frame = encodeFrame({
    origin: ORIGIN,
    hops: 2,
    channel: 5,
    items: [
      { sequence: 7, piece: 0, pieces: 1, bytes: bytes! },
      { sequence: 9, piece: 1, pieces: 2, bytes: new Uint8Array() }
    ]
  })
  t.equal(
    Buffer.from(frame).toString('hex'),
    '01020105' + '61' + '1122334455667788' + '0000000000000007' + '000100030000' + '78797a' + '010200000002'
  )
  const decoded = decodeFrame(frame)
  t.match(decoded, { origin: ORIGIN, hops: 2, channel: 5 })
  t.same(
    decoded?.items.map(({ sequence, piece, pieces, bytes: part }) => [sequence, piece, pieces, text(part)]),
    [
      [7, 0, 1, 'xyz'],
      [9, 1, 2, '']
    ]
  )
  t.equal(frame.length, frameOverhead('a') + 2 * ITEM_OVERHEAD + 3)
})

t.test('what is no frame is refused, and no bytes throw', async (t) => {
  const good = encodeFrame({
    origin: ORIGIN,
    hops: 0,
    channel: 0,
    items: [{ sequence: 1, piece: 0, pieces: 1, bytes: new Uint8Array(3) }]
  })
  for (let length = 0; length < good.length; length++)
    if (length !== good.length - 9) t.equal(decodeFrame(good.subarray(0, length)), undefined, `${length} bytes`)
  for (const [offset, value] of [
    [0, 2],
    [3, 64],
    [2, 0],
    [4, 0x41],
    [13, 0xff],
    [20, 0],
    [21, 1],
    [22, 0],
    [22, MAX_PIECES + 1]
  ] as const) {
    const other = good.slice()
    other[offset] = value
    t.equal(decodeFrame(offset === 20 ? other.fill(0, 13, 21) : other), undefined, `byte ${offset} = ${value}`)
  }
  const engine = new RelayEngine({ origin: ORIGIN, links: [{ maxFrame: 500 }] })
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
      engine.handleFrame(0, bytes, 1)
      const framed = good.slice()
      framed.set(bytes.subarray(0, good.length - 5), 5)
      engine.handleFrame(0, framed, 1)
      return drain(engine).every(({ to }) => to === 'local')
    }),
    { numRuns: 2000, seed: 5 }
  )
})

t.test('messages share a frame for at most 5 ms, or until it is full; a large one travels in pieces', async (t) => {
  const sender = new RelayEngine({ origin: ORIGIN, links: [{ maxFrame: 100 }] })
  const receiver = new RelayEngine({ origin: { site: 'b', id: 2n }, links: [{ maxFrame: 100 }] })
  sender.handleLocal(new Uint8Array(20).fill(1), 0, 1000)
  t.equal(sender.nextTimeout(), 1000 + MAX_BATCH_DELAY)
  sender.handleLocal(new Uint8Array(20).fill(2), 0, 1001)
  t.same(drain(sender), [])
  sender.handleTimeout(1005)
  const [first, ...none] = drain(sender)
  t.same(none, [])
  receiver.handleFrame(0, first!.bytes, 1)
  t.same(
    drain(receiver).map(({ to, bytes }) => [to, bytes.length, bytes[0]]),
    [
      ['local', 20, 1],
      ['local', 20, 2]
    ]
  )
  const large = Uint8Array.from({ length: 1400 }, (_, index) => index & 255)
  sender.handleLocal(large, 0, 2000)
  const frames = drain(sender)
  t.equal(sender.nextTimeout(), 2000 + IDLE_REPEAT, 'the last piece of a message waits for no other message')
  t.ok(frames.length > 14)
  t.ok(frames.every(({ bytes }) => bytes.length <= 100))
  for (const { bytes } of frames.reverse()) receiver.handleFrame(0, bytes, 10)
  t.same(drain(receiver)[0]?.bytes, large, 'whole again, in whatever order the pieces arrive')
  receiver.handleLocal(large, 0, 20)
  t.match(receiver.counters(), { local: 0, echoes: 1 }, 'the group returned what was delivered')
  receiver.handleLocal(large, 0, 2010)
  t.same(receiver.counters(), { local: 1, echoes: 1, delivered: 3, duplicates: 0, lost: 0, refused: 0 })
})

t.test('a message waits 20 ms for an earlier one, then continues without it', async (t) => {
  const frame = (sequence: number, bytes = 'x', piece = 0, pieces = 1): Uint8Array =>
    encodeFrame({ origin: ORIGIN, hops: 0, channel: 1, items: [{ sequence, piece, pieces, bytes: words(bytes)[0]! }] })
  const engine = new RelayEngine({ origin: { site: 'b', id: 2n }, links: [{ maxFrame: 100 }] })
  const local = (): string =>
    drain(engine)
      .map(({ bytes }) => text(bytes))
      .join('')
  engine.handleFrame(0, frame(10, 'a'), 100)
  engine.handleFrame(0, frame(12, 'c'), 101)
  t.equal(local(), 'a')
  engine.handleFrame(0, frame(11, 'b'), 102)
  t.equal(local(), 'bc')
  engine.handleFrame(0, frame(14, 'e'), 103)
  t.equal(engine.nextTimeout(), 103 + HOLD_BACK)
  engine.handleTimeout(110)
  t.equal(local(), '')
  engine.handleTimeout(123)
  t.equal(local(), 'e')
  engine.handleFrame(0, frame(13, 'd'), 124)
  engine.handleFrame(0, frame(14, 'e'), 124)
  t.equal(local(), '', 'late ones and repeats are not delivered')
  engine.handleFrame(0, frame(15, 'f', 0, 2), 200)
  engine.handleFrame(0, frame(15, 'f', 0, 2), 200)
  engine.handleFrame(0, frame(15, 'f', 1, 3), 200)
  engine.handleFrame(0, frame(16, 'g'), 201)
  engine.handleTimeout(220)
  t.equal(local(), '')
  engine.handleTimeout(221)
  t.equal(local(), 'g', 'a message that lacks a piece is lost once a later one has waited')
  engine.handleFrame(0, frame(17, 'h', 0, 2), 230)
  t.equal(engine.nextTimeout(), 230 + PIECE_WAIT)
  engine.handleTimeout(470)
  engine.handleFrame(0, frame(17, 'i', 1, 2), 470)
  t.equal(local(), 'hi', 'without a later one it is waited for')
  engine.handleFrame(0, frame(18, 'k', 0, 2), 480)
  engine.handleTimeout(730)
  engine.handleFrame(0, frame(18, 'k', 1, 2), 731)
  t.equal(local(), '', 'but not for ever')
  engine.handleFrame(0, frame(20, 'j'), 300)
  engine.handleFrame(0, frame(2000, 'z'), 301)
  t.equal(local(), 'jz', 'a sender that is far ahead is not waited for')
  t.match(engine.counters(), { duplicates: 4, lost: 1 + 1 + 1 + 1 + 1979 })
})

t.test('own messages and those of too many hops are dropped', async (t) => {
  const engine = new RelayEngine({ origin: ORIGIN, links: [{ maxFrame: 100 }, { maxFrame: 100 }] })
  const item = { sequence: 1, piece: 0, pieces: 1, bytes: words('x')[0]! }
  engine.handleFrame(0, encodeFrame({ origin: { site: 'a', id: 9n }, hops: 0, channel: 0, items: [item] }), 1)
  engine.handleFrame(
    0,
    encodeFrame({ origin: { site: 'c', id: 9n }, hops: MAX_HOPS + 1, channel: 0, items: [item] }),
    1
  )
  t.same(drain(engine), [])
  t.equal(engine.counters().refused, 2)
  engine.handleFrame(0, encodeFrame({ origin: { site: 'c', id: 8n }, hops: MAX_HOPS, channel: 0, items: [item] }), 1)
  t.equal(drain(engine).length, 1, 'delivered, and passed on no further')
  t.equal(engine.nextTimeout(), undefined)
})

t.test(
  'in a mesh with loss, repeats and reordering every site delivers in order, once, and nothing circulates',
  async (t) => {
    for (let seed = 1; seed <= 20; seed++) {
      const chance = seededChance(seed)
      const sites = ['a', 'b', 'c', 'd']
      // A ring: every message reaches a site by two ways, and would circulate without the hop count and the sequences.
      const engines = sites.map(
        (site, index) =>
          new RelayEngine({ origin: { site, id: BigInt(index + 1) }, links: [{ maxFrame: 300 }, { maxFrame: 300 }] })
      )
      const delivered = sites.map(() => [] as string[])
      let wire: { due: number; to: number; link: number; bytes: Uint8Array }[] = []
      let frames = 0
      for (let now = 1; now < 3000; now++) {
        for (const [index, engine] of engines.entries()) {
          if (now < 1500 && chance() < 0.2)
            engine.handleLocal(
              Uint8Array.from(Buffer.from(`${sites[index]} ${now}`.padEnd(Math.floor(chance() * 700)))),
              0,
              now
            )
          if ((engine.nextTimeout() ?? Infinity) <= now) engine.handleTimeout(now)
          for (const { to, bytes } of drain(engine)) {
            if (to === 'local') delivered[index]!.push(text(bytes).trim())
            else {
              const other = (index + (to === 0 ? 1 : 3)) % 4
              frames++
              for (let copy = 0; copy < (chance() < 0.05 ? 2 : 1); copy++)
                if (chance() >= 0.02)
                  wire.push({ due: now + 1 + Math.floor(chance() * 8), to: other, link: to === 0 ? 1 : 0, bytes })
            }
          }
        }
        const due = wire.filter((item) => item.due <= now)
        wire = wire.filter((item) => item.due > now)
        for (const { to, link, bytes } of due) engines[to]!.handleFrame(link, bytes, now)
      }
      t.equal(wire.length, 0, 'nothing circulates')
      t.ok(frames < 40_000)
      for (const [index, all] of delivered.entries()) {
        t.equal(new Set(all).size, all.length, 'each message once')
        t.notOk(
          all.some((one) => one.startsWith(`${sites[index]} `)),
          'a site never gets its own back'
        )
        for (const site of sites) {
          const times = all.filter((one) => one.startsWith(`${site} `)).map((one) => Number(one.slice(2)))
          t.same(
            times,
            [...times].sort((x, y) => x - y),
            'in order'
          )
        }
      }
    }
  }
)
