// What a director does besides its variables: schedulers, persistence, replies, helpers, servers that come and go.
import t from 'tap'
import { Director, packetFromValue, type DirectorOptions, type ServiceOptions } from '../../src/director/index.js'
import { MasterEngine } from '../../src/engine/index.js'
import { decodeMessage, type Connection } from '../../src/wire/index.js'
import {
  CLIENT,
  packet,
  replyOf,
  SERVER,
  service,
  serviceBy,
  tcp,
  udp,
  VIRTUAL
} from '../fixtures/support/director-packets.js'

/** What tap compares an error with. */
const wrongField = (field: string): Error => ({ field }) as unknown as Error
const text = (line: string): Uint8Array => new TextEncoder().encode(line)

function withServers(
  scheduler: string,
  weights: readonly number[],
  changes: Partial<ServiceOptions> = {}
): ServiceOptions {
  const servers = weights.map((weight, at) => ({ address: `10.2.0.${at + 1}`, port: 80, forwarding: 'MASQ', weight }))
  return service({ scheduler, servers, ...changes })
}

/** The last numbers of the servers that new connections go to. */
function chosen(
  scheduler: string,
  weights: readonly number[],
  count: number,
  changes: Partial<ServiceOptions> = {}
): string {
  const model = new Director({ services: [withServers(scheduler, weights, changes)] })
  let order = ''
  for (let port = 1; port <= count; port++) {
    model.handlePacket(tcp('S', { fromPort: port, from: `10.1.9.${port % 7}` }), 1000)
    const newest = [...model.connections()].find(({ client }) => client.port === port)
    order += newest?.destination.address.at(-1) ?? '-'
  }
  return order
}

t.test('schedulers', async (t) => {
  t.equal(chosen('rr', [1, 1, 0, 1], 6), '124124')
  // The server of weight 1 was added first: the first round starts at its weight, as in a kernel.
  t.equal(chosen('wrr', [3, 1], 8), '12111211')
  t.equal(chosen('wrr', [4, 2], 6), '121121')
  t.equal(chosen('wrr', [0, 0], 2), '--')
  t.equal(chosen('lc', [1, 9], 4), '1212')
  t.equal(chosen('wlc', [1, 3], 8).replaceAll('2', '').length, 2)
  t.equal(chosen('sed', [1, 3], 4).replaceAll('2', '').length, 1)
  t.equal(chosen('nq', [1, 3], 3).slice(0, 2), '12')
  t.equal(chosen('fo', [1, 3, 2], 3), '222')
  t.equal(chosen('ovf', [1, 2], 3).slice(0, 2), '22')
  t.match(chosen('twos', [1, 1], 19), /^[12]+$/)
  t.equal(chosen('twos', [0], 1), '-')
  t.equal(chosen('none', [1], 1), '-')
  for (const name of ['sh', 'dh', 'mh', 'lblc', 'lblcr', 'fo', 'ovf', 'wlc', 'nq', 'rr'])
    t.equal(chosen(name, [], 1), '-', name)
  const hashed = chosen('sh', [1, 1, 1], 14)
  t.equal(hashed.slice(0, 7), hashed.slice(7), 'sh: by client address')
  t.equal(new Set(chosen('dh', [1, 1, 1], 9)).size, 1, 'dh: by destination')
  t.equal(new Set(chosen('mh', [1, 2, 1], 14)).size > 1, true)
  t.match(chosen('sh', [1, 0], 14), /-/, 'sh: a server of weight 0 is no server')
  for (const name of ['sh', 'mh']) {
    t.notMatch(
      chosen(name, [1, 0], 14, { schedulerFlags: [`${name}-fallback`, `${name}-port`] }).replace(/2/g, '-'),
      /--------------/
    )
  }
  t.throws(() => new Director({ services: [service({ scheduler: 'best' })] }), { code: 'ERR_USAGE' })
})

t.test('schedulers follow servers that come, go and change', async (t) => {
  for (const name of ['rr', 'wrr', 'sh', 'mh', 'lblc', 'lblcr', 'lc']) {
    const model = new Director({ services: [withServers(name, [2, 4])] })
    const [own] = model.services
    const opens = (port: number): string | undefined => {
      model.handlePacket(tcp('S', { fromPort: port }), 1000 + port)
      return [...model.connections()].find(({ client }) => client.port === port)?.destination.address
    }
    t.ok(opens(1))
    model.setWeight(own!.servers[0]!, 8)
    model.setWeight(own!.servers[0]!, 0)
    t.equal(opens(2), '10.2.0.2', name)
    model.removeServer(own!.servers[1]!, 1100)
    t.equal(opens(200), undefined, name)
    model.addServer(own!, { address: '10.2.0.9', port: 80, forwarding: 'MASQ' })
    model.addServer(own!, { address: '10.2.0.2', port: 80, forwarding: 'MASQ' })
    t.ok(opens(300), name)
    model.removeService(own!, 2000)
    t.equal(model.handlePacket(tcp('S', { fromPort: 999 }), 2001).reason, 'no-service')
  }
})

t.test('lblc and lblcr leave a server that has too much to do, and forget', async (t) => {
  for (const name of ['lblc', 'lblcr']) {
    const model = new Director({
      services: [withServers(name, [1, 9])],
      settings: { lblcExpiration: 100, lblcrExpiration: 100 },
      timeouts: { tcp: 5000, tcpFin: 0, udp: 0 }
    })
    const opens = (port: number, at: number): string => {
      for (const flags of ['S', 'A']) model.handlePacket(tcp(flags, { fromPort: port }), at)
      return [...model.connections()].find(({ client }) => client.port === port)!.destination.address
    }
    t.equal(opens(1, 1000), '10.2.0.1')
    t.equal(opens(2, 1001), '10.2.0.1')
    t.equal(opens(3, 1002), '10.2.0.2', name)
    for (let port = 4; port < 12; port++) opens(port, 1003)
    t.ok(opens(12, 150_000), name)
    t.ok(opens(13, 400_000), name)
    const wide = new Director({ services: [withServers(name, [1], { ...MARK })] })
    for (let host = 0; host < 5000; host++)
      wide.handlePacket(tcp('S', { mark: 5, to: `10.7.${host >> 8}.${host & 255}` }), 1000)
    const sixth = new Director({
      services: [
        { ...MARK, family: 'ipv6', scheduler: name, servers: [{ address: 'fd00::2', port: 0, forwarding: 'MASQ' }] }
      ]
    })
    t.equal(sixth.handlePacket(tcp('S', { mark: 5, from: 'fd00::5', to: 'fd00::9' }), 1).reason, 'created')
  }
})

const MARK = { protocol: 'FWM', virtual: undefined, fwmark: 5 } as const

t.test('thresholds of a server', async (t) => {
  for (const lowerThreshold of [0, 1]) {
    const servers = [{ ...SERVER, forwarding: 'MASQ', upperThreshold: 2, lowerThreshold }]
    const model = new Director({ services: [service({ servers })] })
    for (const port of [1, 2]) model.handlePacket(tcp('S', { fromPort: port }), 1000 + port)
    t.equal(model.handlePacket(tcp('S', { fromPort: 3 }), 1003).reason, 'no-server')
    model.handleTimeout(70_000)
    t.equal(model.handlePacket(tcp('S', { fromPort: 3 }), 70_001).reason, 'created')
  }
})

t.test('activity of a session through NAT: 1/0 1/0 1/0 0/1 0/1', async (t) => {
  const model = new Director({ services: [service()] })
  const server = model.services[0]!.servers[0]!
  const counts = [tcp('S'), replyOf(tcp('SA'), SERVER), tcp('A'), tcp('FA'), replyOf(tcp('FA'), SERVER)].map(
    (one, at) => {
      model.handlePacket(one, 1000 + at)
      return `${server.active}/${server.inactive}`
    }
  )
  t.strictSame(counts, ['1/0', '1/0', '1/0', '0/1', '0/1'])
})

/** A director with a master, and what it announces. */
function announcing(options: DirectorOptions): { model: Director; records: (now: number) => readonly Connection[] } {
  const master = new MasterEngine({ syncid: 7, settings: options.settings ?? {} })
  return {
    model: new Director({ ...options, master }),
    records(now) {
      master.close(now)
      const all: Connection[] = []
      for (let sent = master.pollTransmit(); sent !== undefined; sent = master.pollTransmit())
        all.push(...decodeMessage(sent.bytes).connections)
      return all
    }
  }
}

t.test('a template: assured, extended by 60 s, and that is kept', async (t) => {
  const { model, records } = announcing({ services: [service({ persistence: { timeout: 5 } })] })
  for (const flags of ['S', 'A']) model.handlePacket(tcp(flags), 1000)
  const template = (): Connection & { expires: number } =>
    [...model.connections()].find(({ flags }) => flags.includes('TEMPLATE'))!
  t.match(template(), { state: 'ASSURED', client: { port: 0 }, expires: 5, timeout: 5 })
  model.handleTimeout(6001)
  t.match(template(), { timeout: 60, expires: 59 })
  model.handlePacket(tcp('S', { fromPort: 1001 }), 30_000)
  t.match(template(), { timeout: 60, expires: 60 })
  t.ok(records(30_000).some(({ timeout, flags }) => timeout === 60 && flags.includes('TEMPLATE')))
})

t.test('templates of port 0, of marks, of networks and of FTP', async (t) => {
  const persistence = { timeout: 300, prefix: 24 }
  const server = { address: '10.2.0.2', port: 0, forwarding: 'MASQ' }
  const key = (own: Partial<ServiceOptions>, request = tcp('S')): object | undefined => {
    const model = new Director({ services: [service({ servers: [server], persistence, ...own })] })
    model.handlePacket(request, 1000)
    return [...model.connections()].find(({ flags }) => flags.includes('TEMPLATE'))
  }
  t.match(key({ virtual: { address: VIRTUAL, port: 0 } }), { client: { address: '10.1.9.0' }, virtual: { port: 0 } })
  t.match(key(MARK, tcp('S', { mark: 5 })), { protocol: 'IP', virtual: { address: '0.0.0.5', port: 0 } })
  t.match(key({ virtual: { address: VIRTUAL, port: 21 } }, tcp('S', { toPort: 21 })), { virtual: { port: 0 } })
  t.match(key({ virtual: { address: VIRTUAL, port: 21 } }, tcp('S', { toPort: 2000 })), { virtual: { port: 0 } })
  const sixth = new Director({
    services: [
      {
        ...MARK,
        scheduler: 'rr',
        persistence: { timeout: 9, prefix: 64 },
        servers: [{ address: 'fd00:2::1', port: 0, forwarding: 'MASQ' }]
      }
    ]
  })
  for (const port of [1, 2])
    sixth.handlePacket(tcp('S', { mark: 5, from: 'fd00::5', to: 'fd00::9', fromPort: port }), 1000)
  t.match(
    [...sixth.connections()].find(({ flags }) => flags.includes('TEMPLATE')),
    { client: { address: 'fd00::' }, virtual: { address: '0:5::' } }
  )
  const reply = tcp('SA', { from: 'fd00:2::1', fromPort: 80, to: 'fd00::5', toPort: 2 })
  t.equal(sixth.handlePacket(reply, 1001).direction, 'out')
})

t.test('no server: FTP data is left to the local stack, a port beside the service too', async (t) => {
  const ftp = service({ virtual: { address: VIRTUAL, port: 21 } })
  t.equal(new Director({ services: [ftp] }).handlePacket(tcp('S', { toPort: 4000 }), 1000).reason, 'ftp-no-server')
  const empty = service({ servers: [], persistence: { timeout: 9 } })
  t.equal(new Director({ services: [empty] }).handlePacket(tcp('S'), 1000).reason, 'no-server')
})

t.test('one-packet connections are gone after the packet; their template counts', async (t) => {
  const own = service({ protocol: 'UDP', onePacket: true, persistence: { timeout: 60 } })
  for (const hasMaster of [false, true]) {
    const options: DirectorOptions = { services: [own], settings: { syncThreshold: [1, 0] } }
    const { model, records } = hasMaster ? announcing(options) : { model: new Director(options), records: () => [] }
    t.equal(model.handlePacket(udp(), 1000).decision, hasMaster ? 'one-packet' : undefined)
    t.equal(model.size, 1)
    t.equal(records(1001).length, hasMaster ? 1 : 0)
  }
})

t.test('AH and ESP belong to the UDP connection of port 500', async (t) => {
  const own = service({
    protocol: 'UDP',
    virtual: { address: VIRTUAL, port: 500 },
    servers: [{ ...SERVER, port: 500, forwarding: 'MASQ' }]
  })
  const model = new Director({ services: [own] })
  const esp = packet('ESP', { fromPort: 0, toPort: 0 })
  t.equal(model.handlePacket(esp, 1000).reason, 'not-opening')
  model.handlePacket(udp({ fromPort: 500, toPort: 500 }), 1000)
  t.match(model.handlePacket(esp, 2000), { reason: 'existing', connection: { packets: 2 } })
  t.equal(
    model.handlePacket(packet('AH', { from: SERVER.address, fromPort: 0, to: CLIENT, toPort: 0 }), 2001).direction,
    'out'
  )
})

t.test('the sip engine', async (t) => {
  const own = service({
    protocol: 'UDP',
    virtual: { address: VIRTUAL, port: 5060 },
    persistence: { timeout: 60, engine: 'sip' }
  })
  const { model, records } = announcing({ services: [own] })
  const call = (line: string, fromPort = 5060) =>
    udp({ fromPort, toPort: 5060, payload: text(`OPTIONS sip:x SIP/2.0\r\n${line}`) })
  for (const line of [
    '',
    'Call-ID: cut',
    `Call-ID: ${'x'.repeat(256)}\r\n`,
    'Call-ID \r\n',
    'Call-ID:\r\n',
    'Via: x\r\n'
  ])
    t.equal(model.handlePacket(call(line), 1000).reason, 'no-call-id', line.slice(0, 20))
  t.equal(model.handlePacket(udp({ toPort: 5060 }), 1000).reason, 'no-call-id')
  model.handlePacket(call('Via: x\r\nCall-ID : abc\r\n'), 1001)
  model.handlePacket(call('i:abc\n', 5061), 1002)
  model.handlePacket(call('call-id: other\r\n', 5062), 1003)
  t.strictSame([...model.connections()].flatMap(({ engine }) => (engine ? [engine.data] : [])).sort(), [
    '616263',
    '6f74686572'
  ])
  const begun = replyOf(udp({ payload: text('X\r\nCall-ID: server\r\n'), fromPort: 7000, toPort: 5060 }), SERVER)
  t.match(model.handlePacket(begun, 1004), { direction: 'out', isNew: true })
  t.equal(
    model.handlePacket({ ...begun, destination: { address: CLIENT, port: 7001 }, payload: text('X\r\n') }, 1005)
      .verdict,
    'accept'
  )
  t.equal(model.handlePacket({ ...begun, destination: { address: CLIENT, port: 0 } }, 1006).verdict, 'accept')
  t.ok(records(1007).some(({ engine }) => engine?.data === '616263'))
  const plain = new Director({
    services: [{ ...own, virtual: { address: VIRTUAL, port: 0 }, persistence: { timeout: 0, engine: 'sip' } }]
  })
  t.match(plain.handlePacket(begun, 1000), { isNew: true })
})

t.test('the FTP helper opens data connections in LISTEN under the control connection', async (t) => {
  const servers = [{ ...SERVER, port: 21, forwarding: 'MASQ' }]
  const make = (): Director => {
    const model = new Director({ services: [service({ virtual: { address: VIRTUAL, port: 21 }, servers })], ftp: true })
    for (const flags of ['S', 'A']) model.handlePacket(tcp(flags, { toPort: 21 }), 1000)
    return model
  }
  const states = (model: Director): string[] => [...model.connections()].map(({ state }) => state).sort()
  for (const line of [
    '227 Entering Passive Mode (10,2,0,2,8,1)\r\n',
    '229 Entering Extended Passive Mode (|||2049|)\r\n'
  ]) {
    const model = make()
    const answer = { ...replyOf(tcp('A', { toPort: 21 }), { ...SERVER, port: 21 }), payload: text(line) }
    for (const at of [1100, 1101]) model.handlePacket(answer, at)
    t.strictSame(states(model), ['ESTABLISHED', 'LISTEN'])
    t.ok(
      [...model.connections()].every(({ flags }) => flags.includes('NFCT')),
      'the helper has them tracked'
    )
    t.match(model.handlePacket(tcp('S', { fromPort: 3333, toPort: 2049 }), 1200), { reason: 'existing' })
    t.notOk(
      [...model.connections()].some(({ flags }) => flags.includes('NO_CPORT')),
      'the client port is filled in'
    )
    const back = replyOf(tcp('SA', { fromPort: 3333 }), { ...SERVER, port: 2049 })
    t.match(model.handlePacket(back, 1201), { direction: 'out', connection: { clientPort: 3333 } })
    t.equal(model.handlePacket(tcp('S', { fromPort: 4444, toPort: 2049 }), 1202).reason, 'ftp-no-server')
  }
  for (const line of ['PORT 10,1,9,9,8,1\r\n', 'EPRT |1|10.1.9.9|2049|\r\n', 'EPRT |2|fd00::1|2049|\r\n']) {
    const model = make()
    model.handlePacket(tcp('A', { toPort: 21, payload: text(line) }), 1100)
    t.strictSame(states(model), ['ESTABLISHED', 'LISTEN'], line)
  }
  for (const line of ['PORT 1,2\r\n', 'PORT 300,1,1,1,1,1\r\n', 'LIST\r\n', '']) {
    const model = make()
    model.handlePacket(tcp('A', { toPort: 21, payload: text(line) }), 1100)
    t.strictSame(states(model), ['ESTABLISHED'], line)
  }
})

t.test('a server that is added again takes its connections back, also when its service was removed', async (t) => {
  const model = new Director({ services: [withServers('rr', [1, 1])], settings: { expireNodestConn: 0 } })
  model.handlePacket(tcp('S'), 1000)
  model.removeService(model.services[0]!, 1100)
  t.equal(model.handlePacket(tcp('A'), 1200).reason, 'server-removed')
  const again = model.addService(withServers('rr', []))
  const server = model.addServer(again, {
    address: '10.2.0.1',
    port: 80,
    forwarding: 'MASQ',
    weight: 7,
    upperThreshold: 1
  })
  t.match(server, { weight: 7, active: 1, isAvailable: true, service: again })
  t.match(model.handlePacket(tcp('A'), 1300), { verdict: 'forward', stateAfter: 1 })
  t.equal(model.addServer(again, { address: '10.2.0.2', port: 80, forwarding: 'MASQ' }).active, 0)
})

t.test('TCP headers that are cut off move no state; odd flags', async (t) => {
  const model = new Director({ services: [service()], settings: { connReuseMode: 1 } })
  model.handlePacket(tcp('S'), 1000)
  const cut = packetFromValue(tcp('R'))
  cut.isComplete = false
  t.match(model.handlePacket(cut, 1001), { reason: 'existing', stateAfter: 3, connection: { packets: 2 } })
  model.handlePacket(replyOf(tcp('R'), SERVER), 1002)
  t.match(model.handlePacket(tcp('SR'), 1003), { rescheduled: 'port-reuse', reason: 'tcp-reset' })
})

t.test('a port-0 service without persistence has no server', async (t) => {
  const model = new Director({ services: [service({ virtual: { address: VIRTUAL, port: 0 } })] })
  t.equal(model.handlePacket(tcp('S'), 1000).reason, 'no-server')
})

t.test('ICMP errors are scheduled by the client that they name; the sip engine takes none', async (t) => {
  const servers = [1, 2, 3, 4].map((host) => ({ address: `10.2.0.${host}`, port: 80, forwarding: 'MASQ' }))
  for (const name of ['sh', 'mh']) {
    const own = service({ scheduler: name, schedulerFlags: [`${name}-port`], servers })
    for (const host of [1, 2, 3]) {
      const from = `10.1.9.${host}`
      const inner = replyOf(tcp('A', { from }), { address: VIRTUAL, port: 80 })
      const options = { services: [own], settings: { scheduleIcmp: 1 } }
      const [one, other] = [new Director(options), new Director(options)]
      one.handlePacket(tcp('S', { from }), 1000)
      other.handlePacket(
        { ...packet('ICMP', { from, fromPort: 0, toPort: 0 }), icmp: { type: 3, code: 3, inner } },
        1000
      )
      const [first, second] = [one, other].map((model) => [...model.connections()][0]!.destination.address)
      t.equal(first, second, name)
    }
  }
  const sip = service({ protocol: 'UDP', persistence: { timeout: 60, engine: 'sip' } })
  const model = new Director({ services: [sip], settings: { scheduleIcmp: 1 } })
  const inner = replyOf(udp({ payload: text('X\r\nCall-ID: a\r\n') }), { address: VIRTUAL, port: 80 })
  const about = { ...packet('ICMP', { fromPort: 0, toPort: 0 }), icmp: { type: 3, code: 3, inner } }
  t.equal(model.handlePacket(about, 1000).reason, 'no-call-id')
})

t.test('packets that IPVS leaves alone', async (t) => {
  const model = new Director({ services: [service()] })
  const first = (change: Partial<ReturnType<typeof packetFromValue>>) =>
    model.handlePacket(Object.assign(packetFromValue(tcp('S', { fromPort: 9 })), change), 1000).reason
  t.equal(first({ isLaterFragment: true }), 'later-fragment')
  t.equal(first({ isComplete: false }), 'truncated')
  t.equal(model.handlePacket(tcp('S', { fromPort: 20 }), 1000).reason, 'ftp-data-port')
  model.handlePacket(tcp('S', { from: VIRTUAL, fromPort: 80, to: VIRTUAL, toPort: 80 }), 1000)
  const local = new Director({
    services: [service({ virtual: { address: CLIENT, port: 1000 } }), serviceBy('LOCALNODE')]
  })
  local.handlePacket(tcp('S'), 1000)
  t.equal(
    local.handlePacket(tcp('S', { from: VIRTUAL, fromPort: 80, to: CLIENT, toPort: 1000 }), 1001).direction,
    'out'
  )
  const nat = new Director({ services: [service(), service({ virtual: { address: CLIENT, port: 1000 } })] })
  nat.handlePacket(tcp('S'), 1000)
  t.equal(
    nat.handlePacket(tcp('S', { from: VIRTUAL, fromPort: 80, to: CLIENT, toPort: 1000, device: 'lo' }), 1001).reason,
    'local-reply'
  )
})

t.test('options that cannot be read are refused by name', async (t) => {
  const refused = (options: Partial<DirectorOptions>, field: string): void => {
    t.throws(() => new Director({ services: [], ...options }), wrongField(field))
  }
  refused({ local: ['x'] }, 'options.local')
  refused({ services: [service({ protocol: 'ICMP' })] }, 'services.protocol')
  refused({ services: [service({ virtual: { address: 'x', port: 1 } })] }, 'services.virtual.address')
  refused({ services: [service({ servers: [{ address: 'x', port: 1, forwarding: 'MASQ' }] })] }, 'servers.address')
  refused(
    { services: [service({ servers: [{ address: '10.0.0.1', port: 1, forwarding: '6' }] })] },
    'servers.forwarding'
  )
  t.throws(() => packetFromValue({ ...tcp('S'), protocol: 'X' }), wrongField('packet.protocol'))
  t.throws(() => packetFromValue(tcp('S', { from: 'x' })), wrongField('packet.source.address'))
  t.throws(() => packetFromValue(tcp('S', { to: 'fd00::1' })), wrongField('packet.destination.address'))
})

t.test('version 0 announces templates only after their connection, and no IPv6', async (t) => {
  const own = service({ persistence: { timeout: 60 } })
  const { model, records } = announcing({ services: [own], settings: { syncVersion: 0, syncThreshold: [2, 0] } })
  for (const flags of ['S', 'A', 'A']) model.handlePacket(tcp(flags), 1000)
  t.strictSame(
    records(1001).map(({ flags }) => flags.includes('TEMPLATE')),
    [false]
  )
  const sixth = announcing({
    services: [
      service({
        virtual: { address: 'fd00::9', port: 80 },
        servers: [{ address: 'fd00::2', port: 80, forwarding: 'MASQ' }]
      })
    ],
    settings: { syncVersion: 0 }
  })
  t.equal(sixth.model.handlePacket(tcp('S', { from: 'fd00::5', to: 'fd00::9' }), 1000).decision, 'ipv6-in-version-0')
})

t.test('thousands of connections, IPv6 among them, and their timers', async (t) => {
  const sixth = service({
    virtual: { address: 'fd00::9', port: 80 },
    servers: [{ address: 'fd00::2', port: 80, forwarding: 'MASQ' }]
  })
  const model = new Director({ services: [service(), sixth], timeouts: { tcp: 100, tcpFin: 50, udp: 40 } })
  for (let port = 1; port <= 3000; port++) {
    model.handlePacket(tcp('S', { fromPort: port }), 1000 + port)
    model.handlePacket(tcp('S', { fromPort: port, from: 'fd00::5', to: 'fd00::9' }), 1000 + port)
  }
  t.equal(model.size, 5998, 'source port 20 is not scheduled')
  for (let port = 1; port <= 3000; port += 3) model.handlePacket(tcp('R', { fromPort: port }), 5000)
  model.setTimeouts({ tcp: 30 })
  for (let port = 2; port <= 3000; port += 3) model.handlePacket(tcp('A', { fromPort: port }), 6000)
  t.ok(model.nextTimeout() < Infinity)
  model.handleTimeout(40_000)
  t.equal(model.size, 4999)
  model.handleTimeout(1_000_000)
  t.equal(model.size, 0)
  t.equal(model.nextTimeout(), Infinity)
})

t.test('an adopted connection of an unknown server keeps its method', async (t) => {
  const ended: string[] = []
  const model = new Director({ services: [service()], onEnd: (_, cause) => ended.push(cause) })
  const base = {
    family: 'ipv4',
    protocol: 'TCP',
    client: { address: CLIENT, port: 1 },
    virtual: { address: VIRTUAL, port: 80 },
    state: 'ESTABLISHED',
    timeout: 900,
    origin: 'SYNC',
    expires: 10,
    syncid: 7
  } as const
  model.adopt({ ...base, destination: { address: '192.0.2.1', port: 9 }, forwarding: 'DROUTE', flags: [] }, 1000)
  t.match([...model.connections()], [{ forwarding: 'DROUTE', origin: 'SYNC' }])
  model.adopt(
    {
      ...base,
      family: 'ipv6',
      client: { address: 'fd00::1', port: 1 },
      virtual: { address: 'fd00::2', port: 80 },
      destination: { address: 'fd00::3', port: 9 },
      forwarding: 'DROUTE',
      flags: []
    },
    1000
  )
  const marked = new Director({ services: [service(MARK)] })
  marked.adopt(
    { ...base, fwmark: 5, destination: SERVER, forwarding: 'MASQ', flags: ['TEMPLATE'], state: 'NONE' },
    1000
  )
  t.equal(marked.services[0]!.servers[0]!.persistent, 1)
  model.handleTimeout(20_000)
  t.strictSame(ended, ['expired', 'expired'])
})
