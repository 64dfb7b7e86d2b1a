// Fleets over real NATS servers, one and a cluster of three: batches, late joiners, a killed server, an interruption that the
// stream repairs, and a gap that a table repairs. Skipped where nats-server is not installed (Debian: nats-server).
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ConnectionTable } from '../../src/table/connection-table.js'
import { MemoryNetwork, type MemoryTransport } from '../../src/transport/memory.js'
import { NatsLink, type NatsLinkOptions } from '../../src/relay/nats-link.js'
import { Relay } from '../../src/relay/relay.js'
import { RelayTable } from '../../src/relay/relay-table.js'
import { decodeMessage } from '../../src/wire/decode-message.js'
import { encodeMessage } from '../../src/wire/encode-message.js'
import { tcpConnection } from '../fixtures/support/connections.js'

const missing =
  spawnSync('nats-server', ['--version']).error === undefined
    ? false
    : 'nats-server is not installed (package nats-server)'

async function until(done: () => boolean, what: () => string): Promise<void> {
  for (let round = 0; round < 6000; round++) {
    if (done()) return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  throw new Error(`not within 30 s: ${what()}`)
}

async function freeTcpPorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1')
      await once(server, 'listening')
      return server
    })
  )
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

interface Broker {
  readonly port: number
  readonly start: () => ChildProcess
}

/** Servers with JetStream, routed to each other where there are several. */
async function brokers(t: Test, count: number): Promise<Broker[]> {
  const folder = t.testdir()
  const ports = await freeTcpPorts(2 * count)
  return Array.from({ length: count }, (_, index) => {
    const routes = ports.slice(count).map((port) => `nats://127.0.0.1:${port}`)
    const file = join(folder, `server-${index}.conf`)
    const cluster = `cluster { name: test, listen: "127.0.0.1:${ports[count + index]}", routes: [${routes.join(', ')}] }`
    writeFileSync(
      file,
      `server_name: s${index}
listen: "127.0.0.1:${ports[index]}"
jetstream { store_dir: "${join(folder, `store-${index}`)}", max_memory_store: 256M, max_file_store: 64M }
${count > 1 ? cluster : ''}
`
    )
    const start = (): ChildProcess => {
      const child = spawn('nats-server', ['-c', file], { stdio: 'ignore' })
      t.teardown(() => child.kill('SIGKILL'))
      return child
    }
    return { port: ports[index]!, start }
  })
}

/** A TCP proxy whose connections can be cut and refused. */
async function proxy(t: Test, target: number): Promise<{ port: number; cut: () => void; mend: () => void }> {
  const sockets = new Set<Socket>()
  let isCut = false
  const server: Server = createServer((client) => {
    if (isCut) {
      client.destroy()
      return
    }
    const upstream = connect(target, '127.0.0.1')
    for (const [one, other] of [
      [client, upstream],
      [upstream, client]
    ] as const) {
      sockets.add(one)
      one.on('error', () => other.destroy()).on('close', () => other.destroy())
      one.pipe(other)
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return {
    port: (server.address() as { port: number }).port,
    cut: () => {
      isCut = true
      for (const socket of sockets) socket.destroy()
      sockets.clear()
    },
    mend: () => {
      isCut = false
    }
  }
}

interface Site {
  readonly relay: Relay
  readonly table: RelayTable
  readonly director: MemoryTransport
  readonly group: MemoryNetwork
  readonly received: ConnectionTable
  readonly notices: string[]
  readonly announce: (first: number, count: number) => void
}

async function site(t: Test, name: string, options: Partial<NatsLinkOptions>): Promise<Site> {
  const group = new MemoryNetwork()
  const director = group.open('10.0.0.1')
  const end = group.open('10.0.0.2')
  const received = new ConnectionTable({ maxConnections: 100_000 })
  director.listen({
    onDatagram: (bytes) => {
      for (const connection of decodeMessage(bytes).connections) received.set({ ...connection, timeout: 900 }, 1)
    }
  })
  const sender = {
    channels: 1,
    description: 'group',
    start: () => Promise.resolve(),
    close: () => Promise.resolve(),
    flush: () => Promise.resolve(),
    writable: () => true,
    send: (channel: number, bytes: Uint8Array) => {
      end.send(channel, bytes)
      group.advance(group.now)
    }
  }
  const table = new RelayTable({ syncid: 5, maxConnections: 100_000 })
  const link = new NatsLink({ servers: [], fleet: 'edge', site: name, syncid: 5, ...options })
  const relay = new Relay({ site: name, syncid: 5, receiver: end, sender, links: [link], table, tableRate: 100_000 })
  const notices: string[] = []
  relay.on('notice', ({ code }) => notices.push(code))
  t.teardown(() => relay.close())
  await relay.start()
  const announce = (first: number, count: number): void => {
    for (let number = first; number < first + count; number++) {
      const connection = tcpConnection(number, { timeout: 900 })
      received.set({ ...connection, timeout: 900 }, 1)
      director.send(0, encodeMessage({ version: 1, syncid: 5, connections: [connection] }))
    }
    group.advance(group.now)
  }
  return { relay, table, director, group, received, notices, announce }
}

const sizes = (sites: readonly Site[]): string =>
  sites.map(({ received, table }) => `${received.size}/${table.size}`).join()
const all = (sites: readonly Site[], count: number): boolean =>
  sites.every(({ received, table }) => received.size === count && table.size === count)

t.test('a late site gets the union of all tables, in chunks, and serves it', { skip: missing }, async (t) => {
  const [broker] = await brokers(t, 1)
  broker!.start()
  const options = { servers: [`127.0.0.1:${broker!.port}`] }
  const first = await Promise.all(['a', 'b'].map((name) => site(t, name, options)))
  await until(
    () => first.every(({ notices, relay }) => notices.includes('LINK_UP') && relay.report().tableFailures > 0),
    () => 'both sites are complete'
  )
  first[0]!.announce(0, 3000)
  first[1]!.announce(3000, 3000)
  await until(
    () => all(first, 6000),
    () => `6000, now ${sizes(first)}`
  )
  const late = await site(t, 'c', options)
  await until(
    () => all([...first, late], 6000),
    () => `6000, now ${sizes([...first, late])}`
  )
  t.match(late.relay.report(), { tablesReceived: 1, tableFailures: 0, tableQueued: 0, lost: 0 })
  t.ok(late.notices.includes('TABLE_RECEIVED'))
  const frames = first[0]!.relay.report().links[0]!.framesSent
  t.ok(frames <= 3000 / 8, `${frames} frames for 3000 datagrams: batches`)
})

t.test('an interruption of one site is repaired from the stream, in order', { skip: missing }, async (t) => {
  const [broker] = await brokers(t, 1)
  broker!.start()
  const way = await proxy(t, broker!.port)
  const a = await site(t, 'a', { servers: [`127.0.0.1:${broker!.port}`] })
  await until(
    () => a.relay.report().tableFailures > 0,
    () => 'a is complete'
  )
  const b = await site(t, 'b', { servers: [`127.0.0.1:${way.port}`] })
  await until(
    () => b.relay.report().tablesReceived > 0,
    () => 'b is complete'
  )
  a.announce(0, 100)
  await until(
    () => all([a, b], 100),
    () => sizes([a, b])
  )
  way.cut()
  await until(
    () => b.notices.includes('LINK_DOWN'),
    () => 'b is cut off'
  )
  a.announce(100, 500)
  b.announce(600, 300)
  await until(
    () => a.table.size === 600,
    () => sizes([a, b])
  )
  way.mend()
  await until(
    () => all([a, b], 900),
    () => sizes([a, b])
  )
  t.match(b.relay.report(), { lost: 0, tablesReceived: 1 }, 'the stream had it: no second table')
  t.match(a.relay.report(), { lost: 0 })
})

t.test('without a stream a table repairs an interruption', { skip: missing }, async (t) => {
  const [broker] = await brokers(t, 1)
  broker!.start()
  const way = await proxy(t, broker!.port)
  const stream = { seconds: 0 }
  const a = await site(t, 'a', { servers: [`127.0.0.1:${broker!.port}`], stream })
  await until(
    () => a.relay.report().tableFailures > 0,
    () => 'a is complete'
  )
  const b = await site(t, 'b', { servers: [`127.0.0.1:${way.port}`], stream })
  await until(
    () => b.relay.report().tablesReceived > 0,
    () => 'b is complete'
  )
  way.cut()
  await until(
    () => b.notices.includes('LINK_DOWN'),
    () => 'b is cut off'
  )
  a.announce(0, 500)
  way.mend()
  await until(
    () => all([a, b], 500),
    () => sizes([a, b])
  )
  t.equal(b.relay.report().tablesReceived, 2)
})

t.test('a cluster of three: one server is killed, and nothing is missing', { skip: missing }, async (t) => {
  const servers = await brokers(t, 3)
  const children = servers.map(({ start }) => start())
  const sites = await Promise.all(
    ['a', 'b', 'c'].map((name, index) =>
      site(t, name, {
        // Each site prefers its own server.
        servers: [0, 1, 2].map((step) => `127.0.0.1:${servers[(index + step) % 3]!.port}`),
        stream: { replicas: 3 }
      })
    )
  )
  await until(
    () => sites.every(({ relay }) => relay.report().tableFailures + relay.report().tablesReceived > 0),
    () => 'the sites are complete'
  )
  for (const [index, { announce }] of sites.entries()) announce(index * 1000, 200)
  await until(
    () => all(sites, 600),
    () => sizes(sites)
  )
  const ended = once(children[0]!, 'exit')
  children[0]!.kill('SIGKILL')
  for (const [index, { announce }] of sites.entries()) announce(index * 1000 + 200, 200)
  await ended
  for (const [index, { announce }] of sites.entries()) announce(index * 1000 + 400, 200)
  await until(
    () => all(sites, 1800),
    () => sizes(sites)
  )
  t.ok(all(sites, 1800))
})
