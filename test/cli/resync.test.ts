// A whole table sent once: what leaves, in which order, at which pace, and what is said.
import { execFileSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import t from 'tap'
import { parseTimeouts } from '../../src/cli/parsers.js'
import { run } from '../../src/cli/run.js'
import { askForPace } from '../../src/cli/resync/auto-rate.js'
import { describePlan, type ResyncPlan } from '../../src/cli/resync/report.js'
import { readSource, type SourceReport } from '../../src/cli/resync/source.js'
import { ProgressBar, sendPlan } from '../../src/cli/resync/command.js'
import { paceFor, sendBulk } from '../../src/daemon/bulk-sender.js'
import { saveTable } from '../../src/daemon/table-store.js'
import { BulkMessages } from '../../src/engine/full-table/bulk-messages.js'
import { Pacer, receiveBufferHolds, safeMessageRate } from '../../src/engine/full-table/pacer.js'
import type { Datagram } from '../../src/engine/engine.js'
import { AgentEngine } from '../../src/agent/protocol/agent-engine.js'
import { IpvsSyncError } from '../../src/errors.js'
import { MemoryNetwork } from '../../src/transport/memory.js'
import { ManualClock } from '../fixtures/support/manual-clock.js'
import type { SendReport, SendingTransport, TransportHandlers } from '../../src/transport/transport.js'
import { ConnectionTable } from '../../src/table/connection-table.js'
import { writeSnapshot } from '../../src/table/snapshot.js'
import type { Connection } from '../../src/wire/connection.js'
import { decodeMessage } from '../../src/wire/decode-message.js'
import { connectionFromRow, rowFromConnection } from '../../src/wire/row-values.js'
import { createRows } from '../../src/wire/rows.js'
import { freePorts } from '../fixtures/support/loopback.js'
import { testIo } from '../fixtures/support/test-io.js'

const fixture = (name: string): string => new URL(`../fixtures/captures/${name}`, import.meta.url).pathname

const make = (index: number, more: Partial<Connection> = {}): Connection => ({
  family: 'ipv4',
  protocol: 'TCP',
  client: { address: '10.0.0.1', port: index },
  virtual: { address: '10.0.0.2', port: 80 },
  destination: { address: '10.0.0.3', port: 80 },
  forwarding: 'MASQ',
  flags: [],
  state: 'ESTABLISHED',
  fwmark: 0,
  timeout: 77,
  ...more
})
const template = make(0, { flags: ['INACTIVE', 'TEMPLATE'], state: 'ASSURED' })
const ipv6 = make(5, {
  family: 'ipv6',
  client: { address: 'fd00::1', port: 5 },
  virtual: { address: 'fd00::2', port: 80 },
  destination: { address: 'fd00::3', port: 80 }
})

t.test('the default rate is half of a default receive buffer each 100 ms', async (t) => {
  // 212992 / 2304 is 92.4: the same number that a kernel's receiver was seen to hold.
  t.strictSame(
    [1472, 1452, 1, 1473, 65_507].map((length) => receiveBufferHolds(length)),
    [92, 92, 92, 46, 2]
  )
  t.strictSame(
    [1472, 1473, 65_507, 1_000_000].map((length) => safeMessageRate(length)),
    [460, 230, 10, 10]
  )
})

t.test('the pacer holds its rate on average and its burst at once', async (t) => {
  for (const [rate, burst, cost] of [
    [460, 8, 1],
    [18_400, 368, 40],
    [10, 1, 40]
  ] as const) {
    let now = 1
    const pacer = new Pacer(rate, burst, now)
    let spent = 0
    let atOnce = 0
    while (now < 100_000) {
      const delay = pacer.delay(now)
      if (delay === 0) {
        pacer.spend(cost, now)
        spent += cost
        if (now === 1) atOnce += cost
      } else now += delay
    }
    t.ok(atOnce < burst + cost, `${rate}: ${atOnce} at once`)
    t.ok(Math.abs(spent / (now / 1000) - rate) < rate * 0.01 + cost, `${rate}: ${spent} in ${now} ms`)
  }
})

t.test('messages: templates first, by channel, full ones, and what no receiver takes left out', async (t) => {
  const bulk = new BulkMessages({ version: 1, syncid: 9, maxLength: 200, channels: 4 })
  const given = [
    ...Array.from({ length: 50 }, (_, i) => make(i + 1)),
    template,
    ipv6,
    make(1, { protocol: 'ICMP', state: '0' })
  ]
  for (const connection of given) bulk.add(connection)
  const messages = bulk.finish()
  t.strictSame(bulk.counts, { connections: 52, templates: 1, ipv6: 0, refused: 1 })
  const decoded = messages.map(({ bytes }) => decodeMessage(bytes))
  t.strictSame(
    decoded.flatMap(({ problems }) => problems),
    []
  )
  t.ok(decoded.every(({ syncid, size }) => syncid === 9 && size <= 200))
  t.strictSame(JSON.parse(JSON.stringify(decoded[0]?.connections)), [template])
  t.strictSame(
    messages.map(({ connections }) => connections),
    decoded.map(({ connections }) => connections.length)
  )
  t.ok(new Set(messages.map(({ channel }) => channel)).size > 1)
  t.strictSame(
    decoded
      .slice(1)
      .flatMap(({ connections }) => connections.map(({ client }) => client.port))
      .sort((a, b) => a - b),
    [...Array.from({ length: 50 }, (_, i) => i + 1), 5].sort((a, b) => a - b)
  )
})

t.test('version 0 leaves out IPv6, and what it has no room for', async (t) => {
  const bulk = new BulkMessages({ version: 0, syncid: 9, maxLength: 1472, channels: 1 })
  const sequence = { initial: 1, delta: 2, previousDelta: 3 }
  bulk.add(ipv6)
  bulk.add(make(1, { flags: ['IN_SEQ', 'NFCT'] }))
  bulk.add(make(2, { flags: ['IN_SEQ'], inSequence: sequence, outSequence: sequence }))
  const [message, ...others] = bulk.finish()
  t.strictSame(others, [])
  t.strictSame(bulk.counts, { connections: 2, templates: 0, ipv6: 1, refused: 0 })
  const { connections, problems } = decodeMessage(message!.bytes)
  t.strictSame(problems, [])
  t.strictSame(
    connections.map(({ flags, inSequence }) => [flags, inSequence]),
    [
      [['IN_SEQ'], { initial: 0, delta: 0, previousDelta: 0 }],
      [['IN_SEQ'], sequence]
    ]
  )
})

/** A transport that keeps what it is given, and virtual time. */
function bench(busyUntil = 0, error?: IpvsSyncError) {
  const sent: number[] = []
  let now = 1
  let handlers: TransportHandlers = {}
  const transport: SendingTransport = {
    channels: 1,
    description: 'nowhere',
    start: async (given) => {
      handlers = given
      handlers.onNotice?.({ code: 'buffer', message: 'a notice' } as never)
    },
    close: async () => undefined,
    flush: async () => undefined,
    writable: () => now >= busyUntil,
    send: () => {
      sent.push(now)
      if (error !== undefined) handlers.onError?.(error)
    }
  }
  const clock = {
    now: () => now,
    after(delay: number, callback: () => void) {
      now += delay
      setImmediate(callback)
      return () => undefined
    }
  }
  return { sent, transport, clock }
}
const datagrams = (count: number): Datagram[] =>
  Array.from({ length: count }, () => ({ channel: 0, bytes: new Uint8Array(1472), connections: 40 }))

t.test('sending keeps the pace, waits for the socket, repeats the whole and can be stopped', async (t) => {
  const { sent, transport, clock } = bench(50)
  const signal = new AbortController().signal
  const seen: number[] = []
  const result = await sendBulk(datagrams(100), transport, {
    pace: paceFor(1472),
    times: 2,
    clock,
    signal,
    onProgress: ({ messages }) => seen.push(messages)
  })
  t.strictSame(result, { messages: 200, connections: 8000 })
  t.equal(seen.at(-1), 200)
  t.ok(sent[0]! >= 50, 'nothing left before the socket took it')
  const inWindow = sent.map((from) => sent.filter((at) => at >= from && at < from + 100).length)
  t.ok(Math.max(...inWindow) <= 92 / 2 + 9, 'never more than half a buffer and a burst in 100 ms')
  const controller = new AbortController()
  const stopped = await sendBulk(datagrams(100), bench().transport, {
    pace: paceFor(1472, 1000),
    times: 1,
    clock,
    signal: controller.signal,
    onProgress: ({ messages }) => messages === 3 && controller.abort()
  })
  t.equal(stopped.messages, 3)
})

t.test('a pace in connections: a fiftieth of a second at once, and never more than half a buffer', async (t) => {
  t.match(paceFor(1472), { rate: 460, burst: 8 })
  t.equal(paceFor(1472).costOf(datagrams(1)[0]!), 1)
  t.match(paceFor(1472, 1000), { rate: 1000, burst: 20 })
  t.equal(paceFor(1472, 1000).costOf(datagrams(1)[0]!), 40)
  t.equal(paceFor(1472, 1).burst, 1)
  t.ok(paceFor(1472, 1e9).burst <= (92 / 2) * (1472 / 36))
  t.equal(paceFor(10, 1e9).burst, 46)
})

t.test('the bar shows rate and time left, and wipes itself away', async (t) => {
  const written: string[] = []
  const bar = new ProgressBar((text) => written.push(text), 1000, 1)
  bar.update(10, 50)
  bar.update(250, 501)
  bar.update(260, 550)
  bar.end()
  t.strictSame(written, [
    '\r[######..................] 25 %  250 of 1000 connections, 500/s, 2 s left\u001b[K',
    '\r\u001b[K'
  ])
})

t.test('bar, notices and result; a message that the system refused is not sent', async (t) => {
  const counts = { connections: 8000, templates: 0, ipv6: 0, refused: 0 }
  const plan: ResyncPlan = {
    messages: datagrams(200),
    totals: { messages: 200, bytes: 294_400, cost: 200 },
    counts,
    report: { expired: 0, facts: [] },
    pace: paceFor(1472),
    rate: undefined,
    times: 1,
    maxLength: 1472
  }
  const io = testIo({ isTTY: true })
  const sound = bench()
  t.match(await sendPlan(plan, sound.transport, io, sound.clock), { isComplete: true, failures: 0 })
  t.match(io.output(), /^8000 connections sent to nowhere in 0\.\d s, \d+\/s\n$/)
  t.match(io.errors(), /a notice\n\r\[#*\.*\] \d+ % {2}\d+ of 8000 connections/)
  const { transport, clock } = bench(0, new IpvsSyncError('ERR_TRANSPORT', 'refused'))
  const refused = testIo()
  const report = (messages: number, connections: number): SendReport => ({
    errors: { '10.9.0.2:8848': 200, '10.9.0.3:8848': messages },
    undelivered: [{ messages, connections }],
    isUnreachable: messages > 0
  })
  Object.assign(transport, { sendReport: () => report(200, 8000) })
  t.match(await sendPlan(plan, transport, refused, clock), { failures: 400, firstError: { message: 'refused' } })
  t.match(refused.output(), /^incomplete: 0 of 200 messages, 0 connections sent/)
  const half = testIo()
  Object.assign(transport, { sendReport: () => report(0, 0) })
  await sendPlan(plan, transport, half, clock)
  t.match(half.output(), /^8000 connections sent/, 'the other peer took each')
  const quiet = testIo()
  quiet.abort()
  t.match(await sendPlan(plan, sound.transport, quiet, sound.clock), { isComplete: false })
  t.match(quiet.output(), /^incomplete: 0 of 200 messages, 0 connections sent/)
  t.equal(quiet.errors(), 'ipvs-sync: a notice\n')
})

async function resync(argv: string[], stdin?: string): Promise<{ code: number; output: string; errors: string }> {
  const io = testIo({ ...(stdin !== undefined && { stdin }) })
  const code = await run(['resync', ...argv], io)
  return { code, output: io.output(), errors: io.errors() }
}

t.test('--dry-run counts, prices and says what was assumed', async (t) => {
  const saved = ['--source', fixture('persist/director.ip_vs_conn'), '--dry-run']
  const { code, output } = await resync([...saved, '--services', fixture('persist/director.ip_vs')])
  t.equal(code, 0)
  t.match(output, /^\d+ connections \(\d+ templates, sent first\) in \d+ messages, \d+ bytes\n/)
  t.match(output, /pace: 460 messages a second: every 100 ms half of the 92 full datagrams/)
  t.match(output, /dry run, nothing sent; sending takes 0\.\d s and \d+ bytes/)
  t.notMatch(output, 'MASQ assumed')
  const bare = await resync([...saved, '--rate', '10', '--repeat', '3', '--sync-version', '0'])
  t.match(
    bare.output,
    /, 3 times\n.*assumed.*\n\d+ connections to a real server of no known service: forwarding method MASQ assumed\n/
  )
  t.match(bare.output, /\d+ IPv6 connections, which version 0 cannot carry: omitted/)
  t.match(bare.output, /pace: 10 connections a second/)
})

t.test('JSON Lines: connections, messages of decode, ends skipped, and what is wrong named by line', async (t) => {
  const lines = [
    JSON.stringify({ ...make(1), origin: 'SYNC', expires: 5, change: 'created' }),
    '',
    JSON.stringify({ version: 1, connections: [make(2), make(3)] }),
    JSON.stringify({ ...make(4), change: 'expired' })
  ].join('\n')
  const { output } = await resync(['--source', '-', '--dry-run'], lines)
  t.match(output, /^3 connections \(0 templates/)
  const wrong: [string, number, RegExp][] = [
    ['{"a":', 2, /standard input:1: expected JSON/],
    ['\n{"family":"ipv4"}', 2, /standard input:2.(protocol|family)/],
    [JSON.stringify(make(1, { state: 'SLEEPING' })), 2, /standard input:1.state/],
    ['hello', 3, /standard input: expected a header/]
  ]
  for (const [text, code, message] of wrong) {
    const failed = await resync(['--source', '-', '--dry-run'], text)
    t.equal(failed.code, code, text)
    t.match(failed.errors, message)
  }
  const missing = await resync(['--source', '/no/such', '--dry-run'])
  t.strictSame([missing.code, missing.errors], [3, 'ipvs-sync: --source /no/such: no such file\n'])
  t.equal((await resync([])).code, 2, 'neither interface nor peer')
})

t.test("an agent's stored table: expired connections are left out, and one that was cut off is refused", async (t) => {
  const table = new ConnectionTable({ seed: 1 })
  const rows = createRows(1)
  for (const [port, timeout] of [[1, 900] as const, [2, 60] as const]) {
    rowFromConnection(make(port, { timeout }), rows, 0)
    t.not(table.add(rows, 0, 1000), 0)
  }
  const stored = [...writeSnapshot(table, Date.now() - 120_000)].join('')
  const { code, output } = await resync(['--source', '-', '--dry-run'], stored)
  t.match(output, /^1 connection .*\n1 connection expired since the store was saved: omitted\n/)
  t.equal(code, 0)
  const torn = await resync(['--source', '-', '--dry-run'], stored.slice(0, stored.lastIndexOf('{')))
  t.equal(torn.code, 2)
  t.match(torn.errors, /standard input: expected a last line that counts 2 connections, .* the store was cut off/)
})

t.test('a packed store: expired connections are omitted, a damaged store is refused', async (t) => {
  const table = new ConnectionTable({ seed: 1 })
  const rows = createRows(1)
  const stored = [
    make(1, { timeout: 900 }),
    make(2, { timeout: 60 }),
    { ...template, timeout: 500, engine: { name: 'sip', data: '616263' } },
    {
      ...ipv6,
      timeout: 400,
      flags: ['IN_SEQ'] as const,
      inSequence: { initial: 1, delta: 2, previousDelta: 3 }
    }
  ]
  for (const connection of stored) {
    rowFromConnection(connection, rows, 0)
    t.not(table.add(rows, 0, 1000), 0)
  }
  const path = join(t.testdir(), 'store')
  await saveTable(table, path, Date.now() - 120_000)
  const read = async (source: string, stdin = testIo().stdin): Promise<Connection[]> => {
    const report: SourceReport = { expired: 0, facts: [] }
    const found: Connection[] = []
    for await (const part of readSource({ source, stdin }, report))
      for (let i = 0; i < part.count; i++) found.push(connectionFromRow(part, i))
    t.equal(report.expired, 1)
    return found.sort((a, b) => Number(b.timeout) - Number(a.timeout))
  }
  const found = await read(path)
  t.match(found, [stored[0], stored[2], stored[3]] as object[])
  const bytes = readFileSync(path)
  const single = Readable.from(Array.from(bytes, (_, i) => bytes.subarray(i, i + 1)))
  t.strictSame(await read('-', single), found, 'standard input, byte by byte')
  const { code, output } = await resync(['--source', path, '--dry-run'])
  t.match(output, /^3 connections .*\n1 connection expired since the store was saved: omitted\n/)
  t.equal(code, 0)

  bytes[bytes.length - 30]! ^= 1
  for (const damaged of [bytes, readFileSync(path).subarray(0, 100)]) {
    await writeFile(path, damaged)
    const failed = await resync(['--source', path, '--dry-run'])
    t.equal(failed.code, 3)
    t.ok(failed.errors.includes(path), failed.errors)
    t.equal(failed.output, '')
  }
})

t.test('the kernel is read where it has IPVS', async (t) => {
  const report: SourceReport = { expired: 0, facts: [] }
  const options = { source: 'kernel', stdin: testIo().stdin, services: fixture('udp4/director.ip_vs') }
  let found = 0
  const connections = fixture('udp4/director.ip_vs_conn')
  for await (const rows of readSource({ ...options, hz: 250, files: { connections } }, report)) found += rows.count
  t.equal(found, readFileSync(connections, 'latin1').trim().split('\n').length - 1)
  t.match(report, { facts: ['HZ 250 (--hz)', /assumed/], table: { assumed: { forwarding: 0 } } })
  const timed: SourceReport = { expired: 0, facts: [] }
  const timeouts = { tcp: 100, tcpFin: 20, udp: 30 }
  const rows = await readSource({ ...options, hz: 250, timeouts, files: { connections } }, timed).next()
  t.ok(rows.done !== true && rows.value.count > 0)
  t.match(timed.facts, ['HZ 250 (--hz)', /TCP 100 s, after a FIN 20 s, UDP 30 s \(--timeouts\)/])
  const missing = { source: 'kernel', stdin: testIo().stdin, files: { connections: '/no/such' } }
  await t.rejects(readSource(missing, { expired: 0, facts: [] }).next(), { code: 'ERR_NO_IPVS' })
})

const SAVED = `IPVS connection entries
pro expire state       source             virtual            destination
TCP 05:10  ESTABLISHED 10.1.0.2:38988     10.1.0.1:80        10.2.0.2:80
UDP 00:12  UDP         [fd00:1::2]:40000  [fd00:1::1]:53     [fd00:2::2]:53
TCP 05:59  NONE        10.1.0.2:0         10.1.0.1:80        10.2.0.2:80
rubbish
`

t.test('a table that ipvsadm printed is sent with the services that ipvsadm printed', async (t) => {
  const folder = t.testdir({
    saved: SAVED,
    listing:
      'TCP  10.1.0.1:80 wlc persistent 360\n  -> 10.2.0.2:80 Route 1 0 0\nTimeout (tcp tcpfin udp): 7200 60 300\n',
    proc: 'TCP  0A010001:0050 wlc persistent 360000 FFFFFFFF\n  -> 0A020002:0050 Route 1 0 0\n',
    hostname: 'director-1\n',
    blank: '\n',
    empty: ''
  })
  const file = (name: string): string => join(folder, name)
  const found = async (...argv: string[]): Promise<number[][]> => {
    const io = testIo()
    const report: SourceReport = { expired: 0, facts: [] }
    const [services, timeouts] = argv
    const all: number[][] = []
    const options = { source: file('saved'), stdin: io.stdin, services: services && file(services) }
    const set = timeouts === undefined ? undefined : parseTimeouts(timeouts)
    for await (const rows of readSource({ ...options, timeouts: set }, report))
      for (let i = 0; i < rows.count; i++) {
        const { timeout = 0, forwarding } = connectionFromRow(rows, i)
        all.push([timeout, forwarding === 'DROUTE' ? 1 : 0])
      }
    return all
  }
  t.strictSame(await found(), [[900, 0], [300, 0], [359, 0]]) // prettier-ignore
  t.strictSame(await found('listing'), [[7200, 1], [300, 0], [360, 1]]) // prettier-ignore
  t.strictSame(await found('listing', '3600,0,30'), [[3600, 1], [30, 0], [360, 1]]) // prettier-ignore
  const { output, code } = await resync(['--source', file('saved'), '--services', file('proc'), '--dry-run'])
  t.equal(code, 0)
  t.match(output, /^3 connections \(1 template, sent first\)/)
  t.match(output, "\nHZ 1000 (from the table's templates)\n")
  t.match(output, /1 unreadable line omitted: line 6 "rubbish"/)
  const piped = await resync(['--source', '-', '--services', file('proc'), '--dry-run'], `\n${SAVED}`)
  t.match(piped.output, /^3 connections .*\nHZ 250 assumed; --hz sets it\n/)
  const given = await resync(['--source', '-', '--services', file('proc'), '--hz', '1000', '--dry-run'], SAVED)
  t.match(given.output, /\nHZ 1000 \(--hz\)\n/)
  for (const name of ['hostname', 'empty', 'none']) {
    const wrong = await resync(['--source', file('saved'), '--services', file(name), '--dry-run'])
    t.equal(wrong.code, 3, name)
    t.match(wrong.errors, file(name))
  }
  for (const name of ['hostname', 'none', '.']) {
    const wrong = await resync(['--source', file(name), '--dry-run'])
    t.equal(wrong.code, 3, name)
    t.match(wrong.errors, file(name).replace(/\/\.$/, ''))
  }
  for (const name of ['blank', 'empty'])
    t.match((await resync(['--source', file(name), '--dry-run'])).output, /^0 connections/, name)
  t.match((await resync(['--source', '-', '--dry-run'], '')).output, /^0 connections/)
  t.match((await resync(['--source', file('saved'), '--timeouts', '900,120', '--dry-run'])).errors, /TCP,TCPFIN,UDP/)
})

t.test('JSON of more connections than a batch holds; a named pipe', async (t) => {
  const lines = Array.from({ length: 600 }, (_, i) => JSON.stringify(make(i + 1))).join('\n')
  t.match((await resync(['--source', '-', '--dry-run'], lines)).output, /^600 connections/)
  const folder = t.testdir({ table: lines })
  t.match((await resync(['--source', join(folder, 'table'), '--dry-run'])).output, /^600 connections/)
  const fifo = join(folder, 'fifo')
  execFileSync('mkfifo', [fifo])
  const reading = resync(['--source', fifo, '--dry-run'])
  await writeFile(fifo, SAVED)
  t.match((await reading).output, /^3 connections/)
})

t.test('to a peer on this host, everything arrives', async (t) => {
  const socket = createSocket('udp4')
  t.teardown(() => void socket.close())
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  const ports = new Set<number>()
  let versions = 0
  const done = new Promise<void>((resolve) => {
    socket.on('message', (bytes) => {
      const message = decodeMessage(bytes)
      versions += message.version
      for (const { client, timeout } of message.connections) if (timeout === 77) ports.add(client.port)
      if (ports.size === 500) resolve()
    })
  })
  const lines = Array.from({ length: 500 }, (_, i) => JSON.stringify(make(i + 1))).join('\n')
  const peer = `127.0.0.1:${socket.address().port}`
  const { code, output } = await resync(
    ['--source', '-', '--peer', peer, '--syncid', '3', '--sync-maxlen', '1472'],
    lines
  )
  t.equal(code, 0)
  t.match(output, `500 connections sent to ${peer} in `)
  await done
  t.equal(ports.size, 500)
  t.equal(versions, 13)
  const huge = '127.0.0.1:1'
  const { code: refused } = await resync(['--source', '-', '--peer', huge, '--peer', '255.255.255.255'], lines)
  t.equal(refused, 3, 'broadcasting is refused by the system')
  const nobody = await resync(['--source', '-', '--peer', `127.0.0.1:${await freePorts(1)}`], lines)
  t.equal(nobody.code, 3, 'a peer that refuses')
  t.match(nobody.output, /^incomplete: 0 of \d+ messages?, 0 connections sent/m)
  t.match(nobody.errors, /ECONNREFUSED/)
})

t.test('a signal stops it: exit code 1', async (t) => {
  const io = testIo({ stdin: Array.from({ length: 50 }, (_, i) => JSON.stringify(make(i + 1))).join('\n') })
  io.abort()
  t.equal(await run(['resync', '--source', '-', '--peer', '127.0.0.1:9'], io), 1)
  t.match(io.output(), /incomplete: 0 of 2 messages/)
})

t.test('--rate auto: the smallest receive buffer among the agents sets the pace', async (t) => {
  const network = new MemoryNetwork({ delayMs: [1, 1] })
  const clock = new ManualClock()
  const answer = async (syncids: readonly number[], buffers: readonly number[]) => {
    for (const [number, size] of buffers.entries()) {
      const transport = network.open(`10.9.0.${10 + number}`)
      const engine = new AgentEngine({
        id: `${number + 1}`.repeat(16),
        syncid: syncids[number]!,
        chance: () => 0.5,
        table: { size: 0, messages: () => [][Symbol.iterator]() },
        capacity: { syncSockSize: size, rmemDefault: 212_992, rmemMax: 8_388_608 }
      })
      await transport.start({
        onDatagram: (bytes, from) => void engine.handleDatagram(bytes, from, network.now)
      })
      engines.push({ engine, transport })
    }
    const asking = askForPace(network.open('10.9.0.1', 40_000), network.open('10.9.0.1'), 5, 1472, clock)
    for (let i = 0; i < 1300; i++) {
      clock.advance(1)
      network.advance(network.now + 1)
      for (const { engine, transport } of engines) {
        engine.handleTimeout(network.now)
        for (let next = engine.pollTransmit(); next !== undefined; next = engine.pollTransmit())
          transport.send(0, next.bytes)
      }
      if (i % 50 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    for (const { transport } of engines.splice(0)) await transport.close()
    return asking
  }
  const engines: { engine: AgentEngine; transport: ReturnType<MemoryNetwork['open']> }[] = []
  t.equal(await answer([], []), undefined)
  const large = await answer([5], [4_194_304])
  t.match(large, { agents: 1, pace: { rate: 4000 } })
  const mixed = await answer([5, 5, 9], [4_194_304, 0, 100])
  t.match(mixed, { agents: 2, pace: { rate: 460 } }, 'one with another syncid does not count')
  const plan = {
    totals: { messages: 1, bytes: 44 },
    counts: { connections: 1, templates: 0, ipv6: 0, refused: 0 },
    times: 1,
    report: { expired: 0, facts: [] },
    rate: undefined,
    maxLength: 1472
  }
  const paceLine = (agents: number, pace = large!.pace) =>
    describePlan({ ...plan, agents, pace } as unknown as ResyncPlan).at(-1)
  t.match(paceLine(2), /4000 messages a second, which the receive buffers of 2 agents can take/)
  t.match(paceLine(0, paceFor(1472)), /no agent answered; 460 messages a second/)
})
