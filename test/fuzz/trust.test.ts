// Mutated trailers, repair messages, encrypted and plain relay frames, and table chunks: nothing throws, nothing forged passes.
import fc from 'fast-check'
import t from 'tap'
import { decodeFrame, encodeFrame } from '../../src/relay/frame.js'
import { RelayEngine } from '../../src/relay/relay-engine.js'
import { encodeTable, TableAssembly } from '../../src/relay/table-chunks.js'
import { FrameDecryptor, FrameEncryptor } from '../../src/trust/frame-cipher.js'
import { Key, KeyRing } from '../../src/trust/keys.js'
import { decodeRepairMessage, encodeRepairMessage } from '../../src/trust/repair-messages.js'
import { Sealer } from '../../src/trust/sealer.js'
import { Verifier } from '../../src/trust/verifier.js'
import { encodeMessage } from '../../src/wire/encode-message.js'

const RUNS = { numRuns: 3000, seed: 17 }
const key = new Key(new Uint8Array(32).fill(3))
const keys = new KeyRing([key])
const MESSAGE = encodeMessage({ version: 1, syncid: 5, connections: [] })

/** A change of one datagram: bytes that are replaced, and a new length. */
const mutation = fc.record({
  changes: fc.array(fc.tuple(fc.nat(4096), fc.integer({ min: 1, max: 255 })), { minLength: 1, maxLength: 4 }),
  length: fc.option(fc.nat(200), { nil: undefined })
})

interface Mutation {
  readonly changes: readonly (readonly [number, number])[]
  readonly length: number | undefined
}

function mutate(bytes: Uint8Array, { changes, length }: Mutation): Uint8Array {
  const result = Uint8Array.from(bytes)
  for (const [at, value] of changes) result[at % result.length]! ^= value
  return length === undefined ? result : result.slice(0, length)
}

function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.from(one).equals(Buffer.from(other))
}

t.test('a mutated sealed message is never valid', async () => {
  const sealer = new Sealer({ key })
  const verifier = new Verifier({ keys })
  fc.assert(
    fc.property(mutation, (change) => {
      const sealed = sealer.seal(MESSAGE, 0)
      const mutated = mutate(sealed, change)
      return isEqual(sealed, mutated) || verifier.verify(mutated, 0).verdict !== 'VALID'
    }),
    RUNS
  )
})

t.test('a mutated frame is never opened', async () => {
  const encryptor = new FrameEncryptor(key)
  const decryptor = new FrameDecryptor(keys)
  fc.assert(
    fc.property(mutation, fc.uint8Array({ maxLength: 100 }), (change, frame) => {
      const datagram = encryptor.encrypt(frame)
      const mutated = mutate(datagram, change)
      return isEqual(datagram, mutated) || 'verdict' in decryptor.decrypt(mutated)
    }),
    RUNS
  )
})

t.test(
  'mutated repair messages, relay frames and chunks do not throw, and a mutated table is not complete',
  async () => {
    const repair = encodeRepairMessage({ kind: 'request', sender: 1n, channel: 0, sequences: [1, 3, 9] }, 5)
    const challenge = encodeRepairMessage({ kind: 'challenge', sender: 1n, channel: 0, nonce: 7n }, 5)
    const frame = encodeFrame({
      origin: { site: 'a', id: 1n },
      hops: 0,
      channel: 0,
      items: [{ sequence: 5, piece: 0, pieces: 1, bytes: MESSAGE }]
    })
    const engine = new RelayEngine({ origin: { site: 'b', id: 2n }, links: [{ maxFrame: 500 }] })
    const messages = Array.from({ length: 9 }, () => ({ bytes: MESSAGE, connections: 0 }))
    const chunks = [...encodeTable({ positions: [], messages }, 40)].filter((bytes) => bytes !== undefined)
    fc.assert(
      fc.property(mutation, fc.nat(chunks.length - 2), (change, which) => {
        decodeRepairMessage(mutate(repair, change))
        decodeRepairMessage(mutate(challenge, change))
        const mutatedFrame = mutate(frame, change)
        decodeFrame(mutatedFrame)
        engine.handleFrame(0, mutatedFrame, 1)
        while (engine.pollTransmit() !== undefined);
        const mutated = mutate(chunks[which]!, change)
        const assembly = new TableAssembly()
        for (const [index, bytes] of chunks.entries()) {
          const part = assembly.handle(index === which ? mutated : bytes)
          if (part === undefined) return true
          if ('manifest' in part) return isEqual(mutated, chunks[which]!)
        }
        return true
      }),
      RUNS
    )
  }
)
