// The screen of `watch`: model and drawing in virtual time, keys, and each of its three sources.
import { createSocket } from 'node:dgram'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import t from 'tap'
import { thisHost, type Host } from '../../src/cli/doctor/host.js'
import { run } from '../../src/cli/run.js'
import { configure, execute } from '../../src/cli/watch/command.js'
import { WatchModel, type WatchSnapshot } from '../../src/cli/watch/model.js'
import { settled } from '../fixtures/support/fake-network.js'
import { drawWatch, pressKey, SORTS, sparkline, watchLine, type WatchView } from '../../src/cli/watch/command.js'
import { watchGroup, watchHttp } from '../../src/cli/watch/model.js'
import type { Connection } from '../../src/wire/connection.js'
import { encodeMessage } from '../../src/wire/encode-message.js'
import { Command } from 'commander'
import { testIo } from '../fixtures/support/test-io.js'

const CAPTURE = join(import.meta.dirname, '../fixtures/captures/tcp4-nat/sync.pcap')
const VIEW: WatchView = { sort: 'messages', filter: '', isTyping: false, isPaused: false }

const web = (port: number, state = 'ESTABLISHED'): Connection => ({
  family: 'ipv4',
  protocol: 'TCP',
  client: { address: '10.1.0.2', port },
  virtual: { address: '10.1.0.1', port: 80 },
  destination: { address: '10.2.0.2', port: 80 },
  forwarding: 'MASQ',
  flags: [],
  state,
  fwmark: 0,
  timeout: 10
})

function feed(
  model: WatchModel,
  now: number,
  connections: readonly Connection[],
  address = '10.9.0.1',
  port = 8848
): void {
  const payload = encodeMessage({ version: 1, syncid: 5, connections })
  model.observe({ payload, size: payload.length, address, port, fragments: 1 }, now)
}

t.test('the model counts, keeps changes, and forgets expired connections', async (t) => {
  const model = new WatchModel('test', 5)
  for (let second = 0; second < 10; second++) feed(model, 1000 * second + 1, [web(1), web(2)])
  feed(model, 10_001, [web(1, 'FIN_WAIT')], '10.9.0.3', 8849)
  feed(model, 10_002, [web(1, 'FIN_WAIT')], '10.9.0.3', 8848)
  model.observe({ payload: new Uint8Array(2), size: 2, address: '10.9.0.4', port: 8848, fragments: 1 }, 10_003)
  const now = model.snapshot(10_500)
  t.match(now.senders[0], { address: '10.9.0.1', messages: 10, rate: 1, ports: '8848', connections: 20 })
  t.match(now.senders[1], { ports: '8848-8849' })
  t.strictSame(
    now.table.map(({ state, connections }) => [state, connections]),
    [
      ['ESTABLISHED', 1],
      ['FIN_WAIT', 1]
    ]
  )
  t.match(now.changes[0], /^state TCP 10\.1\.0\.2:1 .* FIN_WAIT$/)
  t.equal(now.history.length, 60)
  t.equal(now.history.at(-1), 1)
  const later = model.snapshot(200_000)
  t.strictSame(later.table, [])
  t.ok(later.problems.some((text) => text.includes('silent for')))
  t.ok(later.problems.some((text) => text.includes('not of this protocol')))
  for (let port = 1; port < 300; port++) feed(model, 200_001, [web(port, port % 2 === 0 ? 'ESTABLISHED' : 'CLOSE')])
  t.equal(model.snapshot(200_002).changes.length, 100)
  for (let i = 0; i < 300; i++) feed(model, 200_003, [], `10.8.${i >> 8}.${i & 255}`)
})

t.test('the model forgets the oldest connections beyond its limit', async (t) => {
  const model = new WatchModel('test', 5)
  for (let port = 0; port < 21_000; port += 30)
    feed(
      model,
      port * 10,
      Array.from({ length: 30 }, (_, index) => ({ ...web(1 + port + index), timeout: 1_000_000 }))
    )
  t.equal(model.snapshot(210_000).table[0]!.connections, 20_000)
})

const SNAPSHOT: WatchSnapshot = {
  source: 'group\u001b[2J',
  senders: [
    {
      address: '10.9.0.1',
      syncid: 5,
      versions: '1',
      ports: '8848',
      messages: 9,
      rate: 1,
      connections: 3,
      age: 2,
      lost: undefined
    },
    {
      address: '10.9.0.2',
      syncid: 5,
      versions: '1',
      ports: '8848',
      messages: 5,
      rate: 4,
      connections: 3,
      age: 1,
      lost: 7
    }
  ],
  table: [{ protocol: 'TCP', state: 'ESTABLISHED', connections: 120 }],
  changes: Array.from({ length: 50 }, (_, index) => `new TCP ${index}`),
  problems: ['10.9.0.1: SIZE_MISMATCH 3'],
  history: [0, 1, 8]
}

t.test('the screen fits every size, and remote text cannot move the cursor', async (t) => {
  for (const [columns, rows] of [
    [80, 24],
    [40, 10],
    [200, 60],
    [20, 3],
    [1, 1]
  ] as const) {
    const lines = drawWatch(SNAPSHOT, VIEW, { columns, rows }, false)
    t.equal(lines.length, rows, `${columns}x${rows}`)
    t.ok(
      lines.every((line) => line.length <= columns),
      `${columns}x${rows}`
    )
    t.notMatch(lines.join('\n'), '\u001b')
  }
  const text = drawWatch(SNAPSHOT, VIEW, { columns: 80, rows: 24 }, true).join('\n')
  t.match(text, '10.9.0.2')
  t.match(text, 'SIZE_MISMATCH')
  const empty = { ...SNAPSHOT, senders: [], table: [], changes: [], problems: [] }
  t.match(
    drawWatch(empty, { ...VIEW, isPaused: true, filter: 'x' }, { columns: 80, rows: 24 }, false).join('\n'),
    /PAUSED[\s\S]*nothing received yet[\s\S]*no problem[\s\S]*continue.*filter: x/
  )
  t.match(
    drawWatch(SNAPSHOT, { ...VIEW, filter: '0.2', isTyping: true }, { columns: 80, rows: 24 }, false).join('\n'),
    /filter: 0\.2_/
  )
  t.equal(sparkline([0, 1, 8]), ' ▁█')
  for (const [columns, titles] of [
    [80, 'SENDER SYNCID VER PORTS MESSAGES MSG/S RECORDS AGE LOST'],
    [70, 'SENDER SYNCID PORTS MESSAGES MSG/S AGE LOST'],
    [50, 'SENDER SYNCID MSG/S AGE LOST'],
    [36, 'SENDER MSG/S AGE']
  ] as const) {
    const line = drawWatch(SNAPSHOT, VIEW, { columns, rows: 24 }, false)[2]!
    t.equal(line.trim().replaceAll(/ +/g, ' '), titles, `${columns} columns`)
  }
  for (const sort of SORTS) {
    const first = drawWatch(SNAPSHOT, { ...VIEW, sort }, { columns: 80, rows: 24 }, false)[3]
    t.match(first, sort === 'rate' || sort === 'age' ? '10.9.0.2' : '10.9.0.1', sort)
  }
  t.match(
    watchLine(SNAPSHOT, '12:00:00'),
    /^12:00:00 {2}10\.9\.0\.1 syncid 5 1\.0 msg\/s age 2\.0 s, .*table 120; 10\.9\.0\.1: SIZE/
  )
  t.match(watchLine(empty, '12:00:00'), /nothing received; table 0; no problem/)
})

t.test('keys', async (t) => {
  const press = (keys: readonly string[], from: WatchView = VIEW): WatchView | 'quit' =>
    keys.reduce<WatchView | 'quit'>((view, key) => (view === 'quit' ? view : pressKey(view, key)), from)
  t.equal(press(['q']), 'quit')
  t.equal(press(['/', '\u0003']), 'quit')
  t.match(press(['p']), { isPaused: true })
  t.match(press(['s']), { sort: 'rate' })
  t.match(press(['s', 's', 's', 's', 'x']), VIEW)
  t.match(press(['/', 'q', 'b', '\u007f', '\r']), { filter: 'q', isTyping: false })
  t.match(press(['/', 'q', '\u0001', '\u001b']), { filter: '', isTyping: false })
})

t.test('a capture is replayed as lines', async (t) => {
  const io = testIo()
  t.equal(await run(['watch', '--capture', CAPTURE, '--speed', '0'], io), 0)
  t.match(io.output(), /syncid \d+ .*msg\/s.*; table \d+;/)
  const slow = testIo({ stdin: await readFile(CAPTURE) })
  t.equal(await run(['watch', '--capture', '-', '--speed', '1000000', '--seconds', '86400'], slow), 0)
  const usage = testIo()
  t.equal(await run(['watch'], usage), 2)
  t.match(usage.errors(), '--mcast-interface')
  const wrong = testIo()
  t.equal(await run(['watch', '--mcast-interface', 'eth77'], wrong), 3)
  t.match(wrong.errors(), 'eth77')
  const six = testIo()
  t.equal(await run(['watch', '--mcast-interface', 'eth77', '--mcast-group', 'ff02::81'], six), 3)
  t.match(six.errors(), 'IPv6')
})

async function onTerminal(argv: readonly string[], keys: readonly string[], host?: Host): Promise<string> {
  const command = new Command('watch')
  configure(command)
  command.action(() => undefined)
  command.parse(argv, { from: 'user' })
  const io = testIo({ isTTY: true, columns: 80 })
  const raw: boolean[] = []
  const stdin = Object.assign(new PassThrough(), { isTTY: true, setRawMode: (on: boolean) => raw.push(on) })
  const running = execute(command, { ...io, stdin }, host)
  for (const key of keys) {
    await settled()
    stdin.write(key)
  }
  t.equal(await running, 0)
  t.strictSame(raw, [true, false])
  return io.output()
}

t.test('the full screen starts, takes keys, and restores the terminal', async (t) => {
  const text = await onTerminal(['--capture', CAPTURE, '--speed', '0'], ['s', '\u001b[A', 'p', 'q'])
  t.ok(text.startsWith('\u001b[?1049h'))
  t.ok(text.endsWith('\u001b[?1049l'))
  t.match(text, 'PAUSED')
  const io = testIo({ isTTY: true, env: { NO_COLOR: '1' } })
  io.abort()
  const command = new Command('watch')
  configure(command)
  command.action(() => undefined)
  command.parse(['--capture', CAPTURE], { from: 'user' })
  t.equal(await execute(command, io), 0)
})

t.test('a resized terminal is redrawn at once, in its new size and without color where none is wanted', async (t) => {
  const io = testIo({ isTTY: true, columns: 80, env: { NO_COLOR: '1' } })
  const terminal = Object.assign(io.stdout, { columns: 80, rows: 24 })
  const command = new Command('watch')
  configure(command)
  command.action(() => undefined)
  command.parse(['--capture', CAPTURE, '--speed', '0'], { from: 'user' })
  const running = execute(command, io)
  for (let i = 0; i < 20; i++) await settled()
  const screens = (): string[] => io.output().split('\u001b[H').slice(1)
  const before = screens().length
  t.equal(screens().at(-1)?.split('\r\n').length, 24)
  Object.assign(terminal, { columns: 60, rows: 12 })
  ;(terminal as unknown as PassThrough).emit('resize')
  await settled()
  const last = screens().at(-1)?.split('\r\n') ?? []
  t.ok(screens().length > before, 'not only at the next half second')
  t.equal(last.length, 12)
  for (const line of last) t.ok(line.replaceAll('\u001b[K', '').length <= 60, line)
  t.strictSame(
    io
      .output()
      .split('\u001b[')
      .filter((text) => /^\d+m/.test(text)),
    [],
    'no color'
  )
  io.abort()
  t.equal(await running, 0)
  t.equal((terminal as unknown as PassThrough).listenerCount('resize'), 0)
})

t.test('a running daemon is watched by its metrics', async (t) => {
  let total = 0
  const metrics = (): string =>
    `ipvs_sync_messages_received_total{channel="0",version="1"} ${(total += 5)}\nipvs_sync_last_message_seconds{sender="10.9.0.1"} 0.5\nipvs_sync_table_connections{protocol="TCP",origin="SYNC"} 42\nipvs_sync_messages_dropped_total{reason="OTHER_SYNCID"} 2\nipvs_sync_socket_drops_total 3\n`
  let isUp = true
  const host: Host = {
    ...thisHost,
    get: (url) => {
      if (!isUp) return Promise.reject(new Error('refused'))
      return Promise.resolve(
        url.endsWith('/readyz') ? { status: 503, text: 'waiting\n' } : { status: 200, text: metrics() }
      )
    }
  }
  const end = new AbortController()
  let next = (): void => undefined
  const source = watchHttp(host, 'x:1', end.signal, () => new Promise((resolve) => (next = resolve)))
  await settled()
  next()
  await settled()
  t.match(source.snapshot(), {
    senders: [{ address: '10.9.0.1', age: 0.5, messages: 10 }],
    table: [{ protocol: 'TCP', connections: 42 }],
    problems: ['not ready: waiting', 'OTHER_SYNCID 2', 'socket drops 3'],
    history: [0, 5]
  })
  isUp = false
  next()
  await settled()
  t.match(source.snapshot().problems, ['no answer: refused'])
  end.abort()
  next()
  await source.ended
  await source.close()
  const text = await onTerminal(['--http', '[::1]:9848'], ['q'], host)
  t.match(text, '[::1]:9848')
})

t.test('the live group', async (t) => {
  const end = new AbortController()
  const options = { interfaceName: 'lo', syncid: 0, group: '224.0.0.81', port: 22_000 }
  const source = await watchGroup(thisHost, options, end.signal)
  t.match(source.snapshot().source, 'syncid any')
  const sender = createSocket('udp4')
  await new Promise<void>((resolve) => sender.bind(0, '127.0.0.1', resolve))
  sender.setMulticastInterface('127.0.0.1')
  const payload = encodeMessage({ version: 1, syncid: 5, connections: [web(1)] })
  for (let i = 0; i < 20 && source.snapshot().senders.length === 0; i++) {
    await new Promise((resolve) => sender.send(payload, 22_000, '224.0.0.81', resolve))
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  sender.close()
  if (source.snapshot().senders.length === 0) t.comment('no multicast on lo here')
  else t.match(source.snapshot().senders, [{ syncid: 5 }])
  end.abort()
  await source.ended
  await source.close()
  const taken = createSocket('udp4')
  await new Promise<void>((resolve) => taken.bind({ port: 22_100, address: '224.0.0.81' }, resolve))
  await t.rejects(watchGroup(thisHost, { ...options, port: 22_100 }, end.signal), { code: 'ERR_TRANSPORT' })
  taken.close()
})
