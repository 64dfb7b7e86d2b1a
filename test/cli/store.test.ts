// A store as JSON Lines and back: nothing is lost, nothing damaged is converted.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { crc32 } from 'node:zlib'
import t from 'tap'
import { run } from '../../src/cli/run.js'
import { saveTable } from '../../src/daemon/table-store.js'
import { ConnectionTable } from '../../src/table/connection-table.js'
import { rowFromConnection } from '../../src/wire/row-values.js'
import { createRows } from '../../src/wire/rows.js'
import { testIo } from '../fixtures/support/test-io.js'

interface Result {
  readonly code: number
  readonly output: string
  readonly errors: string
}

async function store(argv: readonly string[], stdin?: string): Promise<Result> {
  const io = testIo({ ...(stdin !== undefined && { stdin }) })
  const code = await run(['store', ...argv], io)
  return { code, output: io.output(), errors: io.errors() }
}

/** Connections with 900, 901, … seconds, of which the first may have another timeout. */
function tableOf(count: number, firstTimeout = 900): ConnectionTable {
  const table = new ConnectionTable({ seed: 1 })
  const rows = createRows(1)
  for (let i = 0; i < count; i++) {
    const timeout = i === 0 ? firstTimeout : 900 + i
    const client = { address: '10.0.0.1', port: i + 1 }
    const virtual = { address: '10.0.0.2', port: 80 }
    const value = { family: 'ipv4', protocol: 'TCP', flags: [], state: 'ESTABLISHED', forwarding: 'MASQ' } as const
    rowFromConnection({ ...value, client, virtual, destination: virtual, timeout }, rows, 0)
    table.setSyncid(table.add(rows, 0, 1000), 7)
  }
  return table
}

type Line = Readonly<Record<string, unknown>>

function parse(output: string): Line[] {
  return output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)
}

function withoutTimes(lines: readonly Line[]): Line[] {
  return lines.slice(1).map((line) => ({ ...line, expires: undefined }))
}

t.test('a store is printed as JSON Lines, and written again from them', async (t) => {
  const folder = t.testdir()
  const [first, second] = [join(folder, 'first'), join(folder, 'second')]
  await saveTable(tableOf(1500, 60), first, Date.now() - 120_000)
  const printed = await store([first])
  t.match(printed, { code: 0, errors: '1499 connections printed (1 had expired)\n' })
  const lines = parse(printed.output)
  t.equal(lines.length, 1501)
  t.match(lines[0], { format: 'ipvs-sync table', version: 1 })
  t.match(lines.at(-1), { end: true, connections: 1499 })
  t.ok(lines.slice(1, -1).every(({ syncid, expires, timeout }) => syncid === 7 && Number(expires) < Number(timeout)))

  const written = await store(['--from-json', '-', '--output', second], printed.output)
  t.match(written, { code: 0, output: `1499 connections written to ${second}\n`, errors: '' })
  const again = await store([second])
  const byPort = (a: Line, b: Line): number => JSON.stringify(a).localeCompare(JSON.stringify(b))
  t.strictSame(withoutTimes(parse(again.output)).sort(byPort), withoutTimes(lines).sort(byPort))

  // Plain connections, as /connections prints them, have no frame.
  const plain = join(folder, 'plain.jsonl')
  writeFileSync(plain, `${JSON.stringify(lines[1])}\n${JSON.stringify({ ...lines[2], expires: 0 })}\n`)
  const unframed = await store(['--from-json', plain, '--output', second])
  t.equal(unframed.output, `1 connection written to ${second} (1 had expired)\n`)
})

t.test('a store of version 1, JSON with a checksum, is printed and packed', async (t) => {
  const folder = t.testdir()
  const [old, packed] = [join(folder, 'old'), join(folder, 'packed')]
  const savedAt = Date.now() - 1000
  const connection = {
    family: 'ipv4',
    protocol: 'TCP',
    flags: [],
    state: 'ESTABLISHED',
    forwarding: 'MASQ',
    client: { address: '10.0.0.1', port: 5 },
    virtual: { address: '10.0.0.2', port: 80 },
    destination: { address: '10.0.0.3', port: 80 },
    timeout: 900
  }
  const lines = [
    { format: 'ipvs-sync table', version: 1, savedAt },
    { ...connection, expires: 800 },
    { ...connection, client: { address: '10.0.0.1', port: 6 }, expires: 0.5 }
  ]
  const body = lines.map((line) => `${JSON.stringify(line)}\n`).join('')
  const end = { format: 'ipvs-sync table', end: true, connections: 2, crc32: crc32(Buffer.from(body)) }
  writeFileSync(old, `${body}${JSON.stringify(end)}\n`)
  const printed = await store([old])
  t.match(printed, { code: 0, errors: '1 connection printed (1 had expired)\n' })
  const [, first] = parse(printed.output)
  t.match(first, { client: { port: 5 }, timeout: 900 })
  t.ok(Number(first!['expires']) < 800)
  t.match(await store(['-'], readFileSync(old, 'latin1')), { code: 0 })
  t.match(await store(['--from-json', old, '--output', packed]), { code: 0 })
  t.match(parse((await store([packed])).output)[1], { client: { port: 5 } })
  writeFileSync(old, `${body.replace('10.0.0.3', '10.0.0.4')}${JSON.stringify(end)}\n`)
  t.equal((await store([old])).code, 3)
  t.equal((await store(['-'], '')).code, 3)
})

t.test('what is damaged or not a connection is not converted', async (t) => {
  const folder = t.testdir()
  const [path, target] = [join(folder, 'store'), join(folder, 'target')]
  await saveTable(tableOf(3), path, Date.now())
  const { output } = await store([path])
  const bytes = readFileSync(path)
  bytes[60]! ^= 1
  writeFileSync(path, bytes)
  const damaged = await store([path])
  t.match(damaged, { code: 3, output: '' })
  t.ok(damaged.errors.includes(path))
  t.strictSame(readFileSync(path), bytes, 'the input stays as it is')
  const truncated = output.slice(0, output.lastIndexOf('{'))
  t.match(await store(['--from-json', '-', '--output', target], truncated), { code: 3, errors: /standard input/ })
  t.match(await store(['--from-json', '-', '--output', target], '\n{}\n'), { code: 2, errors: /standard input:2: / })
  t.match(await store([join(folder, 'none')]), { code: 3, errors: /none: no such file/ })
  t.match(await store([folder]), { code: 3, errors: /: is a directory/ })
  t.match(await store(['--from-json', '-', '--output', join(folder, 'no', 'store')], ''), { code: 3 })
  t.notOk(existsSync(target))
})

t.test('usage', async (t) => {
  for (const argv of [[], ['a', '--from-json', 'b', '--output', 'c'], ['a', '--output', 'b'], ['--from-json', 'a']])
    t.equal((await store(argv)).code, 2, argv.join(' '))
  t.match(await store(['--help']), { code: 0, output: /--from-json/ })
})

t.test('a slow reader of the output is waited for', async (t) => {
  const path = join(t.testdir(), 'store')
  await saveTable(tableOf(1100), path, Date.now())
  let text = ''
  const stdout = new Writable({
    highWaterMark: 1,
    write: (chunk, _encoding, done) => {
      text += String(chunk)
      setImmediate(done)
    }
  })
  t.equal(await run(['store', path], { ...testIo(), stdout }), 0)
  t.equal(parse(text).length, 1102)
})
