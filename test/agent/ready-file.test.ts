// The ready file: what is believed of it, and how it is written.
import { lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readReadyFile, writeReadyFile } from '../../src/agent/ready-file.js'

t.test('a file that is dated ahead of time is not ready', (t) => {
  const path = join(t.testdir(), 'ready')
  writeReadyFile(path, { ready: true, status: 'well', writtenAt: 100_000 })
  t.ok(readReadyFile(path, 90_000).ready, 'a clock that was set back a little')
  t.strictSame(readReadyFile(path, 79_999), { ready: false, status: `${path} is dated ahead of time` })
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
