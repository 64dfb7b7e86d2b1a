// Files that are replaced as a whole, whatever call fails.
import * as fs from 'node:fs'
import * as promises from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { distrustOf, replaceFile, replaceFileSync } from '../../src/daemon/replace-file.js'

type Module = typeof import('../../src/daemon/replace-file.js')

const NEW = [Buffer.from('new '), Buffer.from('content')]
const fail = (): never => {
  throw new Error('injected')
}

t.test('a file is replaced with its permissions, a new one is private, and links are not followed', async (t) => {
  const folder = t.testdir({ old: 'old', victim: 'precious' })
  const at = (name: string): string => join(folder, name)
  fs.chmodSync(at('old'), 0o646)
  fs.symlinkSync(at('victim'), at('link'))
  for (const name of ['old', 'link', 'new']) await replaceFile(at(name), NEW)
  for (const name of ['old', 'link', 'new']) t.equal(fs.readFileSync(at(name), 'utf8'), 'new content')
  t.equal(fs.lstatSync(at('old')).mode & 0o777, 0o644, 'others lose the right to write')
  t.equal(fs.lstatSync(at('new')).mode & 0o777, 0o600)
  t.ok(fs.lstatSync(at('link')).isFile())
  replaceFileSync(at('text'), 'text')
  t.equal(fs.lstatSync(at('text')).mode & 0o777, 0o600)
  replaceFileSync(at('old'), 'text', 0o600)
  t.equal(fs.lstatSync(at('old')).mode & 0o777, 0o644)
  t.equal(fs.readFileSync(at('victim'), 'utf8'), 'precious')
  t.strictSame(fs.readdirSync(folder).sort(), ['link', 'new', 'old', 'text', 'victim'])
})

t.test('a call that fails leaves the old file and no temporary one', async (t) => {
  const folder = t.testdir({ file: 'old' })
  const path = join(folder, 'file')
  const left = (name: string): void => {
    t.equal(fs.readFileSync(path, 'utf8'), 'old', name)
    t.strictSame(fs.readdirSync(folder), ['file'], name)
  }
  const openBroken =
    (call: 'chmod' | 'writeFile' | 'sync') =>
    async (...args: Parameters<typeof promises.open>) =>
      Object.assign(await promises.open(...args), { [call]: () => Promise.reject(new Error('injected')) })
  const faults = {
    open: { open: fail },
    chmod: { open: openBroken('chmod') },
    write: { open: openBroken('writeFile') },
    sync: { open: openBroken('sync') },
    rename: { rename: fail }
  }
  for (const [name, fault] of Object.entries(faults)) {
    const { replaceFile } = await t.mockImport<Module>('../../src/daemon/replace-file.js', {
      'node:fs/promises': { ...promises, ...fault }
    })
    await t.rejects(replaceFile(path, NEW), { message: 'injected' }, name)
    left(name)
  }
  for (const name of ['openSync', 'fchmodSync', 'writeFileSync', 'fsyncSync', 'renameSync']) {
    const { replaceFileSync } = await t.mockImport<Module>('../../src/daemon/replace-file.js', {
      'node:fs': { ...fs, [name]: fail }
    })
    t.throws(() => replaceFileSync(path, 'new'), { message: 'injected' }, name)
    left(name)
  }
})

t.test('a file of the future is not trusted, nor one that others can write', (t) => {
  const path = join(t.testdir({ file: '' }), 'file')
  const { mtimeMs } = fs.statSync(path)
  t.equal(distrustOf(path, mtimeMs - 19_000), undefined)
  t.match(distrustOf(path, mtimeMs - 21_000), /dated ahead/)
  t.equal(distrustOf(path), undefined)
  t.equal(distrustOf(`${path}s`), undefined)
  fs.symlinkSync(`${path}-loop`, `${path}-loop`)
  t.equal(distrustOf(`${path}-loop`), undefined)
  fs.chmodSync(path, 0o602)
  t.match(distrustOf(path), /others cannot write/)
  t.end()
})
