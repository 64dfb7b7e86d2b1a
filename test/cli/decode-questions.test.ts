// The questions that decode and compare answer: filters, histories, summaries, tunnels, several files, live captures, the page.
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { EventEmitter } from 'node:events'
import t from 'tap'
import { CaptureReader } from '../../src/capture/capture-reader.js'
import { parseTableLine } from '../../src/cli/compare/side.js'
import { filterFor, inTimeOrder, liveSource, type Start } from '../../src/cli/decode/sources.js'
import { run as runCli } from '../../src/cli/run.js'
import { be16, be32, bytes, ethernet, ipv4, pcap, pcapngBlocks, udp } from '../fixtures/support/packets.js'
import { testIo } from '../fixtures/support/test-io.js'

const fixture = (name: string, file = 'sync.pcap'): string =>
  new URL(`../fixtures/captures/${name}/${file}`, import.meta.url).pathname
const folder = mkdtempSync(join(tmpdir(), 'ipvs-sync-'))
const file = (name: string, content: string | Uint8Array): string => {
  writeFileSync(join(folder, name), content)
  return join(folder, name)
}

async function cli(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const io = testIo()
  const code = await runCli(argv, io)
  return { code, out: io.output(), err: io.errors() }
}

interface Line {
  frame: number
  channel: number
  syncid: number
  tunnel?: unknown
  connections: { client: { address: string; port: number }; state: string; protocol: string; flags: string[] }[]
  problems: { code: string; connection?: number }[]
}
const parse = (text: string): Line[] =>
  text
    .trim()
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line)
const connections = async (...options: string[]): Promise<Line['connections']> =>
  parse((await cli('decode', ...options)).out).flatMap((line) => line.connections)

t.test('filters: values of one option are alternatives, different options must all hold', async (t) => {
  const all = await connections(fixture('persist'))
  const count = (test: (connection: Line['connections'][number]) => boolean): number => all.filter(test).length
  const of = async (...options: string[]): Promise<number> => (await connections(...options, fixture('persist'))).length
  const is = (address: string) => (one: Line['connections'][number]) => one.client.address === address
  t.equal(await of('--client', '10.0.1.10'), count(is('10.0.1.10')))
  t.equal(await of('--client', '10.0.1.10', '--client', '10.0.1.11'), count(is('10.0.1.10')) + count(is('10.0.1.11')))
  t.equal(
    await of('--client', '10.0.0.0/8'),
    count((one) => one.client.address.startsWith('10.'))
  )
  t.equal(
    await of('--client', ':0', '--template'),
    count((one) => one.client.port === 0 && one.flags.includes('TEMPLATE'))
  )
  t.equal(
    await of('--no-template'),
    count((one) => !one.flags.includes('TEMPLATE'))
  )
  t.equal(
    await of('--state', 'time_wait', '--protocol', 'tcp'),
    count((one) => one.state === 'TIME_WAIT')
  )
  const web = await of('--virtual', '10.0.1.100:80')
  const parts = await Promise.all(
    ['10.0.2.11', '10.0.2.12'].map((one) => of('--virtual', '10.0.1.100:80', '--destination', one))
  )
  t.ok(web > 0 && parts.every((part) => part < web))
  t.equal(parts[0]! + parts[1]!, web)
  t.equal(await of('--syncid', '7', '--sender', '10.0.9.0/24'), all.length)
  const none = await cli('decode', '--syncid', '9', fixture('persist'))
  t.match(none, { code: 1, out: '', err: /no message matches the filter/ })
  for (const wrong of [
    ['--client', 'x'],
    ['--client', '10.0.0.1:99999'],
    ['--client', '[x]:1'],
    ['--protocol', 'XYZ'],
    ['--syncid', '256'],
    ['--sender', 'x'],
    ['--problem', '-'],
    ['--follow', '10.0.0.1']
  ])
    t.equal((await cli('decode', ...wrong, fixture('persist'))).code, 2, wrong.join(' '))
})

function message(states: number[], client = 1): Uint8Array {
  const records = states.map((state, i) =>
    bytes([0, 6], be16(36), be32(0), be16(state), be16(1000 + i), be16(80), be16(8080), be32(0), be32(10), [
      10,
      1,
      0,
      client,
      10,
      9,
      9,
      9,
      10,
      2,
      0,
      state
    ])
  )
  return bytes([0, 7], be16(8 + 36 * states.length), [states.length, 1, 0, 0], ...records)
}
const frame = (payload: Uint8Array): Uint8Array => ethernet(0x0800, ipv4(udp(payload)))

t.test('filters keep the problems of what they keep, and number them anew', async (t) => {
  const path = file('problems.pcap', pcap([frame(message([1, 99, 1])), frame(message([1]))]))
  const [line] = parse((await cli('decode', '--client', ':1001', path)).out)
  t.strictSame(
    line!.problems.map(({ code, connection }) => [code, connection]),
    [['STATE_RANGE', 0]]
  )
  t.strictSame(
    parse((await cli('decode', '--client', ':1000', path)).out).map(({ problems }) => problems),
    [[], []]
  )
  for (const wanted of ['STATE_RANGE', 'skip', 'any'])
    t.strictSame(
      parse((await cli('decode', '--problem', wanted, path)).out).map((one) => one.frame),
      [1],
      wanted
    )
  const broken = message([1, 1])
  broken[8 + 36 + 2] = 0x10
  const cut = file('cut.pcap', pcap([frame(broken)]))
  t.match(parse((await cli('decode', '--client', ':1000', cut)).out)[0], { problems: [{ code: 'RECORD_VERSION' }] })
})

t.test('--follow tells what changed, and what a backup holds at each moment', async (t) => {
  const path = file(
    'follow.pcap',
    pcap([
      { data: frame(message([1])), seconds: 1000 },
      { data: frame(message([4])), seconds: 1005 },
      { data: frame(message([4])), seconds: 1006 },
      { data: frame(message([99])), seconds: 1007 },
      { data: frame(message([5], 2)), seconds: 1008 },
      { data: frame(message([1])), seconds: 1100 }
    ])
  )
  const { out, code } = await cli('decode', '--follow', '10.1.0.1:1000', path)
  t.equal(code, 1, 'one record is refused')
  const lines = out.trim().split('\n')
  t.match(lines[0], /ESTABLISHED .* new .*backup: ESTABLISHED to 10\.2\.0\.1:8080 for 10 s/)
  t.match(
    lines[1],
    /FIN_WAIT .*state was ESTABLISHED, destination was 10\.2\.0\.1:8080 .*backup: FIN_WAIT to 10\.2\.0\.4:8080/
  )
  t.match(lines[2], /repeated/)
  t.match(lines[4], /expired on the backup/)
  t.match(lines[5], /ESTABLISHED/)
  const values = parse((await cli('decode', '--follow', '10.1.0.1:1000', '--format', 'json', path)).out)
  t.equal(values.length, 6)
  t.match(values[0], { frame: 1, changed: ['new'], backup: { state: 'ESTABLISHED' } })
  t.match(values[4], { changed: ['expired'], backup: null })
  t.match((await cli('decode', '--follow', '10.0.1.10:48001', fixture('seq-v0'))).out, /flags were|state was/)
})

t.test('--summary counts records and distinct connections, rates and gaps', async (t) => {
  const { out } = await cli('decode', '--summary', fixture('seq'))
  t.match(out, /^2 messages, 12 records, 3 distinct connections, 0 problems/)
  t.match(out, /rate +0\.41 messages\/s/)
  t.match(out, /gaps +4\.92 s from/)
  const value = JSON.parse((await cli('decode', '--summary', '--format', 'json', fixture('seq'))).out) as object
  t.match(value, { messages: 2, records: 12, connections: 3, protocol: { TCP: 12 }, bucketSeconds: 1 })
  const spread = Array.from({ length: 20 }, (_, i) => ({ data: frame(message([1], i)), seconds: 1000 + 100 * i }))
  const io = testIo({ isTTY: true, columns: 80, env: { NO_COLOR: '1' } })
  t.equal(await runCli(['decode', '--summary', file('spread.pcap', pcap(spread))], io), 0)
  t.match(io.output(), /[▁-█]/, 'a sparkline on a terminal')
})

t.test('csv has a row for each connection, and as many columns in each', async (t) => {
  for (const name of ['seq', 'sip', 'seq-v0', 'tcp-udp6', 'persist']) {
    const lines = (await cli('decode', '--format', 'csv', fixture(name))).out.trim().split('\n')
    t.equal(lines.length - 1, (await connections(fixture(name))).length, name)
    const columns = new Set(lines.map((line) => line.replace(/"[^"]*"/g, '').split(',').length))
    t.strictSame([...columns], [30], name)
  }
  t.match((await cli('decode', '--format', 'csv', fixture('seq'))).out, /,1000,7,-2,287454020,9,8,,\n/)
})

// ---------------------------------------------------------------- tunnels

const inner = ipv4(udp(bytes('0007 0008 0001 0000')))
const v6 = (next: number, payload: Uint8Array): Uint8Array =>
  bytes(
    [0x60, 0, 0, 0],
    be16(payload.length),
    [next, 1],
    '20010db8'.padEnd(32, '0'),
    '20010db8'.padEnd(32, '1'),
    payload
  )
const over = (protocol: number, payload: Uint8Array): Uint8Array => ipv4(payload, { protocol })
const overUdp = (port: number, payload: Uint8Array): Uint8Array => ipv4(udp(payload, { port }))
const eth = ethernet(0x0800, inner)

const TUNNELS: readonly [name: string, frame: Uint8Array, tunnel: object[], linkType?: number][] = [
  ['VXLAN', ethernet(0x0800, overUdp(4789, bytes('08000000 00002a00', eth))), [{ type: 'vxlan', id: 42 }]],
  ['VXLAN, Linux port', ethernet(0x0800, overUdp(8472, bytes('08000000 00002a00', eth))), [{ type: 'vxlan', id: 42 }]],
  [
    'GENEVE with options',
    ethernet(0x0800, overUdp(6081, bytes('0100 6558 00002a00 00000000', eth))),
    [{ type: 'geneve', id: 42 }]
  ],
  ['GRE', ethernet(0x0800, over(47, bytes('0000 0800', inner))), [{ type: 'gre' }]],
  [
    'GRE, key, sequence, checksum',
    ethernet(0x0800, over(47, bytes('b000 0800 00000000 0000002a 00000001', inner))),
    [{ type: 'gre', id: 42 }]
  ],
  ['GRE, Ethernet', ethernet(0x0800, over(47, bytes('0000 6558', eth))), [{ type: 'gre' }]],
  ['ERSPAN I', ethernet(0x0800, over(47, bytes('0000 88be', eth))), [{ type: 'erspan' }]],
  [
    'ERSPAN II',
    ethernet(0x0800, over(47, bytes('1000 88be 00000001 1000 002a 00000000', eth))),
    [{ type: 'erspan', id: 42 }]
  ],
  [
    'ERSPAN III',
    ethernet(0x0800, over(47, bytes('1000 22eb 00000001 2000 002a 00000000 0000 0000', eth))),
    [{ type: 'erspan', id: 42 }]
  ],
  [
    'ERSPAN III, platform',
    ethernet(0x0800, over(47, bytes('1000 22eb 00000001 2000 002a 00000000 0000 0001 0000000000000000', eth))),
    [{ type: 'erspan', id: 42 }]
  ],
  ['IPIP', ethernet(0x0800, over(4, inner)), [{ type: 'ipip' }]],
  ['6in4', ethernet(0x0800, over(41, v6(17, udp(bytes('0007 0008 0001 0000'))))), [{ type: '6in4' }]],
  ['4in6', ethernet(0x86dd, v6(4, inner)), [{ type: '4in6' }]],
  ['6in6', ethernet(0x86dd, v6(41, v6(17, udp(bytes('0007 0008 0001 0000'))))), [{ type: '6in6' }]],
  ['Ethernet in IP', ethernet(0x0800, over(97, bytes('3000', eth))), [{ type: 'etherip' }]],
  ['MPLS in IP', ethernet(0x0800, over(137, bytes(be32((42 << 12) | 0x100), inner))), [{ type: 'mpls', id: 42 }]],
  ['GUE', ethernet(0x0800, overUdp(6080, bytes('0004 0000', inner))), [{ type: 'gue' }]],
  [
    'GUE, IPv6',
    ethernet(0x0800, overUdp(6080, bytes('0029 0000', v6(17, udp(bytes('0007 0008 0001 0000')))))),
    [{ type: 'gue' }]
  ],
  [
    'GUE, GRE',
    ethernet(0x0800, overUdp(6080, bytes('002f 0000 0000 0800', inner))),
    [{ type: 'gue' }, { type: 'gre' }]
  ],
  ['GUE variant 1', ethernet(0x0800, overUdp(6080, inner)), [{ type: 'gue' }]],
  ['FOU', ethernet(0x0800, overUdp(5555, inner)), [{ type: 'fou' }]],
  [
    'MPLS, two labels',
    ethernet(0x8847, bytes(be32(41 << 12), be32((42 << 12) | 0x100), inner)),
    [
      { type: 'mpls', id: 41 },
      { type: 'mpls', id: 42 }
    ]
  ],
  ['MPLS pseudowire', ethernet(0x8848, bytes(be32((42 << 12) | 0x100), '00000000', eth)), [{ type: 'mpls', id: 42 }]],
  ['PPPoE', ethernet(0x8864, bytes('1100 002a', be16(inner.length + 2), '0021', inner)), [{ type: 'pppoe', id: 42 }]],
  [
    'PPPoE, MPLS',
    ethernet(0x8864, bytes('1100 002a', be16(inner.length + 6), '0281', be32((7 << 12) | 0x100), inner)),
    [
      { type: 'pppoe', id: 42 },
      { type: 'mpls', id: 7 }
    ]
  ],
  ['GRE, PPP', ethernet(0x0800, over(47, bytes('0000 880b', 'ff03 0021', inner))), [{ type: 'gre' }]],
  ['LLC/SNAP', ethernet(inner.length + 8, bytes('aaaa03 000000 0800', inner)), []],
  ['NSH', ethernet(0x894f, bytes('0fc2 0101 00002a00', inner)), [{ type: 'nsh', id: 42 }]],
  [
    'VLAN and VXLAN',
    ethernet(0x0800, overUdp(4789, bytes('08000000 00002a00', ethernet(0x0800, inner, [[0x8100, 9]]))), [[0x88a8, 5]]),
    [
      { type: 'vlan', id: 5 },
      { type: 'vxlan', id: 42 },
      { type: 'vlan', id: 9 }
    ]
  ],
  [
    'four deep',
    ethernet(0x0800, over(4, over(4, over(4, over(4, inner))))),
    new Array<object>(4).fill({ type: 'ipip' })
  ],
  ['PPP link', bytes('ff03 0021', inner), [], 9],
  ['PPP link, IPv6, short', bytes('57', v6(17, udp(bytes('0007 0008 0001 0000')))), [], 50],
  ['PPPoE link', bytes('1100 002a', be16(inner.length + 2), '0021', inner), [{ type: 'pppoe', id: 42 }], 51],
  ['NFLOG', bytes('02000000', '0800 0100 00000000', be16(((inner.length + 4) << 8) & 0xff00), '0900', inner), [], 239]
]

t.test('sync traffic is found in tunnels, and the place is named', async (t) => {
  for (const [name, data, tunnel, linkType = 1] of TUNNELS) {
    const [line] = parse((await cli('decode', file('tunnel.pcap', pcap([data], { linkType })))).out)
    t.strictSame(line?.tunnel ?? [], tunnel, name)
  }
  const { out } = await cli('decode', '--format', 'table', file('tunnel.pcap', pcap([TUNNELS[0]![1]])))
  t.match(out, /via vxlan 42/)
})

t.test('what is no tunnel, or cut off, is ignored', async (t) => {
  const table: readonly Uint8Array[] = [
    ethernet(0x0800, over(4, over(4, over(4, over(4, over(4, inner)))))),
    ethernet(0x0800, overUdp(4789, bytes('00000000 00000000', eth))),
    ethernet(0x0800, overUdp(6081, bytes('4000 0800 00000000', inner))),
    ethernet(0x0800, overUdp(6080, bytes('6004 0000', inner))),
    ethernet(0x0800, overUdp(6080, bytes('0011 0000', inner))),
    ethernet(0x0800, overUdp(6080, bytes('1f04 0000 00000000'))),
    ethernet(0x0800, overUdp(5555, bytes('0000000000000000'))),
    ethernet(0x0800, overUdp(4789, bytes('0800'))),
    ethernet(0x0800, over(47, bytes('00'))),
    ethernet(0x0800, over(47, bytes('0001 880b', inner))),
    ethernet(0x0800, over(47, bytes('b000 0800'))),
    ethernet(0x0800, over(47, bytes('1000 88be 00000001 10'))),
    ethernet(0x0800, over(47, bytes('1000 22eb 00000001 10'))),
    ethernet(0x0800, over(47, bytes('0000 1234 00000000'))),
    ethernet(0x8847, bytes(be32(1 << 12))),
    ethernet(0x8847, bytes(be32((1 << 12) | 0x100), '5000000000')),
    ethernet(0x8864, bytes('1100 002a')),
    ethernet(0x8864, bytes('1100 002a 0004 c021')),
    ethernet(0x8864, bytes('1100 002a 0004 c021 00000000')),
    ethernet(0x894f, bytes('0fc2 0101')),
    ethernet(0x894f, bytes('0fc2 0109 00002a00', inner)),
    ethernet(100, bytes('ffff03 000000 0800', inner)),
    ethernet(0x0800, over(97, bytes('3000')))
  ]
  for (const data of table) {
    const reader = new CaptureReader({ ports: [[8848, 8911]] })
    t.strictSame([...reader.push(pcap([data])), ...reader.end()], [])
  }
  for (const data of [bytes('02'), bytes('0200 0000 0100 0100'), bytes('07000000 0800 0900')]) {
    const reader = new CaptureReader({ ports: [8848] })
    t.strictSame([...reader.push(pcap([data], { linkType: 239 })), ...reader.end()], [])
  }
})

// ---------------------------------------------------------------- files, live

t.test('joined, modified and rotated files', async (t) => {
  const one = pcap([{ data: frame(message([1])), seconds: 2000 }])
  const two = pcap([{ data: frame(message([2])), seconds: 1000 }], { little: false })
  t.equal(parse((await cli('decode', file('joined.pcap', bytes(one, two, one)))).out).length, 3)
  const modified = bytes(
    '34cdb2a1 0200 0400 00000000 00000000 00000400 01000000',
    [0, 8, 0, 0, 1, 0, 0, 0],
    (() => {
      const data = frame(message([1]))
      const little = [data.length & 255, data.length >> 8, 0, 0]
      return bytes(little, little, '00000000 0000 00 00', data)
    })()
  )
  t.equal(parse((await cli('decode', file('modified.pcap', modified))).out).length, 1)
  const paths = [file('sync.pcap1', one), file('sync.pcap0', two), file('empty.txt', 'no capture at all')]
  t.strictSame(await inTimeOrder(paths), [paths[1], paths[0], paths[2]])
  const { out, code } = await cli('decode', paths[0]!, paths[1]!)
  t.strictSame([code, parse(out).map(({ connections: [one] }) => one!.state)], [0, ['SYN_SENT', 'ESTABLISHED']])
})

t.test('--from and --to select a part of the time, of decode and of compare', async (t) => {
  const at = (seconds: number, state: number) => ({ data: frame(message([state])), seconds })
  // 1970-01-02: 10:01, 10:02, 10:05, 10:06
  const day = 86_400
  const master = file('day.pcap', pcap([36_060, 36_120, 36_300, 36_360].map((one, i) => at(day + one, i + 1))))
  const frames = async (...options: string[]): Promise<number[]> =>
    parse((await cli('decode', ...options, master)).out).map((line) => line.frame)
  const fraction = '.999'
  t.strictSame(await frames('--from', '10:02', '--to', '10:05:01'), [2, 3])
  t.strictSame(await frames('--from', `10:05:59${fraction}`), [4])
  t.strictSame(await frames('--to', '1970-01-02T10:01:30Z'), [1])
  t.strictSame(await frames('--from', '1970-01-02 12:05+02:00', '--to', '1970-01-02T10:05:30'), [3])
  t.strictSame(await frames('--from', '10:06', '--to', '10:01:30'), [1, 4], 'a window may cross midnight')
  t.strictSame(await frames('--from', '1970-01-03'), [])
  for (const wrong of ['10', '24:00', '10:02:61', 'noon', '1970-13-01'])
    t.equal((await cli('decode', '--from', wrong, master)).code, 2, wrong)
  const backup = file('backup.pcap', pcap([at(day + 36_065, 1), at(day + 36_365, 4)]))
  const lacking = async (...options: string[]): Promise<string> =>
    /backup lacks (\d+) message/.exec((await cli('compare', ...options, master, backup)).out)?.[1] ?? ''
  t.equal(await lacking(), '2')
  t.equal(await lacking('--from', '10:02', '--to', '10:03'), '1')
  t.equal(await lacking('--from', '10:07'), '0')
})

t.test('pcap and pcapng joined by cat, in either order', async (t) => {
  const { section, interface: describe, enhanced } = pcapngBlocks(true)
  const ng = (state: number): Uint8Array => bytes(section(), describe(1, 0), enhanced(0, 1n, frame(message([state]))))
  const old = (state: number): Uint8Array => pcap([frame(message([state]))])
  const joined = bytes(old(1), ng(2), old(3), old(4), ng(5), ng(6))
  const { code, out } = await cli('decode', file('mixed.cap', joined))
  const lines = parse(out)
  t.strictSame(
    [code, lines.map(({ frame }) => frame), new Set(lines.map(({ connections: [one] }) => one!.state)).size],
    [0, [1, 2, 3, 4, 5, 6], 6]
  )
  for (let cut = 1; cut < joined.length; cut += 7) {
    const reader = new CaptureReader()
    const items = [...reader.push(joined.subarray(0, cut)), ...reader.push(joined.subarray(cut)), ...reader.end()]
    t.equal(items.length, 6, `cut at ${cut}`)
  }
})

t.test('fragments of the packet around a tunnel are put together, and the tunnel is followed', async (t) => {
  const pieces = (content: Uint8Array, protocol: number): Uint8Array[] => [
    ethernet(0x0800, ipv4(content.subarray(0, 24), { protocol, more: true })),
    ethernet(0x0800, ipv4(content.subarray(24), { protocol, offset: 24 }))
  ]
  const vxlan = udp(bytes('08000000 00002a00', eth), { port: 4789 })
  const nested = ipv4(bytes('0000 0800', ipv4(vxlan)), { protocol: 47, id: 9 })
  for (const [name, content, protocol, types] of [
    ['VXLAN', vxlan, 17, ['vxlan']],
    ['GRE', bytes('0000 0800', inner), 47, ['gre']],
    ['IPIP', inner, 4, ['ipip']],
    ['GRE and VXLAN in IPIP', nested, 4, ['ipip', 'gre', 'vxlan']]
  ] as const) {
    const [line] = parse((await cli('decode', file('fragments.pcap', pcap(pieces(content, protocol))))).out)
    t.strictSame([(line?.tunnel as { type: string }[]).map(({ type }) => type), line?.frame], [types, 2], name)
  }
  const half = new CaptureReader({ ports: [[8848, 8911]] })
  const items = [...half.push(pcap(pieces(inner, 4).slice(0, 1))), ...half.end()]
  t.strictSame(items, [], 'an incomplete tunnel packet holds nothing')
  const deep = pieces(over(4, over(4, over(4, over(4, inner)))), 4)
  t.strictSame(new CaptureReader({ ports: [[8848, 8911]] }).push(pcap(deep)), [], 'depth counts through fragments')
})

function fakeTcpdump(error = '', exit = 0): { start: Start; stdout: PassThrough; child: EventEmitter } {
  const stdout = new PassThrough()
  const child = new EventEmitter()
  const kill = (): void => {
    stdout.end()
    child.emit('close', exit)
  }
  const start: Start = () =>
    Object.assign(child, {
      stdout,
      stderr: Readable.from(error === '' ? [] : [Buffer.from(error)]),
      kill
    })
  return { start, stdout, child }
}

t.test('a live capture ends with the signal, and says what rights it needs', async (t) => {
  t.match(
    filterFor([
      [8848, 8848],
      [9000, 9003]
    ]),
    /^udp port 8848 or udp portrange 9000-9003 or /
  )
  const controller = new AbortController()
  const { start, stdout } = fakeTcpdump()
  stdout.write(pcap([frame(message([1]))]))
  let count = 0
  for await (const chunk of liveSource('eth1', [[8848, 8911]], controller.signal, start).chunks) {
    count += chunk.length
    controller.abort()
  }
  t.ok(count > 24)
  const failing = async (error: string, event: (child: EventEmitter) => void): Promise<string> => {
    const fake = fakeTcpdump(error, 1)
    setImmediate(() => {
      setImmediate(() => {
        event(fake.child)
        fake.stdout.end()
      })
    })
    try {
      for await (const chunk of liveSource('eth1', [[8848, 8911]], undefined, fake.start).chunks)
        t.equal(chunk.length, 0)
      return ''
    } catch (caught) {
      return (caught as Error).message
    }
  }
  t.match(
    await failing("tcpdump: eth1: You don't have permission to capture", (child) => child.emit('close', 1)),
    /permission to capture; capturing needs root, or CAP_NET_RAW/
  )
  t.match(await failing('tcpdump: eth1: No such device', (child) => child.emit('close', 1)), /No such device$/)
  t.match(
    await failing('', (child) => child.emit('error', Object.assign(new Error('x'), { code: 'ENOENT' }))),
    /install the package tcpdump/
  )
  t.match(await failing('', (child) => child.emit('error', new Error('strange'))), /strange/)
})

// ---------------------------------------------------------------- compare

t.test('compare: what the backup lacks, and why', async (t) => {
  const same = await cli('compare', fixture('persist'), fixture('persist', 'backup.ip_vs_conn_sync'))
  t.match(same, { code: 0, out: /0 connections of 53 missing or different/ })
  const packets = [[1], [4], [99]].map((states, i) => ({ data: frame(message(states, i)), seconds: 1000 + i }))
  const master = file('master.pcap', pcap(packets))
  const backup = file('backup.pcap', pcap(packets.slice(1).map((one) => ({ ...one, seconds: one.seconds + 5 }))))
  const { code, out } = await cli('compare', master, backup)
  t.equal(code, 1)
  t.match(out, /lacks 1 message \(1 record\) of 3/)
  t.match(out, /clock of .*: 5\.000000 s \(2 shared messages\)/)
  t.match(out, /10\.1\.0\.0:1000 > 10\.9\.9\.9:80: announced and lost \(1 message\)/)
  t.match(out, /10\.1\.0\.2:1000 > .*: refused: STATE_RANGE/)
  t.equal((await cli('compare', master, master)).code, 1, 'a refused connection is a difference')
  const value = JSON.parse((await cli('compare', '--format', 'json', master, backup)).out) as object
  t.match(value, { missingMessages: [{ port: 8848 }], clockOffsetSeconds: 5 })
  const json = file('master.jsonl', (await cli('decode', master)).out)
  t.match((await cli('compare', json, json)).out, /lacks 0 messages/)
  const listing = file(
    'listing',
    'IPVS connection entries\npro expire state       source             virtual            destination\nTCP 14:58  ESTABLISHED 10.1.0.0:1000      10.9.9.9:80        10.2.0.9:8080\nTCP 00:58  FIN_WAIT 10.1.0.7:1        10.9.9.9:80        10.2.0.9:8080\n'
  )
  const listed = await cli('compare', '--all', master, listing)
  t.match(listed.out, /other destination: 10\.2\.0\.9:8080, not 10\.2\.0\.1:8080/)
  t.match(listed.out, /1 connection on backup alone/)
  t.match((await cli('compare', listing, backup)).out, /10\.1\.0\.7:1 > 10\.9\.9\.9:80: never announced/)
  const empty = file(
    'none.jsonl',
    '{"change":"expired","protocol":"TCP","client":{"address":"1.1.1.1","port":1},"virtual":{"address":"1.1.1.1","port":1}}\n'
  )
  t.match((await cli('compare', listing, empty)).out, /never announced, or announced and lost/)
  t.match((await cli('compare', backup, master)).out, /lacks 1 message of 3/)
  const late = file(
    'late.pcap',
    pcap([
      { data: frame(message([1])), seconds: 1000 },
      { data: frame(message([2], 5)), seconds: 5000 }
    ])
  )
  t.match((await cli('compare', late, empty)).out, /expired since \(10 s[^]*announced and lost/)
  for (const text of ['nonsense here\n', '{"connections":[1]}\n', '{x\n'])
    t.equal((await cli('compare', file('wrong', text), master)).code, 3, text)
  t.equal((await cli('compare', '-', '-')).code, 2)
  t.equal((await cli('compare', master, '-')).code, 3, 'standard input is empty')
  t.match(parseTableLine('TCP 14:58  ESTABLISHED [fd00::1]:80 [fd00::2]:80 [fd00:0::3]:81'), {
    family: 'ipv6',
    destination: { address: 'fd00::3', port: 81 }
  })
  t.match(parseTableLine(readFileSync(fixture('tcp-udp6', 'backup.ip_vs_conn_sync'), 'utf8').split('\n')[1]!), {
    family: 'ipv6'
  })
  t.equal(parseTableLine('TCP 1:00 X a b c'), undefined)
})

t.test('compare: one client, on either side', async (t) => {
  const made = (name: string): string => new URL(`../fixtures/cookbook/${name}`, import.meta.url).pathname
  const of = async (client: string, backup: string): Promise<unknown> => {
    const { out } = await cli('compare', '--format', 'json', '--client', client, made('master.pcap'), made(backup))
    const { comparedMessages, differences } = JSON.parse(out) as Record<string, { code: string }[]>
    return [comparedMessages, differences!.map(({ code }) => code)]
  }
  t.strictSame(await of('192.0.2.88', 'backup.pcap'), [[1, 0], ['lost']])
  t.strictSame(await of('192.0.2.88', 'backup.ip_vs_conn'), [[1, 0], ['lost']])
  t.strictSame(await of(':53000', 'backup.pcap'), [[1, 1], ['refused']])
  t.strictSame(await of('192.0.2.77', 'backup.pcap'), [[3, 3], []])
  t.match(await cli('compare', '--client', 'x', made('master.pcap'), made('backup.pcap')), { code: 2, err: /--client/ })
})

t.test('the report is one page that loads nothing', async (t) => {
  const path = file(
    'page.pcap',
    pcap([frame(message([1, 99])), frame(message([1, 4])), { data: frame(message([4])), seconds: 1_795_385_000 }])
  )
  const { out } = await cli('decode', '--format', 'html', path)
  t.notMatch(out, /(src|href)="?https?:/)
  t.match(out, /The MIT License|MIT License/)
  const data = JSON.parse(/id="data">(.*?)<\/script>/s.exec(out)![1]!) as {
    plots: { title: string; times: number[] }[]
    problems: unknown[]
    problemKinds: unknown[]
    problemCount: number
    connections: unknown[][]
    gaps: unknown[]
  }
  t.equal(data.plots.length, 5)
  t.ok(data.plots.every(({ times }) => times.length > 0))
  t.match(data.problems, [[1, 'skip', 'STATE_RANGE', String]])
  t.match(data.problemKinds, [
    { code: 'STATE_RANGE', severity: 'skip', meaning: 'the protocol has no such state', count: 1 }
  ])
  t.equal(data.problemCount, 1)
  t.equal(data.connections.length, 2)
  t.equal(data.gaps.length, 1)
  t.match(
    (await cli('decode', '--format', 'html', file('page.pcap', bytes(pcap([]), 'ff'.repeat(16))))).out,
    /CAPTURE_DAMAGED/
  )
})
