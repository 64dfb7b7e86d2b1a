// What the own kernel's master announces: by a capture with a program in tcpdump's place, by an interface, and by neither.
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Agent } from '../../src/agent/agent.js'
import { encodeAgentMessage } from '../../src/agent/protocol/messages.js'
import { captureArguments, captureSource, interfaceSource, OwnMaster } from '../../src/agent/own/own-master.js'
import type { OwnSourceHandlers } from '../../src/agent/own/own-source.js'
import { ConnectionTable } from '../../src/table/connection-table.js'
import { MemoryNetwork } from '../../src/transport/memory.js'
import { encodeMessage } from '../../src/wire/encode-message.js'
import { tcpConnection } from '../fixtures/support/connections.js'
import { FakeSystem } from '../fixtures/support/fake-network.js'
import { ManualClock } from '../fixtures/support/manual-clock.js'

const ID = '00000000000000aa'
/** A capture of a kernel's master, made outside of this package. */
const CAPTURE = new URL('../fixtures/captures/tcp4-nat/sync.pcap', import.meta.url).pathname

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(2)
}

/** A message of connections with these client ports. */
function message(...ports: number[]): Uint8Array {
  return encodeMessage({
    version: 1,
    syncid: 5,
    connections: ports.map((port) => tcpConnection(port, { timeout: 900 }))
  })
}

/** A source that a test drives, and what its owner reports. */
function driven(t: Test, isAnnouncing = () => false) {
  const clock = new ManualClock()
  const table = new ConnectionTable({ maxConnections: 1000 })
  const codes: string[] = []
  const sources: (OwnSourceHandlers & { polls: number; closed: boolean })[] = []
  let gaps = 0
  const master = new OwnMaster({
    open(handlers) {
      const source = { ...handlers, polls: 0, closed: false }
      sources.push(source)
      return {
        poll() {
          source.polls++
        },
        close() {
          source.closed = true
          return Promise.resolve()
        }
      }
    },
    description: 'capture on eth1',
    table,
    clock,
    id: ID,
    syncid: 5,
    isAnnouncing,
    notify: (code) => codes.push(code),
    onGap: () => gaps++
  })
  t.teardown(() => master.close())
  return { clock, table, codes, sources, master, gaps: () => gaps }
}

t.test('what the master announces is applied as this director’s own; what the agent sends itself is not', async (t) => {
  const { clock, table, codes, sources, master, gaps } = driven(t)
  const started = master.start()
  sources[0]!.onUp()
  await started
  t.strictSame([codes, gaps(), master.report().isCovering], [['OWN_MASTER_RECEIVED'], 1, true])
  const kernel = { address: '10.9.0.1', port: 40_000 }
  const own = { address: '10.9.0.1', port: 50_000 }
  const hello = {
    kind: 'hello',
    to: '0000000000000000',
    request: 0,
    ready: true,
    connections: 0,
    origin: undefined
  } as const
  const other = encodeAgentMessage({ ...hello, from: '00000000000000bb' }, 5)
  sources[0]!.onDatagram(other, kernel)
  sources[0]!.onDatagram(message(1, 2), kernel)
  sources[0]!.onDatagram(encodeAgentMessage({ ...hello, from: ID }, 5), own)
  sources[0]!.onDatagram(message(3), own)
  sources[0]!.onDatagram(new Uint8Array(3), kernel)
  const foreign = message(4)
  foreign[1] = 9
  sources[0]!.onDatagram(foreign, kernel)
  t.strictSame(
    [...table].map(({ client, origin, expires }) => [client.port - 1000, origin, expires]),
    [
      [1, 'LOCAL', 900],
      [2, 'LOCAL', 900]
    ]
  )
  t.match(master.report(), { messages: 1, connections: 2, gaps: 1, drops: 0 })
  clock.advance(100_000)
  sources[0]!.onDatagram(message(1), kernel)
  t.strictSame(
    Array.from(table, ({ expires }) => expires),
    [900, 800],
    'an announcement restarts the timer'
  )
  const version0 = encodeMessage({ version: 0, syncid: 5, connections: [tcpConnection(7)] })
  sources[0]!.onDatagram(version0, kernel)
  t.equal([...table].find(({ client }) => client.port === 1007)!.expires, 900, 'version 0 carries no timeout')
})

t.test('a source that ends is opened again, later each time; losses and ends are gaps', async (t) => {
  const { clock, codes, sources, master, gaps } = driven(t)
  const started = master.start()
  sources[0]!.onEnd('OWN_CAPTURE_MISSING', 'tcpdump not found')
  await started
  t.strictSame([codes, master.report().isCovering, gaps()], [['OWN_CAPTURE_MISSING'], false, 1])
  const opened: number[] = []
  for (let i = 0; i < 12; i++) {
    const before = sources.length
    while (sources.length === before) clock.advance(1000)
    opened.push(clock.now())
    sources.at(-1)!.onEnd('OWN_CAPTURE_MISSING', 'tcpdump not found')
  }
  const pauses = opened.map((at, index) => at - (opened[index - 1] ?? 1))
  t.strictSame(
    pauses,
    [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300].map((seconds) => seconds * 1000)
  )
  clock.advance(300_000)
  const steady = sources.at(-1)!
  steady.onUp()
  clock.advance(61_000)
  t.equal(steady.polls, 12, 'asked for losses every 5 s')
  const before = gaps()
  steady.onDrops(0)
  steady.onDrops(7)
  steady.onDrops(7)
  t.strictSame([gaps() - before, master.report().drops, codes.at(-1)], [1, 7, 'OWN_MASTER_LOST'])
  const count = sources.length
  steady.onEnd('OWN_CAPTURE_ENDED', 'killed')
  clock.advance(1000)
  t.equal(sources.length, count + 1, 'one that lasted is opened again soon')
  sources.at(-1)!.onUp()
  sources.at(-1)!.onDrops(3)
  t.equal(master.report().drops, 10, 'each source counts from 0')
  await master.close()
  t.ok(sources.at(-1)!.closed)
  t.equal(clock.armed, 0)
})

t.test('while the agent announces, or before the source answers, nothing is covered', async (t) => {
  let isAnnouncing = true
  const { clock, table, sources, master } = driven(t, () => isAnnouncing)
  const started = master.start()
  clock.advance(3000)
  await started
  t.equal(master.report().isCovering, false, 'the start does not wait longer')
  sources[0]!.onUp()
  sources[0]!.onDatagram(message(1), { address: '10.9.0.1', port: 1 })
  t.strictSame([table.size, master.report().isCovering], [0, false])
  isAnnouncing = false
  t.ok(master.report().isCovering)
})

/** A program in tcpdump's place. */
function program(t: Test, script: string, folder = t.testdir()): string {
  const path = join(folder, 'tcpdump')
  writeFileSync(path, `#!/bin/sh\n${script}`)
  chmodSync(path, 0o755)
  return path
}

/** Runs a program as a capture until it has reported what is waited for. */
async function capture(t: Test, path: string, waits: (events: readonly unknown[][]) => boolean) {
  const events: unknown[][] = []
  const source = captureSource({ mcastInterface: 'eth1', mcastGroup: '224.0.0.81', mcastPort: 8848, program: path })({
    onUp: () => events.push(['up']),
    onDatagram: (bytes, from) => events.push(['datagram', bytes.length, from.address]),
    onDrops: (total) => events.push(['drops', total]),
    onEnd: (code, text) => events.push(['end', code, text])
  })
  t.teardown(() => source.close())
  await until(() => waits(events))
  return { events, source }
}

t.test('the capture is of what this host sends to the group', (t) => {
  const words = captureArguments({ mcastInterface: 'eth1', mcastGroup: '224.0.0.81', mcastPort: 8848 })
  t.match(
    words.join(' '),
    /^-i eth1 -Q out -n -p -U -s 0 -B 8192 (-Z root )?-w - dst host 224\.0\.0\.81 and \(udp dst portrange 8848-8911 or \(ip\[6:2\] & 0x1fff != 0\)\)$/
  )
  t.match(
    captureArguments({ mcastInterface: 'eth1', mcastGroup: 'ff02::81', mcastPort: 65_500 }).at(-1),
    /65500-65535 or \(ip6\[6\] = 44\)/
  )
  t.end()
})

t.test('a program replays a capture, reports losses, and is ended', async (t) => {
  const path = program(
    t,
    `echo "$$ $*" >"$0.log"; echo 'tcpdump: listening on eth1' >&2
trap 'echo "3 packets dropped by kernel" >&2' USR1
cat '${CAPTURE}'
while :; do sleep 0.05; done`
  )
  const { events, source } = await capture(t, path, (found) =>
    ['up', 'datagram'].every((wanted) => found.some(([kind]) => kind === wanted))
  )
  source.poll()
  await until(() => events.some(([kind]) => kind === 'drops'))
  t.strictSame(
    events.filter(([kind]) => kind === 'drops'),
    [['drops', 3]]
  )
  t.ok(events.filter(([kind]) => kind === 'datagram').every(([, length]) => (length as number) >= 44))
  await source.close()
  const pid = Number(readFileSync(`${path}.log`, 'utf8').split(' ')[0])
  t.throws(() => process.kill(pid, 0), { code: 'ESRCH' }, 'it runs no more')
  t.notOk(
    events.some(([kind]) => kind === 'end'),
    'a close is no end'
  )
})

t.test('why a capture ended is reported by code', async (t) => {
  const ended = async (path: string) => {
    const { events } = await capture(t, path, (found) => found.some(([kind]) => kind === 'end'))
    return events.at(-1)!.slice(1)
  }
  t.match(await ended('/nowhere/tcpdump'), ['OWN_CAPTURE_MISSING', /install the package tcpdump/])
  t.match(await ended(t.testdir()), ['OWN_CAPTURE_FAILED', /EACCES/])
  const denied = program(t, 'echo "tcpdump: eth1: You don\'t have permission to capture on that device" >&2; exit 1')
  t.match(await ended(denied), ['OWN_CAPTURE_DENIED', /permission to capture.*CAP_NET_RAW/])
  t.match(await ended(program(t, 'exit 3')), ['OWN_CAPTURE_ENDED', /\(exit code 3\)$/])
  t.match(await ended(program(t, 'echo oops >&2; kill -9 $$')), ['OWN_CAPTURE_ENDED', /\(SIGKILL\): oops/])
  t.match(await ended(program(t, 'echo this is not a capture at all, whatever; exec sleep 60')), [
    'OWN_CAPTURE_DAMAGED',
    /not a capture/
  ])
  const broken = program(t, `head -c 24 '${CAPTURE}'; head -c 4000 /dev/zero | tr '\\0' '\\377'; exec sleep 60`)
  t.match(await ended(broken), ['OWN_CAPTURE_DAMAGED'])
})

t.test('an interface gives what its link sends, and nothing of other links', async (t) => {
  const system = new FakeSystem()
  const [eth1] = system.present['eth1']!
  system.present['eth1'] = [{ ...eth1!, cidr: '10.9.0.1/24' }]
  const events: unknown[][] = []
  const handlers: OwnSourceHandlers = {
    onUp: () => events.push(['up']),
    onDatagram: (bytes, from) => events.push(['datagram', bytes.length, from.address]),
    onDrops: (total) => events.push(['drops', total]),
    onEnd: (code) => events.push(['end', code])
  }
  const source = interfaceSource({ mcastInterface: 'eth1' }, system)(handlers)
  await until(() => events.length > 0)
  const address = '10.9.0.7'
  for (const from of [address, '192.0.2.77', 'fe80::1%eth1', 'fe80::1%eth2'])
    system.sockets.at(-1)!.emit('message', message(1), { address: from, port: 1 })
  t.strictSame(events, [['up'], ['datagram', 44, address], ['datagram', 44, 'fe80::1%eth1']])
  source.poll()
  delete system.present['eth1']
  await system.tick()
  await system.tick()
  t.strictSame(events.at(-1), ['end', 'OWN_INTERFACE_LOST'])
  t.equal(system.open.length, 0)
  await source.close()
  interfaceSource({ mcastInterface: 'eth1' }, system)(handlers)
  await until(() => events.filter(([kind]) => kind === 'end').length === 2)
})

t.test('an agent captures where it can, and reads the table rarely then', async (t) => {
  const folder = t.testdir({
    conn: 'Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n'
  })
  const script = `echo 'tcpdump: listening on eth1' >&2; cat '${CAPTURE}'; while :; do sleep 0.05; done`
  const path = program(t, script, folder)
  const clock = new ManualClock()
  const network = new MemoryNetwork()
  const options = {
    mcastInterface: 'eth1',
    receiver: network.open('10.9.0.1'),
    sender: network.open('10.9.0.1', 40_000),
    clock,
    kernelFiles: { connections: join(folder, 'conn'), services: '/nowhere/ip_vs', status: '/nowhere/status' },
    captureProgram: path
  }
  const agent = new Agent(options)
  const codes: string[] = []
  agent.on('notice', ({ code }) => codes.push(code))
  await agent.start()
  await until(() => agent.table.size > 0)
  t.equal(agent.ownSource, 'capture')
  t.match(agent.status, /; own kernel: capture eth1 \(misses connections that were never announced\)$/)
  t.match(agent.metrics(), { ownSource: { capture: 1, table: 0 }, ownMessages: Number, kernelReadAgeSeconds: Number })
  t.strictSame(codes, ['OWN_MASTER_RECEIVED'])
  await agent.close()
  const table = new Agent({
    ...options,
    receiver: network.open('10.9.0.2'),
    sender: network.open('10.9.0.2', 40_000),
    captureProgram: '/nowhere/tcpdump'
  })
  table.on('notice', ({ code }) => codes.push(code))
  await table.start()
  t.equal(table.ownSource, 'table')
  t.match(table.status, /; own kernel: its table alone$/)
  t.equal(codes.at(-1), 'OWN_CAPTURE_MISSING')
  await table.close()
  const never = new Agent({
    ...options,
    receiver: network.open('10.9.0.3'),
    sender: network.open('10.9.0.3', 40_000),
    own: 'table'
  })
  never.on('notice', ({ code }) => codes.push(code))
  codes.length = 0
  await never.start()
  t.strictSame([never.ownSource, codes], ['table', []])
  await never.close()
  t.throws(() => new Agent({ peers: [{ address: '10.9.0.2' }], own: 'capture' }), { code: 'ERR_CONFIG', field: 'own' })
})
