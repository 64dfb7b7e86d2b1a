/**
 * `ipvs-sync demo`: runs a master and a backup in processes of their own, and shows the connections that they exchange.
 *
 * @module
 */
import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { isIPv4, createServer, type AddressInfo } from 'node:net'
import { networkInterfaces } from 'node:os'
import { setTimeout as wait } from 'node:timers/promises'
import type { Command } from 'commander'
import { ENDS_WITH_PARENT, type Io } from '../io.js'
import { addNotes } from '../notes.js'
import { integerOption } from '../parsers.js'
import { drawLine, drawScreen } from './screen.js'
import { type DemoSnapshot, sumOf, type ProcessView } from './snapshot.js'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { IpvsSyncError } from '../../errors.js'
import type { TableConnection } from '../../wire/connection.js'

interface Options {
  readonly seconds: number
  readonly unicast?: true
}

/** New clients a second: slow enough to follow each of them. */
const RATE = '3'
/** q, Ctrl-C, Escape. */
const ENDING_KEYS: readonly string[] = ['q', 'Q', '\u0003', '\u001b']
const FRAME_MS = 500
/** Interval of lines where there is no terminal. */
const LINE_MS = 1000
/** Time within which a signal to a process group reaches all of its processes. */
const SIGNAL_DELAY_MS = 500
/** Time until the clock starts although the backup has received nothing. A master sends a message after 2 s at the latest. */
const FIRST_MESSAGE_LIMIT_MS = 10_000

/** Adds its options. */
export function configure(command: Command): void {
  command
    .option('--seconds <n>', 'seconds to run, from the first message on', integerOption('--seconds', 1, 86_400), 60)
    .option('--unicast', 'send to 127.0.0.1 instead of the group: for machines where lo has no multicast')
  addNotes(command, {
    text: [
      'A master with made-up clients and a backup, two processes on this machine, exchange connections over real UDP on the loopback interface. Nothing leaves the machine. q or Ctrl-C ends it.'
    ],
    examples: ['ipvs-sync demo', 'ipvs-sync demo --seconds 10 | tail -1']
  })
}

/** Runs it; 0 also where it was ended early. */
export async function execute(command: Command, io: Io): Promise<number> {
  try {
    const { seconds, unicast } = command.opts<Options>()
    const route = await drawRoute(unicast === true || !hasLoopback())
    io.stderr.write(`ipvs-sync demo: starting a backup and a master on this machine (${route.text}) ...\n`)
    const backup = await DemoProcess.start('backup', route.options)
    try {
      const master = await DemoProcess.start('master', ['--source', 'demo', '--rate', RATE, ...route.options])
      try {
        await show(io, seconds, route.text, { master, backup })
        io.stderr.write(
          'ipvs-sync demo: next: ipvs-sync doctor --mcast-interface eth1, or ipvs-sync backup --mcast-interface eth1 --http 9848\n'
        )
      } finally {
        await master.stop()
      }
    } finally {
      await backup.stop()
    }
  } catch (error) {
    // Ctrl-C goes to all processes of a terminal: the other two may end before the signal reaches this one.
    await wait(SIGNAL_DELAY_MS, undefined, { signal: io.signal }).catch(() => undefined)
    if (!io.signal.aborted) throw error
  }
  return 0
}

/** Where the messages go, in words and as options of both processes. */
interface DemoRoute {
  readonly text: string
  readonly options: readonly string[]
}

/** Draws a syncid, a free port, and a group of 239.255.0.0/16: demonstrations that run at the same time must not mix. */
export async function drawRoute(isUnicast: boolean): Promise<DemoRoute> {
  const socket = createSocket('udp4')
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  const { port } = socket.address()
  await new Promise<void>((resolve) => socket.close(resolve))
  const common = ['--syncid', String(randomInt(1, 256)), '--mcast-port', String(port)]
  if (isUnicast) return { text: `unicast 127.0.0.1:${port}`, options: ['--peer', '127.0.0.1', ...common] }
  const group = `239.255.${randomInt(256)}.${randomInt(1, 255)}`
  return {
    text: `multicast ${group}:${port} on lo`,
    options: ['--mcast-interface', 'lo', '--mcast-group', group, ...common]
  }
}

/** Returns whether there is an interface `lo` with an IPv4 address, which the group needs. */
export function hasLoopback(interfaces: ReturnType<typeof networkInterfaces> = networkInterfaces()): boolean {
  return (interfaces['lo'] ?? []).some(({ address }) => isIPv4(address))
}

interface Processes {
  readonly master: DemoProcess
  readonly backup: DemoProcess
}

/** Draws until the time has ended, or a key or a signal ends it. The time begins with the backup's first message. */
async function show(io: Io, total: number, route: string, { master, backup }: Processes): Promise<void> {
  const keys = io.stdout.isTTY ? watchKeys(io) : undefined
  const ending = keys === undefined ? io.signal : AbortSignal.any([io.signal, keys.signal])
  const started = Date.now()
  let begin = Infinity
  const draw = io.stdout.isTTY ? painter(io, total, route) : printer(io)
  try {
    for (;;) {
      const [ours, theirs] = await Promise.all([
        master.look('ipvs_sync_messages_sent_total'),
        backup.look('ipvs_sync_messages_received_total')
      ])
      if (theirs.messages > 0 || Date.now() - started >= FIRST_MESSAGE_LIMIT_MS) begin = Math.min(begin, Date.now())
      const seconds = Math.max((Date.now() - begin) / 1000, 0)
      draw({ master: ours, backup: theirs, seconds: Math.min(seconds, total) })
      if (seconds >= total || ending.aborted) return
      await wait(io.stdout.isTTY ? FRAME_MS : LINE_MS, undefined, { signal: ending }).catch(() => undefined)
    }
  } finally {
    keys?.end()
  }
}

function printer(io: Io): (snapshot: DemoSnapshot) => void {
  return (snapshot) => void io.stdout.write(`${drawLine(snapshot)}\n`)
}

/**
 * Draws over what it drew before, without clearing first, so that nothing flickers.
 *
 * @param total - Seconds that the demonstration lasts.
 * @param route - How the messages travel.
 */
export function painter(io: Io, total: number, route: string): (snapshot: DemoSnapshot) => void {
  io.stdout.write('\u001b[2J')
  const color = io.env['NO_COLOR'] === undefined || io.env['NO_COLOR'] === ''
  const order = new Map<string, number>()
  return (snapshot) => {
    const size = { columns: io.stdout.columns ?? 100, rows: (io.stdout as { rows?: number }).rows ?? 30, color }
    const lines = drawScreen(snapshot, order, total, route, size)
    io.stdout.write(`\u001b[H${lines.map((line) => `${line}\u001b[K`).join('\n')}\u001b[J\n`)
  }
}

/** Aborts at q, Escape, and Ctrl-C, of which a terminal in raw mode makes no signal. */
function watchKeys(io: Io): { signal: AbortSignal; end: () => void } {
  const controller = new AbortController()
  const stdin = io.stdin as Io['stdin'] & { setRawMode?: (raw: boolean) => void }
  const read = (chunk: Buffer | string): void => {
    const typed = chunk.toString()
    if (ENDING_KEYS.some((key) => typed.includes(key))) controller.abort()
  }
  stdin.setRawMode?.(true)
  stdin.on('data', read)
  return {
    signal: controller.signal,
    end() {
      stdin.off('data', read)
      stdin.setRawMode?.(false)
      stdin.pause()
    }
  }
}

/** Time within which the HTTP port of a process answers, on a slow machine. */
const START_LIMIT_MS = 20_000
const POLL_MS = 50
/** Characters of a process's output that are kept for an error. */
const MAX_OUTPUT = 4000

/** A command of ours that runs in its own process, serves HTTP on a loopback port, and ends when this process ends. */
export class DemoProcess {
  readonly #child: ChildProcess
  readonly #url: string
  readonly #name: string
  #output = ''

  private constructor(name: string, child: ChildProcess, url: string) {
    this.#name = name
    this.#child = child
    this.#url = url
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk: Buffer) => (this.#output = `${this.#output}${chunk.toString()}`.slice(-MAX_OUTPUT)))
  }

  /**
   * Starts `ipvs-sync NAME ARGS… --http 127.0.0.1:PORT` and waits until it answers.
   *
   * @throws {@link IpvsSyncError} `ERR_TRANSPORT` with its output if it ends instead.
   */
  static async start(name: 'master' | 'backup', args: readonly string[]): Promise<DemoProcess> {
    // A TCP port of the loopback that is free at this moment.
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    server.close()
    await once(server, 'close')
    const main = fileURLToPath(import.meta.url.replace(/demo\/command(\.[jt]s)$/, 'main$1'))
    const command = [...process.execArgv, main, name, ...args, '--http', `127.0.0.1:${port}`]
    const child = spawn(process.execPath, command, {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...process.env, [ENDS_WITH_PARENT]: '1' }
    })
    const started = new DemoProcess(name, child, `http://127.0.0.1:${port}`)
    await started.#ready()
    return started
  }

  /** Whether it has ended. */
  get ended(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  /**
   * Returns its table and the number of messages that it has sent or received.
   *
   * @throws {@link IpvsSyncError} `ERR_TRANSPORT` if it has ended.
   */
  async look(metric: string): Promise<ProcessView> {
    try {
      const [table, metrics] = await Promise.all([this.#get('/connections'), this.#get('/metrics')])
      const lines = table.split('\n').filter((line) => line !== '')
      return {
        connections: lines.map((line) => JSON.parse(line) as TableConnection),
        messages: sumOf(metrics, metric)
      }
    } catch (cause) {
      throw this.#ended(cause)
    }
  }

  /** Ends it by SIGTERM. A master sends what it holds first. */
  async stop(): Promise<void> {
    if (this.ended) return
    const exit = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    await exit
  }

  async #ready(): Promise<void> {
    for (let waited = 0; waited < START_LIMIT_MS && !this.ended; waited += POLL_MS) {
      const ready = await fetch(`${this.#url}/healthz`).then(
        ({ ok }) => ok,
        () => false
      )
      if (ready) return
      await wait(POLL_MS)
    }
    const error = this.#ended(undefined)
    await this.stop()
    throw error
  }

  async #get(path: string): Promise<string> {
    return (await fetch(`${this.#url}${path}`)).text()
  }

  #ended(cause: unknown): IpvsSyncError {
    const message = `the demonstration's ${this.#name} does not answer; its output: ${this.#output.trim()}`
    return new IpvsSyncError('ERR_TRANSPORT', message, { cause })
  }
}
