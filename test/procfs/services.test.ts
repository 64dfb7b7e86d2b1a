// The services of a director in the three forms in which support bundles keep them.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { fileFault } from '../../src/procfs/file-fault.js'
import { parseServices, readKernelServices, readServices, type Service } from '../../src/procfs/index.js'

const recorded = (folder: string): string =>
  readFileSync(new URL(`../fixtures/captures/${folder}/director.ip_vs`, import.meta.url), 'latin1')

// As ipvsadm 1.31 prints the same director (its own format strings).
const LISTING = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  10.0.1.100:80 rr persistent 300
  -> 10.0.2.12:8080               Masq    1      0          14        
  -> 10.0.2.11:8080               Masq    1      1          3         
TCP  [fd00:1::100]:80 rr persistent 300
  -> [fd00:2::12]:8080            Masq    1      0          2         
UDP  10.0.1.100:53 rr persistent 120 mask 255.255.255.0 pe sip ops
  -> 10.0.2.12:5353               Tunnel  -             1      0          3         
TCP  [fd00:1::101]:80 sh (sh-fallback,sh-port) persistent 60 mask 64
FWM  5 rr persistent 300
  -> 10.0.2.12:0                  Route   2      0          4         
FWM  12345678 IPv6 wlc
  -> [fd00:2::12]:0               Local   1      0          2         
`
const RULES = `-A -t 10.0.1.100:80 -s rr -p 300
-a -t 10.0.1.100:80 -r 10.0.2.12:8080 -m -w 1
-a -t 10.0.1.100:80 -r 10.0.2.11:8080 -m -w 1
-A -t [fd00:1::100]:80 -s rr -p 300
-a -t [fd00:1::100]:80 -r [fd00:2::12]:8080 -m -w 1
-A -u 10.0.1.100:53 -s rr -p 120 -M 255.255.255.0 --pe sip -o
-a -u 10.0.1.100:53 -r 10.0.2.12:5353 -i -w 1 --tun-type gue --tun-port 6080 --tun-nocsum
-A -t [fd00:1::101]:80 -s sh -p 60 -M 64 -b sh-fallback,sh-port
-A -f 5 -s rr -p 300
-a -f 5 -r 10.0.2.12:0 -g -w 2
-A -f 12345678 -6 -s wlc
-a -f 12345678 -6 -r [fd00:2::12]:0 -g -w 1
`

const identity = ({ protocol, virtual, fwmark, family }: Service): unknown[] => [protocol, virtual, fwmark, family]
const comparable = (service: Service): unknown => ({
  ...service,
  servers: service.servers.map(({ address, port, weight, forwarding }) => ({
    // ipvsadm -S does not tell a local real server from a routed one.
    ...{ address, port, weight, forwarding: forwarding === 'LOCALNODE' ? 'DROUTE' : forwarding }
  }))
})

t.test('every recorded table is read whole', async (t) => {
  const { services, unreadable, timeouts } = parseServices(recorded('persist'))
  t.equal(unreadable.count, 0)
  t.equal(timeouts, undefined)
  t.strictSame(services.map(identity), [
    ['TCP', { address: '10.0.1.100', port: 80 }, 0, 'ipv4'],
    ['TCP', { address: '10.0.1.100', port: 0 }, 0, 'ipv4'],
    ['TCP', { address: 'fd00:1::100', port: 80 }, 0, 'ipv6'],
    ['UDP', { address: '10.0.1.100', port: 53 }, 0, 'ipv4'],
    ['FWM', undefined, 5, 'ipv4'],
    ['FWM', undefined, 6, 'ipv4'],
    ['FWM', undefined, 7, 'ipv6']
  ])
  t.strictSame(
    services.map(({ persistence }) => persistence && [persistence.timeout, persistence.unit, persistence.prefix]),
    [
      [75000, 'ticks', 32],
      [90000, 'ticks', 32],
      [75000, 'ticks', 128],
      [30000, 'ticks', 24],
      [75000, 'ticks', 32],
      undefined,
      [75000, 'ticks', 128]
    ]
  )
  t.match(services[0]!.servers[0], { address: '10.0.2.12', port: 8080, forwarding: 'MASQ', inactiveConnections: 14 })
  t.strictSame(
    parseServices(recorded('sip')).services.map(({ onePacket }) => onePacket),
    [false, true, false]
  )
})

t.test('ipvsadm -Ln and ipvsadm -S -n say the same', async (t) => {
  const listing = parseServices(`${LISTING}Timeout (tcp tcpfin udp): 7200 120 300\n`)
  const rules = parseServices(`# saved\n\n${RULES}`)
  t.strictSame([listing.unreadable.count, rules.unreadable.count], [0, 0])
  t.strictSame(listing.timeouts, { tcp: 7200, tcpFin: 120, udp: 300 })
  t.strictSame(listing.services.map(comparable), rules.services.map(comparable))
  t.strictSame(listing.services.map(identity), [
    ['TCP', { address: '10.0.1.100', port: 80 }, 0, 'ipv4'],
    ['TCP', { address: 'fd00:1::100', port: 80 }, 0, 'ipv6'],
    ['UDP', { address: '10.0.1.100', port: 53 }, 0, 'ipv4'],
    ['TCP', { address: 'fd00:1::101', port: 80 }, 0, 'ipv6'],
    ['FWM', undefined, 5, 'ipv4'],
    ['FWM', undefined, 12345678, 'ipv6']
  ])
  t.match(listing.services[2], {
    onePacket: true,
    persistence: { timeout: 120, unit: 'seconds', prefix: 24, engine: 'sip' },
    servers: [{ forwarding: 'TUNNEL', weight: 1, inactiveConnections: 3 }]
  })
  t.match(listing.services[3], { schedulerFlags: ['sh-fallback', 'sh-port'], persistence: { prefix: 64 }, servers: [] })
})

t.test('a rule may be written by hand: long options, defaults, thresholds', async (t) => {
  const { services, unreadable } = parseServices(
    [
      'ipvsadm --add-service --tcp-service 10.0.0.1:80 --persistent --scheduler lc',
      'ipvsadm --add-server -t 10.0.0.1:80 -r 10.0.0.2:80 --u-threshold 100 --l-threshold 50',
      '-A --sctp-service 10.0.0.1:80'
    ].join('\n')
  )
  t.equal(unreadable.count, 0)
  t.match(services, [
    {
      scheduler: 'lc',
      persistence: { timeout: 300, unit: 'seconds', prefix: 32 },
      servers: [{ forwarding: 'DROUTE', weight: 1, upperThreshold: 100, lowerThreshold: 50 }]
    },
    { protocol: 'SCTP', scheduler: 'wlc', persistence: undefined, servers: [] }
  ])
})

t.test('a big-endian kernel shows a prefix length in its last byte', async (t) => {
  const { services } = parseServices('TCP  [fd00:0001:0000:0000:0000:0000:0000:0100]:0050 rr persistent 75000 00000040')
  t.equal(services[0]?.persistence?.prefix, 64)
})

t.test('a line that cannot be read is counted, and the first three are named', async (t) => {
  const lines = [
    '  -> 10.0.0.2:80 Masq 1 0 0',
    'TCP 10.0.0.1:80',
    'TCP 10.0.0.1:99999 rr',
    'TCP fd00::1:80 rr',
    'TCP www.example.org:http rr',
    'IP 10.0.0.1:80 rr',
    'TCP 10.0.0.1:80 rr persistent x',
    'FWM 99999999999 rr',
    '-A -t 10.0.0.1:80 -s',
    '-A -s rr',
    '-A --color',
    '-a -t 10.0.0.9:80 -r 10.0.0.2:80 -m -w 1',
    'TCP 10.0.0.1:80 rr',
    '-a -t 10.0.0.1:80 -r 10.0.0.2 -m',
    '-a -t 10.0.0.1:80 -r 10.0.0.2:80 -w x',
    '-a --color',
    '  -> 10.0.0.2:80 Pigeon 1 0 0',
    '  -> 10.0.0.2:80 Masq 1 0',
    '  -> 10.0.0.2:80 Masq 1 2 3 4 5',
    '  -> 10.0.0.2:80 Masq x 0 0\u0007',
    '-a -f 1 -r 10.0.0.2:80 -m'
  ]
  const { services, unreadable } = parseServices(lines.join('\n'))
  t.equal(services.length, 1)
  t.equal(services[0]!.servers.length, 0)
  t.equal(unreadable.count, lines.length - 1)
  t.strictSame(
    unreadable.first.map(({ number }) => number),
    [1, 2, 3]
  )
  t.equal(parseServices('x\u009b').unreadable.first[0]?.text, 'x?')
})

t.test('files: with services, without, missing', async (t) => {
  const folder = t.testdir({ listing: LISTING, empty: '', hostname: 'director-1\n' })
  t.equal((await readServices(join(folder, 'listing'))).services.length, 6)
  await t.rejects(readServices(join(folder, 'hostname')), { code: 'ERR_IO', message: /hostname: expected services/ })
  await t.rejects(readServices(join(folder, 'empty')), { code: 'ERR_IO', message: /got none/ })
  await t.rejects(readServices(join(folder, 'none')), { code: 'ERR_IO', message: /none: no such file/ })
  await t.rejects(readServices(folder), { code: 'ERR_IO', message: /is a directory/ })
  t.strictSame((await readKernelServices(join(folder, 'none'))).services, [])
  await t.rejects(readKernelServices(folder), { code: 'ERR_IO' })
  writeFileSync(join(folder, 'proc'), recorded('persist'))
  t.equal((await readKernelServices(join(folder, 'proc'))).services.length, 7)
})

t.test('a fault of a file is reported without the name of the system call', async (t) => {
  const faults = ['ENOENT', 'EACCES', 'EISDIR', 'EIO'].map((code) =>
    fileFault(Object.assign(new Error(code), { code }))
  )
  t.strictSame(faults, ['no such file', 'permission denied', 'is a directory', 'EIO'])
})
