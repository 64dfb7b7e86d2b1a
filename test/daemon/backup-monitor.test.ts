// Reports of a running backup, from figures at given times.
import t from 'tap'
import { BackupMonitor, type BackupFigures } from '../../src/daemon/backup/backup-monitor.js'
import { SyncBackup } from '../../src/daemon/backup/sync-backup.js'
import { NO_COUNTERS } from '../../src/daemon/workers/merge-reports.js'
import type { SenderReport } from '../../src/engine/backup/senders.js'
import type { NoticeEvent } from '../../src/engine/events.js'
import { MemoryNetwork } from '../../src/transport/memory.js'
import { ManualClock } from '../fixtures/support/manual-clock.js'

const SENDER: SenderReport = {
  address: '10.9.0.1',
  port: 5000,
  syncid: 5,
  version: 1,
  messages: 1,
  connections: 1,
  age: 0
}

function monitor(): { check: (figures: Partial<BackupFigures>, now: number) => string[]; last: () => NoticeEvent[] } {
  const one = new BackupMonitor({ syncid: 5, description: () => '224.0.0.81:8848 on eth1' })
  let last: NoticeEvent[] = []
  return {
    check(figures, now) {
      last = one.check({ counters: NO_COUNTERS, senders: [], receiveDrops: 0, ...figures }, now)
      return last.map(({ code }) => code)
    },
    last: () => last
  }
}

t.test('a sender: its first message, its silence, its return', async (t) => {
  const { check, last } = monitor()
  t.strictSame(check({ senders: [SENDER] }, 1), ['SENDER_NEW'])
  t.match(last()[0]!.message, /10\.9\.0\.1: syncid 5, version 1, source port 5000/)
  t.strictSame(check({ senders: [{ ...SENDER, age: 40 }] }, 40_000), [], 'one message is no sender that fell silent')
  const known = { ...SENDER, messages: 30 }
  t.strictSame(check({ senders: [{ ...known, age: 29 }] }, 41_000), [])
  t.strictSame(check({ senders: [{ ...known, age: 30 }] }, 42_000), ['SENDER_SILENT'])
  t.match(last()[0]!.message, /30 messages 30 s ago/)
  t.strictSame(check({ senders: [{ ...known, age: 31 }] }, 43_000), [])
  t.strictSame(check({ senders: [{ ...known, age: 0 }] }, 44_000), ['SENDER_BACK'])
})

t.test('forged senders cost a bounded memory, and push out nobody who sends more', async (t) => {
  const { check } = monitor()
  const real = { ...SENDER, messages: 1000 }
  t.strictSame(check({ senders: [real] }, 1), ['SENDER_NEW'])
  const forged = Array.from({ length: 1000 }, (_, i) => ({ ...SENDER, address: `192.0.2.${i}` }))
  t.equal(check({ senders: [...forged, real] }, 2).length, 63)
  t.strictSame(check({ senders: [{ ...real, age: 30 }] }, 3), ['SENDER_SILENT'])
})

t.test('nothing received for 30 s is reported once, with what was seen first among the causes', async (t) => {
  const { check, last } = monitor()
  t.strictSame(check({}, 5), [])
  t.strictSame(check({}, 30_004), [])
  const counters = { ...NO_COUNTERS, dropped: { OTHER_SYNCID: 7, NOT_ACCEPTED: 1 } }
  t.strictSame(check({ counters }, 30_005), ['NOTHING_RECEIVED', 'OTHER_SYNCID', 'NOT_ACCEPTED'])
  t.match(last()[0]!.message, /order: 7 messages had another syncid than 5; 1 message came from senders/)
  t.strictSame(check({ counters }, 90_005), [])
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
  t.match(last()[0]!.message, /refused 999 connections/)
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
