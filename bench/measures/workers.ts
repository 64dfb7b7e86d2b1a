/**
 * Microseconds for each of 48,000 datagrams that wait in 16 sockets, until the last was taken, by a `SyncBackup` with so many
 * workers: workers PORT WORKERS busiest|clock DRAINS. `busiest` is the processor time of the thread that had most of it: what the
 * whole takes where each thread has a core. `clock` is what it took here. The backup stands still (SIGSTOP) while its sockets
 * are filled, and what is left is read from /proc/net/udp, so that nothing but the work is timed. The best of the drains.
 */
import { execFileSync, fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { SyncBackup } from 'ipvs-sync'
import { given, print } from './timing.js'

const SOCKETS = 16
const EACH = 3000
/** 1,024 messages: each socket has its own connections, as each of a master's channels has. */
const CONNECTIONS = 40_960
const LOOK_MS = 2
const { variant: port, seconds: workers } = given()
const byClock = process.argv[4] === 'clock'
const drains = Number(process.argv[5] ?? 3)
const filler = fileURLToPath(new URL('fill.js', import.meta.url))

await (process.send === undefined ? measure() : receive())

async function receive(): Promise<void> {
  process.on('disconnect', () => process.exit())
  const backup = new SyncBackup({
    syncid: 7,
    peers: [{ address: '127.0.0.1', port: Number(port) }],
    sysctls: { syncPorts: SOCKETS, syncSockSize: 4_194_304 },
    workers
  })
  backup.on('error', (error) => console.error(error.message))
  await backup.start()
  process.on('message', () => {
    const { received } = backup.counters()
    process.send!(received.flat().reduce((sum, count) => sum + count, 0))
  })
  process.send!('ready')
}

async function measure(): Promise<void> {
  const child = fork(fileURLToPath(import.meta.url), process.argv.slice(2))
  await once(child, 'message')
  await drain(child)
  const results: number[] = []
  for (let i = 0; i < drains; i++) results.push(await drain(child))
  // Workers tell their counters every 200 ms.
  await wait(500)
  child.send('count')
  const [received] = (await once(child, 'message')) as [number]
  child.kill()
  const sent = SOCKETS * EACH * (results.length + 1)
  if (received !== sent) throw new Error(`received ${received} of ${sent}`)
  print(Math.min(...results))
}

async function drain(child: ChildProcess): Promise<number> {
  child.kill('SIGSTOP')
  execFileSync(process.execPath, [filler, port, ...[SOCKETS, EACH, CONNECTIONS, 0].map(String)])
  const before = threadTimes(child.pid!)
  const begin = performance.now()
  child.kill('SIGCONT')
  while (waiting() > 0) await wait(LOOK_MS)
  const clock = performance.now() - begin
  // What was read last is being applied.
  await wait(50)
  const busiest = Math.max(...[...threadTimes(child.pid!)].map(([thread, time]) => time - (before.get(thread) ?? 0)))
  return ((byClock ? clock : busiest) * 1000) / (SOCKETS * EACH)
}

/** Milliseconds on a processor of each of a process's threads. */
function threadTimes(process: number): Map<string, number> {
  const folder = `/proc/${process}/task`
  return new Map(
    readdirSync(folder).map((thread) => {
      const [nanoseconds = '0'] = readFileSync(`${folder}/${thread}/schedstat`, 'utf8').split(' ')
      return [thread, Number(nanoseconds) / 1e6]
    })
  )
}

/** Bytes that wait in the sockets. */
function waiting(): number {
  const first = Number(port)
  return readFileSync('/proc/net/udp', 'utf8')
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local = '']) => {
      const at = Number.parseInt(local.split(':')[1] ?? '', 16)
      return at >= first && at < first + SOCKETS
    })
    .reduce((sum, fields) => sum + Number.parseInt(fields[4]?.split(':')[1] ?? '0', 16), 0)
}
