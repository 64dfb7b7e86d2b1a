// Two hosts in network namespaces, a fault in each pair, the code of `ipvs-sync doctor` that names it within 10 s, and the code
// of the log line that names it within 10 s, or 30 s for silence.
//
//   npm run -s build && npm run -s build:tools && node .build/test/network/doctor.js [NAME ...]
//
// Needs root, iproute2, nftables, iptables and tcpdump; without one of them it says which, and ends with 0.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../../../lib/cli/main.js', import.meta.url))
/** Seconds that doctor observes: the demo's master sends about once a second. */
const SECONDS = 6
/** Pairs at work at a time. */
const PARALLEL = 5
/** Seconds until a log line is missing: 30 s of silence, and a margin for a busy machine. */
const PATIENCE = 50
/** Codes that a healthy pair logs. */
const HARMLESS = new Set(['BUFFER', 'SENDER_NEW', 'SYNC_MAXLEN'])

/** A process of a scenario and what it has written to standard error. */
interface Started {
  readonly host: 'A' | 'B'
  readonly child: ChildProcess
  log: string
}

interface Pair {
  readonly a: string
  readonly b: string
  /** Runs a command in the namespace of a host; `A` is the master's. */
  readonly ip: (host: 'A' | 'B', ...command: string[]) => void
  /** Starts a process in the namespace of a host. */
  readonly start: (host: 'A' | 'B', ...command: string[]) => Started
  /** The processes so far: the backup first, then the master. */
  readonly started: readonly Started[]
}

interface Scenario {
  readonly name: string
  /** Code that doctor must report; undefined where it must report neither problem nor warning. */
  readonly code: string | undefined
  /** Code of the line that a daemon must log; by default no other code than those of {@link HARMLESS} may be logged. */
  readonly log?: string
  /** Host whose daemon logs it; B, the backup's, by default. */
  readonly logOn?: 'A' | 'B'
  /** Host that doctor runs on; B, the backup's, by default. */
  readonly on?: 'A' | 'B'
  readonly master?: readonly string[] | false
  readonly backup?: readonly string[] | false
  readonly doctor?: readonly string[]
  /** Changes the hosts before the roles start. */
  readonly before?: (pair: Pair) => void
  /** Changes the hosts after the roles started. */
  readonly after?: (pair: Pair) => void | Promise<void>
}

const drop = ['add rule inet f in udp dport 8848 counter drop']
const nft = (pair: Pair, rules: readonly string[]): void => {
  pair.ip('B', 'nft', 'add table inet f')
  pair.ip('B', 'nft', 'add chain inet f in { type filter hook input priority 0 ; policy accept ; }')
  for (const rule of rules) pair.ip('B', 'nft', rule)
}
const garbage = `const s=require('dgram').createSocket('udp4');s.bind(0,()=>{s.setMulticastInterface('10.9.0.1');setInterval(()=>s.send(Buffer.from([3,5,0,200,9,9,9,9,1,2,3]),8848,'224.0.0.81'),200)})`
const squatter = `require('dgram').createSocket('udp4').bind({port:8848,address:'224.0.0.81',exclusive:true})`

const SCENARIOS: readonly Scenario[] = [
  { name: 'healthy-backup', code: undefined },
  { name: 'healthy-master', code: undefined, on: 'A' },
  {
    name: 'fewer-channels',
    code: undefined,
    backup: ['--sysctl', 'sync_ports=4'],
    doctor: ['--sysctl', 'sync_ports=4']
  },
  // The faults of the trial.
  { name: 'syncid', code: 'OTHER_SYNCID_ONLY', log: 'OTHER_SYNCID', master: ['--syncid', '6'] },
  {
    name: 'accept',
    code: 'SENDER_NOT_ACCEPTED',
    log: 'NOT_ACCEPTED',
    backup: ['--accept', '10.8.0.0/24'],
    doctor: ['--accept', '10.8.0.0/24']
  },
  {
    name: 'accept-by-http',
    code: 'DAEMON_NOT_ACCEPTED',
    log: 'NOT_ACCEPTED',
    backup: ['--accept', '10.8.0.0/24', '--http', '9848'],
    doctor: ['--http', '9848']
  },
  { name: 'sync-ports', code: 'PORTS_BEYOND', log: 'PORTS_BEYOND', master: ['--sysctl', 'sync_ports=4'] },
  { name: 'group', code: 'OTHER_GROUP', log: 'NOTHING_RECEIVED', master: ['--mcast-group', '224.0.0.99'] },
  { name: 'port', code: 'OTHER_PORT', log: 'NOTHING_RECEIVED', master: ['--mcast-port', '9000'] },
  { name: 'nft', code: 'FIREWALL_DROPS', log: 'NOTHING_RECEIVED', before: (pair) => nft(pair, drop) },
  {
    name: 'rp-filter',
    code: 'RP_FILTER_DROPS',
    log: 'RP_FILTER_DROPS',
    before: ({ ip }) => {
      ip('A', 'ip', 'addr', 'flush', 'dev', 'eth1')
      ip('A', 'ip', 'addr', 'add', '10.77.0.1/24', 'dev', 'eth1')
      ip('B', 'sysctl', '-qw', 'net.ipv4.conf.all.rp_filter=1', 'net.ipv4.conf.eth1.rp_filter=1')
    }
  },
  {
    name: 'path-mtu',
    code: 'MTU_BELOW_PEERS',
    log: 'MTU_DROPS',
    master: ['--rate', '200'],
    before: ({ ip }) => ip('B', 'ip', 'link', 'set', 'eth1', 'mtu', '1280')
  },
  {
    name: 'both-mtu',
    code: 'MTU_BELOW_PEERS',
    log: 'SYNC_MAXLEN',
    logOn: 'A',
    before: ({ ip }) => {
      for (const host of ['A', 'B'] as const) ip(host, 'ip', 'link', 'set', 'eth1', 'mtu', '1280')
    }
  },
  {
    name: 'maxlen',
    code: 'TOO_LARGE',
    log: 'MESSAGE_OVER_MAXLEN',
    master: ['--rate', '200'],
    backup: ['--sync-maxlen', '200'],
    doctor: ['--sync-maxlen', '200']
  },
  {
    name: 'peer-link-down',
    code: 'NO_CARRIER',
    log: 'INTERFACE_LOST',
    after: ({ ip }) => ip('A', 'ip', 'link', 'set', 'eth1', 'down')
  },
  { name: 'silence', code: 'NOTHING_RECEIVED', log: 'NOTHING_RECEIVED', master: false },
  {
    name: 'master-stops',
    code: 'NOTHING_RECEIVED',
    log: 'SENDER_SILENT',
    after: async ({ started }) => {
      await setTimeout(5000)
      started[1]!.child.kill('SIGTERM')
    }
  },
  {
    name: 'peer-typo',
    code: 'PEER_NOT_SENDING',
    log: 'NOT_ACCEPTED',
    master: ['--peer', '10.9.0.2'],
    backup: ['--peer', '10.9.0.77'],
    doctor: ['--peer', '10.9.0.77']
  },
  {
    name: 'two-masters',
    code: 'TWO_MASTERS',
    log: 'SYNCID_SHARED',
    after: ({ ip, start }) => {
      ip('B', 'ip', 'addr', 'add', '10.9.0.3/24', 'dev', 'eth1')
      ip('A', 'ip', 'link', 'add', 'mac0', 'link', 'eth1', 'type', 'macvlan', 'mode', 'bridge')
      ip('A', 'ip', 'addr', 'add', '10.9.0.9/24', 'dev', 'mac0')
      ip('A', 'ip', 'link', 'set', 'mac0', 'up')
      start(
        'A',
        process.execPath,
        main,
        'master',
        '--source',
        'demo',
        '--force',
        '--mcast-interface',
        'mac0',
        '--syncid',
        '5'
      )
    }
  },
  // Further ones.
  {
    name: 'iptables',
    code: 'FIREWALL_DROPS',
    log: 'NOTHING_RECEIVED',
    before: ({ ip }) => ip('B', 'iptables', '-A', 'INPUT', '-p', 'udp', '--dport', '8848', '-j', 'DROP')
  },
  {
    name: 'no-address',
    code: 'NO_ADDRESS',
    backup: false,
    before: ({ ip }) => ip('B', 'ip', 'addr', 'flush', 'dev', 'eth1')
  },
  {
    name: 'multicast-off',
    code: 'NO_MULTICAST',
    before: ({ ip }) => ip('B', 'ip', 'link', 'set', 'eth1', 'multicast', 'off')
  },
  {
    name: 'interface-down',
    code: 'INTERFACE_DOWN',
    log: 'INTERFACE_LOST',
    after: ({ ip }) => ip('B', 'ip', 'link', 'set', 'eth1', 'down')
  },
  { name: 'interface-missing', code: 'INTERFACE_MISSING', doctor: ['--mcast-interface', 'eth7'] },
  {
    name: 'malformed',
    code: 'MALFORMED',
    log: 'SIZE_MISMATCH',
    after: ({ start }) => void start('A', process.execPath, '-e', garbage)
  },
  {
    name: 'table-full',
    code: 'DAEMON_TABLE_FULL',
    log: 'TABLE_FULL',
    backup: ['--max-connections', '5', '--http', '9848'],
    doctor: ['--http', '9848']
  },
  {
    name: 'fragments',
    code: 'MTU_TOO_SMALL',
    log: 'MESSAGES_FRAGMENTED',
    master: ['--rate', '200', '--sync-maxlen', '3000'],
    backup: ['--sync-maxlen', '3000']
  },
  {
    name: 'socket-drops',
    code: 'SOCKET_DROPS',
    log: 'SOCKET_DROPS',
    master: ['--rate', '2000'],
    backup: ['--sysctl', 'sync_sock_size=4096'],
    after: async ({ ip, started }) => {
      const pid = String(started[0]!.child.pid)
      ip('B', 'kill', '-STOP', pid)
      await setTimeout(3000)
      ip('B', 'kill', '-CONT', pid)
    }
  },
  {
    name: 'port-taken',
    code: 'PORT_TAKEN',
    backup: false,
    after: ({ start }) => void start('B', process.execPath, '-e', squatter)
  },
  { name: 'no-role', code: 'NO_ROLE', backup: false }
]

let next = 0

async function runScenario(scenario: Scenario): Promise<string | undefined> {
  const number = next++
  const [a, b] = ['a', 'b'].map((side) => `doctor-${process.pid}-${number}${side}`) as [string, string]
  const started: Started[] = []
  const inside = (host: 'A' | 'B', command: readonly string[]): string[] => [
    'netns',
    'exec',
    host === 'A' ? a : b,
    ...command
  ]
  const pair: Pair = {
    a,
    b,
    ip: (host, ...command) => void execFileSync('ip', inside(host, command), { stdio: 'pipe' }),
    start: (host, ...command) => {
      const child = spawn('ip', inside(host, command), { stdio: ['pipe', 'ignore', 'pipe'] })
      const one = { host, child, log: '' }
      child.stderr.setEncoding('utf8').on('data', (text: string) => (one.log += text))
      started.push(one)
      return one
    },
    started
  }
  try {
    for (const name of [a, b]) execFileSync('ip', ['netns', 'add', name])
    execFileSync('ip', ['link', 'add', 'eth1', 'netns', a, 'type', 'veth', 'peer', 'name', 'eth1', 'netns', b])
    for (const [host, address] of [
      ['A', '10.9.0.1/24'],
      ['B', '10.9.0.2/24']
    ] as const) {
      pair.ip(host, 'ip', 'addr', 'add', address, 'dev', 'eth1')
      for (const link of ['lo', 'eth1']) pair.ip(host, 'ip', 'link', 'set', link, 'up')
    }
    // The kernel finds the carrier of a new link in the background, within about a second.
    for (const host of [a, b]) while (!isRunning(host)) await setTimeout(50)
    scenario.before?.(pair)
    const { master = [], backup = [] } = scenario
    const common = ['--mcast-interface', 'eth1', '--syncid', '5']
    if (backup !== false) pair.start('B', process.execPath, main, 'backup', ...common, ...backup)
    if (master !== false)
      pair.start('A', process.execPath, main, 'master', '--source', 'demo', '--force', ...common, ...master)
    // A process that cannot open its socket reports that on its first line, too.
    await Promise.all(started.map(firstLine))
    await setTimeout(1000)
    await scenario.after?.(pair)
    const begin = Date.now()
    const verdict = await verdictOf(
      scenario,
      inside(scenario.on ?? 'B', [
        process.execPath,
        main,
        'doctor',
        ...common,
        '--seconds',
        String(SECONDS),
        '--format',
        'json',
        ...(scenario.doctor ?? [])
      ])
    )
    const { log, logOn = 'B' } = scenario
    if (verdict !== undefined || log === undefined) return verdict ?? unexpected(scenario, started)
    const isLogged = (): boolean => started.some(({ host, log: text }) => host === logOn && hasCode(text, log))
    while (!isLogged() && Date.now() - begin < PATIENCE * 1000) await setTimeout(100)
    if (isLogged()) return undefined
    return `expected ${log} in the log of ${logOn}, got ${started.map(({ host, log: text }) => `${host}: ${text}`).join('')}`
  } finally {
    for (const { child } of started) child.kill('SIGTERM')
    for (const { child } of started) if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    for (const name of [a, b]) execFileSync('ip', ['netns', 'del', name])
  }
}

const isRunning = (namespace: string): boolean =>
  execFileSync('ip', ['-n', namespace, '-o', 'link', 'show', 'eth1'], { encoding: 'utf8' }).includes('LOWER_UP')

/** Waits until a process has written something to its log. */
async function firstLine(one: Started): Promise<void> {
  while (one.log === '' && one.child.exitCode === null) await setTimeout(50)
}

/** A notice's code ends its line in brackets; a problem of a message stands in it. */
const hasCode = (log: string, code: string): boolean => log.includes(`[${code}]`) || log.includes(`: ${code}, `)

/** Names the codes that a healthy pair must not log. */
function unexpected({ code, on }: Scenario, started: readonly Started[]): string | undefined {
  if (code !== undefined || on !== undefined) return undefined
  const codes = started.flatMap(({ log }) => [...log.matchAll(/\[([A-Z_]+)\]$/gm)].map(([, found]) => found!))
  const faults = codes.filter((found) => !HARMLESS.has(found))
  return faults.length === 0 ? undefined : `expected a silent log, got ${faults.join(', ')}`
}

async function verdictOf({ code }: Scenario, command: readonly string[]): Promise<string | undefined> {
  const child = spawn('ip', command, { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  await once(child, 'close')
  const { checks } = JSON.parse(text) as { checks: { code: string; verdict: string; text: string }[] }
  const faults = checks.filter(({ verdict }) => verdict === 'problem' || verdict === 'warning')
  const found = faults.map((check) => check.code)
  if (code === undefined ? found.length === 0 : found.includes(code)) return undefined
  return `expected ${code ?? 'no fault'}, got ${faults.map((check) => `${check.code} (${check.text})`).join('; ') || 'none'}`
}

function missing(): string | undefined {
  if (process.getuid?.() !== 0) return 'root'
  for (const [command, argument] of [
    ['ip', '-V'],
    ['nft', '-v'],
    ['iptables', '-V'],
    ['tcpdump', '--version']
  ] as const)
    try {
      execFileSync(command, [argument], { stdio: 'ignore' })
    } catch {
      return { ip: 'iproute2', nft: 'nftables', iptables: 'iptables', tcpdump: 'tcpdump' }[command]
    }
  try {
    execFileSync('ip', ['netns', 'add', `doctor-${process.pid}`], { stdio: 'ignore' })
    execFileSync('ip', ['netns', 'del', `doctor-${process.pid}`])
  } catch {
    return 'network namespaces'
  }
  return undefined
}

const say = (line: string): void => void process.stdout.write(`${line}\n`)

const lacking = missing()
if (lacking !== undefined) {
  say(`skipped: doctor in namespaces needs ${lacking}`)
  process.exit(0)
}
const names = process.argv.slice(2)
const waiting = SCENARIOS.filter(({ name }) => names.length === 0 || names.includes(name))
const total = waiting.length
let failed = 0
await Promise.all(
  Array.from({ length: PARALLEL }, async () => {
    for (let scenario = waiting.shift(); scenario !== undefined; scenario = waiting.shift()) {
      const fault = await runScenario(scenario).catch((error: unknown) => String(error))
      if (fault !== undefined) failed++
      say(
        `${fault === undefined ? 'ok    ' : 'not ok'} ${scenario.name}${fault === undefined ? ` ${scenario.code ?? ''}` : `: ${fault}`}`
      )
    }
  })
)
say(`${total - failed} of ${total} scenarios as expected`)
process.exitCode = failed === 0 ? 0 : 1
