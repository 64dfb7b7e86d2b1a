// Two processes on the loopback interface: everything that is announced arrives, by the receiver's own counters.
import { fork } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { MasterCounters } from '../../src/engine/master/counters.js'
import { SyncBackup } from '../../src/daemon/backup/sync-backup.js'
import { freePorts } from '../fixtures/support/loopback.js'

const COUNT = 100_000
const BUFFER = 4 * 1024 * 1024
const MASTER = fileURLToPath(new URL('../fixtures/support/announcing-master.ts', import.meta.url))
// Where the receive buffer can hold all of it the pace does not matter; elsewhere a slower pace keeps it from overflowing.
const rmemMax = Number(readFileSync('/proc/sys/net/core/rmem_max', 'utf8'))
const RATE = rmemMax >= BUFFER ? 1_000_000 : 50_000

/** Runs a master to its end; resolves to its counters. */
async function announce(port: number, channels: number): Promise<MasterCounters> {
  // The child is compiled as this test is, but is no test: nothing of it counts as covered.
  const execArgv = process.execArgv.filter((argument) => argument.includes('typescript'))
  const child = fork(MASTER, [port, channels, COUNT, RATE].map(String), { execArgv, env: {} })
  return new Promise((resolve, reject) => {
    child.once('message', (counters) => resolve(counters as MasterCounters))
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`the master ended with ${code}`)))
  })
}

for (const channels of [1, 4, 64]) {
  t.test(`100,000 connections over ${channels} channels: every one arrives`, async (t) => {
    const port = await freePorts(channels)
    const backup = new SyncBackup({
      peers: [{ address: '127.0.0.1', port }],
      sysctls: { syncPorts: channels, syncSockSize: BUFFER }
    })
    await backup.start()
    const { sent, dropped } = await announce(port, channels)
    t.strictSame([sent, dropped], [COUNT, 0])
    // What was sent is in the socket's buffer: it only has to be read.
    for (let looks = 0; backup.counters().applied < COUNT && looks < 500; looks++) {
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    t.match(backup.counters(), { applied: COUNT, created: COUNT, dropped: {}, skipped: {} })
    t.equal(backup.table.size, COUNT)
    t.equal(backup.counters().received.length, channels, 'every channel was used')
    t.equal(backup.receiveDrops() ?? 0, 0)
    await backup.close()
  })
}
