import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable, Writable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { CaptureReader } from '../../src/capture/capture-reader.js'
import { run as runCli } from '../../src/cli/run.js'
import { decode, FORMATS, type DecodeSettings } from '../../src/cli/decode/decode.js'
import { Output } from '../../src/cli/decode/output.js'
import { parsePorts } from '../../src/cli/decode/ports-option.js'
import { Progress } from '../../src/cli/decode/progress.js'
import { printable } from '../../src/wire/terminal-text.js'
import { Tally } from '../../src/cli/decode/tally.js'
import type { Connection, DecodedMessage } from '../../src/wire/connection.js'
import { decodeMessage } from '../../src/wire/decode-message.js'
import { be16, be32, bytes, ethernet, ipv4, ipv6, pcap, pcapngBlocks, udp } from '../fixtures/support/packets.js'
import { testIo } from '../fixtures/support/test-io.js'

const CAPTURES = new URL('../fixtures/captures/', import.meta.url)
const NAMES = readdirSync(CAPTURES).filter((name) => name !== 'README.md')
const fixture = (name: string): string => new URL(`${name}/sync.pcap`, CAPTURES).pathname
const portsOf = (name: string): string => (name === 'mcast-opts' ? '9000' : '8848-8911')

interface Ran {
  code: number
  out: string
  err: string
}

interface RunOptions extends Partial<Omit<DecodeSettings, 'ports' | 'files'>> {
  ports?: string
  isTerminal?: boolean
  env?: Record<string, string>
}

/** Runs the command on a file or, where it is bytes, on standard input. */
async function run(source: string | Uint8Array, options: RunOptions = {}): Promise<Ran> {
  const { ports = '8848-8911', isTerminal = false, env = {}, ...settings } = options
  const stdin = Readable.from([source as Uint8Array])
  const [stdout, out] = collector(isTerminal)
  const [stderr, err] = collector(isTerminal)
  const file = typeof source === 'string' ? source : '-'
  const code = await decode(
    { format: undefined, color: 'auto', ...settings, files: [file], ports: parsePorts(ports) },
    { stdin, stdout, stderr, env }
  )
  return { code, out: out(), err: err() }
}

function collector(isTTY: boolean): [Writable & { isTTY: boolean }, () => string] {
  const chunks: Buffer[] = []
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(Buffer.from(chunk))
      done()
    }
  })
  return [Object.assign(stream, { isTTY }), () => Buffer.concat(chunks).toString()]
}

interface JsonMessage extends DecodedMessage {
  time: string | null
  source: { address: string }
}

function parse(text: string): JsonMessage[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as JsonMessage)
}

// ---------------------------------------------------------------- kernels' captures

t.test('captures of kernels have no problem that is not there', async (t) => {
  for (const name of NAMES) {
    const { code, out, err } = await run(fixture(name), { ports: portsOf(name) })
    t.equal(code, 0, name)
    t.equal(err, '', name)
    const messages = parse(out)
    t.ok(messages.length > 0, `${name} has messages`)
    t.strictSame(
      messages.flatMap(({ problems }) => problems),
      [],
      name
    )
  }
})

/** `C0A80001` or `fd00:0001:…` as /proc/net/ip_vs_conn_sync has it. */
function procAddress({ family }: Connection, address: string): string {
  if (family === 'ipv4')
    return address
      .split('.')
      .map((part) => Number(part).toString(16).padStart(2, '0'))
      .join('')
      .toUpperCase()
  const [head = '', tail] = address.split('::')
  const left = head.split(':').filter(Boolean)
  const right = (tail ?? '').split(':').filter(Boolean)
  const zeros = new Array<string>(8 - left.length - right.length).fill('0')
  return [...left, ...zeros, ...right].map((group) => group.padStart(4, '0')).join(':')
}

const procPort = (port: number): string => port.toString(16).padStart(4, '0').toUpperCase()

/** A line of the kernel's table: key, then destination and state. */
function procLine(connection: Connection): [key: string, value: string] {
  const { protocol, client, virtual, destination, state } = connection
  const ends = [client, virtual, destination].map(
    ({ address, port }) => `${procAddress(connection, address)} ${procPort(port)}`
  )
  return [`${protocol} ${ends[0]} ${ends[1]}`, `${ends[2]} ${state}`]
}

t.test('where the kernel backup still holds a connection, the last record for it agrees', async (t) => {
  let compared = 0
  for (const name of NAMES) {
    const { out } = await run(fixture(name), { ports: portsOf(name) })
    // Entries with engine data differ by those, which this table of the kernel does not show.
    const last = new Map<string, Map<string, string>>()
    for (const connection of parse(out).flatMap(({ connections }) => connections)) {
      const [key, value] = procLine(connection)
      last.set(key, (last.get(key) ?? new Map<string, string>()).set(connection.engine?.data ?? '', value))
    }
    const table = readFileSync(new URL(`${name}/backup.ip_vs_conn_sync`, CAPTURES), 'utf8')
      .trim()
      .split('\n')
      .slice(1)
    for (const line of table) {
      const [protocol, from, fromPort, to, toPort, dest, destPort, state] = line.trim().split(/ +/)
      const found = [...(last.get(`${protocol} ${from} ${fromPort} ${to} ${toPort}`)?.values() ?? [])]
      if (!t.ok(found.includes(`${dest} ${destPort} ${state}`), `${name}: ${line}`)) t.comment(found)
      compared += 1
    }
  }
  t.equal(compared, 679, 'every line of every table')
})

t.test('all records of sip and seq are right, where Wireshark 4.0 gets 17 of 95 and 2 of 12', async (t) => {
  const sip = parse((await run(fixture('sip'))).out).flatMap(({ connections }) => connections)
  t.equal(sip.length, 95)
  for (const { protocol, virtual, engine, flags } of sip) {
    t.equal(protocol, 'UDP')
    t.equal(virtual.port, 5060)
    t.equal(engine?.name, flags.includes('TEMPLATE') ? 'sip' : undefined, 'templates have the engine’s name and data')
    if (engine !== undefined) t.match(Buffer.from(engine.data, 'hex').toString(), /^[!-~]+$/)
  }
  const seq = parse((await run(fixture('seq'))).out).flatMap(({ connections }) => connections)
  t.equal(seq.length, 12)
  const withData = seq.filter(({ client }) => client.port !== 48_003)
  t.equal(withData.length, 8)
  const expected = {
    inSequence: { initial: 1000, delta: 7, previousDelta: 0xfffffffe },
    outSequence: { initial: 0x11223344, delta: 9, previousDelta: 8 }
  }
  for (const connection of withData) t.match(connection, expected)
  const old = parse((await run(fixture('seq-v0'), { sequenceByteOrder: 'little' })).out)
  for (const connection of old.flatMap(({ connections }) => connections)) {
    if (connection.client.port !== 48_003) t.match(connection, expected)
  }
})

// ---------------------------------------------------------------- JSON

t.test('JSON is what JSON.stringify makes of the decoded message, on the quick way too', async (t) => {
  for (const name of NAMES) {
    const reader = new CaptureReader()
    const items = [...reader.push(new Uint8Array(readFileSync(fixture(name)))), ...reader.end()]
    const want = items.map((item) => {
      if (item.kind === 'problem') return ''
      const { version, syncid, size, connections, problems } = decodeMessage(item.payload)
      const { time, source, destination, packet: frame } = item
      const channel = destination.port // the range is 0-65535
      return `${JSON.stringify({ time, source, destination, frame, channel, version, syncid, size, connections, problems })}\n`
    })
    t.equal((await run(fixture(name), { ports: '0-65535' })).out, want.join(''), name)
  }
})

/** A version 1 message of plain IPv4 records: protocol, flags, state. */
function plainMessage(records: [protocol: number, flags: number, state: number][]): Uint8Array {
  const body = records.map(([protocol, flags, state], index) =>
    bytes(
      [0, protocol],
      be16(36),
      be32(flags),
      be16(state),
      be16(65_535 - index),
      be16(80),
      be16(0),
      be32(0xffffffff),
      be32(index * 99_999),
      [0, 9, 10, 255],
      [99, 100, 199, 200],
      [1, 2, 3, 4]
    )
  )
  return bytes([0, 7], be16(8 + 36 * records.length), [records.length, 1, 0, 0], ...body)
}

const inPcap = (...payloads: Uint8Array[]): Uint8Array =>
  pcap(payloads.map((payload) => ethernet(0x0800, ipv4(udp(payload)))))

t.test('the quick way prints every flag, state and number as the other does', async (t) => {
  const records: [number, number, number][] = []
  for (let bit = 0; bit < 32; bit += 1) if (1 << bit !== 0x2000) records.push([6, 1 << bit, bit % 11])
  for (const protocol of [6, 17, 50, 51, 132])
    records.push([protocol, 0xffffc7ff | 0, 0], [protocol, 0x1003, 1], [protocol, 4, 0])
  const messages = [
    plainMessage(records),
    plainMessage([]),
    plainMessage(new Array<[number, number, number]>(255).fill([6, -0x3801, 1]))
  ]
  const { out, code } = await run(inPcap(...messages))
  t.equal(code, 0)
  t.strictSame(
    parse(out).map(({ connections }) => connections),
    messages.map((message) => JSON.parse(JSON.stringify(decodeMessage(message).connections)) as Connection[])
  )
  const [first] = parse(out)
  t.match(first?.connections[0], {
    client: { address: '0.9.10.255', port: 65_535 },
    virtual: { address: '99.100.199.200', port: 80 },
    fwmark: 4_294_967_295,
    timeout: 0
  })
  t.equal(first?.connections[1]?.timeout, 99_999)
})

t.test('a message that a receiver skips or drops is shown, with its problems, and the exit code is 1', async (t) => {
  const skipped = plainMessage([
    [6, 0, 1],
    [6, 0, 99]
  ])
  const dropped = bytes(plainMessage([[6, 0, 1]]).subarray(0, 43))
  const { out, code } = await run(inPcap(skipped, dropped, plainMessage([[6, 0, 1]])))
  t.equal(code, 1)
  const messages = parse(out)
  t.strictSame(
    messages.map(({ problems }) =>
      problems.map(({ code: name, severity, connection }) => ({ name, severity, connection }))
    ),
    [
      [{ name: 'STATE_RANGE', severity: 'skip', connection: 1 }],
      [{ name: 'SIZE_MISMATCH', severity: 'drop', connection: undefined }],
      []
    ]
  )
  t.equal(messages[0]?.connections[1]?.state, '99')
  const template = plainMessage([[6, 0x1000, 5]])
  t.equal((await run(inPcap(template))).code, 1, 'the newest receivers skip such a template')
  t.equal((await run(inPcap(template), { flagChecks: 'legacy' })).code, 0, 'the oldest take it')
})

t.test('a snapped message gives its whole connections and a warning', async (t) => {
  const whole = ethernet(
    0x0800,
    ipv4(
      udp(
        plainMessage([
          [6, 0, 1],
          [6, 0, 2],
          [6, 0, 3]
        ])
      )
    )
  )
  const file = pcap([{ data: whole.subarray(0, whole.length - 10), wireLength: whole.length }])
  const json = await run(file)
  t.equal(json.code, 0)
  const [message] = parse(json.out)
  t.strictSame(
    message?.connections.map(({ state }) => state),
    ['ESTABLISHED', 'SYN_SENT']
  )
  t.equal(message?.size, 116)
  t.ok(message?.problems.every(({ severity }) => severity === 'warning'))
  t.match(message?.problems[0], { code: 'PACKET_SNAPPED' })
  const lines = (await run(file, { format: 'tshark' })).out
    .trim()
    .split('\n')
    .map((line) => line.split('\t'))
  t.equal(lines[1]?.[lines[0]!.indexOf('ipvs.state')], '0x0001,0x0002')
  t.equal(lines[1]?.[lines[0]!.indexOf('ipvs.size')], '116')
  const labelled = (await run(file, { format: 'hex' })).out
  t.match(labelled, /connection 1\n[^]*state SYN_SENT/, 'bytes are labelled as far as they were kept')
  t.notMatch(labelled, /gives up/, 'a receiver had them all')
  const tiny = pcap([{ data: whole.subarray(0, 45), wireLength: whole.length }])
  for (const format of FORMATS) t.match((await run(tiny, { format })).out, /./, `${format} with 3 bytes of the message`)
})

// ---------------------------------------------------------------- the other formats

const golden = (name: string): string => readFileSync(new URL(`../fixtures/decode/${name}`, import.meta.url), 'utf8')

t.test('tshark prints what tshark 4.0 -T fields prints, where that is right', async (t) => {
  for (const name of ['tcp4-nat', 'tcp4-nat-v0', 'tcp-udp6']) {
    t.equal((await run(fixture(name), { format: 'tshark' })).out, golden(`${name}.tshark.tsv`), name)
  }
})

t.test('tshark has values in their columns where tshark 4.0 errs, and where there is nothing', async (t) => {
  const columns = async (source: string | Uint8Array, options: RunOptions = {}): Promise<Record<string, string>[]> => {
    const { out } = await run(source, { format: 'tshark', ...options })
    const [names = [], ...lines] = out
      .trimEnd()
      .split('\n')
      .map((line) => line.split('\t'))
    return lines.map((values) => Object.fromEntries(names.map((name, index) => [name, values[index] ?? ''])))
  }
  const [seq] = await columns(fixture('seq'))
  t.match(seq, {
    'ipvs.size.v1': '62,62',
    'ipvs.in_seq.initial': '0x000003e8,0x000003e8',
    'ipvs.in_seq.pdelta': '0xfffffffe,0xfffffffe',
    'ipvs.out_seq.delta': '0x00000009,0x00000009'
  })
  const sip = await columns(fixture('sip'))
  t.equal(sip.flatMap((line) => line['ipvs.cport']?.split(',')).length, 95)
  const { section, interface: describe, simple } = pcapngBlocks(true)
  const [six] = await columns(bytes(section(), describe(1, 0), simple(ethernet(0x86dd, ipv6(udp(bytes('0007')))))))
  t.match(six, {
    'ip.src': '',
    'ipv6.src': 'fe80::1',
    'ipv6.dst': 'ff02::51',
    'frame.time_epoch': '',
    'ipvs.conncount': '0',
    'ipvs.syncid': '7',
    'ipvs.size': '',
    'ipvs.proto': ''
  })
  const untimed = bytes(section(), describe(1, 0), simple(ethernet(0x0800, ipv4(udp(plainMessage([[6, 0, 1]]))))))
  t.equal(parse((await run(untimed)).out)[0]?.time, null)
  const [none] = await columns(inPcap(bytes()))
  t.match(none, { 'ipvs.conncount': '', 'ipvs.syncid': '' })
  t.equal(
    (await run(pcap([]), { format: 'tshark' })).out.split('\n').length,
    2,
    'the names, also where nothing follows'
  )
})

t.test('the table is aligned, with problems in place and a summary', async (t) => {
  t.equal((await run(fixture('seq'), { format: 'table' })).out, golden('seq.table.txt'))
  t.equal((await run(fixture('persist'), { format: 'table' })).out, golden('persist.table.txt'))
  const broken = bytes(
    plainMessage([
      [6, 0, 1],
      [6, 0, 99],
      [6, 0, 1]
    ])
  )
  broken[8 + 72 + 2] = 0x10 // the third record's version
  const { section, interface: describe, simple, enhanced } = pcapngBlocks(true)
  const file = bytes(
    section(),
    describe(1, 0),
    simple(ethernet(0x0800, ipv4(udp(broken)))),
    enhanced(5, 0n, bytes('00')),
    '01020304'
  )
  const { out, code } = await run(file, { format: 'table' })
  t.equal(code, 1)
  const lines = out.split('\n')
  const at = (text: string | RegExp): number =>
    lines.findIndex((line) => (typeof text === 'string' ? line.includes(text) : text.test(line)))
  t.match(
    lines[1],
    /^no time {2}10\.9\.0\.1:50000 > 224\.0\.0\.81:8848 {2}version 1, syncid 7, 116 bytes, 2 connections$/
  )
  t.equal(at('! drop RECORD_VERSION at byte 82'), 5, 'what ends the message stands at its end')
  t.equal(at('! skip STATE_RANGE'), 4, 'what skips a connection stands under it')
  t.ok(at('! drop INTERFACE_UNKNOWN') > at('STATE_RANGE'))
  t.ok(at(/! drop CAPTURE_TRUNCATED at byte \d+: the file ends/) > at('INTERFACE_UNKNOWN'))
  t.ok(at('problem') < at('RECORD_VERSION (drop): 1'))
})

t.test('the summary counts what came in fragments, and does not grow with what the network sends', async (t) => {
  const message = udp(
    plainMessage([
      [6, 0, 1],
      [6, 0, 1]
    ])
  )
  const parts = [ipv4(message.slice(0, 48), { more: true }), ipv4(message.slice(48), { offset: 48 })]
  const { out } = await run(pcap(parts, { linkType: 101 }), { format: 'table' })
  t.match(out, /88 bytes|80 bytes, 2 fragments, 2 connections/)
  t.match(out, /1 message arrived in IP fragments/)
  const old = await run(fixture('tcp4-nat-v0'), { format: 'table' })
  t.match(old.out, /ESTABLISHED {7}-\n/, 'version 0 has no timeout')
  t.match((await run(fixture('mcast6'), { format: 'table' })).out, / > \[ff0[^\]]+\]:8848 /)
  const states = Array.from({ length: 14 }, (_, state): [number, number, number] => [132, 0, state])
  t.match((await run(inPcap(plainMessage(states)), { format: 'table' })).out, /state .*, and 2 more$/m)
  const tally = new Tally()
  for (let index = 0; index < 1500; index += 1) tally.add(`value ${index}`)
  tally.add('value 0')
  t.strictSame(
    [tally.sorted().length, tally.sorted()[0], tally.sorted().at(-1)],
    [1001, ['value 0', 2], ['others', 500]]
  )
})

t.test('the table has a problem where it occurs: behind its connection, or behind the last', async (t) => {
  const counted = plainMessage([
    [6, 0, 1],
    [6, 0, 99],
    [6, 0, 2]
  ])
  const tooMany = plainMessage([[6, 0, 1]])
  counted[4] = 2
  tooMany[4] = 2
  const { out } = await run(inPcap(counted, tooMany), { format: 'table' })
  const kinds = out
    .split('\n\n')[0]!
    .split('\n')
    .map((line) => /! \S+ (\S+)|^ {2}(TCP)|^(\d+)/.exec(line)?.slice(1).join(''))
  const LEFT = ['TCP', 'TCP', 'STATE_RANGE', 'LEFTOVER_BYTES']
  t.strictSame(
    kinds.slice(1).map((kind) => kind?.replace(/^\d+$/, 'message')),
    ['message', ...LEFT, 'message', 'TCP', 'RECORD_TRUNCATED']
  )
})

t.test('every byte of every message is in the hex format', async (t) => {
  for (const name of ['sip', 'seq-v0', 'mcast6']) {
    const { out } = await run(fixture(name), { format: 'hex' })
    const shown = out
      .split('\n')
      .flatMap((line) => /^[0-9a-f]{4} {2}((?:[0-9a-f]{2} )+)/.exec(line)?.[1]?.trim().split(' ') ?? [])
    const reader = new CaptureReader({ ports: [[8848, 8911]] })
    const sent = reader
      .push(new Uint8Array(readFileSync(fixture(name))))
      .flatMap((item) => (item.kind === 'datagram' ? [...item.payload] : []))
    t.equal(shown.join(''), Buffer.from(sent).toString('hex'), name)
  }
  const { section, interface: describe, simple } = pcapngBlocks(true)
  const { out, err } = await run(bytes(section(), describe(1, 0), simple(ethernet(0x0800, ipv4(udp(bytes('00')))))), {
    format: 'hex'
  })
  t.match(out, /^# no time.*\n[^]*! drop SHORT_MESSAGE/)
  t.equal(err, '')
})

// ---------------------------------------------------------------- terminal, streams, errors

t.test('a terminal of 80 columns gets no longer line, and no word is cut', async (t) => {
  const on = async (columns: number | undefined, rows?: number, isTTY = true): Promise<string> => {
    const io = testIo({ isTTY, ...(columns !== undefined && { columns }), env: { NO_COLOR: '1' } })
    Object.assign(io.stdout, { rows })
    t.equal(await runCli(['decode', '--format', 'table', fixture('seq')], io), 0)
    return io.output()
  }
  const words = (text: string): string[] => text.split(/[\s,]+/).filter((word) => !/^[▁-█]+$/.test(word))
  const longest = (text: string): number => Math.max(...text.split('\n').map((line) => line.length))
  const wide = await on(undefined)
  t.ok(longest(wide) > 100)
  t.equal(longest(await on(80, undefined, false)), longest(wide), 'a pipe has no width')
  const narrow = await on(80)
  t.ok(longest(narrow) <= 80, String(longest(narrow)))
  t.strictSame(words(narrow), words(wide), 'nothing is left out')
  const headings = (text: string): number => text.match(/PROTO CLIENT/g)?.length ?? 0
  t.strictSame([headings(narrow), headings(await on(200, 5))], [1, 2], 'the headings return with every screen')
})

t.test('a terminal gets a table with colour, a pipe JSON', async (t) => {
  const escape = '\u001b['
  const onTerminal = (options: RunOptions = {}): Promise<Ran> => run(fixture('seq'), { isTerminal: true, ...options })
  t.ok((await onTerminal()).out.startsWith(`${escape}1m  PROTO`))
  t.notMatch((await onTerminal({ env: { NO_COLOR: '1' } })).out, escape)
  t.match((await onTerminal({ env: { NO_COLOR: '' } })).out, escape)
  t.notMatch((await onTerminal({ env: { TERM: 'dumb' } })).out, escape)
  t.notMatch((await onTerminal({ color: 'never' })).out, escape)
  t.match((await run(fixture('seq'), { format: 'table', color: 'always' })).out, escape)
  t.match((await run(fixture('seq'))).out, /^\{"time"/)
  const bad = plainMessage([[6, 0, 99]])
  t.match(
    (await run(inPcap(bad, bad.subarray(1)), { format: 'table', color: 'always' })).out,
    /\[33m {2}! skip[^]*\[31m {2}! drop/
  )
})

t.test('text from the network cannot reach the terminal', async (t) => {
  t.equal(printable('a\u001b[2J\\b\nß€'), 'a\\x1b[2J\\x5cb\\x0a\\xdf\\u{20ac}')
  const record = bytes(
    [0, 17],
    be16(36 + 2 + 3 + 2 + 4),
    be32(0x1000),
    be16(0),
    be16(0),
    be16(5060),
    be16(0),
    be32(0),
    be32(60),
    new Uint8Array(12),
    [2, 3],
    'x\u001b\u0007'.split('').map((c) => c.charCodeAt(0)),
    [3, 4, 0x1b, 0x5b, 0x32, 0x4a]
  )
  const message = bytes([0, 7], be16(8 + record.length), [1, 1, 0, 0], record)
  for (const format of FORMATS) {
    const { out } = await run(inPcap(message), { format })
    t.notMatch(out, '\u001b', format)
  }
  const nameOnly = bytes([0, 17], be16(36 + 5), be32(0), be16(0), new Uint8Array(26), [3, 3], [0x73, 0x69, 0x70])
  const named = bytes([0, 7], be16(8 + 41), [1, 1, 0, 0], nameOnly)
  t.match((await run(inPcap(named), { format: 'table' })).out, ' sip ""\n')
  const noName = bytes(record.subarray(0, 2), be16(36 + 5), record.subarray(4, 41))
  t.match(
    (await run(inPcap(bytes([0, 7], be16(8 + 41), [1, 1, 0, 0], noName)), { format: 'table' })).out,
    'no engine "x'
  )
})

t.test('messages are printed as they come', async (t) => {
  const stdin = new PassThrough()
  const [stdout, out] = collector(false)
  const [stderr] = collector(false)
  const running = decode(
    { files: ['-'], format: 'json', color: 'auto', ports: parsePorts('8848') },
    { stdin, stdout, stderr, env: {} }
  )
  const file = inPcap(plainMessage([[6, 0, 1]]))
  stdin.write(file)
  while (out() === '') await new Promise(setImmediate)
  t.equal(parse(out()).length, 1, 'before the stream ends')
  stdin.write(file.subarray(24))
  stdin.end()
  t.equal(await running, 0)
  t.equal(parse(out()).length, 2)
})

t.test('a reader that goes away ends the command quietly; a full disk does not', async (t) => {
  const file = inPcap(
    ...new Array<Uint8Array>(500).fill(plainMessage(new Array<[number, number, number]>(200).fill([6, 0, 1])))
  )
  const failing = (code: string): [Promise<number>, () => string] => {
    const stdout = new Writable({
      highWaterMark: 1,
      write: (_chunk, _encoding, done) => done(Object.assign(new Error(`write ${code}`), { code }))
    })
    const [stderr, err] = collector(false)
    return [
      decode(
        { files: ['-'], format: 'json', color: 'auto', ports: parsePorts('8848') },
        { stdin: Readable.from([file]), stdout, stderr, env: {} }
      ),
      err
    ]
  }
  const [quiet, err] = failing('EPIPE')
  t.equal(await quiet, 0)
  t.equal(err(), '')
  await t.rejects(failing('ENOSPC')[0], { code: 'ERR_IO', message: /ENOSPC/ })
  let written = 0
  const slow = new Writable({
    highWaterMark: 1,
    write: (chunk: Buffer, _encoding, done) =>
      setImmediate(() => {
        written += chunk.length
        done()
      })
  })
  const [stderr] = collector(false)
  t.equal(
    await decode(
      { files: ['-'], format: 'json', color: 'auto', ports: parsePorts('8848') },
      { stdin: Readable.from([file]), stdout: slow, stderr, env: {} }
    ),
    0
  )
  t.equal(written, (await run(file)).out.length, 'a slow reader gets everything')
})

t.test('output: text of any length', async (t) => {
  const [stream, text] = collector(false)
  const output = new Output(stream)
  const long = 'äß'.repeat(200_000)
  output.write(long)
  output.reserve(100)
  output.flush()
  t.equal(text(), long)
})

t.test('a damaged file prints what could be read, then says where it broke, and ends with 1', async (t) => {
  const file = bytes(inPcap(plainMessage([[6, 0, 1]])), 'ff'.repeat(16))
  const { out, err, code } = await run(file)
  t.equal(code, 1)
  t.equal(parse(out).length, 1)
  t.match(err, /^ipvs-sync: standard input: drop CAPTURE_DAMAGED at byte \d+: /)
  const packed = new Uint8Array(gzipSync(inPcap(plainMessage([[6, 0, 1]]))))
  t.equal((await run(packed)).code, 0)
  const cut = await run(packed.subarray(0, packed.length - 4))
  t.match([cut.code, parse(cut.out).length, cut.err], [1, 1, /GZIP_DAMAGED/])
  const { section, interface: describe, enhanced } = pcapngBlocks(true)
  const unknown = bytes(section(), describe(1, 0), enhanced(7, 0n, bytes('00')))
  for (const format of ['json', 'tshark', 'hex'] as const) {
    t.match(
      await run(unknown, { format }),
      { code: 1, err: /: drop INTERFACE_UNKNOWN at byte \d+: packet 1: / },
      format
    )
  }
})

t.test('each kind of wrong input gets one clear line', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'ipvs-sync-'))
  const file = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(folder, name), content)
    return join(folder, name)
  }
  await t.rejects(run(join(folder, 'none.pcap')), {
    code: 'ERR_IO',
    message: /none\.pcap: no such file; write one with tcpdump/
  })
  await t.rejects(run(folder), { code: 'ERR_IO', message: /is a directory/ })
  await t.rejects(run(`${folder}/x\0y`), { code: 'ERR_IO' })
  await t.rejects(run(file('empty', '')), { code: 'ERR_CAPTURE', message: /empty: not a capture: it is empty/ })
  await t.rejects(run(file('notes.txt', 'hello there')), {
    code: 'ERR_CAPTURE',
    message: /notes\.txt: not a capture: it is text/
  })
  await t.rejects(run(pcap([], { linkType: 105 })), { code: 'ERR_CAPTURE', message: /got 105/ })
  const other = await run(fixture('mcast-opts'))
  t.strictSame([other.code, other.out], [1, ''])
  t.match(
    other.err,
    /no sync traffic to ports 8848-8911 in 1 packet; datagrams to port 9000 look like it: try --ports 9000\n/
  )
  const nothing = await run(pcap([]), { ports: '8848,9000-9003', format: 'table' })
  t.match(
    nothing.err,
    /to ports 8848,9000-9003 in 0 packets; if the daemons use another port \(see ipvsadm -L --daemon\)/
  )
  t.match(nothing.out, /^0 messages, 0 records, 0 distinct connections, 0 problems\n$/)
})

t.test('--ports takes a list of ports and ranges', async (t) => {
  t.strictSame(parsePorts('8848-8911'), [[8848, 8911]])
  t.strictSame(parsePorts('1, 5-6,65535'), [
    [1, 1],
    [5, 6],
    [65_535, 65_535]
  ])
  for (const wrong of ['', 'x', '1-', '-1', '2-1', '65536', '1,,2', '1-2-3']) {
    t.throws(() => parsePorts(wrong), { code: 'ERR_CONFIG', field: 'ports' }, wrong)
  }
})

t.test('progress is shown for large files on a terminal, and wiped at the end', async (t) => {
  const lines: string[] = []
  const progress = new Progress((text) => lines.push(text))
  progress.start(20 * 1_048_576)
  for (let read = 0; read < 20; read += 1) progress.add(1_048_576)
  progress.end()
  t.strictSame(lines, [
    '\r20 % of 20 MiB read',
    '\r40 % of 20 MiB read',
    '\r60 % of 20 MiB read',
    '\r80 % of 20 MiB read',
    '\r100 % of 20 MiB read',
    '\r\u001b[K'
  ])
  const small = new Progress((text) => lines.push(text))
  small.start(1_048_576)
  small.add(1_048_576)
  small.end()
  t.equal(lines.length, 6)
  const [stderr, err] = collector(true)
  const [stdout] = collector(false)
  await decode(
    { files: [fixture('seq')], format: 'json', color: 'auto', ports: parsePorts('8848') },
    { stdin: Readable.from([]), stdout, stderr, env: {} }
  )
  t.equal(err(), '', 'a small file needs none')
})

t.test('the command line: help with examples, defaults, refusals', async (t) => {
  const cli = async (argv: string[], stdinText?: Uint8Array): Promise<Ran> => {
    const [stdout, out] = collector(false)
    const [stderr, err] = collector(false)
    const stdin = Object.assign(Readable.from(stdinText === undefined ? [] : [stdinText]), {
      isTTY: stdinText === undefined
    })
    const code = await runCli(['decode', ...argv], {
      stdin,
      stdout,
      stderr,
      env: {},
      signal: new AbortController().signal,
      onReload: () => () => undefined
    })
    return { code, out: out(), err: err() }
  }
  const help = await cli(['--help'])
  t.equal(help.code, 0)
  t.equal(help.out.match(/^ {2}ipvs-sync decode/gm)?.length, 5, 'examples')
  t.match((await cli([fixture('seq')])).out, /^\{"time"/)
  t.match((await cli(['--format', 'hex', fixture('seq')])).out, /^# /)
  t.equal((await cli([], inPcap(plainMessage([[6, 0, 1]])))).code, 0, 'a pipe needs no name')
  t.match(await cli(['--ports', '9000', '--format', 'table', fixture('mcast-opts')]), { code: 0, out: /port 9000/ })
  t.match(await cli([]), { code: 2, err: /^ipvs-sync: decode: expected a capture file/ })
  t.match(await cli(['--ports', 'x', fixture('seq')]), { code: 2, err: /--ports/ })
  t.match(await cli(['--format', 'xml', fixture('seq')]), {
    code: 2,
    err: /Allowed choices are table, json, tshark, hex, csv, html/
  })
  t.match(await cli([fixture('seq'), '-i', 'eth1']), { code: 2, err: /got both/ })
  t.match(await cli(['/no/such/file']), { code: 3, err: /^ipvs-sync: \/no\/such\/file: no such file[^\n]*\n$/ })
  t.match(await cli([], bytes('41 42 43 44 45')), {
    code: 3,
    err: /^ipvs-sync: standard input: not a capture: it is text[^\n]*\n$/
  })
})

t.test('colours for a pager come with the width of the terminal', async (t) => {
  const path = new URL('../fixtures/captures/persist/sync.pcap', import.meta.url).pathname
  const [pipe, terminal] = [testIo(), testIo({ isTTY: true, columns: 80 })]
  const io = { ...pipe, stderr: terminal.stderr }
  const longest = (text: string): number =>
    // eslint-disable-next-line no-control-regex -- colours begin with this character
    Math.max(...text.split('\n').map((line) => line.replace(/\u001b\[\d+m/g, '').length))
  t.equal(await runCli(['decode', '--format', 'table', '--color', 'always', path], io), 0)
  t.ok(longest(pipe.output()) <= 80)
  const wide = { ...testIo(), stderr: terminal.stderr }
  t.equal(await runCli(['decode', '--format', 'table', path], wide), 0)
  t.ok(longest(wide.output()) > 80)
})
