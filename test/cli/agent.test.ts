// The agent and wait-ready as commands.
import { existsSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { writeReadyFile } from '../../src/agent/ready-file.js'
import type { Io } from '../../src/cli/io.js'
import { run } from '../../src/cli/run.js'
import { freePorts, noMulticast } from '../fixtures/support/loopback.js'

/** A process whose output is kept, and which a test can end. */
function processOf() {
  const controller = new AbortController()
  const texts = { stdout: '', stderr: '' }
  const reloads: (() => void)[] = []
  const keep = (name: 'stdout' | 'stderr'): PassThrough =>
    new PassThrough({ encoding: 'utf8' }).on('data', (chunk: string) => (texts[name] += chunk))
  const io: Io = {
    stdin: new PassThrough(),
    stdout: keep('stdout'),
    stderr: keep('stderr'),
    env: {},
    signal: controller.signal,
    onReload(callback) {
      reloads.push(callback)
      return () => undefined
    }
  }
  return { io, texts, reloads, end: () => controller.abort() }
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(10)
}

t.test('an agent that is alone, then one that is not; both end cleanly', async (t) => {
  const reason = await noMulticast()
  // With peers one process cannot hear the other on one host: then only the life of one is seen.
  const port = await freePorts(1)
  const where = reason === false ? ['--mcast-interface', 'lo'] : ['--peer', '127.0.0.1']
  const folder = t.testdir()
  const common = ['agent', ...where, '--mcast-port', String(port), '--syncid', '5', '--no-kernel', '--limit', '1']
  const one = processOf()
  const readyFile = join(folder, 'ready')
  const running = run(
    [...common, '--http', '0', '--store', join(folder, 'table'), '--ready-file', readyFile, '--accept', '127.0.0.0/8'],
    one.io
  )
  await until(() => one.texts.stderr.includes('ready (alone)'))
  t.equal(await run(['wait-ready', '--ready-file', readyFile, '--timeout', '5'], processOf().io), 0)
  const url = /HTTP at (\S+)/.exec(one.texts.stderr)![1]!
  const ready = await fetch(`${url}/readyz`)
  t.strictSame([ready.status, await ready.text()], [200, 'ready (alone): no agent answered within 1 s\n'])
  t.match(await (await fetch(`${url}/metrics`)).text(), /ipvs_sync_messages_received_total/)
  const asker = processOf()
  t.equal(await run(['wait-ready', '--http', new URL(url).port, '--quiet'], asker.io), 0)
  t.equal(asker.texts.stdout, '')
  const require = ['--require', 'complete', '--timeout', '0']
  t.equal(await run(['wait-ready', '--http', new URL(url).port, ...require], processOf().io), 1, 'it is alone')
  t.equal(await run(['wait-ready', '--ready-file', readyFile, ...require], processOf().io), 1)
  writeReadyFile(`${readyFile}2`, { ready: true, outcome: 'complete', status: 'well', writtenAt: Date.now() })
  t.equal(await run(['wait-ready', '--ready-file', `${readyFile}2`, ...require], processOf().io), 0)
  t.equal(await run(['wait-ready', '--ready-file', readyFile, '--require', 'luck'], processOf().io), 2)
  one.reloads[0]!()
  await until(() => one.texts.stderr.includes('settings reloaded'))
  const two = processOf()
  const other = run([...common, '--rate', '1000', '--notify-fifo', join(folder, 'fifo'), '--instance', 'VI_1'], two.io)
  await until(() => two.texts.stderr.includes('agent: ready'))
  two.end()
  t.equal(await other, 0)
  one.end()
  t.equal(await running, 0)
  t.match(one.texts.stderr, /0 requests refused; 0 in the table/)
  t.ok(existsSync(join(folder, 'table')))
  t.notOk(existsSync(readyFile))
})

t.test('the role that keepalived gives is reported', async (t) => {
  const folder = t.testdir()
  const path = join(folder, 'fifo')
  const { execFileSync } = await import('node:child_process')
  execFileSync('mkfifo', [path])
  const port = await freePorts(1)
  const process = processOf()
  const running = run(
    [
      'agent',
      '--peer',
      '127.0.0.1',
      '--mcast-port',
      String(port),
      '--no-kernel',
      '--notify-fifo',
      path,
      '--no-announce'
    ],
    process.io
  )
  await until(() => process.texts.stderr.includes('listening on'))
  for (const role of ['MASTER', 'BACKUP']) {
    writeFileSync(path, `INSTANCE "VI_1" ${role} 100\n`)
    await until(() => process.texts.stderr.includes(`keepalived reports ${role}`))
  }
  process.end()
  t.equal(await running, 0)
})

t.test('wait-ready says what it waited for, and gives up in time', async (t) => {
  const silent = createServer((_, response) => response.writeHead(503).end('receiving a table\n')).listen(
    0,
    '127.0.0.1'
  )
  const torn = createServer((_, response) => {
    response.writeHead(200, { 'content-length': 100 })
    response.write('half')
    setTimeout(() => response.destroy(), 20)
  }).listen(0, '127.0.0.1')
  const mute = createServer(() => undefined).listen(0, '127.0.0.1')
  await sleep(50)
  const cases: [string, string[], RegExp][] = [
    ['no file', ['--ready-file', '/nowhere/ready', '--timeout', '0'], /no agent has written/],
    ['not ready', ['--http', portOf(silent), '--timeout', '1'], /^receiving a table\n$/],
    ['cut off', ['--http', portOf(torn), '--timeout', '0'], /no agent answers: aborted/],
    ['mute', ['--http', portOf(mute), '--timeout', '0'], /no agent answers: it took too long/],
    ['nobody', ['--http', String(await freePorts(1)), '--timeout', '0'], /no agent answers: .*ECONNREFUSED/]
  ]
  for (const [name, words, expected] of cases) {
    const asker = processOf()
    t.equal(await run(['wait-ready', ...words], asker.io), 1, name)
    t.match(asker.texts.stdout, expected)
  }
  const ended = processOf()
  const waiting = run(['wait-ready', '--http', portOf(silent), '--timeout', '600'], ended.io)
  setTimeout(ended.end, 50)
  t.equal(await waiting, 1)
  t.equal(await run(['agent', '--accept', 'everybody'], processOf().io), 2)
  const lost = processOf()
  t.equal(await run(['wait-ready'], lost.io), 2)
  t.match(lost.texts.stderr, /expected --http .* or --ready-file FILE/)
  for (const server of [silent, torn, mute]) {
    server.close()
    server.closeAllConnections()
  }
})

function portOf(server: ReturnType<typeof createServer>): string {
  return String((server.address() as AddressInfo).port)
}
