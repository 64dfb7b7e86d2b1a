// The UDP transports on a system that fails on demand: what they ask of it, and what they say when it refuses.
import t from 'tap'
import { IpvsSyncError } from '../../src/errors.js'
import { interfaceMtu } from '../../src/transport/interfaces.js'
import { socketDrops, UdpReceiver, isMember } from '../../src/transport/udp-receiver.js'
import { backupSyncMaxlen, masterSyncMaxlen } from '../../src/transport/sync-maxlen.js'
import type { TransportHandlers, TransportNotice } from '../../src/transport/transport.js'
import { explainSocketError } from '../../src/transport/udp-errors.js'
import type { UdpOptions } from '../../src/transport/udp-options.js'
import { UdpSender } from '../../src/transport/udp-sender.js'
import { FakeSocket, FakeSystem, settled, systemError } from '../fixtures/support/fake-network.js'

interface Told {
  readonly handlers: TransportHandlers
  readonly notices: TransportNotice[]
  readonly errors: IpvsSyncError[]
  readonly writable: number[]
  readonly heard: string[]
}

function listener(): Told {
  const told: Omit<Told, 'handlers'> = { notices: [], errors: [], writable: [], heard: [] }
  return {
    ...told,
    handlers: {
      onNotice: (notice) => told.notices.push(notice),
      onError: (error) => told.errors.push(error),
      onWritable: (channel) => told.writable.push(channel),
      onDatagram: (bytes, from, channel) => told.heard.push(`${channel} ${from.address} ${bytes.join(' ')}`)
    }
  }
}

async function startSender(options: UdpOptions, system = new FakeSystem()) {
  const told = listener()
  const sender = new UdpSender(options, system)
  await sender.start(told.handlers)
  return { sender, system, ...told }
}

async function startReceiver(options: UdpOptions, system = new FakeSystem()) {
  const told = listener()
  const receiver = new UdpReceiver(options, system)
  await receiver.start(told.handlers)
  return { receiver, system, ...told }
}

t.test('options that cannot be are refused, by name', async (t) => {
  const cases: readonly [UdpOptions, string, string][] = [
    [{}, 'ERR_INTERFACE', 'mcastInterface'],
    [{ mcastInterface: 'eth1', mcastGroup: '10.0.0.1' }, 'ERR_GROUP', 'mcastGroup'],
    [{ mcastInterface: 'eth1', mcastGroup: '223.255.255.255' }, 'ERR_GROUP', 'mcastGroup'],
    [{ mcastInterface: 'eth1', mcastGroup: '240.0.0.0' }, 'ERR_GROUP', 'mcastGroup'],
    [{ mcastInterface: 'eth1', mcastGroup: 'fd00::1' }, 'ERR_GROUP', 'mcastGroup'],
    [{ mcastInterface: 'eth1', mcastGroup: 'ff::1' }, 'ERR_GROUP', 'mcastGroup'],
    [{ mcastInterface: 'eth1', mcastGroup: 'group' }, 'ERR_GROUP', 'mcastGroup'],
    [{ mcastInterface: 'eth1', mcastPort: 0 }, 'ERR_CONFIG', 'mcastPort'],
    [{ mcastInterface: 'eth1', mcastPort: 65536 }, 'ERR_CONFIG', 'mcastPort'],
    [{ mcastInterface: 'eth1', mcastPort: 65535, channels: 2 }, 'ERR_CONFIG', 'the last port'],
    [{ mcastInterface: 'eth1', mcastTtl: 0 }, 'ERR_CONFIG', 'mcastTtl'],
    [{ mcastInterface: 'eth1', mcastTtl: 256 }, 'ERR_CONFIG', 'mcastTtl'],
    [{ mcastInterface: 'eth1', channels: 65 }, 'ERR_CONFIG', 'channels'],
    [{ mcastInterface: 'eth1', channels: 1.5 }, 'ERR_CONFIG', 'channels'],
    [{ mcastInterface: 'eth1', bufferBytes: -1 }, 'ERR_CONFIG', 'bufferBytes'],
    [{ peers: [{ address: 'backup.example' }] }, 'ERR_CONFIG', 'peers'],
    [{ peers: [{ address: '10.0.0.1', port: 70000 }] }, 'ERR_CONFIG', 'peers'],
    [{ peers: [{ address: '10.0.0.1' }, { address: 'fd00::1' }] }, 'ERR_CONFIG', 'peers']
  ]
  for (const [options, code, field] of cases) {
    t.throws(() => new UdpSender(options, new FakeSystem()), { code, field }, JSON.stringify(options))
    t.throws(() => new UdpReceiver(options, new FakeSystem()), { code, field })
  }
})

t.test('a master asks for what a kernel asks for', async (t) => {
  const { sender, system } = await startSender({ mcastInterface: 'eth1', channels: 2, mcastTtl: 3 })
  t.equal(sender.description, '224.0.0.81:8848-8849 on eth1')
  t.strictSame(
    system.sockets.map(({ calls, options }) => [options.type, ...calls]),
    [8848, 8849].map((port) => [
      'udp4',
      'bind 10.9.0.1 0',
      'setMulticastInterface 10.9.0.1',
      'setMulticastTTL 3',
      'setMulticastLoopback false',
      `connect 224.0.0.81 ${port}`
    ])
  )
  await sender.close()
  await sender.close()
  t.strictSame([system.open.length, system.watchers], [0, 0])
})

t.test('an IPv6 group wants the interface as its scope', async (t) => {
  const options = { mcastInterface: 'eth1', mcastGroup: 'ff02::51' }
  const { sender, system } = await startSender(options)
  t.equal(sender.description, '[ff02::51]:8848 on eth1')
  t.strictSame(system.sockets[0]!.calls, [
    'bind * 0',
    'setMulticastInterface ::%eth1',
    'setMulticastTTL 1',
    'setMulticastLoopback false',
    'connect ff02::51%eth1 8848'
  ])
  const backup = await startReceiver(options)
  await startReceiver({ ...options, mcastInterface: 'six0' })
  t.strictSame(backup.system.sockets[0]!.calls, ['bind ff02::51%eth1 8848', 'addMembership ff02::51 ::%eth1'])
  t.equal(backup.system.sockets[0]!.options.type, 'udp6')
})

t.test('a backup binds to the group and each port, shares them, and joins on the interface', async (t) => {
  const { receiver, system, heard } = await startReceiver({ mcastInterface: 'eth1', channels: 2, mcastPort: 9000 })
  t.strictSame(
    system.sockets.map(({ calls, options }) => [options.reuseAddr, ...calls]),
    [9000, 9001].map((port) => [true, `bind 224.0.0.81 ${port}`, 'addMembership 224.0.0.81 10.9.0.1'])
  )
  system.sockets[1]!.emit('message', Uint8Array.of(1, 2), { address: '10.9.0.7', port: 5 })
  t.strictSame(heard, ['1 10.9.0.7 1 2'])
  await receiver.close()
  t.equal(system.open.length, 0)
})

t.test('handlers may be left out', async (t) => {
  const system = new FakeSystem()
  const receiver = new UdpReceiver({ mcastInterface: 'eth1' }, system)
  await receiver.start({})
  system.sockets[0]!.emit('message', Uint8Array.of(1), { address: '10.9.0.7', port: 5 })
  system.sockets[0]!.emit('error', systemError('EIO'))
  delete system.present['eth1']
  await system.tick()
  const sender = new UdpSender({ peers: [{ address: '10.9.0.7' }], bufferBytes: 2 ** 30 }, system)
  await sender.start({})
  system.open.at(-1)!.emit('error', systemError('EIO'))
  t.equal(system.open.length, 2)
})

t.test('peers: a master sends to each, from any address or the interface it was given', async (t) => {
  const peers = [{ address: '10.0.0.2' }, { address: '10.0.0.3', port: 9000 }]
  const { sender, system } = await startSender({ peers, channels: 2 })
  t.equal(sender.description, '10.0.0.2:8848-8849, 10.0.0.3:9000-9001')
  t.strictSame(
    system.sockets.map(({ calls }) => calls),
    ['10.0.0.2 8848', '10.0.0.3 9000', '10.0.0.2 8849', '10.0.0.3 9001'].map((to) => ['bind * 0', `connect ${to}`])
  )
  system.blocked = true
  sender.send(1, Uint8Array.of(7))
  t.strictSame(
    system.sockets.map(({ sends }) => sends.map(({ bytes, address }) => [bytes[0], address])),
    [[], [], [[7, undefined]], [[7, undefined]]]
  )
  const bound = await startSender({ peers, mcastInterface: 'eth1' })
  t.strictSame(bound.system.sockets[0]!.calls, ['bind 10.9.0.1 0', 'connect 10.0.0.2 8848'])
})

t.test('peers: refusals are counted for each, and a message that none took is not sent', async (t) => {
  const { sender, system, errors } = await startSender({ peers: [{ address: '10.0.0.2' }, { address: '10.0.0.3' }] })
  system.blocked = true
  const [one, other] = system.sockets as [FakeSocket, FakeSocket]
  const send = (first: string, second: string): void => {
    sender.send(0, Uint8Array.from([0, 5, 0, 8, 3, 1, 0, 0]))
    for (const [socket, code] of [[one, first], [other, second]] as const) socket.complete(code === '' ? null : systemError(code)) // prettier-ignore
  }
  const report = (): unknown[] => {
    const { errors, undelivered, isUnreachable } = sender.sendReport()
    return [...Object.values(errors), ...Object.values(undelivered[0]!), isUnreachable]
  }
  send('', '')
  t.strictSame(report(), [0, 0, 0, 0, false])
  send('EPERM', '')
  t.strictSame(report(), [1, 0, 0, 0, false], 'the other took it')
  send('EPERM', 'EPERM')
  t.strictSame(report(), [2, 1, 1, 3, true])
  t.strictSame(
    errors.map(({ message }) => /^sending to ([\d.:]+): EPERM/.exec(message)?.[1]),
    ['10.0.0.2:8848', '10.0.0.3:8848'],
    'a repeated code is reported once for each peer'
  )

  send('', '')
  one.emit('error', systemError('ECONNREFUSED'))
  one.emit('error', systemError('ECONNREFUSED'))
  t.strictSame(report(), [3, 1, 1, 3, true], 'refused by ICMP: once for a message')
  other.emit('error', systemError('ECONNREFUSED'))
  t.strictSame(report(), [3, 2, 2, 6, true])
  send('', '')
  send('', '')
  t.strictSame(report(), [3, 2, 2, 6, false], 'what is known of the last but one counts')
  t.match(errors[2]!.message, /^sending to 10.0.0.2:8848: ECONNREFUSED.*no program listens there/)

  sender.send(0, Uint8Array.from([0, 5, 0, 8, 3, 1, 0, 0]))
  one.complete(systemError('ECONNREFUSED'))
  other.complete()
  t.equal(one.sends.length, 1, 'the error was that of the message before: this one is sent again')
  one.complete(systemError('ECONNREFUSED'))
  t.strictSame(report(), [5, 2, 2, 6, false])
  await sender.close()
})

t.test('peers: without a route a sender starts, and it follows a route that changes', async (t) => {
  const system = new FakeSystem()
  system.faults.set('connect', systemError('ENETUNREACH'))
  const { sender, errors } = await startSender({ peers: [{ address: '10.0.0.2' }] }, system)
  system.blocked = true
  const socket = system.sockets[0]!
  const send = (code = ''): unknown => {
    sender.send(0, Uint8Array.of(1))
    const { address } = socket.sends[0]!
    socket.complete(code === '' ? null : systemError(code))
    return address
  }
  t.strictSame([send('ENETUNREACH'), send()], ['10.0.0.2', '10.0.0.2'], 'not connected: with an address')
  t.match(errors[0]!.message, /no route to it/)
  system.faults.clear()
  t.strictSame([send(), send('EINVAL'), send(), send()], ['10.0.0.2', undefined, '10.0.0.2', undefined])
  t.strictSame(socket.calls.slice(1), [
    'connect 10.0.0.2 8848',
    'connect 10.0.0.2 8848',
    'connect 10.0.0.2 8848',
    'disconnect',
    'connect 10.0.0.2 8848'
  ])
  const flushing = sender.flush()
  await settled()
  await system.tick()
  await flushing
  await sender.close()
})

t.test('peers: a backup listens at those that are its own host, else everywhere, and shares no port', async (t) => {
  const cases: readonly [UdpOptions, string[]][] = [
    [{ peers: [{ address: '10.9.0.1' }] }, ['bind 10.9.0.1 8848']],
    [{ peers: [{ address: '127.0.0.1', port: 9000 }], channels: 2 }, ['bind 127.0.0.1 9000', 'bind 127.0.0.1 9001']],
    [{ peers: [{ address: '10.0.0.2' }, { address: '10.0.0.3' }] }, ['bind * 8848']],
    [{ peers: [{ address: '10.0.0.2' }], mcastInterface: 'eth1' }, ['bind 10.9.0.1 8848']],
    [{ peers: [{ address: 'fd00::2' }], mcastInterface: 'eth1' }, ['bind * 8848']]
  ]
  const described: string[] = []
  for (const [options, calls] of cases) {
    const { system, receiver } = await startReceiver(options)
    t.strictSame(
      system.sockets.flatMap((socket) => socket.calls),
      calls
    )
    t.notOk(system.sockets.some((socket) => socket.options.reuseAddr))
    described.push(receiver.description)
  }
  t.strictSame(described, [
    '10.9.0.1:8848',
    '127.0.0.1:9000-9001',
    '0.0.0.0:8848 (peers 10.0.0.2, 10.0.0.3)',
    '10.9.0.1:8848 (peers 10.0.0.2)',
    '[::]:8848 (peers fd00::2)'
  ])
})

t.test('an interface that is missing, down or without an address says so and names those that are there', async (t) => {
  const cases: readonly [string, RegExp][] = [
    ['eth7', /there is no interface "eth7": these are up: lo, eth1, six0$/],
    ['six0', /six0 has no IPv4 address/],
    ['down0', /down0 is down: bring it up/],
    ['loose0', /loose0 has no carrier/],
    ['bare0', /bare0 has no IPv4 address: give it one/],
    ['../..', /there is no interface/],
    ['', /there is no interface ""/]
  ]
  for (const [mcastInterface, message] of cases) {
    await t.rejects(startSender({ mcastInterface }), { code: 'ERR_INTERFACE', message })
    await t.rejects(startReceiver({ mcastInterface }), { code: 'ERR_INTERFACE', message })
  }
  await t.rejects(startSender({ mcastInterface: 'lo', mcastGroup: 'ff02::51' }), { message: /lo has no IPv6 address/ })
  const bare = new FakeSystem()
  bare.present = {}
  await t.rejects(startSender({ mcastInterface: 'x' }, bare), { message: /these are up: none/ })
})

t.test('a port in use, a refused group and a failing socket leave nothing open', async (t) => {
  const cases: readonly [string, string, string, RegExp][] = [
    ['bind', 'EADDRINUSE', 'ERR_ADDRESS_IN_USE', /listening on 224.0.0.81:8848: EADDRINUSE.*does not share it/],
    ['bind', 'EACCES', 'ERR_TRANSPORT', /ports below 1024/],
    ['bind', 'EWHATEVER', 'ERR_TRANSPORT', /EWHATEVER, says the system$/],
    ['addMembership', 'EINVAL', 'ERR_GROUP', /joining group 224.0.0.81 on eth1/],
    ['addMembership', 'ENODEV', 'ERR_INTERFACE', /carries no multicast/],
    ['addMembership', 'ENOBUFS', 'ERR_TRANSPORT', /igmp_max_memberships/]
  ]
  for (const [method, fault, code, message] of cases) {
    const system = new FakeSystem()
    system.faults.set(method, systemError(fault))
    await t.rejects(startReceiver({ mcastInterface: 'eth1', channels: 4 }, system), { code, message })
    t.strictSame([system.open.length, system.watchers], [0, 0])
  }
  const taken = new FakeSystem()
  taken.faults.set('bind', systemError('EADDRINUSE'))
  await t.rejects(startReceiver({ peers: [{ address: '10.0.0.2' }] }, taken), { message: /listening on \*:8848: / })
  for (const method of ['bind', 'setMulticastInterface', 'connect']) {
    const system = new FakeSystem()
    system.faults.set(method, systemError('EADDRNOTAVAIL'))
    await t.rejects(startSender({ mcastInterface: 'eth1', channels: 4 }, system), { code: 'ERR_INTERFACE' })
    t.strictSame([system.open.length, system.watchers], [0, 0])
  }
})

t.test('a cause that is no Error is explained too', async (t) => {
  const refused = (syscall: string): string =>
    explainSocketError('x', Object.assign(systemError('EACCES'), { syscall })).message
  t.match(refused('bind'), /CAP_NET_BIND_SERVICE/)
  t.notMatch(refused('uv_interface_addresses'), /CAP_NET/)
  t.match(explainSocketError('listening', 'no reason'), { code: 'ERR_TRANSPORT', message: 'listening: no reason' })
  for (const cause of [null, undefined])
    t.match(explainSocketError('listening', cause), { code: 'ERR_TRANSPORT', message: `listening: ${cause}` })
  t.match(refused('send'), /security policy/)
  const unreachable = (to: 'group' | 'peer'): string =>
    explainSocketError('sending', systemError('ENETUNREACH'), { to }).message
  t.match(unreachable('group'), /multicast/)
  t.notMatch(unreachable('peer'), /multicast/)
})

t.test('a full send buffer holds the sender back, loses nothing, and says when there is room', async (t) => {
  const system = new FakeSystem()
  system.blocked = true
  const { sender, writable } = await startSender({ mcastInterface: 'eth1', channels: 2 }, system)
  let sent = 0
  while (sender.writable(0)) sender.send(0, Uint8Array.of(sent++))
  t.equal(sent, 32)
  t.equal(sender.writable(1), true, 'channels do not wait for each other')
  t.throws(() => sender.send(0, Uint8Array.of(1)), { code: 'ERR_USAGE' })
  t.throws(() => sender.send(2, Uint8Array.of(1)), { code: 'ERR_USAGE' })
  const socket = system.sockets[0]!
  let flushed = false
  const flushing = sender.flush().then(() => (flushed = true))
  for (let i = 0; i < 31; i++) socket.complete()
  await settled()
  t.strictSame([writable, flushed], [[0], false])
  socket.complete()
  await flushing
  t.strictSame(
    socket.sends.map(({ bytes }) => bytes[0]),
    []
  )
  await sender.flush()
  await sender.close()
})

t.test('flushing ends when the sender is closed', async (t) => {
  const system = new FakeSystem()
  system.blocked = true
  const { sender, writable, errors } = await startSender({ mcastInterface: 'eth1' }, system)
  while (sender.writable(0)) sender.send(0, Uint8Array.of(1))
  const flushing = sender.flush()
  await sender.close()
  await flushing
  system.sockets[0]!.complete(systemError('ECANCELED'))
  t.strictSame([writable, errors], [[], []])
})

t.test('a datagram that the system refuses is reported once for each run of one cause', async (t) => {
  const system = new FakeSystem()
  system.blocked = true
  const { sender, errors } = await startSender({ mcastInterface: 'eth1' }, system)
  for (const code of ['EMSGSIZE', 'EMSGSIZE', 'EPERM', '', 'EPERM']) {
    sender.send(0, Uint8Array.of(1))
    system.sockets[0]!.complete(code ? systemError(code) : null)
  }
  t.strictSame(
    errors.map(({ message }) => /: (E\w+)/.exec(message)![1]),
    ['EMSGSIZE', 'EPERM', 'EPERM']
  )
  t.match(errors[0], { code: 'ERR_TRANSPORT', message: /lower sync_maxlen/ })
})

t.test('an interface that goes and comes back, or is replaced, is reported, and sockets are opened anew', async (t) => {
  const system = new FakeSystem()
  const master = await startSender({ mcastInterface: 'eth1', channels: 2 }, system)
  const backup = await startReceiver({ mcastInterface: 'eth1' }, system)
  const first = [...system.open]
  const addresses = system.present['eth1']!
  await system.tick()
  t.strictSame(system.open, first, 'nothing changed')

  delete system.present['eth1']
  await system.tick()
  await system.tick()
  t.equal(master.sender.writable(0), false)
  t.throws(() => master.sender.send(0, Uint8Array.of(1)), { code: 'ERR_USAGE' })

  system.present['eth1'] = addresses
  await system.tick()
  t.strictSame(
    [backup.notices.at(-1)!.code, master.sender.writable(0)],
    ['INTERFACE_BACK', false],
    'who listens goes first'
  )
  delete system.present['eth1']
  await system.tick()
  system.present['eth1'] = addresses
  await system.tick()
  t.equal(master.sender.writable(0), false, 'it was away again')
  await system.tick()
  t.equal(master.sender.writable(0), true)
  t.strictSame(master.writable, [0, 1])
  t.notOk(system.open.some((socket) => first.includes(socket)))
  t.strictSame(
    system.open.map(({ calls }) => calls[0]),
    ['bind 224.0.0.81 8848', 'bind 10.9.0.1 0', 'bind 10.9.0.1 0']
  )

  system.files.set('/sys/class/net/eth1/ifindex', '9\n')
  await system.tick()
  await system.tick()
  const codes = ['INTERFACE_LOST', 'INTERFACE_BACK', 'INTERFACE_LOST', 'INTERFACE_BACK']
  for (const [notices, codesOf] of [
    [master.notices, codes],
    [backup.notices, [...codes, ...codes.slice(2)]]
  ] as const) {
    t.strictSame(
      notices.filter(({ code }) => code !== 'BUFFER').map(({ code }) => code),
      codesOf
    )
  }
  t.equal(system.open.length, 3)
})

t.test('what is sent while the interface goes, and before that is seen, is sent again when it is back', async (t) => {
  const system = new FakeSystem()
  system.blocked = true
  const { sender, errors, writable } = await startSender({ mcastInterface: 'eth1', channels: 2 }, system)
  const addresses = system.present['eth1']!
  sender.send(0, Uint8Array.of(1))
  sender.send(0, Uint8Array.of(2))
  sender.send(1, Uint8Array.of(3))
  delete system.present['eth1']
  system.sockets[0]!.complete()
  system.sockets[0]!.complete(systemError('ENETUNREACH'))
  t.strictSame([sender.writable(0), sender.writable(1)], [false, false], 'held back at once')
  await system.tick()
  system.sockets[1]!.complete(systemError('ECANCELED'))
  system.present['eth1'] = addresses
  await system.tick()
  await system.tick()
  t.strictSame(
    system.open.map((socket) => socket.sends.map(({ bytes }) => bytes[0])),
    [[2], [3]]
  )
  t.strictSame([sender.writable(0), errors], [true, []])
  t.ok(writable.length >= 2)
})

t.test('refused while the interface is there: tried once more at the next look, then lost and told', async (t) => {
  const system = new FakeSystem()
  system.blocked = true
  const { sender, errors, writable } = await startSender({ mcastInterface: 'eth1' }, system)
  const socket = system.sockets[0]!
  const refuse = (): void => socket.complete(systemError('ENETUNREACH'))
  sender.send(0, Uint8Array.of(1))
  refuse()
  await system.tick()
  t.strictSame([socket.sends.map(({ bytes }) => bytes[0]), writable], [[1], [0]], 'it was only away for a moment')
  refuse()
  t.strictSame([errors.map(({ code }) => code), sender.writable(0)], [['ERR_TRANSPORT'], true], 'it was not')
  sender.send(0, Uint8Array.of(2))
  refuse()
  t.strictSame([errors.length, sender.writable(0)], [1, true], 'one cause is reported once, and holds nobody back')
  for (let i = 0; i < 3; i++) await system.tick()
  sender.send(0, Uint8Array.of(3))
  refuse()
  t.equal(sender.writable(0), false, 'it went well in between')

  const flushing = sender.flush()
  t.strictSame(
    socket.sends.map(({ bytes }) => bytes[0]),
    [3],
    'a flush does not wait for the next look'
  )
  socket.complete()
  await flushing
  for (let i = 0; i < 2; i++) await system.tick()
  sender.send(0, Uint8Array.of(4))
  refuse()
  await sender.close()
  t.match(errors.at(-1), { code: 'ERR_INTERFACE', message: /1 message had no interface to leave by$/ })
})

t.test('an interface that is back but refuses is tried again each second', async (t) => {
  const system = new FakeSystem()
  const master = await startSender({ mcastInterface: 'eth1' }, system)
  const backup = await startReceiver({ mcastInterface: 'eth1' }, system)
  const addresses = system.present['eth1']!
  delete system.present['eth1']
  await system.tick()
  system.present['eth1'] = addresses
  system.faults.set('bind', systemError('EADDRNOTAVAIL'))
  await system.tick()
  await system.tick()
  await system.tick()
  t.strictSame([master.errors.length, backup.errors.length], [2, 3])
  t.match(master.errors[0], { code: 'ERR_INTERFACE' })
  system.faults.clear()
  await system.tick()
  t.strictSame([master.notices.at(-1)!.code, backup.notices.at(-1)!.code], ['INTERFACE_BACK', 'INTERFACE_BACK'])
  t.equal(system.open.length, 2)
})

t.test('closed while it starts, it leaves no socket behind and watches nothing', async (t) => {
  const system = new FakeSystem()
  for (const udp of [
    new UdpSender({ mcastInterface: 'eth1' }, system),
    new UdpReceiver({ mcastInterface: 'eth1' }, system)
  ]) {
    const { handlers, notices } = listener()
    const starting = udp.start(handlers)
    await udp.close()
    await starting
    await settled()
    t.equal(system.open.length, 0)
    system.files.set('/sys/class/net/eth1/ifindex', '9\n')
    await system.tick()
    await system.tick()
    t.notOk(
      notices.some(({ code }) => code.startsWith('INTERFACE')),
      'nobody hears of an interface that is not used'
    )
    system.files.set('/sys/class/net/eth1/ifindex', '3\n')
  }
})

t.test('closed while it opens its sockets again, it leaves none behind', async (t) => {
  const system = new FakeSystem()
  const master = await startSender({ mcastInterface: 'eth1' }, system)
  const backup = await startReceiver({ mcastInterface: 'eth1' }, system)
  system.files.set('/sys/class/net/eth1/ifindex', '9\n')
  const ticking = Promise.all([system.tick(), system.tick()])
  await Promise.all([master.sender.close(), backup.receiver.close()])
  await ticking
  await settled()
  t.equal(system.open.length, 0)
  t.notOk([...master.notices, ...backup.notices].some(({ code }) => code === 'INTERFACE_BACK'))
})

t.test(
  'buffers: what the system gave less is reported with the limit to raise, and so is what the default holds',
  async (t) => {
    const small = new FakeSystem()
    small.bufferLimit = 212_992
    const backup = await startReceiver({ mcastInterface: 'eth1', bufferBytes: 1_048_576, channels: 4 }, small)
    t.strictSame(backup.notices, [
      {
        code: 'BUFFER',
        message:
          'sync_sock_size asks for a receive buffer of 1048576 bytes, the system gave 212992, room for 184 full messages: raise net.core.rmem_max'
      }
    ])
    const master = await startSender({ mcastInterface: 'eth1', bufferBytes: 1_048_576 }, small)
    t.match(master.notices, [
      { message: /send buffer of 1048576 bytes, the system gave 212992: raise net.core.wmem_max$/ }
    ])
    const enough = await startReceiver({ mcastInterface: 'eth1', bufferBytes: 1_048_576 })
    t.strictSame(enough.notices, [])
    t.strictSame((await startSender({ mcastInterface: 'eth1', bufferBytes: 4096 })).notices, [])
    const untouched = await startReceiver({ mcastInterface: 'eth1' })
    t.match(untouched.notices, [{ code: 'BUFFER', message: /212992 bytes, 92 full messages/ }])
  }
)

// Lines of a real /proc/net/udp: group 224.0.0.81 ports 8848 and 8849, another process's on 8848, and one on port 53.
const PROC_NET_UDP = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
 1523: 510000E0:2290 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 5001 2 0000000000000000 17
 1523: 510000E0:2290 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 6001 2 0000000000000000 900
 1524: 510000E0:2291 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 5002 2 0000000000000000 5
 1600: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 5003 2 0000000000000000 3
 1601: 510000E0:2291
`

t.test('the drop counter is the sum over our own sockets of these ports', async (t) => {
  const system = new FakeSystem()
  t.equal(socketDrops(system, 'ipv4', 8848, 2), undefined)
  system.files.set('/proc/net/udp', PROC_NET_UDP)
  for (const inode of ['5001', '5002', '5003', '']) system.inodes.add(inode)
  t.equal(socketDrops(system, 'ipv4', 8848, 2), 22)
  t.equal(socketDrops(system, 'ipv4', 8848, 1), 17)
  t.equal(socketDrops(system, 'ipv6', 8848, 2), undefined)
})

t.test(
  'a receive buffer overrun shows in receiveDrops, also after the sockets were opened anew and closed',
  async (t) => {
    const system = new FakeSystem()
    const { receiver } = await startReceiver({ mcastInterface: 'eth1', channels: 2 }, system)
    t.equal(receiver.receiveDrops(), undefined, 'no /proc')
    system.files.set('/proc/net/udp', PROC_NET_UDP)
    for (const inode of ['5001', '5002']) system.inodes.add(inode)
    t.equal(receiver.receiveDrops(), 22)
    system.files.set('/sys/class/net/eth1/ifindex', '9\n')
    const ticking = system.tick()
    system.inodes.clear()
    await ticking
    t.equal(receiver.receiveDrops(), 22)
    await receiver.close()
    t.equal(receiver.receiveDrops(), 22)
    const unknown = await startReceiver({ mcastInterface: 'eth1' })
    unknown.system.files.set('/sys/class/net/eth1/ifindex', '9\n')
    await unknown.system.tick()
    await unknown.receiver.close()
    t.equal(unknown.receiver.receiveDrops(), 0)
  }
)

t.test('an error of a receiving socket is reported, and kills nothing', async (t) => {
  const { system, errors } = await startReceiver({ mcastInterface: 'eth1' })
  system.sockets[0]!.emit('error', systemError('EIO'))
  t.match(errors, [{ code: 'ERR_TRANSPORT', message: /receiving on 224.0.0.81:8848 on eth1: EIO/ }])
})

t.test("sync_maxlen without a setting: the kernel's, or what the interface carries", async (t) => {
  const cases: readonly ['ipv4' | 'ipv6', number | undefined, number, number][] = [
    ['ipv4', undefined, 1472, 1472],
    ['ipv6', undefined, 1452, 1452],
    ['ipv4', 1500, 1472, 1472],
    ['ipv6', 9000, 1452, 8952],
    ['ipv4', 1450, 1422, 1472],
    ['ipv6', 1280, 1232, 1452],
    ['ipv4', 65536, 1472, 65507],
    ['ipv4', 68, 80, 1472]
  ]
  for (const [family, mtu, master, backup] of cases) {
    t.equal(masterSyncMaxlen(family, mtu).bytes, master)
    t.equal(backupSyncMaxlen(family, mtu).bytes, backup)
  }
  t.match(masterSyncMaxlen('ipv4', 1450).reason, /1422 bytes, what the interface's MTU of 1450/)
  t.match(masterSyncMaxlen('ipv4', 1500).reason, /kernel's default/)
  const system = new FakeSystem()
  t.equal(interfaceMtu(system, 'eth1'), 1500)
  t.equal(interfaceMtu(system, 'eth7'), undefined)
})

const IGMP = `Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter
1\tlo        :     1      V3
\t\t\t\t010000E0     1 0:00000000\t\t0
3\teth1      :     2      V3
\t\t\t\t510000E0     1 0:00000000\t\t0
\t\t\t\t010000E0     1 0:00000000\t\t0
`

t.test('a membership that is lost is joined again, with new sockets', async (t) => {
  const system = new FakeSystem()
  system.files.set('/proc/net/igmp', IGMP)
  const { notices, receiver } = await startReceiver({ mcastInterface: 'eth1' }, system)
  const [first] = system.open
  await system.tick()
  t.equal(system.open[0], first, 'joined: nothing changes')
  system.files.set('/proc/net/igmp', IGMP.replace('510000E0', '520000E0'))
  await system.tick()
  t.not(system.open[0], first)
  t.ok(first!.closed)
  t.ok(system.open[0]!.calls.includes('addMembership 224.0.0.81 10.9.0.1'))
  t.strictSame(
    notices.map(({ code }) => code),
    ['BUFFER', 'INTERFACE_LOST', 'INTERFACE_BACK']
  )
  t.match(notices[1]!.message, /no longer a member/)
  await receiver.close()
})

t.test('membership is read for the interface and family, in either byte order', async (t) => {
  const system = new FakeSystem()
  t.equal(isMember(system, 'eth1', 'ipv4', '224.0.0.81'), undefined)
  system.files.set('/proc/net/igmp', IGMP)
  t.equal(isMember(system, 'eth1', 'ipv4', '224.0.0.81'), true)
  t.equal(isMember(system, 'lo', 'ipv4', '224.0.0.81'), false)
  t.equal(isMember(system, 'eth2', 'ipv4', '224.0.0.81'), false)
  system.files.set('/proc/net/igmp', IGMP.replace('510000E0', 'E0000051'))
  t.equal(isMember(system, 'eth1', 'ipv4', '224.0.0.81'), true)
  t.equal(isMember(system, 'eth1', 'ipv6', 'ff02::51'), undefined)
  system.files.set('/proc/net/igmp6', '3    eth1            ff020000000000000000000000000051     1 0000000C 0\n')
  t.equal(isMember(system, 'eth1', 'ipv6', 'ff02::51'), true)
  t.equal(isMember(system, 'eth1', 'ipv6', 'ff02::'), false)
  t.equal(isMember(system, 'eth2', 'ipv6', 'ff02::51'), false)
})

t.test('the reasons of a loss are distinguished', async (t) => {
  const reasons: string[] = []
  const lose = async (change: (system: FakeSystem) => void): Promise<void> => {
    const { system, notices, receiver } = await startReceiver({ mcastInterface: 'eth1' })
    change(system)
    await system.tick()
    reasons.push(notices.find(({ code }) => code === 'INTERFACE_LOST')!.message.replace(/: .*/, ''))
    await receiver.close()
  }
  await lose((system) => {
    system.present['eth1'] = system.present['eth1']!.filter(({ family }) => family === 'IPv6')
  })
  await lose((system) => {
    delete system.present['eth1']
    system.files.delete('/sys/class/net/eth1/mtu')
  })
  await lose((system) => {
    delete system.present['eth1']
    system.files.set('/sys/class/net/eth1/flags', '0x1003\n')
    system.files.set('/sys/class/net/eth1/carrier', '0\n')
  })
  await lose((system) => {
    delete system.present['eth1']
    system.files.set('/sys/class/net/eth1/flags', '0x1002\n')
  })
  await lose((system) => {
    delete system.present['eth1']
    system.files.set('/sys/class/net/eth1/flags', '0x1043\n')
    system.files.set('/sys/class/net/eth1/carrier', '1\n')
  })
  await lose((system) => {
    system.files.set('/sys/class/net/eth1/ifindex', '9\n')
  })
  t.strictSame(reasons, [
    'interface eth1 has lost its IPv4 address',
    'interface eth1 does not exist any more',
    'interface eth1 has no carrier',
    'interface eth1 is down',
    'interface eth1 has lost its IPv4 address',
    'interface eth1 was replaced or has another address'
  ])
})

for (const code of ['EMFILE', 'ENFILE', 'ENOMEM', 'EACCES', 'EIO']) {
  t.test(`a running receiver and sender survive ${code} from each call, report once, and recover`, async (t) => {
    for (const call of ['interfaces', 'bind', 'addMembership', 'setMulticastInterface', 'setMulticastTTL']) {
      const system = new FakeSystem()
      const backup = await startReceiver({ mcastInterface: 'eth1' }, system)
      const master = await startSender({ mcastInterface: 'eth1' }, system)
      system.faults.set(call, systemError(code))
      // The interface is replaced while the fault lasts: every call of a new start is made.
      system.files.set('/sys/class/net/eth1/ifindex', '4\n')
      for (let i = 0; i < 4; i++) await system.tick()
      t.doesNotThrow(() => backup.receiver.receiveDrops())
      if (call === 'interfaces') t.strictSame([backup.errors.length, master.errors.length], [1, 1], `${call}: once`)
      system.faults.delete(call)
      for (let i = 0; i < 4; i++) await system.tick()
      t.match(backup.notices.at(-1), { code: 'INTERFACE_BACK' }, call)
      t.match(master.notices.at(-1), { code: 'INTERFACE_BACK' }, call)
      t.equal(master.sender.writable(0), true)
      await Promise.all([backup.receiver.close(), master.sender.close()])
      t.equal(system.open.length, 0)
    }
  })
}

t.test('drops that cannot be counted are unknown', async (t) => {
  const system = new FakeSystem()
  const { receiver } = await startReceiver({ peers: [{ address: '10.0.0.2' }] }, system)
  system.faults.set('interfaces', systemError('EMFILE'))
  t.equal(receiver.receiveDrops(), undefined)
  system.faults.clear()
  await receiver.close()
})

t.test('an index that cannot be read is no other interface', async (t) => {
  const system = new FakeSystem()
  const { receiver, notices } = await startReceiver({ mcastInterface: 'eth1' }, system)
  const before = notices.length
  const index = system.files.get('/sys/class/net/eth1/ifindex')!
  system.files.delete('/sys/class/net/eth1/ifindex')
  await system.tick()
  system.files.set('/sys/class/net/eth1/ifindex', index)
  await system.tick()
  t.equal(notices.length, before)
  await receiver.close()
})
