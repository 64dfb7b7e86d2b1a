// examples/monitoring: Prometheus's own rule tests, and a dashboard that names only metrics that exist.
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = join(root, 'examples/monitoring')
const text = (name: string): string => readFileSync(join(folder, name), 'utf8')
const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => readFileSync(join(root, 'src', name), 'utf8'))
  .join('\n')
/** Issue 15's agent metrics: exported by the agent. */
const PROMISED = 'ipvs_sync_agent_'

const noPromtool = spawnSync('promtool', ['--version']).error !== undefined && 'promtool is missing: install prometheus'

t.test('the alert rules pass their tests', { skip: noPromtool }, async (t) => {
  const { status, stdout, stderr } = spawnSync('promtool', ['test', 'rules', 'ipvs-sync.test.yml'], {
    cwd: folder,
    encoding: 'utf8'
  })
  t.equal(status, 0, stdout + stderr)
})

t.test('every alert has a test of its firing and of its silence', async (t) => {
  const alerts = [...text('ipvs-sync.rules.yml').matchAll(/alert: (\w+)/g)].map(([, name]) => name!)
  t.equal(alerts.length, 14)
  for (const alert of alerts)
    t.equal(text('ipvs-sync.test.yml').match(new RegExp(`alertname: ${alert}\\b`, 'g'))?.length, 2, alert)
})

t.test('rules and dashboard name metrics that exist', async (t) => {
  const named = new Set((text('ipvs-sync.rules.yml') + text('grafana-dashboard.json')).match(/\bipvs_sync_\w+/g))
  t.ok(named.size > 8)
  for (const metric of named) t.ok(sources.includes(metric) || metric.startsWith(PROMISED), metric)
  t.doesNotThrow(() => JSON.parse(text('grafana-dashboard.json')) as unknown)
})

t.test('runbook links lead to headings of the troubleshooting page', async (t) => {
  const page = readFileSync(join(root, 'docs/troubleshooting.md'), 'utf8').toLowerCase()
  for (const [, heading] of text('ipvs-sync.rules.yml').matchAll(/troubleshooting\.md: ([^']+)'/g))
    t.match(page, new RegExp(`^## ${heading!}`, 'm'), heading!)
})
