import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { run } from '../../src/cli/run.js'
import { testIo } from '../fixtures/support/test-io.js'

const captures = fileURLToPath(new URL('../fixtures/captures/', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'ipvs-sync-explain-'))
t.teardown(() => rmSync(folder, { recursive: true }))

async function explain(client: string, name: string, ...words: readonly string[]) {
  const io = testIo()
  const services = ['--services', `${captures}${name}/director.ip_vs`]
  const code = await run(['explain', client, `${captures}${name}/client-side.pcap`, ...services, ...words], io)
  return { code, output: io.output(), lines: io.output().trim().split('\n') }
}

t.test('a connection through NAT, packet by packet', async (t) => {
  const { code, lines } = await explain('10.0.1.10:20001', 'tcp4-nat')
  t.equal(code, 0)
  t.match(lines[0], /in +SYN +SYN_RECV +packet 1, timeout 60 s/)
  t.match(lines[2], 'SYN_RECV -> ESTABLISHED')
  t.match(lines[3], 'sync_threshold')
  t.match(lines.at(-1), 'would survive')
})

t.test('a client that was never announced would not survive', async (t) => {
  const { output } = await explain('10.0.1.13', 'tcp4-nat', '--sysctl', 'sync_threshold=100000 0')
  t.match(output, 'would not survive')
})

t.test('templates: the decision about them, and what they save', async (t) => {
  const { output } = await explain('10.0.1.10', 'persist')
  t.match(output, 'template')
  const templates = await explain(
    '10.0.1.14',
    'persist',
    '--sysctl',
    'sync_threshold=100000 0',
    '--sysctl',
    'sync_refresh_period=10',
    '--sysctl',
    'sync_persist_mode=1'
  )
  t.match(templates.output, 'holds its template')
})

t.test('SCTP, UDP without replies, IPv6, ICMP', async (t) => {
  t.match((await explain('10.0.1.10', 'sctp')).output, 'chunk 1 ')
  t.match((await explain('10.0.1.10', 'udp4')).output, 'datagram UDP')
  t.match((await explain('fd00:1::10', 'tcp-udp6')).output, '[fd00:1::10]')
})

t.test('a reset connection has ended; a port that is used again says why', async (t) => {
  const { output } = await explain('10.0.1.10', 'tcp4-nat', '--timeouts', '1,1,1')
  t.match(output, /ended|survive/)
})

t.test('packets that open nothing are explained too', async (t) => {
  const services = join(folder, 'services')
  writeFileSync(services, '-A -t 10.0.1.100:81 -s rr\n-a -t 10.0.1.100:81 -r 10.0.2.11:81 -m -w 1\n')
  const io = testIo()
  const code = await run(['explain', '10.0.1.10', `${captures}tcp4-nat/client-side.pcap`, '--services', services], io)
  t.equal(code, 0)
  t.match(io.output(), 'no virtual service')
  t.match(io.output(), 'No reply was captured')
})

t.test('an unknown client ends with 1, one that is no address with 2', async (t) => {
  t.equal((await explain('192.0.2.1', 'tcp4-nat')).code, 1)
  t.equal((await explain('nobody', 'tcp4-nat')).code, 2)
})
