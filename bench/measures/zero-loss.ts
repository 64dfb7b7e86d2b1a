/**
 * Millions of connections a second at which nothing is lost between two processes on the loopback interface:
 * zero-loss VARIANT PORT LIVE SECONDS. `master`: `SyncMaster.announceTable` to `SyncBackup`; `raw`: ready messages, as fast as
 * they are due, to `SyncBackup`; `bare`: the same to an empty handler of `node:dgram`. The rate doubles until two tries of it
 * have failed, then three halvings find the place between. Receive buffers have 4 MiB. Measured by the clock: other load on
 * the machine lowers the result.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { ConnectionTable, SyncBackup, SyncMaster } from 'ipvs-sync'
import { BackupEngine } from 'ipvs-sync/engine'
import { makeMessages, PER_MESSAGE, shuffled } from '../input.js'

const BUFFER = 4_194_304
const TURN_MS = 1
/** Less than that of what was asked: the sender is the limit. */
const KEPT = 0.95
const [variant = '', ...numbers] = process.argv.slice(2)
const [port = 0, live = 0, seconds = 1] = numbers.map(Number)

interface Outcome {
  readonly messages: number
  /** Connections a second. */
  readonly rate: number
}

await (process.send === undefined ? search() : serve())

async function search(): Promise<void> {
  const received = await listen()
  const sender = fork(fileURLToPath(import.meta.url), process.argv.slice(2))
  await once(sender, 'message')
  // Both ends compile first.
  await attempt(sender, received, 200_000)
  let [good, bad] = [0, 500_000]
  let best = 0
  const passes = async (rate: number): Promise<boolean> => {
    const reached = (await attempt(sender, received, rate)) || (await attempt(sender, received, rate))
    best = Math.max(best, reached)
    return reached > 0
  }
  while (await passes(bad)) [good, bad] = [bad, bad * 2]
  for (let step = 0; step < 3; step++) {
    const middle = (good + bad) / 2
    if (await passes(middle)) good = middle
    else bad = middle
  }
  sender.kill()
  console.log((best / 1e6).toFixed(3))
  process.exit()
}

/** The rate that it was sent with if everything came, or 0. */
async function attempt(sender: ChildProcess, received: () => number, rate: number): Promise<number> {
  const before = received()
  sender.send(rate)
  const [sent] = (await once(sender, 'message')) as [Outcome]
  let last = -1
  while (received() !== last) {
    last = received()
    await wait(150)
  }
  const complete = received() - before === sent.messages
  return complete && sent.rate >= rate * KEPT ? sent.rate : 0
}

/** Opens the receiver; the function tells how many messages have come. */
async function listen(): Promise<() => number> {
  if (variant === 'bare') {
    let count = 0
    const socket = createSocket('udp4', () => {
      count++
    })
    socket.bind(port, '127.0.0.1')
    await once(socket, 'listening')
    socket.setRecvBufferSize(BUFFER)
    return () => count
  }
  const backup = new SyncBackup({
    syncid: 7,
    peers: [{ address: '127.0.0.1', port }],
    sysctls: { syncSockSize: BUFFER },
    table: tableOf()
  })
  await backup.start()
  return () =>
    backup
      .counters()
      .received.flat()
      .reduce((sum, count) => sum + count, 0)
}

/** The sender's process. */
async function serve(): Promise<void> {
  process.on('disconnect', () => process.exit())
  const send = variant === 'master' ? await masterSender() : await rawSender()
  process.on('message', (rate: number) => void send(rate).then((outcome) => process.send!(outcome)))
  process.send!('ready')
}

async function masterSender(): Promise<(rate: number) => Promise<Outcome>> {
  const master = new SyncMaster({
    syncid: 7,
    peers: [{ address: '127.0.0.1', port }],
    table: tableOf(shuffled(live))
  })
  await master.start()
  const sent = (): number => master.counters().channels.reduce((sum, { messagesSent }) => sum + messagesSent, 0)
  return async (rate) => {
    const before = sent()
    const begin = performance.now()
    let announced = 0
    while (announced < rate * seconds) {
      // A small table is announced many times over; what a late timer cost the last time is made up for.
      const left = ((announced + live) / rate) * 1000 - (performance.now() - begin)
      announced += await master.announceTable({ rate: Math.min(2 * rate, (live * 1000) / Math.max(left, 1)) })
    }
    const took = performance.now() - begin
    await wait(1100)
    return { messages: sent() - before, rate: (announced * 1000) / took }
  }
}

async function rawSender(): Promise<(rate: number) => Promise<Outcome>> {
  const messages = makeMessages(live, shuffled(live))
  const socket = createSocket('udp4')
  await new Promise<void>((resolve) => socket.connect(port, '127.0.0.1', resolve))
  return async (rate) => {
    const total = Math.ceil((rate * seconds) / PER_MESSAGE)
    const begin = performance.now()
    let count = 0
    let left = 0
    const sentOne = (): void => {
      left++
    }
    while (count < total) {
      const due = Math.min(total, ((performance.now() - begin) * rate) / 1000 / PER_MESSAGE)
      for (; count < due; count++) socket.send(messages[count % messages.length]!, sentOne)
      await wait(TURN_MS)
    }
    const took = performance.now() - begin
    while (left < total) await wait(TURN_MS)
    return { messages: total, rate: (total * PER_MESSAGE * 1000) / took }
  }
}

/** A table of all connections, in this order; the two ends' differ, so that no memory is passed through in a row. */
function tableOf(order?: Uint32Array): ConnectionTable {
  const table = new ConnectionTable({ maxConnections: 1_000_000 })
  const engine = new BackupEngine({ syncid: 7, table })
  for (const message of makeMessages(live, order)) engine.handleDatagram(message, { address: '192.0.2.1', port: 1 }, 1)
  return table
}
