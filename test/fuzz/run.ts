/**
 * The longer fuzzing: `npm run fuzz`. FUZZ_SEED repeats a run. FUZZ_RUNS sets how many messages are mutated (a hundredth as
 * many capture files and runs of the agents' nemesis), FUZZ_SECONDS how long running daemons get random input, and each of
 * them failing system calls.
 */

import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { SyncMaster } from 'ipvs-sync'
import { CaptureReader } from 'ipvs-sync/capture'
import { decodeMessage, formatMessage, MessageReader } from 'ipvs-sync/wire'
import { fuzzCaptures } from './capture.js'
import { runFaults } from '../fixtures/faults/scenario.js'
import { runNemesis } from '../fixtures/support/agent-nemesis.js'
import { fuzzDaemons } from './daemons.js'
import { fuzzMessages } from './wire.js'

const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31)
const runs = Number(process.env['FUZZ_RUNS'] ?? 1_000_000)
console.log(`seed ${seed} (repeat with FUZZ_SEED=${seed})`)

const folder = 'test/fixtures/captures'
const captures = readdirSync(folder, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => new Uint8Array(readFileSync(`${folder}/${name}/sync.pcap`)))
const messages = captures.flatMap((file) => {
  const reader = new CaptureReader()
  return reader.push(file).flatMap((item) => (item.kind === 'datagram' ? [item.payload] : []))
})

/** A dump takes a hundred times as long as reading: one message in this many gets one. */
const DUMP_EACH = 50
let checked = 0

/** The quick reader and the grammar see the same connections, and a dump labels every byte. */
function check(bytes: Uint8Array): { connections: number; problems: number } {
  const reader = new MessageReader()
  const { connections, problems } = decodeMessage(bytes)
  reader.read(bytes)
  const { count } = reader.rows
  if (count !== connections.length) throw new Error(`rows ${count}, grammar ${connections.length}`)
  JSON.stringify(connections)
  checked += 1
  if (checked % DUMP_EACH === 0) checkDump(bytes)
  return { connections: connections.length, problems: problems.length }
}

function checkDump(bytes: Uint8Array): void {
  const lines = formatMessage(bytes, { style: 'dump' }).matchAll(/^[0-9a-f]{4} {2}((?:[0-9a-f]{2} )+)/gm)
  const shown = [...lines].flatMap(([, hex]) => hex!.trim().split(' '))
  if (shown.length !== bytes.length) throw new Error(`dump has ${shown.length} of ${bytes.length} bytes`)
}

const started = process.memoryUsage().rss
console.log('messages', fuzzMessages({ check, seeds: messages, runs, seed }))
const readers = { createReader: () => new CaptureReader(), decode: decodeMessage }
console.log('captures', fuzzCaptures({ ...readers, seeds: captures, runs: Math.ceil(runs / 100), seed }))
console.log(`resident memory grew by ${Math.round((process.memoryUsage().rss - started) / 1_048_576)} MiB`)

const nemeses = Math.ceil(runs / 100)
for (let run = 0; run < nemeses; run++) {
  const { violations } = runNemesis(seed + run)
  if (violations.length > 0) throw new Error(`nemesis, seed ${seed + run}: ${violations.join('; ')}`)
}
console.log('nemesis', { runs: nemeses })

const seconds = Number(process.env['FUZZ_SECONDS'] ?? 60)
const program = {
  execArgv: [],
  main: fileURLToPath(new URL('../../../lib/cli/main.js', import.meta.url)),
  inject: fileURLToPath(new URL('../fixtures/faults/inject.js', import.meta.url))
}
const port = 20_000 + (seed % 10_000)
if (seconds > 0) {
  console.log('daemons', { inputs: await fuzzDaemons({ program, port, messages, seconds, seed }) })
  const traffic = new SyncMaster({ mcastInterface: 'lo', mcastPort: port + 5, syncid: 5 })
  await traffic.start()
  let sent = 0
  const timer = setInterval(() => {
    for (let i = 0; i < 40; i++, sent++)
      traffic.announce({
        family: 'ipv4',
        protocol: 'TCP',
        client: { address: '10.1.0.2', port: 1024 + (sent % 1000) },
        virtual: { address: '10.1.0.1', port: 80 },
        destination: { address: '10.2.0.2', port: 80 },
        forwarding: 'MASQ',
        flags: [],
        state: 'ESTABLISHED'
      })
  }, 20)
  for (const name of ['backup', 'master demo', 'master kernel', 'agent'] as const) {
    const options = { program, port: port + 5, seed, codesPerCall: 7, randomSeconds: seconds / 4 }
    const result = await runFaults(name, options)
    console.log('faults', name, result)
    if (result.violations.length > 0) process.exitCode = 1
  }
  clearInterval(timer)
  await traffic.close()
}
