// The checklist of `doctor`: each verdict from facts alone, the parsers, and the collector with a host made of files.
import { parseCounter } from '../../src/transport/link-counters.js'
import { createSocket } from 'node:dgram'
import { createServer } from 'node:http'
import { join } from 'node:path'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { parseNetwork } from '../../src/addresses.js'
import { encodeAgentMessage } from '../../src/agent/protocol/messages.js'
import { execute, configure, judgeHost, checklistText, summaryText } from '../../src/cli/doctor/command.js'
import { collectFacts } from '../../src/cli/doctor/collect.js'
import type { Check, Facts, KernelDaemon, SocketFacts, Verdict, Wanted } from '../../src/cli/doctor/facts.js'
import { findBlocker, parseIptables, parseNft, type Packet } from '../../src/cli/doctor/firewall-rules.js'
import { thisHost, type Host } from '../../src/cli/doctor/host.js'
import { captureLink } from '../../src/cli/doctor/observe-link.js'
import {
  parseDaemons,
  parseIgmp,
  parseIgmp6,
  parseKeepalived,
  parseMetrics,
  parseUdp
} from '../../src/cli/doctor/parse-proc.js'
import { run } from '../../src/cli/run.js'
import {
  connectionKey,
  MOST_CONNECTIONS,
  rateOf,
  TrafficObserver,
  type SenderTotals
} from '../../src/cli/traffic/observer.js'
import { parseServices } from '../../src/procfs/services.js'
import { sysctlDefaults } from '../../src/sysctl/index.js'
import { appendTrailer } from '../../src/trust/trailer.js'
import { decodeMessage } from '../../src/wire/decode-message.js'
import { encodeMessage } from '../../src/wire/encode-message.js'
import type { Connection } from '../../src/wire/connection.js'
import { Command } from 'commander'
import { testIo } from '../fixtures/support/test-io.js'

const CAPTURE = join(import.meta.dirname, '../fixtures/captures/tcp4-nat/sync.pcap')

const WEB: Connection = {
  family: 'ipv4',
  protocol: 'TCP',
  client: { address: '10.1.0.2', port: 40_000 },
  virtual: { address: '10.1.0.1', port: 80 },
  destination: { address: '10.2.0.2', port: 80 },
  forwarding: 'MASQ',
  flags: [],
  state: 'ESTABLISHED',
  fwmark: 0,
  timeout: 900
}

const message = (connections: readonly Connection[], syncid: number): Uint8Array =>
  encodeMessage({ version: 1, syncid, connections })

const sender = (change: Partial<SenderTotals> = {}): SenderTotals => ({
  address: '10.9.0.1',
  syncid: 5,
  versions: [1],
  ports: [8848],
  groups: ['224.0.0.81'],
  messages: 10,
  connections: 100,
  bytes: 4000,
  largest: 400,
  fragmented: 0,
  lost: undefined,
  clockOffset: undefined,
  problems: {},
  firstMs: 0,
  lastMs: 10_000,
  ...change
})

const socket = (change: Partial<SocketFacts> = {}): SocketFacts => ({
  local: '224.0.0.81',
  port: 8848,
  remote: '0.0.0.0',
  remotePort: 0,
  uid: 0,
  inode: 7,
  program: 'node (pid 9)',
  drops: 0,
  ...change
})

const WANTED: Wanted = {
  interfaceName: 'eth1',
  syncid: 5,
  group: '224.0.0.81',
  port: 8848,
  channels: 1,
  maxlen: undefined,
  peers: [],
  accept: [],
  seconds: 10
}

const traffic = (senders: readonly SenderTotals[], rest: Partial<Facts['traffic']> = {}): Facts['traffic'] => ({
  senders,
  agents: [],
  connections: [],
  foreign: 0,
  ...rest
})

const UP = {
  exists: true,
  up: true,
  carrier: true,
  multicast: true,
  mtu: 1500,
  addresses: ['10.9.0.2/24'],
  names: ['lo', 'eth1']
}
const NO = { reason: 'not here' }

const healthy = (change: Partial<Facts> = {}): Facts => ({
  wanted: WANTED,
  now: 1e12,
  hz: { value: 250 },
  interface: UP,
  memberships: { value: ['224.0.0.81', '224.0.0.1'] },
  rpFilter: { value: 0 },
  rpDrops: { value: { before: 3, after: 3 } },
  ignoredMulticast: { value: { before: 0, after: 0 } },
  reassemblyFailures: { value: { before: 0, after: 0 } },
  firewall: { value: [] },
  sockets: { value: [socket()] },
  drops: { value: { before: 0, after: 0 } },
  rmemMax: { value: 212_992 },
  rmemDefault: { value: 212_992 },
  bindFailures: {},
  observed: { value: true },
  traffic: traffic([sender()]),
  wire: { value: { traffic: traffic([sender()]), querier: true } },
  ipvs: NO,
  keepalived: NO,
  daemon: undefined,
  ...change
})

const codes = (checks: readonly Check[], ...wanted: readonly Verdict[]): string[] =>
  checks.filter(({ verdict }) => wanted.includes(verdict)).map(({ code }) => code)
const faults = (facts: Facts): string[] => codes(judgeHost(facts), 'problem', 'warning')

t.test('a healthy receiver, sender and agent have no problem and no warning', async (t) => {
  t.strictSame(faults(healthy()), [])
  t.strictSame(faults(healthy({ wanted: { ...WANTED, syncid: 0 }, interface: undefined })), [])
  const sends = socket({ remote: '224.0.0.81', remotePort: 8848, port: 40_000, local: '10.9.0.2' })
  const own = traffic([sender({ address: '10.9.0.2' })])
  const master = healthy({ sockets: { value: [sends] }, traffic: traffic([]), memberships: { value: [] } })
  t.strictSame(faults({ ...master, wire: { value: { traffic: own, querier: false } } }), [])
  t.ok(codes(judgeHost(master), 'unchecked').includes('NOTHING_RECEIVED'), 'a sender receives nothing')
  const agents = [
    { id: 'a', address: '10.9.0.1', syncid: 5, ready: true, connections: 3, messages: 1, lastMs: 0 },
    { id: 'b', address: '10.9.0.3', syncid: 5, ready: true, connections: undefined, messages: 1, lastMs: 0 }
  ]
  t.strictSame(faults(healthy({ traffic: traffic([sender({ lost: 0 })], { agents }) })), [])
  t.ok(
    judgeHost(healthy()).every(({ verdict, advice }) => (verdict === 'problem') === (advice !== undefined)),
    'advice stands where something is to be done'
  )
})

const NFT = JSON.stringify({
  nftables: [
    { metainfo: {} },
    { chain: { family: 'inet', table: 'f', name: 'in', hook: 'input', prio: 0, policy: 'accept' } },
    {
      rule: {
        family: 'inet',
        table: 'f',
        chain: 'in',
        handle: 4,
        expr: [
          { match: { op: '==', left: { payload: { protocol: 'udp', field: 'dport' } }, right: 8848 } },
          { counter: { packets: 12, bytes: 1 } },
          { drop: null }
        ]
      }
    }
  ]
})

const cases: readonly (readonly [code: string, change: Partial<Facts>])[] = [
  ['INTERFACE_MISSING', { interface: { ...UP, exists: false, up: false } }],
  ['INTERFACE_DOWN', { interface: { ...UP, up: false } }],
  ['NO_CARRIER', { interface: { ...UP, carrier: false, addresses: [] } }],
  ['NO_MULTICAST', { interface: { ...UP, multicast: false } }],
  ['NO_ADDRESS', { interface: { ...UP, addresses: [] } }],
  ['NO_ADDRESS', { wanted: { ...WANTED, group: 'ff02::81' }, interface: { ...UP, addresses: [] } }],
  ['MTU_BELOW_PEERS', { interface: { ...UP, mtu: 1280 } }],
  ['MTU_TOO_SMALL', { wanted: { ...WANTED, maxlen: 1400 }, interface: { ...UP, mtu: 1280 } }],
  ['MTU_TOO_SMALL', { interface: { ...UP, mtu: 1280 }, traffic: traffic([sender({ largest: 1400 })]) }],
  ['GROUP_NOT_JOINED', { memberships: { value: [] } }],
  ['FIREWALL_DROPS', { firewall: { value: parseNft(NFT)! } }],
  ['FIREWALL_DROPS', { firewall: { value: parseIptables('*filter\n:INPUT DROP [0:0]\n') } }],
  ['RP_FILTER_DROPS', { rpFilter: { value: 1 }, rpDrops: { value: { before: 0, after: 2 } } }],
  [
    'RP_FILTER_DROPS',
    {
      rpFilter: { value: 1 },
      traffic: traffic([]),
      wire: { value: { traffic: traffic([sender({ address: '10.8.0.1' })]), querier: false } }
    }
  ],
  ['REASSEMBLY_FAILS', { reassemblyFailures: { value: { before: 1, after: 4 } } }],
  ['FRAGMENTED', { wire: { value: { traffic: traffic([sender({ fragmented: 2 })]), querier: true } } }],
  ['OTHER_PORT', { traffic: traffic([]), wire: NO, ignoredMulticast: { value: { before: 0, after: 4 } } }],
  ['OTHER_PORT', { wire: { value: { traffic: traffic([sender({ ports: [9000] })]), querier: true } } }],
  ['OTHER_GROUP', { wire: { value: { traffic: traffic([sender({ groups: ['224.0.0.99'] })]), querier: true } } }],
  ['FILTERED', { traffic: traffic([]) }],
  ['NOTHING_RECEIVED', { traffic: traffic([]) }],
  ['OTHER_SYNCID_ONLY', { traffic: traffic([sender({ syncid: 6 })]) }],
  ['PORTS_BEYOND', { traffic: traffic([sender({ ports: [8848, 8851] })]) }],
  ['SENDER_NOT_ACCEPTED', { wanted: { ...WANTED, accept: [parseNetwork('10.8.0.0/24')!] } }],
  ['PEER_NOT_SENDING', { wanted: { ...WANTED, peers: ['10.9.0.77'] } }],
  ['TWO_MASTERS', { traffic: traffic([sender(), sender({ address: '10.9.0.3' })]) }],
  ['MALFORMED', { traffic: traffic([sender({ problems: { SIZE_MISMATCH: 3, LEFTOVER_BYTES: 1 } })]) }],
  ['TOO_LARGE', { wanted: { ...WANTED, maxlen: 200 }, traffic: traffic([sender({ largest: 1400 })]) }],
  ['TOO_LARGE', { wanted: { ...WANTED, group: 'ff02::81' }, traffic: traffic([sender({ largest: 1472 })]) }],
  ['CLOCK_DIFFERS', { traffic: traffic([sender({ clockOffset: 3000 })]) }],
  ['CLOCK_DIFFERS', { traffic: traffic([sender({ clockOffset: -3000 })]) }],
  ['LOSS', { traffic: traffic([sender({ lost: 4 })]) }],
  ['NOT_SYNC', { traffic: traffic([sender()], { foreign: 2 }) }],
  ['PORT_TAKEN', { bindFailures: { 8848: 'bind EADDRINUSE' } }],
  ['NO_ROLE', { sockets: { value: [] } }],
  ['SOCKET_DROPS', { drops: { value: { before: 1, after: 5 } } }],
  ['SOCKET_DROPS_BEFORE', { drops: { value: { before: 5, after: 5 } } }],
  [
    'AGENT_NOT_READY',
    {
      traffic: traffic([sender()], {
        agents: [{ id: 'a', address: '10.9.0.1', syncid: 5, ready: false, connections: 3, messages: 1, lastMs: 0 }]
      })
    }
  ],
  [
    'AGENT_OTHER_SYNCID',
    {
      traffic: traffic([sender()], {
        agents: [{ id: 'a', address: '10.9.0.1', syncid: 6, ready: true, connections: 3, messages: 1, lastMs: 0 }]
      })
    }
  ],
  ['DAEMON_UNREACHABLE', { daemon: NO }],
  ['DAEMON_NOT_READY', { daemon: { value: { ready: false, status: 'nothing received', metrics: {} } } }]
]

for (const [index, [code, change]] of cases.entries())
  t.test(`${code} (${index})`, async (t) =>
    t.ok(faults(healthy(change)).includes(code), faults(healthy(change)).join(' '))
  )

t.test('what is not a fault is not reported as one', async (t) => {
  const beside = judgeHost(healthy({ traffic: traffic([sender(), sender({ syncid: 6 })]) }))
  t.ok(codes(beside, 'ok').includes('OTHER_SYNCID'))
  const all = healthy({
    memberships: NO,
    rpFilter: NO,
    rpDrops: NO,
    ignoredMulticast: NO,
    reassemblyFailures: NO,
    firewall: NO,
    sockets: NO,
    drops: NO,
    rmemMax: NO,
    wire: NO,
    hz: NO
  })
  t.strictSame(faults(all), [], 'what cannot be read is not checked')
  t.strictSame(faults({ ...all, rmemMax: { value: 1 }, rmemDefault: NO }), [])
  t.ok(codes(judgeHost({ ...all, observed: NO, traffic: traffic([]) }), 'unchecked').includes('NOTHING_RECEIVED'))
  t.ok(codes(judgeHost(healthy({ memberships: { value: [] }, sockets: { value: [] } })), 'unchecked').includes('GROUP'))
  t.strictSame(faults(healthy({ wanted: { ...WANTED, peers: ['10.9.0.1'] } })), [], 'unicast has no group')
  t.strictSame(faults(healthy({ wanted: { ...WANTED, peers: ['10.9.0.2'] } })), [], 'a peer may be this host')
  t.strictSame(faults(healthy({ wanted: { ...WANTED, accept: [parseNetwork('10.9.0.0/24')!] } })), [])
  t.strictSame(faults(healthy({ rpFilter: { value: 1 } })), [], 'strict, and every sender is in the network')
  t.strictSame(faults(healthy({ rpFilter: { value: 9 } })), [])
  const shared = [socket(), socket({ program: undefined, uid: 99 }), socket({ program: undefined, inode: 0 })]
  t.ok(codes(judgeHost(healthy({ sockets: { value: shared } })), 'ok').includes('SHARED_PORT'))
  t.strictSame(faults(healthy({ interface: { ...UP, mtu: undefined } })), [])
})

const BACKUP: KernelDaemon = {
  role: 'backup',
  interfaceName: 'eth1',
  syncid: 5,
  maxlen: 1472,
  group: '224.0.0.81',
  port: 8848,
  ttl: 1
}
const SERVICES = parseServices('TCP  10.1.0.1:80 wlc\n  -> 10.2.0.2:80 Masq 1 0 0\n').services
const kernel = (change: object = {}, connections: readonly Connection[] = [WEB]): Partial<Facts> => ({
  traffic: traffic([sender()], { connections }),
  ipvs: {
    value: {
      services: { value: SERVICES },
      sysctls: { value: sysctlDefaults },
      daemons: { value: [BACKUP] },
      held: { value: 1 },
      ...change
    }
  }
})

t.test('the kernel: its daemons, settings, services and table', async (t) => {
  t.strictSame(faults(healthy(kernel())), [])
  const differs = { ...BACKUP, syncid: 7, interfaceName: 'eth2', group: '224.0.0.9', port: 9000 }
  const old: KernelDaemon = {
    ...BACKUP,
    role: 'master',
    maxlen: undefined,
    group: undefined,
    port: undefined,
    ttl: undefined
  }
  const sysctls = (change: object): object => ({ sysctls: { value: { ...sysctlDefaults, ...change } } })
  const six = parseServices('TCP  [2001:db8::1]:80 wlc\n').services
  const rows: readonly (readonly [string[], Partial<Facts>])[] = [
    [['KERNEL_DAEMON_DIFFERS'], kernel({ daemons: { value: [differs] }, held: NO })],
    [[], kernel({ daemons: { value: [old] } })],
    [[], kernel({ daemons: { value: [BACKUP, { ...BACKUP, role: 'master' }] } })],
    [
      ['KERNEL_DAEMONS_DISAGREE', 'KERNEL_DAEMONS_DISAGREE'],
      kernel({ daemons: { value: [BACKUP, { ...BACKUP, role: 'master', maxlen: 1400, port: undefined }] } })
    ],
    [['BACKUP_ONLY'], kernel(sysctls({ backupOnly: 1 }))],
    [[], kernel({ ...sysctls({ backupOnly: 1 }), daemons: NO })],
    [[], kernel({ daemons: NO })],
    [[], kernel({ daemons: { value: [] } })],
    [[], kernel({ sysctls: NO, services: NO, held: NO })],
    [['PERSIST_WITHOUT_SLOPPY'], kernel(sysctls({ syncPersistMode: 1 }))],
    [['LATE_THRESHOLD'], kernel(sysctls({ syncThreshold: [20, 50] }))],
    [['VERSION_0_WITH_IPV6', 'SERVICE_MISSING'], kernel({ ...sysctls({ syncVersion: 0 }), services: { value: six } })],
    [[], kernel({ ...sysctls({ syncVersion: 0 }), services: NO })],
    [['KERNEL_TABLE_EMPTY'], kernel({ held: { value: 0 } })],
    [
      ['KERNEL_TABLE_INCOMPLETE'],
      kernel({ held: { value: 1 } }, [WEB, { ...WEB, client: { address: '10.1.0.3', port: 1 } }])
    ],
    [[], kernel({}, [])],
    [[], kernel({ services: { value: parseServices('FWM  1 wlc\n').services } })]
  ]
  for (const [wanted, change] of rows) t.strictSame(faults(healthy(change)), wanted)
  t.strictSame(faults(healthy({ ...kernel(), sockets: { value: [] } })), [], 'a kernel backup receives')
})

t.test('keepalived and a running daemon', async (t) => {
  const keepalived = (text: string, fifoState?: 'fifo' | 'missing' | 'other'): string[] =>
    faults(healthy({ keepalived: { value: { ...parseKeepalived(text), fifoState } } }))
  t.strictSame(keepalived('global_defs {\n lvs_sync_daemon eth1 VI_1 id 5\n}'), [])
  t.strictSame(keepalived('vrrp_instance A {}'), [])
  t.strictSame(keepalived('lvs_sync_daemon eth2 VI_1 7'), ['KEEPALIVED_DIFFERS', 'KEEPALIVED_DIFFERS'])
  t.strictSame(keepalived('lvs_sync_daemon {\n interface eth1\n syncid 5\n}\nvrrp_notify_fifo "/run/x"', 'fifo'), [])
  t.strictSame(keepalived('vrrp_notify_fifo /run/x', 'missing'), ['KEEPALIVED_FIFO'])
  t.strictSame(keepalived('vrrp_notify_fifo /run/x', 'other'), ['KEEPALIVED_FIFO'])
  const daemon = (text: string): string[] =>
    faults(healthy({ daemon: { value: { ready: true, status: 'ready', metrics: parseMetrics(text) } } }))
  t.strictSame(
    daemon(
      '# HELP x\nipvs_sync_connections_applied_total 4\nipvs_sync_messages_dropped_total{reason="NOT_ACCEPTED"} 3\n'
    ),
    []
  )
  t.strictSame(daemon('ipvs_sync_messages_dropped_total{reason="NOT_ACCEPTED"} 3\n'), ['DAEMON_NOT_ACCEPTED'])
  t.strictSame(
    daemon(
      'ipvs_sync_connections_skipped_total{reason="TABLE_FULL"} 3\nipvs_sync_queue_dropped_total{channel="0"} 1\nipvs_sync_queue_dropped_total{channel="1"} 1\n'
    ),
    ['DAEMON_TABLE_FULL', 'DAEMON_QUEUE_DROPS']
  )
})

t.test('firewall rules are evaluated for one packet', async (t) => {
  const packet: Packet = { interfaceName: 'eth1', source: '10.9.0.1', group: '224.0.0.81', port: 8850 }
  const nft = (...exprs: readonly (readonly object[])[]): string | undefined => {
    const chain = { family: 'ip', table: 't', name: 'in', hook: 'input', prio: 0, policy: 'accept' }
    const other = { family: 'ip', table: 't', name: 'sub' }
    const rules = exprs.map((expr, handle) => ({
      rule: { family: 'ip', table: 't', chain: handle < 90 ? 'in' : 'sub', handle, expr }
    }))
    const sub = { rule: { family: 'ip', table: 't', chain: 'sub', handle: 99, expr: [{ drop: null }] } }
    return findBlocker(parseNft(JSON.stringify({ nftables: [{ chain }, { chain: other }, ...rules, sub] }))!, packet)
      ?.where
  }
  const match = (left: object, right: unknown, op = '=='): object => ({ match: { op, left, right } })
  const dport = { payload: { protocol: 'udp', field: 'dport' } }
  const daddr = { payload: { protocol: 'ip', field: 'daddr' } }
  const saddr = { payload: { protocol: 'ip', field: 'saddr' } }
  const drop = { drop: null }
  t.equal(nft([match(dport, { range: [8848, 8911] }), drop]), 'nft ip t in: rule with handle 0')
  t.ok(nft([match(dport, { set: [53, { range: [8848, 8900] }] }), { reject: null }]))
  t.equal(nft([match(dport, 53), drop]), undefined)
  t.ok(nft([match(dport, 53, '!='), drop]))
  t.equal(nft([match(dport, 8850, '<'), drop]), undefined, 'an operator that is not evaluated decides nothing')
  t.equal(nft([match(dport, null), drop]), undefined)
  t.ok(nft([match({ meta: { key: 'l4proto' } }, 'udp'), match({ meta: { key: 'iifname' } }, 'eth1'), drop]))
  t.equal(nft([match({ meta: { key: 'iifname' } }, 'eth9'), drop]), undefined)
  t.ok(nft([match({ meta: { key: 'pkttype' } }, 'multicast'), drop]))
  t.equal(nft([match({ payload: { protocol: 'tcp', field: 'dport' } }, 8850), drop]), undefined)
  t.ok(nft([match(daddr, '224.0.0.81'), match(saddr, { prefix: { addr: '10.9.0.0', len: 24 } }), drop]))
  t.ok(nft([match(daddr, { set: ['224.0.0.18', '224.0.0.81'] }), drop]))
  t.equal(nft([match(daddr, '@named'), drop]), undefined)
  t.equal(nft([match({ ct: { key: 'state' } }, 'new', 'in'), drop]), undefined)
  t.equal(nft([match({ ct: { key: 'state' } }, 'new', '!='), drop]), undefined)
  t.equal(nft([{ accept: null }], [drop]), undefined)
  t.equal(nft([{ return: null }], [drop]), undefined)
  t.ok(nft([{ log: null }], [{ counter: { packets: 1 } }, drop]))
  t.ok(nft([{ jump: { target: 'sub' } }]))
  t.ok(nft([{ goto: { target: 'sub' } }]))
  t.equal(nft([{ goto: { target: 'none' } }], [drop]), undefined)
  t.equal(nft([{ jump: { target: 'in' } }]), undefined, 'a loop of chains ends')
  t.equal(nft([{ xt: null }, drop]), undefined)
  t.equal(parseNft('no JSON'), undefined)
  t.strictSame(parseNft('{"nftables":[{"rule":{"family":"ip","table":"x","chain":"y"}}]}')?.[0]?.chains.size, 0)

  const tables = (rules: string, policy = 'ACCEPT'): string | undefined =>
    findBlocker(parseIptables(`# x\n*filter\n:INPUT ${policy} [0:0]\n:SUB - [0:0]\n${rules}\nCOMMIT\n`), packet)?.where
  t.equal(
    tables('[12:400] -A INPUT -i eth1 -p udp -m udp --dport 8848:8911 -j DROP'),
    'iptables filter INPUT: rule "-i eth1 -p udp -m udp --dport 8848:8911 -j DROP"'
  )
  t.ok(tables('-A INPUT -d 224.0.0.0/4 -s 10.9.0.0/24 -j REJECT --reject-with icmp-port-unreachable'))
  t.ok(tables('-A INPUT -i eth+ -p udp -m multiport --dports 53,8850 -j SUB\n-A SUB -j DROP'))
  t.ok(tables('-A INPUT ! -i lo -j DROP'))
  t.equal(tables('-A INPUT ! -i eth1 -j DROP'), undefined)
  t.equal(tables('-A INPUT ! -s nonsense -j DROP'), undefined)
  t.equal(tables('-A INPUT -d nonsense -j DROP'), undefined)
  t.equal(tables('-A INPUT -p tcp -j DROP'), undefined)
  t.equal(tables('-A INPUT -m state --state NEW -j DROP'), undefined)
  t.equal(tables('-A INPUT -j LOG\n-A INPUT -p udp -j ACCEPT', 'DROP'), undefined)
  t.ok(tables('-A INPUT -j RETURN', 'DROP'))
  t.equal(tables('-A MISSING -j DROP'), undefined)
  t.equal(
    findBlocker(parseIptables('*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -g X\n'), {
      ...packet,
      interfaceName: undefined
    }),
    undefined
  )
})

t.test('files of /proc', async (t) => {
  const igmp =
    'Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n4\teth1      :     2      V3\n\t\t\t\t510000E0     1 0:00000000\t\t0\n'
  t.strictSame(parseIgmp(igmp, 'eth1'), ['224.0.0.81'])
  t.strictSame(parseIgmp6('4    eth1            ff020000000000000000000000000081     1 0000000C 0\n', 'eth1'), [
    'ff02::81'
  ])
  t.strictSame(parseIgmp6('4    eth2            ff020000000000000000000000000081     1 0000000C 0\n', 'eth1'), [])
  const udp =
    '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n' +
    ' 1: 510000E0:2290 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 4242 2 0 17\n' +
    ' 2: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 0\n' +
    ' 3: 0200090A:9C40 510000E0:2290 01 00000000:00000000 00:00000000 00000000     0        0 2 2 0 0\n'
  t.strictSame(
    parseUdp(udp, 8848, 8911).map(({ local, remote, inode, drops, uid }) => [local, remote, inode, drops, uid]),
    [
      ['224.0.0.81', '0.0.0.0', 4242, 17, 1000],
      ['10.9.0.2', '224.0.0.81', 2, 0, 0]
    ]
  )
  const six = ' 1: 000002FF000000000000000081000000:2290 00000000000000000000000000000000:0000 07 0:0 00:0 0 0 0 4 2 0'
  t.strictSame(
    parseUdp(six, 8848, 8848).map(({ local, drops }) => [local, drops]),
    [['ff02::81', 0]].map(([local]) => [local, 0]).map(() => [parseUdp(six, 8848, 8848)[0]!.local, 0])
  )
  t.match(parseUdp(six, 8848, 8848)[0]!.local, /^ff02::/)
  t.equal(parseCounter('Udp: A B\nUdp: 1 2\n', 'Udp', 'B'), 2)
  t.equal(parseCounter('Udp: A B\nUdp: 1 2\n', 'Udp', 'C'), undefined)
  t.equal(parseCounter('', 'Udp', 'C'), undefined)
  t.strictSame(
    parseDaemons('master sync daemon (mcast=eth1, syncid=5, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)\nx\n'),
    [{ ...BACKUP, role: 'master' }]
  )
  t.strictSame(parseDaemons('backup sync daemon (x=y)'), [
    {
      role: 'backup',
      interfaceName: '',
      syncid: 0,
      maxlen: undefined,
      group: undefined,
      port: undefined,
      ttl: undefined
    }
  ])
})

t.test('the observer counts, and its memory is bounded', async (t) => {
  const observer = new TrafficObserver(5)
  const from = { address: '10.9.0.1', port: 8848, fragments: 1 }
  const payload5 = message([WEB], 5)
  const see = (payload: Uint8Array, now: number, change: object = {}): readonly Connection[] =>
    observer.observe({ ...from, payload, size: payload.length, ...change }, now)
  t.equal(see(payload5, 1000).length, 1)
  t.equal(see(message([WEB], 6), 1000).length, 0, 'another syncid is counted, not kept')
  see(payload5, 1500, { fragments: 2, group: '224.0.0.81', port: 8849 })
  see(new Uint8Array(2), 1500)
  see(Uint8Array.of(9, 5, 0, 8, 1, 2, 3, 4), 1500)
  const agent = {
    kind: 'hello',
    from: '00000000000000aa',
    to: '0000000000000000',
    request: 0,
    connections: 7,
    ready: true,
    origin: undefined
  } as const
  see(encodeAgentMessage(agent, 5), 1600)
  see(encodeAgentMessage(agent, 5), 1700)
  see(encodeAgentMessage(agent, 5).fill(99, 12, 13), 1700)
  for (const sequence of [4, 7, 5])
    see(appendTrailer(payload5, { keyId: 0, channel: 0, flags: 0, sender: 1n, sequence, time: 0 }), 1800)
  const { senders, agents, connections, foreign } = observer.report()
  const [first] = senders
  t.match(first, { syncid: 5, ports: [8848, 8849], groups: ['224.0.0.81'], fragmented: 1, lost: 1, versions: [0, 1] })
  t.equal(first!.clockOffset, 1800)
  t.equal(senders.length, 2)
  t.match(agents, [{ id: '00000000000000aa', ready: true, connections: 7, messages: 2 }])
  t.equal(connections.length, 1)
  t.equal(foreign, 1)
  t.equal(rateOf({ ...first!, messages: 30 }, 10_000), 3)
  const before = first!.connections
  for (let i = 0; i < 2500; i++) see(payload5, 60_000)
  t.equal(observer.report().senders[0]!.connections, before + 2500, 'beyond the limit the header is counted')
  for (let i = 0; i < 300; i++) see(payload5, 70_000, { address: `10.8.${i >> 8}.${i & 255}` })
  t.equal(observer.report().senders.length, 256)
  for (let i = 0; i < 300; i++) see(encodeAgentMessage({ ...agent, from: i.toString(16).padStart(16, '0') }, 5), 71_000)
  t.ok(observer.report().agents.length <= 256)
  for (let i = 0; i < 300; i++)
    see(appendTrailer(payload5, { keyId: 0, channel: 0, flags: 0, sender: BigInt(i), sequence: 1, time: 0 }), 72_000)
  const many = new TrafficObserver(0)
  for (let i = 0; i < 30; i++) {
    const batch = Array.from({ length: 200 }, (_, k) => ({
      ...WEB,
      client: { address: '10.1.0.9', port: 1 + i * 200 + k }
    }))
    for (let at = 0; at < 200; at += 25) {
      const payload = message(batch.slice(at, at + 25), 5)
      many.observe({ ...from, payload, size: payload.length }, i * 1000)
    }
  }
  t.equal(many.report().connections.length, MOST_CONNECTIONS)
  t.equal(connectionKey(WEB), 'TCP 10.1.0.2 40000 10.1.0.1 80')
})

/** A host of files; commands fail, sockets are real. */
function fakeHost(files: Readonly<Record<string, string>>, change: Partial<Host> = {}): Host {
  return {
    ...thisHost,
    readText: (path) => Promise.resolve(path in files ? { value: files[path]! } : { reason: `${path}: no such file` }),
    list: (folder) => Promise.resolve(folder === '/sys/class/net' ? ['lo'] : []),
    run: (command) => Promise.resolve({ reason: `${command} is not installed` }),
    follow: (command) => Promise.resolve(`${command} is not installed`),
    get: () => Promise.reject(new Error('refused')),
    ...change
  }
}

const LO = {
  '/sys/class/net/lo/flags': '0x1009\n',
  '/sys/class/net/lo/carrier': '1\n',
  '/sys/class/net/lo/mtu': '65536\n',
  '/proc/net/igmp': '',
  '/proc/net/netstat': 'TcpExt: IPReversePathFilter\nTcpExt: 1\n',
  '/proc/net/snmp': 'Udp: IgnoredMulti\nUdp: 1\n',
  '/proc/sys/net/ipv4/conf/all/rp_filter': '0\n',
  '/proc/sys/net/ipv4/conf/lo/rp_filter': '2\n',
  '/proc/sys/net/core/rmem_max': '212992\n',
  '/proc/sys/net/core/rmem_default': '212992\n',
  '/proc/sys/kernel/osrelease': '6.1.0-1\n',
  '/boot/config-6.1.0-1': 'CONFIG_HZ=250\n'
}
const onLo = (port: number, change: Partial<Wanted> = {}): Wanted => ({
  ...WANTED,
  interfaceName: 'lo',
  port,
  seconds: 1,
  ...change
})
const collect = (
  host: Host,
  wanted: Wanted,
  wait: () => Promise<void> = () => Promise.resolve(),
  http?: string
): Promise<Facts> => collectFacts({ wanted, host, http, wait, now: () => 1000 })

t.test('the collector reads the host and receives from the link', async (t) => {
  const port = 21_000
  const udp = ` 1: 510000E0:${port.toString(16).toUpperCase()} 00000000:0000 07 0:0 00:0 0 0 0 4242 2 0 5\n`
  const host = fakeHost(
    {
      ...LO,
      '/proc/net/udp': udp,
      '/proc/net/ip_vs': 'TCP  0A010001:0050 wlc\n',
      '/proc/9/comm': 'node\n',
      '/etc/keepalived/keepalived.conf': 'vrrp_notify_fifo /run/x\n'
    },
    {
      list: (folder) =>
        Promise.resolve(folder === '/proc' ? ['9', 'net'] : folder === '/proc/9/fd' ? ['3', '4'] : ['lo']),
      link: (path) => Promise.resolve(path.endsWith('3') ? 'socket:[4242]' : ''),
      run: (command) => Promise.resolve(command === 'nft' ? { value: NFT } : { value: '' }),
      kindOf: () => Promise.resolve('fifo'),
      get: (url) => Promise.resolve({ status: 200, text: url.endsWith('/readyz') ? 'ready\n' : 'x 1\n' })
    }
  )
  const facts = await collect(
    host,
    onLo(port),
    async () => {
      const socket = createSocket('udp4')
      await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
      socket.setMulticastInterface('127.0.0.1')
      const payload = message([WEB], 5)
      for (let i = 0; i < 5; i++) {
        await new Promise((resolve) => socket.send(payload, port, '224.0.0.81', resolve))
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      socket.close()
    },
    'x:1'
  )
  t.match(facts, {
    interface: { exists: true, up: true, carrier: true, multicast: true, mtu: 65_536, addresses: ['127.0.0.1/8'] },
    rpFilter: { value: 2 },
    rpDrops: { value: { before: 1, after: 1 } },
    hz: { value: 250 },
    drops: { value: { before: 5, after: 5 } },
    keepalived: { value: { fifo: '/run/x', fifoState: 'fifo' } },
    daemon: { value: { ready: true, status: 'ready', metrics: { x: 1 } } },
    wire: { reason: /captured|no tcpdump|CAPTURE|./ }
  })
  t.match(facts.sockets, { value: [{ program: 'node (pid 9)' }] })
  if (facts.traffic.senders.length === 0) t.comment('no multicast on lo here: nothing received')
  else t.match(facts.traffic.senders, [{ syncid: 5, ports: [port] }])
})

t.test('what cannot be read or opened carries its reason', async (t) => {
  const bare = await collect(fakeHost({}), onLo(21_200, { interfaceName: 'eth9' }), undefined, 'x:1')
  t.match(bare, {
    interface: { exists: false },
    memberships: { reason: /igmp/ },
    sockets: { reason: /udp/ },
    firewall: { reason: /nft.*iptables/ },
    ipvs: { reason: /not loaded/ },
    daemon: { reason: /refused/ },
    hz: { reason: /osrelease/ },
    rpFilter: { reason: /rp_filter/ }
  })
  t.ok(codes(judgeHost(bare), 'problem').includes('INTERFACE_MISSING'))
  const partial = await collect(
    fakeHost(
      { ...LO, '/boot/config-6.1.0-1': 'x', '/proc/net/snmp': '', '/proc/net/ip_vs': '' },
      { interfaces: () => ({}) }
    ),
    onLo(21_300)
  )
  t.match(partial, {
    hz: { reason: /HZ/ },
    observed: { reason: /group/ },
    reassemblyFailures: { reason: /ReasmFails/ }
  })
  const noBoot = await collect(
    fakeHost({ '/proc/sys/kernel/osrelease': 'x', '/proc/sys/net/ipv4/conf/all/rp_filter': '1' }),
    onLo(21_350, { interfaceName: undefined })
  )
  t.match(noBoot, { hz: { reason: /boot/ }, rpFilter: { reason: /default/ }, interface: undefined })
  let calls = 0
  const vanishing = await collect(
    fakeHost(LO, {
      readText: (path) => {
        if (path === '/proc/net/udp' || path === '/proc/net/netstat') calls++
        return Promise.resolve(
          calls > 2 ? { reason: 'gone' } : { value: path in LO ? LO[path as keyof typeof LO] : '' }
        )
      }
    }),
    onLo(21_400)
  )
  t.match(vanishing, { drops: { reason: 'gone' }, rpDrops: { reason: 'gone' } })
})

t.test('a unicast port is left to the running backup', async (t) => {
  const taken = createSocket('udp4')
  await new Promise<void>((resolve) => taken.bind(21_500, resolve))
  t.teardown(() => taken.close())
  const without = await collect(fakeHost(LO), onLo(21_500, { peers: ['10.9.0.1'] }))
  t.match(without.observed, { reason: /running backup/ })
  t.strictSame(without.bindFailures, {})
  const { readFile } = await import('node:fs/promises')
  const bytes = await readFile(CAPTURE)
  const captured = fakeHost(LO, {
    follow: (_, args, onData, end) => {
      onData(args.includes('-w') ? bytes : Buffer.from('IP 10.0.0.1 > 224.0.0.1: igmp query v2'))
      return new Promise((resolve) => end.addEventListener('abort', () => resolve(undefined)))
    }
  })
  const facts = await collect(captured, onLo(21_500, { peers: ['10.9.0.1'] }))
  t.match(facts, { observed: { value: true }, wire: { value: { querier: true } } })
  t.ok(facts.traffic.senders.length > 0, 'messages on other ports are recognised by their form')
  const end = AbortSignal.abort()
  t.match(await captureLink(captured, onLo(1, { interfaceName: undefined }), () => 0, end), {
    reason: /mcast-interface/
  })
})

t.test('IPv6 groups', async (t) => {
  const facts = await collect(
    fakeHost({ ...LO, '/proc/net/igmp6': '', '/proc/net/udp6': '' }),
    onLo(21_600, { group: 'ff02::81' })
  )
  t.match(facts, { memberships: { value: [] }, interface: { addresses: /.*/ } })
})

t.test('this host', async (t) => {
  t.match(await thisHost.readText('/proc/version'), { value: /Linux/ })
  t.match(await thisHost.readText('/nonexistent'), { reason: /no such file/ })
  t.match(await thisHost.readText('/'), { reason: /EISDIR/ })
  t.ok((await thisHost.list('/proc')).length > 0)
  t.strictSame(await thisHost.list('/nonexistent'), [])
  t.equal(await thisHost.link('/nonexistent'), '')
  t.equal(await thisHost.kindOf('/nonexistent'), 'missing')
  t.equal(await thisHost.kindOf('/proc'), 'other')
  const { execFileSync } = await import('node:child_process')
  const fifo = join(t.testdir(), 'fifo')
  execFileSync('mkfifo', [fifo])
  t.equal(await thisHost.kindOf(fifo), 'fifo')
  t.strictSame(await thisHost.run('echo', ['a']), { value: 'a\n' })
  t.match(await thisHost.run('no-such-command', []), { reason: 'no-such-command is not installed' })
  t.match(await thisHost.run('sh', ['-c', 'echo Operation not permitted >&2; exit 1']), { reason: /CAP_NET_ADMIN/ })
  t.match(await thisHost.run('sh', ['-c', 'echo first; echo second >&2; exit 1']), { reason: 'sh failed: second' })
  const chunks: string[] = []
  const ends = new AbortController()
  const following = thisHost.follow(
    'sh',
    ['-c', 'echo a; exec sleep 60'],
    (chunk) => {
      chunks.push(Buffer.from(chunk).toString())
      ends.abort()
    },
    ends.signal
  )
  t.equal(await following, undefined)
  t.strictSame(chunks, ['a\n'])
  const never = new AbortController().signal
  t.match(await thisHost.follow('sh', ['-c', 'exit 3'], () => undefined, never), 'sh failed: it ended')
  t.match(await thisHost.follow('no-such-command', [], () => undefined, never), 'no-such-command is not installed')
  t.ok(Object.keys(thisHost.interfaces()).length >= 0)
  const server = createServer((_, response) => response.end('hello'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  t.match(await thisHost.get(`http://127.0.0.1:${port}/`), { status: 200, text: 'hello' })
  server.closeAllConnections()
  server.close()
})

t.test('the command checks a capture, prints text and JSON, and exits with 1 for a problem', async (t) => {
  const plain = testIo()
  const { syncid } = decodeMessage(message([WEB], 5))
  t.equal(syncid, 5)
  const good = await run(['doctor', '--capture', CAPTURE], plain)
  t.equal(good, 0, plain.output())
  t.match(plain.output(), /ok +SENDER/)
  t.match(plain.output(), /0 problems, 0 warnings/)
  const wrong = testIo()
  t.equal(await run(['doctor', '--capture', CAPTURE, '--syncid', '77', '--format', 'json'], wrong), 1)
  const { checks, problems } = JSON.parse(wrong.output()) as { checks: Check[]; problems: number }
  t.ok(problems > 0)
  t.ok(codes(checks, 'problem').includes('OTHER_SYNCID_ONLY'))
  const moved = testIo()
  t.equal(await run(['doctor', '--capture', CAPTURE, '--mcast-port', '9000'], moved), 1)
  t.match(moved.output(), /OTHER_PORT/)
  const { readFile } = await import('node:fs/promises')
  const other = testIo({ stdin: await readFile(join(CAPTURE, '../client-side.pcap')).catch(() => readFile(CAPTURE)) })
  await run(['doctor', '--capture', '-'], other)
  t.match(other.output(), /not checked/)
  const usage = testIo()
  t.equal(await run(['doctor'], usage), 2)
  t.match(usage.errors(), /--mcast-interface/)
})

t.test('the command checks this host', async (t) => {
  const command = new Command('doctor')
  configure(command)
  command.action(() => undefined)
  command.parse(
    ['--mcast-interface', 'lo', '--mcast-port', '21700', '--http', '[::1]:9848', '--peer', '127.0.0.1:21701'],
    { from: 'user' }
  )
  const io = testIo({ isTTY: true })
  io.abort()
  t.equal(await execute(command, io, fakeHost(LO)), 1)
  t.match(io.output(), '\u001b[31mproblem')
  t.match(io.errors(), /observing lo for 10 s/)
  const plain = new Command('doctor')
  configure(plain)
  plain.action(() => undefined)
  plain.parse(['--mcast-interface', 'lo', '--mcast-port', '21800', '--http', '1', '--accept', '10.0.0.0/8'], {
    from: 'user'
  })
  const quiet = testIo()
  quiet.abort()
  t.equal(await execute(plain, quiet, fakeHost(LO)), 1)
  t.equal(quiet.errors(), '')
})

t.test('text is safe and sums up', async (t) => {
  const checks: Check[] = [{ code: 'X', verdict: 'problem', text: 'a\u001b[2Jb', advice: 'c' }]
  t.notMatch(checklistText(checks, false, 80), '\u001b')
  const long: Check = {
    code: 'LONG',
    verdict: 'warning',
    text: 'word '.repeat(40).trim(),
    advice: 'do '.repeat(40).trim()
  }
  for (const columns of [60, 80, 120]) {
    const lines = checklistText([long], false, columns).split('\n')
    t.ok(
      lines.every(({ length }) => length <= columns),
      `${columns} columns`
    )
    t.ok(lines.filter((line) => line.startsWith(' '.repeat(columns < 100 ? 12 : 37))).length >= 3)
  }
  t.equal(checklistText([long], false, Infinity).split('\n').length, 5, 'a pipe gets a line a check')
  t.equal(summaryText(checks), '1 problem, 0 warnings, 0 ok, 0 not checked')
})
