// Encrypted frames: round trip, refusals, and that no part of a frame is readable or can be altered.
import fc from 'fast-check'
import t from 'tap'
import { CIPHER_OVERHEAD, FrameDecryptor, FrameEncryptor } from '../../src/trust/frame-cipher.js'
import { Key, KeyRing } from '../../src/trust/keys.js'

const KEY = new Key(new Uint8Array(32).fill(3))
const RING = new KeyRing([KEY, new Key(new Uint8Array(32).fill(4))])
const FRAME = Uint8Array.from(Buffer.from('a frame with 10.1.2.3 in it'))

t.test('a frame comes out as it went in, once', async (t) => {
  const encryptor = new FrameEncryptor(KEY, () => 5000)
  const decryptor = new FrameDecryptor(RING, () => 5000)
  const datagram = encryptor.encrypt(FRAME)
  t.equal(datagram.length, FRAME.length + CIPHER_OVERHEAD)
  t.notMatch(Buffer.from(datagram).toString('latin1'), /10\.1\.2\.3/)
  t.same(decryptor.decrypt(datagram), { frame: Buffer.from(FRAME) })
  t.same(decryptor.decrypt(datagram), { verdict: 'REPLAYED' })
  t.same(decryptor.decrypt(encryptor.encrypt(FRAME)), { frame: Buffer.from(FRAME) })
  t.notSame(encryptor.encrypt(FRAME), encryptor.encrypt(FRAME))
})

t.test('the layout of the head', async (t) => {
  const datagram = Buffer.from(new FrameEncryptor(KEY, () => 0x0102, 0x1122334455667788n).encrypt(FRAME))
  t.equal(datagram.subarray(0, 5).toString('hex'), '4956534c01')
  t.equal(datagram.readUInt32BE(5), KEY.id)
  t.equal(
    datagram.subarray(9, 36).toString('hex'),
    '000000' + '1122334455667788' + '0000000000000001' + '0000000000000102'
  )
})

t.test('refusals', async (t) => {
  const decryptor = new FrameDecryptor(RING, () => 100_000)
  const verdict = (datagram: Uint8Array): string => {
    const result = decryptor.decrypt(datagram)
    return 'verdict' in result ? result.verdict : 'VALID'
  }
  t.equal(verdict(FRAME), 'UNSIGNED')
  t.equal(verdict(new FrameEncryptor(new Key(new Uint8Array(32)), () => 100_000).encrypt(FRAME)), 'UNKNOWN_KEY')
  t.equal(verdict(new FrameEncryptor(KEY, () => 69_999).encrypt(FRAME)), 'STALE')
  t.equal(verdict(new FrameEncryptor(KEY, () => 70_000).encrypt(FRAME)), 'VALID')
  const good = new FrameEncryptor(KEY, () => 100_000).encrypt(FRAME)
  for (let bit = 0; bit < good.length * 8; bit++) {
    const altered = Uint8Array.from(good)
    altered[bit >> 3]! ^= 1 << (bit & 7)
    if (verdict(altered) === 'VALID') t.fail(`bit ${bit}`)
  }
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      (bytes) => verdict(Uint8Array.from([...good.subarray(0, 9), ...bytes])) !== 'VALID'
    ),
    { numRuns: 1000, seed: 3 }
  )
  t.equal(verdict(good), 'VALID')
})
