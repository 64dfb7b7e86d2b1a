/**
 * Microseconds of processor time a connection to store a table (`save`) and to read it back (`load`), by the file that an
 * agent keeps; `stringify` and `parse` are what JSON alone takes for the same lines.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConnectionTable } from 'ipvs-sync'
import { MessageReader } from 'ipvs-sync/wire'
import { makeMessages } from '../input.js'
import { given, print, processorTime } from './timing.js'

const { variant, connections } = given()
const NOW = 1_000_000

/** A part of the agent that the package does not export. */
interface TableStore {
  readonly saveTable: (table: ConnectionTable, path: string, savedAt: number) => Promise<void>
  readonly loadTable: (
    path: string,
    createTable: () => ConnectionTable,
    times: { readonly now: number; readonly wallClock: number }
  ) => Promise<{ readonly state: string; readonly report: { readonly loaded: number } }>
}
const { loadTable, saveTable } = (await import(
  new URL('../../../lib/daemon/table-store.js', import.meta.url).href
)) as TableStore
const folder = mkdtempSync(join(tmpdir(), 'ipvs-sync-bench-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
const path = join(folder, 'table')
const empty = (): ConnectionTable => new ConnectionTable({ maxConnections: connections })

function filled(): ConnectionTable {
  const table = empty()
  const reader = new MessageReader()
  for (const message of makeMessages(connections)) {
    reader.read(message)
    const { count } = reader.rows
    for (let i = 0; i < count; i++) table.add(reader.rows, i, NOW)
  }
  return table
}

const table = filled()
await saveTable(table, path, NOW)

const variants: Record<string, () => Promise<unknown>> = {
  save: () => saveTable(table, path, NOW),
  load: async () => {
    const { state, report } = await loadTable(path, empty, { now: NOW, wallClock: NOW })
    if (state !== 'good' || report.loaded !== table.size) throw new Error(`${state}: ${report.loaded} loaded`)
  },
  stringify: async () => {
    let bytes = 0
    for (const value of values) bytes += JSON.stringify(value).length
    if (bytes === 0) throw new Error('nothing was written')
  },
  parse: async () => {
    for (const line of lines) JSON.parse(line)
  }
}
const lines = variant === 'parse' || variant === 'stringify' ? readFileSync(path, 'latin1').trimEnd().split('\n') : []
const values: unknown[] = variant === 'stringify' ? lines.map((line) => JSON.parse(line) as unknown) : []

await variants[variant]!()
const begin = processorTime()
await variants[variant]!()
print(((processorTime() - begin) * 1000) / table.size)
