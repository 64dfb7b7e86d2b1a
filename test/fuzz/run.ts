/**
 * The longer fuzzing: `npm run fuzz`. FUZZ_SEED repeats a run, FUZZ_RUNS sets how many messages are mutated (a hundredth
 * as many capture files).
 */

import { readdirSync, readFileSync } from 'node:fs'
import { CaptureReader } from 'ipvs-sync/capture'
import { decodeMessage, formatMessage, MessageReader } from 'ipvs-sync/wire'
import { fuzzCaptures } from './capture.js'
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
