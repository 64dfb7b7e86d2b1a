// Relays with real sockets on loopback, in memory, and with a NATS client of the test's own.
import { once } from 'node:events'
import t from 'tap'
import { IpvsSyncError } from '../../src/errors.js'
import { MemoryHub } from '../../src/relay/memory-link.js'
import { NatsLink, type NatsLinkOptions } from '../../src/relay/nats-link.js'
import { Relay } from '../../src/relay/relay.js'
import { UdpLink } from '../../src/relay/udp-link.js'
import { MemoryNetwork, type MemoryTransport } from '../../src/transport/memory.js'
import { Key, KeyRing } from '../../src/trust/keys.js'
import { encodeMessage } from '../../src/wire/encode-message.js'
import type { Link } from '../../src/relay/link.js'

const KEYS = new KeyRing([new Key(new Uint8Array(32).fill(9))])

interface Site {
  readonly relay: Relay
  readonly group: MemoryNetwork
  readonly director: MemoryTransport
  readonly heard: Uint8Array[]
  readonly notices: string[]
}

async function site(name: string, links: readonly Link[]): Promise<Site> {
  const group = new MemoryNetwork()
  const director = group.open('10.0.0.1')
  const end = group.open('10.0.0.2')
  const heard: Uint8Array[] = []
  director.listen({ onDatagram: (bytes) => heard.push(bytes) })
  const half = { start: () => Promise.resolve(), close: () => Promise.resolve() }
  const sender = {
    ...half,
    channels: 1,
    description: 'group',
    writable: (channel: number) => end.writable(channel),
    send: (channel: number, bytes: Uint8Array) => {
      end.send(channel, bytes)
      group.advance(group.now)
    },
    flush: () => Promise.resolve()
  }
  const relay = new Relay({ site: name, syncid: 5, receiver: end, sender, links })
  const notices: string[] = []
  relay.on('notice', ({ code }) => notices.push(code))
  await relay.start()
  return { relay, group, director, heard, notices }
}

function say({ director, group }: Site, bytes: Uint8Array): void {
  director.send(0, bytes)
  group.advance(group.now)
}

async function until(done: () => boolean, what: string): Promise<void> {
  for (let round = 0; round < 2000; round++) {
    if (done()) return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  throw new Error(`not within 10 s: ${what}`)
}

const MESSAGE = encodeMessage({ version: 1, syncid: 5, connections: [] })
const OTHER = encodeMessage({ version: 1, syncid: 6, connections: [] })

t.test('two sites over memory: byte for byte, of the own syncid only', async (t) => {
  const hub = new MemoryHub()
  const a = await site('a', [hub.open('a')])
  const b = await site('b', [hub.open('b')])
  say(a, MESSAGE)
  say(a, OTHER)
  await until(() => b.heard.length > 0, 'the message')
  t.same(b.heard, [MESSAGE])
  t.match(a.relay.report(), { local: 1, foreign: 1, links: [{ description: 'memory:a', framesSent: 1, dropped: 0 }] })
  t.match(b.relay.report(), { delivered: 1, localDropped: 0 })
  await b.relay.close()
  await b.relay.close()
  await t.rejects(b.relay.start(), { code: 'ERR_USAGE' })
  say(b, MESSAGE)
  await a.relay[Symbol.asyncDispose]()
})

t.test('what the local socket has no room for is counted', async (t) => {
  const hub = new MemoryHub()
  const a = await site('a', [hub.open('a')])
  const b = await site('b', [hub.open('b')])
  b.group.advance(1)
  await b.relay.close()
  const lost = hub.open('x')
  lost.send(0, MESSAGE)
  t.equal(lost.dropped(), 1)
  await a.relay.close()
  const blocked = new MemoryNetwork()
  const end = blocked.open('10.0.0.3')
  const source = hub.open('source')
  const relay = new Relay({ site: 'c', syncid: 5, receiver: end, sender: end, links: [hub.open('c')] })
  await relay.start()
  await source.start({ onFrame: () => undefined, onNotice: () => undefined, onError: () => undefined })
  end.block(0)
  const { encodeFrame } = await import('../../src/relay/frame.js')
  source.send(
    0,
    encodeFrame({
      origin: { site: 'z', id: 1n },
      hops: 0,
      channel: 0,
      items: [{ sequence: 1, piece: 0, pieces: 1, bytes: MESSAGE }]
    })
  )
  t.match(relay.report(), { localDropped: 1 })
  await relay.close()
})

t.test('options are verified', async (t) => {
  const end = new MemoryNetwork().open('10.0.0.1')
  const options = { site: 'a', syncid: 5, receiver: end, sender: end, links: [new MemoryHub().open('a')] }
  for (const [change, field] of [
    [{ site: 'A.b' }, 'site'],
    [{ syncid: 256 }, 'syncid'],
    [{ links: [] }, 'links']
  ] as const)
    t.throws(() => new Relay({ ...options, ...change }), { code: 'ERR_CONFIG', field })
  t.throws(() => new UdpLink({ address: 'example.com', keys: KEYS }), { code: 'ERR_CONFIG', field: 'link' })
  t.throws(() => new NatsLink({ servers: ['x'], fleet: 'a.b', site: 'a', syncid: 5 }), {
    code: 'ERR_CONFIG',
    field: 'fleet'
  })
  t.throws(() => new NatsLink({ servers: ['x'], fleet: 'a', site: '>', syncid: 5 }), {
    code: 'ERR_CONFIG',
    field: 'site'
  })
})

t.test('two sites over UDP on loopback: encrypted, forgers refused, errors reported', async (t) => {
  const port = 20_000 + (process.pid % 20_000)
  const a = new UdpLink({ address: '127.0.0.2', bind: '127.0.0.1', port, keys: KEYS })
  const b = new UdpLink({ address: '127.0.0.1', bind: '127.0.0.2', port, keys: KEYS })
  t.equal(a.maxFrame, 1280 - 28 - 52)
  t.equal(new UdpLink({ address: '::1', keys: KEYS, mtu: 1500 }).maxFrame, 1500 - 48 - 52)
  t.equal(new UdpLink({ address: '::1', keys: KEYS }).description, 'udp://[::1]:8850')
  a.send(0, MESSAGE)
  t.equal(a.dropped(), 1, 'nothing leaves before the start')
  const here = await site('a', [a])
  const there = await site('b', [b])
  const large = encodeMessage({
    version: 1,
    syncid: 5,
    connections: Array.from({ length: 60 }, (_, index) => ({
      family: 'ipv4' as const,
      protocol: 'TCP',
      client: { address: `10.0.0.${index}`, port: 1000 },
      virtual: { address: '10.9.9.9', port: 80 },
      destination: { address: '10.1.0.1', port: 80 },
      forwarding: 'MASQ',
      flags: [],
      state: 'ESTABLISHED',
      fwmark: 0,
      timeout: 900
    }))
  })
  say(here, large)
  await until(() => there.heard.length > 0, 'the message')
  t.same(there.heard, [large], 'in pieces, and whole again')
  const { createSocket } = await import('node:dgram')
  const forger = createSocket('udp4')
  for (let round = 0; round < 4; round++)
    await new Promise((resolve) => forger.send(MESSAGE, port, '127.0.0.2', resolve))
  await until(() => b.refused('UNSIGNED') === 4, 'refusals')
  forger.close()
  t.same(there.notices, ['LINK_UNSIGNED', 'LINK_UNSIGNED', 'LINK_UNSIGNED'], 'at 1, 2 and 4')
  t.equal(b.refused('BAD_MAC'), 0)
  const taken = new Relay({
    site: 'c',
    syncid: 5,
    receiver: new MemoryNetwork().open('10.0.0.1'),
    sender: new MemoryNetwork().open('10.0.0.1'),
    links: [new UdpLink({ address: '127.0.0.2', bind: '127.0.0.1', port, keys: KEYS })]
  })
  await t.rejects(taken.start(), /EADDRINUSE/)
  await here.relay.close()
  await there.relay.close()
  await a.close()
})

t.test('socket errors and refused sends of a UDP link are reported and counted', async (t) => {
  const { EventEmitter } = await import('node:events')
  let refuse: Error | null = new Error('ENOBUFS')
  let queued = 0
  const socket = Object.assign(new EventEmitter(), {
    bind: (_at: unknown, done: () => void) => done(),
    send: (_bytes: unknown, _port: unknown, _address: unknown, done: (error: Error | null) => void) => done(refuse),
    getSendQueueSize: () => queued,
    close: (done: () => void) => done()
  })
  const link = new UdpLink({
    address: '::1',
    keys: KEYS,
    system: { createSocket: () => socket } as unknown as NonNullable<ConstructorParameters<typeof UdpLink>[0]['system']>
  })
  const errors: IpvsSyncError[] = []
  await link.start({ onFrame: () => undefined, onNotice: () => undefined, onError: (error) => errors.push(error) })
  link.send(0, MESSAGE)
  refuse = null
  link.send(0, MESSAGE)
  queued = 8 * 2 ** 20
  link.send(0, MESSAGE)
  t.equal(link.dropped(), 2)
  socket.emit('error', new Error('EIO'))
  t.match(errors, [{ code: 'ERR_TRANSPORT', message: /EIO/ }])
  const relay = new Relay({
    site: 'a',
    syncid: 5,
    receiver: new MemoryNetwork().open('10.0.0.1'),
    sender: new MemoryNetwork().open('10.0.0.1'),
    links: [link]
  })
  await relay.start()
  socket.emit('error', new Error('nobody listens'))
  const failed = once(relay, 'error')
  socket.emit('error', new Error('EIO'))
  t.match(await failed, [{ code: 'ERR_TRANSPORT' }])
  await relay.close()
})

/** A NATS client in memory: one broker that can be taken away. */
function fakeNats(): {
  load: NonNullable<NatsLinkOptions['load']>
  statuses: ((status: object) => void)[]
  log: string[]
  up: { value: boolean }
} {
  const callbacks: {
    pattern: RegExp
    callback: (error: Error | null, message: { subject: string; data: Uint8Array }) => void
  }[] = []
  const statuses: ((status: object) => void)[] = []
  const log: string[] = []
  const up = { value: true }
  const connect = (options: object): Promise<object> => {
    if (!up.value) return Promise.reject(new Error('no servers'))
    log.push(JSON.stringify(Object.keys(options)))
    const waiting: ((result: { value?: object; done: boolean }) => void)[] = []
    statuses.push((status) => waiting.shift()?.({ value: status, done: false }))
    return Promise.resolve({
      subscribe: (subject: string, { callback }: { callback: (typeof callbacks)[0]['callback'] }) =>
        callbacks.push({
          pattern: new RegExp(`^${subject.replaceAll('.', '\\.').replaceAll('*', '[^.]+')}$`),
          callback
        }),
      publish: (subject: string, data: Uint8Array) => {
        if (!up.value) throw new Error('closed')
        log.push(subject)
        for (const { pattern, callback } of callbacks) if (pattern.test(subject)) callback(null, { subject, data })
      },
      status: () => ({
        [Symbol.asyncIterator]: () => ({ next: () => new Promise((resolve) => void waiting.push(resolve)) })
      }),
      flush: () => (up.value ? Promise.resolve() : Promise.reject(new Error('disconnected'))),
      isClosed: () => false,
      close: () => {
        for (const end of waiting.splice(0)) end({ done: true })
        return Promise.resolve()
      }
    })
  }
  const load = (): Promise<never> =>
    Promise.resolve({ connect, nkeyAuthenticator: () => 'nkey', credsAuthenticator: () => 'creds' } as never)
  return { load, statuses, log, up }
}

t.test('two sites over NATS: own subjects, own messages ignored, a ring while the broker is away', async (t) => {
  const { load, statuses, log, up } = fakeNats()
  const open = (name: string): NatsLink =>
    new NatsLink({
      servers: ['broker:4222'],
      fleet: 'f',
      site: name,
      syncid: 5,
      load,
      ringBytes: 200,
      stream: { seconds: 0 }
    })
  const links = { a: open('a'), b: open('b') }
  const a = await site('a', [links.a])
  const b = await site('b', [links.b])
  t.equal(links.a.description, 'nats://broker:4222')
  say(a, MESSAGE)
  await until(() => b.heard.length === 1, 'the message')
  t.ok(log.includes('ipvs.sync.f.a.5.0'))
  t.same(a.heard, [])
  up.value = false
  statuses[0]!({ type: 'disconnect' })
  await until(() => a.notices.includes('LINK_DOWN'), 'the notice')
  for (let round = 0; round < 9; round++) links.a.send(0, new Uint8Array(50))
  t.equal(links.a.dropped(), 5)
  up.value = true
  statuses[0]!({ type: 'reconnect' })
  await until(() => a.notices.filter((code) => code === 'LINK_UP').length === 2, 'the notice')
  const failed = once(a.relay, 'error')
  statuses[0]!({ type: 'error', error: new Error('permissions violation') })
  t.match(await failed, [{ code: 'ERR_TRANSPORT', message: /permissions violation/ }])
  statuses[0]!({ type: 'ldm' })
  up.value = false
  links.a.send(0, new Uint8Array(50))
  t.equal(links.a.dropped(), 5, 'a publish that throws is kept')
  await a.relay.close()
  await b.relay.close()
})

t.test('a broker that is away at the start is tried again; credentials and TLS reach the client', async (t) => {
  const { load, log, up } = fakeNats()
  up.value = false
  const folder = t.testdir({ seed: 'SUAEXAMPLE\n', creds: '-----BEGIN NATS USER JWT-----\n' })
  const link = new NatsLink({
    servers: ['b:1'],
    fleet: 'f',
    site: 'a',
    syncid: 5,
    load,
    stream: { seconds: 0 },
    credentials: `${folder}/seed`,
    tls: { caFile: '/ca' }
  })
  const notices: string[] = []
  const handlers = {
    onFrame: () => undefined,
    onNotice: (code: string) => notices.push(code),
    onError: () => undefined
  }
  await link.start(handlers)
  t.same(notices, ['LINK_DOWN'])
  up.value = true
  await until(() => notices.includes('LINK_UP'), 'the broker')
  t.match(log[0], /authenticator/)
  t.match(log[0], /tls/)
  await link.close()
  const other = new NatsLink({
    servers: ['b:1'],
    fleet: 'f',
    site: 'a',
    syncid: 5,
    load,
    stream: { seconds: 0 },
    credentials: `${folder}/creds`
  })
  await other.start(handlers)
  await other.close()
  up.value = false
  const late = new NatsLink({ servers: ['b:1'], fleet: 'f', site: 'a', syncid: 5, load, stream: { seconds: 0 } })
  await late.start(handlers)
  await late.close()
  up.value = true
  const closing = new NatsLink({
    servers: ['b:1'],
    fleet: 'f',
    site: 'a',
    syncid: 5,
    stream: { seconds: 0 },
    load: async () => {
      const client = await load()
      return {
        ...client,
        connect: async (options) => {
          const connection = await client.connect(options)
          await closing.close()
          return connection
        }
      }
    }
  })
  await closing.start(handlers)
  closing.send(0, MESSAGE)
  const missing = new NatsLink({
    servers: ['b:1'],
    fleet: 'f',
    site: 'a',
    syncid: 5,
    load: () => Promise.reject(new Error('not found'))
  })
  await t.rejects(missing.start(handlers), {
    code: 'ERR_CONFIG',
    message: /npm install @nats-io\/transport-node @nats-io\/jetstream/
  })
})
