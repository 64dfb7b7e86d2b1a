// The UDP transports on this host's own loopback interface. Where that cannot do multicast the reason is given; every
// branch is covered without it in udp-faults.test.ts.
import { createSocket } from 'node:dgram'
import { mkdtempSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { inodesBelow, nodeSystem } from '../../src/transport/system.js'
import type { UdpOptions } from '../../src/transport/udp-options.js'
import { UdpReceiver } from '../../src/transport/udp-receiver.js'
import { UdpSender } from '../../src/transport/udp-sender.js'
import { freePorts, noMulticast } from '../fixtures/support/loopback.js'

/** Sends `count` numbered messages over all channels in turn and gives what arrived, as `channel: number`. */
async function exchange(options: UdpOptions, count: number): Promise<string[]> {
  const receiver = new UdpReceiver({ ...options, bufferBytes: 1_048_576 })
  const sender = new UdpSender(options)
  const heard: string[] = []
  const all = new Promise<void>((resolve) => {
    void receiver
      .start({
        onDatagram: (bytes, from, channel) => {
          heard.push(`${channel}: ${bytes[0]} from ${from.address}`)
          if (heard.length === count) resolve()
        }
      })
      .then(() => sender.start({}))
      .then(async () => {
        for (let i = 0; i < count; i++) sender.send(i % sender.channels, Uint8Array.of(i))
        await sender.flush()
      })
  })
  await all
  await Promise.all([sender.close(), receiver.close()])
  return heard.sort()
}

t.test(
  'multicast on the loopback interface, loopback off as a kernel has it',
  { skip: await noMulticast() },
  async (t) => {
    const mcastPort = await freePorts(4)
    const heard = await exchange({ mcastInterface: 'lo', mcastPort, channels: 4 }, 8)
    t.strictSame(
      heard,
      [0, 4, 1, 5, 2, 6, 3, 7].map((i) => `${i % 4}: ${i} from 127.0.0.1`)
    )
  }
)

t.test('unicast to a peer, IPv4 and IPv6', async (t) => {
  const port = await freePorts(2)
  t.strictSame(await exchange({ peers: [{ address: '127.0.0.1', port }], channels: 2 }, 2), [
    '0: 0 from 127.0.0.1',
    '1: 1 from 127.0.0.1'
  ])
  if (nodeSystem.interfaces()['lo']?.some(({ address }) => address === '::1') === true) {
    t.strictSame(await exchange({ peers: [{ address: '::1', port }] }, 1), ['0: 0 from ::1'])
  }
})

t.test('a peer that nobody listens at stops nothing, and refuses every message', async (t) => {
  const port = await freePorts(1)
  const sender = new UdpSender({ peers: [{ address: '127.0.0.1', port }] })
  const errors: string[] = []
  await sender.start({ onError: (error) => errors.push(error.message) })
  for (let i = 0; i < 3; i++) {
    sender.send(0, Uint8Array.from([0, 5, 0, 8, 2, 1, 0, 0]))
    await sender.flush()
  }
  t.strictSame(sender.sendReport(), {
    errors: { [`127.0.0.1:${port}`]: 3 },
    undelivered: [{ messages: 3, connections: 6 }],
    isUnreachable: true
  })
  t.match(errors, [/ECONNREFUSED/])
  await sender.close()
})

t.test('a port that another program holds is in use', async (t) => {
  const other = createSocket('udp4')
  const port = await new Promise<number>((resolve) => other.bind(0, '127.0.0.1', () => resolve(other.address().port)))
  const receiver = new UdpReceiver({ peers: [{ address: '127.0.0.1', port }] })
  await t.rejects(receiver.start({}), { code: 'ERR_ADDRESS_IN_USE' })
  await new Promise<void>((resolve) => other.close(resolve))
})

t.test('a burst past the receive buffer is lost, and counted by the system', async (t) => {
  const port = await freePorts(1)
  const options = { peers: [{ address: '127.0.0.1', port }] }
  const receiver = new UdpReceiver({ ...options, bufferBytes: 4608 })
  const sender = new UdpSender(options)
  let heard = 0
  await receiver.start({ onDatagram: () => heard++ })
  await sender.start({})
  if (receiver.receiveDrops() === undefined) {
    await Promise.all([sender.close(), receiver.close()])
    t.pass('drops', { skip: 'this system does not tell' })
    return
  }
  // Sent without giving the event loop a turn: nothing can be received meanwhile.
  for (let i = 0; i < 32; i++) sender.send(0, new Uint8Array(1400))
  await sender.flush()
  while (heard + receiver.receiveDrops()! < 32) await new Promise((resolve) => setTimeout(resolve, 5))
  t.ok(receiver.receiveDrops()! > 0)
  t.equal(heard + receiver.receiveDrops()!, 32)
  await Promise.all([sender.close(), receiver.close()])
})

t.test('the system: inodes of sockets alone, a file or nothing, a timer that ends', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'ipvs-sync-'))
  symlinkSync('socket:[42]', join(folder, '3'))
  symlinkSync('pipe:[43]', join(folder, '4'))
  writeFileSync(join(folder, '5'), '')
  t.strictSame([...inodesBelow(folder)], ['42'])
  t.strictSame([...inodesBelow(join(folder, 'none'))], [])
  t.equal(nodeSystem.readText(join(folder, '5')), '')
  t.equal(nodeSystem.readText(join(folder, 'none')), undefined)
  await new Promise<void>((resolve) => {
    const end = nodeSystem.every(1, () => {
      end()
      resolve()
    })
    // A timer of the system keeps no process alive; this one does meanwhile.
    setTimeout(resolve, 50)
  })
})
