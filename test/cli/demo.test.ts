import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { Command } from 'commander'
import { configure, drawRoute, execute, hasLoopback, painter, DemoProcess } from '../../src/cli/demo/command.js'
import { drawLine, drawScreen } from '../../src/cli/demo/screen.js'
import { pairUp, sumOf, type DemoSnapshot } from '../../src/cli/demo/snapshot.js'
import type { Io } from '../../src/cli/io.js'
import type { TableConnection } from '../../src/wire/connection.js'
import { tcpConnection } from '../fixtures/support/connections.js'
import { testIo } from '../fixtures/support/test-io.js'

const at = (i: number, rest: Partial<TableConnection> = {}): TableConnection => ({
  ...tcpConnection(i),
  origin: 'LOCAL',
  expires: 899,
  syncid: 7,
  ...rest
})
const ipv6 = at(3, {
  family: 'ipv6',
  client: { address: '2001:db8::7', port: 4000 },
  destination: { address: 'fd00::1', port: 80 }
})

const snapshot: DemoSnapshot = {
  master: { connections: [at(0), at(1), at(2, { state: 'SYN_RECV' }), ipv6], messages: 4 },
  backup: { connections: [at(0), at(1, { state: 'FIN_WAIT' }), at(9)], messages: 4 },
  seconds: 62
}

t.test('pairs are laid side by side, newest first, and stay where they were', async (t) => {
  const order = new Map<string, number>()
  const ports = (now: DemoSnapshot): number[] =>
    pairUp(now, order).map(({ master, backup }) => (master ?? backup)!.client.port)
  t.strictSame(ports(snapshot), [1009, 4000, 1002, 1001, 1000])
  t.strictSame(ports({ ...snapshot, master: { connections: [at(5), at(0)], messages: 0 } }), [1005, 1009, 1001, 1000])
})

t.test('metrics are summed over their labels', async (t) => {
  const text = '# HELP a_total x\na_total{channel="0"} 3\na_total{channel="1"} 4\na_total_more 9\na_total 1\n'
  t.equal(sumOf(text, 'a_total'), 8)
  t.equal(sumOf(text, 'b'), 0)
})

t.test('the screen says what is on both, and no line is wider than it', async (t) => {
  const draw = (columns: number, rows: number, color: boolean): string[] =>
    drawScreen(snapshot, new Map(), 120, 'multicast 224.0.0.81 on lo', { columns, rows, color })
  const lines = draw(120, 30, false)
  const text = lines.join('\n')
  t.match(text, /MASTER {2}4 connections .*BACKUP {2}3 connections/)
  t.match(text, /1:02 of 2:00/)
  t.match(text, /2 on both/)
  t.match(text, /2 not announced/)
  t.match(text, /\(gone\)/)
  t.match(text, /\[2001:db8::7\]:4000/)
  t.match(text, /SYN_RECV.*·\s+not announced yet/)
  t.ok(lines.every((line) => line.length <= 120))
  const narrow = draw(60, 30, false)
  t.ok(narrow.every((line) => line.length <= 60))
  t.match(
    narrow.join('\n'),
    /\n\n2 on both: a kernel backup would continue these if the\nmaster failed now\. {2}2 not announced/,
    'prose is filled'
  )
  t.match(narrow.join('\n'), /^TCP +10\.1\.0\.0:1000 +ESTABLISHED +│ ESTABLISHED \d+:\d\d/m, 'states stay whole')
  t.match(draw(80, 30, false).join('\n'), /ESTABLISHED 10\.\S+ +│ ESTABLISHED \d/, 'and the real server, where it fits')
  t.ok(draw(20, 30, false).every((line) => line.length <= 20))
  t.match(draw(120, 8, false).join('\n'), /TCP/)
  const many = { connections: Array.from({ length: 40 }, (_, i) => at(i)), messages: 1 }
  const full = drawScreen({ ...snapshot, master: many }, new Map(), 60, 'x', { columns: 100, rows: 20, color: false })
  t.match(full.join('\n'), /… and 32 more/)
  const painted = draw(40, 30, true).join('\n')
  t.ok(painted.includes('\u001b[32m'))
  t.notOk(text.includes('\u001b'))
})

t.test('a terminal of unknown size has 100 columns; NO_COLOR is honoured unless it is empty', async (t) => {
  for (const [NO_COLOR, painted] of [
    ['1', false],
    ['', true]
  ] as const) {
    const io = testIo({ isTTY: true, env: { NO_COLOR } })
    painter(io, 60, 'x')(snapshot)
    t.equal(io.output().includes('\u001b[32m'), painted)
  }
})

t.test('the group needs an interface lo with an IPv4 address', async (t) => {
  t.equal(hasLoopback({}), false)
  t.equal(hasLoopback({ lo: [] }), false)
})

t.test('elsewhere a line says it all', async (t) => {
  t.equal(
    drawLine({ ...snapshot, backup: { connections: [at(0)], messages: 1 } }),
    '1:02  master: 4 connections, 4 messages sent  ->  backup: 1 connection learned from 1 message'
  )
})

async function demo(io: Io, ...args: string[]): Promise<number> {
  const command = new Command('demo')
  configure(command)
  command.parse(args, { from: 'user' })
  return execute(command, io)
}

t.test('two real processes exchange connections, in lines', async (t) => {
  const io = testIo()
  t.equal(await demo(io, '--seconds', '2', '--unicast'), 0)
  t.match(io.errors(), /unicast 127\.0\.0\.1/)
  const last = io.output().trim().split('\n').at(-1)!
  t.match(last, /^0:02 {2}master: \d+ connections/)
  t.ok(Number(/backup: (\d+)/.exec(last)?.[1]) > 0, last)
})

t.test('demonstrations draw their own syncid, group and port', async (t) => {
  const routes = await Promise.all(Array.from({ length: 8 }, (_, i) => drawRoute(i % 2 === 0)))
  t.equal(new Set(routes.map(({ text }) => text)).size, routes.length)
  for (const { options } of routes) t.match(options.join(' '), /--syncid [1-9]\d* --mcast-port \d{4,5}$/)
  t.match(routes[1]!.options.join(' '), /^--mcast-interface lo --mcast-group 239\.255\.\d+\.\d+ /)
})

for (const signal of ['SIGKILL', 'SIGHUP'] as const)
  t.test(`a demonstration whose parent ends by ${signal} leaves no process behind`, async (t) => {
    const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
    const parent = spawn(process.execPath, [...process.execArgv, main, 'demo', '--seconds', '60', '--unicast'])
    await new Promise<void>((resolve) => parent.stdout.once('data', () => resolve()))
    const children = ownCommands(parent.pid)
    t.equal(children.length, 2)
    const ended = once(parent, 'exit')
    parent.kill(signal)
    await ended
    while (children.some((pid) => isRunning(pid))) await new Promise((resolve) => setTimeout(resolve, 20))
  })

function isRunning(pid: string | number): boolean {
  try {
    process.kill(Number(pid), 0)
    return true
  } catch {
    return false
  }
}

t.test('Ctrl-C goes to all processes of a terminal: whichever hears of it first, it ends well', async (t) => {
  const cut = async (afterwards: (io: ReturnType<typeof testIo>) => void): Promise<number> => {
    const io = testIo()
    const ended = demo(io, '--seconds', '30', '--unicast')
    const looked = setInterval(() => {
      if (!io.output().includes('master:')) return
      clearInterval(looked)
      for (const child of ownCommands()) process.kill(child, 'SIGINT')
      afterwards(io)
    }, 50)
    return ended
  }
  t.equal(await cut((io) => setTimeout(io.abort, 50)), 0)
  await t.rejects(
    cut(() => undefined),
    { code: 'ERR_TRANSPORT' },
    'they ended by themselves'
  )
})

/** Processes that this one started and that run a command of ours. */
function ownCommands(parent = process.pid): number[] {
  const read = (path: string): string => {
    try {
      return readFileSync(path, 'utf8')
    } catch {
      // It has ended since its folder was listed.
      return ''
    }
  }
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => read(`/proc/${name}/stat`).split(') ').at(-1)?.split(' ')[1] === String(parent))
    .filter((name) => /\0(?:backup|master)\0/.test(read(`/proc/${name}/cmdline`)))
    .map(Number)
}

t.test('on a terminal q ends it', async (t) => {
  const keys = Object.assign(new PassThrough(), {
    raw: [] as boolean[],
    setRawMode: (on: boolean) => keys.raw.push(on)
  })
  const io = { ...testIo({ isTTY: true, columns: 110 }), stdin: keys as unknown as Io['stdin'] }
  const ended = demo(io, ...(hasLoopback() ? [] : ['--unicast']))
  const typed = setInterval(() => {
    if (!io.output().includes('MASTER')) return
    keys.write('x')
    keys.write('q')
  }, 100)
  t.equal(await ended, 0)
  clearInterval(typed)
  t.strictSame(keys.raw, [true, false])
  t.match(io.output(), /BACKUP/)
})

t.test('a process that does not come up says why', async (t) => {
  const [, backup] = await Promise.all([
    t.rejects(DemoProcess.start('backup', ['--mcast-interface', 'no-such-interface']), {
      code: 'ERR_TRANSPORT',
      message: /no-such-interface/
    }),
    DemoProcess.start('backup', ['--peer', '127.0.0.1', '--mcast-port', '18848'])
  ])
  await backup.stop()
  await backup.stop()
  t.equal(backup.ended, true)
  await t.rejects(backup.look('x'), { code: 'ERR_TRANSPORT', message: /does not answer/ })
})
