// Values and small functions of the package's entries, against the kernel's numbers (docs/protocol.md) and by hand.
import t from 'tap'
import { AGENT_TIMES, LIST_MESSAGES } from '../src/agent/index.js'
import {
  Connection,
  connectionValue,
  Director,
  foldWords,
  FrameReader,
  FrameSource,
  Observer
} from '../src/director/index.js'
import { createPolicy, decideSync } from '../src/engine/index.js'
import { openCapture } from '../src/index.js'
import { LINK_PORT, MemoryHub, MemoryLink, SITE_NAME } from '../src/relay/index.js'
import { Key, SEAL_OVERHEAD, Sealer, VERDICTS } from '../src/trust/index.js'
import {
  BACKUP_MASK,
  BACKUP_UPDATE_MASK,
  DEFAULT_MAXLEN_IPV4,
  DEFAULT_MAXLEN_IPV6,
  DEFAULT_TIMEOUT,
  encodeMessage,
  FLAG,
  KNOWN_ENGINES,
  MAX_CHANNELS,
  MAX_CONNECTIONS,
  MAX_ENGINE_NAME,
  MAX_PAYLOAD,
  MessageView,
  PARAMETER,
  PRESENT,
  ROW,
  ROW_WORDS,
  SEQUENCE_BYTES,
  stateCount,
  SYNC_GROUP,
  SYNC_PORT
} from '../src/wire/index.js'
import { tcpConnection } from './fixtures/support/connections.js'

t.test('the numbers of the protocol are the kernel’s', async (t) => {
  t.strictSame([SYNC_PORT, SYNC_GROUP, MAX_CHANNELS, MAX_CONNECTIONS], [8848, '224.0.0.81', 64, 255])
  t.strictSame([DEFAULT_MAXLEN_IPV4, DEFAULT_MAXLEN_IPV6, MAX_PAYLOAD], [1500 - 28, 1500 - 48, 65535 - 28])
  // include/uapi/linux/ip_vs.h: names and values.
  t.match(FLAG, {
    FORWARDING: 7,
    SYNC: 0x20,
    HASHED: 0x40,
    NOOUTPUT: 0x80,
    INACTIVE: 0x100,
    OUT_SEQ: 0x200,
    IN_SEQ: 0x400,
    NO_CPORT: 0x800,
    TEMPLATE: 0x1000,
    ONE_PACKET: 0x2000,
    NFCT: 0x10000
  })
  t.strictSame([BACKUP_MASK, BACKUP_UPDATE_MASK], [0x1f87, 0x0700])
  t.strictSame(PARAMETER, { SEQUENCE: 1, ENGINE_DATA: 2, ENGINE_NAME: 3, OPTIONAL: 0x40 })
  t.strictSame([KNOWN_ENGINES, MAX_ENGINE_NAME, SEQUENCE_BYTES], [['sip'], 16, 24])
  t.strictSame([6, 17, 132, 51, 1].map(stateCount), [11, 1, 14, 1, 0])
  t.equal(DEFAULT_TIMEOUT, 180)
  t.strictSame([ROW_WORDS, ROW.FAMILY, ROW.CLIENT, PRESENT.SEQUENCE, PRESENT.ENGINE], [32, 0, 10, 1, 2])
})

t.test('a view reads the records of a message in place', async (t) => {
  const view = new MessageView()
  t.ok(view.reset(encodeMessage({ version: 1, syncid: 9, connections: [tcpConnection(0), tcpConnection(1)] })))
  t.strictSame([view.version, view.syncid, view.count], [1, 9, 2])
  const protocols: number[] = []
  while (view.next()) protocols.push(view.protocol)
  t.strictSame([protocols, view.fault], [[6, 6], 0])
  t.notOk(view.reset(Uint8Array.of(1)))
})

t.test('a prepared policy has the settings in milliseconds', async (t) => {
  const settings = { syncThreshold: [3, 50], syncRefreshPeriod: 10, syncRetries: 0, syncPersistMode: 0 } as const
  t.match(createPolicy(settings), { threshold: 3, period: 50 })
  const subject = {
    protocol: 6,
    template: false,
    onePacket: false,
    underTemplate: false,
    state: 1,
    lastSyncedState: 0,
    timeoutMs: 900_000,
    endTimeMs: 0,
    retriesUsed: 0
  }
  t.equal(decideSync(subject, 3, 1000, settings).send, true)
  t.throws(() => createPolicy({ ...settings, syncThreshold: [50, 3] }), { code: 'ERR_CONFIG' })
})

t.test('values of agent, relay and trust', async (t) => {
  t.ok(Object.values(AGENT_TIMES).every((ms) => Number.isInteger(ms) && ms > 0))
  t.strictSame([LIST_MESSAGES, LINK_PORT], [64, 8850])
  t.strictSame(
    ['a', 'site-1', '', '-a', 'A', 'x'.repeat(33)].map((name) => SITE_NAME.test(name)),
    [true, true, false, false, false, false]
  )
  t.strictSame([...VERDICTS].sort(), ['BAD_MAC', 'REPLAYED', 'STALE', 'UNKNOWN_KEY', 'UNSIGNED', 'VALID'])
  const bytes = new Uint8Array(100)
  bytes.set([0, 5, 0, 100])
  const sealed = new Sealer({ key: new Key(new Uint8Array(32)) }).seal(bytes, 0)
  t.ok(sealed.length > bytes.length && sealed.length <= bytes.length + SEAL_OVERHEAD)
  const link = new MemoryHub().open('one')
  t.ok(link instanceof MemoryLink)
  t.equal(link.description, 'memory:one')
})

t.test('frames of a capture are observed for a director', async (t) => {
  const director = new Director({
    services: [
      {
        protocol: 'TCP',
        virtual: { address: '10.0.0.1', port: 80 },
        scheduler: 'rr',
        servers: [{ address: '10.0.1.1', port: 80, forwarding: 'MASQ' }]
      }
    ]
  })
  const observer = new Observer(director)
  const reader = new FrameReader()
  let read = 0
  const source = new FrameSource((frame) => {
    if (reader.read(frame)) read++
    observer.frame(frame)
  })
  // pcap, Ethernet: one frame at 1 s, a SYN from 192.0.2.1:1000 to 10.0.0.1:80, by hand.
  const header = 'd4c3b2a1020004000000000000000000ffff000001000000'
  const frame =
    '020000000001020000000002' +
    '0800' +
    '45000028000100004006' +
    '0000' +
    'c0000201' +
    '0a000001' +
    '03e80050' +
    '0000000100000000' +
    '5002ffff00000000'
  const packet = '01000000000000003600000036000000'
  source.push(Uint8Array.from(Buffer.from(header + packet + frame, 'hex')))
  source.end()
  t.strictSame([read, observer.counts.frames, observer.counts.handled, source.skipped], [1, 1, 1, 0])
  const [connection] = director.connections()
  t.match(connection, {
    protocol: 'TCP',
    client: { address: '192.0.2.1', port: 1000 },
    destination: { address: '10.0.1.1' },
    state: 'SYN_RECV',
    expires: 60
  })
  t.match(connectionValue(new Connection(), 1000), { family: 'ipv4', protocol: 'IP', origin: 'LOCAL', expires: 0 })
  t.equal(foldWords([1, 2, 4, 8]), 15)
})

t.test('a capture is opened by its path', async (t) => {
  const capture = openCapture(new URL('./fixtures/captures/tcp4-nat/sync.pcap', import.meta.url).pathname)
  for await (const item of capture) if (item.kind === 'problem') t.fail(item.problem.message)
  t.ok(capture.counts.datagrams > 0)
})
