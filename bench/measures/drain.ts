/**
 * Microseconds of processor time a datagram to empty sockets that were filled before: receive, decode and apply by `SyncBackup` (`backup`),
 * or only receive, by an empty handler of `node:dgram` (`empty`: the limit in Node). A separate process fills them while
 * this one stands still, so that no sender shares the time that is measured. The best of three drains, or of as many as the
 * last argument says: drain VARIANT PORT LIVE DRAINS.
 */
import { execFileSync } from 'node:child_process'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { SyncBackup } from 'ipvs-sync'
import { given, print, processorTime } from './timing.js'

const { variant, seconds: port, connections } = given()
const drains = Number(process.argv[5] ?? 3)
const SOCKETS = 16
const EACH = 3000
const BUFFER = 4_194_304
const filler = fileURLToPath(new URL('fill.js', import.meta.url))

interface Receiver {
  /** Datagrams until now. */
  received(): number
  close(): Promise<void>
}

async function empty(): Promise<Receiver> {
  let count = 0
  const sockets: Socket[] = []
  for (let i = 0; i < SOCKETS; i++) {
    const socket = createSocket('udp4', () => {
      count++
    })
    sockets.push(socket.bind(port + i, '127.0.0.1'))
    await once(socket, 'listening')
    socket.setRecvBufferSize(BUFFER)
  }
  return {
    received: () => count,
    close: async () => {
      for (const socket of sockets) socket.close()
    }
  }
}

async function backup(): Promise<Receiver> {
  const sync = new SyncBackup({
    syncid: 7,
    peers: [{ address: '127.0.0.1', port }],
    maxConnections: 1_000_000,
    sysctls: { syncPorts: SOCKETS, syncSockSize: BUFFER }
  })
  await sync.start()
  return {
    received: () =>
      sync
        .counters()
        .received.flat()
        .reduce((sum, count) => sum + count, 0),
    close: () => sync.close()
  }
}

/** Fills the sockets with messages `first…` of a table of `connections`, then waits until all were taken. */
async function drain(receiver: Receiver, first: number): Promise<number> {
  const before = receiver.received()
  execFileSync(process.execPath, [
    filler,
    String(port),
    String(SOCKETS),
    String(EACH),
    String(connections),
    String(first)
  ])
  const begin = processorTime()
  let last = before
  let lastAt = performance.now()
  let spent = begin
  for (;;) {
    await new Promise((resolve) => setImmediate(resolve))
    const now = receiver.received()
    if (now !== last) {
      last = now
      lastAt = performance.now()
      spent = processorTime()
      if (last - before === SOCKETS * EACH) break
    } else if (performance.now() - lastAt > 500) break
  }
  if (last - before !== SOCKETS * EACH) throw new Error(`received ${last - before} of ${SOCKETS * EACH}`)
  return ((spent - begin) * 1000) / (last - before)
}

const receiver = await (variant === 'empty' ? empty() : backup())
// What is measured is the refresh of a table that is filled: 1,000,000 need 25,000 messages, which one drain has.
await drain(receiver, 0)
const results: number[] = []
for (let i = 0; i < drains; i++) results.push(await drain(receiver, 0))
await receiver.close()
print(Math.min(...results))
