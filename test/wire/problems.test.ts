import t from 'tap'
import { decodeMessage, problemsOf } from '../../src/wire/decode-message.js'
import type { DecodeOptions } from '../../src/wire/options.js'
import { PROBLEMS } from '../../src/wire/problems.js'
import { agreement } from '../fixtures/support/agreement.js'
import { be16, bytes } from '../fixtures/support/packets.js'
import { allCapturedMessages, kernelVectors } from '../fixtures/support/vectors.js'
import * as wire from '../../src/wire/index.js'

const V4 = '0a000001 0a000064 0a00020b'
/** A TCP record, ESTABLISHED: type and protocol, version and length, flags, state, ports, fwmark, timeout, addresses. */
const TCP = `0006 0024 00000000 0001 c350 0050 1f90 00000000 00000384 ${V4}`
const V6 = `0106 0048 00000000 0001 c350 0050 1f90 00000000 00000384 ${'20010db8000000000000000000000001'.repeat(3)}`
const V0 = `0006 c350 0050 1f90 ${V4} 0000 0001`
/** With persistence-engine data, 41 bytes long: 3 bytes of padding before the next. */
const ENGINE = `0011 0029 00001000 0000 0000 13c4 13c4 00000000 0000003c ${V4} 0303 736970`

/** A version 1 message around its records; `count` defaults to what the header should say. */
function v1(count: number, ...records: string[]): Uint8Array {
  const body = bytes(records.join(''))
  return bytes([0, 7], be16(body.length + 8), [count, 1, 0, 0], body)
}

function v0(count: number, ...records: string[]): Uint8Array {
  const body = bytes(records.join(''))
  return bytes([count, 7], be16(body.length + 4), body)
}

const brief = (message: Uint8Array, options?: DecodeOptions): string[] =>
  problemsOf(message, options).map(({ code, offset, connection }) => `${code} @${offset!} #${connection ?? '-'}`)

const times = (count: number, record: string): string[] => new Array<string>(count).fill(record)

/** Header and records by hand; what is wrong, where, with which connection; how many connections stand. */
const TABLE: [string, Uint8Array, string[], number][] = [
  ['nothing', v1(0), [], 0],
  ['one of each', v1(2, TCP, V6), [], 2],
  ['three bytes', bytes('000700'), ['SHORT_MESSAGE @0 #-'], 0],
  ['no byte at all', bytes(''), ['SHORT_MESSAGE @0 #-'], 0],
  ['size too small', bytes('0007 0007 0001 0000'), ['SIZE_MISMATCH @2 #-'], 0],
  ['six bytes', bytes('0007 0006 0001'), ['SHORT_HEADER @0 #-', 'LEFTOVER_BYTES @4 #-'], 0],
  ['six bytes that count', bytes('0107 0006 0001'), ['SHORT_HEADER @0 #-', 'RECORD_TRUNCATED @4 #0'], 0],
  ['version 2', bytes('0007 0008 0002 0000'), ['VERSION_UNKNOWN @5 #-'], 0],
  ['spare', bytes('0007 0008 0001 0100'), ['SPARE_NOT_ZERO @6 #-'], 0],
  ['version 0', v0(1, V0), [], 1],
  ['version 0 with reserved', v0(2, V0, `05${V0.slice(2)}`), ['RESERVED_NOT_ZERO @28 #1'], 2],
  ['version 0, a record too few', v0(2, V0), ['RECORD_TRUNCATED @28 #1'], 1],
  ['version 0, sequence data lacking', v0(1, `${V0.slice(0, -9)}0200 0001`), ['RECORD_TRUNCATED @4 #0'], 0],
  ['version 0, a record too many', v0(1, V0, V0), ['LEFTOVER_BYTES @28 #-'], 1],
  ['version 0, wrapped', v0(0, ...times(256, V0)), ['COUNT_WRAPPED @4 #-'], 0],
  ['version 1, wrapped', v1(44, ...times(300, TCP)), ['COUNT_WRAPPED @1592 #-'], 44],
  ['version 1, wrapped, with padding', v1(0, ...times(255, `${ENGINE}000000`), ENGINE), ['COUNT_WRAPPED @8 #-'], 0],
  ['version 1, wrapped, of IPv6', v1(1, ...times(257, V6)), ['COUNT_WRAPPED @80 #-'], 1],
  ['a record too many', v1(1, TCP, TCP), ['LEFTOVER_BYTES @44 #-'], 1],
  ['padding behind the last', v1(1, ENGINE, '000000'), ['LEFTOVER_BYTES @49 #-'], 1],
  ['padding not 0', v1(2, ENGINE, '000100', TCP), ['PADDING_NOT_ZERO @50 #0'], 2],
  ['type bits', v1(1, `03${V6.slice(2)}`), ['TYPE_BITS @8 #0'], 1],
  [
    'sequence data without a flag',
    v1(1, `0006 003e ${TCP.slice(10)} 0118 ${'00'.repeat(24)}`),
    ['SEQUENCE_WITHOUT_FLAG @46 #0'],
    1
  ],
  ['room left open: an optional parameter', v1(1, `0006 0028 ${TCP.slice(10)} 4502 0000`), [], 1],
  ['a record of 2304 bytes', v1(1, `0006 0900 ${TCP.slice(10)}`, ...times(9, `45fa${'00'.repeat(250)}`)), [], 1],
  [
    'what follows a parameter that skips',
    v1(2, `0006 0028 ${TCP.slice(10)} 0902 ffff`, TCP),
    ['PARAMETER_UNKNOWN @44 #0'],
    2
  ]
]

t.test('each fault has its code, its byte and its connection, and the other readings agree', async (t) => {
  const check = agreement(wire)
  for (const [name, message, problems, count] of TABLE) {
    t.strictSame(brief(message), problems, name)
    t.equal(check(message).connections.length, count, name)
  }
})

t.test('a problem says what was expected and what was there', async (t) => {
  t.strictSame(problemsOf(v1(44, ...times(300, TCP))), [
    {
      code: 'COUNT_WRAPPED',
      severity: 'warning',
      message: `${wire.PROBLEMS.COUNT_WRAPPED.text} (the header counts 44, the message has 300)`,
      offset: 1592
    }
  ])
  t.strictSame(problemsOf(v1(2, TCP, `0006 0024 00000000 000b ${TCP.slice(24)}`)), [
    {
      code: 'STATE_RANGE',
      severity: 'skip',
      message: `connection 1: ${wire.PROBLEMS.STATE_RANGE.text} (TCP has 0 to 10, got 11)`,
      offset: 44,
      connection: 1
    }
  ])
  t.match(problemsOf(v1(1, TCP, TCP))[0]?.message, /36 bytes, as long as 1 record\)$/)
  t.notMatch(problemsOf(v1(1, TCP, '00'))[0]?.message, /as long as/)
})

t.test('each generation of receivers has its own checks of flags and template states', async (t) => {
  const refused = v1(
    3,
    ...['00002000 0001', '00001800 0001', '00001000 0007'].map((now) => `0006 0024 ${now} ${TCP.slice(24)}`)
  )
  t.strictSame(brief(refused), ['FLAGS_REFUSED @8 #0', 'FLAGS_REFUSED @44 #1', 'TEMPLATE_STATE @80 #2'])
  t.strictSame(brief(refused, { flagChecks: 'middle' }), ['TEMPLATE_STATE @80 #2'])
  t.strictSame(brief(refused, { flagChecks: 'legacy' }), [])
  for (const flagChecks of wire.FLAG_CHECKS) agreement(wire, { flagChecks })(refused)
})

t.test('which engines a receiver knows is the caller’s to say', async (t) => {
  const data = `${ENGINE.replace('0029', '002c').replace('0303 736970', '')} 0201 ff 0303 736970`
  t.strictSame(brief(v1(1, data)), [])
  t.strictSame(brief(v1(1, data), { engines: ['other'] }), ['ENGINE_UNKNOWN @49 #0'])
})

t.test('a message that the capture cut shows what is whole, and no fault that is not there', async (t) => {
  for (const { bytes: whole, name } of allCapturedMessages().slice(0, 20)) {
    const { connections } = decodeMessage(whole)
    for (let length = 0; length < whole.length; length += 7) {
      const cut = decodeMessage(whole.subarray(0, length), { wireLength: whole.length })
      t.strictSame([cut.problems.map(({ code }) => code), cut.problems[0]?.offset], [['MESSAGE_SNAPPED'], length], name)
      t.strictSame(JSON.stringify(cut.connections), JSON.stringify(connections.slice(0, cut.connections.length)), name)
    }
  }
  const cut = v1(2, TCP, TCP).subarray(0, 60)
  t.equal(
    problemsOf(cut, { wireLength: 80 })[0]?.message,
    `${wire.PROBLEMS.MESSAGE_SNAPPED.text} (60 of 80 bytes; 1 of 2 connections)`
  )
  t.strictSame(brief(cut, { wireLength: 81 }), ['SIZE_MISMATCH @2 #-'], 'a wrong size is wrong all the same')
  t.strictSame(brief(v0(2, V0, V0).subarray(0, 40), { wireLength: 52 }), ['MESSAGE_SNAPPED @40 #-'])
  const short = v1(2, TCP, ENGINE).subarray(0, 83)
  t.strictSame(brief(short, { wireLength: 85 }), ['MESSAGE_SNAPPED @83 #-'], 'parameters cut')
  t.strictSame(brief(v1(3, TCP, TCP).subarray(0, 79), { wireLength: 80 }), ['MESSAGE_SNAPPED @79 #-'])
})

t.test('every sound message cut at every length gives a problem and throws nothing', async (t) => {
  const check = agreement(wire)
  const seeds = [...kernelVectors(), ...allCapturedMessages()].map((one) => one.bytes)
  for (const whole of seeds.filter((seed) => seed.length < 400 && problemsOf(seed).length === 0)) {
    for (let length = 0; length < whole.length; length++) {
      const cut = whole.slice(0, length)
      if (check(cut).problems.length === 0) t.fail(`sound after ${length} bytes`)
      // With the size made right, a cut reaches the records.
      if (length >= 4) check(bytes(cut.subarray(0, 2), be16(length), cut.subarray(4)))
    }
  }
  t.pass('all cut')
})

t.test('codes and numbers are unique: rows and counters hold numbers', async (t) => {
  const numbers = Object.values(PROBLEMS).map(({ number }) => number)
  t.equal(new Set(numbers).size, numbers.length)
})
