// No failed system call ends a daemon: each call of a running backup, master and agent fails, then any at random.
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { SyncMaster } from '../../src/daemon/master/sync-master.js'
import { tcpConnection } from '../fixtures/support/connections.js'
import { freePorts, noMulticast } from '../fixtures/support/loopback.js'
import { runFaults, type FaultResult } from '../fixtures/faults/scenario.js'

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const program = {
  execArgv: process.execArgv.filter((argument) => argument.includes('typescript')),
  main: here('../../src/cli/main.ts'),
  inject: here('../fixtures/faults/inject.ts')
}
const skip = await noMulticast()

const NAMES = ['backup', 'master demo', 'master kernel', 'agent'] as const

async function run(name: (typeof NAMES)[number]): Promise<FaultResult> {
  const port = await freePorts(1)
  const master = new SyncMaster({ mcastInterface: 'lo', mcastPort: port, syncid: 5 })
  await master.start()
  let sent = 0
  const traffic = setInterval(() => {
    for (let i = 0; i < 40; i++) master.announce(tcpConnection(sent++ % 1000))
  }, 20)
  const result = await runFaults(name, { program, port, seed: 1, codesPerCall: 1, randomSeconds: 1 })
  clearInterval(traffic)
  await master.close()
  return result
}

t.test('every daemon lives, reports once and recovers', { skip, timeout: 600_000 }, async (t) => {
  // Two at a time: as many as the smallest machine has processors.
  const results = [...(await Promise.all(NAMES.slice(0, 2).map(run))), ...(await Promise.all(NAMES.slice(2).map(run)))]
  for (const [index, { violations, calls, failures }] of results.entries()) {
    t.strictSame(violations, [], NAMES[index]!)
    t.ok(failures > calls / 2, `${NAMES[index]}: ${failures} failures of ${calls} calls`)
  }
})
