// Each example runs as its first lines say, and does what it promises.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const root = fileURLToPath(new URL('..', import.meta.url))
const multicast = networkInterfaces()['lo'] === undefined ? 'there is no interface lo' : false

interface Running {
  readonly child: ChildProcess
  readonly output: () => string
  readonly until: (pattern: RegExp) => Promise<void>
  readonly ended: Promise<number>
}

function example(name: string, ...args: string[]): Running {
  const child = spawn(
    process.execPath,
    [...process.execArgv, `${root}examples/${name.includes('.') ? name : `${name}.ts`}`, ...args],
    { cwd: root }
  )
  let text = ''
  const heard = new EventTarget()
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      heard.dispatchEvent(new Event('output'))
    })
  const ended = once(child, 'close').then(([code]) => code as number)
  const until = (pattern: RegExp): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (pattern.test(text)) resolve()
      }
      heard.addEventListener('output', look)
      void ended.then(() => reject(new Error(`${name} ended: ${text}`)))
      look()
    })
  return { child, output: () => text, until, ended }
}

t.test('every example is tried here, in TypeScript and in plain JavaScript', async (t) => {
  const files = readdirSync(`${root}examples`)
  const names = (end: string): string[] => files.filter((name) => name.endsWith(end)).sort()
  t.strictSame(names('.mjs'), ['announce.mjs', 'decode.mjs', 'listen.mjs', 'own-transport.mjs', 'restore.mjs'])
  t.strictSame(
    names('.ts').filter((name) => !names('.mjs').includes(name.replace('.ts', '.mjs'))),
    ['backup.ts', 'decode-capture.ts', 'ha-tool.ts', 'master.ts']
  )
  for (const name of names('.mjs'))
    t.ok(readFileSync(`${root}examples/${name}`, 'utf8').split('\n').length <= 18, `${name} is short`)
})

for (const end of ['ts', 'mjs']) {
  t.test(`decode.${end} prints connections and problems`, async (t) => {
    const { ended, output } = example(`decode.${end}`, 'test/fixtures/captures/tcp4-nat/sync.pcap')
    t.equal(await ended, 0, output())
    t.match(output(), 'TCP 10.0.1.10:20001 10.0.2.12:8080 ESTABLISHED')
    t.equal(output().trim().split('\n').length, 13)
  })

  t.test(`own-transport.${end} and restore.${end}`, async (t) => {
    const transport = example(`own-transport.${end}`)
    t.equal(await transport.ended, 0, transport.output())
    t.match(transport.output(), 'the backup holds 1 connection')
    const restore = example(`restore.${end}`)
    t.equal(await restore.ended, 0, restore.output())
    t.match(restore.output(), /loaded 1 connection, 0 had expired\n198\.51\.100\.9: (899|900) s remaining/)
  })

  t.test(`listen.${end} prints what announce.${end} announces`, { skip: multicast }, async (t) => {
    const listener = example(`listen.${end}`)
    await listener.until(/listening on /)
    const announcer = example(`announce.${end}`)
    t.equal(await announcer.ended, 0, announcer.output())
    t.match(announcer.output(), 'announced')
    await listener.until(/created TCP 198\.51\.100\.9:40000 203\.0\.113\.80 10\.0\.0\.11 ESTABLISHED/)
    listener.child.kill('SIGTERM')
    t.equal(await listener.ended, 0, listener.output())
  })
}

t.test('decode-capture prints the last word on each connection', async (t) => {
  const { ended, output } = example('decode-capture', 'test/fixtures/captures/tcp4-nat/sync.pcap')
  t.equal(await ended, 0, output())
  t.match(output(), 'TCP 10.0.1.10:20001 to 10.0.1.100:80: TIME_WAIT at 10.0.2.12:8080')
  t.match(output(), '2 messages about 5 connections')
})

t.test('decode-capture says what is wrong: a message with a wrong size, and a file that breaks off', async (t) => {
  const damaged = Uint8Array.from(readFileSync(`${root}test/fixtures/captures/tcp4-nat/sync.pcap`)).slice(0, -40)
  // The low byte of the first message's size: behind the file's and the packet's headers, Ethernet, IP and UDP.
  damaged[24 + 16 + 14 + 20 + 8 + 3]! ^= 1
  const file = join(t.testdir(), 'damaged.pcap')
  writeFileSync(file, damaged)
  const { ended, output } = example('decode-capture', file)
  t.equal(await ended, 0, output())
  t.match(output(), /message 1, byte 2: /)
  t.match(output(), /the capture: the file ends inside a packet/)
})

t.test(
  'master and backup exchange connections; the HA tool takes over what it learned',
  { skip: multicast },
  async (t) => {
    const backup = example('backup')
    const tool = example('ha-tool', 'lo', '15')
    await Promise.all([backup.until(/listening: /), tool.until(/backup: listening/)])
    const master = example('master')
    t.equal(await master.ended, 0, master.output())
    t.match(master.output(), '198.51.100.1: state-not-synced, packet-count-not-met, packet-count')
    t.match(master.output(), 'end of the first: state-changed')
    await backup.until(/created: TCP 198\.51\.100\.5:40000 -> 10\.0\.0\.13, ESTABLISHED, 900 s/)
    await backup.until(/updated: TCP 198\.51\.100\.1:40000 -> 10\.0\.0\.12, FIN_WAIT, 120 s/)
    t.equal(await tool.ended, 0, tool.output())
    t.match(tool.output(), /learned 5 connections; taking over\nmaster: announced 5 connections/)
    backup.child.kill('SIGTERM')
    t.equal(await backup.ended, 0, backup.output())
    t.match(backup.output(), 'closed with 5 connections')
  }
)
