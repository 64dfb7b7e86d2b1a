import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { run } from '../../src/cli/run.js'
import { recordedRecords } from '../fixtures/support/recorded-director.js'
import { testIo } from '../fixtures/support/test-io.js'

const captures = fileURLToPath(new URL('../fixtures/captures/', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'ipvs-sync-simulate-'))
t.teardown(() => rmSync(folder, { recursive: true }))

const of = (name: string): string[] => [
  '--services',
  `${captures}${name}/director.ip_vs`,
  `${captures}${name}/client-side.pcap`
]

async function command(words: readonly string[], stdin?: Uint8Array) {
  const io = testIo(stdin === undefined ? {} : { stdin })
  const code = await run(words, io)
  return { code, output: io.output(), errors: io.errors() }
}

/** The figure of a line of the table. */
function figure(output: string, name: string): string {
  return (
    output
      .split('\n')
      .find((line) => line.startsWith(name))
      ?.slice(name.length)
      .trim() ?? ''
  )
}

t.test('json prints the messages that the director would send', async (t) => {
  const { code, output } = await command(['simulate', '--format', 'json', '--syncid', '7', ...of('tcp-udp6')])
  t.equal(code, 0)
  const lines = output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  t.strictSame(
    lines.flatMap(({ connections }) => connections as object[]).map((connection) => JSON.stringify(connection)),
    recordedRecords('tcp-udp6')
  )
  t.match(lines[0], { syncid: 7, version: 1, problems: [], destination: { address: '224.0.0.81', port: 8848 } })
  const decoded = JSON.parse(
    (await command(['decode', '--format', 'json', `${captures}tcp-udp6/sync.pcap`])).output.split('\n')[0]!
  ) as object
  t.strictSame(Object.keys(lines[0]!), Object.keys(decoded), 'the keys of decode, in its order')
  t.match(lines[0]!['time'], /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
  t.strictSame(
    lines.map(({ frame }) => frame),
    lines.map((_, at) => at + 1)
  )
})

t.test('table counts connections, records, losses and ghosts', async (t) => {
  const { code, output } = await command(['simulate', '--failover-at', '0.5', ...of('tcp4-nat')])
  t.equal(code, 0)
  t.equal(figure(output, 'records  '), '13')
  t.equal(figure(output, 'connections'), '7')
  t.equal(figure(output, 'cut off or not understood'), '0')
  t.match(figure(output, 'lost by a failover at 0.5 s'), /^\d+$/)
})

t.test('a persistent director: services in ticks, marks, templates', async (t) => {
  const marks = ['5=dst host 10.0.1.101 and tcp dst port 80,443', '6=udp dst port 90', '7=dst net fd00:1::101/128']
  const { output, errors } = await command(['simulate', ...of('persist'), ...marks.flatMap((mark) => ['--mark', mark])])
  t.equal(figure(output, 'records  '), '478')
  t.match(errors, '250 a second')
})

t.test('runs side by side, with losses', async (t) => {
  const { code, output } = await command([
    'simulate',
    ...['--workload', 'web', '--loss', '0.3', '--seed', '5', '--timeouts', '600,60,0', '--local', '10.1.0.1'],
    ...['--compare', 'sync_threshold=1 10', '--compare', 'sync_refresh_period=10 sync_retries=2 sync_persist_mode=1']
  ])
  t.equal(code, 0)
  t.match(output, /as given +sync_threshold=1 10 +sync_refresh_period=10 sync_retries=2/)
  t.match(figure(output, 'messages'), 'lost')
})

t.test('html draws a point for each run', async (t) => {
  const { output } = await command([
    'simulate',
    '--format',
    'html',
    '--workload',
    'dns',
    '--compare',
    'sync_threshold=0 1'
  ])
  t.equal(output.match(/<circle/g)?.length, 2)
  t.match(output, 'sync_threshold=0 1')
})

t.test('a workload from a file, with its own services', async (t) => {
  const workload = join(folder, 'workload.json')
  const services = join(folder, 'services')
  writeFileSync(
    workload,
    JSON.stringify({
      seconds: 400,
      mixes: [
        { protocol: 'TCP', rate: 0.2, packets: { uniform: [200, 400] }, spacing: { pareto: [2, 0.4] }, clients: 9 },
        { protocol: 'UDP', rate: 0.1, packets: 3, spacing: 1 }
      ]
    })
  )
  writeFileSync(
    services,
    '-A -t [fd00::1]:80 -s rr -p 300\n-a -t [fd00::1]:80 -r [fd00::2]:80 -g -w 1\n-A -u 10.0.0.1:53 -s rr\n-a -u 10.0.0.1:53 -r 10.0.0.2:53 -m -w 1\n'
  )
  const { code, output, errors } = await command([
    ...['simulate', '--workload', workload, '--services', services],
    ...['--sysctl', 'sync_persist_mode=1', '--sysctl', 'sloppy_tcp=1']
  ])
  t.equal(code, 0)
  t.match(errors, 'order')
  t.not(figure(output, 'templates'), '0')
  const noUdp = join(folder, 'no-udp')
  writeFileSync(noUdp, '-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.0.0.2:80 -m\nnonsense here\n')
  t.equal((await command(['simulate', '--workload', 'dns', '--services', noUdp])).code, 2)
  t.match((await command(['simulate', '--workload', 'web', '--services', noUdp])).errors, '1 lines not read')
})

t.test('long-lived connections that a backup lacks are listed, up to a limit', async (t) => {
  const { output } = await command(['simulate', '--workload', 'long-lived', '--sysctl', 'sync_threshold=100000 0'])
  t.match(output, /lost by a failover at [\d.]+ s:/)
  t.match(output, /and \d+ more/)
})

t.test('defences leave ghosts, and packets that opened nothing are named with their variable', async (t) => {
  const { output } = await command([
    'simulate',
    '--workload',
    'web',
    '--sysctl',
    'drop_packet=3',
    '--sysctl',
    'am_droprate=4'
  ])
  t.match(output, '(drop_packet)')
})

t.test('captures in gzip and from standard input; damaged and foreign packets are no finding', async (t) => {
  const bytes = readFileSync(`${captures}udp4/client-side.pcap`)
  // By content, whatever the name.
  const file = join(folder, 'udp4.pcap')
  writeFileSync(file, gzipSync(bytes))
  const services = ['--services', `${captures}udp4/director.ip_vs`]
  t.equal(figure((await command(['simulate', ...services, file])).output, 'records  '), '16')
  t.equal((await command(['simulate', ...services, '-'], bytes.subarray(0, 5000))).code, 0)
  t.equal(figure((await command(['simulate', ...services, '-'], gzipSync(bytes))).output, 'records  '), '16')
  const cut = await command(['simulate', ...services, '-'], gzipSync(bytes).subarray(0, 900))
  t.equal(cut.code, 0)
  t.equal(figure(cut.output, 'cut off or not understood'), '1')
  const other = await command(['simulate', ...services, `${captures}tcp4-nat/client-side.pcap`])
  t.equal(other.code, 0)
  t.equal(figure(other.output, 'announced'), '0')
})

t.test('usage errors end with 2, files that cannot be read with 3', async (t) => {
  const capture = `${captures}udp4/client-side.pcap`
  const services = ['--services', `${captures}udp4/director.ip_vs`]
  const bad = join(folder, 'bad.json')
  writeFileSync(bad, '{')
  const odd = join(folder, 'odd.json')
  writeFileSync(odd, '{"seconds":1,"mixes":[{"protocol":"TCP","rate":1,"packets":"x","spacing":null}]}')
  const none = join(folder, 'none')
  writeFileSync(none, '')
  for (const words of [
    [...services],
    [capture],
    ['--services', none, capture],
    [...services, capture, '--mark', 'x'],
    [...services, capture, '--mark', '5=host 1'],
    [...services, capture, '--mark', '5=dst port 99999'],
    [...services, capture, '--mark', '5=dst host nowhere'],
    [...services, capture, '--local', 'x'],
    [...services, capture, '--timeouts', '1,2'],
    [...services, capture, '--loss', '2'],
    [...services, capture, '--failover-at', 'x'],
    [...services, capture, '--compare', 'x'],
    [...services, '-', '--compare', 'sync_threshold=0 1'],
    ['--workload', bad],
    ['--workload', odd]
  ])
    t.equal((await command(['simulate', ...words])).code, 2, words.join(' '))
  for (const file of [`${folder}/absent`, `${folder}/absent.gz`, bad])
    t.equal((await command(['simulate', ...services, file])).code, 3, file)
})
