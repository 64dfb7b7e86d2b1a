import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import t from 'tap'
import { CaptureReader } from '../../src/capture/capture-reader.js'
import { CaptureTime } from '../../src/capture/capture-time.js'
import { captureFormat } from '../../src/capture/formats.js'
import type { CapturedDatagram, CaptureItem, ReadCaptureOptions } from '../../src/capture/items.js'
import { CAPTURE_PROBLEMS, captureProblem, type CaptureProblemCode } from '../../src/capture/problems.js'
import { readCapture } from '../../src/capture/read-capture.js'
import { decompress } from '../../src/files/capture-file.js'
import { be16, bytes, ethernet, ipv4, ipv6, pcap, pcapngBlocks, udp } from '../fixtures/support/packets.js'

const PAYLOAD = bytes('00 07 0008 00 01 0000')
const PLAIN = ethernet(0x0800, ipv4(udp(PAYLOAD)))
const PLAIN_TIME = '2026-11-22T22:03:01.123456Z'

function read(file: Uint8Array, options: ReadCaptureOptions = {}): CaptureItem[] {
  const reader = new CaptureReader(options)
  return [...reader.push(file), ...reader.end()]
}

function datagrams(items: CaptureItem[]): CapturedDatagram[] {
  return items.filter((item) => item.kind === 'datagram')
}

/** What was read, short: time, addresses, payload; problems by code. */
function brief(items: CaptureItem[]): string[] {
  return items.map((item) => {
    if (item.kind === 'problem') return `${item.packet ?? '-'} ${item.problem.code} @${item.problem.offset ?? '-'}`
    const { source, destination, payload, wireLength, problems } = item
    const held = `${Buffer.from(payload).toString('hex')}/${wireLength}`
    const codes = problems.map((problem) => ` ${problem.code}`).join('')
    return `${String(item.time ?? 'no time')} ${source.address}:${source.port} ${destination.address}:${destination.port} ${held}${codes}`
  })
}

const V4 = '10.9.0.1:50000 224.0.0.81:8848 0007000800010000/8'
const V6 = 'fe80::1:50000 ff02::51:8848 0007000800010000/8'

t.test('pcap is read in both byte orders, with microseconds and nanoseconds', async (t) => {
  for (const little of [true, false]) {
    t.strictSame(brief(read(pcap([PLAIN], { little }))), [`${PLAIN_TIME} ${V4}`])
    const nano = pcap([{ data: PLAIN, fraction: 1_000_000 + 2 }], { little, nano: true })
    t.strictSame(brief(read(nano)), [`2026-11-22T22:03:01.001000002Z ${V4}`])
  }
  const carried = read(pcap([{ data: PLAIN, seconds: 0, fraction: 2_000_001 }]))
  t.strictSame(brief(carried), [`1970-01-01T00:00:02.000001Z ${V4}`], 'a fraction above a second is carried')
})

t.test('a time is exact as text and close enough as a number', async (t) => {
  const time = new CaptureTime(1_795_384_981, '123456789')
  t.equal(time.ms, 1_795_384_981_123.4568)
  t.equal(JSON.stringify({ time }), '{"time":"2026-11-22T22:03:01.123456789Z"}')
  t.equal(new CaptureTime(-1, '5').toString(), '1969-12-31T23:59:59.5Z')
  t.equal(new CaptureTime(3, '').toString(), '1970-01-01T00:00:03Z')
  t.equal(new CaptureTime(3, '').ms, 3000)
  t.equal(new CaptureTime(8_640_000_000_001, '25').toString(), '8640000000001.25s', 'beyond every date')
})

t.test('every link type leads to the same datagram', async (t) => {
  const v4 = ipv4(udp(PAYLOAD))
  const v6 = ipv6(udp(PAYLOAD))
  const cooked = (type: number, data: Uint8Array): Uint8Array =>
    bytes('0004 0001 0006 020000000001 0000', be16(type), data)
  const cooked2 = (type: number, data: Uint8Array): Uint8Array =>
    bytes(be16(type), '0000 00000002 0001 04 06 020000000001 0000', data)
  const table: [name: string, linkType: number, frame: Uint8Array, want: string][] = [
    ['Ethernet', 1, PLAIN, V4],
    ['Ethernet, IPv6', 1, ethernet(0x86dd, v6), V6],
    ['802.1Q', 1, ethernet(0x0800, v4, [[0x8100, 42]]), V4],
    [
      '802.1ad',
      1,
      ethernet(0x86dd, v6, [
        [0x88a8, 7],
        [0x8100, 42]
      ]),
      V6
    ],
    [
      'three tags, the old QinQ type',
      1,
      ethernet(0x0800, v4, [
        [0x9100, 7],
        [0x9100, 8],
        [0x8100, 42]
      ]),
      V4
    ],
    ['Linux cooked', 113, cooked(0x0800, v4), V4],
    ['Linux cooked, tagged', 113, cooked(0x8100, bytes('002a 0800', v4)), V4],
    ['Linux cooked v2', 276, cooked2(0x86dd, v6), V6],
    ['raw', 101, v4, V4],
    ['raw, IPv6', 101, v6, V6],
    ['raw, as OpenBSD numbers it', 14, v4, V4],
    ['raw, as others do', 12, v6, V6],
    ['IPv4 only', 228, v4, V4],
    ['IPv6 only', 229, v6, V6],
    ['null, little-endian', 0, bytes('02000000', v4), V4],
    ['null, big-endian', 0, bytes('00000002', v4), V4],
    ...[10, 24, 28, 30].map((family): [string, number, Uint8Array, string] => [
      `null, IPv6 as ${family}`,
      0,
      bytes([family, 0, 0, 0], v6),
      V6
    ]),
    ['loopback', 108, bytes('00000002', v4), V4]
  ]
  for (const [name, linkType, frame, want] of table) {
    t.strictSame(brief(read(pcap([frame], { linkType }))), [`${PLAIN_TIME} ${want}`], name)
  }
})

t.test('frames without UDP over IP are skipped silently', async (t) => {
  const table: [name: string, linkType: number, frame: Uint8Array][] = [
    ['ARP', 1, ethernet(0x0806, bytes('00'.repeat(28)))],
    ['a frame shorter than Ethernet', 1, bytes('0102')],
    ['a tag that is cut off', 1, ethernet(0x0800, bytes(), [[0x8100, 1]]).subarray(0, 15)],
    ['cooked, cut off', 113, bytes('0000')],
    ['cooked v2, cut off', 276, bytes('0000')],
    ['raw, empty', 101, bytes()],
    ['raw, version 5', 101, bytes('50')],
    ['null, cut off', 0, bytes('0200')],
    ['null, another family', 0, bytes('07000000')],
    ['IPv4, cut off', 228, ipv4(udp(PAYLOAD)).subarray(0, 19)],
    ['IPv4, not its version', 228, ipv6(udp(PAYLOAD))],
    ['IPv4, a header of 16 bytes', 228, bytes([0x44], ipv4(udp(PAYLOAD)).subarray(1))],
    ['IPv4, options cut off', 228, ipv4(bytes(), { options: [1, 1, 1, 1] }).subarray(0, 22)],
    ['IPv6, cut off', 229, ipv6(udp(PAYLOAD)).subarray(0, 39)],
    ['IPv6, not its version', 229, bytes([0x40], ipv6(udp(PAYLOAD)).subarray(1))],
    ['IPv6, an extension header cut off', 229, ipv6(bytes('11 00 00'), 0)],
    ['IPv6, an extension header that runs out', 229, ipv6(bytes('11 09 000000000000'), 0)],
    ['TCP', 228, ipv4(bytes('00'.repeat(20)), { protocol: 6 })],
    ['UDP without ports', 228, ipv4(bytes('0001'))]
  ]
  for (const [name, linkType, frame] of table) t.strictSame(brief(read(pcap([frame], { linkType }))), [], name)
})

t.test('IPv4 options and IPv6 extension headers are stepped over', async (t) => {
  t.strictSame(brief(read(pcap([ipv4(udp(PAYLOAD), { options: [0x94, 4, 0, 0] })], { linkType: 228 }))), [
    `${PLAIN_TIME} ${V4}`
  ])
  const hops = '3c 00 050200000100' // hop-by-hop with a router alert, then destination options
  const destination = '33 01 0000000000000000000000000000' // 16 bytes, then authentication
  const authentication = '2c 01 0000 00000001 00000001' // (1 + 2) * 4 bytes, then a fragment header
  const atomic = '11 00 0000 00000009' // a fragment header of a datagram in one piece, then UDP
  const long = ipv6(bytes(hops, destination, authentication, atomic, udp(PAYLOAD)), 0)
  t.strictSame(brief(read(pcap([long], { linkType: 229 }))), [`${PLAIN_TIME} ${V6}`])
})

t.test('lengths of IP and UDP are checked, and a receiver that would drop the datagram is said to', async (t) => {
  const table: [name: string, frame: Uint8Array, want: string][] = [
    ['padding of a short frame is not payload', bytes(ipv4(udp(PAYLOAD)), '00'.repeat(18)), '0007000800010000/8'],
    ['no length (segmentation offload)', ipv4(udp(PAYLOAD), { totalLength: 0 }), '0007000800010000/8'],
    ['IP says more than the frame', ipv4(udp(PAYLOAD), { totalLength: 1500 }), '0007000800010000/8 IP_LENGTH'],
    ['IP says less than its header', ipv4(udp(PAYLOAD), { totalLength: 10 }), '0007000800010000/8 IP_LENGTH'],
    ['UDP says less than its header', ipv4(udp(PAYLOAD, { length: 7 })), '0007000800010000/8 UDP_LENGTH'],
    ['UDP says more than IP', ipv4(udp(PAYLOAD, { length: 17 })), '0007000800010000/8 UDP_LENGTH'],
    ['UDP says less than IP', ipv4(udp(PAYLOAD, { length: 12 })), '00070008/4 UDP_TRAILING'],
    ['IP carries no whole UDP header', ipv4(udp(PAYLOAD).subarray(0, 6)), '/0 UDP_LENGTH']
  ]
  for (const [name, frame, want] of table) {
    t.strictSame(
      brief(read(pcap([frame], { linkType: 228 }))),
      [`${PLAIN_TIME} 10.9.0.1:50000 224.0.0.81:8848 ${want}`],
      name
    )
  }
  const jumbo = ipv6(udp(PAYLOAD), 17, 0)
  t.strictSame(brief(read(pcap([jumbo], { linkType: 229 }))), [`${PLAIN_TIME} ${V6}`])
})

t.test('a snapped packet gives what is there and its true length', async (t) => {
  const whole = ipv4(udp(PAYLOAD))
  const cut = (length: number): string[] =>
    brief(read(pcap([{ data: whole.subarray(0, length), wireLength: whole.length }], { linkType: 228 }))).map((line) =>
      line.slice(PLAIN_TIME.length + 1)
    )
  const to = '10.9.0.1:50000 224.0.0.81:8848'
  t.strictSame(cut(35), [`${to} 00070008000100/8 PACKET_SNAPPED`])
  t.strictSame(cut(28), [`${to} /8 PACKET_SNAPPED`])
  t.strictSame(cut(25), [`${to} /8 PACKET_SNAPPED`], 'ports alone are enough')
})

t.test('packets cut off before their ports are counted, and told of once', async (t) => {
  const whole = ipv4(udp(PAYLOAD))
  const tcp = ipv4(udp(PAYLOAD), { protocol: 6 })
  const cut = (data: Uint8Array, length: number) => ({ data: data.subarray(0, length), wireLength: data.length })
  const items = read(
    pcap([whole, cut(tcp, 22), cut(whole, 22), cut(whole, 10), cut(ipv6(udp(PAYLOAD)), 39)], { linkType: 101 })
  )
  t.strictSame(
    items.map(({ kind, packet }) => [kind, packet]),
    [
      ['datagram', 1],
      ['problem', 3]
    ]
  )
  const last = items.at(-1)
  t.match(last?.kind === 'problem' && last.problem, {
    code: 'PACKET_SNAPPED',
    severity: 'warning',
    message: /^packets cut off before their UDP ports, from this one on: 3; capture again/
  })
})

t.test('pcapng is read in both byte orders, with several interfaces and sections', async (t) => {
  const ticks = 1_795_384_981_123_456n
  for (const little of [true, false]) {
    const here = pcapngBlocks(little)
    const other = pcapngBlocks(!little)
    const name = here.option(2, [...Buffer.from('eth0')])
    const file = bytes(
      here.section(),
      here.block(0x0bad, 'deadbeef'), // unknown, skipped
      here.interface(1, 0, name),
      here.interface(101, 0, here.option(9, [9]), here.option(14, here.i64(-1n))),
      here.enhanced(0, ticks, PLAIN),
      here.enhanced(1, 2_000_000_005n, ipv4(udp(PAYLOAD))),
      here.obsolete(0, ticks, PLAIN),
      here.simple(PLAIN),
      other.section(),
      other.interface(229, 44),
      other.simple(ipv6(udp(PAYLOAD)).subarray(0, 44), 56),
      other.enhanced(0, ticks, ipv6(udp(PAYLOAD)))
    )
    const items = read(file)
    t.strictSame(brief(items), [
      `${PLAIN_TIME} ${V4}`,
      `1970-01-01T00:00:01.000000005Z ${V4}`,
      `${PLAIN_TIME} ${V4}`,
      `no time ${V4}`,
      'no time fe80::1:50000 ff02::51:8848 /8 PACKET_SNAPPED',
      `${PLAIN_TIME} ${V6}`
    ])
    t.strictSame(
      datagrams(items).map((item) => [item.packet, item.interface]),
      [
        [1, 'eth0'],
        [2, undefined],
        [3, 'eth0'],
        [4, 'eth0'],
        [5, undefined],
        [6, undefined]
      ]
    )
  }
})

t.test('pcapng counts time in any power of 10 or of 2', async (t) => {
  const { section, interface: describe, option, enhanced } = pcapngBlocks(true)
  const at = (resolution: number[], ticks: bigint): string => {
    const items = read(bytes(section(), describe(1, 0, option(9, resolution)), enhanced(0, ticks, PLAIN)))
    return String(datagrams(items)[0]?.time)
  }
  t.equal(at([0], 12n), '1970-01-01T00:00:12Z', 'seconds')
  t.equal(at([3], 12_345n), '1970-01-01T00:00:12.345Z', 'milliseconds')
  t.equal(at([12], 12_000_000_000_001n), '1970-01-01T00:00:12.000000000001Z', 'picoseconds')
  t.equal(at([0x80 | 1], 25n), '1970-01-01T00:00:12.5Z', 'halves')
  t.equal(at([0x80 | 10], 12_288n + 512n), '1970-01-01T00:00:12.5000Z', '1/1024 s')
  t.equal(at([0x80 | 20], (12n << 20n) + 1n), '1970-01-01T00:00:12.0000009Z', 'the last digit is cut, not rounded')
  t.equal(at([6, 6], 12_000_000n), '1970-01-01T00:00:12.000000Z', 'an option of the wrong length is skipped')
})

t.test('options of an interface that run past it end the list', async (t) => {
  const { section, block, u16, u32, enhanced, interface: describe, option } = pcapngBlocks(true)
  const cut = block(1, u16(1), u16(0), u32(0), u16(2), u16(99), 'aaaa0000')
  t.strictSame(brief(read(bytes(section(), cut, enhanced(0, 0n, PLAIN)))), [`1970-01-01T00:00:00.000000Z ${V4}`])
  const long = describe(1, 0, option(2, new Array<number>(1000).fill(0x61)))
  t.equal(
    datagrams(read(bytes(section(), long, enhanced(0, 0n, PLAIN))))[0]?.interface?.length,
    256,
    'a name is not endless'
  )
})

t.test('a file cut at every byte gives the same, chunk by chunk, and never throws when it ends early', async (t) => {
  const { section, interface: describe, enhanced, block, simple } = pcapngBlocks(false)
  const files = [
    pcap([PLAIN, ethernet(0x86dd, ipv6(udp(PAYLOAD))), PLAIN]),
    bytes(section(), describe(1, 0), enhanced(0, 5n, PLAIN), block(99, '00'.repeat(40)), simple(PLAIN), section())
  ]
  for (const file of files) {
    const whole = brief(read(file))
    for (let at = 0; at <= file.length; at += 1) {
      const reader = new CaptureReader()
      const first = file.slice(0, at)
      const items = reader.push(first)
      first.fill(0xff) // the reader keeps nothing of a caller's chunk
      items.push(...reader.push(file.subarray(at)), ...reader.end())
      if (!t.strictSame(brief(items), whole, `cut at ${at}`)) return
      if (at < 4) continue
      const codes = read(file.subarray(0, at)).map((item) => (item.kind === 'problem' ? item.problem.code : ''))
      if (codes.slice(0, -1).some((code) => code !== '')) t.fail(`ended at ${at}: ${codes.join()}`)
    }
    const reader = new CaptureReader()
    const items = [...file].flatMap((byte) => reader.push(Uint8Array.of(byte)))
    t.strictSame(brief([...items, ...reader.end()]), whole, 'byte by byte')
    t.equal(reader.counts.bytes, file.length)
  }
})

t.test('a damaged file gives what could be read, then says where it broke', async (t) => {
  const { section, interface: describe, enhanced, obsolete, simple, block, u32 } = pcapngBlocks(true)
  const head = bytes(section(), describe(1, 0))
  const good = enhanced(0, 1_795_384_981_123_456n, PLAIN)
  const badClose = good.slice()
  badClose[badClose.length - 1] = 9
  const one = pcap([PLAIN])
  const first = `${PLAIN_TIME} ${V4}`
  const table: [name: string, file: Uint8Array, want: string[]][] = [
    ['pcap, header cut', one.subarray(0, 20), ['- CAPTURE_TRUNCATED @0']],
    ['pcap, packet cut', bytes(one, one.subarray(24, 60)), [first, `- CAPTURE_TRUNCATED @${one.length}`]],
    [
      'pcap, impossible length',
      bytes(one, '00'.repeat(8), 'ffffffff 00000000', PLAIN),
      [first, `- CAPTURE_DAMAGED @${one.length}`]
    ],
    [
      'pcapng, block cut',
      bytes(head, good, good.subarray(0, 50)),
      [first, `- CAPTURE_TRUNCATED @${head.length + good.length}`]
    ],
    [
      'pcapng, unknown block cut',
      bytes(head, good, block(9, '00'.repeat(12)).subarray(0, 15)),
      [first, `- CAPTURE_TRUNCATED @${head.length + good.length + 15}`]
    ],
    [
      'pcapng, closing length differs',
      bytes(head, badClose, good),
      [`- CAPTURE_DAMAGED @${head.length + good.length - 4}`]
    ],
    [
      'pcapng, unknown block closes wrongly',
      bytes(head, u32(9), u32(16), u32(0), u32(20), good),
      [`- CAPTURE_DAMAGED @${head.length + 12}`]
    ],
    [
      'pcapng, length not a multiple of 4',
      bytes(head, u32(6), u32(33), good),
      [`- CAPTURE_DAMAGED @${head.length + 4}`]
    ],
    ['pcapng, length too short', bytes(head, u32(6), u32(8), good), [`- CAPTURE_DAMAGED @${head.length + 4}`]],
    [
      'pcapng, length beyond all memory',
      bytes(head, u32(6), u32(0xfffffff0), good),
      [`- CAPTURE_DAMAGED @${head.length + 4}`]
    ],
    [
      'pcapng, no byte order',
      bytes(head, '0a0d0d0a', u32(28), '01020304', good),
      [`- CAPTURE_DAMAGED @${head.length + 8}`]
    ],
    [
      'pcapng, packet longer than its block',
      bytes(head, block(6, u32(0), u32(0), u32(0), u32(99), u32(99)), good),
      [`1 BLOCK_INVALID @${head.length}`, first]
    ],
    [
      'pcapng, packet block too short',
      bytes(head, block(6, u32(0)), block(2, u32(0)), block(3), good),
      [
        `1 BLOCK_INVALID @${head.length}`,
        `2 BLOCK_INVALID @${head.length + 16}`,
        `3 BLOCK_INVALID @${head.length + 32}`,
        first
      ]
    ],
    [
      'pcapng, simple packet longer than its block',
      bytes(head, block(3, u32(9), u32(0)), good),
      [`1 BLOCK_INVALID @${head.length}`, first]
    ],
    [
      'pcapng, interface not described',
      bytes(head, enhanced(3, 0n, PLAIN), obsolete(4, 0n, PLAIN), good),
      [`1 INTERFACE_UNKNOWN @${head.length}`, `2 INTERFACE_UNKNOWN @${head.length + good.length}`, first]
    ],
    [
      'pcapng, simple packet without interface',
      bytes(section(), simple(PLAIN), describe(1, 0), good),
      [`1 INTERFACE_UNKNOWN @${section().length}`, first]
    ]
  ]
  for (const [name, file, want] of table) {
    t.strictSame(brief(read(file)), want, name)
  }
  const short = bytes(head, block(1, '00000000'), good)
  t.strictSame(brief(read(short)), [`- CAPTURE_DAMAGED @${head.length}`], 'pcapng, interface too short')
  const reader = new CaptureReader()
  reader.push(head)
  const found = [...new Array<undefined>(65_536)].flatMap(() => reader.push(describe(1, 0)))
  t.strictSame(
    found.map((item) => item.kind === 'problem' && item.problem.code),
    ['CAPTURE_DAMAGED'],
    'endless interfaces'
  )
  t.ok(reader.isDamaged)
  t.strictSame(reader.push(good), [], 'and nothing more is read')
  t.strictSame(reader.end(), [])
})

t.test('a link type that is not read is an error, unless other interfaces can be read', async (t) => {
  t.throws(() => read(pcap([], { linkType: 105 })), {
    name: 'IpvsSyncError',
    code: 'ERR_CAPTURE',
    message: /got 105/
  })
  const { section, interface: describe, enhanced } = pcapngBlocks(true)
  const wifi = bytes(section(), describe(105, 0), enhanced(0, 0n, PLAIN), enhanced(0, 0n, PLAIN))
  t.throws(() => read(wifi), { code: 'ERR_CAPTURE', message: /got 105/ })
  const both = bytes(wifi, describe(1, 0), enhanced(1, 0n, PLAIN))
  const items = read(both)
  t.strictSame(brief(items), [`1 LINK_TYPE_UNKNOWN @${section().length + 20}`, `1970-01-01T00:00:00.000000Z ${V4}`])
  t.equal(datagrams(items)[0]?.packet, 3, 'packets that are skipped count')
})

t.test('what is no capture is distinguished', async (t) => {
  const table: [start: Uint8Array | string, message: RegExp][] = [
    ['', /empty/],
    ['a', /text beginning with "a"/],
    ['Hello, world and all', /text beginning with "Hello, world and"/],
    ['\tx\r\n', /text/],
    [bytes('00010203'), /bytes 00 01 02 03/],
    [bytes('28b52ffd00'), /compressed with zstd/],
    [bytes('fd377a585a00'), /xz -dc/],
    ['BZh91AY', /bzip2 -dc/],
    [bytes('04224d18'), /lz4 -dc/],
    [bytes('504b0304'), /zip/],
    ['snoop\0\0\0', /editcap/],
    [bytes('1f8b0800'), /gzip: use readCapture/]
  ]
  for (const [start, message] of table) {
    const head = typeof start === 'string' ? new TextEncoder().encode(start) : start
    t.throws(() => captureFormat(head), { name: 'IpvsSyncError', code: 'ERR_CAPTURE', message })
    t.throws(() => read(head), { code: 'ERR_CAPTURE', message })
  }
})

t.test('only wanted ports are given, and other traffic that looks like sync is counted', async (t) => {
  const other = (port: number, payload = PAYLOAD): Uint8Array => ethernet(0x0800, ipv4(udp(payload, { port })))
  const file = pcap([
    PLAIN,
    other(8849),
    other(9000),
    other(9000),
    other(53, bytes('000102030405')),
    other(54, bytes('00'))
  ])
  const ports = (options: ReadCaptureOptions): number[] =>
    datagrams(read(file, options)).map((item) => item.destination.port)
  t.strictSame(ports({ ports: [8848] }), [8848])
  t.strictSame(ports({ ports: [[8848, 8911], 54] }), [8848, 8849, 54])
  t.strictSame(ports({ ports: (port) => port > 8999 }), [9000, 9000])
  const reader = new CaptureReader({ ports: [[8848, 8911]] })
  reader.push(file)
  t.strictSame([...reader.counts.otherPorts], [[9000, 2]])
  t.match(reader.counts, { packets: 6, datagrams: 2, bytes: file.length })
  const scan = new CaptureReader({ ports: [] })
  scan.push(pcap([...new Array<undefined>(100)].map((_, index) => other(index + 1))))
  t.equal(scan.counts.otherPorts.size, 64, 'a port scan does not grow it')
  for (const wrong of [[-1], [65_536], [1.5], [[9, 8]], [[1, 70_000]]] as [number, number][][]) {
    t.throws(() => new CaptureReader({ ports: wrong }), { code: 'ERR_CONFIG', field: 'ports' })
  }
})

async function collect(source: Parameters<typeof readCapture>[0]): Promise<string[]> {
  const items: CaptureItem[] = []
  for await (const item of readCapture(source, { decompress })) items.push(item)
  return brief(items)
}

async function* pieces(file: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < file.length; at += size) yield file.slice(at, at + size)
}

t.test('readCapture takes bytes, async iterables and web streams, plain or in gzip', async (t) => {
  const file = pcap(new Array<Uint8Array>(3000).fill(PLAIN))
  const want = brief(read(file))
  const stream = (data: Uint8Array): ReadableStream<Uint8Array> =>
    new Blob([data]).stream() as ReadableStream<Uint8Array>
  for (const data of [file, new Uint8Array(gzipSync(file))]) {
    t.strictSame(await collect(data), want)
    t.strictSame(await collect(pieces(data, 1000)), want)
    t.strictSame(await collect(stream(data)), want)
  }
  t.strictSame(await collect(pieces(gzipSync(pcap([PLAIN])), 1)), [`${PLAIN_TIME} ${V4}`], 'byte by byte')
  const capture = readCapture(file)
  for await (const item of capture) t.equal(item.kind, 'datagram', 'a reader may stop early')
  t.equal(capture.counts.packets, 3000)
  for await (const item of readCapture(gzipSync(file))) {
    t.equal(item.kind, 'datagram', 'in gzip too')
    break
  }
})

t.test('datagrams come as soon as their bytes do', async (t) => {
  const file = pcap([PLAIN, PLAIN])
  let given = 0
  async function* slow(): AsyncGenerator<Uint8Array> {
    yield file.subarray(0, 24)
    yield file.subarray(24, 24 + 16 + PLAIN.length)
    t.equal(given, 1, 'the first was given before the second was read')
    yield file.subarray(24 + 16 + PLAIN.length)
  }
  for await (const item of readCapture(slow())) given += item.kind === 'datagram' ? 1 : 0
  t.equal(given, 2)
})

t.test('gzip that breaks off gives all that can be expanded, then says so', async (t) => {
  const file = pcap(new Array<Uint8Array>(3000).fill(PLAIN).map((data, index) => ({ data, seconds: index * 7919 })))
  const packed = new Uint8Array(gzipSync(file))
  for (const size of [1000, 65_536]) {
    const items = await collect(pieces(packed.subarray(0, packed.length - 8), size))
    t.equal(items.length, 3001, 'only the checksum is missing')
    t.equal(items.at(-1), `- GZIP_DAMAGED @${file.length}`)
    const half = await collect(pieces(packed.subarray(0, packed.length >> 1), size))
    t.ok(half.length > 1000)
    t.match(half.at(-1), /^- GZIP_DAMAGED @\d+$/)
  }
  const random = fc.sample(fc.uint8Array({ minLength: 1000, maxLength: 1000 }), { numRuns: 150, seed: 1 })
  const large = pcap(random.map((payload) => ethernet(0x0800, ipv4(udp(payload)))))
  const largePacked = new Uint8Array(gzipSync(large))
  t.ok(largePacked.length > 2 * 65_536, 'more than one slice')
  t.equal((await collect(largePacked)).length, 150)
  t.equal((await collect(largePacked.subarray(0, -9))).length, 151, 'nothing of the last slices is lost')
  const small = new Uint8Array(gzipSync(pcap([PLAIN])))
  const extra = 65_536 - small.length - 2
  const exact = bytes(
    small.subarray(0, 3),
    [small[3]! | 4],
    small.subarray(4, 10),
    [extra & 255, extra >> 8],
    new Uint8Array(extra),
    small.subarray(10)
  )
  t.equal(exact.length, 65_536, 'an extra field fills the slice')
  t.strictSame(await collect(exact), [`${PLAIN_TIME} ${V4}`])
  const checksum = Uint8Array.from(gzipSync(pcap([PLAIN, PLAIN])))
  checksum[checksum.length - 8]! ^= 1
  t.equal((await collect(checksum)).length, 3, 'a wrong checksum takes nothing away')
  const first = largePacked.slice(0, 40_000)
  first.fill(0xff, 20_000)
  t.ok((await collect(first)).length > 15, 'what stands before wrong bytes is given')
  const broken = packed.slice()
  broken.fill(0xff, 100, 200)
  t.match((await collect(broken)).at(-1), /GZIP_DAMAGED/)
  const late = new Uint8Array(300_000).fill(0xff)
  late.set(packed.subarray(0, 100))
  t.match((await collect(late)).at(-1), /GZIP_DAMAGED/, 'and the rest is not waited for')
})

t.test('readCapture stops at damage, and passes on errors of its source', async (t) => {
  const file = bytes(pcap([PLAIN]), 'ff'.repeat(16))
  async function* endless(): AsyncGenerator<Uint8Array> {
    yield file
    for (;;) yield new Uint8Array(1000)
  }
  t.strictSame(await collect(endless()), [`${PLAIN_TIME} ${V4}`, `- CAPTURE_DAMAGED @${file.length - 16}`])
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield gzipSync(file).subarray(0, 20)
    throw new Error('disk on fire')
  }
  await t.rejects(collect(failing()), { message: 'disk on fire' })
  await t.rejects(collect(new Uint8Array(0)), { code: 'ERR_CAPTURE' })
  await t.rejects(collect(Uint8Array.of(0x1f)), { code: 'ERR_CAPTURE' })
  await t.rejects(collect(bytes('41 42 43 44')), { code: 'ERR_CAPTURE' })
})

t.test('every problem has the severity that the catalogue gives it', async (t) => {
  for (const [code, severity] of Object.entries(CAPTURE_PROBLEMS)) {
    t.strictSame(captureProblem(code as CaptureProblemCode, 'x', 3), { code, severity, message: 'x', offset: 3 })
  }
  t.strictSame(Object.keys(captureProblem('PACKET_SNAPPED', 'x')), ['code', 'severity', 'message'])
})
