// The lock of a stored table.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { AgentNotices } from '../../src/agent/notices.js'
import { AgentStore, lockStore } from '../../src/agent/store.js'
import { systemClock } from '../../src/daemon/clock.js'
import { saveTable } from '../../src/daemon/table-store.js'
import { ConnectionTable } from '../../src/table/connection-table.js'
import { tcpConnection } from '../fixtures/support/connections.js'

/** No process has it: ids end at 2^22. */
const ENDED = 2 ** 22 + 1

t.test('the lock of a running process holds; others are taken over', (t) => {
  const path = join(t.testdir(), 'table')
  writeFileSync(`${path}.lock`, `${process.ppid}\n`)
  t.strictSame(lockStore(path), { holder: process.ppid })
  for (const content of [`${ENDED}\n`, `${process.pid}\n`, 'nonsense', '']) {
    writeFileSync(`${path}.lock`, content)
    const lock = lockStore(path)
    t.ok('release' in lock, JSON.stringify(content))
    if ('release' in lock) lock.release()
    t.notOk(existsSync(`${path}.lock`))
  }
  t.throws(() => lockStore(join(path, 'none')), { code: /ENOENT|ENOTDIR/ })
  t.end()
})

t.test('a store that another process uses is neither loaded nor saved', async (t) => {
  const path = join(t.testdir(), 'table')
  const empty = (): ConnectionTable => new ConnectionTable({ maxConnections: 10 })
  const table = empty()
  table.set(tcpConnection(1, { timeout: 900 }), 1000)
  await saveTable(table, path, 1000)
  const reported: string[] = []
  const storeOf = (file = path): AgentStore =>
    new AgentStore({
      path: file,
      clock: systemClock,
      wallClock: Date.now,
      empty,
      notices: new AgentNotices((code) => reported.push(code))
    })
  writeFileSync(`${path}.lock`, `${process.ppid}\n`)
  const store = storeOf()
  t.equal((await store.load()).size, 0)
  await store.saveLast(table)
  t.equal(store.age, undefined)
  t.ok(existsSync(`${path}.lock`), 'the lock stays')
  t.strictSame(reported, ['STORE_LOCKED'])
  writeFileSync(`${path}.lock`, `${ENDED}`)
  const next = storeOf()
  await next.load()
  await next.saveLast(table)
  t.ok(next.age !== undefined)
  t.notOk(existsSync(`${path}.lock`))
  reported.length = 0
  t.equal((await storeOf(join(path, '..', 'none', 'table')).load()).size, 0)
  t.strictSame(reported, ['STORE_LOCK_FAILED'])
})
