// The reader of tables of connections: bytes into rows, held against a slow reader that shares nothing with it.
import assert from 'node:assert'
import { createReadStream, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import t from 'tap'
import {
  createReport,
  findKernelTicks,
  MARK,
  parseServices,
  readTableFile,
  readTableStream,
  RowCompleter,
  TABLE_ROW,
  TableReader,
  TicksEstimate
} from '../../src/procfs/index.js'
import { connectionFromRow } from '../../src/wire/row-values.js'
import { ROW, ROW_WORDS } from '../../src/wire/rows.js'
import type { Connection } from '../../src/wire/connection.js'
import { completeOracle, readTableOracle, type OracleLine } from '../fixtures/support/table-oracle.js'

const captures = new URL('../fixtures/captures/', import.meta.url)
const folders = readdirSync(captures, { withFileTypes: true }).flatMap((each) =>
  each.isDirectory() ? [each.name] : []
)
const textOf = (folder: string, name: string): string =>
  readFileSync(new URL(`${folder}/${name}`, captures).pathname, 'latin1')

const HEADER = 'Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData'
const SYNC_HEADER = 'Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Origin Expires'
const VENDOR_HEADER = 'Pro FromIP   FPrt ToIP     TPrt LocalIP  LPrt DestIP   DPrt State       Expires Extra'
const IPVSADM = 'IPVS connection entries\npro expire state       source             virtual            destination'
const PERSISTENT = `${IPVSADM}        pe name            pe_data`

interface Read {
  readonly lines: readonly OracleLine[]
  readonly unreadable: readonly number[]
  readonly count: number
}

/** Reads text in pieces of any size. */
function read(text: string, sizes: readonly number[] = [70_000]): Read | undefined {
  const reader = new TableReader()
  const lines: OracleLine[] = []
  const take = (): void => {
    const { rows } = reader
    while (reader.next()) for (let i = 0; i < rows.count; i++) lines.push(lineOf(rows, i))
  }
  try {
    const bytes = Buffer.from(text, 'latin1')
    for (let at = 0, turn = 0; at < bytes.length; turn++) {
      const size = Math.max(sizes[turn % sizes.length]!, 1)
      const piece = bytes.subarray(at, at + size)
      reader.room().set(piece)
      reader.take(piece.length)
      take()
      at += size
    }
    reader.end()
    take()
  } catch {
    return undefined
  }
  const { first, count } = reader.unreadable
  return { lines, unreadable: first.map(({ number }) => number), count }
}

function lineOf(rows: TableReader['rows'], index: number): OracleLine {
  const { words } = rows
  const marks = words[index * ROW_WORDS + TABLE_ROW.MARKS]!
  if ((marks & MARK.STATE_UNKNOWN) !== 0) words[index * ROW_WORDS + 3] = 0
  const { family, protocol, client, virtual, state, flags, engine } = connectionFromRow(rows, index)
  // The real server's address is read by its own family.
  const other = { words: words.slice(index * ROW_WORDS, (index + 1) * ROW_WORDS), engines: rows.engines, count: 1 }
  if ((marks & MARK.OTHER_FAMILY) !== 0) other.words[ROW.FAMILY]! ^= 2
  other.words[ROW.PRESENT] = 0
  const { destination } = connectionFromRow(other, 0)
  return {
    ...{ family, protocol, client, virtual, destination },
    state: (marks & MARK.STATE_UNKNOWN) === 0 ? state : undefined,
    template: flags.includes('TEMPLATE'),
    ...((marks & MARK.ORIGIN_LOCAL) !== 0 && { origin: 'LOCAL' as const }),
    ...((marks & MARK.ORIGIN_SYNC) !== 0 && { origin: 'SYNC' as const }),
    expires: words[index * ROW_WORDS + TABLE_ROW.EXPIRES]! >>> 0,
    ...(engine !== undefined && { engine })
  }
}

/** The oracle's answer in the same shape; a state that is given by number gets its name. */
function expected(text: string): Read | undefined {
  const table = readTableOracle(text)
  if (table === undefined) return undefined
  const lines = table.lines.map((each) => ({ ...each, state: named(each, each.state) }))
  return {
    lines,
    unreadable: table.unreadable.slice(0, 3),
    count: table.unreadable.length
  }
}

function named(
  { protocol, template }: Pick<OracleLine, 'protocol' | 'template'>,
  state: string | undefined
): string | undefined {
  const number = Number(state)
  if (state === undefined || Number.isNaN(number)) return state
  const names = template ? ['NONE', 'ASSURED'] : NAMES[protocol]
  return names?.[number] ?? state
}

const NAMES: Readonly<Record<string, readonly string[]>> = {
  TCP: ['NONE', 'ESTABLISHED', 'SYN_SENT', 'SYN_RECV', 'FIN_WAIT', 'TIME_WAIT', 'CLOSE', 'CLOSE_WAIT', 'LAST_ACK', 'LISTEN', 'SYNACK'], // prettier-ignore
  UDP: ['UDP'],
  SCTP: ['NONE', 'INIT1', 'INIT', 'C-SENT', 'C-REPLIED', 'C-WAIT', 'COOKIE', 'C-ECHOED', 'ESTABLISHED', 'S-SENT', 'S-RECEIVED', 'S-ACK-SENT', 'REJECTED', 'CLOSED'] // prettier-ignore
}

const hex = (value: number, digits: number): string => value.toString(16).toUpperCase().padStart(digits, '0')
const mostly = <Value>(usual: fc.Arbitrary<Value>, rare: fc.Arbitrary<Value>): fc.Arbitrary<Value> =>
  fc.oneof({ weight: 15, arbitrary: usual }, { weight: 1, arbitrary: rare })
const junk = fc.oneof(
  fc.string({ unit: fc.constantFrom(...' \t\r\v\xa0\0:.[]-0Ffx!\xff'.split('')), maxLength: 40 }),
  fc.string({ maxLength: 12 }).map((text) => text.replace(/\n/g, '')),
  fc.constantFrom('0A01000', '0A0100020', '0x10', '+5', '1e3', '-1', '4294967296', '99999999999', '007')
)
const hexIpv4 = fc.nat(0xffffffff).map((word) => hex(word, 8))
const hexIpv6 = fc.array(fc.nat(0xffff), { minLength: 8, maxLength: 8 }).map((all) => all.map((each) => hex(each, 4).toLowerCase()).join(':')) // prettier-ignore
const port = mostly(fc.nat(0xffff), fc.constantFrom(0, 0xffff)).map((value) => hex(value, 4))
const protocol = mostly(fc.constantFrom('TCP', 'TCP', 'UDP', 'SCTP', 'IP'), fc.oneof(fc.constantFrom('IP_50', 'IP_51', 'IP_99', 'IP_256', 'IP_TCP', 'IP_', 'ICMP', 'ICMPv6', 'AH', '6', '06'), junk)) // prettier-ignore
const state = mostly(fc.constantFrom(...Object.values(NAMES).flat(), 'NONE', 'ASSURED', 'ERR!'), fc.oneof(fc.constantFrom('0', '7', '17', '65535', '65536', '017', 'SLEEPING', 'ESTABLISHEDX', 'A_NAME_OF_14_B'), junk)) // prettier-ignore
const seconds = mostly(fc.nat(7200).map(String), fc.oneof(fc.constantFrom('4294967', '4294967295'), junk))
const gap = mostly(fc.constant(' '), fc.string({ unit: fc.constantFrom(' ', '\t', '\xa0', '\r'), minLength: 1, maxLength: 4 })) // prettier-ignore
const engine = fc.oneof(fc.constant(''), fc.constant(''), fc.constantFrom(' sip a b\xff ', ' sip', ' sip ', ' sip\tx', '  sip  x', ` sip ${'x'.repeat(255)}`, ` sip ${'x'.repeat(256)}`, ' a_name_of_17_byt x', '  \r'), junk.map((text) => ` ${text}`)) // prettier-ignore
const origin = fc.constantFrom('LOCAL', 'SYNC', 'OTHER')

const kernelLine = (kind: 'conn' | 'sync' | 'vendor'): fc.Arbitrary<string> =>
  fc
    .tuple(mostly(fc.constant(hexIpv4), fc.constant(hexIpv6)), mostly(fc.constant(false), fc.constant(true)))
    .chain(([address, mixed]) => {
      const other = mixed ? mostly(hexIpv6, junk) : address
      return fc.tuple(
        fc.tuple(protocol, mostly(address, junk), mostly(port, junk), mostly(address, junk), mostly(port, junk)),
        fc.tuple(mostly(other, junk), mostly(port, junk), state, seconds, engine, origin, gap)
      )
    })
    .map(([[pro, from, fport, to, tport], [dest, dport, name, left, tail, word, space]]) => {
      const local = kind === 'vendor' ? ['0A0200FE', '1388'] : []
      const end = kind === 'sync' ? [word, left] : kind === 'vendor' ? [left, 'x'] : [left]
      return (
        [pro, from, fport, to, tport, ...local, dest, dport, name, ...end].join(space) + (kind === 'conn' ? tail : '')
      )
    })

const groups = fc.array(mostly(fc.nat(0xffff), fc.constant(0)), { minLength: 8, maxLength: 8 })
const ipv6Text = fc.oneof(
  groups.map((all) => all.map((each) => each.toString(16)).join(':')),
  groups.map((all) => new URL(`http://[${all.map((each) => each.toString(16)).join(':')}]`).hostname.slice(1, -1)),
  fc.constantFrom('::', '::1', '1::', '::ffff:10.0.0.1', '1:2:3:4:5:6:10.0.0.1', '1::10.0.0.1', '::10.0.0.256', ':::', '1:::2', '1::2::3', ':1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8:', '1:2:3:4:5:6:7::', '::2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8:9', '1:2:3:4:5:6:7:10.0.0.1', '12345::', '10.0.0.1', '1:', ':1', 'g::', '::1:', '10.0.0.1::') // prettier-ignore
)
const ipv4Text = mostly(
  fc.array(fc.nat(255), { minLength: 4, maxLength: 4 }).map((all) => all.join('.')),
  fc.constantFrom('1.2.3', '1.2.3.4.5', '1.2.3.256', '01.2.3.4', '1..3.4', '.1.2.3', '1.2.3.', '1.2.3.0', 'a.b.c.d', '')
)
const portText = mostly(fc.nat(0xffff).map(String), fc.constantFrom('65536', 'http', '', '0', '007'))
const endpoint = mostly(
  fc.tuple(ipv4Text, portText).map(([address, each]) => `${address}:${each}`),
  fc.oneof(
    fc.tuple(ipv6Text, portText).map(([address, each]) => `[${address}]:${each}`),
    fc.constantFrom('[::1', '[::1]', '::1:80', '[10.0.0.1]:80', '[]:80', ':80', '10.0.0.1', '[::1]80', '[::1]]:80')
  )
)
const endpointIpv6 = fc.tuple(ipv6Text, portText).map(([address, each]) => `[${address}]:${each}`)
const time = mostly(
  fc.tuple(fc.nat(4000), fc.nat(59)).map(([minutes, rest]) => `${String(minutes).padStart(2, '0')}:${String(rest).padStart(2, '0')}`), // prettier-ignore
  fc.constantFrom('1:60', ':10', '10', '1:5', '71582788:15', '71582788:16', '1:05', 'x:05', '1:x5', '')
)
const ipvsadmLine = fc
  .tuple(protocol, time, state, fc.oneof(fc.tuple(endpoint, endpoint, endpoint), fc.tuple(endpointIpv6, endpointIpv6, endpointIpv6)), engine) // prettier-ignore
  .map(([pro, left, name, ends, tail]) => `${[pro.padEnd(3), left.padEnd(6), name.padEnd(11), ...ends].join(' ')}${tail}`) // prettier-ignore

const table = (header: string, line: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc
    .tuple(
      mostly(fc.constant(''), fc.constantFrom('\xef\xbb\xbf', '\n\n', ' \n')),
      fc.array(mostly(line, junk), { maxLength: 12 }),
      fc.boolean()
    ) // prettier-ignore
    .map(([before, lines, isEnded]) => `${before}${[header, ...lines].join('\n')}${isEnded ? '\n' : ''}`)
const anyTable = fc.oneof(
  table(HEADER, kernelLine('conn')),
  table(SYNC_HEADER, kernelLine('sync')),
  table(VENDOR_HEADER, kernelLine('vendor')),
  table(IPVSADM, ipvsadmLine),
  table(PERSISTENT, ipvsadmLine),
  table(HEADER.replace(' PEData', ''), kernelLine('conn')),
  fc.array(fc.oneof(junk, kernelLine('conn'), fc.constantFrom(HEADER, IPVSADM)), { maxLength: 5 }).map((all) => all.join('\n')) // prettier-ignore
)

t.test('any text: the same connections and the same faults as the slow reader, whatever the pieces', async () => {
  fc.assert(
    fc.property(anyTable, fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 5 }), (text, sizes) => {
      const wanted = expected(text)
      const found = read(text, sizes)
      assert.deepStrictEqual(found, wanted)
    }),
    { numRuns: 3000, seed: 20260101 }
  )
})

t.test('the texts of that property hold connections of every kind, and lines that cannot be read', async (t) => {
  const seen = new Map<string, number>()
  for (const text of fc.sample(anyTable, { numRuns: 1000, seed: 20260101 })) {
    const found = read(text)
    const kinds = found?.lines.map(({ family, template, engine, state }) => [family, template && 'template', engine && 'engine', state === undefined && 'ERR!']) // prettier-ignore
    for (const kind of ['refused', 'unreadable', ...(kinds ?? []).flat()])
      if (typeof kind === 'string') seen.set(kind, (seen.get(kind) ?? 0) + 1)
    if (found !== undefined) seen.set('refused', seen.get('refused')! - 1)
    seen.set('unreadable', seen.get('unreadable')! - 1 + (found?.count ?? 0))
  }
  for (const kind of ['ipv4', 'ipv6', 'template', 'engine', 'ERR!', 'refused', 'unreadable'])
    t.ok((seen.get(kind) ?? 0) > 20, `${kind}: ${seen.get(kind)}`)
})

const services = parseServices(
  [
    'TCP  0A000001:0050 rr persistent 90000 FFFFFFFF',
    '  -> 0A000002:0050      Route   1      0          0',
    '  -> 0A000003:0050      Masq   1      0          0',
    'UDP  0A000001:0000 rr persistent 75000 FFFFFFFF',
    '  -> 0A000002:0000      Tunnel   1      0          0',
    'TCP  [fd00:0000:0000:0000:0000:0000:0000:0001]:0050 rr persistent 60000 80000000',
    '  -> [fd00:0000:0000:0000:0000:0000:0000:0002]:0050      Local   1      0          0',
    'FWM  00000005 rr persistent 30000 FFFFFFFF',
    '  -> 0A000003:0000      Masq   1      0          0',
    '  -> 0A000004:0051      Route   1      0          0',
    'FWM  00000006 rr',
    '  -> 0A000004:0000      Route   1      0          0',
    '  -> [fd00:0000:0000:0000:0000:0000:0000:0003]:0000      Route   1      0          0'
  ].join('\n')
).services

t.test('rows are completed as the slow completer completes lines', async (t) => {
  const ipv4 = fc.constantFrom('0A000001', '0A000002', '0A000003', '0A000004', '00000005', '00000006')
  const ipv6 = fc.constantFrom(...[1, 2, 3].map((i) => `fd00:0000:0000:0000:0000:0000:0000:000${i}`))
  const some = fc.constantFrom('0000', '0050', '0051', 'FFFF')
  const kind = fc
    .constantFrom('TCP', 'UDP', 'SCTP', 'IP', 'IP_51', 'IP_99')
    .chain((pro) => fc.tuple(fc.constant(pro), fc.constantFrom(...(NAMES[pro] ?? []), 'ERR!', 'NONE', '20', '1')))
  const line = fc
    .oneof(fc.constant(ipv4), fc.constant(ipv6))
    .chain((address) =>
      fc.tuple(kind, address, some, address, some, mostly(address, fc.oneof(ipv4, ipv6)), some, fc.nat(2000))
    )
    .map(([[pro, name], from, fport, to, tport, dest, dport, left]) =>
      [pro, from, fport, to, tport, dest, dport, name, left].join(' ')
    )
  const all: Connection[] = []
  fc.assert(
    fc.property(
      fc.array(line, { minLength: 60, maxLength: 300 }),
      fc.constantFrom(250, 1000),
      (lines, ticksPerSecond) => {
        const text = [HEADER, ...lines, ''].join('\n')
        const reader = new TableReader()
        reader.room().set(Buffer.from(text, 'latin1'))
        reader.take(text.length)
        const report = createReport(reader)
        const completer = new RowCompleter({ services, ticksPerSecond }, report)
        const found: Connection[] = []
        while (reader.next()) {
          completer.complete(reader.rows)
          for (let i = 0; i < reader.rows.count; i++) found.push({ ...connectionFromRow(reader.rows, i) })
        }
        const counts = {
          assumed: { forwarding: 0, fwmark: 0, state: 0, timeout: 0 },
          unsendable: { invalidated: 0, 'other-family': 0 }
        }
        const wanted = readTableOracle(text)!.lines.flatMap((each) => {
          const connection = completeOracle(each, services, ticksPerSecond, counts)
          if (connection === undefined) return []
          const { protocol, flags } = connection
          const template = flags.includes('TEMPLATE')
          return [{ ...connection, state: named({ protocol, template }, connection.state)! }]
        })
        all.push(...found)
        assert.deepStrictEqual(JSON.parse(JSON.stringify(found)), JSON.parse(JSON.stringify(wanted)))
        assert.deepStrictEqual({ assumed: report.assumed, unsendable: report.unsendable }, counts)
      }
    ),
    { numRuns: 100, seed: 20260102 }
  )
  t.ok(all.length > 5000, `${all.length} connections compared`)
  t.ok(new Set(all.map(({ forwarding, fwmark, timeout }) => `${forwarding} ${fwmark} ${timeout}`)).size > 50)
})

t.test('the memory of services stays small, whatever a table shows', async (t) => {
  const reader = new TableReader()
  const report = createReport(reader)
  const completer = new RowCompleter({ services }, report)
  const lines = [HEADER]
  // More pairs of service and real server than the memory holds; the first ones come again at the end.
  const count = 70_000
  for (let i = 0; i < count + 1000; i++)
    lines.push(`TCP 0A000009 0001 ${hex((i % count) + 1, 8)} 0050 0A0000FF 0050 ESTABLISHED 9`)
  lines.push('TCP 0A000009 0001 0A000001 0050 0A000002 0050 ESTABLISHED 9')
  let forwarded = 0
  for (let at = 0; at < lines.length; at += 1000) {
    const text = Buffer.from(`${lines.slice(at, at + 1000).join('\n')}\n`)
    reader.room().set(text)
    reader.take(text.length)
    while (reader.next()) {
      completer.complete(reader.rows)
      for (let i = 0; i < reader.rows.count; i++)
        if (connectionFromRow(reader.rows, i).forwarding === 'DROUTE') forwarded++
    }
  }
  t.equal(report.assumed.forwarding, count + 1000)
  t.equal(report.unreadable.count, 0)
  t.equal(forwarded, 1)
})

t.test('a read of no bytes gives no line again', (t) => {
  const reader = new TableReader()
  const row = 'TCP 0A000009 0001 0A000001 0050 0A000002 0050 ESTABLISHED 9'
  const text = Buffer.from([HEADER, row, row, ''].join('\n'))
  reader.room().set(text)
  reader.take(text.length)
  t.ok(reader.next())
  t.equal(reader.rows.count, 2)
  t.notOk(reader.next())
  const room = reader.room().length
  reader.take(0)
  t.notOk(reader.next(), 'the buffer still holds the bytes of those lines')
  reader.end()
  t.notOk(reader.next())
  t.equal(reader.room().length, room)
  t.end()
})

t.test('every recorded table is read whole, from a file and from a stream', async (t) => {
  for (const folder of folders) {
    for (const name of ['director.ip_vs_conn', 'backup.ip_vs_conn_sync']) {
      const wanted = readTableOracle(textOf(folder, name))!
      const path = new URL(`${folder}/${name}`, captures).pathname
      t.strictSame(wanted.unreadable, [])
      for (const rowsOf of [
        (reader: TableReader) => readTableFile(path, reader),
        (reader: TableReader) => readTableStream(createReadStream(path, { highWaterMark: 100 }), reader)
      ]) {
        const found: unknown[] = []
        for await (const rows of rowsOf(new TableReader()))
          for (let i = 0; i < rows.count; i++) found.push(lineOf(rows, i))
        t.strictSame(found, expected(textOf(folder, name))!.lines, `${folder}/${name}`)
      }
    }
  }
})

t.test('a table as ipvsadm -Lnc prints it holds what the kernel’s own text does', async (t) => {
  for (const folder of folders) {
    const { lines } = readTableOracle(textOf(folder, 'director.ip_vs_conn'))!
    const print = ({ address, port: number }: { address: string; port: number }): string =>
      address.includes(':') ? `[${address}]:${number}` : `${address}:${number}`
    const text = lines.map(({ protocol: pro, client, virtual, destination, state: name, expires, engine: pe }) => {
      const left = `${String(Math.floor(expires / 60)).padStart(2, '0')}:${String(expires % 60).padStart(2, '0')}`
      const data = pe && Buffer.from(pe.data, 'hex').toString('latin1')
      const tail = pe === undefined ? '' : ` ${pe.name.padEnd(18)} ${data!}`
      const ends = [client, virtual, destination].map((end) => print(end).padEnd(18)).join(' ')
      return `${pro.padEnd(3)} ${left.padEnd(6)} ${(name ?? 'ERR!').padEnd(11)} ${ends}${tail}\n`
    })
    t.strictSame(read(`${PERSISTENT}\n${text.join('')}`)!.lines, expected(textOf(folder, 'director.ip_vs_conn'))!.lines)
  }
})

t.test('what is not a table is refused by name; a file that cannot be read too', async (t) => {
  const folder = t.testdir({ hostname: 'director-1\n', long: 'x'.repeat(70_000), blank: '\n \n' })
  const rowsOf = async (name: string): Promise<number> => {
    let count = 0
    const path = join(folder, name)
    for await (const rows of readTableFile(path, new TableReader(path))) count += rows.count
    return count
  }
  await t.rejects(rowsOf('hostname'), { code: 'ERR_IO', message: /hostname: expected a header .* got "director-1"/ })
  await t.rejects(rowsOf('long'), { code: 'ERR_IO', message: /long: line longer than 65536 bytes/ })
  await t.rejects(rowsOf('none'), { code: 'ERR_IO', message: /none: no such file/ })
  await t.rejects(rowsOf('.'), { code: 'ERR_IO', message: /is a directory/ })
  t.equal(await rowsOf('blank'), 0)
})

t.test('other work gets its turn while a large table is read', async (t) => {
  const line = 'TCP 0A010002 985A 0A010001 0050 0A020002 0050 TIME_WAIT       114\n'
  const folder = t.testdir({ conn: `${HEADER}\n${line.repeat(50_000)}` })
  let turns = 0
  let open = true
  const count = (): void => {
    turns++
    if (open) setImmediate(count)
  }
  setImmediate(count)
  const time = { kernelMs: 0 }
  let found = 0
  for await (const rows of readTableFile(join(folder, 'conn'), new TableReader(), time)) {
    found += rows.count
    // A consumer that takes its time.
    const end = performance.now() + 0.2
    while (performance.now() < end);
  }
  open = false
  t.equal(found, 50_000)
  t.ok(turns > 3, `${turns} turns`)
  t.ok(time.kernelMs > 0)
})

t.test('HZ: from the kernel’s configuration, or from the table', async (t) => {
  const folder = t.testdir({
    plain: '# x\nCONFIG_HZ_250=y\nCONFIG_HZ=250\n',
    without: 'CONFIG_SMP=y\n',
    'torn.gz': 'x'
  })
  const file = (name: string): string => join(folder, name)
  t.strictSame(await findKernelTicks([file('none'), file('torn.gz'), file('without'), file('plain')]), {
    ticksPerSecond: 250,
    path: file('plain')
  })
  const { writeFileSync } = await import('node:fs')
  writeFileSync(file('config.gz'), gzipSync('CONFIG_HZ=1000\n'))
  t.equal((await findKernelTicks([file('config.gz')]))?.ticksPerSecond, 1000)
  t.equal(await findKernelTicks([file('without')]), undefined)
  await findKernelTicks()

  const estimate = (list: string, ...lines: string[]): number | undefined => {
    const ticks = new TicksEstimate(parseServices(list).services)
    const reader = new TableReader()
    const text = [HEADER, ...lines, ''].join('\n')
    reader.room().set(Buffer.from(text))
    reader.take(text.length)
    while (reader.next()) ticks.take(reader.rows)
    return ticks.result()
  }
  const tcp = 'TCP  CB00712B:1222 wlc persistent 360000 FFFFFFFF'
  const template = (left: number): string => `TCP 0A010002 0000 CB00712B 1222 0A020002 0050 NONE ${left}`
  t.equal(estimate(tcp, template(120), template(359)), 1000)
  t.equal(estimate(tcp, template(1439)), 250)
  t.equal(estimate(tcp, template(3600)), 100)
  t.equal(estimate(tcp, template(5)), undefined, 'too little is left to tell')
  t.equal(estimate(tcp, template(9999)), undefined)
  t.equal(estimate(tcp, template(359).replace('0000', '0001').replace('NONE', 'ESTABLISHED')), undefined)
  t.equal(estimate('FWM  00000005 wlc persistent 75000 FFFFFFFF', 'IP  0A010002 0000 00000005 0000 0A020002 0050 NONE 290'), 250) // prettier-ignore
  const ipv6 = '[fd00:0000:0000:0000:0000:0000:0000:0001]'
  t.equal(estimate(`UDP  ${ipv6}:0035 rr persistent 30000 80000000`, `UDP ${ipv6.slice(1, -1)} 0000 ${ipv6.slice(1, -1)} 0035 ${ipv6.slice(1, -1)} 0035 NONE 119`), 250) // prettier-ignore
  t.equal(new TicksEstimate(parseServices('TCP 10.0.0.1:80 rr persistent 60').services).isNeeded, false)
})

t.test('a file whose reading fails is named', async (t) => {
  // The first page of an address space is not mapped; a folder can be opened, not read.
  for (const path of ['/proc/self/mem', t.testdir()])
    await t.rejects(readTableFile(path, new TableReader(path)).next(), { code: 'ERR_IO', message: path })
})
