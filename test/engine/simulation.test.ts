// A master and a backup over a network that loses, delays, reorders and repeats, in virtual time.
import { readFileSync, writeFileSync } from 'node:fs'
import { format, resolveConfig } from 'prettier'
import t from 'tap'
import { be16, be32, bytes } from '../fixtures/support/packets.js'
import { Pair } from '../fixtures/support/pair.js'
import { runDay, runMatrix, simulationPage } from '../fixtures/support/simulation-page.js'

t.setTimeout(180_000)

const PAGE = new URL('../../docs/simulation.md', import.meta.url)
const runs = runMatrix()
const day = runDay()

t.test('the backup never holds a connection that the master never had', async (t) => {
  for (const { trial, outcome } of [...runs, day]) {
    t.strictSame(outcome.phantoms, [], `version ${trial.version}, loss ${trial.loss}, seed ${trial.seed}`)
    t.ok(outcome.opened > 2000)
    t.equal(outcome.copiesLost > 0, trial.loss > 0)
  }
})

t.test('one that it never had would be noticed', async (t) => {
  const addresses = [0x0a010001, 0x0a020001, 0x0a030009].flatMap(be32)
  const record = [
    0,
    6,
    ...be16(36),
    ...be32(0),
    ...be16(1),
    ...be16(9),
    ...be16(80),
    ...be16(8080),
    ...be32(0),
    ...be32(9)
  ]
  const forged = bytes([0, 7], be16(44), [1, 1, 0, 0], record, addresses)
  const settings = { version: 1, loss: 0, refreshPeriod: 0, retries: 0, threshold: [3, 50], seed: 1, forged } as const
  const { phantoms } = new Pair({ ...settings, traffic: 30, settling: 0, every: 1 }).run()
  t.strictSame(phantoms.slice(0, 1), ['ipv4 TCP 10.1.0.1:9 10.2.0.1:80 10.3.0.9:8080 false'])
})

t.test('with sync_refresh_period and sync_retries set it becomes whole and equal at every loss', async (t) => {
  const refreshed = [...runs, day].filter(({ trial }) => trial.refreshPeriod > 0)
  t.equal(refreshed.length, 9)
  for (const { trial, outcome } of refreshed) {
    const { open, ...rest } = outcome.settled
    t.ok(open > 0)
    t.strictSame(rest, { missing: 0, different: 0, stale: 0 }, `version ${trial.version}, loss ${trial.loss}`)
  }
})

t.test('without loss the backup is whole with a kernel’s defaults too', async (t) => {
  for (const { trial, outcome } of runs) if (trial.loss === 0) t.equal(outcome.settled.missing, 0)
})

t.test('docs/simulation.md is what the simulation gives', async (t) => {
  const style = await resolveConfig(PAGE)
  const page = await format(simulationPage(runs, day), { ...style, parser: 'markdown' })
  if (process.env['UPDATE_SIMULATION'] !== undefined) writeFileSync(PAGE, page)
  t.equal(readFileSync(PAGE, 'utf8'), page)
})
