// Walks of a table of 1,000,000 connections hold the event loop for at most 50 ms, measured in a separate process.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { WalkReport } from '../fixtures/walks/walks.js'

const CONNECTIONS = 1_000_000
const LIMIT_MS = 50

t.test('no walk holds the event loop', { timeout: 300_000 }, async (t) => {
  const execArgv = process.execArgv.filter((argument) => argument.includes('typescript'))
  const script = fileURLToPath(new URL('../fixtures/walks/walks.ts', import.meta.url))
  const child = spawnSync(process.execPath, [...execArgv, script, String(CONNECTIONS), t.testdir()], {
    encoding: 'utf8'
  })
  t.equal(child.status, 0, child.stderr)
  const reports = child.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as WalkReport)
  t.strictSame(
    reports.map(({ walk }) => walk),
    ['http', 'save', 'load', 'copy', 'agent', 'kernel']
  )
  for (const { walk, visited, longest, delay, idle } of reports) {
    t.equal(visited, CONNECTIONS, `${walk}: visits every connection`)
    t.ok(longest < LIMIT_MS, `${walk}: ${longest} ms of processor time in one turn; delay ${delay} ms, idle ${idle} ms`)
  }
})
