// `decode -i` with the real tcpdump: messages are printed as they arrive, and the end of the command prints a summary.
import { spawn, spawnSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { run } from '../../src/cli/run.js'
import { encodeMessage } from '../../src/wire/encode-message.js'
import { testIo } from '../fixtures/support/test-io.js'

/** Why tcpdump cannot capture here; false where it can. `-d` opens the interface and ends. */
function missing(): string | false {
  const { status, error } = spawnSync('tcpdump', ['-d', '-i', 'lo', 'udp'])
  if (error !== undefined) return 'tcpdump is missing: install tcpdump'
  return status === 0 ? false : 'tcpdump may not capture on lo: run as root'
}

for (const networkInterface of ['lo', 'any'])
  t.test(
    `a live capture on ${networkInterface} prints messages, and a summary at Ctrl-C`,
    { skip: missing() },
    async (t) => {
      const io = testIo()
      // A port of this test alone: others send to 8848 on the loopback interface.
      const port = networkInterface === 'lo' ? 28_911 : 28_913
      const ended = run(['decode', '-i', networkInterface, '--ports', String(port), '--format', 'json'], io)
      const socket = createSocket('udp4')
      const message = encodeMessage({ version: 1, syncid: 77, connections: [] })
      // tcpdump needs some time to start, so the message is repeated.
      for (let i = 0; i < 200 && !io.output().includes('"syncid":77'); i++) {
        socket.send(message, port, '127.0.0.1')
        await setTimeout(100)
      }
      socket.close()
      io.abort()
      t.equal(await ended, 0)
      t.match(JSON.parse(io.output().split('\n')[0]!), { syncid: 77, source: { address: '127.0.0.1' } })
      t.match(io.errors(), /^\d+ messages?, 0 records, 0 distinct connections, 0 problems/m)
    }
  )

t.test('so does a pipe from tcpdump, at SIGINT', { skip: missing() }, async (t) => {
  const port = 28_912
  const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
  const tcpdump = spawn('tcpdump', ['-U', '-i', 'lo', '-w', '-', `udp port ${port}`], {
    stdio: ['ignore', 'pipe', 'ignore']
  })
  const words = [...process.execArgv, main, 'decode', '--ports', String(port), '--format', 'json', '-']
  const decode = spawn(process.execPath, words, { stdio: ['pipe', 'pipe', 'pipe'] })
  tcpdump.stdout.pipe(decode.stdin)
  decode.stdin.on('error', () => undefined)
  let [output, errors] = ['', '']
  decode.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  decode.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  const socket = createSocket('udp4')
  const message = encodeMessage({ version: 1, syncid: 78, connections: [] })
  for (let i = 0; i < 300 && !output.includes('"syncid":78'); i++) {
    socket.send(message, port, '127.0.0.1')
    await setTimeout(100)
  }
  socket.close()
  const ended = once(decode, 'close')
  decode.kill('SIGINT')
  t.strictSame(await ended, [0, null])
  tcpdump.kill()
  t.match(output, '"syncid":78')
  t.match(errors, /^\d+ messages?, 0 records, 0 distinct connections, 0 problems/m)
})
