// Roles with keys: sealed messages between a master and backups on loopback, with and without workers.
import { writeFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { SyncBackup, type SyncBackupOptions } from '../../src/daemon/backup/sync-backup.js'
import { SyncMaster } from '../../src/daemon/master/sync-master.js'
import { createMetrics } from '../../src/daemon/http/metrics.js'
import { viewOf } from '../../src/daemon/http/sync-view.js'
import { createReceiver, createSender, sealOverhead } from '../../src/daemon/sealing.js'
import { seededChance } from '../../src/transport/chance.js'
import { nodeSystem } from '../../src/transport/system.js'
import { generateKey } from '../../src/trust/keys.js'
import { tcpConnection } from '../fixtures/support/connections.js'
import { freePorts, noMulticast } from '../fixtures/support/loopback.js'

const noLoopback = networkInterfaces()['lo'] === undefined ? 'there is no interface lo' : false

async function until(done: () => boolean, what: string): Promise<void> {
  for (let round = 0; round < 4000; round++) {
    if (done()) return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  throw new Error(`not within 20 s: ${what}`)
}

t.test(
  'a sealed master, and backups that verify, require, and know nothing of keys',
  { skip: noLoopback },
  async (t) => {
    const keyFile = join(t.testdir(), 'key')
    writeFileSync(keyFile, generateKey(), { mode: 0o600 })
    const mcastPort = await freePorts(2)
    const where = { mcastInterface: 'lo', mcastPort, syncid: 7, sysctls: { syncPorts: 2 } }
    const notices: string[] = []
    const backups = await Promise.all(
      (
        [
          { keyFile, requireKey: true },
          { keyFile },
          {},
          { keyFile, requireKey: true, workers: 2 }
        ] as SyncBackupOptions[]
      ).map(async (options, index) => {
        const backup = new SyncBackup({ ...where, ...options })
        backup.on('notice', ({ code }) => notices.push(`${index} ${code}`))
        await backup.start()
        return backup
      })
    )
    const sizes = (): number[] => backups.map((backup) => backup.size)
    const sealed = new SyncMaster({ ...where, keyFile })
    const plain = new SyncMaster(where)
    await Promise.all([sealed.start(), plain.start()])
    for (let number = 0; number < 40; number++) sealed.handleConnection(tcpConnection(number, { packets: 3 }))
    await sealed.close()
    await until(() => sizes().every((size) => size === 40), `40 everywhere, now ${sizes().join()}`)
    for (let number = 40; number < 80; number++) plain.handleConnection(tcpConnection(number, { packets: 3 }))
    await plain.close()
    await until(() => sizes()[1] === 80 && sizes()[2] === 80, `80 where none is required, now ${sizes().join()}`)
    await until(() => ['0', '1', '3'].every((index) => notices.includes(`${index} SEAL_UNSIGNED`)), 'the notices')
    t.same([sizes()[0], sizes()[3]], [40, 40], 'what is not signed is dropped')
    await until(() => (backups[3]!.sealReport()?.verdicts['UNSIGNED'] ?? 0) > 0, 'the report of the workers')
    for (const backup of [backups[0]!, backups[1]!, backups[3]!]) {
      const { verdicts, sequences } = backup.sealReport()!
      t.ok(verdicts['VALID']! > 0 && verdicts['UNSIGNED']! > 0)
      t.match(verdicts, { BAD_MAC: 0, UNKNOWN_KEY: 0, STALE: 0, REPLAYED: 0 })
      t.same(sequences.map(({ channel }) => channel).sort(), [0, 1])
      t.ok(sequences.every(({ received, missing, sender }) => received > 0 && missing === 0 && sender.length === 16))
      const metrics = createMetrics(() => viewOf({ backup }, () => []).metrics())
      t.match(await metrics.text(), /ipvs_sync_seal_messages_total\{verdict="UNSIGNED"\} [1-9]/)
      t.match(await metrics.text(), new RegExp(`seal_missing\\{sender="${sequences[0]!.sender}",channel="[01]"\\} 0`))
      t.match(await metrics.text(), /ipvs_sync_seal_lost_total 0/)
    }
    t.equal(backups[2]!.sealReport(), undefined)
    await Promise.all(backups.map((backup) => backup.close()))
  }
)

t.test('keys are demanded where they are needed, and files that cannot be used are refused at once', async (t) => {
  const options = { mcastInterface: 'lo', syncid: 1 }
  t.throws(() => new SyncBackup({ ...options, requireKey: true }), { code: 'ERR_CONFIG', field: 'keyFile' })
  for (const workers of [0, 2])
    t.throws(() => new SyncBackup({ ...options, workers, sysctls: { syncPorts: 2 }, keyFile: '/none' }), {
      code: 'ERR_CONFIG',
      field: 'keyFile'
    })
  t.throws(() => new SyncMaster({ ...options, keyFile: '/none' }), { code: 'ERR_CONFIG', field: 'keyFile' })
  t.equal(sealOverhead({}), 0)
})

t.test('with 1 % loss over UDP a backup holds every connection', { skip: await noMulticast() }, async (t) => {
  const keyFile = join(t.testdir(), 'key')
  writeFileSync(keyFile, generateKey(), { mode: 0o600 })
  const where = { mcastInterface: 'lo', mcastPort: await freePorts(1), syncid: 7 }
  // Datagrams of the master are lost on the way out; repeats may be lost, too.
  const chance = seededChance(11)
  let lost = 0
  const lossy = {
    ...nodeSystem,
    createSocket: (...words: Parameters<typeof nodeSystem.createSocket>) => {
      const socket = nodeSystem.createSocket(...words)
      const send = socket.send.bind(socket) as (...all: unknown[]) => void
      Object.assign(socket, {
        send: (...all: unknown[]) => {
          if (chance() >= 0.01) {
            send(...all)
            return
          }
          lost++
          setImmediate(() => {
            ;(all.at(-1) as (error: null) => void)(null)
          })
        }
      })
      return socket
    }
  }
  const backup = new SyncBackup({ ...where, keyFile, requireKey: true })
  const master = new SyncMaster({ ...where, keyFile, system: lossy, syncMaxlen: 200 })
  await backup.start()
  await master.start()
  for (let number = 0; number < 2000; number++) {
    master.handleConnection(tcpConnection(number, { packets: 3 }))
    if (number % 40 === 39) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  await until(() => backup.size === 2000, `2000 connections, now ${backup.size}`)
  t.ok(lost > 0)
  t.match(backup.sealReport(), { lost: 0, verdicts: { BAD_MAC: 0, UNSIGNED: 0 } })
  t.ok(backup.sealReport()!.repaired > 0)
  await master.close()
  await backup.close()
})

t.test('without a group there is no repair, and without a key no seal', async (t) => {
  const keyFile = join(t.testdir(), 'key')
  writeFileSync(keyFile, generateKey(), { mode: 0o600 })
  const udp = { peers: [{ address: '127.0.0.1' }] }
  t.match(createSender({ keyFile }, { udp, syncid: 1 }, true).description, /sealed/)
  t.match(createReceiver({ keyFile }, { udp, syncid: 1 }).description, /verifying/)
  t.notMatch(createSender({}, { udp, syncid: 1 }, true).description, /sealed/)
  t.match(createReceiver({ keyFile }, { udp: { mcastInterface: 'lo' }, syncid: 1 }).description, /verifying/)
  t.match(
    createReceiver({ keyFile }, { udp: { mcastInterface: 'lo', mcastPort: 9000 }, syncid: 1, firstChannel: 2 })
      .channels,
    1
  )
})
