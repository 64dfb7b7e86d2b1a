// `key` and `relay`, run in this process: two sites with a group each on loopback, linked by UDP.
import { writeFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { run } from '../../src/cli/run.js'
import { parseKeys } from '../../src/trust/keys.js'
import { UdpReceiver } from '../../src/transport/udp-receiver.js'
import { UdpSender } from '../../src/transport/udp-sender.js'
import { encodeMessage } from '../../src/wire/encode-message.js'
import { freePorts } from '../fixtures/support/loopback.js'
import { testIo, type TestIo } from '../fixtures/support/test-io.js'

const noLoopback = networkInterfaces()['lo'] === undefined ? 'there is no interface lo' : false

async function until(done: () => boolean, what: string): Promise<void> {
  for (let round = 0; round < 4000; round++) {
    if (done()) return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  throw new Error(`not within 20 s: ${what}`)
}

async function answerOf(...words: string[]): Promise<{ code: number; io: TestIo }> {
  const io = testIo()
  return { code: await run(words, io), io }
}

t.test('key prints a key', async (t) => {
  const { code, io } = await answerOf('key')
  t.equal(code, 0)
  t.ok(parseKeys(io.output()).signing)
})

t.test('what is wrong with a link or a name is said, with exit code 2', async (t) => {
  const folder = t.testdir({ key: 'no key' })
  for (const [words, message] of [
    [['--link', 'udp://127.0.0.1'], /needs --key-file/],
    [['--link', 'http://127.0.0.1'], /--link/],
    [['--link', 'udp://127.0.0.1', '--key-file', join(folder, 'key')], /key file/],
    [['--link', 'nats://127.0.0.1:1', '--fleet', 'a.b'], /--fleet/],
    [['--link', 'udp://127.0.0.1', '--link-bind', 'x'], /--link-bind/]
  ] as const) {
    const { code, io } = await answerOf('relay', '--mcast-interface', 'lo', '--site', 'a', ...words)
    t.equal(code, 2)
    t.match(io.errors(), message)
  }
})

t.test(
  'two relays carry a message from one group to another, and end with their counts',
  { skip: noLoopback },
  async (t) => {
    const port = await freePorts(1)
    const link = await freePorts(1)
    const key = join(t.testdir(), 'key')
    writeFileSync(key, (await answerOf('key')).io.output(), { mode: 0o600 })
    const group = (number: number): string => `239.255.88.${number}`
    const relays = [1, 2].map((number) => {
      const io = testIo()
      const words = [
        '--mcast-interface',
        'lo',
        '--mcast-group',
        group(number),
        '--mcast-port',
        `${port}`,
        '--syncid',
        '5'
      ]
      const ends = ['--link', `udp://127.0.0.${3 - number}:${link}`, '--link-bind', `127.0.0.${number}`]
      return { io, code: run(['relay', ...words, '--site', `site-${number}`, ...ends, '--key-file', key], io) }
    })
    await until(() => relays.every(({ io }) => io.errors().includes('relaying between')), 'both relays')
    const heard: Uint8Array[] = []
    const sender = new UdpSender({ mcastInterface: 'lo', mcastGroup: group(1), mcastPort: port })
    const receiver = new UdpReceiver({ mcastInterface: 'lo', mcastGroup: group(2), mcastPort: port })
    await sender.start({})
    await receiver.start({ onDatagram: (bytes) => heard.push(bytes) })
    const message = encodeMessage({ version: 1, syncid: 5, connections: [] })
    sender.send(0, message)
    await until(() => heard.length > 0, 'the message')
    t.same(
      heard.map((bytes) => Uint8Array.from(bytes)),
      [message]
    )
    await sender.close()
    await receiver.close()
    for (const { io } of relays) io.abort()
    t.same(await Promise.all(relays.map(({ code }) => code)), [0, 0])
    t.match(relays[0]!.io.errors(), /1 messages received from the group, 0 delivered/)
    t.match(relays[1]!.io.errors(), /0 messages received from the group, 1 delivered to it/)
  }
)

t.test('a relay over NATS starts while its broker is away', async (t) => {
  const port = await freePorts(1)
  const io = testIo()
  const tls = ['--tls-ca', '/none', '--tls-cert', '/none', '--tls-key', '/none']
  const words = [
    '--mcast-interface',
    'lo',
    '--mcast-port',
    `${port}`,
    '--site',
    'a',
    '--link',
    `nats://127.0.0.1:${port}`
  ]
  const code = run(['relay', ...words, ...tls], io)
  await until(() => io.errors().includes('retrying'), 'the notice')
  io.abort()
  t.equal(await code, 0)
})
