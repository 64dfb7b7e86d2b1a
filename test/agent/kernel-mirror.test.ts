// Reads of the kernel's table: repeated when lines are missing, given up when they take too long, followed by a pause.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { KernelMirror } from '../../src/agent/kernel.js'
import { systemClock } from '../../src/daemon/clock.js'
import { CONN_SYNC_HEADER, connSyncLine } from '../../src/procfs/write-connections.js'
import { ConnectionTable } from '../../src/table/connection-table.js'
import { tcpConnection } from '../fixtures/support/connections.js'

const LINES = 600

/** A mirror of a file with 600 connections, whose status file counts `counted`. `step` passes with every look at the clock. */
function mirrorOf(t: Test, counted: number, step: number, wait = 0) {
  const folder = t.testdir({ status: `Conns:\t${counted}\n` })
  const connections = join(folder, 'connections')
  const lines = Array.from({ length: LINES }, (_, number) => {
    const { protocol, client, virtual, destination, state } = tcpConnection(number)
    return connSyncLine({ protocol, client, virtual, destination, state, origin: 'LOCAL', expires: 900 })
  })
  writeFileSync(connections, CONN_SYNC_HEADER + lines.join(''))
  let time = 1000
  let reads = 0
  const mirror = new KernelMirror({
    table: new ConnectionTable({ maxConnections: 1000 }),
    clock: { ...systemClock, now: () => (time += step) },
    files: { connections, services: '/nowhere/ip_vs', status: join(folder, 'status') },
    limit: 60_000,
    onLook: () => reads++,
    onRows: () => {
      time += wait
      return Promise.resolve()
    }
  })
  return { mirror, reads: () => reads, now: () => time }
}

t.test('a read with missing lines is repeated three times, and then reported', async (t) => {
  const whole = mirrorOf(t, LINES, 1)
  t.equal(await whole.mirror.look(), LINES)
  t.equal(whole.reads(), 1)
  t.strictSame(
    [whole.mirror.connections, whole.mirror.notes.some(({ code }) => code === 'KERNEL_TABLE_INCOMPLETE')],
    [LINES, false]
  )
  const partial = mirrorOf(t, 2 * LINES, 1)
  t.equal(await partial.mirror.look(), LINES)
  t.equal(partial.reads(), 4)
  const [note] = partial.mirror.notes.filter(({ code }) => code === 'KERNEL_TABLE_INCOMPLETE')
  t.match(note, { text: new RegExp(`showed ${LINES} of ${2 * LINES} connections`) })
})

t.test('a read over its limit is given up, and the next one waits', async (t) => {
  const slow = mirrorOf(t, LINES, 61_000)
  await t.rejects(slow.mirror.look(), { code: 'ERR_IO', field: 'kernelLimit' })
  t.ok(slow.mirror.plan.lastDuration > 60_000)
  t.ok(slow.mirror.plan.nextLook >= slow.now() + 48 * 60_000)
})

t.test('time in which announcements hold the rows back is no part of the read', async (t) => {
  const { mirror } = mirrorOf(t, LINES, 1, 100_000)
  t.equal(await mirror.look(), LINES)
  t.ok(mirror.plan.lastDuration < 1000, String(mirror.plan.lastDuration))
})
