// `ipvs-sync master` and its sources, run in this process over the loopback interface.
import { createSocket, type Socket } from 'node:dgram'
import { mkdtempSync, renameSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import t from 'tap'
import { DemoTraffic } from '../../src/cli/master/demo-traffic.js'
import { pause, whenThereIsRoom } from '../../src/cli/master/flow.js'
import { followKernel, type KernelSourceOptions } from '../../src/cli/master/kernel-source.js'
import { followLines } from '../../src/cli/master/line-source.js'
import { run } from '../../src/cli/run.js'
import { SyncMaster } from '../../src/daemon/master/sync-master.js'
import { MemoryNetwork } from '../../src/transport/memory.js'
import type { Connection } from '../../src/wire/connection.js'
import { tcpConnection } from '../fixtures/support/connections.js'
import { freePorts } from '../fixtures/support/loopback.js'
import { testIo, type TestIo } from '../fixtures/support/test-io.js'

/** A socket that counts the connections of the version 1 messages that it hears. */
async function listen(): Promise<{ port: number; heard: Uint8Array[]; close: () => void }> {
  const socket: Socket = createSocket('udp4')
  const heard: Uint8Array[] = []
  socket.on('message', (bytes) => heard.push(bytes))
  const port = await freePorts(1)
  await new Promise<void>((resolve) => socket.bind(port, '127.0.0.1', resolve))
  return { port, heard, close: () => socket.close() }
}

async function until(claim: () => boolean): Promise<void> {
  while (!claim()) await new Promise((resolve) => setTimeout(resolve, 5))
}

function connectionsIn(messages: readonly Uint8Array[]): number {
  return messages.reduce((sum, bytes) => sum + bytes[4]!, 0)
}

function jsonLines(values: readonly unknown[]): string {
  return values.map((value) => `${JSON.stringify(value)}\n`).join('')
}

async function runMaster(stdin: string, ...argv: string[]): Promise<{ code: number; io: TestIo }> {
  const io = testIo({ stdin })
  return { code: await run(['master', ...argv], io), io }
}

t.test('standard input: each line is a packet, the rules decide, and the end sends what is held', async (t) => {
  const { port, heard, close } = await listen()
  const lines = Array.from({ length: 200 }, (_, i) =>
    tcpConnection(i, { packets: i % 2 === 0 ? 3 : 2, state: 'SYN_RECV' })
  )
  const stdin = jsonLines(lines.map((line) => ({ ...line, state: 'ESTABLISHED' })))
  const { code, io } = await runMaster(stdin, '--peer', `127.0.0.1:${port}`, '--syncid', '9')
  t.equal(code, 0)
  await until(() => connectionsIn(heard) === 100)
  t.strictSame([heard[0]![1], heard[0]![5]], [9, 1])
  t.match(io.errors(), /sending to 127\.0\.0\.1:\d+\n/)
  t.match(io.errors(), /: sent 100 records in 3 messages; 100 not due, 0 dropped\n$/)
  close()
})

t.test('a message that no peer took is not sent: exit code 3', async (t) => {
  const { port, close } = await listen()
  const stdin = jsonLines([tcpConnection(1, { packets: 3 }), tcpConnection(2, { packets: 3 })])
  const closed = `127.0.0.1:${await freePorts(1)}`
  const { code, io } = await runMaster(stdin, '--peer', closed)
  t.equal(code, 3)
  t.match(io.errors(), /ECONNREFUSED.*\[ERR_TRANSPORT\]\n/)
  t.notMatch(io.errors(), /multicast/)
  t.match(io.errors(), /: sent 0 records in 0 messages; .*; not sent: 1 message with 2 records, which no peer took\n$/)
  const half = await runMaster(stdin, '--peer', closed, '--peer', `127.0.0.1:${port}`)
  t.strictSame(
    [half.code, half.io.errors().includes('sent 2 records in 1 message')],
    [0, true],
    'the other peer took it'
  )
  const stopped = testIo({})
  const running = run(['master', '--source', 'demo', '--rate', '1000', '--peer', closed, '--http', '0'], stopped)
  await until(() => stopped.errors().includes('ECONNREFUSED'))
  const url = /HTTP at (\S+)/.exec(stopped.errors())![1]!
  const metrics = await (await fetch(`${url}/metrics`)).text()
  t.match(metrics, new RegExp(`ipvs_sync_send_errors_total\\{peer="${closed}"\\} [1-9]`))
  t.match(metrics, /ipvs_sync_messages_undelivered_total\{channel="0"\} [1-9]/)
  t.match(metrics, /ipvs_sync_messages_sent_total\{channel="0"\} 0/)
  t.equal((await fetch(`${url}/readyz`)).status, 503)
  stopped.abort()
  t.equal(await running, 3, 'stopped by a signal: 3 if no message was sent')
  close()
})

t.test('a line that is wrong is reported with its number, and the rest continues', async (t) => {
  const { port, heard, close } = await listen()
  const good = JSON.stringify(tcpConnection(1, { packets: 3 }))
  const wrong = [
    '{"family":"ipv4"}',
    '',
    'not json',
    '7',
    'null',
    good.replace('10.1.0.0', '10.1.0'),
    'x'.repeat(70_000)
  ]
  const stdin = [...wrong, good].join('\n')
  const { code, io } = await runMaster(stdin, '--peer', `127.0.0.1:${port}`)
  t.equal(code, 1)
  const told = [...io.errors().matchAll(/standard input, line (\d): (.*)/g)].map(([, line, text]) => [line, text])
  t.strictSame(
    told.map(([line]) => line),
    ['1', '3', '4', '5', '6', '7']
  )
  t.match(told[1]![1], /^not JSON/)
  t.match(told[2]![1], /a JSON object/)
  t.match(told[5]![1], /longer than 65536 bytes/)
  await until(() => connectionsIn(heard) === 1)
  close()
})

t.test('--strict ends at the first wrong line with 2, after sending what came before', async (t) => {
  const { port, heard, close } = await listen()
  const stdin = `${jsonLines([tcpConnection(1, { packets: 3 })])}{}\n${jsonLines([tcpConnection(2, { packets: 3 })])}`
  const { code, io } = await runMaster(stdin, '--peer', `127.0.0.1:${port}`, '--strict')
  t.equal(code, 2)
  t.match(io.errors(), /ipvs-sync: standard input, line 2: /)
  await until(() => connectionsIn(heard) === 1)
  close()
})

t.test('told to end while it waits for input, it sends what it holds and exits with 0', async (t) => {
  const { port, heard, close } = await listen()
  const io = testIo()
  const stdin = new PassThrough()
  stdin.write(jsonLines([tcpConnection(1, { packets: 3 })]))
  const code = run(['master', '--peer', `127.0.0.1:${port}`], { ...io, signal: io.signal, stdin })
  await until(() => io.errors().includes('sending to'))
  await new Promise((resolve) => setTimeout(resolve, 50))
  io.reload()
  await until(() => io.errors().includes('settings reloaded'))
  io.abort()
  t.equal(await code, 0)
  await until(() => connectionsIn(heard) === 1)
  close()
})

t.test('made-up traffic continues until it is ended', async (t) => {
  const { port, heard, close } = await listen()
  const io = testIo()
  const argv = ['master', '--source', 'demo', '--rate', '2000', '--peer', `127.0.0.1:${port}`, '--sync-maxlen', '400']
  const code = run(argv, io)
  await until(() => heard.length > 3)
  io.abort()
  t.equal(await code, 0)
  t.ok(connectionsIn(heard) > 10)
  close()
})

t.test('made-up traffic is the same for the same seed, and a master understands all of it', async (t) => {
  const [one, other] = [new DemoTraffic(4), new DemoTraffic(4)]
  const master = new SyncMaster({ transport: new MemoryNetwork().open('10.0.0.1') })
  const seen = { ipv6: 0, udp: 0, template: 0, controlled: 0, closed: 0 }
  for (let now = 1; now < 60_000; now += 100) {
    const changes = one.step(now, now < 30_000 ? 2 : 0)
    t.strictSame(changes, other.step(now, now < 30_000 ? 2 : 0))
    for (const change of changes) {
      master.handleConnection(change)
      if (change.family === 'ipv6') seen.ipv6++
      if (change.protocol === 'UDP') seen.udp++
      if (change.flags.includes('TEMPLATE')) seen.template++
      if (change.controlledBy) seen.controlled++
      if (change.state === 'TIME_WAIT') seen.closed++
    }
  }
  t.notOk(Object.values(seen).includes(0), JSON.stringify(seen))
  t.strictSame(one.step(60_000, 0), [], 'everybody is gone at last')
  const { answers } = master.counters()
  t.ok(answers['packet-count'] > 500 && answers['state-changed'] > 300 && answers.template > 40)
})

t.test('what cannot be sent or read exits as it should', async (t) => {
  const cases: readonly [string[], number, RegExp][] = [
    [[], 2, /--mcast-interface/],
    [['--peer', '127.0.0.1', '--source', 'nowhere'], 2, /stdin, kernel, demo/],
    [['--peer', '127.0.0.1', '--interval', '1'], 2, /--interval/],
    [['--mcast-interface', 'none0'], 3, /there is no interface/]
  ]
  for (const [argv, code, message] of cases) {
    const { code: found, io } = await runMaster('', ...argv)
    t.equal(found, code, argv.join(' '))
    t.match(io.errors(), message)
  }
  const ended = testIo()
  ended.abort()
  for (const source of ['kernel', 'demo', 'stdin']) {
    t.equal(
      await run(['master', '--source', source, '--peer', '127.0.0.1:9'], ended),
      0,
      `${source}, told to end before`
    )
  }
})

t.test(
  'an input that fails is an I/O error, what is no text a wrong line; a mistake of ours is not hidden',
  async (t) => {
    const { signal } = new AbortController()
    const tell = (): void => undefined
    const options = { strict: false, signal, tell }
    const master = { pressure: 0, handleConnection: () => undefined }
    const failing = new Readable({ read: () => undefined })
    const reading = followLines(failing, master, options)
    failing.destroy(new Error('the disk is gone'))
    await t.rejects(reading, { code: 'ERR_IO', message: /the disk is gone/ })
    const noText = (): Readable => Readable.from([Buffer.alloc(100_000, 'x'), Buffer.alloc(100_000, 'x')])
    await followLines(noText(), master, options)
    await t.rejects(followLines(noText(), master, { ...options, strict: true }), {
      code: 'ERR_USAGE',
      message: 'standard input, line 1: line longer than 65536 bytes: not a connection'
    })
    const broken = {
      pressure: 0,
      handleConnection: () => {
        throw new TypeError('ours')
      }
    }
    await t.rejects(followLines(Readable.from([Buffer.from('{}\n')]), broken, options), { message: 'ours' })
  }
)

t.test('a source waits for room, and not past the end', async (t) => {
  const hands = new AbortController()
  let pressure = 0.9
  let through = false
  const waiting = whenThereIsRoom(
    {
      get pressure() {
        return pressure
      }
    },
    hands.signal
  ).then(() => (through = true))
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.equal(through, false)
  pressure = 0.2
  await waiting
  pressure = 0.9
  const aborted = whenThereIsRoom({ pressure }, hands.signal)
  hands.abort()
  await aborted
  await pause(1e6, hands.signal)
})

const HEADER = 'Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData'
const line = (port: number, state: string): string =>
  `TCP 0A010002 ${port.toString(16).toUpperCase().padStart(4, '0')} 0A010001 0050 0A020002 0050 ${state.padEnd(11)}     114`

/** A kernel's files, and what a master is asked to announce of them. */
function kernel() {
  const folder = mkdtempSync(join(tmpdir(), 'ipvs-sync-'))
  const files = { connections: join(folder, 'ip_vs_conn'), services: join(folder, 'ip_vs') }
  // A look must never see half of a table.
  const put = (text: string): void => {
    writeFileSync(`${files.connections}.new`, text)
    renameSync(`${files.connections}.new`, files.connections)
  }
  const show = (...lines: string[]): void => put([HEADER, ...lines, ''].join('\n'))
  const announced: string[] = []
  const told: string[] = []
  const hands = new AbortController()
  let now = 1
  const options: KernelSourceOptions = {
    interval: 10,
    signal: hands.signal,
    tell: (text) => told.push(text),
    refreshPeriod: () => 0,
    now: () => (now += 1),
    files
  }
  const master = {
    pressure: 0,
    announce: ({ client, state }: Connection) => announced.push(`${client.port} ${state}`) > 0
  }
  return { put, show, announced, told, hands, options, master }
}

t.test('the kernel is followed: what is new and what changed is announced, what is assumed is said once', async (t) => {
  const { show, announced, told, hands, options, master } = kernel()
  show(line(1, 'ESTABLISHED'), line(2, 'SYN_RECV'), 'rubbish')
  const following = followKernel(master, options)
  await until(() => announced.length === 1)
  show(line(1, 'FIN_WAIT'), line(2, 'ESTABLISHED'), line(3, 'ESTABLISHED'))
  await until(() => announced.length === 4)
  hands.abort()
  await following
  t.strictSame(announced, ['1 ESTABLISHED', '1 FIN_WAIT', '2 ESTABLISHED', '3 ESTABLISHED'])
  t.strictSame(told.slice().sort(), [
    '1 unreadable line omitted: line 4 "rubbish"',
    '2 connections to a real server of no known service: forwarding method MASQ assumed'
  ])
})

t.test('a large table is announced in pieces, and a look is given up when it is ended', async (t) => {
  const { show, announced, hands, options, master } = kernel()
  show(...Array.from({ length: 2000 }, (_, i) => line(i + 1, 'ESTABLISHED')))
  const following = followKernel(master, options)
  await until(() => announced.length >= 510)
  hands.abort()
  await following
  t.equal(announced.length, 510)
})

t.test('no kernel table at the start is an error; later it is reported, and the kernel may come back', async (t) => {
  const missing = kernel()
  await t.rejects(followKernel(missing.master, missing.options), { code: 'ERR_NO_IPVS' })

  const { put, show, announced, told, hands, options, master } = kernel()
  show(line(1, 'ESTABLISHED'))
  const following = followKernel(master, options)
  await until(() => announced.length === 1)
  put('this is no table\n')
  await until(() => told.some((text) => !text.includes('assumed')))
  show(line(2, 'ESTABLISHED'))
  await until(() => announced.length === 2)
  hands.abort()
  await following

  const mistaken = kernel()
  mistaken.show(line(1, 'ESTABLISHED'))
  const broken = {
    pressure: 0,
    announce: () => {
      throw new TypeError('ours')
    }
  }
  await t.rejects(followKernel(broken, mistaken.options), { message: 'ours' })
})

t.test('--source kernel says so where the kernel has no IPVS, and follows it where it has', async (t) => {
  const io = testIo()
  setTimeout(io.abort, 500)
  const code = await run(['master', '--source', 'kernel', '--peer', `127.0.0.1:${await freePorts(1)}`], io)
  if (code === 0) t.match(io.errors(), /connections in \d+ messages/)
  else t.strictSame([code, io.errors().includes('ip_vs')], [3, true], io.errors())
})

t.test('made-up traffic leaves by the loopback only, unless forced', async (t) => {
  for (const where of [
    ['--mcast-interface', 'eth1'],
    ['--peer', '192.0.2.1']
  ]) {
    const { code, io } = await runMaster('', '--source', 'demo', ...where)
    t.equal(code, 2)
    t.match(io.errors(), /--source demo: expected --mcast-interface lo or a loopback --peer, got (eth1|192)/)
  }
  const { code } = await runMaster('', '--source', 'demo', '--mcast-interface', 'none0', '--force')
  t.equal(code, 3, 'forced, the interface is what is missing')
})
