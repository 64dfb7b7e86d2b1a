/**
 * The demonstration's two processes: the real commands `backup` and `master`, seen over their HTTP.
 *
 * @module
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { IpvsSyncError } from '../../errors.js'
import type { TableConnection } from '../../wire/connection.js'
import { sumOf, type ProcessView } from './snapshot.js'

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
    const main = fileURLToPath(import.meta.url.replace(/demo\/processes(\.[jt]s)$/, 'main$1'))
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
