// `ipvs-sync backup`, run in this process over the loopback interface.
import { createSocket } from 'node:dgram'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import type { Worker } from 'node:worker_threads'
import t from 'tap'
import { summaryOf, LineWriter } from '../../src/cli/backup/command.js'
import { LINES_A_MINUTE, Reporter } from '../../src/cli/reporter.js'
import { run } from '../../src/cli/run.js'
import { freePorts } from '../fixtures/support/loopback.js'
import { testIo, type TestIo } from '../fixtures/support/test-io.js'

// One version 1 message by hand (docs/protocol.md section 4): syncid 5, TCP 10.1.0.2:5000 -> 10.2.0.1:80 at
// 10.3.0.1:8080, MASQ, CLOSE, 1 s.
const MESSAGE =
  '0005002c01010000' + '000600240000000000061388' + '00501f900000000000000001' + '0a0100020a0200010a030001'

/** Waits until a command has said something. */
async function said(io: TestIo, pattern: RegExp): Promise<RegExpExecArray> {
  for (;;) {
    const found = pattern.exec(io.errors())
    if (found) return found
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

async function startBackup(...more: string[]) {
  const port = await freePorts(1)
  const io = testIo({ env: { NOTIFY_SOCKET: '/nowhere/notify' } })
  const code = run(['backup', '--peer', `127.0.0.1:${port}`, ...more], io)
  await said(io, /listening on 127/)
  const socket = createSocket('udp4')
  const send = async (hex: string): Promise<void> =>
    new Promise((resolve) => socket.send(Buffer.from(hex, 'hex'), port, '127.0.0.1', () => resolve()))
  const end = async (): Promise<number> => {
    socket.close()
    io.abort()
    return code
  }
  return { io, send, end, code, port }
}

/** Waits until standard output has so many lines. */
async function linesOf(io: TestIo, count: number): Promise<string[]> {
  for (;;) {
    const lines = io.output().split('\n').slice(0, -1)
    if (lines.length >= count) return lines
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

t.test('each change of a connection is a line of JSON with what changed', async (t) => {
  const { io, send, end } = await startBackup('--format', 'json', '--syncid', '5')
  await send(MESSAGE)
  await send(MESSAGE)
  const lines = (await linesOf(io, 3)).map((line) => JSON.parse(line) as unknown)
  t.match(lines, [{ change: 'created' }, { change: 'updated' }, { change: 'expired' }])
  t.match(lines[0], {
    family: 'ipv4',
    protocol: 'TCP',
    client: { address: '10.1.0.2', port: 5000 },
    state: 'CLOSE',
    flags: ['SYNC'],
    timeout: 1,
    origin: 'SYNC',
    expires: 1,
    syncid: 5
  })
  t.equal(await end(), 0)
  t.match(io.errors(), /2 messages, 0 dropped; 2 records applied, 0 skipped; 0 connections in the table\n$/)
})

t.test('what is wrong with messages is said, and the rest continues; others are not accepted', async (t) => {
  const { io, send, end } = await startBackup('--accept', '10.0.0.0/8', '--accept', '127.0.0.1')
  await send('00')
  await said(io, /127\.0\.0\.1: SHORT_MESSAGE, drop: /)
  t.equal(await end(), 0)
  t.match(io.errors(), /1 message, 1 dropped/)
  t.equal(io.output(), '')

  const strangers = await startBackup('--accept', '10.0.0.0/8')
  await strangers.send(MESSAGE)
  await new Promise((resolve) => setTimeout(resolve, 50))
  await strangers.end()
  t.match(strangers.io.errors(), /1 dropped; 0 records applied/)
})

t.test('HTTP shows metrics, the table, as JSON and as the kernel prints it, and health', async (t) => {
  const { io, send, end } = await startBackup('--http', '0')
  const [, url] = await said(io, /HTTP at (http:\/\/127\.0\.0\.1:\d+)\n/)
  t.equal((await fetch(`${url}/readyz`)).status, 503, 'nothing was received yet')
  await send(MESSAGE.replace('00000001' + '0a01', '00000384' + '0a01'))
  const get = async (path: string): Promise<string> => (await fetch(`${url}${path}`)).text()
  while ((await get('/connections')) === '') await new Promise((resolve) => setTimeout(resolve, 5))
  t.match(await get('/connections'), /^\{"family":"ipv4",.*"origin":"SYNC","expires":\d+,"syncid":5\}\n$/)
  t.match(
    await get('/connections?format=proc'),
    /^Pro FromIP .* Expires\nTCP 0A010002 1388 0A020001 0050 0A030001 1F90 CLOSE {7}SYNC {7}\d+\n$/
  )
  t.match(await get('/metrics'), /^ipvs_sync_connections_applied_total 1$/m)
  t.match(await get('/readyz'), 'ready\n')
  t.equal(await end(), 0)
  await t.rejects(get('/healthz'))
})

t.test('SIGHUP reads the settings again; what cannot be read changes nothing', async (t) => {
  const file = join(mkdtempSync(join(tmpdir(), 'ipvs-sync-')), 'sysctl.conf')
  writeFileSync(file, 'net.ipv4.vs.sync_threshold = 3 50\n')
  const { io, end } = await startBackup('--sysctl-from', file)
  writeFileSync(file, 'sync_threshold = 0 20\n')
  io.reload()
  await said(io, /settings reloaded/)
  t.notMatch(io.errors(), /at the start only/)
  writeFileSync(file, 'sync_sock_size = 65536\n')
  io.reload()
  await said(io, /sync_sock_size is read at the start only: still 0, 65536 after a restart/)
  writeFileSync(file, 'sync_ports = 2\n')
  io.reload()
  await said(io, /sync_ports is read at the start only: still 1, 2 after a restart/)
  writeFileSync(file, 'sync_threshold = 5 3\n')
  io.reload()
  await said(io, /reload failed, keeping the current settings: .*line 1: sync_threshold/)
  writeFileSync(file, 'net.ipv4.vs.not_known_yet = 1\n')
  io.reload()
  await said(io, /sysctl\.conf: line 1: ignored: /)
  t.equal(await end(), 0)
})

t.test('wrong options exit with 2, what the network refuses with 3', async (t) => {
  const port = await freePorts(1)
  const taken = createSocket('udp4')
  await new Promise<void>((resolve) => taken.bind(port, '127.0.0.1', resolve))
  const cases: readonly [string[], number, RegExp][] = [
    [[], 2, /--mcast-interface/],
    [['--peer', '127.0.0.1', '--accept', 'everybody'], 2, /--accept: .*"everybody"/],
    [['--peer', '127.0.0.1', '--http', 'here'], 2, /--http/],
    [['--peer', '127.0.0.1', '--max-connections', '0'], 2, /--max-connections/],
    [['--peer', '127.0.0.1', '--sysctl', 'sync_ports=3'], 2, /sync_ports/],
    [['--peer', '127.0.0.1', '--format', 'xml'], 2, /json/],
    [['--peer', '127.0.0.1', '--workers', '65'], 2, /--workers: expected an integer 0…64, got "65"/],
    [['--peer', '127.0.0.1', '--workers', '2'], 2, /workers is 2 and sync_ports 1: /],
    [['--mcast-interface', 'none0'], 3, /there is no interface "none0"/],
    [['--peer', `127.0.0.1:${port}`], 3, /in use|taken/]
  ]
  for (const [argv, code, message] of cases) {
    const io = testIo()
    t.equal(await run(['backup', ...argv], io), code, argv.join(' '))
    t.match(io.errors(), message)
  }
  await new Promise<void>((resolve) => taken.close(() => resolve()))
})

t.test('channels on worker threads; one that breaks down ends the command with 3', async (t) => {
  const port = await freePorts(2)
  const threads: Worker[] = []
  const note = (thread: Worker): void => void threads.push(thread)
  process.on('worker', note)
  const io = testIo()
  const code = run(['backup', '--peer', `127.0.0.1:${port}`, '--workers', '2', '--sysctl', 'sync_ports=2'], io)
  await said(io, /listening on 127\.0\.0\.1:\d+-\d+ with 2 workers\n/)
  process.off('worker', note)
  await threads[0]!.terminate()
  t.equal(await code, 3)
  t.match(io.errors(), /backup: worker 0 .*\[ERR_WORKER\]\n.*0 messages, 0 dropped/)
})

t.test('told to end before it began, it ends', async (t) => {
  const port = await freePorts(1)
  const io = testIo()
  io.abort()
  t.equal(await run(['backup', '--peer', `127.0.0.1:${port}`], io), 0)
})

t.test('a reader who does not keep up costs lines, not memory, and is shown how many', async (t) => {
  const stuck = new Writable({ write: () => undefined })
  const lines = new LineWriter(stuck, 100)
  for (let i = 0; i < 100; i++) lines.write('123456789')
  t.strictSame([lines.lost, stuck.writableLength], [90, 100])

  const port = await freePorts(1)
  const io = testIo()
  const stdout = new Writable({ highWaterMark: 1, write: () => undefined })
  stdout.write('x'.repeat(17 * 1024 * 1024))
  const code = run(['backup', '--peer', `127.0.0.1:${port}`, '--format', 'json'], { ...io, signal: io.signal, stdout })
  await said(io, /listening on/)
  const socket = createSocket('udp4')
  socket.send(Buffer.from(MESSAGE, 'hex'), port, '127.0.0.1')
  await new Promise((resolve) => setTimeout(resolve, 100))
  socket.close()
  io.abort()
  t.equal(await code, 0)
  t.match(io.errors(), /1 line lost: standard output could not take them/)
})

t.test('a full disk below standard output costs lines, not the backup; another command ends with 3', async (t) => {
  const port = await freePorts(1)
  const io = testIo()
  const fault = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
  const full = (): Writable => new Writable({ autoDestroy: false, write: (_chunk, _encoding, done) => done(fault) })
  const code = run(['backup', '--peer', `127.0.0.1:${port}`, '--format', 'json'], {
    ...io,
    signal: io.signal,
    stdout: full()
  })
  await said(io, /listening on/)
  const socket = createSocket('udp4')
  for (let i = 0; i < 3; i++) socket.send(Buffer.from(MESSAGE, 'hex'), port, '127.0.0.1')
  await said(io, /ERR_IO|standard output: ENOSPC/)
  socket.close()
  io.abort()
  t.equal(await code, 0)
  t.equal(io.errors().match(/standard output: ENOSPC/g)?.length, 1, 'reported once')
  t.match(io.errors(), /lost: standard output could not take them/)
  const other = testIo()
  t.equal(await run(['sysctl'], { ...other, signal: other.signal, stdout: full() }), 3)
})

t.test('one text is written once a minute, and its repeats are counted', async (t) => {
  const { reporter: one, lines } = reporter()
  for (let i = 0; i < 5; i++) one.reportOnce('ERR_TRANSPORT', 'no route', 1)
  one.reportOnce('ERR_TRANSPORT', 'no buffers', 2)
  t.strictSame(lines, ['x: no route\n', 'x: no buffers\n'])
  one.reportOnce('ERR_TRANSPORT', 'no route', 60_002)
  t.strictSame(lines.slice(2), ['x: ERR_TRANSPORT: 4 more in the last minute\n', 'x: no route\n'])
})

function reporter(stamped = false): { reporter: Reporter; lines: string[] } {
  const lines: string[] = []
  const options = { write: (line: string) => void lines.push(line), name: 'x', stamped, wallClock: () => 0 }
  return { reporter: new Reporter(options), lines }
}

t.test('each code has a budget a minute; the rest is counted, reported and forgotten', async (t) => {
  const { reporter: one, lines } = reporter()
  for (let i = 0; i < 100_000; i++)
    one.report('SIZE_MISMATCH', `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, 1000 + i / 100)
  t.equal(lines.length, LINES_A_MINUTE)
  one.report('TABLE_FULL', 'full', 1500)
  t.equal(lines.length, LINES_A_MINUTE + 1, 'another code has its own budget')
  one.handleTimeout(61_000)
  t.equal(lines.at(-1), `x: SIZE_MISMATCH: ${100_000 - LINES_A_MINUTE} more in the last minute\n`)
  one.report('SIZE_MISMATCH', 'again', 61_001)
  t.equal(lines.at(-1), 'x: again\n', 'nobody is muted for ever')
})

t.test('codes without end share one budget', async (t) => {
  const { reporter: one, lines } = reporter()
  for (let i = 0; i < 10_000; i++) one.report(`CODE_${i}`, 'text', 1)
  t.equal(lines.length, 256 + LINES_A_MINUTE)
  one.flush()
  t.match(lines.at(-1), /^x: OTHER: \d+ more/)
})

t.test('lines have a time stamp where no journal adds one, no control characters, and an end', async (t) => {
  const { reporter: one, lines } = reporter(true)
  one.line('a\u001b[2J\u009b31m\nb\u2028c\u202e')
  t.strictSame(lines, ['1970-01-01T00:00:00Z x: a\\u001b[2J\\u009b31m\\u000ab\\u2028c\\u202e\n'])
  one.line('y'.repeat(10_000))
  t.ok(lines[1]!.length < 2100)
  const io = testIo({ env: { JOURNAL_STREAM: '8:1' } })
  t.equal(await run(['backup', '--peer', '127.0.0.1', '--workers', '9'], io), 2)
  const journal = testIo({ env: { JOURNAL_STREAM: '8:1' } })
  journal.abort()
  t.equal(await run(['backup', '--peer', `127.0.0.1:${await freePorts(1)}`], journal), 0)
  t.match(journal.errors(), /^ipvs-sync backup: listening on/)
})

t.test('the figures of the run are a line every --log-interval seconds', async (t) => {
  const { io, end } = await startBackup('--log-interval', '1')
  await said(io, /0 messages, 0 dropped/)
  t.equal(await end(), 0)
  const quiet = await startBackup('--log-interval', '0')
  t.equal(await quiet.end(), 0)
  t.equal(quiet.io.errors().match(/0 messages, 0 dropped/g)?.length, 1, 'only the summary at the end')
})

t.test('the summary says what a full receive buffer cost, where the system tells', async (t) => {
  let eventsLost = 0
  const counters = () => ({
    received: [[1, 2] as const],
    dropped: { SIZE_MISMATCH: 4 },
    skipped: {},
    applied: 5,
    eventsLost
  })
  const of = (drops: number | undefined): string => summaryOf({ size: 6, counters, receiveDrops: () => drops })
  t.equal(of(undefined), '3 messages, 4 dropped; 5 records applied, 0 skipped; 6 connections in the table')
  t.match(of(7), /6 connections in the table; 7 messages lost to a full receive buffer$/)
  eventsLost = 1
  t.match(of(0), /6 connections in the table; 1 event lost: listeners are slower than the workers$/)
})
