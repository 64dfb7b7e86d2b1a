/**
 * Where captures come from: files in the order of their time, standard input, or a running tcpdump.
 *
 * @module
 */

import { spawn } from 'node:child_process'
import { basename } from 'node:path'
import type { Readable } from 'node:stream'
import { CaptureReader } from '../../capture/capture-reader.js'
import { expandCapture } from '../../capture/read-capture.js'
import { IpvsSyncError } from '../../errors.js'
import { decompress, readFileBytes } from '../../files/capture-file.js'
import { fileFault } from '../errors.js'
import type { Range } from './ports-option.js'
import type { Progress } from './progress.js'

/** One capture. */
export interface Source {
  /** What to call it in messages. */
  readonly name: string
  readonly chunks: AsyncIterable<Uint8Array>
}

const ADVICE: Readonly<Record<string, string>> = {
  ENOENT: '; write one with tcpdump -i IF -w FILE udp, or read standard input with -',
  EISDIR: '; name a capture file in it',
  EACCES: '; tcpdump drops its privileges, so the file may belong to another user: run sudo chown, or use tcpdump -Z'
}

/** A capture file. */
export function fileSource(path: string, progress?: Progress): Source {
  const report =
    progress === undefined
      ? undefined
      : (count: number, isTotal: boolean): void => (isTotal ? progress.start(count) : progress.add(count))
  return { name: path, chunks: withAdvice(path, readFileBytes(path, report)) }
}

async function* withAdvice(path: string, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* chunks
  } catch (error) {
    const cause = (error as Error).cause as NodeJS.ErrnoException
    const advice = ADVICE[String(cause.code)] ?? ''
    throw new IpvsSyncError('ERR_IO', `${path}: ${fileFault(cause)}${advice}`, { cause })
  }
}

/** Paths in the order of the first datagram in each: rotated files (`tcpdump -G`, `-C`) whatever order their names have. */
export async function inTimeOrder(paths: readonly string[]): Promise<string[]> {
  if (paths.length < 2) return [...paths]
  const found = await Promise.all(paths.map(async (path) => ({ path, time: await firstTime(path) })))
  return found
    .sort((one, other) => one.time - other.time || naturalOrder(basename(one.path), basename(other.path)))
    .map(({ path }) => path)
}

function naturalOrder(one: string, other: string): number {
  return one.localeCompare(other, 'en', { numeric: true })
}

/** Time of the first UDP datagram in a file's first chunk, in milliseconds; Infinity where there is none. */
async function firstTime(path: string): Promise<number> {
  try {
    const reader = new CaptureReader()
    for await (const chunk of expandCapture(readFileBytes(path), decompress)) {
      const first = reader.push(chunk).find((item) => item.kind === 'datagram')
      return first?.kind === 'datagram' ? (first.time?.ms ?? Infinity) : Infinity
    }
  } catch {
    // What is wrong with the file is reported when its turn comes.
  }
  return Infinity
}

/** Starts a program that writes a capture; a test gives its own. */
export type Start = (
  program: string,
  args: readonly string[]
) => {
  readonly stdout: Readable
  readonly stderr: Readable
  once(event: 'error', listener: (error: NodeJS.ErrnoException) => void): unknown
  once(event: 'close', listener: (code: number | null) => void): unknown
  kill(signal: 'SIGTERM'): unknown
}

const startProcess: Start = (program, args) => spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })

/**
 * The filter for tcpdump: the wanted ports, and IPv4 fragments, which have no ports.
 *
 * @param isTagged - Whether frames with VLAN tags are wanted too. Only Ethernet has them: tcpdump refuses such a filter for `any`
 * and for tunnels.
 */
export function filterFor(ports: readonly Range[], isTagged = true): string {
  const wanted = ports
    .map(([first, last]) => (first === last ? `udp port ${first}` : `udp portrange ${first}-${last}`))
    .join(' or ')
  const any = `${wanted} or (ip[6:2] & 0x1fff != 0)`
  return isTagged ? `${any} or (vlan and (${any}))` : any
}

/**
 * Captures on an interface by tcpdump, until the signal aborts.
 *
 * @param start - Starts the program.
 */
export function liveSource(
  networkInterface: string,
  ports: readonly Range[],
  signal: AbortSignal | undefined,
  start: Start = startProcess
): Source {
  const name = `tcpdump -i ${networkInterface}`
  return { name, chunks: capture(name, networkInterface, ports, signal, start, true) }
}

async function* capture(
  name: string,
  networkInterface: string,
  ports: readonly Range[],
  signal: AbortSignal | undefined,
  start: Start,
  isTagged: boolean
): AsyncGenerator<Uint8Array> {
  const filter = filterFor(ports, isTagged)
  const child = start('tcpdump', ['-i', networkInterface, '-n', '-U', '-s', '0', '-w', '-', filter])
  let said = ''
  child.stderr.on('data', (text: Buffer) => (said = `${said}${text.toString()}`.slice(-4096)))
  const ended = new Promise<{ code?: number | null; error?: NodeJS.ErrnoException }>((resolve) => {
    child.once('error', (error) => resolve({ error }))
    child.once('close', (code) => resolve({ code }))
  })
  const stop = (): void => void child.kill('SIGTERM')
  signal?.addEventListener('abort', stop)
  try {
    let count = 0
    for await (const chunk of child.stdout as AsyncIterable<Uint8Array>) {
      count += chunk.length
      yield chunk
    }
    const { code, error } = await ended
    if (error !== undefined)
      throw new IpvsSyncError(
        'ERR_IO',
        `${name}: ${error.code === 'ENOENT' ? 'tcpdump was not found; install the package tcpdump' : error.message}`,
        { cause: error }
      )
    // What it wrote was read; it ends with 0 after SIGTERM.
    if (count > 0 || code === 0 || signal?.aborted === true) return
    if (isTagged && said.includes('no VLAN support'))
      yield* capture(name, networkInterface, ports, signal, start, false)
    else throw new IpvsSyncError('ERR_IO', `${name}: ${captureFault(said)}`)
  } finally {
    signal?.removeEventListener('abort', stop)
    stop()
  }
}

function captureFault(said: string): string {
  const last = said.trim().split('\n').at(-1) ?? ''
  const advice = /permi|not allowed|privilege/i.test(said)
    ? '; capturing needs root, or CAP_NET_RAW and CAP_NET_ADMIN (setcap cap_net_raw,cap_net_admin+ep on tcpdump)'
    : ''
  return `${last.replace(/^tcpdump: /, '')}${advice}`
}
