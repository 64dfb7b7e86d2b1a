// The ready file: what is believed of it, and how it is written.
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readReadyFile, writeReadyFile } from '../../src/agent/ready-file.js'

t.test('a file that has a time in the future is not ready', (t) => {
  const path = join(t.testdir(), 'ready')
  writeReadyFile(path, { ready: true, status: 'well', writtenAt: 100_000 })
  t.ok(readReadyFile(path, 90_000).ready, 'a clock that was set back a little')
  t.strictSame(readReadyFile(path, 79_999), { ready: false, status: `${path} has a time in the future` })
  t.end()
})

t.test('writing follows no link and leaves no temporary file', (t) => {
  const folder = t.testdir({ victim: 'precious' })
  const path = join(folder, 'ready')
  symlinkSync(join(folder, 'victim'), path)
  symlinkSync(join(folder, 'victim'), `${path}.new`)
  writeReadyFile(path, { ready: true, status: 'well', writtenAt: 1 })
  t.equal(readFileSync(join(folder, 'victim'), 'utf8'), 'precious')
  t.ok(lstatSync(path).isFile())
  const other = join(folder, 'folder')
  mkdirSync(other)
  writeFileSync(join(other, 'inside'), '')
  t.throws(() => writeReadyFile(other, { ready: true, status: 'well', writtenAt: 1 }), /rename/)
  t.strictSame(readdirSync(folder).sort(), ['folder', 'ready', 'ready.new', 'victim'])
  t.end()
})

t.test('the outcome is kept; a file of an earlier boot, or one that others can write, does not count', (t) => {
  const path = join(t.testdir(), 'ready')
  const state = { ready: true, outcome: 'alone', status: 'well', writtenAt: 1000 } as const
  writeReadyFile(path, state)
  t.strictSame(readReadyFile(path, 1000), { ready: true, outcome: 'alone', status: 'well' })
  t.equal(lstatSync(path).mode & 0o777, 0o644, 'a script of another user can read it')
  writeReadyFile(path, { ...state, boot: '00000000-0000-0000-0000-000000000000' })
  t.strictSame(readReadyFile(path, 1000), { ready: false, status: `${path} was written before this boot` })
  writeReadyFile(path, state)
  chmodSync(path, 0o666)
  t.match(readReadyFile(path, 1000), { ready: false, status: /others cannot write/ })
  writeReadyFile(path, state)
  t.equal(readReadyFile(path, 1000).ready, true, 'a new file takes the permission away')
  t.end()
})

t.test('a file of another user does not count', { skip: process.getuid?.() !== 0 && 'not root' }, (t) => {
  const folder = t.testdir()
  const path = join(folder, 'ready')
  writeReadyFile(path, { ready: true, status: 'well', writtenAt: 1000 })
  chownSync(path, 12_345, 12_345)
  t.match(readReadyFile(path, 1000), { ready: false, status: /got one of user 12345/ })
  chownSync(folder, 12_345, 12_345)
  t.equal(readReadyFile(path, 1000).ready, true, 'the owner of the folder could replace it')
  t.end()
})
