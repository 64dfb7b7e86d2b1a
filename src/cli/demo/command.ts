/**
 * `ipvs-sync demo`: a master and a backup of ours, in processes of their own, exchanging connections before one's eyes.
 *
 * @module
 */
import { isIPv4, createServer, type AddressInfo } from 'node:net'
import { networkInterfaces } from 'node:os'
import { setTimeout as wait } from 'node:timers/promises'
import type { Command } from 'commander'
import type { Io } from '../io.js'
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

const SYNCID = '7'
/** New clients a second: slow enough to follow each with the eye. */
const RATE = '3'
/** q, Ctrl-C, Escape. */
const ENDING_KEYS: readonly string[] = ['q', 'Q', '\u0003', '\u001b']
const FRAME_MS = 500
/** Where there is no terminal a line a second is enough. */
const LINE_MS = 1000
/** How much later than another process this one may hear of a signal. */
const HEARING_MS = 500

/** Adds its options. */
export function configure(command: Command): void {
  command
    .option('--seconds <n>', 'how long it lasts', integerOption('--seconds', 1, 86_400), 60)
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
    const route = unicast || !hasLoopback() ? UNICAST : MULTICAST
    io.stderr.write(`ipvs-sync demo: starting a backup and a master on this machine (${route.text}) ...\n`)
    const backup = await DemoProcess.start('backup', ['--syncid', SYNCID, ...route.backup])
    try {
      const master = await DemoProcess.start('master', [
        '--source',
        'demo',
        '--rate',
        RATE,
        '--syncid',
        SYNCID,
        ...route.master
      ])
      try {
        await show(io, seconds, route.text, { master, backup })
      } finally {
        await master.stop()
      }
    } finally {
      await backup.stop()
    }
  } catch (error) {
    // Ctrl-C goes to all processes at a terminal: the other two may have ended before this one hears of it.
    await wait(HEARING_MS, undefined, { signal: io.signal }).catch(() => undefined)
    if (!io.signal.aborted) throw error
  }
  return 0
}

/** How the messages travel, and the options that say so. */
const MULTICAST = {
  text: 'multicast 224.0.0.81:8848 on lo',
  backup: ['--mcast-interface', 'lo'],
  master: ['--mcast-interface', 'lo']
} as const
const UNICAST = {
  text: 'unicast 127.0.0.1:8848',
  backup: ['--peer', '127.0.0.1'],
  master: ['--peer', '127.0.0.1']
} as const

/** Whether there is an interface `lo` with an IPv4 address: what the group needs here. */
export function hasLoopback(interfaces: ReturnType<typeof networkInterfaces> = networkInterfaces()): boolean {
  return (interfaces['lo'] ?? []).some(({ address }) => isIPv4(address))
}

interface Processes {
  readonly master: DemoProcess
  readonly backup: DemoProcess
}

/** Draws until the time has ended, or somebody ends it. */
async function show(io: Io, total: number, route: string, { master, backup }: Processes): Promise<void> {
  const keys = io.stdout.isTTY ? watchKeys(io) : undefined
  const ending = keys === undefined ? io.signal : AbortSignal.any([io.signal, keys.signal])
  const begin = Date.now()
  const draw = io.stdout.isTTY ? painter(io, total, route) : printer(io)
  try {
    for (;;) {
      const seconds = (Date.now() - begin) / 1000
      const [ours, theirs] = await Promise.all([
        master.look('ipvs_sync_messages_sent_total'),
        backup.look('ipvs_sync_messages_received_total')
      ])
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

/** Hears q, and Ctrl-C where the terminal no longer makes a signal of it. */
function watchKeys(io: Io): { signal: AbortSignal; end: () => void } {
  const controller = new AbortController()
  const stdin = io.stdin as Io['stdin'] & { setRawMode?: (raw: boolean) => void }
  const hear = (chunk: Buffer | string): void => {
    const typed = chunk.toString()
    if (ENDING_KEYS.some((key) => typed.includes(key))) controller.abort()
  }
  stdin.setRawMode?.(true)
  stdin.on('data', hear)
  return {
    signal: controller.signal,
    end() {
      stdin.off('data', hear)
      stdin.setRawMode?.(false)
      stdin.pause()
    }
  }
}

/** How long a process may take until its HTTP answers, on the slowest machine. */
const START_LIMIT_MS = 20_000
const POLL_MS = 50
/** What it says on its way is kept for an error. */
const MOST_WORDS = 4000

/** A command of ours that runs in its own process and serves HTTP on a loopback port. */
export class DemoProcess {
  readonly #child: ChildProcess
  readonly #url: string
  readonly #name: string
  #said = ''

  private constructor(name: string, child: ChildProcess, url: string) {
    this.#name = name
    this.#child = child
    this.#url = url
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk: Buffer) => (this.#said = `${this.#said}${chunk.toString()}`.slice(-MOST_WORDS)))
  }

  /**
   * Starts `ipvs-sync NAME ARGS… --http 127.0.0.1:PORT` and waits until it answers.
   *
   * @throws {@link IpvsSyncError} `ERR_TRANSPORT` with what the process said, where it ended instead.
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
    const child = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'pipe'] })
    const started = new DemoProcess(name, child, `http://127.0.0.1:${port}`)
    await started.#ready()
    return started
  }

  /** Whether it has ended. */
  get ended(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  /**
   * Its table and how many messages it has sent or received.
   *
   * @throws {@link IpvsSyncError} `ERR_TRANSPORT` where it has ended.
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

  /** Ends it, as an administrator would: SIGTERM, and a master sends what it holds. */
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
    const message = `the demonstration's ${this.#name} does not answer; it said: ${this.#said.trim()}`
    return new IpvsSyncError('ERR_TRANSPORT', message, { cause })
  }
}
