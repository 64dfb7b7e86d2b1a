import { readFileSync } from 'node:fs'
import t from 'tap'
import { CaptureReader } from '../../src/capture/capture-reader.js'
import { fuzzCaptures } from '../fuzz/capture.js'
import type { CaptureItem, ReadCaptureOptions } from '../../src/capture/items.js'
import {
  bytes,
  ethernet,
  ipv4,
  ipv6,
  ipv6Fragment,
  pcap,
  pcapngBlocks,
  udp,
  type PcapPacket
} from '../fixtures/support/packets.js'

const PAYLOAD = Uint8Array.from({ length: 52 }, (_, index) => index)
const DATAGRAM = udp(PAYLOAD) // 60 bytes
const OTHER = udp(PAYLOAD, { port: 53 })

interface Cut {
  id?: number
  from?: Uint8Array
  source?: number[]
  /** Says whether others follow, where that is not what the end says. */
  more?: boolean
}

/** The fragment with bytes `start` to `end` of the datagram, as an IPv4 packet. */
function piece(
  start: number,
  end: number,
  { from = DATAGRAM, more = end < from.length, ...rest }: Cut = {}
): Uint8Array {
  return ipv4(from.slice(start, end), { offset: start, more, ...rest })
}

function read(packets: (Uint8Array | PcapPacket)[], options: ReadCaptureOptions = {}, linkType = 228): CaptureItem[] {
  const reader = new CaptureReader({ ports: [8848], ...options })
  return [...reader.push(pcap(packets, { linkType })), ...reader.end()]
}

/** What was read, short: a whole payload is `ok`. */
function brief(items: CaptureItem[]): string[] {
  return items.map((item) => {
    if (item.kind === 'problem') return `${item.packet} ${item.problem.code}`
    const { packet, payload, wireLength, fragments, problems } = item
    const isWhole = Buffer.compare(payload, PAYLOAD) === 0
    const isPrefix = Buffer.compare(payload, PAYLOAD.subarray(0, payload.length)) === 0
    const held = isWhole ? 'ok' : `${isPrefix ? '' : 'wrong '}${payload.length}/${wireLength}`
    return [`${packet} ${held} of ${fragments}`, ...problems.map(({ code }) => code)].join(' ')
  })
}

t.test('fragments are put together in any order', async (t) => {
  const [a, b, c] = [piece(0, 24), piece(24, 40), piece(40, 60)]
  for (const order of [
    [a, b, c],
    [a, c, b],
    [b, a, c],
    [b, c, a],
    [c, a, b],
    [c, b, a]
  ]) {
    t.strictSame(brief(read(order)), ['3 ok of 3'])
  }
  t.strictSame(
    brief(read([piece(0, 24), piece(24, 60), piece(0, 32), piece(32, 60)])),
    ['2 ok of 2', '4 ok of 2'],
    'an id may be used again'
  )
})

t.test('IPv6 fragments too, with headers before and after the fragment header', async (t) => {
  const options = bytes('11 00 010400000000') // destination options, then UDP
  const whole = bytes(options, DATAGRAM)
  const part = (start: number, end: number): Uint8Array =>
    ipv6(bytes('2c 00 010400000000', ipv6Fragment(60, start, end < whole.length), whole.subarray(start, end)), 0)
  const parts = [part(0, 24), part(24, 68)]
  t.strictSame(brief(read(parts, {}, 229)), ['2 ok of 2'])
  t.strictSame(brief(read(parts.toReversed(), {}, 229)), ['2 ok of 2'])
})

t.test('fragments of different datagrams are kept apart', async (t) => {
  const mixed = [
    piece(0, 24, { id: 1 }),
    piece(0, 32, { id: 2 }),
    piece(0, 40, { id: 1, source: [10, 9, 0, 2] }),
    piece(32, 60, { id: 2 }),
    piece(40, 60, { id: 1, source: [10, 9, 0, 2] }),
    piece(24, 60, { id: 1 })
  ]
  t.strictSame(brief(read(mixed)), ['4 ok of 2', '5 ok of 2', '6 ok of 2'])
  const tagged = (id: number, data: Uint8Array): Uint8Array => ethernet(0x0800, data, [[0x8100, id]])
  const twice = [tagged(1, piece(0, 24)), tagged(2, piece(0, 24)), tagged(1, piece(24, 60)), tagged(2, piece(24, 60))]
  t.strictSame(
    brief(read(twice, {}, 1)),
    ['3 ok of 2', '4 ok of 2'],
    'a capture on both sides of a VLAN holds each twice'
  )
})

t.test('a fragment that came before is skipped; one that differs is reported', async (t) => {
  t.strictSame(brief(read([piece(0, 24), piece(0, 24), piece(24, 60)])), ['3 ok of 2'])
  t.strictSame(
    brief(read([piece(0, 24), piece(24, 48), piece(8, 40), piece(48, 60)])),
    ['4 ok of 3'],
    'inside two that join'
  )
  const changed = DATAGRAM.map((byte, index) => (index === 20 ? 99 : byte))
  const differing = [piece(0, 24), piece(16, 24, { from: changed }), piece(0, 24, { from: changed }), piece(24, 60)]
  t.strictSame(brief(read(differing)), ['4 ok of 2 FRAGMENT_REPEATED'], 'once, and the first is kept')
})

t.test('fragments that overlap rule the datagram out, as for a receiver', async (t) => {
  t.strictSame(brief(read([piece(0, 24), piece(16, 40), piece(40, 60)])), ['3 16/52 of 2 FRAGMENT_OVERLAP'])
  t.strictSame(brief(read([piece(16, 40), piece(0, 24), piece(40, 60)])), ['3 FRAGMENT_OVERLAP'], 'without the first')
  t.strictSame(brief(read([piece(0, 24), piece(32, 60), piece(24, 40)])), ['3 16/52 of 2 FRAGMENT_OVERLAP'])
  t.strictSame(
    brief(read([piece(0, 24), piece(32, 40), piece(16, 60)])),
    ['3 16/52 of 2 FRAGMENT_OVERLAP'],
    'around another'
  )
})

t.test('fragments that contradict each other or the protocol rule it out', async (t) => {
  const table: [name: string, packets: Uint8Array[], want: string][] = [
    [
      'past 65,535',
      [piece(0, 24), ipv4(new Uint8Array(16), { offset: 65_528, more: true })],
      '2 16/16 of 1 FRAGMENT_INVALID'
    ],
    ['empty', [piece(0, 24), piece(24, 24, { more: true })], '2 16/16 of 1 FRAGMENT_INVALID'],
    ['odd length in the middle', [piece(0, 24), piece(24, 37)], '2 16/16 of 1 FRAGMENT_INVALID'],
    [
      'two ends',
      [piece(0, 24), piece(48, 56, { more: false }), piece(24, 32, { more: false })],
      '3 16/48 of 2 FRAGMENT_INVALID'
    ],
    ['beyond the end', [piece(0, 24), piece(32, 40, { more: false }), piece(40, 48)], '3 16/32 of 2 FRAGMENT_INVALID'],
    [
      'an end before what has come',
      [piece(0, 24), piece(40, 48), piece(24, 32, { more: false })],
      '3 16/40 of 2 FRAGMENT_INVALID'
    ]
  ]
  for (const [name, packets, want] of table)
    t.strictSame(brief(read(packets)), [want.replace(/(\d+)\/\d+/, '$1/52')], name)
})

t.test('missing fragments are reported, with what is there from the start', async (t) => {
  t.strictSame(brief(read([piece(0, 24), piece(40, 60)])), ['2 16/52 of 2 FRAGMENT_MISSING'], 'the middle')
  t.strictSame(brief(read([piece(0, 24), piece(24, 40)])), ['2 32/52 of 2 FRAGMENT_MISSING'], 'the end')
  t.strictSame(brief(read([piece(24, 40), piece(40, 60)])), ['2 FRAGMENT_WITHOUT_FIRST'], 'the start')
  t.strictSame(brief(read([piece(0, 24, { from: OTHER })])), [], 'another port is nobody’s business')
  const texts = [[piece(0, 24)], [piece(0, 24), piece(40, 48)], [piece(0, 24), piece(40, 60)]].map((packets) => {
    const [item] = read(packets)
    return item?.kind === 'datagram' ? /\((.*)\)/.exec(item.problems[0]?.message ?? '')?.[1] : ''
  })
  t.strictSame(texts, ['everything from byte 24 on', 'bytes 24 to 39 of an unknown number', 'bytes 24 to 39 of 60'])
})

t.test('a datagram waits 30 seconds of capture time, whichever way the stamps go', async (t) => {
  const at = (seconds: number, data: Uint8Array): PcapPacket => ({ seconds, data })
  const tick = udp(PAYLOAD)
  t.strictSame(brief(read([at(100, piece(0, 24)), at(129, piece(24, 60))])), ['2 ok of 2'])
  const late = [at(100, piece(0, 24)), at(132, ipv4(tick)), at(133, piece(24, 60))]
  t.strictSame(brief(read(late)), ['1 16/52 of 1 FRAGMENT_MISSING', '2 ok of 1', '3 FRAGMENT_WITHOUT_FIRST'])
  const retried = [at(100, piece(0, 24)), at(120, piece(24, 40)), at(131, piece(40, 60))]
  t.strictSame(
    brief(read(retried)),
    ['2 32/52 of 2 FRAGMENT_MISSING', '3 FRAGMENT_WITHOUT_FIRST'],
    'counted from the first'
  )
  t.strictSame(
    brief(read([at(100, piece(0, 24)), at(50, ipv4(tick)), at(51, piece(24, 60))])),
    ['2 ok of 1', '3 ok of 2'],
    'time may go back'
  )
  const jump = [at(100, ipv4(tick)), at(4_000_000_000, piece(0, 24)), at(100, piece(24, 60))]
  t.strictSame(brief(read(jump)), ['1 ok of 1', '3 ok of 2'], 'or jump')
  t.strictSame(brief(read([at(100, piece(0, 24)), at(103, piece(24, 60))], { fragmentSeconds: 2 })), [
    '1 16/52 of 1 FRAGMENT_MISSING',
    '2 FRAGMENT_WITHOUT_FIRST'
  ])
  t.strictSame(brief(read([at(100, piece(0, 24)), at(100.5 + 0.6, piece(24, 60))], { fragmentSeconds: 0.5 })), [
    '1 16/52 of 1 FRAGMENT_MISSING',
    '2 FRAGMENT_WITHOUT_FIRST'
  ])
})

t.test('what waits is bounded in number and in bytes', async (t) => {
  const many = Array.from({ length: 5 }, (_, id) => piece(0, 24, { id }))
  t.strictSame(brief(read(many, { maxFragmentedDatagrams: 3 })), [
    '1 16/52 of 1 FRAGMENT_LIMIT',
    '2 16/52 of 1 FRAGMENT_LIMIT',
    '3 16/52 of 1 FRAGMENT_MISSING',
    '4 16/52 of 1 FRAGMENT_MISSING',
    '5 16/52 of 1 FRAGMENT_MISSING'
  ])
  t.strictSame(brief(read(many.slice(0, 3), { maxFragmentBytes: 1700 })), [
    '1 16/52 of 1 FRAGMENT_LIMIT',
    '2 16/52 of 1 FRAGMENT_MISSING',
    '3 16/52 of 1 FRAGMENT_MISSING'
  ])
  t.strictSame(
    brief(read([piece(0, 24), piece(24, 40)], { maxFragmentBytes: 1000 })),
    ['2 32/52 of 2 FRAGMENT_LIMIT'],
    'one alone that is too large'
  )
})

t.test('a snapped fragment leaves a gap, and the datagram is complete all the same', async (t) => {
  const second = piece(24, 40)
  const cut = { data: second.subarray(0, 28), wireLength: second.length }
  t.strictSame(brief(read([piece(0, 24), cut, piece(40, 60)])), ['3 24/52 of 3 PACKET_SNAPPED'])
  const first = { data: piece(0, 24).subarray(0, 25), wireLength: 44 }
  t.strictSame(brief(read([first])), ['1 0/0 of 1 FRAGMENT_MISSING'], 'ports alone are enough')
})

t.test('fragments of something else than UDP are skipped', async (t) => {
  const tcp = (start: number, end: number): Uint8Array =>
    ipv4(DATAGRAM.slice(start, end), { protocol: 6, offset: start, more: end < 60 })
  t.strictSame(brief(read([tcp(0, 24), tcp(24, 60)])), [])
  const options = bytes('3a 00 010400000000', DATAGRAM) // destination options, then ICMPv6
  const part = (start: number, end: number): Uint8Array =>
    ipv6(bytes(ipv6Fragment(60, start, end < 68), options.subarray(start, end)), 44)
  t.strictSame(brief(read([part(0, 24), part(24, 68)], {}, 229)), [])
  const runaway = bytes('11 ff 010400000000', DATAGRAM)
  const bad = (start: number, end: number): Uint8Array =>
    ipv6(bytes(ipv6Fragment(60, start, end < 68), runaway.subarray(start, end)), 44)
  t.strictSame(brief(read([bad(0, 24), bad(24, 68)], {}, 229)), [], 'or whose headers run past the end')
})

t.test('whatever the bytes of a capture, the reader gives items or the documented error', async (t) => {
  const seed = Number(process.env['FUZZ_SEED'] ?? 20_261_122)
  const runs = Number(process.env['FUZZ_RUNS'] ?? 1000)
  const { section, interface: describe, enhanced, simple } = pcapngBlocks(true)
  const pieces = [piece(0, 24), piece(24, 40), piece(40, 60), ipv4(DATAGRAM)]
  const fixtures = ['tcp4-nat', 'mcast6', 'sip', 'seq-v0'].map((name) => {
    return new Uint8Array(readFileSync(new URL(`../fixtures/captures/${name}/sync.pcap`, import.meta.url)))
  })
  const seeds = [
    ...fixtures,
    pcap(pieces, { linkType: 101, little: false }),
    bytes(
      section(),
      describe(101, 0),
      describe(1, 0),
      ...pieces.map((data, index) => enhanced(0, BigInt(index), data)),
      simple(DATAGRAM)
    )
  ]
  const result = fuzzCaptures({ createReader: () => new CaptureReader(), seeds, runs, seed })
  t.comment(`seed ${seed}: ${JSON.stringify(result)}`)
  t.equal(result.files, runs)
  t.ok(
    result.datagrams > runs && result.problems > runs / 10 && result.refused > 0,
    'most mutations get past the header'
  )
})
