/**
 * One agent gives its table to another over the group on loopback, each in its own process; no connection may be missing.
 * `seconds` is the time from the requester's start until it has the whole table, `memory` the responder's peak in MiB, `held`
 * the longest time in milliseconds that the responder's event loop was held (by reads, answer and store).
 * Arguments: variant, mix of the table, receive buffer in bytes (0: the system's default), connections, port.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Agent } from 'ipvs-sync/agent'
import { writeKernelTable, type TableMix } from '../kernel-table-file.js'
import { LoopProbe } from './loop-probe.js'
import { print } from './timing.js'

const [variant = '', mix = 'ipv4', buffer = '0', count = '', port = '18848', file = ''] = process.argv.slice(2)
const connections = Number(count)
const common = {
  mcastInterface: 'lo',
  mcastPort: Number(port),
  syncid: 77,
  own: 'table',
  announce: false,
  // The largest message on Ethernet; that of the loopback interface would be 64 kB.
  syncMaxlen: 1472,
  maxConnections: connections,
  sysctls: { syncSockSize: Number(buffer) }
} as const
await (variant === 'responder' ? respond() : request())

/** Reads the table, saves it, answers. */
async function respond(): Promise<void> {
  const store = `${file}.store`
  const probe = new LoopProbe()
  const agent = new Agent({
    ...common,
    kernelFiles: { connections: file, services: '/dev/null', status: '/dev/null' },
    kernelInterval: 10_000,
    store,
    storeInterval: 2000,
    times: { limit: 500 }
  })
  await agent.start()
  while (!agent.ready || !existsSync(store)) await new Promise((resolve) => setTimeout(resolve, 50))
  process.send!({})
  await once(process, 'message')
  const held = await probe.end()
  const { tablesSent } = agent.report()
  process.send!({ held, memory: process.resourceUsage().maxRSS / 1024, tablesSent })
  await agent.close()
  process.disconnect()
}

async function request(): Promise<void> {
  const table = writeKernelTable(connections, mix as TableMix)
  const folder = mkdtempSync(join(tmpdir(), 'ipvs-sync-bench-'))
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  const words = ['responder', mix, buffer, count, port, table]
  const responder = fork(fileURLToPath(import.meta.url), words, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  await once(responder, 'message')
  const agent = new Agent({ ...common, kernel: false })
  const begin = performance.now()
  await agent.start()
  while (agent.outcome === undefined) await new Promise((resolve) => setTimeout(resolve, 20))
  const seconds = (performance.now() - begin) / 1000
  const { outcome, table: received } = agent
  await agent.close()
  const answer = once(responder, 'message')
  responder.send({})
  const [{ held, memory, tablesSent }] = (await answer) as [Readonly<Record<string, number>>]
  if (outcome !== 'complete' || received.size !== connections || tablesSent !== 1)
    throw new Error(`${outcome}: ${received.size} of ${connections} connections, ${tablesSent} tables sent`)
  const results: Readonly<Record<string, number>> = { seconds, memory: memory!, held: held! }
  print(results[variant]!)
}
