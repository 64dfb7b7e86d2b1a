// Keys: their text, their file, and the HMAC held against node:crypto's own.
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { IpvsSyncError } from '../../src/errors.js'
import { generateKey, Key, parseKeys, readKeyFile } from '../../src/trust/keys.js'

function refusal(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof IpvsSyncError && error.code === 'ERR_CONFIG' && error.field === 'keyFile') return error.message
    throw error
  }
  return 'accepted'
}

t.test('a MAC is the first 16 bytes of HMAC-SHA-256, for any key and any bytes', async (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      fc.uint8Array({ maxLength: 2000 }),
      (secret, bytes) => {
        const key = new Key(secret)
        const expected = createHmac('sha256', secret).update(bytes).digest().subarray(0, 16)
        t.same(Buffer.from(key.mac(bytes)), expected)
        return key.verifies(bytes, expected) && !key.verifies(bytes, randomBytes(16))
      }
    ),
    { numRuns: 200 }
  )
})

t.test('a key is named by its SHA-256, and derives other secrets by purpose', async (t) => {
  const secret = Uint8Array.from({ length: 32 }, (_, index) => index)
  const key = new Key(secret)
  t.equal(key.id, createHash('sha256').update(secret).digest().readUInt32BE(0))
  t.same(key.derive('link'), createHash('sha256').update(secret).update('link').digest())
  t.notSame(key.derive('link'), key.derive('other'))
})

t.test('a key file: comments and blank lines are ignored, the first key signs, all verify', async (t) => {
  const [first, second] = [generateKey(), generateKey()]
  const ring = parseKeys(`# two keys\n\n${first}\n  ${second}  \n`)
  t.equal(ring.signing.id, parseKeys(first).signing.id)
  t.ok(ring.get(parseKeys(second).signing.id))
  t.equal(ring.get(1), undefined)
})

t.test('what is no key is refused by its line, and never printed', async (t) => {
  const secret = generateKey()
  const cases: readonly [string, RegExp][] = [
    ['', /expected at least one key, got none/],
    ['# nothing\n', /expected at least one key/],
    [`${secret}\n${secret}x`, /line 2: expected a key/],
    ['ipvs-sync-key-2:AAAA', /line 1: expected a key/],
    [`${secret}\n`.repeat(17), /expected at most 16 keys, got 17/]
  ]
  for (const [text, message] of cases) {
    const answer = refusal(() => parseKeys(text, 'f'))
    t.match(answer, message)
    t.notMatch(answer, secret.slice(20))
  }
})

t.test('a key file must be a regular file of this user that nobody else can open', async (t) => {
  const folder = t.testdir()
  const file = join(folder, 'key')
  writeFileSync(file, generateKey(), { mode: 0o600 })
  t.ok(readKeyFile(file).signing)
  chmodSync(file, 0o640)
  t.match(
    refusal(() => readKeyFile(file)),
    /expected mode 0600, got 0640; run chmod 600/
  )
  t.match(
    refusal(() => readKeyFile(join(folder, 'missing'))),
    /cannot be opened: ENOENT/
  )
  mkdirSync(join(folder, 'folder'))
  t.match(
    refusal(() => readKeyFile(join(folder, 'folder'))),
    /expected a regular file/
  )
  const large = join(folder, 'large')
  writeFileSync(large, '#'.repeat(70_000), { mode: 0o600 })
  t.match(
    refusal(() => readKeyFile(large)),
    /expected at most 65536 bytes, got 70000/
  )
  const geteuid = process.geteuid!
  chmodSync(file, 0o600)
  t.teardown(() => (process.geteuid = geteuid))
  process.geteuid = () => 4242
  if (process.getuid!() === 0) t.ok(readKeyFile(file), 'a file of root is accepted')
  else
    t.match(
      refusal(() => readKeyFile(file)),
      /expected a file of this user or root/
    )
})
