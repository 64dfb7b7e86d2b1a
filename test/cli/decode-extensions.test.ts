import t from 'tap'
import { decodeMessage } from '../../src/wire/decode-message.js'
import { run } from '../../src/cli/run.js'
import { be16, bytes, ethernet, ipv4, pcap, udp } from '../fixtures/support/packets.js'
import { testIo } from '../fixtures/support/test-io.js'

/** docs/protocol.md section 14, written by hand. */
const TRAILER = bytes(
  '49565353 01 89abcdef 03 0001 0123456789abcdef 000000000000000c 0000019ac1f24c00',
  '000102030405060708090a0b0c0d0e0f'
)
const RECORD = bytes('00 06 0024 00000100 0001 c001 0050 1f90 00000000 00000384 0a010002 0a010064 0a020011')
const BAD_RECORD = bytes('00 06 0024 00000100 0063 c001 0050 1f90 00000000 00000384 0a010002 0a010064 0a020011')

function message(count: number, ...parts: Uint8Array[]): Uint8Array {
  const body = bytes(...parts)
  return bytes([0, 7], be16(8 + body.length), [count, 1, 0, 0], body)
}

const HELLO = bytes('49565341 01 01 0001 1111111111111111 0000000000000000 00000000 00000005')
const PULSE = bytes('49565352 01 03 0000')
const MESSAGES = {
  sealed: message(1, RECORD, TRAILER),
  doubtful: message(1, BAD_RECORD, TRAILER),
  pulse: message(0, PULSE, TRAILER),
  unsealed: message(0, PULSE),
  hello: message(0, HELLO),
  other: message(1, RECORD, bytes('deadbeef')),
  unknownKind: message(0, bytes('49565352 01 63 0000')),
  notTrailer: message(1, RECORD, bytes('00'), TRAILER),
  noDate: message(1, RECORD, bytes(TRAILER.subarray(0, 28), '001fffffffffffff', TRAILER.subarray(36)))
}

async function decoded(payloads: readonly Uint8Array[], ...options: string[]) {
  const io = testIo({ stdin: pcap(payloads.map((one) => ethernet(0x0800, ipv4(udp(one))))) })
  const code = await run(['decode', '--ports', '8848-8911', ...options, '-'], io)
  return { code, out: io.output() }
}

t.test(
  'the trailer of a sealed message and the messages of agents and of repair are named, not reported',
  async (t) => {
    const { code, out } = await decoded(Object.values(MESSAGES), '--format', 'json')
    const seal = {
      key: '89abcdef',
      sender: '0123456789abcdef',
      channel: 3,
      sequence: 12,
      time: new Date(0x19ac1f24c00).toISOString()
    }
    const found = out
      .trim()
      .split('\n')
      .map((line) => {
        const { seal, control, connections, problems } = JSON.parse(line) as Record<
          'connections' | 'problems',
          object[]
        > &
          Record<'seal' | 'control', unknown>
        return {
          seal,
          control,
          connections: connections.length,
          codes: problems.map((one) => (one as { code: string }).code)
        }
      })
    t.strictSame(found, [
      { seal, control: undefined, connections: 1, codes: [] },
      { seal, control: undefined, connections: 1, codes: ['STATE_RANGE'] },
      { seal, control: { protocol: 'repair', kind: 'pulse' }, connections: 0, codes: [] },
      { seal: undefined, control: { protocol: 'repair', kind: 'pulse' }, connections: 0, codes: [] },
      { seal: undefined, control: { protocol: 'agent', kind: 'hello' }, connections: 0, codes: [] },
      { seal: undefined, control: undefined, connections: 1, codes: ['LEFTOVER_BYTES'] },
      { seal: undefined, control: undefined, connections: 0, codes: ['LEFTOVER_BYTES'] },
      { seal: undefined, control: undefined, connections: 1, codes: ['LEFTOVER_BYTES'] },
      { seal: undefined, control: undefined, connections: 1, codes: ['LEFTOVER_BYTES'] }
    ])
    t.equal(code, 1, 'the unknown state is one that a receiver skips')
  }
)

t.test('table, hex and summary name them too', async (t) => {
  const sealed = [MESSAGES.sealed, MESSAGES.pulse, MESSAGES.hello]
  const table = await decoded(sealed, '--format', 'table')
  t.match(table.out, /1 connection, sealed by 0123456789abcdef \(key 89abcdef, sequence 12\)\n/)
  t.match(table.out, /0 connections, repair pulse, sealed by/)
  t.match(table.out, /extension +sealed: 2, repair pulse: 1, agent hello: 1\n/)
  t.equal(table.code, 0)
  t.match((await decoded(sealed, '--format', 'hex')).out, /bytes\n# sealed by 0123456789abcdef/)
})

t.test('decodeMessage reports a trailer as little as decode does', async (t) => {
  const codes = (name: keyof typeof MESSAGES): string[] =>
    decodeMessage(MESSAGES[name]).problems.map(({ code }) => code)
  t.strictSame(codes('sealed'), [])
  t.strictSame(codes('doubtful'), ['STATE_RANGE'])
  for (const name of ['other', 'notTrailer', 'noDate'] as const) t.strictSame(codes(name), ['LEFTOVER_BYTES'], name)
})
