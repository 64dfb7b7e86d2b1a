// The trailer, the replay window and the verifier: vectors worked by hand, and properties against models.
import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { parseKeys, generateKey, Key, KeyRing } from '../../src/trust/keys.js'
import { ReplayWindow, REPLAY_WINDOW } from '../../src/trust/replay-window.js'
import { decodeRepairMessage, encodeRepairMessage } from '../../src/trust/repair-messages.js'
import { Sealer } from '../../src/trust/sealer.js'
import { findTrailer, removeTrailer, TRAILER_LENGTH } from '../../src/trust/trailer.js'
import { Verifier } from '../../src/trust/verifier.js'

const SECRET = Uint8Array.from({ length: 32 }, (_, index) => index)
const RING = new KeyRing([new Key(SECRET)])
/** Version 1, syncid 5, no connections. */
const MESSAGE = Uint8Array.from([0, 5, 0, 8, 0, 1, 0, 0])

function sealer(now = 1_000, sender = 0x1122334455667788n): Sealer {
  return new Sealer({ key: RING.signing, wallClock: () => now, sender })
}

t.test('a sealed message, byte by byte', async (t) => {
  const sealed = sealer(0x0123456789).seal(MESSAGE, 3)
  const head =
    '0005003c00010000' + // the message; its size is now 60
    '49565353' + // "IVSS"
    '01' + // version
    '630dcd29' + // first four bytes of SHA-256 of 00 01 … 1f
    '03' + // channel
    '0000' + // flags
    '1122334455667788' + // sender
    '0000000000000001' + // sequence
    '0000000123456789' // time
  t.equal(Buffer.from(sealed.subarray(0, -16)).toString('hex'), head)
  const mac = createHmac('sha256', SECRET).update(Buffer.from(head, 'hex')).digest('hex').slice(0, 32)
  t.equal(Buffer.from(sealed.subarray(-16)).toString('hex'), mac)
  t.same(removeTrailer(sealed), MESSAGE)
  const pooled = Buffer.from(sealed)
  t.same(removeTrailer(pooled), MESSAGE)
  t.same(Uint8Array.from(pooled), sealed, 'a datagram in a Buffer is not changed')
  t.equal(sealed.length, MESSAGE.length + TRAILER_LENGTH)
})

t.test('sequences count by channel from 1', async (t) => {
  const seals = sealer()
  t.equal(seals.lastSequence(0), 0)
  const sequences = [0, 0, 1, 0].map((channel) => findTrailer(seals.seal(MESSAGE, channel))?.sequence)
  t.same(sequences, [1, 2, 1, 3])
  t.not(new Sealer({ key: RING.signing }).sender, new Sealer({ key: RING.signing }).sender)
})

t.test('no datagram that is cut or altered has the trailer of another one', async (t) => {
  const sealed = sealer().seal(MESSAGE, 0)
  for (let length = 0; length < sealed.length; length++) t.equal(findTrailer(sealed.subarray(0, length)), undefined)
  const huge = sealed.slice()
  huge.fill(0xff, sealed.length - TRAILER_LENGTH + 20, sealed.length - TRAILER_LENGTH + 28)
  t.equal(findTrailer(huge), undefined, 'a sequence beyond 2^53')
  const later = sealed.slice()
  later[sealed.length - TRAILER_LENGTH + 4] = 2
  t.equal(findTrailer(later), undefined, 'a later version is none of ours')
})

t.test('the verdicts', async (t) => {
  const verify = new Verifier({ keys: RING, wallClock: () => 1_000_000 })
  const good = sealer(1_000_000).seal(MESSAGE, 2)
  t.equal(verify.verify(MESSAGE, 0).verdict, 'UNSIGNED')
  t.equal(verify.verify(good, 2).verdict, 'VALID')
  t.equal(verify.verify(good, 2).verdict, 'REPLAYED')
  t.equal(verify.verify(sealer(1_000_000, 1n).seal(MESSAGE, 2), 3).verdict, 'BAD_MAC', 'another channel’s port')
  t.equal(verify.verify(sealer(1_030_001, 2n).seal(MESSAGE, 0), 0).verdict, 'STALE')
  t.equal(verify.verify(sealer(969_999, 2n).seal(MESSAGE, 0), 0).verdict, 'STALE')
  t.equal(verify.verify(sealer(970_000, 2n).seal(MESSAGE, 0), 0).verdict, 'VALID')
  const stranger = new Sealer({ key: parseKeys(generateKey()).signing, wallClock: () => 1_000_000 })
  t.equal(verify.verify(stranger.seal(MESSAGE, 0), 0).verdict, 'UNKNOWN_KEY')
  t.equal(verify.count('VALID'), 2)
  t.equal(verify.count('STALE'), 2)
  const forged = { id: RING.signing.id, mac: () => new Uint8Array(16) } as unknown as Key
  t.equal(verify.verify(new Sealer({ key: forged, wallClock: () => 1_000_000 }).seal(MESSAGE, 0)).verdict, 'BAD_MAC')
  t.equal(verify.sequences().length, 2)
  t.match(verify.sequences()[1], { sender: '1122334455667788', channel: 2, received: 1, missing: 0 })
})

t.test('one altered bit anywhere is noticed', async (t) => {
  const sealed = sealer().seal(MESSAGE, 0)
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const altered = sealed.slice()
    altered[bit >> 3]! ^= 1 << (bit & 7)
    const { verdict } = new Verifier({ keys: RING, wallClock: () => 1_000 }).verify(altered, 0)
    if (verdict === 'VALID') t.fail(`bit ${bit}`)
  }
  t.pass('no altered message is valid')
})

t.test('random bytes never throw, and are never valid', async (t) => {
  const verifier = new Verifier({ keys: RING, wallClock: () => 1_000 })
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, tail) => {
      const datagram = tail ? Uint8Array.from([...bytes, ...sealer().seal(MESSAGE, 0).subarray(8)]) : bytes
      decodeRepairMessage(datagram)
      return verifier.verify(datagram, 0).verdict !== 'VALID'
    }),
    { numRuns: 2000, seed: 7 }
  )
  t.equal(verifier.count('VALID'), 0)
})

t.test('a replay window accepts each sequence once, as a set does', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 4000 }))), (sequences) => {
      const window = new ReplayWindow()
      const seen = new Set<number>()
      let first = 0
      for (const sequence of sequences) {
        first ||= sequence
        const highest = Math.max(0, ...seen)
        const expected =
          !seen.has(sequence) && sequence >= first - 64 && (seen.size === 0 || highest - sequence < REPLAY_WINDOW)
        if (window.accept(sequence) !== expected) return false
        if (!expected) continue
        seen.add(sequence)
        first = Math.min(first, sequence)
      }
      const highest = Math.max(0, ...seen)
      const missing = Array.from({ length: highest }, (_, index) => index + 1).filter(
        (sequence) => sequence >= first && highest - sequence < REPLAY_WINDOW && !seen.has(sequence)
      )
      t.same(window.missing(10_000), missing)
      return window.highest === highest
    }),
    { numRuns: 500, seed: 11 }
  )
  t.equal(new ReplayWindow().accept(0), false)
})

t.test('repair messages, byte by byte and back', async (t) => {
  const request = { kind: 'request', sender: 7n, channel: 2, sequences: [5, 6, 9] } as const
  const bytes = encodeRepairMessage(request, 5)
  t.equal(
    Buffer.from(bytes).toString('hex'),
    '0005002c00010000' +
      '49565352' +
      '0101' +
      '0002' +
      '0000000000000007' +
      '0000000000000005' +
      '000000000000000100000004'
  )
  t.same(decodeRepairMessage(bytes), request)
  const pulse = { kind: 'pulse', channel: 1 } as const
  t.same(decodeRepairMessage(encodeRepairMessage(pulse, 5)), pulse)
  const repeat = { kind: 'repeat', channel: 0, sealed: MESSAGE } as const
  t.same(decodeRepairMessage(encodeRepairMessage(repeat, 5)), repeat)
  for (const [offset, value] of [
    [8, 0],
    [12, 2],
    [13, 9],
    [13, 0],
    [4, 1],
    [3, 1],
    [24, 0xff]
  ] as const) {
    const other = bytes.slice()
    other[offset] = value
    t.equal(decodeRepairMessage(other), undefined, `byte ${offset}`)
  }
  t.equal(decodeRepairMessage(encodeRepairMessage({ ...request, sequences: [] }, 5)), undefined)
  t.equal(decodeRepairMessage(MESSAGE), undefined)
})
