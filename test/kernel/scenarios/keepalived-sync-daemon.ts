import type { ChildProcess } from 'node:child_process'
import { DirectorHost } from '../harness/director-host.js'
import type { Lab } from '../harness/lab.js'
import { commandsOf } from '../harness/page.js'
import type { Outcome, Scenario } from '../harness/scenario.js'
import { ADDRESS, configurations } from '../harness/two-directors.js'

/** Several of keepalived's intervals. */
const SETTLE_MS = 2500
/** Stands for `wait-ready`: the states are of interest here, not what leads to them. */
const READY = '/run/ipvs-sync/go'

export const scenario: Scenario = {
  title:
    'keepalived takes every configuration of docs/keepalived.md; which sync daemons run with lvs_sync_daemon, by state',
  timeLimit: 120,
  needs: { keepalived: 'keepalived' },
  async run(lab) {
    DirectorHost.network(lab, ADDRESS)
    const [main = '', ...variants] = configurations()
    const tested = await testAll(lab, main, variants)
    const withDaemon = merge(
      main,
      variants.find((text) => text.includes('lvs_sync_daemon'))!
    )
    const own = withDaemon.replace(/script ".*"/, `script "/usr/bin/test -e ${READY}"`)
    const alone = await states(lab, new DirectorHost(lab, 'a', 1, own), [])
    const unit = commandsOf('examples/systemd/ipvs-sync-kernel.service').filter((text) => !text.includes('modprobe'))
    const both = await states(lab, new DirectorHost(lab, 'b', 2, own), unit)
    return judge(tested, alone, both)
  }
}

/** Daemons that run, by what happened to keepalived: `backup`, `master`, both, or nothing. */
type States = Readonly<Record<'fault' | 'backup' | 'master' | 'reload' | 'faultAgain' | 'stopped', string>>

const ALONE: States = {
  fault: 'backup',
  backup: 'backup',
  master: 'master',
  reload: 'master',
  faultAgain: 'backup',
  stopped: ''
}
/** What the unit started beside it is lost at the first change. */
const BOTH: States = { ...ALONE, fault: 'backup master', backup: 'backup master' }

function judge(tested: readonly string[], alone: States, both: States): Outcome {
  const tell = (states: States): string =>
    Object.entries(states)
      .map(([name, daemons]) => `${name}: ${daemons || 'none'}`)
      .join(', ')
  return {
    compared: 12,
    disagreements: [
      ...tested,
      ...(tell(alone) === tell(ALONE) ? [] : [`alone, expected ${tell(ALONE)}`]),
      ...(tell(both) === tell(BOTH) ? [] : [`beside the unit, expected ${tell(BOTH)}`])
    ],
    notes: [`lvs_sync_daemon alone: ${tell(alone)}`, `beside the unit: ${tell(both)}`]
  }
}

/** A variant of the page names a block and what stands in it: it goes to the head of the block of that name. */
function merge(main: string, variant: string): string {
  const [head = '', ...body] = variant.trimEnd().split('\n').slice(0, -1)
  if (!main.includes(`${head}\n`)) throw new Error(`the page's first configuration has no ${head}`)
  return main.replace(`${head}\n`, `${[head, ...body].join('\n')}\n`)
}

/** What keepalived has to say against the page's configurations. */
async function testAll(lab: Lab, main: string, variants: readonly string[]): Promise<string[]> {
  const faults: string[] = variants.length < 2 ? ['the page has lost its variants'] : []
  for (const text of [main, ...variants.map((variant) => merge(main, variant)), main.replace('{', '{\n nonsense')]) {
    const host = new DirectorHost(lab, 'a', 1, text)
    await host.up()
    const said = host.sh('keepalived --config-test 2>&1 || echo "it failed"').trim()
    const isWrong = text.includes('nonsense')
    if ((said === '') === isWrong) faults.push(isWrong ? 'keepalived accepts anything' : `keepalived says: ${said}`)
    await host.off()
  }
  return faults
}

async function states(lab: Lab, host: DirectorHost, before: readonly string[]): Promise<States> {
  await host.up()
  for (const command of before) host.sh(command)
  const keepalived: ChildProcess = host.start('keepalived', [
    'keepalived',
    '--dont-fork',
    '--log-console',
    '--log-detail'
  ])
  const after = async (condition: () => boolean, settle = SETTLE_MS): Promise<string> => {
    await lab.until('the state changes', condition)
    await lab.pause(settle)
    return daemonsOf(host)
  }
  const said = (text: string) => () => host.printed('keepalived').includes(text)
  const fault = await after(said('ipvs_sync_ready) failed'))
  host.sh(`touch ${READY}`)
  const backup = await after(said('Entering BACKUP STATE'), 500)
  const master = await after(() => host.holds(ADDRESS), 500)
  keepalived.kill('SIGHUP')
  const reload = await after(said('Reload complete'))
  host.sh('ip link set eth0 down')
  const faultAgain = await after(said('Entering FAULT STATE'), 500)
  keepalived.kill('SIGTERM')
  const stopped = await after(() => keepalived.exitCode !== null || keepalived.signalCode !== null, 0)
  await host.off()
  return { fault, backup, master, reload, faultAgain, stopped }
}

function daemonsOf(host: DirectorHost): string {
  const text = host.sh('ipvsadm -L --daemon')
  return [...text.matchAll(/^(master|backup) sync daemon/gm)]
    .map(([, role = '']) => role)
    .sort()
    .join(' ')
}
