import fc from 'fast-check'
import t from 'tap'
import * as wire from '../../src/wire/index.js'
import { agreement } from '../fixtures/support/agreement.js'
import { message } from '../fixtures/support/arbitraries.js'
import { allCapturedMessages, kernelVectors } from '../fixtures/support/vectors.js'
import { fuzzMessages } from '../fuzz/wire.js'

const RUNS = Number(process.env['PROPERTY_RUNS'] ?? 20_000)

/** The same messages in every run; `PROPERTY_SEED` and `FUZZ_SEED` choose others. */
const PROPERTY_SEED = Number(process.env['PROPERTY_SEED'] ?? 20261125)
const FUZZ_SEED = Number(process.env['FUZZ_SEED'] ?? 20261125)
const settings = { numRuns: RUNS, seed: PROPERTY_SEED }

t.test('grammar, view, rows, encoder and dump agree on every field and every fault of any bytes', async (t) => {
  t.comment(`PROPERTY_SEED=${PROPERTY_SEED}`)
  const check = agreement(wire)
  const met = new Map<string, number>()
  let pastHeader = 0
  fc.assert(
    fc.property(message, (bytes) => {
      const { connections, problems } = check(bytes)
      if (connections.length > 0) pastHeader++
      for (const { code } of problems) met.set(code, (met.get(code) ?? 0) + 1)
    }),
    settings
  )
  t.ok(pastHeader > RUNS / 3, `${pastHeader} of ${RUNS} messages get past the header`)
  // These two are about messages of more than 255 records and about cut captures: problems.test.ts has them.
  const wanted = Object.keys(wire.PROBLEMS).filter((code) => !['COUNT_WRAPPED', 'MESSAGE_SNAPPED'].includes(code))
  t.strictSame([...met.keys()].sort(), wanted.sort(), 'every fault was met')
  t.strictSame(
    wanted.filter((code) => (met.get(code) ?? 0) < RUNS / 1000),
    [],
    'none of them by mere chance'
  )
})

t.test('the readings agree on mutated messages of kernels, in every way of reading', async (t) => {
  t.comment(`FUZZ_SEED=${FUZZ_SEED}`)
  const seeds = [...allCapturedMessages(), ...kernelVectors()].map(({ bytes }) => bytes)
  for (const flagChecks of wire.FLAG_CHECKS) {
    for (const sequenceByteOrder of ['little', 'big'] as const) {
      const readings = agreement(wire, { flagChecks, sequenceByteOrder })
      const check = (bytes: Uint8Array) => {
        const { connections, problems } = readings(bytes)
        return { connections: connections.length, problems: problems.length }
      }
      const { messages, problems } = fuzzMessages({ check, seeds, runs: 500, seed: FUZZ_SEED })
      t.ok(messages === 500 && problems > 100, `${flagChecks}, ${sequenceByteOrder}-endian`)
    }
  }
})
