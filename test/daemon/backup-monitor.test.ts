// Reports of a running backup, from figures at given times.
import t from 'tap'
import { BackupMonitor, type BackupFigures } from '../../src/daemon/backup/backup-monitor.js'
import { SyncBackup } from '../../src/daemon/backup/sync-backup.js'
import { NO_COUNTERS } from '../../src/daemon/workers/merge-reports.js'
import type { IgnoredSender, SenderReport } from '../../src/engine/backup/senders.js'
import type { NoticeEvent } from '../../src/engine/events.js'
import type { LinkCounters } from '../../src/transport/link-counters.js'
import { MemoryNetwork } from '../../src/transport/memory.js'
import { ManualClock } from '../fixtures/support/manual-clock.js'

const SENDER: SenderReport = {
  address: '10.9.0.1',
  port: 5000,
  syncid: 5,
  version: 1,
  channels: [0, 2],
  messages: 1,
  connections: 1,
  largest: 1400,
  age: 0
}
const LINK: LinkCounters = { mtu: 1500, interfaceDrops: 7, reversePathDrops: 7, reassemblyFailures: 7 }

function monitor(): { check: (figures: Partial<BackupFigures>, now: number) => string[]; last: () => NoticeEvent[] } {
  const one = new BackupMonitor({
    syncid: 5,
    port: 8848,
    channels: 1,
    maxConnections: 1000,
    description: () => '224.0.0.81:8848 on eth1'
  })
  let last: NoticeEvent[] = []
  return {
    check(figures, now) {
      const none = { counters: NO_COUNTERS, senders: [], ignored: [], beyond: [], receiveDrops: 0, link: LINK }
      last = one.check({ ...none, ...figures }, now)
      return last.map(({ code }) => code)
    },
    last: () => last
  }
}

t.test('a sender: its first message, its silence, its return', async (t) => {
  const { check, last } = monitor()
  t.strictSame(check({ senders: [SENDER] }, 1), ['SENDER_NEW'])
  t.match(last()[0]!.message, /10\.9\.0\.1: syncid 5, version 1, channel 0, 2, 1400 bytes$/)
  t.strictSame(check({ senders: [{ ...SENDER, age: 4 }] }, 40_000), [], 'one message is no sender that fell silent')
  const known = { ...SENDER, messages: 30 }
  t.strictSame(check({ senders: [{ ...known, age: 29 }] }, 41_000), [])
  t.strictSame(check({ senders: [{ ...known, age: 30 }] }, 42_000), ['SENDER_SILENT', 'NOTHING_RECEIVED'])
  t.match(last()[0]!.message, /30 messages 30 s ago/)
  t.match(last()[1]!.message, /for 30 s; likely causes in order: the master stopped/)
  t.strictSame(check({ senders: [{ ...known, age: 31 }] }, 43_000), [])
  t.strictSame(check({ senders: [{ ...known, age: 0 }] }, 44_000), ['SENDER_BACK'])
})

t.test('forged senders cost a bounded memory, and push out nobody who sends more', async (t) => {
  const { check } = monitor()
  const real = { ...SENDER, messages: 1000 }
  t.strictSame(check({ senders: [real] }, 1), ['SENDER_NEW'])
  const forged = Array.from({ length: 1000 }, (_, i) => ({ ...SENDER, address: `192.0.2.${i}` }))
  t.equal(check({ senders: [...forged, real] }, 2).length, 63)
  t.strictSame(check({ senders: [{ ...real, age: 30 }] }, 31_000), ['SENDER_SILENT', 'NOTHING_RECEIVED'])
})

t.test('nothing received for 30 s is reported once, with what was seen first among the causes', async (t) => {
  const { check, last } = monitor()
  t.strictSame(check({}, 5), [])
  t.strictSame(check({}, 30_004), [])
  const counters = { ...NO_COUNTERS, dropped: { OTHER_SYNCID: 7, NOT_ACCEPTED: 1 } }
  const ignored: IgnoredSender[] = [
    ...[6, 7, 8, 9].map((syncid) => ({ ...SENDER, syncid, reason: 'OTHER_SYNCID' as const })),
    { ...SENDER, address: '10.8.0.1', reason: 'NOT_ACCEPTED' }
  ]
  ignored[0] = { ...ignored[0]!, address: '10.9.0.3', messages: 4 }
  t.strictSame(check({ counters, ignored }, 30_005), ['NOTHING_RECEIVED', 'OTHER_SYNCID', 'NOT_ACCEPTED'])
  t.match(last()[0]!.message, /order: 7 messages had another syncid than 5; 1 message came from senders/)
  t.match(
    last()[1]!.message,
    /ignored 7 messages .*10\.9\.0\.3 \(syncid 6, 4 messages\), .*\(syncid 8, 1 message\), 1 more$/
  )
  t.match(last()[2]!.message, /ignored 1 message .*10\.8\.0\.1 \(syncid 5/)
  t.strictSame(check({ counters }, 90_005), [])
})

t.test('silence after the start is reported, not more often than every ten minutes', async (t) => {
  const { check, last } = monitor()
  const silent = (age: number): Partial<BackupFigures> => ({ senders: [{ ...SENDER, age }] })
  t.strictSame(check(silent(0), 1), ['SENDER_NEW'])
  t.strictSame(check({ ...silent(30), link: { ...LINK, reversePathDrops: 9 } }, 31_000), [
    'NOTHING_RECEIVED',
    'RP_FILTER_DROPS'
  ])
  t.match(last()[0]!.message, /order: rp_filter dropped 2 packets; the master stopped/)
  t.strictSame(check(silent(0), 32_000), [])
  t.strictSame(check(silent(30), 70_000), [], 'a master of few connections is often silent')
  t.strictSame(check(silent(0), 80_000), [])
  t.strictSame(check(silent(31), 700_000), ['NOTHING_RECEIVED'])
})

t.test('a larger sync_ports of the master is reported with its value', async (t) => {
  const { check, last } = monitor()
  const beyond = [{ ...SENDER, channels: [1, 3], messages: 9 }]
  t.strictSame(check({ senders: [SENDER], beyond }, 1), ['SENDER_NEW', 'PORTS_BEYOND'])
  t.match(last()[1]!.message, /ignored 9 messages to ports up to 8851, we receive on 8848: 10\.9.*set sync_ports to 4$/)
})

t.test('counters of the host count from the start', async (t) => {
  const { check, last } = monitor()
  const small = { ...LINK, mtu: 1280 }
  const sender = { ...SENDER, largest: 200 }
  t.strictSame(check({ senders: [sender], link: small }, 1), ['SENDER_NEW'])
  const more = { ...small, interfaceDrops: 10, reversePathDrops: 9, reassemblyFailures: 8 }
  t.strictSame(check({ senders: [sender], link: more }, 2), ['REASSEMBLY_FAILED', 'RP_FILTER_DROPS', 'MTU_DROPS'])
  t.match(last()[2]!.message, /dropped 3 packets, and its MTU is 1280: messages above 1252 bytes/)
  const full = { ...sender, largest: 1250 }
  t.strictSame(
    check({ senders: [full], link: { ...more, interfaceDrops: 20 } }, 90_000),
    [],
    'full messages arrive: what was dropped is something else'
  )
  const unknown: LinkCounters = {
    mtu: undefined,
    interfaceDrops: undefined,
    reversePathDrops: undefined,
    reassemblyFailures: undefined
  }
  t.strictSame(check({ senders: [full], link: unknown }, 200_000), [])
})

t.test('messages above the MTU are reported once a sender', async (t) => {
  const { check, last } = monitor()
  const six = { ...SENDER, address: 'fd09::1', largest: 1453 }
  t.strictSame(check({ senders: [{ ...SENDER, largest: 1473 }, six] }, 1), [
    'SENDER_NEW',
    'MESSAGES_FRAGMENTED',
    'SENDER_NEW',
    'MESSAGES_FRAGMENTED'
  ])
  t.match(last()[1]!.message, /10\.9\.0\.1 sends messages of 1473 bytes.*sync_maxlen 1472/)
  t.match(last()[3]!.message, /sync_maxlen 1452/)
  t.strictSame(check({ senders: [{ ...SENDER, largest: 1473 }, six] }, 100_000), [])
})

t.test('losses are reported once a minute a code, with how many since', async (t) => {
  const { check, last } = monitor()
  const at = (n: number): Partial<BackupFigures> => ({
    senders: [SENDER],
    counters: { ...NO_COUNTERS, skipped: { TABLE_FULL: n } },
    receiveDrops: n
  })
  t.strictSame(check(at(1), 1), ['SENDER_NEW', 'TABLE_FULL', 'SOCKET_DROPS'])
  for (let i = 2; i < 1000; i++) t.strictSame(check(at(i), i), [])
  t.strictSame(check(at(1000), 60_001), ['TABLE_FULL', 'SOCKET_DROPS'])
  t.match(last()[0]!.message, /table full \(1000 connections\): refused 999 connections/)
  t.strictSame(
    check({ senders: [SENDER], receiveDrops: undefined }, 200_000),
    [],
    'a system that does not report drops'
  )
})

t.test('a backup reports by notices, and is ready when it has received something', async (t) => {
  const network = new MemoryNetwork()
  const clock = new ManualClock()
  const backup = new SyncBackup({ clock, transport: network.open('10.9.0.2'), syncid: 5 })
  const codes: string[] = []
  backup.on('notice', ({ code }) => codes.push(code))
  const sender = network.open('10.9.0.1')
  sender.listen({})
  t.equal(backup.ready, false)
  await backup.start()
  t.equal(backup.ready, false)
  clock.advance(31_000)
  sender.send(0, Uint8Array.from([0, 6, 0, 8, 0, 1, 0, 0]))
  network.advance(network.now)
  clock.advance(1000)
  t.equal(backup.ready, false, 'a message with another syncid')
  sender.send(0, Uint8Array.from([0, 5, 0, 8, 0, 1, 0, 0]))
  network.advance(network.now)
  clock.advance(1000)
  t.equal(backup.ready, true)
  t.strictSame(codes, ['NOTHING_RECEIVED', 'OTHER_SYNCID', 'SENDER_NEW'])
  await backup.close()
  t.equal(clock.armed, 0)
})
