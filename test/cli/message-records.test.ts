import { Writable } from 'node:stream'
import fc from 'fast-check'
import t from 'tap'
import { CapturedMessage } from '../../src/cli/decode/captured-message.js'
import { HexPrinter } from '../../src/cli/decode/hex-printer.js'
import { JsonPrinter } from '../../src/cli/decode/json-printer.js'
import { Output } from '../../src/cli/decode/output.js'
import type { CapturedDatagram } from '../../src/capture/items.js'
import { decodeMessage, FLAG_CHECKS, formatMessage, type DecodeOptions } from '../../src/wire/index.js'
import { message } from '../fixtures/support/arbitraries.js'
import { allCapturedMessages, kernelVectors } from '../fixtures/support/vectors.js'
import { fuzzMessages } from '../fuzz/wire.js'

const RUNS = Number(process.env['PROPERTY_RUNS'] ?? 5000)
const PROPERTY_SEED = Number(process.env['PROPERTY_SEED'] ?? 20261125)
const FUZZ_SEED = Number(process.env['FUZZ_SEED'] ?? 20261125)

function datagram(payload: Uint8Array, wireLength = payload.length): CapturedDatagram {
  return {
    kind: 'datagram',
    packet: 1,
    time: undefined,
    source: { address: '10.9.0.1', port: 40000 },
    destination: { address: '224.0.0.81', port: 8848 },
    payload,
    wireLength,
    interface: undefined,
    fragments: 1,
    tunnel: undefined,
    problems: []
  }
}

/** Prints messages by the fast path, and compares each with the values of the grammar reader. */
function comparison(options: DecodeOptions): (
  bytes: Uint8Array,
  wireLength?: number
) => {
  readonly connections: number
  readonly problems: number
} {
  let text = ''
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      text += chunk.toString()
      done()
    }
  })
  const output = new Output(stream)
  const json = new JsonPrinter(output)
  const hex = new HexPrinter(output, options)
  const captured = new CapturedMessage(options, [[8848, 8848]])
  const printed = (print: () => void): string => {
    text = ''
    print()
    output.flush()
    return text
  }
  return (bytes, wireLength = bytes.length) => {
    const expected = decodeMessage(bytes, { ...options, wireLength })
    captured.readDatagram(datagram(bytes, wireLength))
    const { version, syncid, size, connections, problems } = expected
    if (captured.records.isSound && problems.length > 0) throw new Error(`sound, but ${JSON.stringify(problems)}`)
    const line = printed(() => json.message(captured))
    const tail = `"version":${version},"syncid":${syncid},"size":${size},"connections":${JSON.stringify(connections)},"problems":${JSON.stringify(problems)}}\n`
    if (!line.endsWith(tail)) throw new Error(`expected …${tail}got ${line}`)
    const dump = printed(() => hex.message(captured))
      .split('\n')
      .slice(1)
      .join('\n')
    const wanted = `${formatMessage(bytes, { ...options, wireLength, style: 'dump' })}\n`
    if (!dump.startsWith(wanted)) throw new Error(`expected ${wanted}got ${dump}`)
    return { connections: connections.length, problems: problems.length }
  }
}

t.test('the printers of json and hex agree with the grammar reader on any bytes', async (t) => {
  t.comment(`PROPERTY_SEED=${PROPERTY_SEED}`)
  const check = comparison({})
  const met = { sound: 0, faulty: 0 }
  fc.assert(
    fc.property(message, fc.integer({ min: 0, max: 3 }), (bytes, more) => {
      const { connections, problems } = check(bytes, bytes.length + Math.max(0, more - 2) * 100)
      if (problems === 0 && connections > 0) met.sound++
      if (problems > 0 && connections > 0) met.faulty++
    }),
    { numRuns: RUNS, seed: PROPERTY_SEED }
  )
  t.ok(met.sound > RUNS / 50, `${met.sound} of ${RUNS} messages without a problem`)
  t.ok(met.faulty > RUNS / 50, `${met.faulty} of ${RUNS} messages with connections and a problem`)
})

t.test('they agree on mutated messages of kernels, in every way of reading', async (t) => {
  t.comment(`FUZZ_SEED=${FUZZ_SEED}`)
  const seeds = [...allCapturedMessages(), ...kernelVectors()].map(({ bytes }) => bytes)
  for (const flagChecks of FLAG_CHECKS)
    for (const sequenceByteOrder of ['little', 'big'] as const) {
      const check = comparison({ flagChecks, sequenceByteOrder })
      for (const seed of seeds) check(seed)
      const { messages, problems } = fuzzMessages({ check, seeds, runs: 300, seed: FUZZ_SEED })
      t.ok(messages === 300 && problems > 50, `${flagChecks}, ${sequenceByteOrder}-endian`)
    }
})
