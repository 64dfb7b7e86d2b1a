/**
 * Running daemons under random input: HTTP, the notify FIFO, standard input, and messages of masters and agents.
 */

import { execFileSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { constants, mkdtempSync, openSync, closeSync, rmSync, writeSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { FaultyDaemon, until, type Program } from '../fixtures/faults/daemon.js'
import { generator } from './random.js'

export interface DaemonFuzzOptions {
  readonly program: Program
  /** Two UDP ports and three TCP ports from here on. */
  readonly port: number
  /** Sound messages to start from. */
  readonly messages: readonly Uint8Array[]
  readonly seconds: number
  readonly seed: number
}

const REQUESTS = [
  'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n',
  'GET /connections?format=proc HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n',
  'GET /connections HTTP/1.0\r\n\r\n',
  'HEAD /events HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello'
]
const ROLES = ['INSTANCE "VI_1" MASTER 100\n', 'INSTANCE "VI_1" BACKUP 100\n', 'INSTANCE "VI_1" BACKUP_PRIORITY 3\n', 'GROUP "G" FAULT\n'] // prettier-ignore
const LINES = [
  '{"family":"ipv4","protocol":"TCP","client":{"address":"10.1.0.2","port":38988},"virtual":{"address":"10.1.0.1","port":80},"destination":{"address":"10.2.0.2","port":80},"forwarding":"MASQ","flags":[],"state":"ESTABLISHED","packets":3}\n',
  '{"family":"ipv6","event":"expire"}\n',
  '[]\n'
]

/** Feeds a backup, a master and an agent; throws with the seed when one has ended or does not answer. Resolves to the inputs. */
export async function fuzzDaemons({ program, port, messages, seconds, seed }: DaemonFuzzOptions): Promise<number> {
  const random = generator(seed)
  const pick = (count: number): number => Math.floor(random() * count)
  const folder = mkdtempSync(join(tmpdir(), 'ipvs-sync-fuzz-'))
  const fifo = join(folder, 'fifo')
  execFileSync('mkfifo', [fifo])
  const own = {
    backup: ['--peer', `127.0.0.1:${port}`],
    agent: ['--peer', `127.0.0.1:${port + 1}`, '--store', join(folder, 'store'), '--store-interval', '1', '--ready-file', join(folder, 'ready'), '--notify-fifo', fifo], // prettier-ignore
    master: ['--peer', `127.0.0.1:${port}`, '--source', 'stdin']
  }
  const daemons = Object.entries(own).map(([name, args], index) => {
    const http = port + 10 + index
    return {
      name,
      http,
      daemon: new FaultyDaemon(program, [name, ...args, '--syncid', '5', '--http', String(http)], folder)
    }
  })
  const socket = createSocket('udp4')
  const descriptor = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK)
  const mutate = (bytes: Uint8Array): Uint8Array => {
    const copy = Uint8Array.from(bytes)
    for (let count = pick(6); count > 0 && copy.length > 0; count--) copy[pick(copy.length)] = pick(256)
    return copy.subarray(0, pick(4) === 0 ? pick(copy.length) : copy.length)
  }
  const text = (from: readonly string[]): Uint8Array => mutate(Buffer.from(from[pick(from.length)]!, 'latin1'))
  let inputs = 0
  try {
    for (const { daemon } of daemons) await daemon.says('HTTP at')
    for (const end = Date.now() + seconds * 1000; Date.now() < end;) {
      for (let count = 0; count < 100; count++, inputs++) {
        const { http } = daemons[pick(daemons.length)]!
        const kind = pick(4)
        if (kind === 0) {
          const client = connect(http, '127.0.0.1').on('error', () => undefined)
          client.end(text(REQUESTS)).resume().setTimeout(500, () => client.destroy()) // prettier-ignore
        } else if (kind === 1) socket.send(mutate(messages[pick(messages.length)]!), port + pick(2), '127.0.0.1')
        else if (kind === 2) writeTo(descriptor, text(ROLES))
        else if (!daemons[2]!.daemon.write(text(LINES))) await wait(5)
      }
      await wait(20)
      for (const { name, http, daemon } of daemons) {
        const answers = async (): Promise<boolean> => daemon.hasEnded || (await isHealthy(http))
        if ((await until(answers, 10_000)) && !daemon.hasEnded) continue
        throw new Error(`${name}, seed ${seed}, after ${inputs} inputs: ${daemon.errors.slice(-2000)}`)
      }
    }
    return inputs
  } finally {
    socket.close()
    closeSync(descriptor)
    await Promise.all(daemons.map(({ daemon }) => daemon.stop()))
    rmSync(folder, { recursive: true, force: true })
  }
}

function writeTo(descriptor: number, bytes: Uint8Array): void {
  try {
    writeSync(descriptor, bytes)
  } catch {
    // The FIFO is full: the next line follows.
  }
}

async function isHealthy(port: number): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}/healthz`, {
    signal: AbortSignal.timeout(2000),
    headers: { connection: 'close' }
  }).then(
    ({ ok }) => ok,
    () => false
  )
}
