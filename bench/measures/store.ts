/**
 * An agent's store. `save` and `load` are microseconds of processor time a connection, `save-held` and `load-held` the longest
 * time in milliseconds that the event loop was held.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConnectionTable } from 'ipvs-sync'
import { MessageReader } from 'ipvs-sync/wire'
import { loadTable, saveTable } from '#lib/daemon/table-store.js'
import { makeMessages } from '../input.js'
import { LoopProbe } from './loop-probe.js'
import { given, print, processorTime } from './timing.js'

const { variant, connections } = given()
const NOW = 1_000_000
const folder = mkdtempSync(join(tmpdir(), 'ipvs-sync-bench-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
const path = join(folder, 'table')
const table = new ConnectionTable({ maxConnections: connections })
const reader = new MessageReader()
for (const message of makeMessages(connections)) {
  reader.read(message)
  const { count } = reader.rows
  for (let i = 0; i < count; i++) table.add(reader.rows, i, NOW)
}
const [direction = '', isHeld] = variant.split('-')
const save = (): Promise<void> => saveTable(table, path, NOW)
const load = async (): Promise<void> => {
  const empty = (): ConnectionTable => new ConnectionTable({ maxConnections: connections })
  const { state, report } = await loadTable(path, empty, { now: NOW, wallClock: NOW })
  if (state !== 'good' || report.loaded !== table.size) throw new Error(`${state}: ${report.loaded} loaded`)
}
const run = direction === 'save' ? save : load
await save()
// Once to compile it, once to measure it; an agent loads once, but saves for days.
if (direction === 'save') await run()
// The probe's timer would cost some of what is measured.
const probe = isHeld === undefined ? undefined : new LoopProbe()
const begin = processorTime()
await run()
const spent = processorTime() - begin
print(probe === undefined ? (spent * 1000) / table.size : await probe.end())
