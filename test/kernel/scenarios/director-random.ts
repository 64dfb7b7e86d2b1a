import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connectionValue, Director, FrameReader } from 'ipvs-sync/director'
import { MasterEngine } from 'ipvs-sync/engine'
import type { Cannon } from '../harness/cannon.js'
import {
  judge,
  modelOptions,
  type DirectorRecording,
  type ModelParts,
  type Step
} from '../harness/director-recording.js'
import {
  addCommand,
  commandsOf,
  draftServices,
  MODULES,
  PREPARATION,
  serverName,
  type ServiceDraft
} from '../harness/director-services.js'
import { DirectorTraffic } from '../harness/director-traffic.js'
import type { Lab } from '../harness/lab.js'
import type { Scenario } from '../harness/scenario.js'

/** Longer than a kernel's open buffer lives (2 s and a wake-up). */
const FLUSH_MS = 3400
/** At scale 1: more than 50,000 packets. */
const RUNS = 12
const PACKETS = 5000
/** Packets between two comparisons: a dump of /proc is slow. */
const BATCH = 500

const MODEL: ModelParts = { Director, MasterEngine, FrameReader, connectionValue }

export const scenario: Scenario = {
  title:
    "random packets, services and settings through a kernel's director and the model: tables, counters and records",
  timeLimit: 600,
  async run(lab) {
    lab.sh('root', MODULES.map((name) => `modprobe -d /run/host ${name}`).join('; '))
    const disagreements: string[] = []
    const notes: string[] = []
    let [compared, datagrams, packets] = [0, 0, 0]
    for (let run = 0; run < RUNS * lab.scale; run++) {
      const began = Date.now()
      const recording = await record(lab)
      const took = ((Date.now() - began) / 1000).toFixed(1)
      writeFileSync(join(lab.folder, `recording-${run}.json`), JSON.stringify(recording))
      const verdict = judge(recording, MODEL)
      const own = recording.steps.filter(([kind]) => kind === 'packet').length
      packets += own
      compared += verdict.compared
      datagrams += recording.messages?.length ?? 0
      const text = Object.entries(recording.settings)
        .map(([name, value]) => `${name}=${value}`)
        .join(' ')
      notes.push(`run ${run}: ${own} packets, ${verdict.compared} compared, ${took} s; ${text}`)
      disagreements.push(...verdict.disagreements.slice(0, 6).map((line) => `run ${run}, ${line}`))
    }
    return { datagrams, compared, disagreements, notes: [`${packets} packets`, ...notes] }
  }
}

/** Plays one run through a separate director: nothing is left of the run before. */
async function record(lab: Lab): Promise<DirectorRecording> {
  const drafts = draftServices(lab.random)
  const settings = drawSettings(lab)
  const base = {
    settings,
    services: drafts.map(({ options, servers, slot }) => ({ ...options, servers, ports: slot.ports }))
  }
  const cannon = await lab.director([])
  lab.sh('director', PREPARATION)
  lab.sysctl(
    'director',
    Object.fromEntries(Object.entries(settings).map(([name, value]) => [`net.ipv4.vs.${name}`, value]))
  )
  lab.services('director', drafts.flatMap(commandsOf))
  const socket = await lab.syncSocket()
  socket.take()
  lab.master('director')
  const traffic = new DirectorTraffic(lab.random, drafts, modelOptions(base))
  const steps: Step[] = []
  for (let batch = 0; batch < PACKETS / BATCH; batch++) {
    if (batch > 0) changeServers(lab, drafts, traffic, steps)
    await lab.pause(50)
    for (let number = 0; number < BATCH; number++) play(traffic, cannon, steps)
    await settle(lab)
    dump(lab, steps)
  }
  await lab.pause(FLUSH_MS)
  dump(lab, steps)
  const messages = socket.take().map(({ bytes }) => Buffer.from(bytes).toString('hex'))
  lab.stop('director', 'master')
  cannon.close()
  await lab.remove('director')
  return { ...base, steps, messages }
}

function play(traffic: DirectorTraffic, cannon: Cannon, steps: Step[]): void {
  const now = Date.now()
  const drawn = traffic.draw(now)
  if (drawn === undefined) return
  cannon.shoot(drawn.bytes, drawn.from)
  traffic.sent(drawn, now)
  steps.push(['packet', now, drawn.mark, Buffer.from(drawn.bytes).toString('hex')])
}

/** Waits until the director has handled what was sent: its counters stand still. */
async function settle(lab: Lab): Promise<void> {
  for (let before = ''; ;) {
    await lab.pause(30)
    const counters = lab.proc('director', 'ip_vs_stats_percpu') + lab.proc('director', 'softnet_stat')
    if (counters === before) return
    before = counters
  }
}

function dump(lab: Lab, steps: Step[]): void {
  const at = Date.now()
  // Twice: the kernel skips a row, or shows it again, where an entry ends between two reads of the file.
  const connections = [1, 2].map(() => lab.proc('director', 'ip_vs_conn')).join('')
  steps.push(['tables', at, connections, lab.proc('director', 'ip_vs')])
}

/** A server gets another weight, goes, or comes back. */
function changeServers(lab: Lab, drafts: readonly ServiceDraft[], traffic: DirectorTraffic, steps: Step[]): void {
  const { random } = lab
  const number = random.below(drafts.length)
  const draft = drafts[number]!
  if (draft.servers.length === 0) return
  const at = random.below(draft.servers.length)
  const server = draft.servers[at]!
  const { model } = traffic
  const service = model.services[number]!
  const present = service.servers.find((one) => one.addressText === server.address && one.port === server.port)
  const weight = random.below(4)
  const now = Date.now()
  if (present === undefined) {
    lab.services('director', [addCommand(draft, server, weight)])
    model.addServer(service, { ...server, weight })
    steps.push(['add', now, number, at, weight])
  } else if (random.chance(50)) {
    lab.services('director', [addCommand(draft, server, weight).replace('-a', '-e')])
    model.setWeight(present, weight)
    steps.push(['weight', now, number, at, weight])
  } else {
    lab.services('director', [`-d ${serverName(draft, server)}`])
    model.removeServer(present, now)
    steps.push(['remove', now, number, at])
  }
}

function drawSettings({ random }: Lab): Record<string, string | number> {
  const reuse = random.below(4)
  const expireNodest = random.below(2)
  return {
    sync_threshold: random.pick(['0 1', '0 1', '0 1', '3 50', '1 4', '2 3']),
    sync_persist_mode: random.pick([0, 0, 1]),
    sync_version: random.pick([1, 1, 1, 1, 0]),
    sloppy_tcp: random.below(2),
    sloppy_sctp: random.below(2),
    conn_reuse_mode: reuse,
    secure_tcp: random.pick([0, 0, 3]),
    // Before drop_packet: the rate counts from the write of the mode, or from the next second.
    am_droprate: random.pick([1, 2, 7, 10, 0, -3]),
    drop_packet: random.pick([0, 0, 3]),
    expire_nodest_conn: expireNodest,
    expire_quiescent_template: random.below(2),
    cache_bypass: random.below(2),
    schedule_icmp: random.below(2),
    nat_icmp_send: random.below(2),
    pmtu_disc: random.below(2),
    snat_reroute: random.below(2),
    ignore_tunneled: random.below(2),
    conntrack: reuse === 0 && expireNodest === 0 ? random.below(2) : 0
  }
}
