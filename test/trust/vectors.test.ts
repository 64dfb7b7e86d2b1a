// Test vectors of the trailer and the frame, made with openssl (test/fixtures/trust/vectors.py).
import { readFileSync } from 'node:fs'
import t from 'tap'
import { FrameDecryptor, FrameEncryptor } from '../../src/trust/frame-cipher.js'
import { Key, KeyRing } from '../../src/trust/keys.js'
import { Sealer } from '../../src/trust/sealer.js'
import { removeTrailer } from '../../src/trust/trailer.js'
import { Verifier } from '../../src/trust/verifier.js'

interface Vectors {
  readonly key: string
  readonly wallClock: number
  readonly message: string
  readonly trailer: {
    readonly sender: string
    readonly sequence: number
    readonly channel: number
    readonly flags: number
  }
  readonly sealed: string
  readonly frame: { readonly sender: string; readonly plaintext: string; readonly datagram: string }
}

const FILE = new URL('../fixtures/trust/vectors.json', import.meta.url)
const {
  key: secret,
  wallClock: time,
  message,
  trailer,
  sealed,
  frame
} = JSON.parse(readFileSync(FILE, 'utf8')) as Vectors
const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'))
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const key = new Key(bytesOf(secret))
const keys = new KeyRing([key])
const wallClock = (): number => time

t.test('the trailer', async (t) => {
  const { sequence, channel, flags } = trailer
  const sender = BigInt(`0x${trailer.sender}`)
  const sealer = new Sealer({ key, wallClock, sender, flags })
  for (let count = 1; count < sequence; count++) sealer.seal(bytesOf(message), channel)
  t.equal(hexOf(sealer.seal(bytesOf(message), channel)), sealed)
  const { verdict, trailer: found } = new Verifier({ keys, wallClock }).verify(bytesOf(sealed), channel)
  t.equal(verdict, 'VALID')
  t.match(found, { sender, sequence, channel, flags, time })
  t.equal(hexOf(removeTrailer(bytesOf(sealed))), message)
})

t.test('the frame', async (t) => {
  const encryptor = new FrameEncryptor(key, wallClock, BigInt(`0x${frame.sender}`))
  t.equal(hexOf(encryptor.encrypt(bytesOf(frame.plaintext))), frame.datagram)
  const opened = new FrameDecryptor(keys, wallClock).decrypt(bytesOf(frame.datagram))
  t.equal('frame' in opened && hexOf(opened.frame), frame.plaintext)
})
