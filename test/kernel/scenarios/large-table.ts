import { once } from 'node:events'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import type { Cannon } from '../harness/cannon.js'
import { COMMAND } from '../harness/command.js'
import type { Lab } from '../harness/lab.js'
import { udp } from '../harness/packet.js'
import type { Scenario } from '../harness/scenario.js'
import { SERVICES } from '../harness/traffic.js'

/** Connections at scale 1; `--scale 10` makes the 60,000 of docs/late-joiner.md. */
const CONNECTIONS = 6_000
const CLIENTS = 60
/** A busy machine may lose some packets on their way to the director. */
const MIN_SHARE = 0.98
const STEADY_MS = 10_000
const PATIENCE = 60
const MIB = 1 << 20
const HTTP = { capture: 9101, table: 9102, ivs1: 9103, backup: 9104 } as const
type Way = keyof typeof HTTP

export const scenario: Scenario = {
  title:
    'a large table: agents receive it by capture, by a veth pair and from /proc alone, and a rebooted director gets it',
  timeLimit: 150,
  needs: { tcpdump: 'tcpdump' },
  async run(lab) {
    const notes: string[] = []
    const faults: string[] = []
    const connections = CONNECTIONS * lab.scale
    const cannon = await lab.director(SERVICES)
    // Every packet is announced.
    lab.sysctl('director', { 'net.ipv4.vs.sync_threshold': '0 1', 'net.ipv4.vs.sync_sock_size': 8 * MIB })
    vethPair(lab)
    lab.namespace('backup')
    lab.sysctl('backup', { 'net.ipv4.vs.sync_sock_size': 8 * MIB })
    lab.services('backup', SERVICES)
    lab.backup('backup')
    lab.master('director')

    const capture = await startAgent(lab, 'capture', ['--own', 'capture'])
    const beforeVolley = cpuOf(capture)
    const sent = await timed(() => volley(cannon, connections))
    await lab.pause(4000)
    const director = linesOf(lab.proc('director', 'ip_vs_conn'))
    notes.push(`director: ${director.size} connections, sent in ${sent} s`)
    if (director.size < MIN_SHARE * connections)
      faults.push(`director: expected at least ${MIN_SHARE * connections} connections, got ${director.size}`)
    faults.push(
      ...differences(director, linesOf(lab.proc('backup', 'ip_vs_conn'))).map((line) => `second kernel: ${line}`)
    )
    // The kernel sends an open buffer within 2 s, and the agent logs every second.
    await lab.until('agent capture has the table', () => sizeOf(lab, capture) >= director.size, PATIENCE)
    const received = spent(beforeVolley, cpuOf(capture))
    // Its first read finds all connections, so that its cost is that of one read.
    const table = await startAgent(lab, 'table', ['--own', 'table'])
    await lab.until('agent table has the table', () => sizeOf(lab, table) >= director.size, PATIENCE)
    const agents = [capture, table]
    notes.push(
      `agent by capture: received ${director.size} connections for ${received}`,
      `agent by table: started and read ${sizeOf(lab, table)} connections for ${spent({ own: 0, all: 0 }, cpuOf(table))}`
    )
    for (const agent of agents)
      faults.push(...differences(director, read(lab, agent)).map((line) => `agent by ${agent.way}: ${line}`))
    const steady = agents.map(cpuOf)
    await lab.pause(STEADY_MS)
    for (const [index, agent] of agents.entries()) {
      const share = ((100_000 * (cpuOf(agent).all - steady[index]!.all)) / STEADY_MS).toFixed(1)
      notes.push(`agent by ${agent.way}: ${share} % of a core while nothing changes, ${metricsOf(lab, agent)}`)
    }
    await stop(table)
    await stop(capture)

    // The kernel's master sends on the veth pair alone.
    lab.stop('director', 'master')
    lab.sh('director', 'ipvsadm --start-daemon master --mcast-interface ivs0 --syncid 7')
    const link = await startAgent(lab, 'ivs1', ['--own', 'ivs1', '--no-kernel'])
    const beforeLink = cpuOf(link)
    await volley(cannon, connections)
    await lab.until('agent ivs1 has the table', () => sizeOf(lab, link) >= director.size, PATIENCE)
    notes.push(
      `agent by ivs1, without /proc: received ${sizeOf(lab, link)} connections for ${spent(beforeLink, cpuOf(link))}`
    )
    faults.push(...differences(director, read(lab, link)).map((line) => `agent by ivs1: ${line}`))

    for (const buffer of [0, 4 * MIB]) {
      const { seconds, text, kept, faults: lost } = await drill(lab, director.size, buffer)
      const what = buffer === 0 ? 'default buffers' : '4 MiB buffers'
      notes.push(`reboot with ${what}: ready ${seconds} s after the agent's start, ${kept} connections kept; ${text}`)
      faults.push(...lost.map((line) => `reboot with ${what}: ${line}`))
    }
    await stop(link)
    return { compared: 5 * director.size, disagreements: faults.slice(0, 40), notes }
  }
}

/** Both ends of a veth pair in the director: the kernel's master sends on one, an agent receives on the other. */
function vethPair(lab: Lab): void {
  lab.sh(
    'director',
    `ip link add ivs0 type veth peer name ivs1
ip addr add 10.255.0.1/30 dev ivs0; ip addr add 10.255.0.2/30 dev ivs1; ip link set ivs0 up; ip link set ivs1 up
sysctl -qw net.ipv4.conf.ivs0.accept_local=1 net.ipv4.conf.ivs1.accept_local=1
sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.ivs0.rp_filter=0 net.ipv4.conf.ivs1.rp_filter=0`
  )
}

/** One datagram of each connection. */
async function volley(cannon: Cannon, connections: number): Promise<void> {
  for (let i = 0; i < connections; i++) {
    const from = [10, 1, 1, 1 + (i % CLIENTS)]
    const path = { from, fromPort: 2000 + Math.floor(i / CLIENTS), to: [10, 1, 0, 100], toPort: 53 }
    await cannon.fromClient(udp(path))
  }
}

/** The second director reboots: its kernel is empty, and its agent requests the table. */
async function drill(lab: Lab, expected: number, buffer: number) {
  await lab.remove('backup')
  lab.namespace('backup')
  lab.services('backup', SERVICES)
  if (buffer > 0) lab.sysctl('backup', { 'net.ipv4.vs.sync_sock_size': buffer })
  lab.backup('backup')
  const ready = join(lab.folder, `ready-${buffer}`)
  const began = performance.now()
  const agent = await startAgent(lab, 'backup', ['--ready-file', ready])
  const words = ['wait-ready', '--ready-file', ready, '--require', 'complete', '--timeout', String(PATIENCE)]
  const waiting = lab.start('backup', process.execPath, [COMMAND, ...words], `wait-${buffer}`)
  const [code] = (await once(waiting, 'exit')) as [number]
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  const text = readFileSync(join(lab.folder, `wait-${buffer}.log`), 'utf8')
    .trim()
    .split('\n')
    .at(-1)!
  const kept = boundConnections(lab)
  await stop(agent)
  const faults = kept === expected ? [] : [`the kernel kept ${kept} connections of ${expected}`]
  if (code !== 0) faults.push(`wait-ready ended with ${code}: ${text}`)
  return { seconds, text, kept, faults }
}

/** Connections that the second kernel has bound to real servers. A dump of its table would take longer than the transfer. */
function boundConnections(lab: Lab): number {
  const servers = lab.proc('backup', 'ip_vs').matchAll(/-> .* (\d+) +(\d+) *$/gm)
  return Array.from(servers, ([, active, inactive]) => Number(active) + Number(inactive)).reduce((a, b) => a + b, 0)
}

interface RunningAgent {
  readonly way: Way
  readonly child: ChildProcess
}

async function startAgent(lab: Lab, way: Way, words: readonly string[]): Promise<RunningAgent> {
  const common = ['--mcast-interface', 'sync0', '--syncid', '7', '--hz', '100', '--limit', '1', '--max-connections', '100000', '--log-interval', '1'] // prettier-ignore
  const http = ['--http', String(HTTP[way])]
  const place = way === 'backup' ? 'backup' : 'director'
  const name = `agent-${way}`
  rmSync(join(lab.folder, `${name}.log`), { force: true })
  const child = lab.start(place, process.execPath, [COMMAND, 'agent', ...common, ...http, ...words], name)
  const log = join(lab.folder, `${name}.log`)
  await lab.until(`${name} serves`, () => existsSync(log) && readFileSync(log, 'utf8').includes('HTTP at'), PATIENCE)
  return { way, child }
}

async function stop({ child }: RunningAgent): Promise<void> {
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  await ended
}

function get(lab: Lab, { way }: RunningAgent, path: string): string {
  const script = `fetch('http://127.0.0.1:${HTTP[way]}${path}').then((r) => r.text()).then((text) => process.stdout.write(text))`
  return lab.sh(way === 'backup' ? 'backup' : 'director', `'${process.execPath}' -e "${script}"`)
}

/** Connections in an agent's table, as it logged last. */
function sizeOf(lab: Lab, { way }: RunningAgent): number {
  const log = readFileSync(join(lab.folder, `agent-${way}.log`), 'utf8')
  return Number([...log.matchAll(/; (\d+) in the table/g)].at(-1)?.[1] ?? 0)
}

function read(lab: Lab, agent: RunningAgent): Set<string> {
  return linesOf(get(lab, agent, '/connections?format=proc'))
}

function metricsOf(lab: Lab, agent: RunningAgent): string {
  const wanted =
    /^ipvs_sync_agent_(?:kernel_read_(?:system_)?seconds|own_(?:messages|gaps|dropped)_total|own_source.*1$).*$/gm
  return Array.from(get(lab, agent, '/metrics').matchAll(wanted), ([line]) =>
    line.replace('ipvs_sync_agent_', '')
  ).join(', ')
}

interface Cpu {
  /** Seconds of the agent, and with its tcpdump. */
  readonly own: number
  readonly all: number
}

/** Processor time so far, in user space and in the kernel. */
function cpuOf({ child }: RunningAgent): Cpu {
  const ticks = (pid: string): number => {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /, '')
      .split(' ')
    return (Number(fields[11]) + Number(fields[12])) / 100
  }
  const pid = String(child.pid)
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ').filter(Boolean)
  const own = ticks(pid)
  return { own, all: children.reduce((sum, each) => sum + ticks(each), own) }
}

function spent(before: Cpu, after: Cpu): string {
  return `${(after.own - before.own).toFixed(2)} s of processor time (with tcpdump ${(after.all - before.all).toFixed(2)} s)`
}

async function timed(action: () => Promise<void>): Promise<string> {
  const began = performance.now()
  await action()
  return ((performance.now() - began) / 1000).toFixed(1)
}

/** Protocol, addresses, ports and state of each line of a kernel's table. */
function linesOf(text: string): Set<string> {
  return new Set(
    text
      .split('\n')
      .slice(1)
      .filter((line) => line !== '')
      .map((line) => line.split(/ +/, 8).join(' '))
  )
}

function differences(one: ReadonlySet<string>, other: ReadonlySet<string>): string[] {
  const lines = [...[...one].filter((line) => !other.has(line)).map((line) => `lacks ${line}`), ...[...other].filter((line) => !one.has(line)).map((line) => `has ${line} besides`)] // prettier-ignore
  return lines.length > 5 ? [...lines.slice(0, 5), `${lines.length} differences in all`] : lines
}
