import { Drill, SETTLE_MS, storeOf, type DrillDirector, type SetUp } from '../harness/drill.js'
import { LivePath } from '../harness/live-path.js'
import type { Scenario } from '../harness/scenario.js'

/** Live connections of each kind. */
const CONNECTIONS = 50
/** Milliseconds between two lines of a busy connection. */
const BEAT_MS = 200
/** Milliseconds that the connections are watched after the switch: TCP repeats a lost segment several times meanwhile. */
const WATCH_MS = 6000
/** A connection that has fewer echoes after the switch is lost: some were under way when it began. */
const MORE_LINES = 6
const LINK_DOWN_MS = 30_000
const [BUSY, QUIET, PERSISTENT, BEGUN] = [7000, 7001, 7002, 7003]

const REFRESH = { 'net.ipv4.vs.sync_refresh_period': 10, 'net.ipv4.vs.sync_retries': 3 }
const SET_UPS: readonly SetUp[] = [
  { name: 'kernels alone', agents: false, oneDaemon: false, sysctls: {} },
  { name: 'refresh 10 s, 3 retries', agents: false, oneDaemon: false, sysctls: REFRESH },
  { name: '`lvs_sync_daemon`', agents: false, oneDaemon: true, sysctls: {} },
  { name: 'with agents', agents: true, oneDaemon: false, sysctls: {} }
]

/** What happens before the address moves to the second director. */
interface Failure {
  readonly name: string
  /** Runs before the connections are opened. */
  readonly prepare?: (drill: Drill) => void
  /** Runs while the connections are live. */
  readonly happen?: (drill: Drill) => Promise<void>
  /** Whether it is a failure of agents: other set-ups have no figures. */
  readonly ofAgents?: true
  /** Who gets the address at the end; the second director by default. */
  readonly heir?: DrillDirector
}

const FAILURES: readonly Failure[] = [
  { name: 'planned switch' },
  {
    name: 'power off of the master',
    happen: async (drill) => {
      drill.cutLinks('director')
      drill.switchTo('backup')
      await drill.powerOff('director')
    }
  },
  {
    name: 'kill -9 of both agents',
    ofAgents: true,
    happen: async (drill) => {
      await drill.stopAgent('director', 'SIGKILL')
      await drill.stopAgent('backup', 'SIGKILL')
    }
  },
  { name: 'reboot of the backup', happen: (drill) => drill.reboot('backup') },
  {
    name: 'reboot of the master, then a switch back',
    heir: 'director',
    happen: async (drill) => {
      drill.switchTo('backup')
      await drill.reboot('director')
    }
  },
  {
    name: 'both rebooted in turn within a minute',
    heir: 'director',
    happen: async (drill) => {
      await drill.reboot('backup')
      drill.switchTo('backup')
      await drill.reboot('director')
    }
  },
  {
    name: 'sync link down for 30 s; the connections begin meanwhile',
    prepare: (drill) => drill.lab.sh('root', 'ip link set v-backup down'),
    happen: async (drill) => {
      await drill.lab.pause(LINK_DOWN_MS)
      drill.lab.sh('root', 'ip link set v-backup up')
      await drill.lab.pause(2 * SETTLE_MS)
    }
  },
  { name: '1 % of the sync datagrams lost', prepare: (drill) => disturb(drill, 'backup', 'loss 1%') },
  { name: '10 % of the sync datagrams lost', prepare: (drill) => disturb(drill, 'backup', 'loss 10%') },
  {
    name: 'sync datagrams duplicated and reordered',
    prepare: (drill) => disturb(drill, 'backup', 'delay 20ms 15ms reorder 50% duplicate 50%')
  },
  {
    name: 'one-way link: the master sends but receives nothing',
    prepare: (drill) => disturb(drill, 'director', 'loss 100%')
  },
  {
    name: 'full disk, then a reboot of the backup',
    ofAgents: true,
    prepare: (drill) => {
      for (const director of ['director', 'backup'] as const)
        drill.lab.sh('root', `dd if=/dev/zero of=${storeOf(director)}/full bs=64k 2>/dev/null || true`)
    },
    happen: (drill) => drill.reboot('backup')
  },
  {
    name: 'clock jumps 1 h forward, then 2 h back',
    happen: async (drill) => {
      for (const hours of [1, -2]) {
        drill.lab.sh('root', `date -s @$(($(date +%s) + ${hours * 3600}))`)
        await drill.lab.pause(SETTLE_MS)
      }
    }
  },
  {
    name: 'upgrade of the agent while it sends its table',
    ofAgents: true,
    happen: async (drill) => {
      await drill.powerOff('backup')
      drill.start('backup')
      await drill.lab.until('the answer begins', () => drill.size('backup') > 1000, 40)
      await drill.stopAgent('director', 'SIGTERM')
      drill.startAgent('director')
      await Promise.all([drill.ready('backup'), drill.ready('director')])
      await drill.lab.pause(SETTLE_MS)
    }
  },
  {
    name: 'two masters at once: the address alternates for 5 s',
    happen: async (drill) => {
      if (drill.setUp.oneDaemon) {
        drill.lab.stop('backup', 'backup')
        drill.lab.master('backup')
      }
      for (let change = 0; change < 10; change++) {
        drill.path.switchTo(change % 2 === 0 ? 'backup' : 'director')
        await drill.lab.pause(500)
      }
      if (drill.setUp.oneDaemon) {
        drill.lab.stop('backup', 'master')
        drill.lab.backup('backup')
      }
    }
  }
]

/** Disturbs what a director receives on the sync network. */
function disturb({ lab }: Drill, director: DrillDirector, netem: string): void {
  lab.sh('root', `tc qdisc replace dev v-${director} root netem limit 100000 ${netem}`)
}

export const scenario: Scenario = {
  title: 'figures of docs/failover.md: connections lost and seconds without service, by failure and set-up',
  timeLimit: 3600,
  isLong: true,
  async run(lab) {
    const path = new LivePath(lab, [BUSY, QUIET, PERSISTENT, BEGUN], [PERSISTENT])
    const failures = FAILURES.filter(({ name }) => new RegExp(lab.only ?? '').test(name))
    const rows: string[][] = []
    const disagreements: string[] = []
    let compared = 0
    for (const failure of failures) {
      const row = [failure.name]
      for (const setUp of SET_UPS) {
        if (failure.ofAgents === true && !setUp.agents) {
          row.push('no agent')
          continue
        }
        const began = performance.now()
        const drill = new Drill(lab, path, setUp)
        try {
          row.push(await figuresOf(drill, failure))
          compared += 4 * CONNECTIONS
        } catch (error) {
          row.push('no figures')
          disagreements.push(`${failure.name}, ${setUp.name}: ${String(error)}`)
        }
        await drill.end()
        console.log(
          `${row.at(-1)!} (${setUp.name}, ${failure.name}, ${((performance.now() - began) / 1000).toFixed(0)} s)`
        )
      }
      rows.push(row)
    }
    const head = ['failure', ...SET_UPS.map(({ name }) => name)]
    return {
      compared,
      disagreements,
      notes: rows.map((row) => row.join(' | ')),
      page: { path: 'docs/failover.md', head, rows }
    }
  }
}

/** Returns a cell of the table: lost connections by kind, and the longest time without an echo of a busy one. */
async function figuresOf(drill: Drill, { prepare, happen, heir = 'backup' }: Failure): Promise<string> {
  const { lab, path } = drill
  await drill.begin()
  prepare?.(drill)
  const kinds = await Promise.all([
    path.hold({ port: QUIET, connections: CONNECTIONS, beat: 0 }),
    path.hold({ port: BUSY, connections: CONNECTIONS, beat: BEAT_MS }),
    path.hold({ port: PERSISTENT, connections: CONNECTIONS, beat: BEAT_MS })
  ])
  await lab.pause(SETTLE_MS)
  kinds.push(await path.hold({ port: BEGUN, connections: CONNECTIONS, beat: BEAT_MS }))
  await happen?.(drill)
  const before = kinds.map((read) => read().echoes)
  drill.switchTo(heir)
  path.resume(QUIET)
  await lab.pause(WATCH_MS)
  const [quiet, busy, persistent, begun] = kinds.map(
    (read, kind) => read().echoes.filter((count, index) => count < before[kind]![index]! + MORE_LINES).length
  )
  const gap = busy === CONNECTIONS ? 'none continues' : `${(kinds[1]().silence / 1000).toFixed(1)} s`
  return `${busy} / ${quiet} / ${persistent} / ${begun}; ${gap}`
}
